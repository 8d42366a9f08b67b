//! An HTTP server that gives recorded answers and remembers what it was asked.
#![allow(dead_code, clippy::unwrap_used, clippy::indexing_slicing)]

pub mod sigv4;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use auth::{AccessToken, Environment, Http};

/// A request: `METHOD /path?query`, its headers in lower case, its body.
#[derive(Clone, Debug)]
pub struct Request {
    pub line: String,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str()).unwrap_or_default()
    }
}

/// A status and a body; `None` is an answer that never comes.
pub type Reply = Option<(u16, String)>;

pub struct Server {
    pub url: String,
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(answer: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Server {
        Server::speaking("http", |stream| stream, answer)
    }

    /// A server that speaks HTTP over what `wrap` makes of connections.
    pub fn speaking<S: Read + Write>(
        scheme: &str,
        wrap: impl Fn(TcpStream) -> S + Send + Sync + 'static,
        answer: impl Fn(&Request) -> Reply + Send + Sync + 'static,
    ) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("{scheme}://{}", listener.local_addr().unwrap());
        let asked: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (seen, shared) = (asked.clone(), Arc::new((wrap, answer)));
        // Both end with the test program.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (seen, shared) = (seen.clone(), shared.clone());
                std::thread::spawn(move || serve(shared.0(stream.unwrap()), &seen, &shared.1));
            }
        });
        Server { url, asked }
    }

    /// Its port.
    pub fn port(&self) -> &str {
        self.url.rsplit_once(':').unwrap().1
    }

    /// Answers everything alike.
    pub fn saying(status: u16, body: &str) -> Server {
        let body = body.to_owned();
        Server::start(move |_| Some((status, body.clone())))
    }

    pub fn asked(&self) -> Vec<Request> {
        self.asked.lock().unwrap().clone()
    }
}

fn serve(stream: impl Read + Write, seen: &Mutex<Vec<Request>>, answer: &dyn Fn(&Request) -> Reply) {
    let mut reader = BufReader::new(stream);
    let mut head = Vec::new();
    for line in (&mut reader).lines() {
        match line {
            Ok(line) if !line.is_empty() => head.push(line),
            _ => break,
        }
    }
    let Some((first, headers)) = head.split_first() else { return };
    let headers = headers.iter().filter_map(|line| line.split_once(": "));
    let mut request = Request {
        line: first.rsplit_once(' ').unwrap().0.to_owned(),
        headers: headers.map(|(n, v)| (n.to_lowercase(), v.to_owned())).collect(),
        body: String::new(),
    };
    let length = request.header("content-length").parse().unwrap_or(0);
    (&mut reader).take(length).read_to_string(&mut request.body).unwrap();
    seen.lock().unwrap().push(request.clone());
    let Some((status, body)) = answer(&request) else {
        std::thread::sleep(Duration::from_secs(60));
        return;
    };
    // A redirect's body is where it leads to.
    let location = if (300..400).contains(&status) { format!("location: {body}\r\n") } else { String::new() };
    let length = body.len();
    let head =
        format!("HTTP/1.1 {status} X\r\n{location}content-length: {length}\r\nconnection: close\r\n\r\n");
    // Who has read enough may be gone.
    let _ = reader.get_mut().write_all(format!("{head}{body}").as_bytes());
    let _ = reader.get_mut().flush();
}

pub fn http() -> Http {
    let client = reqwest::Client::builder().timeout(Duration::from_millis(500)).no_proxy().build().unwrap();
    Http::new(client, 4096)
}

pub fn environment(variables: &[(&str, &str)]) -> Environment {
    variables.iter().copied().collect()
}

/// The text of an opaque token.
pub fn opaque(token: &AccessToken) -> &str {
    match token {
        AccessToken::Opaque { token, .. } => token.expose(),
        AccessToken::Aws(_) => panic!("keys of AWS"),
    }
}

/// Answers that help nobody, and what is said of them.
pub fn useless() -> [(Server, &'static str); 6] {
    [
        (
            Server::saying(401, "{\"message\": \"Bad\n credentials\"}"),
            "401 Unauthorized: {\"message\": \"Bad credentials\"}",
        ),
        (Server::saying(404, ""), "404 Not Found"),
        (Server::saying(200, "<html>"), "answer is not understood: "),
        (Server::saying(200, "{\"token\": \"secret"), "answer is not understood: "),
        (Server::saying(200, &"x".repeat(5000)), "answer of more than 4096 bytes"),
        (Server::start(|_| None), "timed out"),
    ]
}

/// A private RSA key in PEM, and the public half of it.
pub struct RsaKey {
    pub pair: rcgen::KeyPair,
}

impl RsaKey {
    pub fn generate() -> RsaKey {
        let size = rcgen::RsaKeySize::_2048;
        RsaKey { pair: rcgen::KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, size).unwrap() }
    }

    pub fn pem(&self) -> String {
        self.pair.serialize_pem()
    }

    /// Header and claims of a JSON Web Token, if this key has signed it.
    pub fn verify(&self, token: &str) -> (serde_json::Value, serde_json::Value) {
        use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, RSA_PSS_2048_8192_SHA256, UnparsedPublicKey};
        let (message, signature) = token.rsplit_once('.').unwrap();
        let read = |text: &str| serde_json::from_slice(&from_url_base64(text)).unwrap();
        let (header, claims) = message.split_once('.').unwrap();
        let header: serde_json::Value = read(header);
        let algorithm = match header["alg"].as_str().unwrap() {
            "RS256" => &RSA_PKCS1_2048_8192_SHA256,
            "PS256" => &RSA_PSS_2048_8192_SHA256,
            other => panic!("{other}"),
        };
        let public = UnparsedPublicKey::new(algorithm, self.pair.public_key_raw());
        public.verify(message.as_bytes(), &from_url_base64(signature)).unwrap();
        (header, read(claims))
    }
}

pub fn from_url_base64(text: &str) -> Vec<u8> {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// The fields of a form.
pub fn fields(body: &str) -> std::collections::BTreeMap<String, String> {
    url::form_urlencoded::parse(body.as_bytes()).into_owned().collect()
}
