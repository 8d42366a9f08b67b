//! A store that speaks Azure Blob Storage, and the server of its tokens. Signatures are checked by a reading of its own of
//! Microsoft's page "Authorize with Shared Key".

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::request::Parts;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;

use crate::http_server::{Answer, HttpServer};
use crate::object_store::{BUCKET, ObjectStore, Stored, decode, hmac, query};
use crate::pki::Ca;

/// The tenant of the application.
pub const TENANT: &str = "tenant-1";
/// The application, and the managed identity.
pub const CLIENT: &str = "client-1";
/// What tokens have to be for.
const SCOPE: &str = "https://storage.azure.com/.default";
/// Headers whose values are signed, in their order.
const SIGNED: [&str; 11] = [
    "content-encoding",
    "content-language",
    "content-length",
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];

/// A running store; ends when dropped.
#[derive(Debug)]
pub struct AzureServer {
    server: HttpServer,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    store: ObjectStore,
    access: Mutex<Access>,
}

/// Who is let in.
#[derive(Debug, Default)]
struct Access {
    /// How often everything was changed.
    number: usize,
    is_public: bool,
}

impl Access {
    fn key(&self) -> String {
        STANDARD.encode(format!("acc0unt/k3y+{}", self.number))
    }

    fn sas(&self) -> String {
        format!("sv=2021-12-02&sp=rl&se=2100-01-01T00%3A00%3A00Z&sig=s1g%2F{}%2B%3D", self.number)
    }

    fn secret(&self) -> String {
        format!("cl1ent~s3cret-{}", self.number)
    }

    fn token(&self) -> String {
        format!("eyJ0.blob-{}.x", self.number)
    }
}

impl Deref for AzureServer {
    type Target = ObjectStore;

    fn deref(&self) -> &ObjectStore {
        &self.state.store
    }
}

impl AzureServer {
    /// Starts a store, with TLS by an authority of its own or without. The account is named by the first label of the host, whatever
    /// that is.
    pub async fn start(tls: bool) -> Result<Self> {
        let ca = if tls { Some(Ca::new("e2e store")?) } else { None };
        let etag = |_: &[u8], generation: u64| format!("0x8DC{generation:012X}");
        let state = Arc::new(State { store: ObjectStore::new(etag), access: Mutex::default() });
        let server = HttpServer::start(0, ca, state.clone()).await?;
        Ok(Self { server, state })
    }

    /// Its URL, without a path: that of the account, of Microsoft Entra, and of the metadata service.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The certificate authority that clients have to trust.
    pub fn ca_pem(&self) -> Option<&str> {
        self.server.ca_pem()
    }

    /// The key of the account.
    pub fn account_key(&self) -> String {
        self.access().key()
    }

    /// A shared access signature.
    pub fn sas_key(&self) -> String {
        self.access().sas()
    }

    /// The secret of the application.
    pub fn client_secret(&self) -> String {
        self.access().secret()
    }

    /// The token that the application, the workload and the managed identity get.
    pub fn token(&self) -> String {
        self.access().token()
    }

    /// Changes keys, signatures, secrets and tokens.
    pub fn rotate(&self) {
        self.access().number += 1;
    }

    /// Whether anybody may read.
    pub fn set_public(&self, is_public: bool) {
        self.access().is_public = is_public;
    }

    fn access(&self) -> MutexGuard<'_, Access> {
        self.state.access()
    }
}

impl State {
    fn access(&self) -> MutexGuard<'_, Access> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn token(&self, head: &Parts, body: &[u8]) -> Result<String> {
        let access = self.access();
        if head.uri.path() == "/metadata/identity/oauth2/token" {
            let pairs = query(head.uri.query().unwrap_or_default());
            let has = |name: &str, value: &str| pairs.iter().any(|pair| pair.0 == name && pair.1 == value);
            ensure!(header(head, "metadata") == "true", "no header Metadata");
            ensure!(has("client_id", CLIENT), "another identity");
            ensure!(has("resource", SCOPE.trim_end_matches("/.default")), "another resource");
        } else {
            ensure!(head.uri.path() == format!("/{TENANT}/oauth2/v2.0/token"), "another tenant");
            let pairs = query(std::str::from_utf8(body)?);
            let get = |name: &str| pairs.iter().find(|pair| pair.0 == name).map(|pair| pair.1.as_str());
            ensure!(get("grant_type") == Some("client_credentials"), "another grant");
            ensure!(
                get("client_id") == Some(CLIENT) && get("scope") == Some(SCOPE),
                "another client or scope"
            );
            let is_workload = get("client_assertion").is_some_and(|token| token.split('.').count() == 3);
            ensure!(is_workload || get("client_secret") == Some(&access.secret()), "wrong secret");
        }
        Ok(format!(r#"{{"access_token": "{}", "expires_in": 3600}}"#, access.token()))
    }

    /// Whether a request is let in, and why not.
    fn admit(&self, head: &Parts) -> Result<(), (u16, &'static str, String)> {
        let access = self.access();
        let text = head.uri.query().unwrap_or_default();
        let refused = |why: &str| {
            let message = "Server failed to authenticate the request. Make sure the value of Authorization header is \
                           formed correctly including the signature.";
            // Only a test asks why.
            Err((
                403,
                "AuthenticationFailed",
                format!("{message}\nRequestId:{}\nTime:now\n{why}", rand::random::<u64>()),
            ))
        };
        if header(head, "x-ms-version").is_empty() || header(head, "x-ms-date").is_empty() {
            return refused("no version or date");
        }
        match header(head, "authorization") {
            "" if text.contains("sig=") => {
                let (sent, given) = (query(text), query(&access.sas()));
                if given.iter().all(|pair| sent.contains(pair)) { Ok(()) } else { refused("wrong signature") }
            }
            "" if access.is_public => Ok(()),
            "" => {
                let message = "Public access is not permitted on this storage account.";
                Err((409, "PublicAccessNotPermitted", message.to_owned()))
            }
            bearer if bearer.starts_with("Bearer ") => {
                if bearer == format!("Bearer {}", access.token()) {
                    Ok(())
                } else {
                    refused("wrong token")
                }
            }
            signed => match verify(head, signed, &access.key()) {
                Ok(()) => Ok(()),
                Err(error) => refused(&error.to_string()),
            },
        }
    }
}

fn header<'a>(head: &'a Parts, name: &str) -> &'a str {
    head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
}

/// Checks a signature.
fn verify(head: &Parts, authorization: &str, key: &str) -> Result<()> {
    let account = header(head, "host").split('.').next().unwrap_or_default();
    let signature =
        authorization.strip_prefix(&format!("SharedKey {account}:")).context("another account or scheme")?;
    let mut text = format!("{}\n", head.method);
    for name in SIGNED {
        let _ = writeln!(text, "{}", header(head, name));
    }
    let named: BTreeMap<&str, &str> = head
        .headers
        .keys()
        .map(http::HeaderName::as_str)
        .filter(|name| name.starts_with("x-ms-"))
        .map(|name| (name, header(head, name).trim()))
        .collect();
    for (name, value) in named {
        let _ = writeln!(text, "{name}:{value}");
    }
    let _ = write!(text, "/{account}{}", head.uri.path());
    let mut parameters = BTreeMap::<String, Vec<String>>::new();
    for (name, value) in query(head.uri.query().unwrap_or_default()) {
        parameters.entry(name.to_lowercase()).or_default().push(value);
    }
    for (name, mut values) in parameters {
        values.sort();
        let _ = write!(text, "\n{name}:{}", values.join(","));
    }
    let expected = STANDARD.encode(hmac(&STANDARD.decode(key)?, text.as_bytes()));
    ensure!(signature == expected, "wrong signature of {text:?}");
    Ok(())
}

impl Answer for Arc<State> {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let pairs = query(head.uri.query().unwrap_or_default());
        let get = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let path = head.uri.path();
        let rest = path.strip_prefix('/').unwrap_or_default();
        let (container, key) = rest.split_once('/').unwrap_or((rest, ""));
        let is_token = head.method == "POST" || path.starts_with("/metadata/");
        let line = match key {
            _ if is_token => format!("{} token", head.method),
            "" if get("comp") == Some("list") && get("restype") == Some("container") => "GET list".to_owned(),
            key => format!("{} object {}", head.method, decode(key)),
        };
        if let Some(fault) = self.store.asked(&line)? {
            return Ok(fault);
        }
        if is_token {
            let (status, text) = match self.token(&head, &body) {
                Ok(token) => (200, token),
                Err(error) => {
                    (401, format!(r#"{{"error": "invalid_client", "error_description": "{error}"}}"#))
                }
            };
            return Ok(Response::builder().status(status).body(text.into())?);
        }
        let refuse = |status: u16, code: &str, message: &str| {
            let text = format!(
                "\u{feff}<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{}</Message></Error>",
                escape(message)
            );
            let response = Response::builder().status(status).header("x-ms-error-code", code);
            Ok(response.body(Full::new(Bytes::from(text)))?)
        };
        if let Err((status, code, message)) = self.admit(&head) {
            return refuse(status, code, &message);
        }
        if decode(container) != BUCKET {
            return refuse(
                404,
                "ContainerNotFound",
                "The specified container does not exist.\nRequestId:1\nTime:2",
            );
        }
        if line == "GET list" {
            let most = get("maxresults").and_then(|most| most.parse().ok()).unwrap_or(5000);
            let (prefix, after) = (get("prefix").unwrap_or_default(), get("marker").unwrap_or_default());
            return Ok(Response::new(Full::new(Bytes::from(list(&self.store, prefix, after, most)))));
        }
        let Some(object) = self.store.find(&decode(key)) else {
            return refuse(404, "BlobNotFound", "The specified blob does not exist.\nRequestId:1\nTime:2");
        };
        let (wanted, etag) = (header(&head, "if-match"), &object.etag);
        if !wanted.is_empty() && wanted != format!("\"{etag}\"") {
            return refuse(
                412,
                "ConditionNotMet",
                "The condition specified using HTTP conditional header(s) is not met.",
            );
        }
        let answer = Response::builder().header("etag", format!("\"{etag}\""));
        object.response(answer)
    }
}

fn list(store: &ObjectStore, prefix: &str, after: &str, most: usize) -> String {
    let (page, next) = store.page(prefix, after, most);
    let mut text = String::from(
        "\u{feff}<?xml version=\"1.0\" encoding=\"utf-8\"?><EnumerationResults ContainerName=\"team\"><Blobs>",
    );
    for (key, Stored { content, etag, .. }) in page {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "<Blob><Name>{}</Name><Properties><Creation-Time>x</Creation-Time><Etag>{etag}</Etag>\
             <Content-Length>{}</Content-Length><BlobType>BlockBlob</BlobType></Properties><OrMetadata /></Blob>",
            escape(&key),
            content.len()
        );
    }
    let _ = match next {
        Some(next) => write!(text, "</Blobs><NextMarker>{}</NextMarker>", escape(&next)),
        None => write!(text, "</Blobs><NextMarker />"),
    };
    text + "</EnumerationResults>"
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
