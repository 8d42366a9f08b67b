#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use auth::TokenCache;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::proxy::ProxyServer;
use e2e::registry::CloudRegistry;
use e2e::token_server::TokenServer;
use identity::Tokens;
use kube::Client;
use net::Deadline;
use oci::ManifestError;
use runtime::metrics::Metrics;
use serde_json::{Value, json};

use super::*;

const ECR: &str = "oci://1.dkr.ecr.eu-west-1.amazonaws.com/team/app";
const TIMEOUT: Duration = Duration::from_secs(60);
const KEYS: &str = "<R><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
    <SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></R>";
const TOKEN: &str = r#"{"spec": {"audiences": []}, "status": {"token": "of-account", "expirationTimestamp": "2099-01-01T00:00:00Z"}}"#;
const ACCOUNT: &str = "/api/v1/namespaces/ns/serviceaccounts/me";

fn ecr_answer(password: &str) -> String {
    let login = STANDARD.encode(format!("AWS:{password}"));
    json!({"authorizationData": [{"authorizationToken": login, "expiresAt": 4e9}]}).to_string()
}

/// An API server and AWS at once.
async fn server() -> TokenServer {
    let keys = [("POST /sts/", 200, KEYS), ("POST /ecr/", 200, &ecr_answer("first"))];
    let server = TokenServer::start(false, &keys).await.unwrap();
    server.set_answer(&format!("POST {ACCOUNT}/token"), 201, TOKEN);
    for (name, user) in [("named", "named"), ("of-account", "of-account")] {
        pull_secret(&server, name, "r.example", user);
    }
    server
}

fn account(server: &TokenServer, annotations: &Value, secrets: &[&str]) {
    let secrets: Vec<_> = secrets.iter().map(|name| json!({"name": name})).collect();
    let metadata = json!({"name": "me", "namespace": "ns", "annotations": annotations});
    let account = json!({"metadata": metadata, "imagePullSecrets": secrets});
    server.set_answer(&format!("GET {ACCOUNT}"), 200, &account.to_string());
}

fn secret(server: &TokenServer, name: &str, kind: &str, data: &[(&str, &str)]) {
    let data: serde_json::Map<_, _> =
        data.iter().map(|(key, value)| ((*key).to_owned(), STANDARD.encode(value).into())).collect();
    let secret = json!({"metadata": {"name": name, "namespace": "ns"}, "type": kind, "data": data});
    server.set_answer(&format!("GET /api/v1/namespaces/ns/secrets/{name}"), 200, &secret.to_string());
}

fn pull_secret(server: &TokenServer, name: &str, host: &str, user: &str) {
    let config = json!({"auths": {host: {"username": user, "password": "p"}}}).to_string();
    secret(server, name, "kubernetes.io/dockerconfigjson", &[(".dockerconfigjson", &config)]);
}

fn registries(server: &TokenServer) -> Registries {
    let tokens = Tokens::new(TokenCache::new(10, TIMEOUT), &Metrics::new().unwrap()).unwrap();
    let config = kube::Config::new(server.url.parse().unwrap());
    let environment = [
        ("AWS_ENDPOINT_URL_STS", format!("{}/sts/", server.url)),
        ("AWS_ENDPOINT_URL_ECR", format!("{}/ecr/", server.url)),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/dev/null".to_owned()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/controller".to_owned()),
    ];
    let client = Client::try_from(config).unwrap();
    let clouds = Clouds::new(client, environment.into_iter().collect(), tokens);
    Registries::new(Limits::default(), clouds)
}

fn wanted(repository: &Repository) -> Wanted<'_> {
    Wanted {
        kind: "OCIRepository",
        namespace: "ns",
        name: "app",
        repository,
        url: "oci://r.example/team/app",
        insecure: false,
        provider: OciProvider::Generic,
        account: None,
        secret: None,
        certificates: None,
        proxy: None,
        timeout: TIMEOUT,
    }
}

fn named(name: &str) -> LocalObjectReference {
    LocalObjectReference { name: name.to_owned() }
}

fn basic(username: &str, password: &str) -> Credentials {
    Credentials::Basic { username: username.to_owned(), password: secret::Secret::new(password) }
}

#[tokio::test]
async fn pull_secrets_come_before_the_identity_and_what_they_do_not_match_is_anonymous() {
    let (server, repository) = (server().await, Repository::parse("oci://r.example/team/app").unwrap());
    let registries = registries(&server);
    secret(&server, "opaque", "Opaque", &[("a", "b")]);
    pull_secret(&server, "elsewhere", "other.example", "elsewhere");
    let opted_in =
        json!({"credential.auth.fluxcd.io/provider": "kubernetes", "credential.auth.fluxcd.io/type": "jwt"});
    let mut with_user = opted_in.clone();
    with_user["credential.auth.fluxcd.io/username"] = "bot".into();
    let (none, generic, aws) = (json!({}), OciProvider::Generic, OciProvider::Aws);
    for (secret, annotations, secrets, provider, expected) in [
        (Some("named"), None, &[][..], generic, basic("named", "p")),
        (Some("named"), Some(&none), &["of-account"], generic, basic("named", "p")),
        (None, Some(&none), &["of-account"], generic, basic("of-account", "p")),
        (None, Some(&none), &["elsewhere", "of-account"], generic, basic("of-account", "p")),
        (Some("named"), None, &[], aws, basic("named", "p")),
        (Some("elsewhere"), None, &[], aws, Credentials::Anonymous),
        (Some("opaque"), None, &[], aws, Credentials::Anonymous),
        (None, Some(&none), &["elsewhere"], aws, Credentials::Anonymous),
        (None, None, &[], generic, Credentials::Anonymous),
        (None, Some(&none), &[], generic, Credentials::Anonymous),
        (None, Some(&opted_in), &[], generic, Credentials::Bearer(secret::Secret::new("of-account"))),
        (None, Some(&with_user), &[], generic, basic("bot", "of-account")),
        (Some("named"), Some(&opted_in), &[], generic, basic("named", "p")),
    ] {
        account(&server, annotations.unwrap_or(&Value::Null), secrets);
        let reference = secret.map(named);
        let wanted = Wanted {
            provider,
            secret: reference.as_ref(),
            account: annotations.map(|_| "me"),
            ..wanted(&repository)
        };
        let session = registries.open(wanted).await.unwrap();
        assert_eq!(session.access.credentials, expected, "{secret:?} {annotations:?} {secrets:?}");
    }
    server.take_requests();
    account(&server, &opted_in, &[]);
    let wanted = Wanted { account: Some("me"), ..wanted(&repository) };
    registries.open(wanted).await.unwrap();
    let asked = server.take_requests();
    assert!(asked.iter().all(|(line, _)| !line.ends_with("/token")), "it is kept: {asked:?}");
}

#[tokio::test]
async fn what_is_wrong_with_a_service_account_and_its_secrets_is_told_in_the_words_of_flux() {
    let (server, repository) = (server().await, Repository::parse("oci://r.example/team/app").unwrap());
    let registries = registries(&server);
    let status = |name: &str, kind: &str| {
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404,
            "message": format!("{kind} \"{name}\" not found")})
        .to_string()
    };
    server.set_answer(&format!("GET {ACCOUNT}"), 404, &status("me", "serviceaccounts"));
    server.set_answer("GET /api/v1/namespaces/ns/secrets/none", 404, &status("none", "secrets"));
    let open = async |registries: &Registries, wanted: Wanted<'_>| {
        registries.open(wanted).await.err().map(|error| error.to_string()).unwrap_or_default()
    };
    let of_account = Wanted { account: Some("me"), ..wanted(&repository) };
    let missing = "failed to get service account 'ns/me': serviceaccounts \"me\" not found";
    assert_eq!(open(&registries, of_account).await, missing);
    for (secrets, annotations, text) in [
        (
            &["none"][..],
            json!({}),
            "failed to get credential: failed to get image pull secret for serviceaccount 'ns/me': \
             secret 'ns/none' not found",
        ),
        (
            &["named"],
            json!({"credential.auth.fluxcd.io/provider": "kubernetes", "credential.auth.fluxcd.io/type": "jwt"}),
            "failed to validate configuration: service account 'ns/me' has both imagePullSecrets and \
             credential.auth.fluxcd.io annotations",
        ),
        (
            &["named"; 33],
            json!({}),
            "failed to get credential: service account 'ns/me' has more than 32 image pull secrets",
        ),
    ] {
        account(&server, &annotations, secrets);
        assert_eq!(open(&registries, of_account).await, text);
    }
    let none = named("none");
    let wanted = |secret, proxy| Wanted { secret, proxy, ..wanted(&repository) };
    let text = "failed to get credential: failed to get secret 'ns/none': secrets \"none\" not found";
    assert_eq!(open(&registries, wanted(Some(&none), None)).await, text);
    let text = "failed to get proxy address: secret 'ns/none' not found";
    assert_eq!(open(&registries, wanted(None, Some(&none))).await, text);
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_told_in_the_words_of_flux() {
    let (server, repository) = (server().await, Repository::parse("oci://r.example/team/app").unwrap());
    let (registries, ca) = (registries(&server), e2e::pki::Ca::new("registry").unwrap());
    let identity = ca.issue(&["client"]).unwrap();
    let (certificate, key) = (identity.certificate.as_str(), identity.key.as_str());
    let not_found =
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404});
    server.set_answer("GET /api/v1/namespaces/ns/secrets/none", 404, &not_found.to_string());
    for (name, data) in [
        ("empty", &[("x", "y")][..]),
        ("half", &[("tls.crt", certificate)]),
        ("garbage", &[("ca.crt", "garbage")]),
        ("both", &[("ca.crt", "garbage"), ("caFile", ca.pem())]),
        ("key", &[("tls.crt", certificate), ("tls.key", "garbage")]),
        ("authority", &[("ca.crt", ca.pem())]),
        ("client", &[("tls.crt", certificate), ("tls.key", key)]),
        ("deprecated", &[("caFile", ca.pem()), ("certFile", certificate), ("keyFile", key)]),
    ] {
        secret(&server, name, "Opaque", data);
    }
    for (name, text) in [
        ("none", Some("secret 'ns/none' not found")),
        ("empty", Some("secret 'ns/empty' must contain either 'ca.crt' or both 'tls.crt' and 'tls.key'")),
        ("half", Some("secret 'ns/half' contains 'tls.crt' but missing 'tls.key'")),
        ("garbage", Some("failed to parse CA certificate: ")),
        ("both", Some("failed to parse CA certificate: ")),
        ("key", Some("failed to parse TLS certificate and key: ")),
        ("authority", None),
        ("client", None),
        ("deprecated", None),
    ] {
        let certificates = named(name);
        let wanted = Wanted { certificates: Some(&certificates), ..wanted(&repository) };
        let opened = registries.open(wanted).await.map(drop).map_err(|error| error.to_string());
        match text {
            Some(text) => {
                let expected = format!("failed to generate transport for 'oci://r.example/team/app': {text}");
                let error = opened.unwrap_err();
                assert!(error.starts_with(&expected), "{name}: {error}");
            }
            None => assert_eq!(opened, Ok(()), "{name}"),
        }
    }
}

#[tokio::test]
async fn the_login_of_a_cloud_is_had_again_once_when_it_is_refused() {
    let (server, registry) = (server().await, CloudRegistry::start("AWS", "first").await.unwrap());
    let proxy = ProxyServer::redirecting(".amazonaws.com", registry.port());
    secret(&server, "proxy", "Opaque", &[("address", &format!("http://127.0.0.1:{}", proxy.port))]);
    account(&server, &json!({"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/me"}), &[]);
    let (registries, repository) = (registries(&server), Repository::parse(ECR).unwrap());
    let (tag, proxy) = (repository.tag("latest").unwrap(), named("proxy"));
    let wanted = Wanted {
        insecure: true,
        provider: OciProvider::Aws,
        account: Some("me"),
        proxy: Some(&proxy),
        ..wanted(&repository)
    };
    let resolve = async || {
        let mut session = registries.open(wanted).await.unwrap();
        let deadline = Deadline::new(TIMEOUT);
        let (tag, deadline) = (&tag, &deadline);
        let ask = |client: oci::Client| async move { client.resolve(tag, deadline).await };
        let resolved = session.ask(deadline, ManifestError::request, ask).await;
        resolved.map(drop).map_err(|error| error.to_string())
    };
    let exchanges = || server.take_requests().iter().filter(|(line, _)| line == "POST /ecr/").count();
    assert_eq!(resolve().await, Ok(()));
    assert_eq!(exchanges(), 1);
    assert_eq!(resolve().await, Ok(()));
    assert_eq!(exchanges(), 0);
    for (number, refusal) in [400, 401, 403].into_iter().enumerate() {
        let password = format!("other-{number}");
        registry.set_password(&password, refusal);
        server.set_answer("POST /ecr/", 200, &ecr_answer(&password));
        assert_eq!(resolve().await, Ok(()), "{refusal}");
        assert_eq!(exchanges(), 1, "{refusal}");
    }
    // One that is new is not had again.
    registry.set_password("none knows it", 403);
    let refused = resolve().await.unwrap_err();
    assert!(refused.contains("unexpected status code 403 Forbidden"), "{refused}");
    assert_eq!(exchanges(), 1);
}

#[tokio::test]
async fn what_a_cloud_does_not_give_is_told_when_the_registry_asks_for_it() {
    let (server, registry) = (server().await, CloudRegistry::start("AWS", "first").await.unwrap());
    let proxy = ProxyServer::redirecting(".amazonaws.com", registry.port());
    secret(&server, "proxy", "Opaque", &[("address", &format!("http://127.0.0.1:{}", proxy.port))]);
    account(&server, &json!({}), &[]);
    let (registries, repository) = (registries(&server), Repository::parse(ECR).unwrap());
    let proxy = named("proxy");
    let wanted = Wanted {
        insecure: true,
        provider: OciProvider::Aws,
        account: Some("me"),
        proxy: Some(&proxy),
        ..wanted(&repository)
    };
    let session = registries.open(wanted).await.unwrap();
    let deadline = Deadline::new(TIMEOUT);
    let resolved = session.client().resolve(&repository.tag("latest").unwrap(), &deadline).await;
    let text = "failed to get access credential for artifact registry: failed to get provider identity from \
        service account 'ns/me' annotations: invalid eks.amazonaws.com/role-arn annotation: ''. must match ";
    let error = resolved.unwrap_err().to_string();
    assert!(error.starts_with(text), "{error}");
    assert_eq!(registry.take_authorizations(), [""; 0]);
}

#[tokio::test]
async fn credentials_of_the_controller_are_not_shown_to_whom_a_spec_puts_in_between() {
    let (server, repository) = (server().await, Repository::parse(ECR).unwrap());
    secret(&server, "proxy", "Opaque", &[("address", "http://127.0.0.1:1")]);
    let ca = e2e::pki::Ca::new("tenant").unwrap();
    secret(&server, "ca", "Opaque", &[("ca.crt", ca.pem())]);
    let (registries, proxy, ca) = (registries(&server), named("proxy"), named("ca"));
    let aws = Wanted { provider: OciProvider::Aws, ..wanted(&repository) };
    for (wanted, fields) in [
        (Wanted { insecure: true, ..aws }, Some("spec.insecure")),
        (
            Wanted { proxy: Some(&proxy), certificates: Some(&ca), ..aws },
            Some("both spec.certSecretRef and spec.proxySecretRef"),
        ),
        (Wanted { proxy: Some(&proxy), ..aws }, None),
        (Wanted { certificates: Some(&ca), ..aws }, None),
        (aws, None),
    ] {
        let error = registries.open(wanted).await.err().map(|error| error.to_string());
        let text = fields.map(|fields| {
            format!(
                "failed to get credential from aws: those of the controller are not used with {fields}; \
                 set spec.serviceAccountName"
            )
        });
        assert_eq!(error, text);
    }
}

#[tokio::test]
async fn a_cloud_lets_a_helm_repository_in_that_has_no_secret() {
    let (server, repository) = (server().await, Repository::parse(ECR).unwrap());
    let (registries, keys) = (registries(&server), named("keys"));
    let aws = Wanted { kind: "HelmRepository", provider: OciProvider::Aws, ..wanted(&repository) };
    let open = async |wanted: Wanted<'_>| {
        let access = Access { insecure: wanted.insecure, ..Access::default() };
        registries.open_with(wanted, access).await.map(|session| session.access.credentials.clone())
    };
    let insecure = open(Wanted { insecure: true, ..aws }).await.unwrap_err();
    let text = "failed to get credential from aws: those of the controller are not used with spec.insecure; set spec.secretRef";
    assert_eq!(insecure.to_string(), text);
    let unknown = open(Wanted { provider: OciProvider::Unknown, ..aws }).await.unwrap_err();
    assert_eq!(
        unknown.to_string(),
        "failed to get credential: spec.provider is none that this version knows"
    );
    // The Secret was read, whatever is in it.
    let with_secret = open(Wanted { secret: Some(&keys), ..aws }).await.unwrap();
    assert!(matches!(with_secret, Credentials::Anonymous), "{with_secret:?}");
    let without = open(aws).await.unwrap();
    assert!(matches!(&without, Credentials::Basic { username, .. } if username == "AWS"), "{without:?}");
}
