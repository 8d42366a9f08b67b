//! The server's side of AWS Signature Version 4: computes the signature of what came.

use std::collections::BTreeMap;

use aws_lc_rs::{digest, hmac};

use super::Request;

/// The access key by which a request was signed in its header; none if the signature is another one. `secret` knows the secret
/// key of an access key and a session token.
pub fn header_signer(
    request: &Request,
    region: &str,
    service: &str,
    secret: impl Fn(&str, &str) -> Option<&'static str>,
) -> Option<String> {
    let authorization = request.header("authorization").strip_prefix("AWS4-HMAC-SHA256 ")?.to_owned();
    let parts: BTreeMap<&str, &str> =
        authorization.split(", ").filter_map(|part| part.split_once('=')).collect();
    let (access_key, scope) = parts["Credential"].split_once('/')?;
    let secret = secret(access_key, request.header("x-amz-security-token"))?;
    let names: Vec<&str> = parts["SignedHeaders"].split(';').collect();
    // What decides what is done has to be signed.
    for name in ["host", "x-amz-date", "content-type", "x-amz-target", "x-amz-security-token"] {
        if !request.header(name).is_empty() && !names.contains(&name) {
            return None;
        }
    }
    let headers: String = names.iter().map(|name| format!("{name}:{}\n", request.header(name))).collect();
    let (method, path) = request.line.split_once(' ')?;
    let body = sha256(request.body.as_bytes());
    let canonical = format!("{method}\n{path}\n\n{headers}\n{}\n{body}", parts["SignedHeaders"]);
    let time = request.header("x-amz-date");
    let signature = signature(secret, scope, region, service, time, &canonical)?;
    (signature == parts["Signature"]).then(|| access_key.to_owned())
}

/// The same for a GET whose URL carries its signature, and that is sent with `headers` beside the host, sorted by name.
pub fn query_signer(
    url: &url::Url,
    headers: &[(&str, &str)],
    region: &str,
    service: &str,
    secret: impl Fn(&str, &str) -> Option<&'static str>,
) -> Option<String> {
    let query: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    let (access_key, scope) = query["X-Amz-Credential"].split_once('/')?;
    let token = query.get("X-Amz-Security-Token").map(String::as_str).unwrap_or_default();
    let secret = secret(access_key, token)?;
    let host = match url.port() {
        Some(port) => format!("{}:{port}", url.host_str()?),
        None => url.host_str()?.to_owned(),
    };
    let all: BTreeMap<&str, &str> = headers.iter().copied().chain([("host", host.as_str())]).collect();
    let names = all.keys().copied().collect::<Vec<_>>().join(";");
    let lines: String = all.iter().map(|(name, value)| format!("{name}:{value}\n")).collect();
    // As it was sent: what is signed is escaped like that, and sorted.
    let mut sent: Vec<&str> =
        url.query()?.split('&').filter(|p| !p.starts_with("X-Amz-Signature=")).collect();
    sent.sort_unstable();
    let canonical = format!("GET\n{}\n{}\n{lines}\n{names}\n{}", url.path(), sent.join("&"), sha256(b""));
    let signature = signature(secret, scope, region, service, &query["X-Amz-Date"], &canonical)?;
    let right = signature == query["X-Amz-Signature"] && names == query["X-Amz-SignedHeaders"];
    right.then(|| access_key.to_owned())
}

fn signature(
    secret: &str,
    scope: &str,
    region: &str,
    service: &str,
    time: &str,
    canonical: &str,
) -> Option<String> {
    if scope != format!("{}/{region}/{service}/aws4_request", time.get(..8)?) {
        return None;
    }
    let message = format!("AWS4-HMAC-SHA256\n{time}\n{scope}\n{}", sha256(canonical.as_bytes()));
    let mut key = format!("AWS4{secret}").into_bytes();
    for part in scope.split('/').chain([message.as_str()]) {
        let hmac_key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        key = hmac::sign(&hmac_key, part.as_bytes()).as_ref().to_vec();
    }
    Some(hex(&key))
}

fn sha256(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
