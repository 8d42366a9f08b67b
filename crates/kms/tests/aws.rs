//! AWS KMS and STS against a server that checks signatures as they do.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "support/services.rs"]
mod services;
#[path = "../../auth/tests/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::time::SystemTime;

use auth::Secret;
use auth::aws::Credentials;
use kms::aws::Key;
use serde_json::{Value, json};
use services::services;
use support::sigv4::header_signer;
use support::{Server, fields, useless};

const ARN: &str = "arn:aws:kms:eu-west-1:123456789012:key/one";
const ROLE: &str = "arn:aws:iam::123456789012:role/decrypter";
const STS: &str = "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIA</AccessKeyId>\
    <SecretAccessKey>of-role</SecretAccessKey><SessionToken>of/session</SessionToken>\
    <Expiration>2099-01-01T00:00:00Z</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>";

fn credentials() -> Credentials {
    Credentials {
        access_key: "AKIA".into(),
        secret_key: Secret::new("of-tenant"),
        session_token: None,
        expires: SystemTime::UNIX_EPOCH,
    }
}

fn key(role: Option<&str>) -> Key {
    let context = BTreeMap::from([("app".to_owned(), "shop".to_owned())]);
    // "wrapped"
    Key { arn: ARN.into(), role: role.map(str::to_owned), context, encrypted: "d3JhcHBlZA==".into() }
}

fn secret(access_key: &str, token: &str) -> Option<&'static str> {
    match (access_key, token) {
        ("AKIA", "") => Some("of-tenant"),
        ("ASIA", "of/session") => Some("of-role"),
        _ => None,
    }
}

fn aws() -> Server {
    Server::start(|request| {
        let service = if request.body.starts_with("Action=") { "sts" } else { "kms" };
        let Some(who) = header_signer(request, "eu-west-1", service, secret) else {
            return Some((403, r#"{"__type": "InvalidSignatureException"}"#.to_owned()));
        };
        if service == "sts" {
            return Some((200, STS.to_owned()));
        }
        let body: Value = serde_json::from_str(&request.body).unwrap();
        let expected =
            json!({"KeyId": ARN, "CiphertextBlob": "d3JhcHBlZA==", "EncryptionContext": {"app": "shop"}});
        let right = body == expected
            && request.header("x-amz-target") == "TrentService.Decrypt"
            && request.header("content-type") == "application/x-amz-json-1.1";
        let plaintext = if who == "ASIA" { "b2Ytcm9sZQ==" } else { "a2V5" };
        Some(match right {
            true => (200, json!({"KeyId": ARN, "Plaintext": plaintext}).to_string()),
            false => (400, body.to_string()),
        })
    })
}

fn endpoints(server: &Server) -> [(&'static str, &str); 3] {
    [
        ("AWS_ENDPOINT_URL_KMS", server.url.as_str()),
        ("AWS_ENDPOINT_URL_STS", &server.url),
        ("HOSTNAME", "kustomize-controller-1"),
    ]
}

#[tokio::test]
async fn a_key_is_unwrapped_with_a_signed_request() {
    let server = aws();
    let services = services(&endpoints(&server)).await;
    let unwrapped = services.aws_kms(&key(None), &credentials()).await.unwrap();
    assert_eq!(unwrapped.expose(), b"key");
    assert_eq!(format!("{unwrapped:?}"), "***");
    let wrong = Credentials { secret_key: Secret::new("of-another"), ..credentials() };
    let error = services.aws_kms(&key(None), &wrong).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "failed to decrypt sops data key with AWS KMS: 403 Forbidden: {\"__type\": \"InvalidSignatureException\"}"
    );
}

#[tokio::test]
async fn a_key_with_a_role_is_unwrapped_as_that_role() {
    let server = aws();
    let services = services(&endpoints(&server)).await;
    let unwrapped = services.aws_kms(&key(Some(ROLE)), &credentials()).await.unwrap();
    assert_eq!(unwrapped.expose(), b"of-role");
    let form = fields(&server.asked()[0].body);
    assert_eq!(form["Action"], "AssumeRole");
    assert_eq!(form["RoleArn"], ROLE);
    assert_eq!(form["RoleSessionName"], "sops@kustomize-controller-1");
    let error = services.aws_kms(&key(Some("me")), &credentials()).await.unwrap_err().to_string();
    assert_eq!(error, "no valid role ARN found in 'me'");
    let wrong = Credentials { secret_key: Secret::new("of-another"), ..credentials() };
    let error = services.aws_kms(&key(Some(ROLE)), &wrong).await.unwrap_err().to_string();
    assert!(error.starts_with(&format!("failed to assume role '{ROLE}': 403 Forbidden")), "{error}");
}

#[tokio::test]
async fn a_key_that_names_another_host_is_asked_of_nobody() {
    let server = aws();
    let services = services(&endpoints(&server)).await;
    for region in ["evil.example/", "127.0.0.1:1/", "a@evil"] {
        let arn = format!("arn:aws:kms:{region}:1:key/1");
        let error =
            services.aws_kms(&Key { arn: arn.clone(), ..key(None) }, &credentials()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("invalid AWS region: ") || text.contains("no valid ARN"), "{text}");
    }
    let none = kms::aws::credentials("aws_session_token: t").unwrap();
    let error = services.aws_kms(&key(None), &none).await.unwrap_err().to_string();
    assert_eq!(error, "static credentials are empty");
    let broken = Key { encrypted: "%".into(), ..key(None) };
    let error = services.aws_kms(&broken, &credentials()).await.unwrap_err().to_string();
    assert_eq!(error, "error base64-decoding encrypted data key");
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn answers_that_are_none_are_named() {
    for (server, expected) in useless() {
        let services = services(&endpoints(&server)).await;
        let error = services.aws_kms(&key(None), &credentials()).await.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("failed to decrypt sops data key with AWS KMS: {expected}")),
            "{error}"
        );
    }
    let server = Server::saying(200, r#"{"Plaintext": "no base64: s3cret"}"#);
    let services = services(&endpoints(&server)).await;
    let error = services.aws_kms(&key(None), &credentials()).await.unwrap_err().to_string();
    assert_eq!(error, "failed to decrypt sops data key with AWS KMS: answer is not understood: Plaintext");
}
