//! A client against a store that checks tokens and generations, and against a fake of Google's store that others wrote.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod common;

use std::time::Duration;

use auth::Http;
use auth::gcp::ServiceAccountKey;
use bucket::gcs::{Access, Endpoint, SCOPE};
use bucket::{Client, Limits, Object};
use common::{content, listed, minute};
use e2e::gcs_server::GcsServer;
use e2e::object_store::BUCKET;
use net::TlsConfig;
use secret::Secret;

fn client_of(url: &str, bucket: &str, token: Option<&str>, limits: Limits) -> Client {
    let access = Access { token: token.map(Secret::new), ..Access::default() };
    Client::gcs(Endpoint::emulator(url).unwrap(), bucket, access, limits).unwrap()
}

/// The token that the key of the account gets.
async fn token(server: &GcsServer) -> String {
    let http = Http::new(net::client::builder(&TlsConfig::default(), None).unwrap().build().unwrap(), 4096);
    let key = ServiceAccountKey::parse(&server.key_file()).unwrap();
    match key.token(&[SCOPE], &http).await.unwrap() {
        auth::AccessToken::Opaque { token, .. } => token.expose().to_owned(),
        auth::AccessToken::Aws(_) => String::new(),
    }
}

async fn client(server: &GcsServer) -> Client {
    client_of(&server.url(), BUCKET, Some(&token(server).await), Limits::default())
}

#[tokio::test]
async fn odd_keys_are_listed_and_fetched_with_the_token_of_a_key() {
    let server = GcsServer::start().await.unwrap();
    for key in common::ODD_KEYS {
        server.put(key, &format!("of {key}"));
    }
    for key in ["..", "a/../b"] {
        server.put(key, &format!("of {key}"));
    }
    server.set_page(3);
    let client = client(&server).await;
    let objects = listed(&client, "").await.unwrap();
    assert_eq!(objects.len(), common::ODD_KEYS.len() + 2);
    for object in objects.iter().filter(|object| object.key != "..") {
        common::assert_content(&client, object, server.etag(&object.key)).await;
    }
    let up = objects.iter().find(|object| object.key == "..").unwrap();
    let error = client.get(up, &minute()).await.unwrap_err().to_string();
    assert!(error.ends_with("a key with a segment '.' or '..' cannot be asked for"), "{error}");
    assert_eq!(listed(&client, "a b").await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_poll_costs_its_pages_and_an_object_one_request() {
    let server = GcsServer::start().await.unwrap();
    for number in 0..1001 {
        server.put(&format!("k{number:04}"), "x");
    }
    let client = client(&server).await;
    assert_eq!(server.take_requests(), ["POST /token"]);
    let objects = listed(&client, "").await.unwrap();
    assert_eq!(objects.len(), 1001);
    assert_eq!(server.take_requests(), ["GET list", "GET list"]);
    content(&client, &objects[7]).await.unwrap().unwrap();
    assert_eq!(server.take_requests(), ["GET object k0007"]);
}

#[tokio::test]
async fn an_object_that_has_changed_is_fetched_as_it_is_and_one_that_is_gone_is_none() {
    let server = GcsServer::start().await.unwrap();
    server.put("a", "old");
    let client = client(&server).await;
    let objects = listed(&client, "").await.unwrap();
    server.put("a", "new content");
    server.take_requests();
    let (etag, text) = content(&client, &objects[0]).await.unwrap().unwrap();
    assert_eq!((Some(etag), text.as_str()), (server.etag("a"), "new content"));
    assert_eq!(server.take_requests(), ["GET object a", "GET metadata a", "GET object a"]);
    assert_ne!(server.etag("a").unwrap(), objects[0].etag);
    server.remove("a");
    assert!(client.get(&objects[0], &minute()).await.unwrap().is_none());
    // Of a bucket that is gone no object is.
    server.fail(9, "GET", 404, r#"{"error": {"message": "The specified bucket does not exist."}}"#);
    let error = client.get(&objects[0], &minute()).await.unwrap_err().to_string();
    assert_eq!(error, "googleapi: Error 404: The specified bucket does not exist.");
}

#[tokio::test]
async fn who_is_not_let_in_is_told_in_the_words_of_googles_client() {
    let server = GcsServer::start().await.unwrap();
    server.put("a", "x");
    let unknown = "googleapi: Error 401: Invalid Credentials, authError";
    for token in [None, Some("s3cret")] {
        let stranger = client_of(&server.url(), BUCKET, token, Limits::default());
        let error = listed(&stranger, "").await.unwrap_err();
        assert_eq!(error.to_string(), unknown);
        assert!(!format!("{error:?}{stranger:?}").contains("s3cret"));
        assert_eq!(stranger.find(&minute()).await.unwrap_err().to_string(), unknown);
    }
    let token = token(&server).await;
    let elsewhere = client_of(&server.url(), "other", Some(&token), Limits::default());
    assert!(!elsewhere.find(&minute()).await.unwrap());
    let error = listed(&elsewhere, "").await.unwrap_err();
    assert_eq!(error.to_string(), "googleapi: Error 404: The specified bucket does not exist., notFound");
    server.rotate().unwrap();
    let old = client_of(&server.url(), BUCKET, Some(&token), Limits::default());
    assert_eq!(listed(&old, "").await.unwrap_err().to_string(), unknown, "the key is another one");
    assert_eq!(listed(&client(&server).await, "").await.unwrap().len(), 1);
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_redirects_are_not_followed() {
    let server = GcsServer::start().await.unwrap();
    server.put("a", "x");
    let client = client(&server).await;
    for status in [429, 503] {
        server.fail(2, "GET list", status, "");
        assert_eq!(listed(&client, "").await.unwrap().len(), 1);
    }
    server.take_requests();
    server.fail(1, "GET list", 403, r#"{"error": {"message": "no", "errors": [{"reason": "forbidden"}]}}"#);
    assert_eq!(listed(&client, "").await.unwrap_err().to_string(), "googleapi: Error 403: no, forbidden");
    server.fail(1, "GET list", 307, "");
    assert_eq!(listed(&client, "").await.unwrap_err().to_string(), "googleapi: Error 307:");
    assert_eq!(server.take_requests(), ["GET list", "GET list"]);
}

#[tokio::test]
async fn lists_and_objects_without_end_end() {
    let server = GcsServer::start().await.unwrap();
    for key in ["a", "b", "c", "d"] {
        server.put(key, "x");
    }
    server.set_page(2);
    let token = token(&server).await;
    let limited = |limits: Limits| client_of(&server.url(), BUCKET, Some(&token), limits);
    let error = listed(&limited(Limits { objects: 3, ..Limits::default() }), "").await.unwrap_err();
    assert_eq!(error.to_string(), "more than 3 objects");
    let error = listed(&limited(Limits { page_bytes: 100, ..Limits::default() }), "").await.unwrap_err();
    assert!(error.to_string().ends_with("answer of more than 100 bytes"), "{error}");
    server.set_circle(true);
    let error = listed(&limited(Limits::default()), "").await.unwrap_err();
    assert_eq!(error.to_string(), "the list goes round in a circle");
    server.heal();
    let small = limited(Limits { object_bytes: 0, ..Limits::default() });
    let objects = listed(&small, "").await.unwrap();
    let error = content(&small, &objects[0]).await.unwrap_err().to_string();
    assert_eq!(error, format!("GET \"{}/storage/v1/b/team/o/a\": answer of more than 0 bytes", server.url()));
    let object = Object { generation: None, ..objects[0].clone() };
    assert!(content(&limited(Limits::default()), &object).await.unwrap().is_some(), "whatever was listed");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let silent = format!("http://{}", listener.local_addr().unwrap());
    let limits = Limits { idle_timeout: Duration::from_millis(50), ..Limits::default() };
    let error = listed(&client_of(&silent, BUCKET, Some(&token), limits), "").await.unwrap_err().to_string();
    assert_eq!(error, format!("GET \"{silent}/storage/v1/b/team/o\": nothing received for 50ms"));
}

#[tokio::test]
async fn an_object_is_packed_if_its_header_says_so() {
    let server = GcsServer::start().await.unwrap();
    common::assert_packed(&client(&server).await, &server, true).await;
}
