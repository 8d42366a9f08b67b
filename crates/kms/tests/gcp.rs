//! Google Cloud KMS against a server that checks what it is asked.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "support/services.rs"]
mod services;
#[path = "../../auth/tests/support/mod.rs"]
mod support;

use auth::gcp::ServiceAccountKey;
use kms::gcp::Key;
use serde_json::json;
use services::services;
use support::{RsaKey, Server, fields, opaque, useless};

const NAME: &str = "projects/p/locations/global/keyRings/r/cryptoKeys/k";

fn key(name: &str) -> Key {
    // "wrapped"
    Key { resource_id: name.into(), encrypted: "d3JhcHBlZA==".into() }
}

fn secret(text: &str) -> auth::Secret {
    auth::Secret::new(text)
}

#[tokio::test]
async fn a_key_is_unwrapped_with_the_token_of_a_service_account() {
    let account = RsaKey::generate();
    let pem = account.pem();
    let server = Server::start(move |request| {
        Some(match request.line.as_str() {
            "POST /token" => {
                let (_, claims) = account.verify(&fields(&request.body)["assertion"]);
                assert_eq!(
                    claims["scope"],
                    "https://www.googleapis.com/auth/cloud-platform https://www.googleapis.com/auth/cloudkms"
                );
                (200, r#"{"access_token": "ya29", "expires_in": 3599}"#.to_owned())
            }
            "POST /v1/projects/p/locations/global/keyRings/r/cryptoKeys/k:decrypt" => {
                let right = request.header("authorization") == "Bearer ya29"
                    && request.body == r#"{"ciphertext":"d3JhcHBlZA=="}"#;
                if right { (200, r#"{"plaintext": "a2V5"}"#.to_owned()) } else { (403, request.body.clone()) }
            }
            other => (404, other.to_owned()),
        })
    });
    let services = services(&[("SOPS_GCP_KMS_ENDPOINT", &server.url)]).await;
    let file = json!({
        "type": "service_account", "client_email": "me@p.iam.gserviceaccount.com", "private_key": pem,
        "token_uri": format!("{}/token", server.url),
    });
    let account = ServiceAccountKey::parse(&file.to_string()).unwrap();
    let token = services.gcp_token(&account).await.unwrap();
    let unwrapped = services.gcp_kms(&key(NAME), &secret(opaque(&token))).await.unwrap();
    assert_eq!(unwrapped.expose(), b"key");
    let error = services.gcp_kms(&key(NAME), &secret("other")).await.unwrap_err().to_string();
    assert!(error.starts_with("failed to decrypt sops data key with GCP KMS key: 403 Forbidden"), "{error}");
}

#[tokio::test]
async fn a_name_that_would_be_another_request_is_refused() {
    let server = Server::saying(200, "{}");
    let services = services(&[("SOPS_GCP_KMS_ENDPOINT", &server.url)]).await;
    for name in [
        "",
        "projects/p/locations/global/keyRings/r",
        "projects/p/locations/global/keyRings/r/cryptoKeys/",
        "projects/../locations/global/keyRings/r/cryptoKeys/k",
        "projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1",
    ] {
        let error = services.gcp_kms(&key(name), &secret("t")).await.unwrap_err().to_string();
        assert_eq!(error, format!("cannot create GCP KMS service: no valid resource ID found in {name:?}"));
    }
    assert!(server.asked().is_empty());
    let odd = "projects/p/locations/global/keyRings/r/cryptoKeys/k:encrypt?x#y";
    services.gcp_kms(&key(odd), &secret("t")).await.unwrap_err();
    let line = "POST /v1/projects/p/locations/global/keyRings/r/cryptoKeys/k%3Aencrypt%3Fx%23y:decrypt";
    assert_eq!(server.asked()[0].line, line);
}

#[tokio::test]
async fn answers_that_are_none_are_named() {
    for (server, expected) in useless() {
        let services = services(&[("SOPS_GCP_KMS_ENDPOINT", &server.url)]).await;
        let error = services.gcp_kms(&key(NAME), &secret("t")).await.unwrap_err().to_string();
        let prefix = "failed to decrypt sops data key with GCP KMS key: ";
        assert!(error.starts_with(&format!("{prefix}{expected}")), "{error}");
    }
}
