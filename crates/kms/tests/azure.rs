//! Azure Key Vault and Microsoft Entra against a TLS server that stands for both.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

#[path = "support/services.rs"]
mod services;
#[path = "../../auth/tests/support/mod.rs"]
mod support;

use std::net::SocketAddr;
use std::sync::Arc;

use auth::{AccessToken, Secret};
use kms::azure::{Credentials, Key, KeyVaultError};
use kms::{KeyServices, Owner};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use services::services_over;
use support::{Request, RsaKey, Server, fields};

const VAULT: &str = "my.vault.azure.net";
const AUTHORITY: &str = "login.example";

/// A server that all names of the tests lead to, and services that trust it.
fn azure(answer: impl Fn(&Request) -> (u16, String) + Send + Sync + 'static) -> (Server, KeyServices) {
    let names = [VAULT.to_owned(), AUTHORITY.to_owned(), "my.vault.example".to_owned()];
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::new(names.clone()).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let private = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], private)
        .unwrap();
    let config = Arc::new(config);
    let wrap = move |stream| StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
    let server = Server::speaking("https", wrap, move |request| Some(answer(request)));
    let trusted = reqwest::Certificate::from_der(certificate.der()).unwrap();
    let mut client = reqwest::Client::builder().no_proxy().tls_certs_only([trusted]);
    for name in names {
        client = client.resolve(&name, SocketAddr::from(([127, 0, 0, 1], 0)));
    }
    let url = server.url.clone();
    (server, services_over(client, &[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &url)]))
}

fn key(host: &str, server: &Server) -> Key {
    Key {
        vault_url: format!("https://{host}:{}", server.port()),
        name: "k".into(),
        version: "1".into(),
        // "wrapped>?", which is written differently in the two alphabets
        encrypted: "d3JhcHBlZD4_".into(),
    }
}

fn answer(request: &Request) -> (u16, String) {
    let token = json!({"access_token": "ey.token", "expires_in": 3599}).to_string();
    match request.line.as_str() {
        "POST /tenant/oauth2/v2.0/token" => (200, token),
        "POST /keys/k/1/decrypt?api-version=7.4" | "POST /keys/k//decrypt?api-version=7.4" => {
            let body: Value = serde_json::from_str(&request.body).unwrap();
            let right = request.header("authorization") == "Bearer ey.token"
                && body == json!({"alg": "RSA-OAEP-256", "value": "d3JhcHBlZD4_"});
            match right {
                true => (200, json!({"kid": "k", "value": "a2V5"}).to_string()),
                false => (403, json!({"error": {"code": "Forbidden", "message": "no rights"}}).to_string()),
            }
        }
        other => (404, other.to_owned()),
    }
}

async fn unwrap(services: &KeyServices, key: &Key, secret: &[u8]) -> Result<Vec<u8>, String> {
    let credentials = Credentials::parse(secret).map_err(|error| error.to_string())?;
    let decrypt = async || -> Result<Vec<u8>, KeyVaultError> {
        let target = key.target(credentials.owner())?;
        let AccessToken::Opaque { token, .. } = credentials.token(target.scope(), services).await? else {
            panic!("keys of AWS")
        };
        Ok(services.azure_key_vault(&target, &token).await?.expose().to_vec())
    };
    decrypt().await.map_err(|error| error.to_string())
}

fn utf16(text: &str, mark: [u8; 2], bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    mark.into_iter().chain(text.encode_utf16().flat_map(bytes)).collect()
}

#[tokio::test]
async fn a_key_is_unwrapped_with_credentials_in_every_form() {
    let certified = RsaKey::generate();
    let certificate =
        rcgen::CertificateParams::new(["a".to_owned()]).unwrap().self_signed(&certified.pair).unwrap();
    let pem = format!("{}{}", certified.pem(), certificate.pem());
    let (server, services) = azure(answer);
    let authority = format!("https://{AUTHORITY}:{}", server.port());
    let secret =
        json!({"tenantId": "tenant", "clientId": "app", "clientSecret": "pw", "authorityHost": authority});
    let yaml = format!("tenantId: tenant\nclientId: app\nclientSecret: pw\nauthorityHost: {authority}\n");
    let of_az = json!({"tenant": "tenant", "appId": "app", "password": "pw", "authorityHost": authority});
    let certified = json!({"tenantId": "tenant", "clientId": "app", "clientCertificate": pem, "authorityHost": authority});
    let text = secret.to_string();
    let bom = [&[0xef, 0xbb, 0xbf], text.as_bytes()].concat();
    for form in [
        text.clone().into_bytes(),
        yaml.clone().into_bytes(),
        of_az.to_string().into_bytes(),
        certified.to_string().into_bytes(),
        utf16(&text, [0xff, 0xfe], u16::to_le_bytes),
        utf16(&yaml, [0xfe, 0xff], u16::to_be_bytes),
        bom,
    ] {
        assert_eq!(unwrap(&services, &key(VAULT, &server), &form).await.unwrap(), b"key");
    }
    let newest = Key { version: String::new(), ..key(VAULT, &server) };
    assert_eq!(unwrap(&services, &newest, text.as_bytes()).await.unwrap(), b"key");
    let asked = server.asked();
    let forms = asked.iter().filter(|request| request.line.ends_with("/token"));
    let forms: Vec<_> = forms.map(|request| fields(&request.body)).collect();
    assert_eq!(forms.len(), 8);
    for form in forms {
        assert_eq!(form["scope"], "https://vault.azure.net/.default");
        assert_eq!(form["client_id"], "app");
        assert!(
            form.get("client_secret").is_some_and(|pw| pw == "pw") || form.contains_key("client_assertion")
        );
    }
    // With credentials of one's own a vault may be elsewhere; its token is for its own domain.
    assert_eq!(unwrap(&services, &key("my.vault.example", &server), text.as_bytes()).await.unwrap(), b"key");
    let form = fields(&server.asked()[asked.len()].body);
    assert_eq!(form["scope"], "https://vault.example/.default");
}

#[tokio::test]
async fn a_vault_that_refuses_is_quoted() {
    let (server, services) = azure(answer);
    let key = key(VAULT, &server);
    let target = key.target(Owner::Controller).unwrap();
    let error = services.azure_key_vault(&target, &Secret::new("other")).await.unwrap_err().to_string();
    let port = server.port();
    assert_eq!(
        error,
        format!(
            "failed to decrypt sops data key with Azure Key Vault key 'https://{VAULT}:{port}/keys/k/1': 403 Forbidden: no rights"
        )
    );
}

#[tokio::test]
async fn a_redirect_of_a_vault_is_not_followed() {
    let (server, services) = azure(|_| (307, format!("https://{AUTHORITY}/")));
    let key = key(VAULT, &server);
    let target = key.target(Owner::Controller).unwrap();
    let error = services.azure_key_vault(&target, &Secret::new("ey.token")).await.unwrap_err().to_string();
    assert!(error.ends_with("/keys/k/1': 307 Temporary Redirect"), "{error}");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_managed_identity_is_used_for_vaults_of_azure_alone() {
    let metadata = Server::saying(200, r#"{"access_token": "ey.token", "expires_in": "3599"}"#);
    let (server, services) = azure(answer);
    let environment = support::environment(&[("AZURE_POD_IDENTITY_AUTHORITY_HOST", &metadata.url)]);
    let services = KeyServices { environment, ..services };
    let secret = br#"{"clientId": "node"}"#;
    let error = unwrap(&services, &key("my.vault.example", &server), secret).await.unwrap_err();
    assert!(error.starts_with("'my.vault.example' is not a host of Azure Key Vault: "), "{error}");
    assert!(metadata.asked().is_empty() && server.asked().is_empty());
    assert_eq!(unwrap(&services, &key(VAULT, &server), secret).await.unwrap(), b"key");
    assert_eq!(
        metadata.asked()[0].line,
        "GET /metadata/identity/oauth2/token?api-version=2018-02-01&resource=https%3A%2F%2Fvault.azure.net&client_id=node"
    );
}

#[test]
fn credentials_that_are_incomplete_are_named() {
    let error = |text: &str| Credentials::parse(text.as_bytes()).unwrap_err().to_string();
    let incomplete = "invalid data: requires 'clientSecret' or 'clientCertificate' when both 'tenantId' and 'clientId' are set";
    assert_eq!(error("tenantId: t\nclientId: c\n"), incomplete);
    assert_eq!(error("tenantId: t\nclientId: c\nclientSecret: ''\n"), incomplete);
    let nothing = "invalid data: requires a 'clientId' field, a combination of 'tenantId', 'clientId' and 'clientSecret', or 'tenantId', 'clientId' and 'clientCertificate'";
    for text in ["", "{}", "tenantId: t", "tenant: t\nappId: a\n", "authorityHost: https://a"] {
        assert_eq!(error(text), nothing, "{text}");
    }
    assert_eq!(
        error("some s3cret"),
        "failed to unmarshal Azure authentication file: it is not a mapping in YAML or JSON"
    );
    assert_eq!(
        error("tenantId: t\nclientId: c\nclientCertificate: TUlJSw==\nclientCertificatePassword: pw\n"),
        "invalid 'clientCertificate': the client certificate is not PEM; PKCS#12 (PFX) is not supported: convert it to PEM"
    );
    for host in ["http://login.example", "login.example", "https://u:pw@login.example?x"] {
        let text = format!("tenantId: t\nclientId: c\nclientSecret: pw\nauthorityHost: {host}\n");
        let error = error(&text);
        assert!(error.starts_with("invalid 'authorityHost' '") && !error.contains("pw"), "{error}");
    }
}
