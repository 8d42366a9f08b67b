//! Downloads from servers, good and bad ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::Read;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use helm_repository::{Answer, Client, Credentials, Limits, Request, Validators};
use net::{Deadline, TlsConfig};
use secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use url::Url;

/// Answers each connection with the same bytes, and keeps what was asked.
async fn server(answer: impl Into<Vec<u8>>) -> (Url, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let (asked, answer) = (Arc::new(Mutex::new(Vec::new())), answer.into());
    let seen = asked.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match stream.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            seen.lock().unwrap().push(String::from_utf8(head).unwrap().to_lowercase());
            let _ = stream.write_all(&answer).await;
            if answer.is_empty() {
                // One that says nothing.
                let _ = stream.read_u8().await;
            }
        }
    });
    (url, asked)
}

fn client() -> Client {
    let limits = Limits { idle_timeout: Duration::from_millis(200), redirects: 3, ..Limits::default() };
    Client::new(&TlsConfig::default(), limits).unwrap()
}

fn me() -> Credentials {
    Credentials { username: "me".to_owned(), password: Secret::new("hunter2") }
}

async fn get(request: &Request<'_>) -> Result<Answer, String> {
    let answer = client().get(request, &Deadline::new(Duration::from_secs(20))).await;
    answer.map_err(|error| error.to_string())
}

fn plain<'a>(url: &'a Url, credentials: Option<&'a Credentials>) -> Request<'a> {
    Request { url, credentials, validators: None, limit: 1000 }
}

#[tokio::test]
async fn content_comes_with_what_stands_for_it() {
    let (url, asked) =
        server("HTTP/1.1 200 OK\r\nETag: \"1\"\r\nLast-Modified: Mon\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc").await;
    let me = me();
    let Answer::Content(download) = get(&plain(&url, Some(&me))).await.unwrap() else { panic!("no content") };
    let mut text = String::new();
    download.body.reader(1000).unwrap().read_to_string(&mut text).unwrap();
    assert_eq!(text, "abc");
    let validators = Validators { etag: Some("\"1\"".to_owned()), last_modified: Some("Mon".to_owned()) };
    assert_eq!(download.validators, validators);
    let asked = asked.lock().unwrap().concat();
    assert!(asked.contains("authorization: basic bwu6ahvudgvymg==\r\n"), "{asked}");
    assert!(asked.contains("user-agent: helm/") && asked.contains("accept-encoding: gzip"), "{asked}");
    assert!(!asked.contains("if-none-match"), "{asked}");
}

#[tokio::test]
async fn content_that_is_had_is_not_sent_again() {
    let (url, asked) = server("HTTP/1.1 304 Not Modified\r\nConnection: close\r\n\r\n").await;
    let validators = Validators { etag: Some("W/\"1\"".to_owned()), last_modified: Some("Mon".to_owned()) };
    let request = Request { validators: Some(&validators), ..plain(&url, None) };
    assert!(matches!(get(&request).await, Ok(Answer::NotModified)));
    let asked = asked.lock().unwrap().concat();
    assert!(
        asked.contains("if-none-match: w/\"1\"\r\n") && asked.contains("if-modified-since: mon\r\n"),
        "{asked}"
    );
    assert!(!asked.contains("authorization"), "{asked}");
    // To a question without validators it is no answer.
    let error = get(&plain(&url, None)).await.unwrap_err();
    assert_eq!(error, format!("failed to fetch {url} : 304 Not Modified"));
}

#[tokio::test]
async fn refusals_are_told_without_secrets() {
    let (url, _) = server("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
    let secret = url.join("index.yaml?token=hunter2").unwrap();
    let error = get(&plain(&secret, Some(&me()))).await.unwrap_err();
    assert_eq!(error, format!("failed to fetch {url}index.yaml : 404 Not Found"));
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let closed = Url::parse(&format!("http://me:hunter2@{closed}/?t=hunter2")).unwrap();
    let error = get(&plain(&closed, None)).await.unwrap_err();
    assert!(error.contains("Connection refused") && !error.contains("hunter2"), "{error}");
}

#[tokio::test]
async fn credentials_do_not_follow_a_redirect_to_another_host() {
    let (other, asked) = server("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok").await;
    let redirect =
        format!("HTTP/1.1 302 Found\r\nLocation: {other}x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let (url, first) = server(redirect).await;
    assert!(matches!(get(&plain(&url, Some(&me()))).await, Ok(Answer::Content(_))));
    assert!(first.lock().unwrap().concat().contains("authorization: basic"));
    let asked = asked.lock().unwrap().concat();
    assert!(asked.starts_with("get /x ") && !asked.contains("authorization"), "{asked}");
}

#[tokio::test]
async fn redirects_end() {
    for (location, reason) in [
        ("/again", "too many redirects"),
        ("ftp://h/", "neither http nor https"),
        ("http://[", "malformed location"),
    ] {
        let answer = format!(
            "HTTP/1.1 301 Moved\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
        let (url, asked) = server(answer).await;
        let error = get(&plain(&url, None)).await.unwrap_err();
        assert!(error.ends_with(&format!("refused: {reason}")), "{error}");
        assert!(asked.lock().unwrap().len() <= 4);
    }
}

#[tokio::test]
async fn too_much_and_too_slow_are_given_up() {
    let claims = "HTTP/1.1 200 OK\r\nContent-Length: 1001\r\nConnection: close\r\n\r\n";
    let sends = format!("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n{}", "x".repeat(1001));
    for answer in [claims.to_owned(), sends] {
        let (url, _) = server(answer).await;
        let error = get(&plain(&url, None)).await.unwrap_err();
        assert_eq!(error, format!("failed to fetch {url} : more than 1000 bytes"));
    }
    let (url, _) = server("").await;
    let error = get(&plain(&url, None)).await.unwrap_err();
    assert_eq!(error, format!("failed to fetch {url} : nothing received for 200ms"));
    let over = Deadline::new(Duration::ZERO);
    let error = client().get(&plain(&url, None), &over).await.unwrap_err().to_string();
    assert_eq!(error, format!("failed to fetch {url} : context deadline exceeded"));
    let (url, _) =
        server("HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
            .await;
    let error = get(&plain(&url, None)).await.unwrap_err();
    assert_eq!(error, format!("failed to fetch {url} : unsupported content encoding \"br\""));
    let (url, _) = server("HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\nxx").await;
    assert!(get(&plain(&url, None)).await.is_err());
}
