//! A store that speaks S3, with one bucket in memory: it counts requests, checks signatures by a reading of its own of the
//! specification (AWS Signature Version 4), and has the faults that it is told to have.

use std::fmt::Write;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use sha2::{Digest, Sha256};

use crate::http_server::{Answer, HttpServer};
pub use crate::object_store::BUCKET;
use crate::object_store::{ObjectStore, Stored, decode, encode, hex, hmac, query};
use crate::pki::Ca;

/// The public part of the keys that are let in.
pub const ACCESS_KEY: &str = "AKIDTEAM";
/// Their secret part.
pub const SECRET_KEY: &str = "wJalr+XUtnFEMI/s3cret";
/// The token of the keys that the store's STS gives.
pub const SESSION_TOKEN: &str = "s3ssion/t0ken==";
/// Whom its STS knows.
pub const LDAP_USER: &str = "me";
/// Their password.
pub const LDAP_PASSWORD: &str = "pass w0rd";
/// The role that a service account may have.
pub const ROLE: &str = "arn:aws:iam::123456789012:role/team";
/// The region of the bucket.
pub const REGION: &str = "eu-test-1";

/// A running store; ends when dropped.
#[derive(Debug)]
pub struct S3Server {
    server: HttpServer,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    store: ObjectStore,
    anonymous: AtomicBool,
}

impl Deref for S3Server {
    type Target = ObjectStore;

    fn deref(&self) -> &ObjectStore {
        &self.state.store
    }
}

impl S3Server {
    /// Starts a store, with TLS by an authority of its own or without.
    pub async fn start(tls: bool) -> Result<S3Server> {
        let ca = if tls { Some(Ca::new("e2e store")?) } else { None };
        let etag = |content: &[u8], _| hex(&Sha256::digest(content)).chars().take(32).collect();
        let state = Arc::new(State { store: ObjectStore::new(etag), anonymous: AtomicBool::new(false) });
        let server = HttpServer::start(0, ca, state.clone()).await?;
        Ok(S3Server { server, state })
    }

    /// Host and port.
    pub fn endpoint(&self) -> String {
        self.url().split_once("://").map(|(_, host)| host.to_owned()).unwrap_or_default()
    }

    /// Its URL, which is also that of its STS.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The certificate authority that clients have to trust.
    pub fn ca_pem(&self) -> Option<&str> {
        self.server.ca_pem()
    }

    /// Whether requests without a signature are let in, and others are not.
    pub fn set_anonymous(&self, anonymous: bool) {
        self.state.anonymous.store(anonymous, Ordering::Relaxed);
    }
}

impl Answer for Arc<State> {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let query = query(head.uri.query().unwrap_or_default());
        let get = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        let path = head.uri.path();
        let key = path.strip_prefix(&format!("/{BUCKET}/")).map(decode);
        let line = match (head.method.as_str(), key.as_deref()) {
            ("POST", _) if path == "/" => "POST sts".to_owned(),
            ("HEAD", Some("")) => "HEAD bucket".to_owned(),
            ("GET", Some("")) if get("location").is_some() => "GET location".to_owned(),
            ("GET", Some("")) => "GET list".to_owned(),
            ("GET", Some(key)) => format!("GET object {key}"),
            (method, _) => format!("{method} {path}"),
        };
        if let Some(fault) = self.store.asked(&line)? {
            return Ok(fault);
        }
        let refuse = |status: u16, code: &str, message: &str| {
            let text = format!(
                "<?xml version=\"1.0\"?><Error><Code>{code}</Code><Message>{message}</Message></Error>"
            );
            let text = if head.method == "HEAD" { String::new() } else { text };
            Ok(Response::builder().status(status).body(Full::new(Bytes::from(text)))?)
        };
        if line == "POST sts" {
            return sts(&body);
        }
        if key.is_none() {
            return refuse(404, "NoSuchBucket", "The specified bucket does not exist");
        }
        let is_signed = head.headers.contains_key("authorization");
        if self.anonymous.load(Ordering::Relaxed) == is_signed {
            return refuse(403, "AccessDenied", "Access Denied.");
        }
        if is_signed {
            let region = if line == "GET location" { "us-east-1" } else { REGION };
            if let Err(error) = verify(&head, region) {
                return refuse(403, "SignatureDoesNotMatch", &format!("{error}"));
            }
        }
        match line.as_str() {
            "HEAD bucket" => Ok(Response::new(Full::default())),
            "GET location" => {
                let text = format!("<LocationConstraint xmlns=\"http://s3\">{REGION}</LocationConstraint>");
                Ok(Response::new(Full::new(Bytes::from(text))))
            }
            "GET list" => {
                let after = decode(get("continuation-token").unwrap_or_default());
                let text = list(&self.store, get("prefix").unwrap_or_default(), &after);
                Ok(Response::new(Full::new(Bytes::from(text))))
            }
            _ => match self.store.find(&key.unwrap_or_default()) {
                None => refuse(404, "NoSuchKey", "The specified key does not exist."),
                Some(object) => {
                    let wanted = head.headers.get("if-match").and_then(|value| value.to_str().ok());
                    if wanted.is_some_and(|wanted| wanted.trim_matches('"') != object.etag) {
                        return refuse(
                            412,
                            "PreconditionFailed",
                            "At least one of the pre-conditions failed",
                        );
                    }
                    let response = Response::builder().header("etag", format!("\"{}\"", object.etag));
                    // Other clients refuse an object without it.
                    object.response(response.header("last-modified", "Thu, 01 Jan 2026 00:00:00 GMT"))
                }
            },
        }
    }
}

fn list(store: &ObjectStore, prefix: &str, after: &str) -> String {
    let (page, next) = store.page(prefix, after, 1000);
    let mut text = String::from("<?xml version=\"1.0\"?><ListBucketResult><EncodingType>url</EncodingType>");
    for (key, Stored { content, etag, .. }) in page {
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "<Contents><Key>{}</Key><Size>{}</Size><ETag>&quot;{etag}&quot;</ETag></Contents>",
            encode(&key).replace("%20", "+"),
            content.len()
        );
    }
    let _ = write!(text, "<IsTruncated>{}</IsTruncated>", next.is_some());
    if let Some(next) = next {
        let _ = write!(text, "<NextContinuationToken>{}</NextContinuationToken>", encode(&next));
    }
    text + "</ListBucketResult>"
}

fn sts(body: &[u8]) -> Result<Response<Full<Bytes>>> {
    let form = query(std::str::from_utf8(body)?);
    let get = |name: &str| form.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let is_known = match get("Action") {
        Some("AssumeRoleWithLDAPIdentity") => {
            get("LDAPUsername") == Some(LDAP_USER) && get("LDAPPassword") == Some(LDAP_PASSWORD)
        }
        // Of the token its API server knows more.
        Some("AssumeRoleWithWebIdentity") => {
            get("RoleArn") == Some(ROLE) && get("WebIdentityToken").is_some()
        }
        _ => false,
    };
    if !is_known || get("Version") != Some("2011-06-15") {
        let text = "<ErrorResponse><Error><Code>InvalidParameterValue</Code></Error></ErrorResponse>";
        return Ok(Response::builder().status(400).body(Full::new(Bytes::from(text)))?);
    }
    let text = format!(
        "<AssumeRoleWithLDAPIdentityResponse><AssumeRoleWithLDAPIdentityResult><Credentials>\
         <AccessKeyId>{ACCESS_KEY}</AccessKeyId><SecretAccessKey>{SECRET_KEY}</SecretAccessKey>\
         <SessionToken>{SESSION_TOKEN}</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration>\
         </Credentials></AssumeRoleWithLDAPIdentityResult></AssumeRoleWithLDAPIdentityResponse>"
    );
    Ok(Response::new(Full::new(Bytes::from(text))))
}

/// Checks the signature of a request, as "Signature Calculations for the Authorization Header" says.
fn verify(head: &http::request::Parts, region: &str) -> Result<()> {
    let header =
        |name: &str| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let fields = header("authorization").strip_prefix("AWS4-HMAC-SHA256 ").context("another algorithm")?;
    let field = |name: &str| {
        let found = fields.split(", ").find_map(|field| field.strip_prefix(&format!("{name}=")));
        found.with_context(|| format!("no {name}"))
    };
    let time = header("x-amz-date");
    let date = time.get(..8).context("no date")?;
    let scope = format!("{date}/{region}/s3/aws4_request");
    anyhow::ensure!(field("Credential")? == format!("{ACCESS_KEY}/{scope}"), "wrong scope or key");
    let names: Vec<&str> = field("SignedHeaders")?.split(';').collect();
    let is_missing = |name: &&http::HeaderName| {
        (name.as_str() == "host" || name.as_str().starts_with("x-amz-")) && !names.contains(&name.as_str())
    };
    anyhow::ensure!(head.headers.keys().find(is_missing).is_none(), "a header is not signed");
    anyhow::ensure!(names.is_sorted() && names.contains(&"host"), "headers in another order");
    let content = hex(&Sha256::digest(b""));
    anyhow::ensure!(header("x-amz-content-sha256") == content, "another content");
    let mut pairs = query(head.uri.query().unwrap_or_default());
    pairs.sort();
    let pairs: Vec<String> =
        pairs.iter().map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
    let path: Vec<String> = head.uri.path().split('/').map(|part| encode(&decode(part))).collect();
    let lines: String = names.iter().map(|name| format!("{name}:{}\n", header(name).trim())).collect();
    let canonical = format!(
        "{}\n{}\n{}\n{lines}\n{}\n{content}",
        head.method,
        path.join("/"),
        pairs.join("&"),
        names.join(";")
    );
    let message = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", hex(&Sha256::digest(canonical)));
    let key = [date, region, "s3", "aws4_request"]
        .iter()
        .fold(format!("AWS4{SECRET_KEY}").into_bytes(), |key, part| hmac(&key, part.as_bytes()));
    anyhow::ensure!(hex(&hmac(&key, message.as_bytes())) == field("Signature")?, "wrong signature");
    Ok(())
}
