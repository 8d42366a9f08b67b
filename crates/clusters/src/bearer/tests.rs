#![allow(clippy::unwrap_used)]

use std::{
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use auth::{Environment, TokenCache};
use identity::{Clouds, Tokens};
use references::ObjectIdentity;
use runtime::metrics::Metrics;
use serde_json::json;

use super::*;
use crate::tokens::Kind;

/// An API server whose service account has the tokens `t1`, `t2`, …, each good for this long.
fn api_server(life: Duration) -> Client {
    let made = Arc::new(AtomicUsize::new(0));
    let service = tower::service_fn(move |request: Request<Body>| {
        let answer = match request.uri().path().ends_with("/token") {
            true => {
                let token = format!("t{}", made.fetch_add(1, Ordering::Relaxed) + 1);
                let end = k8s_openapi::jiff::Timestamp::now() + life;
                json!({"spec": {"audiences": []}, "status": {"token": token, "expirationTimestamp": end}})
            }
            false => json!({"metadata": {"name": "me", "namespace": "ns"}}),
        };
        let answer = http::Response::new(Body::from(answer.to_string().into_bytes()));
        async move { Ok::<_, std::io::Error>(answer) }
    });
    Client::new(service, "default")
}

/// The tokens that a cluster sees which answers 401 to `refused`, while so many requests are sent, and the status of the last.
async fn seen(
    life: Duration,
    cache: TokenCache,
    refused: &'static [&'static str],
    requests: usize,
) -> (Vec<String>, StatusCode) {
    let api = api_server(life);
    let identity = ObjectIdentity::get(&api, "ns", "me").await.unwrap();
    let clouds =
        Clouds::new(api, Environment::default(), Tokens::new(cache, &Metrics::new().unwrap()).unwrap());
    let (kind, timeout) =
        (Kind::Account(Box::new(identity), "https://cluster".to_owned()), Duration::from_secs(60));
    let shown = Arc::new(Mutex::new(Vec::new()));
    let taken_down = shown.clone();
    let cluster = tower::service_fn(move |request: Request<Body>| {
        let shown = taken_down.clone();
        async move {
            let header =
                request.headers().get(AUTHORIZATION).unwrap().to_str().unwrap().replace("Bearer ", "");
            assert_eq!(request.uri().path(), "/x");
            assert_eq!(request.into_body().collect_bytes().await.unwrap(), "body");
            let status = if refused.contains(&header.as_str()) { 401 } else { 200 };
            shown.lock().unwrap().push(header);
            Ok::<_, std::io::Error>(http::Response::builder().status(status).body(Body::empty()).unwrap())
        }
    });
    let tokens = Arc::new(ClusterTokens { clouds, kind, timeout });
    let client = with_bearer(&Client::new(cluster, "default"), tokens);
    let mut status = StatusCode::OK;
    for _ in 0..requests {
        let request = Request::post("/x").body(Body::from(b"body".to_vec())).unwrap();
        status = client.send(request).await.unwrap().status();
    }
    let shown = shown.lock().unwrap().clone();
    (shown, status)
}

const LONG: Duration = Duration::from_secs(600);

fn cache(size: usize, life: Duration) -> TokenCache {
    TokenCache::new(size, life)
}

#[tokio::test]
async fn a_token_is_used_until_it_ends() {
    assert_eq!(seen(LONG, cache(9, LONG), &[], 3).await.0, ["t1", "t1", "t1"]);
    assert_eq!(seen(Duration::ZERO, cache(9, LONG), &[], 3).await.0, ["t1", "t2", "t3"]);
    assert_eq!(seen(LONG, cache(9, Duration::ZERO), &[], 3).await.0, ["t1", "t2", "t3"]);
    assert_eq!(seen(LONG, cache(0, LONG), &[], 3).await.0, ["t1", "t2", "t3"]);
}

#[tokio::test]
async fn a_token_that_is_refused_is_replaced_at_once() {
    let (shown, status) = seen(LONG, cache(9, LONG), &["t1"], 2).await;
    assert_eq!((shown, status), (vec!["t1".to_owned(), "t2".into(), "t2".into()], StatusCode::OK));
}

#[tokio::test]
async fn a_request_is_sent_again_once_only() {
    let (shown, status) = seen(LONG, cache(9, LONG), &["t1", "t2", "t3"], 1).await;
    assert_eq!((shown, status), (vec!["t1".to_owned(), "t2".into()], StatusCode::UNAUTHORIZED));
}
