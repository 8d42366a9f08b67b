//! ECR and ACR against servers that check what they are asked as the real ones do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auth::aws::{self, Credentials};
use auth::{AccessToken, Http, azure};
use auth::{Environment, Secret};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use support::sigv4::header_signer;
use support::{Request, Server, environment, http, opaque, useless};

const PRIVATE: &str = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
const PUBLIC: &str = "public.ecr.aws";
const ACR: &str = "me.azurecr.io";

fn credentials() -> Credentials {
    let (access_key, secret_key) = ("ASIA".into(), Secret::new("of-role"));
    let (session_token, expires) = (Some(Secret::new("session")), SystemTime::UNIX_EPOCH);
    Credentials { access_key, secret_key, session_token, expires }
}

/// The password that ECR gives for `host` if it answers `data`.
async fn password(host: &str, server: &Server) -> Result<AccessToken, String> {
    let env =
        environment(&[("AWS_ENDPOINT_URL_ECR", &server.url), ("AWS_ENDPOINT_URL_ECR_PUBLIC", &server.url)]);
    let registry = aws::ContainerRegistry::of_host(host).unwrap();
    registry.password(&credentials(), &env, &http()).await.map_err(|error| error.to_string())
}

fn expires(token: &AccessToken) -> u64 {
    token.expires().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[tokio::test]
async fn ecr_gives_a_password_for_a_signed_request() {
    let token = STANDARD.encode("AWS:pass/word");
    let one = json!({"authorizationToken": token, "expiresAt": 1.9e9});
    for (host, region, service, target, data) in [
        (
            PRIVATE,
            "eu-west-1",
            "ecr",
            "AmazonEC2ContainerRegistry_V20150921.GetAuthorizationToken",
            json!([one, {"authorizationToken": "", "expiresAt": 1}]),
        ),
        (PUBLIC, "us-east-1", "ecr-public", "SpencerFrontendService.GetAuthorizationToken", one.clone()),
    ] {
        let server = Server::start(move |request: &Request| {
            let secret = |key: &str, token: &str| ((key, token) == ("ASIA", "session")).then_some("of-role");
            let signed = header_signer(request, region, service, secret).is_some();
            let right = signed
                && request.line == "POST /"
                && request.header("x-amz-target") == target
                && request.header("content-type") == "application/x-amz-json-1.1"
                && serde_json::from_str::<Value>(&request.body).unwrap() == json!({});
            let answer = json!({"authorizationData": data}).to_string();
            Some(if right { (200, answer) } else { (403, "{}".to_owned()) })
        });
        let password = password(host, &server).await.unwrap();
        assert_eq!((opaque(&password), expires(&password)), ("pass/word", 1_900_000_000), "{host}");
    }
}

#[tokio::test]
async fn answers_of_ecr_that_hold_no_password_are_errors_that_do_not_show_them() {
    let data = |token: &str| json!([{"authorizationToken": STANDARD.encode(token), "expiresAt": 1.9e9}]);
    for (data, text) in [
        (json!([]), "invalid authorization token of ECR: there is none"),
        (data("s3cret"), "invalid authorization token of ECR: it has no colon"),
        (data("AWS:s3cret:x"), "invalid authorization token of ECR: it has more than one colon"),
        (
            json!([{"authorizationToken": "s3cret!", "expiresAt": 1.9e9}]),
            "invalid authorization token of ECR: it is not base64",
        ),
        (
            json!([{"authorizationToken": STANDARD.encode("a:b"), "expiresAt": -1}]),
            "invalid authorization token of ECR: its end is no time",
        ),
        (
            json!([{"authorizationToken": STANDARD.encode("a:b"), "expiresAt": 1e300}]),
            "invalid authorization token of ECR: its end is no time",
        ),
        (json!("s3cret"), "failed to get an authorization token of ECR: answer is not understood: line 1"),
    ] {
        let server = Server::saying(200, &json!({"authorizationData": data}).to_string());
        let error = password(PRIVATE, &server).await.unwrap_err();
        assert!(error.starts_with(text), "{error}");
        assert!(!error.contains("s3cret"), "{error}");
    }
    for (server, text) in useless() {
        let error = password(PRIVATE, &server).await.unwrap_err();
        let text = format!("failed to get an authorization token of ECR: {text}");
        assert!(error.starts_with(&text), "{error}");
    }
}

/// A registry at [`ACR`] that gives `answer`, and a client that reaches it.
fn acr(answer: impl Fn(&Request) -> (u16, String) + Send + Sync + 'static) -> (Server, Http) {
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new([ACR.to_owned()]).unwrap().self_signed(&key).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let config = Arc::new(config);
    let wrap = move |stream| StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
    let server = Server::speaking("https", wrap, move |request| Some(answer(request)));
    let trusted = reqwest::Certificate::from_der(certificate.der()).unwrap();
    let address = SocketAddr::from(([127, 0, 0, 1], server.port().parse().unwrap()));
    let client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]).resolve(ACR, address);
    let http = Http::new(client.timeout(Duration::from_millis(2000)).build().unwrap(), 4096);
    (server, http)
}

async fn exchanged(answer: (u16, String)) -> Result<AccessToken, String> {
    let (_server, http) = acr(move |request| {
        let form = "grant_type=access_token&service=me.azurecr.io&access_token=ey.entra";
        let right = request.line == "POST /oauth2/exchange"
            && request.header("content-type") == "application/x-www-form-urlencoded"
            && request.body == form;
        if right { answer.clone() } else { (400, request.body.clone()) }
    });
    let registry = azure::ContainerRegistry::of_host(ACR, &Environment::default()).await.unwrap();
    registry.password(&Secret::new("ey.entra"), &http).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn acr_gives_a_refresh_token_for_a_token_of_entra() {
    let claims = URL_SAFE_NO_PAD.encode(json!({"exp": 1_900_000_000, "aud": ACR}).to_string());
    let token = format!("e30.{claims}.sig");
    let password = exchanged((200, json!({"refresh_token": token}).to_string())).await.unwrap();
    assert_eq!((opaque(&password), expires(&password)), (token.as_str(), 1_900_000_000));
    for (status, body, text) in [
        (401, "no".to_owned(), "failed to exchange the token of Microsoft Entra at 'me.azurecr.io': 401"),
        (
            200,
            json!({"refresh_token": "s3cret"}).to_string(),
            "the refresh token of the registry is no JSON Web",
        ),
        (
            200,
            json!({"refresh_token": "e30.e30.s3cret"}).to_string(),
            "the refresh token of the registry is no",
        ),
        (
            200,
            json!({"access_token": "s3cret"}).to_string(),
            "failed to exchange the token of Microsoft Entra",
        ),
    ] {
        let error = exchanged((status, body)).await.unwrap_err();
        assert!(error.starts_with(text) && !error.contains("s3cret"), "{error}");
    }
}
