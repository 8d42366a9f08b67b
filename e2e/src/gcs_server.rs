//! A store that speaks Google's JSON API, and the server of its tokens: assertions of a service account are verified with its public
//! key, and requests have to bring the token that was given.

use std::ops::Deref;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, ensure};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use serde_json::{Value, json};

use crate::http_server::{Answer, HttpServer};
use crate::object_store::{BUCKET, ObjectStore, decode, query};
use crate::objects::Look;

/// The service account that is let in.
pub const ACCOUNT: &str = "team@project.iam.gserviceaccount.com";
/// The provider of the pool that trusts the cluster.
pub const PROVIDER: &str = "projects/1/locations/global/workloadIdentityPools/p/providers/x";
/// What the tokens of the service account have to be for.
const SCOPE: &str = "https://www.googleapis.com/auth/devstorage.read_only";

/// A running store; ends when dropped.
#[derive(Debug)]
pub struct GcsServer {
    server: HttpServer,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    store: ObjectStore,
    access: Mutex<Access>,
}

/// Who is let in.
#[derive(Debug)]
struct Access {
    /// The private key of the account, in PEM, and its public key.
    key: (String, Vec<u8>),
    /// How many keys there were.
    number: usize,
    /// The token that is good.
    token: String,
}

impl Deref for GcsServer {
    type Target = ObjectStore;

    fn deref(&self) -> &ObjectStore {
        &self.state.store
    }
}

impl GcsServer {
    /// Starts a store.
    pub async fn start() -> Result<Self> {
        // As Google's: a text in base64 that may have all characters of it.
        let etag = |_: &[u8], generation: u64| {
            STANDARD.encode([&[8, 0xfb, 0xff][..], &generation.to_be_bytes()].concat())
        };
        let access = Access { key: key()?, number: 0, token: "ya29.none".to_owned() };
        let state = Arc::new(State { store: ObjectStore::new(etag), access: Mutex::new(access) });
        let server = HttpServer::start(0, None, state.clone()).await?;
        Ok(Self { server, state })
    }

    /// Its URL, without a path.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The JSON file of the service account's key.
    pub fn key_file(&self) -> String {
        let (url, key) = (self.url(), self.access().key.0.clone());
        json!({
            "type": "service_account", "client_email": ACCOUNT, "private_key_id": "1", "private_key": key,
            "token_uri": format!("{url}/token"),
        })
        .to_string()
    }

    /// Gives the service account another key; tokens of the old one are good no more.
    pub fn rotate(&self) -> Result<()> {
        let mut access = self.access();
        access.key = key()?;
        access.number += 1;
        "ya29.none".clone_into(&mut access.token);
        Ok(())
    }

    /// The token that is good now.
    pub fn token(&self) -> String {
        self.access().token.clone()
    }

    fn access(&self) -> MutexGuard<'_, Access> {
        self.state.access()
    }
}

impl State {
    fn access(&self) -> MutexGuard<'_, Access> {
        self.access.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a token to whoever proves himself.
    fn token(&self, path: &str, form: &[(String, String)], url: &str) -> Result<Value> {
        let get = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let mut access = self.access();
        if path == "/token" {
            ensure!(
                get("grant_type") == Some("urn:ietf:params:oauth:grant-type:jwt-bearer"),
                "another grant"
            );
            verify(get("assertion").context("no assertion")?, &access.key.1, url)?;
            access.token = format!("ya29.key-{}", access.number);
        } else {
            ensure!(get("audience") == Some(&format!("//iam.googleapis.com/{PROVIDER}")), "another audience");
            ensure!(get("subject_token").is_some_and(|token| token.split('.').count() == 3), "no token");
            "ya29.workload".clone_into(&mut access.token);
        }
        Ok(json!({"access_token": access.token, "expires_in": 3600, "token_type": "Bearer"}))
    }
}

/// A new key: private in PEM, and public.
fn key() -> Result<(String, Vec<u8>)> {
    let pair = KeyPair::generate(KeySize::Rsa2048).map_err(|_| anyhow::anyhow!("no key"))?;
    let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| anyhow::anyhow!("no key"))?;
    let body = STANDARD.encode(der.as_ref());
    let pem = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    Ok((pem, pair.public_key().as_ref().to_vec()))
}

/// Checks an assertion, as Google's page "Using OAuth 2.0 for Server to Server Applications" says.
fn verify(assertion: &str, key: &[u8], url: &str) -> Result<()> {
    let (message, signature) = assertion.rsplit_once('.').context("no signature")?;
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, key);
    let verified = key.verify(message.as_bytes(), &URL_SAFE_NO_PAD.decode(signature)?);
    verified.map_err(|_| anyhow::anyhow!("wrong signature"))?;
    let (header, claims) = message.split_once('.').context("no claims")?;
    let read = |part: &str| -> Result<Value> { Ok(serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part)?)?) };
    let (header, claims) = (read(header)?, read(claims)?);
    let is_known =
        header.text("/alg") == "RS256" && header.text("/typ") == "JWT" && header.text("/kid") == "1";
    ensure!(is_known, "another header");
    ensure!(claims.text("/iss") == ACCOUNT && claims.text("/scope") == SCOPE, "another account or scope");
    ensure!(claims.text("/aud") == format!("{url}/token"), "another audience");
    let number = |name: &str| claims.pointer(name).and_then(Value::as_u64).context("no time");
    let (begin, end) = (number("/iat")?, number("/exp")?);
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    ensure!(begin <= now && now < end && end - begin <= 3600, "another time");
    Ok(())
}

impl Answer for Arc<State> {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let header =
            |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let pairs = query(head.uri.query().unwrap_or_default());
        let get = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let path = head.uri.path();
        let rest = path.strip_prefix("/storage/v1/b/").unwrap_or_default();
        let (bucket, rest) = rest.split_once('/').unwrap_or((rest, ""));
        // A key is one segment.
        let key = rest.strip_prefix("o/").filter(|key| !key.contains('/')).map(decode);
        let line = match (head.method.as_str(), rest, key.as_deref()) {
            ("POST", ..) => format!("POST {path}"),
            ("GET", "", _) if !bucket.is_empty() => "GET bucket".to_owned(),
            ("GET", "o", _) => "GET list".to_owned(),
            ("GET", _, Some(key)) if get("alt") == Some("media") => format!("GET object {key}"),
            ("GET", _, Some(key)) => format!("GET metadata {key}"),
            (method, ..) => format!("{method} {path}"),
        };
        if let Some(fault) = self.store.asked(&line)? {
            return Ok(fault);
        }
        let answer = |status: u16, value: &Value| {
            Ok(Response::builder().status(status).body(Full::new(Bytes::from(value.to_string())))?)
        };
        let refuse = |status: u16, message: &str, reason: &str| {
            let reasons = json!([{"message": message, "domain": "global", "reason": reason}]);
            answer(status, &json!({"error": {"code": status, "message": message, "errors": reasons}}))
        };
        if matches!(path, "/token" | "/v1/token") {
            let form = query(std::str::from_utf8(&body)?);
            return match self.token(path, &form, &format!("http://{}", header("host"))) {
                Ok(token) => answer(200, &token),
                Err(error) => {
                    let text = json!({"error": "invalid_grant", "error_description": format!("{error}")});
                    answer(400, &text)
                }
            };
        }
        let token = self.access().token.clone();
        if header("authorization") != format!("Bearer {token}") {
            return refuse(401, "Invalid Credentials", "authError");
        }
        if decode(bucket) != BUCKET {
            return refuse(404, "The specified bucket does not exist.", "notFound");
        }
        let item = |key: &str, object: &crate::object_store::Stored| {
            json!({
                "kind": "storage#object", "name": key, "etag": object.etag,
                "generation": object.generation.to_string(), "size": object.content.len().to_string(),
            })
        };
        let Some(key) = key else {
            if line == "GET bucket" {
                return answer(200, &json!({"kind": "storage#bucket", "name": BUCKET}));
            }
            let most = get("maxResults").and_then(|most| most.parse().ok()).unwrap_or(1000);
            let (prefix, after) = (get("prefix").unwrap_or_default(), get("pageToken").unwrap_or_default());
            let (page, next) = self.store.page(prefix, after, most);
            let items: Vec<Value> = page.iter().map(|(key, object)| item(key, object)).collect();
            // What is empty is not there.
            let items = Some(Value::from(items)).filter(|_| !page.is_empty());
            let fields = [
                ("kind", Some("storage#objects".into())),
                ("items", items),
                ("nextPageToken", next.map(Value::from)),
            ];
            let list =
                fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
            return answer(200, &Value::Object(list));
        };
        let Some(object) = self.store.find(&key) else {
            return refuse(404, &format!("No such object: {BUCKET}/{key}"), "notFound");
        };
        let generation = get("ifGenerationMatch");
        if generation.is_some_and(|generation| generation != object.generation.to_string()) {
            let message = "At least one of the pre-conditions you specified did not hold.";
            return refuse(412, message, "conditionNotMet");
        }
        if get("alt") != Some("media") {
            return answer(200, &item(&key, &object));
        }
        ensure!(header("accept-encoding") == "gzip", "the object would be unpacked on its way");
        let response = Response::builder().header("x-goog-generation", object.generation.to_string());
        object.response(response)
    }
}
