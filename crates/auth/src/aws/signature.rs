//! AWS Signature Version 4: for requests in a header, and for a URL that carries its signature.

use std::fmt::Write;
use std::time::{Duration, SystemTime};

use aws_lc_rs::{digest, hmac};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use url::Url;

use super::Credentials;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
/// What is not escaped: RFC 3986's unreserved characters.
const ESCAPED: AsciiSet = NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// The digest of no bytes, which is what a presigned GET has for a body.
const EMPTY_BODY: &[u8] = b"";
/// The name by which S3 is signed, which alone escapes paths once.
const S3: &str = "s3";

/// For whom and for what requests are signed.
#[derive(Debug)]
pub struct Signer<'a> {
    /// Whose keys.
    pub credentials: &'a Credentials,
    /// The region of the service.
    pub region: &'a str,
    /// The name by which the service is signed, such as `kms`.
    pub service: &'a str,
}

impl Signer<'_> {
    /// The headers to add to a request of `method` to `url` with `headers` (their names in lower case) and `body`. All of
    /// `headers`, and the host, are signed.
    pub fn headers(
        &self,
        method: &str,
        url: &Url,
        headers: &[(&str, &str)],
        body: &[u8],
        now: SystemTime,
    ) -> Vec<(&'static str, String)> {
        let time = timestamp(now);
        let host = host(url);
        let token = self.credentials.session_token.as_ref();
        let mut signed = headers.to_vec();
        signed.extend([("host", host.as_str()), ("x-amz-date", &time)]);
        signed.extend(token.map(|token| ("x-amz-security-token", token.expose())));
        let (names, lines) = canonical_headers(&signed);
        let request = canonical_request(method, &self.path(url), &canonical_query(url), &names, &lines, body);
        let signature = self.signature(&time, &request);
        let authorization = format!(
            "{ALGORITHM} Credential={}/{}, SignedHeaders={names}, Signature={signature}",
            self.credentials.access_key,
            self.scope(&time)
        );
        let mut added = vec![("x-amz-date", time), ("authorization", authorization)];
        added.extend(token.map(|token| ("x-amz-security-token", token.expose().to_owned())));
        added
    }

    /// A URL by which whoever has it can send a GET with `headers` for as long as `life`.
    pub fn presigned(&self, url: &Url, headers: &[(&str, &str)], life: Duration, now: SystemTime) -> Url {
        let time = timestamp(now);
        let host = host(url);
        let mut signed = headers.to_vec();
        signed.push(("host", &host));
        let (names, lines) = canonical_headers(&signed);
        let credential = format!("{}/{}", self.credentials.access_key, self.scope(&time));
        let seconds = life.as_secs().to_string();
        let mut url = url.clone();
        let mut query = canonical_query(&url);
        let token = self.credentials.session_token.as_ref();
        let parameters = [
            ("X-Amz-Algorithm", ALGORITHM),
            ("X-Amz-Credential", &credential),
            ("X-Amz-Date", &time),
            ("X-Amz-Expires", &seconds),
        ];
        let parameters = parameters.into_iter().chain(token.map(|t| ("X-Amz-Security-Token", t.expose())));
        for (name, value) in parameters.chain([("X-Amz-SignedHeaders", names.as_str())]) {
            let separator = if query.is_empty() { "" } else { "&" };
            // Writing to a string cannot fail.
            let _ = write!(query, "{separator}{name}={}", escape(value));
        }
        let request = canonical_request("GET", &self.path(&url), &sorted(&query), &names, &lines, EMPTY_BODY);
        let signature = self.signature(&time, &request);
        url.set_query(Some(&format!("{query}&X-Amz-Signature={signature}")));
        url
    }

    /// The signature of a canonical request; `time` begins with the date.
    pub(super) fn signature(&self, time: &str, request: &str) -> String {
        let request = sha256_hex(request.as_bytes());
        let message = format!("{ALGORITHM}\n{time}\n{}\n{request}", self.scope(time));
        let first = format!("AWS4{}", self.credentials.secret_key.expose()).into_bytes();
        let key = [date(time), self.region, self.service, "aws4_request"]
            .iter()
            .fold(first, |key, part| sign(&key, part.as_bytes()));
        hex(&sign(&key, message.as_bytes()))
    }

    /// The path in the form that is signed.
    fn path(&self, url: &Url) -> String {
        if self.service == S3 {
            return url.path().to_owned();
        }
        // Every other service escapes what is escaped already once more.
        url.path().split('/').map(escape).collect::<Vec<_>>().join("/")
    }

    fn scope(&self, time: &str) -> String {
        format!("{}/{}/{}/aws4_request", date(time), self.region, self.service)
    }
}

/// `<date>T<time>Z`, without separators.
pub(super) fn timestamp(now: SystemTime) -> String {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let time = jiff::Timestamp::from_second(i64::try_from(since.as_secs()).unwrap_or_default());
    time.unwrap_or_default().strftime("%Y%m%dT%H%M%SZ").to_string()
}

fn date(time: &str) -> &str {
    time.get(..8).unwrap_or_default()
}

/// Host and port as the `Host` header has them.
fn host(url: &Url) -> String {
    let name = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| name.to_owned(), |port| format!("{name}:{port}"))
}

/// The names of the headers, and a line for each.
fn canonical_headers(headers: &[(&str, &str)]) -> (String, String) {
    let mut headers = headers.to_vec();
    headers.sort_unstable();
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let lines = headers.iter().map(|(name, value)| format!("{name}:{}\n", value.trim()));
    (names.join(";"), lines.collect())
}

fn canonical_request(method: &str, path: &str, query: &str, names: &str, lines: &str, body: &[u8]) -> String {
    format!("{method}\n{path}\n{query}\n{lines}\n{names}\n{}", sha256_hex(body))
}

/// The query in the form that is signed, which is one that can be sent, too.
fn canonical_query(url: &Url) -> String {
    let pairs = url.query_pairs().map(|(name, value)| format!("{}={}", escape(&name), escape(&value)));
    sorted(&pairs.collect::<Vec<_>>().join("&"))
}

fn sorted(query: &str) -> String {
    let mut pairs: Vec<(&str, &str)> = query.split('&').filter_map(|pair| pair.split_once('=')).collect();
    pairs.sort_unstable();
    let pairs: Vec<String> = pairs.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("&")
}

fn escape(text: &str) -> String {
    utf8_percent_encode(text, const { &ESCAPED }).to_string()
}

fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn sign(key: &[u8], message: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::Secret;

    fn credentials() -> Credentials {
        Credentials {
            access_key: "AKIDEXAMPLE".into(),
            secret_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: None,
            expires: SystemTime::UNIX_EPOCH,
        }
    }

    fn at(time: &str) -> SystemTime {
        time.parse::<jiff::Timestamp>().unwrap().into()
    }

    #[test]
    fn headers_are_those_of_the_documented_example() {
        // The worked example of the AWS General Reference: IAM's ListUsers.
        let credentials = credentials();
        let signer = Signer { credentials: &credentials, region: "us-east-1", service: "iam" };
        let url = Url::parse("https://iam.amazonaws.com/?Version=2010-05-08&Action=ListUsers").unwrap();
        let headers = [("content-type", "application/x-www-form-urlencoded; charset=utf-8")];
        let added = signer.headers("GET", &url, &headers, b"", at("2015-08-30T12:36:00Z"));
        assert_eq!(
            added,
            [
                ("x-amz-date", "20150830T123600Z".to_owned()),
                (
                    "authorization",
                    "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
                     SignedHeaders=content-type;host;x-amz-date, \
                     Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7"
                        .to_owned()
                ),
            ]
        );
    }

    #[test]
    fn signatures_are_those_of_the_sdk() {
        // Made with aws-sdk-go-v2 1.41.7, `v4.NewSigner`.
        let session_token = Some(Secret::new("t0ken/+="));
        let credentials = Credentials { session_token, ..credentials() };
        let (region, now) = ("eu-west-1", at("2015-08-30T12:36:00Z"));
        let url = "https://sts.eu-west-1.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15";
        let signer = Signer { credentials: &credentials, region, service: "sts" };
        let presigned = signer.presigned(
            &Url::parse(url).unwrap(),
            &[("x-k8s-aws-id", "main")],
            Duration::from_secs(900),
            now,
        );
        assert_eq!(
            presigned.as_str(),
            format!(
                "{url}&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%2F20150830%2Feu-west-1%2Fsts%2Faws4_request\
                 &X-Amz-Date=20150830T123600Z&X-Amz-Expires=900&X-Amz-Security-Token=t0ken%2F%2B%3D\
                 &X-Amz-SignedHeaders=host%3Bx-k8s-aws-id\
                 &X-Amz-Signature=16630839192e15ce0079ce31d3e9f695339f91d6e044037d677d7bfe5f19dbd1"
            )
        );
        let signer = Signer { credentials: &credentials, region, service: "eks" };
        let url = Url::parse("https://eks.eu-west-1.amazonaws.com/clusters/a%20b%3Ac").unwrap();
        let [_, (_, authorization), (_, token)] = &signer.headers("GET", &url, &[], b"", now)[..] else {
            panic!("three headers")
        };
        assert_eq!(token, "t0ken/+=");
        assert_eq!(
            authorization,
            "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/eu-west-1/eks/aws4_request, \
             SignedHeaders=host;x-amz-date;x-amz-security-token, \
             Signature=b6037ad4dfd6a9f687374b9682a88199a7f27920aec88e1b35a390e85d58e0e9"
        );
    }

    #[test]
    fn requests_to_s3_are_signed_as_in_its_documented_examples() {
        // "Authenticating Requests: Using the Authorization Header", GET Object and GET Bucket (List Objects).
        let credentials = Credentials {
            access_key: "AKIAIOSFODNN7EXAMPLE".into(),
            secret_key: Secret::new("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
            ..credentials()
        };
        let signer = Signer { credentials: &credentials, region: "us-east-1", service: "s3" };
        let empty =
            ("x-amz-content-sha256", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        let host = "https://examplebucket.s3.amazonaws.com";
        for (path, headers, signature) in [
            (
                "/test.txt",
                &[("range", "bytes=0-9"), empty][..],
                "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
            ),
            (
                "/?max-keys=2&prefix=J",
                &[empty],
                "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7",
            ),
        ] {
            let url = Url::parse(&format!("{host}{path}")).unwrap();
            let added = signer.headers("GET", &url, headers, b"", at("2013-05-24T00:00:00Z"));
            let (_, authorization) = added.iter().find(|(name, _)| *name == "authorization").unwrap();
            assert!(authorization.ends_with(&format!("Signature={signature}")), "{authorization}");
        }
        let url = Url::parse("https://h/a%20b//%2B").unwrap();
        assert_eq!(signer.path(&url), "/a%20b//%2B");
    }

    #[test]
    fn queries_are_signed_in_order() {
        let url = Url::parse("https://h/c?b=2&a=%2F&a=%20").unwrap();
        let request = canonical_request("GET", url.path(), &canonical_query(&url), "host", "host:h\n", b"");
        assert!(request.starts_with("GET\n/c\na=%20&a=%2F&b=2\nhost:h\n\nhost\n"), "{request}");
    }
}
