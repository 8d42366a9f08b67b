//! A client against a store that checks its signatures, and against stores that mean no good.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, SystemTime};

use auth::aws::Credentials;
use bucket::s3::{Access, Endpoint};
use bucket::{Client, Limits, ListError, Object};
use common::{content, listed, minute};
use e2e::s3_server::{ACCESS_KEY, BUCKET, S3Server, SECRET_KEY, SESSION_TOKEN};
use net::Deadline;
use secret::Secret;

fn keys(secret: &str, token: Option<&str>) -> Option<Credentials> {
    Some(Credentials {
        access_key: ACCESS_KEY.to_owned(),
        secret_key: Secret::new(secret),
        session_token: token.map(Secret::new),
        expires: SystemTime::now(),
    })
}

fn client_of(endpoint: &str, credentials: Option<Credentials>, limits: Limits) -> Client {
    let endpoint = Endpoint::parse(endpoint, true).unwrap();
    let access = Access { credentials, ..Access::default() };
    Client::s3(endpoint, BUCKET, None, access, limits).unwrap()
}

fn client(server: &S3Server) -> Client {
    client_of(&server.endpoint(), keys(SECRET_KEY, None), Limits::default())
}

#[tokio::test]
async fn odd_keys_are_listed_and_fetched_with_right_signatures() {
    let server = S3Server::start(false).await.unwrap();
    for key in common::ODD_KEYS {
        server.put(key, &format!("of {key}"));
    }
    server.set_page(3);
    for token in [None, Some(SESSION_TOKEN)] {
        let client = client_of(&server.endpoint(), keys(SECRET_KEY, token), Limits::default());
        common::assert_odd_keys(&client, |key| server.etag(key)).await;
    }
}

#[tokio::test]
async fn a_poll_costs_its_pages_and_the_region_once() {
    let server = S3Server::start(false).await.unwrap();
    for number in 0..1001 {
        server.put(&format!("k{number:04}"), "x");
    }
    let client = client(&server);
    assert_eq!(listed(&client, "").await.unwrap().len(), 1001);
    assert_eq!(server.take_requests(), ["GET location", "GET list", "GET list"]);
    listed(&client, "").await.unwrap();
    assert_eq!(server.take_requests(), ["GET list", "GET list"]);
}

#[tokio::test]
async fn an_object_that_has_changed_is_fetched_as_it_is_and_one_that_is_gone_is_none() {
    let server = S3Server::start(false).await.unwrap();
    server.put("a", "old");
    let client = client(&server);
    let objects = listed(&client, "").await.unwrap();
    server.put("a", "new content");
    let (etag, text) = content(&client, &objects[0]).await.unwrap().unwrap();
    assert_eq!((Some(etag), text.as_str()), (server.etag("a"), "new content"));
    assert_ne!(server.etag("a").unwrap(), objects[0].etag);
    server.remove("a");
    assert!(client.get(&objects[0], &minute()).await.unwrap().is_none());
}

#[tokio::test]
async fn wrong_keys_and_no_keys_are_told_apart() {
    let server = S3Server::start(false).await.unwrap();
    server.put("a", "x");
    let wrong = client_of(&server.endpoint(), keys("wrong", None), Limits::default());
    let error = listed(&wrong, "").await.unwrap_err();
    assert_eq!(error.to_string(), "wrong signature");
    assert!(!format!("{error:?}").contains("wrong\""), "{error:?}");
    let anonymous = client_of(&server.endpoint(), None, Limits::default());
    assert_eq!(listed(&anonymous, "").await.unwrap_err().to_string(), "Access Denied.");
    assert_eq!(anonymous.find(&minute()).await.unwrap_err().to_string(), "Access Denied.");
    server.set_anonymous(true);
    server.take_requests();
    assert_eq!(listed(&anonymous, "").await.unwrap().len(), 1);
    assert_eq!(server.take_requests(), ["GET list"], "who signs nothing needs no region");
}

#[tokio::test]
async fn lists_without_end_end() {
    let server = S3Server::start(false).await.unwrap();
    for key in ["a", "b", "c", "d"] {
        server.put(key, "x");
    }
    server.set_page(2);
    let limited = |limits: Limits| client_of(&server.endpoint(), keys(SECRET_KEY, None), limits);
    let error = listed(&limited(Limits { objects: 3, ..Limits::default() }), "").await.unwrap_err();
    assert_eq!(error.to_string(), "more than 3 objects");
    let error = listed(&limited(Limits { pages: 1, ..Limits::default() }), "").await.unwrap_err();
    assert_eq!(error.to_string(), "a list of more than 1 pages");
    let error = listed(&limited(Limits { page_bytes: 100, ..Limits::default() }), "").await.unwrap_err();
    assert!(error.to_string().ends_with("answer of more than 100 bytes"), "{error}");
    server.set_circle(true);
    let error = listed(&limited(Limits::default()), "").await.unwrap_err();
    assert_eq!(error.to_string(), "the list goes round in a circle");
    server.heal();
    let small = limited(Limits { object_bytes: 0, ..Limits::default() });
    let objects = listed(&small, "").await.unwrap();
    let error = content(&small, &objects[0]).await.unwrap_err().to_string();
    assert_eq!(error, format!("GET \"{}/team/a\": answer of more than 0 bytes", server.url()));
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_redirects_are_not_followed() {
    let server = S3Server::start(false).await.unwrap();
    server.put("a", "x");
    let client = client(&server);
    for status in [429, 503] {
        server.fail(2, "GET list", status, "<Error><Code>SlowDown</Code><Message>later</Message></Error>");
        assert_eq!(listed(&client, "").await.unwrap().len(), 1);
    }
    server.take_requests();
    server.fail(99, "GET list", 503, "");
    let error = listed(&client, "").await.unwrap_err();
    assert_eq!(error.to_string(), "503 Service Unavailable");
    assert_eq!(server.take_requests().len(), 10);
    server.heal();
    server.fail(1, "GET list", 403, "");
    assert_eq!(listed(&client, "").await.unwrap_err().to_string(), "Access Denied.");
    server.take_requests();
    server.fail(1, "GET list", 307, "");
    let error = listed(&client, "").await.unwrap_err();
    assert_eq!(error.to_string(), "307 Temporary Redirect");
    assert_eq!(server.take_requests(), ["GET location", "GET list"], "the region was forgotten");
}

#[tokio::test]
async fn keys_that_would_lead_elsewhere_are_not_asked_for() {
    let server = S3Server::start(false).await.unwrap();
    let client = client(&server);
    for key in ["../other/x", "a/./b", "a/.."] {
        let object = Object { key: key.to_owned(), etag: "1".to_owned(), size: 1, ..Object::default() };
        let error = client.get(&object, &minute()).await.unwrap_err().to_string();
        assert!(error.ends_with("a key with a segment '.' or '..' cannot be asked for"), "{error}");
    }
    assert_eq!(server.take_requests(), ["GET location"]);
}

/// A server that gives this answer to everybody, and the address.
fn raw(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let _ = stream.read(&mut [0; 8192]);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

#[tokio::test]
async fn bodies_that_are_not_whole_are_errors() {
    let object = Object { key: "a".to_owned(), etag: "1".to_owned(), size: 9, ..Object::default() };
    for (answer, error) in [
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\nConnection: close\r\n\r\nshort",
            "error decoding response body",
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            "an object without the header Content-Length",
        ),
        ("nonsense", "invalid HTTP version parsed"),
    ] {
        let client = client_of(&raw(answer), None, Limits::default());
        let text = content(&client, &object).await.unwrap_err().to_string();
        assert!(text.starts_with("GET \"http://127.0.0.1:"), "{text}");
        assert!(text.contains(error) || text.contains("end of file"), "{text}");
    }
}

#[tokio::test]
async fn a_server_that_says_nothing_is_waited_for_no_longer_than_allowed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let limits = Limits { idle_timeout: Duration::from_millis(50), ..Limits::default() };
    let silent = client_of(&address, None, limits);
    let error = listed(&silent, "").await.unwrap_err().to_string();
    assert_eq!(error, format!("GET \"http://{address}/team/\": nothing received for 50ms"));
    let patient = client_of(&address, None, Limits::default());
    let mut take = |_| Ok::<_, ListError>(());
    let error = patient.list("", &Deadline::new(Duration::from_millis(50)), &mut take).await.unwrap_err();
    assert_eq!(error.to_string(), format!("GET \"http://{address}/team/\": context deadline exceeded"));
}

#[tokio::test]
async fn no_object_of_s3_is_unpacked() {
    let server = S3Server::start(false).await.unwrap();
    common::assert_packed(&client(&server), &server, false).await;
}
