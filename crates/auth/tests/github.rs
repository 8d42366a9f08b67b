//! GitHub Apps against recorded answers.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auth::github::{App, DataError, check};
use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use support::{Request, Server, http, opaque, useless};

fn key() -> (RsaKeyPair, String) {
    let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let der = AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&key).unwrap();
    let pem = format!(
        "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n",
        STANDARD.encode(der.as_ref())
    );
    (key, pem)
}

fn data(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()
}

fn app(pem: &str, installation: (&str, &str), url: &str) -> App {
    App::new(&data(&[
        ("githubAppID", "123"),
        ("githubAppPrivateKey", pem),
        installation,
        ("githubAppBaseURL", url),
    ]))
    .unwrap()
}

const TOKEN: &str = r#"{"token": "ghs_secret", "expires_at": "2030-01-02T03:04:05Z", "permissions": {}}"#;

#[tokio::test]
async fn an_app_proves_itself_with_a_jwt_and_gets_a_token() {
    let (key, pem) = key();
    let server = Server::saying(201, TOKEN);
    let app = app(&pem, ("githubAppInstallationID", "45"), &server.url);
    let token = app.token(&http()).await.unwrap();
    assert_eq!(opaque(&token), "ghs_secret");
    assert_eq!(token.expires(), UNIX_EPOCH + Duration::from_secs(1_893_553_445));
    assert!(!format!("{token:?}").contains("ghs"));

    let [request] = &server.asked()[..] else { panic!("one request") };
    assert_eq!(request.line, "POST /app/installations/45/access_tokens");
    let jwt = request.header("authorization").strip_prefix("Bearer ").unwrap();
    let (message, signature) = jwt.rsplit_once('.').unwrap();
    let public = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key.public_key().as_ref());
    public.verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let part = |text: &str| -> serde_json::Value {
        serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text).unwrap()).unwrap()
    };
    let (header, claims) = message.split_once('.').unwrap();
    assert_eq!(part(header), serde_json::json!({"alg": "RS256", "typ": "JWT"}));
    let claims = part(claims);
    assert_eq!(claims["iss"], "123");
    let (issued, ends) = (claims["iat"].as_u64().unwrap(), claims["exp"].as_u64().unwrap());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert_eq!(ends - issued, 120);
    assert!((30..=40).contains(&(now - issued)), "{issued} at {now}");
}

#[tokio::test]
async fn a_client_id_names_an_app_as_well_as_its_id() {
    let (_, pem) = key();
    let server = Server::saying(201, TOKEN);
    let named = |id: (&'static str, &'static str)| {
        let installation = ("githubAppInstallationID", "45");
        data(&[id, ("githubAppPrivateKey", &pem), installation, ("githubAppBaseURL", &server.url)])
    };
    let by_client_id = named(("githubAppClientID", "Iv23li.x"));
    assert_eq!(auth::github::check(&by_client_id), Ok(true));
    let app = App::new(&by_client_id).unwrap();
    app.token(&http()).await.unwrap();
    let [request] = &server.asked()[..] else { panic!("one request") };
    let claims = request.header("authorization").split('.').nth(1).unwrap().to_owned();
    let claims: serde_json::Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap();
    assert_eq!(claims["iss"], "Iv23li.x");
    assert_ne!(app.cache_key(), App::new(&named(("githubAppID", "123"))).unwrap().cache_key());
    let mut both = by_client_id;
    both.insert("githubAppID".to_owned(), "123".to_owned());
    assert_eq!(
        auth::github::check(&both).unwrap_err().to_string(),
        "must contain exactly one of 'githubAppID' or 'githubAppClientID'"
    );
}

#[tokio::test]
async fn an_owner_is_looked_up_as_an_organization_and_then_as_a_user() {
    let (_, pem) = key();
    let answer = |request: &Request| {
        Some(match request.line.as_str() {
            "GET /api/v3/users/me%2Fy-ou/installation" => (200, r#"{"id": 7}"#.to_owned()),
            "POST /api/v3/app/installations/7/access_tokens" => (201, TOKEN.to_owned()),
            _ => (404, r#"{"message": "Not Found"}"#.to_owned()),
        })
    };
    let server = Server::start(answer);
    let user = app(&pem, ("githubAppInstallationOwner", "me/y-ou"), &format!("{}/api/v3", server.url));
    assert_eq!(opaque(&user.token(&http()).await.unwrap()), "ghs_secret");
    let lines: Vec<_> = server.asked().into_iter().map(|r| r.line).collect();
    assert_eq!(lines[0], "GET /api/v3/orgs/me%2Fy-ou/installation");
    let nobody = app(&pem, ("githubAppInstallationOwner", "x"), &format!("{}/api/v3/", server.url));
    assert_eq!(
        nobody.token(&http()).await.unwrap_err().to_string(),
        "failed to find organization installation: 404 Not Found: {\"message\": \"Not Found\"}\n\
         failed to find user installation: 404 Not Found: {\"message\": \"Not Found\"}"
    );
}

#[tokio::test]
async fn answers_that_are_none_are_named_without_what_is_secret() {
    let (_, pem) = key();
    for (server, expected) in useless() {
        let app = app(&pem, ("githubAppInstallationID", "45"), &server.url);
        let error = app.token(&http()).await.unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with(&format!("failed to create installation token: {expected}")), "{text}");
        assert!(!format!("{error:?}").contains("secret"), "{error:?}");
    }
}

#[test]
fn keys_come_in_both_formats() {
    let dir = tempfile::TempDir::new().unwrap();
    for (format, begin) in
        [("PEM", "-----BEGIN RSA PRIVATE KEY-----"), ("PKCS8", "-----BEGIN PRIVATE KEY-----")]
    {
        let file = dir.path().join(format);
        let mut generate = Command::new("ssh-keygen");
        generate.args(["-q", "-t", "rsa", "-b", "2048", "-N", "", "-m", format, "-f"]).arg(&file);
        assert!(generate.status().unwrap().success());
        let pem = std::fs::read_to_string(file).unwrap();
        assert!(pem.starts_with(begin), "{pem}");
        app(&pem, ("githubAppInstallationID", "1"), "https://api.example.com");
        app(&pem.replace('\n', "\r\n"), ("githubAppInstallationID", "1"), "https://api.example.com");
    }
}

#[test]
fn data_that_is_incomplete_or_wrong_is_said_to_be_so() {
    let full = [("githubAppID", "1"), ("githubAppPrivateKey", "k"), ("githubAppInstallationID", "2")];
    assert_eq!(check(&data(&full)), Ok(true));
    assert_eq!(check(&data(&[("username", "me")])), Ok(false));
    assert_eq!(check(&data(&full[1..])), Err(DataError::Missing("githubAppID")));
    assert_eq!(check(&data(&full[..1])), Err(DataError::Missing("githubAppPrivateKey")));
    assert_eq!(check(&data(&full[..2])), Err(DataError::Installation));
    let both = [&full[..], &[("githubAppInstallationOwner", "me")]].concat();
    assert_eq!(
        check(&data(&both)).unwrap_err().to_string(),
        "must contain exactly one of 'githubAppInstallationOwner' or 'githubAppInstallationID'"
    );
    let (_, pem) = key();
    for (id, key, url, expected) in [
        ("x", pem.as_str(), "", "app ID or client ID must be provided"),
        ("0", &pem, "", "app ID or client ID must be provided"),
        ("1", "nonsense", "", "could not parse private key: "),
        (
            "1",
            "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----",
            "",
            "could not parse private key: ",
        ),
        ("1", &pem, "ftp://x", "invalid API URL: "),
    ] {
        let pairs = [
            ("githubAppID", id),
            ("githubAppPrivateKey", key),
            ("githubAppInstallationID", "2"),
            ("githubAppBaseURL", url),
        ];
        let text = App::new(&data(&pairs)).unwrap_err().to_string();
        assert!(text.starts_with(expected), "{text}");
    }
}

#[test]
fn apps_with_equal_data_share_their_token() {
    let (_, pem) = key();
    let key = |owner: &str| app(&pem, ("githubAppInstallationOwner", owner), "https://x").cache_key();
    assert_eq!(key("a"), key("a"));
    assert_ne!(key("a"), key("b"));
}
