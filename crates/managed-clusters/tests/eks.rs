//! EKS and STS against a server that checks signatures as they do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "../../auth/tests/support/mod.rs"]
mod support;

use std::time::{Duration, SystemTime};

use auth::aws::Credentials;
use auth::{Environment, Secret};
use managed_clusters::eks::{Cluster, access};
use managed_clusters::{Owner, Settings};
use support::sigv4::{header_signer, query_signer};
use support::{Server, environment, from_url_base64, http, useless};

const ARN: &str = "arn:aws:eks:eu-west-1:123456789012:cluster/main";
/// `of cloud`
const ANSWER: &str = r#"{"cluster": {"endpoint": "https://ABC.gr7.eu-west-1.eks.amazonaws.com", "certificateAuthority": {"data": "b2YgY2xvdWQ="}}}"#;

fn credentials() -> Credentials {
    Credentials {
        access_key: "ASIA".into(),
        secret_key: Secret::new("s3cret"),
        session_token: Some(Secret::new("t0ken/+=")),
        expires: SystemTime::UNIX_EPOCH,
    }
}

fn secret(access_key: &str, token: &str) -> Option<&'static str> {
    ((access_key, token) == ("ASIA", "t0ken/+=")).then_some("s3cret")
}

fn eks() -> (Server, Environment) {
    let server = Server::start(|request| {
        let signer = header_signer(request, "eu-west-1", "eks", secret);
        Some(match (request.line.as_str(), signer) {
            ("GET /clusters/main", Some(_)) => (200, ANSWER.to_owned()),
            (other, _) => (403, other.to_owned()),
        })
    });
    let env = environment(&[("AWS_ENDPOINT_URL_EKS", &server.url)]);
    (server, env)
}

fn settings() -> Settings {
    Settings { cluster: ARN.into(), ..Settings::default() }
}

#[tokio::test]
async fn a_cluster_of_eks_is_described_and_its_token_is_a_signed_request_to_sts() {
    let (server, env) = eks();
    let access = access(&settings(), &credentials(), Owner::Controller, &env, &http()).await.unwrap();
    assert_eq!(access.address, "https://abc.gr7.eu-west-1.eks.amazonaws.com:443");
    assert_eq!(access.ca, b"of cloud");
    let life = access.expires.duration_since(SystemTime::now()).unwrap();
    assert!(life > Duration::from_secs(800) && life <= Duration::from_secs(900), "{life:?}");
    assert_eq!(server.asked().len(), 1);
    let token = access.token.expose().strip_prefix("k8s-aws-v1.").unwrap().to_owned();
    let url: url::Url = String::from_utf8(from_url_base64(&token)).unwrap().parse().unwrap();
    assert_eq!(url.host_str(), Some("sts.eu-west-1.amazonaws.com"));
    let query: std::collections::BTreeMap<_, _> = url.query_pairs().into_owned().collect();
    assert_eq!(query["Action"], "GetCallerIdentity");
    assert_eq!(query["Version"], "2011-06-15");
    assert_eq!(query["X-Amz-Expires"], "900");
    assert_eq!(query["X-Amz-SignedHeaders"], "host;x-k8s-aws-id");
    let signer = |cluster: &str| query_signer(&url, &[("x-k8s-aws-id", cluster)], "eu-west-1", "sts", secret);
    assert_eq!(signer("main").as_deref(), Some("ASIA"));
    assert_eq!(signer("other"), None, "it is for one cluster alone");
    assert!(!format!("{access:?}").contains(&token));
}

#[tokio::test]
async fn nobody_is_asked_for_what_a_tenant_says_for_its_own_identity() {
    let (server, env) = eks();
    let given = Settings { address: Some("api.example:6443".into()), ca: Some("PEM".into()), ..settings() };
    let own = access(&given, &credentials(), Owner::Tenant, &env, &http()).await.unwrap();
    assert_eq!((own.address.as_str(), own.ca.as_slice()), ("https://api.example:6443", &b"PEM"[..]));
    assert!(server.asked().is_empty());
    let error =
        access(&given, &credentials(), Owner::Controller, &env, &http()).await.unwrap_err().to_string();
    assert!(
        error.starts_with("the address 'https://api.example:6443' is not one of cluster 'main': "),
        "{error}"
    );
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn what_is_no_cluster_of_eks_is_named() {
    let (server, env) = eks();
    for arn in [
        "",
        "main",
        "arn:aws:eks:eu-west-1:1:cluster/",
        "arn:aws:eks:eu-west-1:1:cluster/..",
        "arn:aws:eks::1:cluster/a",
        "arn:aws:eks:eu-west-1:x:cluster/a",
        "arn:aws:ecs:eu-west-1:1:cluster/a",
    ] {
        assert_eq!(
            Cluster::parse(arn).unwrap_err().to_string(),
            format!(
                r"invalid EKS cluster ARN: '{arn}'. must match ^arn:aws[\w-]*:eks:([^:]{{1,100}}):[0-9]{{1,30}}:cluster/(.{{1,200}})$"
            )
        );
    }
    assert_eq!(Cluster::parse(ARN).unwrap().region(), "eu-west-1");
    let foreign = Settings { cluster: "arn:aws:eks:evil.example/:1:cluster/a".into(), ..settings() };
    let error = access(&foreign, &credentials(), Owner::Tenant, &env, &http()).await.unwrap_err().to_string();
    assert_eq!(error, "invalid AWS region: 'evil.example/'");
    assert!(server.asked().is_empty());
    let other = Credentials { secret_key: Secret::new("other"), ..credentials() };
    let error = access(&settings(), &other, Owner::Tenant, &env, &http()).await.unwrap_err().to_string();
    assert_eq!(error, "failed to describe EKS cluster 'main': 403 Forbidden: GET /clusters/main");
    for (server, expected) in useless() {
        let env = environment(&[("AWS_ENDPOINT_URL_EKS", &server.url)]);
        let error = access(&settings(), &credentials(), Owner::Tenant, &env, &http()).await.unwrap_err();
        let error = error.to_string();
        assert!(error.starts_with(&format!("failed to describe EKS cluster 'main': {expected}")), "{error}");
    }
}
