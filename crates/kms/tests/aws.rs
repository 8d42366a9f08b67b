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
use aws_lc_rs::{digest, hmac};
use kms::aws::Key;
use serde_json::{Value, json};
use services::services;
use support::{Request, Server, fields, useless};

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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whose request it is: computes the signature from what came, and from what the server knows.
fn signed_by(request: &Request, service: &str) -> Option<String> {
    let authorization = request.header("authorization").strip_prefix("AWS4-HMAC-SHA256 ")?.to_owned();
    let parts: BTreeMap<&str, &str> =
        authorization.split(", ").filter_map(|part| part.split_once('=')).collect();
    let (access_key, scope) = parts["Credential"].split_once('/')?;
    let secret = match access_key {
        "AKIA" => "of-tenant",
        "ASIA" if request.header("x-amz-security-token") == "of/session" => "of-role",
        _ => return None,
    };
    let date = request.header("x-amz-date");
    if scope != format!("{}/eu-west-1/{service}/aws4_request", &date[..8]) {
        return None;
    }
    let names: Vec<&str> = parts["SignedHeaders"].split(';').collect();
    // What decides what is done has to be signed.
    for name in ["host", "x-amz-date", "content-type", "x-amz-target", "x-amz-security-token"] {
        if !request.header(name).is_empty() && !names.contains(&name) {
            return None;
        }
    }
    let headers: String = names.iter().map(|name| format!("{name}:{}\n", request.header(name))).collect();
    let (method, path) = request.line.split_once(' ')?;
    let body = hex(digest::digest(&digest::SHA256, request.body.as_bytes()).as_ref());
    let canonical = format!("{method}\n{path}\n\n{headers}\n{}\n{body}", parts["SignedHeaders"]);
    let canonical = hex(digest::digest(&digest::SHA256, canonical.as_bytes()).as_ref());
    let message = format!("AWS4-HMAC-SHA256\n{date}\n{scope}\n{canonical}");
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in scope.split('/').chain([message.as_str()]) {
        let hmac_key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        key = hmac::sign(&hmac_key, part.as_bytes()).as_ref().to_vec();
    }
    (hex(&key) == parts["Signature"]).then(|| access_key.to_owned())
}

fn aws() -> Server {
    Server::start(|request| {
        let service = if request.body.starts_with("Action=") { "sts" } else { "kms" };
        let Some(who) = signed_by(request, service) else {
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
    let services = services(&endpoints(&server));
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
    let services = services(&endpoints(&server));
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
    let services = services(&endpoints(&server));
    for region in ["evil.example/", "127.0.0.1:1/", "a@evil"] {
        let arn = format!("arn:aws:kms:{region}:1:key/1");
        let error =
            services.aws_kms(&Key { arn: arn.clone(), ..key(None) }, &credentials()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("invalid AWS region: ") || text.contains("no valid ARN"), "{text}");
    }
    let broken = Key { encrypted: "%".into(), ..key(None) };
    let error = services.aws_kms(&broken, &credentials()).await.unwrap_err().to_string();
    assert_eq!(error, "error base64-decoding encrypted data key");
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn answers_that_are_none_are_named() {
    for (server, expected) in useless() {
        let services = services(&endpoints(&server));
        let error = services.aws_kms(&key(None), &credentials()).await.unwrap_err().to_string();
        assert!(
            error.starts_with(&format!("failed to decrypt sops data key with AWS KMS: {expected}")),
            "{error}"
        );
    }
    let server = Server::saying(200, r#"{"Plaintext": "no base64: s3cret"}"#);
    let services = services(&endpoints(&server));
    let error = services.aws_kms(&key(None), &credentials()).await.unwrap_err().to_string();
    assert_eq!(error, "failed to decrypt sops data key with AWS KMS: answer is not understood: Plaintext");
}
