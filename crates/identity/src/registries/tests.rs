#![allow(clippy::unwrap_used)]

use std::time::Duration;

use auth::TokenCache;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::token_server::TokenServer;
use kube::Client;
use net::Proxy;
use runtime::metrics::Metrics;

use super::*;
use crate::Tokens;

const ECR: &str = "1.dkr.ecr.eu-west-1.amazonaws.com";
const OPTIONS: Options<'_> = Options { requester: None, proxy: None, timeout: Duration::from_secs(60) };
const OPAQUE: &str = r#"{"access_token": "of-google", "expires_in": 3600}"#;
const KEYS: &str = "<R><Credentials><AccessKeyId>A</AccessKeyId><SecretAccessKey>s</SecretAccessKey>\
    <SessionToken>t</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></R>";
const ASSERTION: &str = r#"{"spec": {"audiences": []}, "status": {"token": "assertion", "expirationTimestamp": "2099-01-01T00:00:00Z"}}"#;

/// An API server with the service account `ns/me`, AWS and Google Cloud at once.
async fn server() -> TokenServer {
    let account = r#"{"metadata": {"name": "me", "namespace": "ns", "annotations":
        {"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/me"}}}"#;
    let login = STANDARD.encode("AWS:of-ecr");
    let ecr = format!(r#"{{"authorizationData": [{{"authorizationToken": "{login}", "expiresAt": 4e9}}]}}"#);
    let answers = [
        ("GET /api/v1/namespaces/ns/serviceaccounts/me", 200, account),
        ("POST /api/v1/namespaces/ns/serviceaccounts/me/token", 201, ASSERTION),
        ("POST /sts/", 200, KEYS),
        ("POST /ecr/", 200, &ecr),
        ("GET /computeMetadata/v1/instance/service-accounts/default/token", 200, OPAQUE),
    ];
    TokenServer::start(false, &answers).await.unwrap()
}

fn clouds(server: &TokenServer) -> Clouds {
    let cache = TokenCache::new(10, Duration::from_secs(3600));
    let tokens = Tokens::new(cache, &Metrics::new().unwrap()).unwrap();
    let config = kube::Config::new(server.url.parse().unwrap());
    let environment = [
        ("AWS_ENDPOINT_URL_STS", format!("{}/sts/", server.url)),
        ("AWS_ENDPOINT_URL_ECR", format!("{}/ecr/", server.url)),
        ("GCE_METADATA_HOST", server.url.trim_start_matches("http://").to_owned()),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/dev/null".to_owned()),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/controller".to_owned()),
    ];
    Clouds::new(Client::try_from(config).unwrap(), environment.into_iter().collect(), tokens)
}

fn lines(server: &TokenServer) -> Vec<String> {
    server.take_requests().into_iter().map(|(line, _)| line).collect()
}

#[tokio::test]
async fn a_login_is_exchanged_once_for_each_identity_and_again_when_it_is_refused() {
    let server = server().await;
    let clouds = clouds(&server);
    let account = Identity::get(clouds.client(), "ns", Some("me")).await.unwrap();
    assert_eq!(lines(&server).len(), 1);
    let exchange = ["POST /sts/", "POST /ecr/"];
    let of_account = ["POST /api/v1/namespaces/ns/serviceaccounts/me/token", exchange[0], exchange[1]];
    for (identity, asked) in [(&account, &of_account[..]), (&Identity::Controller, &exchange)] {
        for (is_kept, asked) in [(false, asked), (true, &[])] {
            let login = clouds.registry_login(identity, RegistryProvider::Aws, ECR, &OPTIONS).await.unwrap();
            assert_eq!((login.username, login.password.expose()), ("AWS", "of-ecr"));
            assert_eq!(login.is_kept(), is_kept);
            assert_eq!(lines(&server), asked);
        }
    }
    let login = clouds.registry_login(&account, RegistryProvider::Aws, ECR, &OPTIONS).await.unwrap();
    clouds.forget_login(&login).await;
    let login = clouds.registry_login(&account, RegistryProvider::Aws, ECR, &OPTIONS).await.unwrap();
    assert!(!login.is_kept());
    assert_eq!(lines(&server), ["POST /ecr/"], "the keys are still good");
}

#[tokio::test]
async fn access_tokens_of_google_are_passwords() {
    let server = server().await;
    let clouds = clouds(&server);
    let login = clouds.registry_login(&Identity::Controller, RegistryProvider::Gcp, "gcr.io", &OPTIONS).await;
    let login = login.unwrap();
    assert_eq!((login.username, login.password.expose()), ("oauth2accesstoken", "of-google"));
    assert!(!format!("{login:?}").contains("of-google"));
}

#[tokio::test]
async fn nothing_of_an_identity_goes_to_hosts_of_others_or_by_way_of_their_proxies() {
    let (server, dead) = (server().await, Proxy::new("http://127.0.0.1:1", None).unwrap());
    let clouds = clouds(&server);
    for (provider, text) in [
        (RegistryProvider::Aws, "invalid AWS registry: 'evil.example'. must match "),
        (RegistryProvider::Azure, "invalid Azure registry: 'evil.example'. must match "),
        (RegistryProvider::Gcp, "invalid GCP registry: 'evil.example'. must match "),
    ] {
        let login = clouds.registry_login(&Identity::Controller, provider, "evil.example", &OPTIONS).await;
        let error = login.unwrap_err().to_string();
        assert!(error.starts_with(text), "{error}");
    }
    assert_eq!(lines(&server), [""; 0]);
    let options = Options { proxy: Some(&dead), ..OPTIONS };
    clouds.registry_login(&Identity::Controller, RegistryProvider::Aws, ECR, &options).await.unwrap();
    let account = Identity::get(clouds.client(), "ns", Some("me")).await.unwrap();
    let error = clouds.registry_login(&account, RegistryProvider::Aws, ECR, &options).await.unwrap_err();
    let text = "failed to get access credential for artifact registry: failed to create provider access \
        credential for service account 'ns/me': failed to assume role with web identity: ";
    assert!(error.to_string().starts_with(text), "{error}");
}

#[tokio::test]
async fn a_registry_that_gives_no_password_is_told_in_the_words_of_flux() {
    let server = server().await;
    server.set_answer("POST /ecr/", 400, r#"{"message": "no"}"#);
    let clouds = clouds(&server);
    let login = clouds.registry_login(&Identity::Controller, RegistryProvider::Aws, ECR, &OPTIONS);
    let text = "failed to create artifact registry credentials: failed to get an authorization token of ECR: \
        400 Bad Request: {\"message\": \"no\"}";
    assert_eq!(login.await.unwrap_err().to_string(), text);
}
