//! Vault's transit engine against a server that checks what it is asked.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "support/services.rs"]
mod services;
#[path = "../../auth/tests/support/mod.rs"]
mod support;

use auth::Secret;
use kms::vault::{Key, tls};
use net::{AddressPolicy, Denied};
use serde_json::{Value, json};
use services::{services, services_at};
use support::{Server, environment};

fn key(address: &str) -> Key {
    Key {
        address: address.into(),
        engine_path: "sops/transit".into(),
        key_name: "k".into(),
        encrypted: "vault:v1:wrapped".into(),
    }
}

fn vault() -> Server {
    Server::start(|request| {
        let body: Value = serde_json::from_str(&request.body).unwrap();
        let token = request.header("x-vault-token");
        Some(match request.line.as_str() {
            "POST /v1/auth/kubernetes/login" if body["jwt"] == "no-token" => {
                (200, json!({"auth": null}).to_string())
            }
            "POST /v1/auth/kubernetes/login" if body == json!({"role": "apps_me", "jwt": "a.b.c"}) => {
                (200, json!({"auth": {"client_token": "s.login"}}).to_string())
            }
            "POST /v1/sops/transit/decrypt/k" if matches!(token, "s.login" | "s.static") => {
                assert_eq!(body, json!({"ciphertext": "vault:v1:wrapped"}));
                assert_eq!(request.header("x-vault-request"), "true");
                (200, json!({"data": {"plaintext": "a2V5"}}).to_string())
            }
            _ => (403, json!({"errors": ["permission denied"]}).to_string()),
        })
    })
}

#[tokio::test]
async fn a_key_is_unwrapped_with_a_token() {
    let server = vault();
    let services = services(&[]).await;
    for address in [server.url.clone(), format!("{}/", server.url)] {
        let unwrapped = services.vault(&key(&address), &Secret::new("s.static")).await.unwrap();
        assert_eq!(unwrapped.expose(), b"key");
    }
    let error = services.vault(&key(&server.url), &Secret::new("s.wrong")).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "failed to decrypt sops data key from Vault transit backend 'sops/transit/decrypt/k': 403 Forbidden: permission denied"
    );
}

#[tokio::test]
async fn a_service_account_logs_in_for_a_token() {
    let server = vault();
    let services = services(&[("VAULT_NAMESPACE", "team")]).await;
    let login = async |jwt: &str, role: &str| {
        services.vault_login(&server.url, "auth/kubernetes/login", role, &Secret::new(jwt)).await
    };
    let token = login("a.b.c", "apps_me").await.unwrap();
    assert_eq!(token.expose(), "s.login");
    assert_eq!(services.vault(&key(&server.url), &token).await.unwrap().expose(), b"key");
    assert!(server.asked().iter().all(|request| request.header("x-vault-namespace") == "team"));
    let at = format!("'{}'", server.url);
    assert_eq!(
        login("a.b.c", "other").await.unwrap_err().to_string(),
        format!(
            "failed to authenticate with Vault {at} at login path 'auth/kubernetes/login' as role 'other': 403 Forbidden: permission denied"
        )
    );
    assert_eq!(
        login("no-token", "r").await.unwrap_err().to_string(),
        format!("Vault {at} returned no token for login at 'auth/kubernetes/login' as role 'r'")
    );
}

#[tokio::test]
async fn paths_that_would_be_another_request_are_refused() {
    let server = vault();
    let services = services(&[]).await;
    let token = Secret::new("s.static");
    for (engine, name) in [
        ("../auth/token", "k"),
        ("transit/../../sys", "k"),
        ("", "k"),
        ("a//b", "k"),
        ("transit", ".."),
        ("transit", ""),
        ("auth/token", "../create"),
        ("transit", "a/b"),
    ] {
        let key = Key { engine_path: engine.into(), key_name: name.into(), ..key(&server.url) };
        let error = services.vault(&key, &token).await.unwrap_err().to_string();
        assert!(error.starts_with("invalid Vault path '"), "{engine} {name}: {error}");
        let login = services.vault_login(&server.url, engine, "r", &token).await;
        assert!(login.is_err() || !engine.contains(".."), "{engine}");
    }
    let before = server.asked().len();
    let key = Key { key_name: "k?a=b#c%2e".into(), ..key(&server.url) };
    services.vault(&key, &token).await.unwrap_err();
    assert_eq!(server.asked()[before].line, "POST /v1/sops/transit/decrypt/k%3Fa=b%23c%252e");
}

#[tokio::test]
async fn addresses_that_only_this_process_can_reach_are_refused() {
    let token = Secret::new("s.static");
    for (address, text) in [
        ("unix:///run/vault.sock", "invalid Vault address 'unix:///run/vault.sock': "),
        ("file:///etc/passwd", "invalid Vault address 'file:///etc/passwd': "),
        ("https://user:pw@vault", "invalid Vault address 'https://vault/': "),
        ("vault:8200", "invalid Vault address "),
        ("https://vault?token=pw", "invalid Vault address 'https://vault/': "),
        ("http://169.254.169.254", "failed to decrypt "),
        ("http://[fe80::1]", "failed to decrypt "),
        ("http://2852039166", "failed to decrypt "),
    ] {
        let error = services(&[]).await.vault(&key(address), &token).await.unwrap_err().to_string();
        assert!(error.starts_with(text) && !error.contains("pw"), "{address}: {error}");
        assert!(!text.starts_with("failed") || error.ends_with(" are not allowed"), "{address}: {error}");
    }
    let server = vault();
    let no_loopback = AddressPolicy { allow_link_local: false, denied: vec![Denied::Loopback] };
    let services = services_at(no_loopback, &[]).await;
    for host in ["127.0.0.1", "localhost"] {
        let address = format!("http://{host}:{}", server.port());
        let error = services.vault(&key(&address), &token).await.unwrap_err().to_string();
        assert!(error.ends_with(&format!("connections to {host} are not allowed")), "{error}");
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn a_redirect_gets_no_token_and_other_answers_are_not_told() {
    let target = vault();
    let (url, token) = (target.url.clone(), Secret::new("s.static"));
    let server = Server::start(move |_| Some((307, format!("{url}/v1/sops/transit/decrypt/k"))));
    let error = services(&[]).await.vault(&key(&server.url), &token).await.unwrap_err().to_string();
    assert!(error.ends_with("'sops/transit/decrypt/k': 307 Temporary Redirect"), "{error}");
    assert!(target.asked().is_empty());
    for (status, body, text) in [
        (500, "internal page s3cret", "500 Internal Server Error"),
        (200, "internal page s3cret", "answer is not understood: line 1, column 1"),
        (200, r#"{"data": {"plaintext": "not base64 s3cret"}}"#, "answer is not understood: plaintext"),
        (200, &"x".repeat(5000), "answer of more than 4096 bytes"),
    ] {
        let server = Server::saying(status, body);
        let error = services(&[]).await.vault(&key(&server.url), &token).await.unwrap_err().to_string();
        assert!(error.ends_with(&format!("'sops/transit/decrypt/k': {text}")), "{error}");
    }
    let silent = Server::start(|_| None);
    let error = services(&[]).await.vault(&key(&silent.url), &token).await.unwrap_err().to_string();
    assert!(error.ends_with(": timed out"), "{error}");
}

#[tokio::test]
async fn the_token_of_the_process_is_for_its_own_server() {
    let own = [("VAULT_TOKEN", "s.static"), ("VAULT_ADDR", "https://vault.example:8200/")];
    let token =
        async |variables: &[(&str, &str)], address: &str| services(variables).await.vault_token(address);
    assert_eq!(token(&own, "https://VAULT.example:8200").await.unwrap().expose(), "s.static");
    for address in [
        "https://vault.example",
        "http://vault.example:8200",
        "https://evil.example:8200",
        "https://vault.example:8200.evil",
    ] {
        let error = token(&own, address).await.unwrap_err().to_string();
        let known = error.starts_with("no Vault token for '") || error.starts_with("invalid Vault address");
        assert!(known && !error.contains("s.static"), "{error}");
    }
    assert!(token(&own[..1], "https://vault.example:8200").await.is_err());
    assert!(token(&own[1..], "https://vault.example:8200").await.is_err());
}

#[tokio::test]
async fn the_operator_says_which_servers_may_be_asked() {
    let server = vault();
    let token = Secret::new("s.static");
    let listed = format!("https://vault.example, {}", server.url);
    let longer = format!("{}0", server.url);
    for (list, allowed) in [
        ("all", true),
        ("none", false),
        (listed.as_str(), true),
        ("https://vault.example", false),
        (longer.as_str(), false),
        (&server.url[..server.url.len() - 1], false),
    ] {
        let services = services(&[("SOPS_HC_VAULT_ALLOWLIST", list)]).await;
        let answer = services.vault(&key(&server.url), &token).await;
        assert_eq!(answer.is_ok(), allowed, "{list}");
        let jwt = Secret::new("a.b.c");
        let login = services.vault_login(&server.url, "auth/kubernetes/login", "apps_me", &jwt).await;
        assert_eq!(login.is_ok(), allowed, "{list}");
        if let Err(error) = answer {
            assert_eq!(
                error.to_string(),
                format!("SOPS_HC_VAULT_ALLOWLIST does not allow Vault '{}'", server.url)
            );
        }
    }
}

#[tokio::test]
async fn certificates_of_vaults_are_those_of_the_environment() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, "PEM of file\n").unwrap();
    let path = file.path().to_str().unwrap();
    let of = async |variables: &[(&str, &str)]| tls(&environment(variables)).await.unwrap().ca_bundle;
    assert_eq!(of(&[]).await, None);
    assert_eq!(of(&[("VAULT_CACERT", path)]).await.unwrap(), b"PEM of file");
    assert_eq!(of(&[("VAULT_CACERT", path), ("VAULT_CACERT_BYTES", "PEM")]).await.unwrap(), b"PEM");
}
