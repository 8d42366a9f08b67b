//! When the API server answered the watches of a client. kube-runtime says nothing of a watch that begins again, and so nothing ever for a
//! kind whose objects do not change.

use kube::{Client, client::Body};
use tokio::{
    sync::watch::{Receiver, Sender},
    time::Instant,
};

/// The same client, and when a watch of it was answered last.
pub(super) fn observed(client: &Client) -> (Client, Receiver<Option<Instant>>) {
    let (inner, answered) = (client.clone(), Sender::new(None));
    let seen = answered.subscribe();
    let service = tower::service_fn(move |request: http::Request<Body>| {
        let (inner, answered) = (inner.clone(), answered.clone());
        let is_watch = request.uri().query().is_some_and(|query| query.split('&').any(|p| p == "watch=true"));
        async move {
            let answer = inner.send(request).await?;
            if is_watch && answer.status().is_success() {
                answered.send_replace(Some(Instant::now()));
            }
            Ok::<_, kube::Error>(answer)
        }
    });
    (Client::new(service, client.default_namespace().to_owned()), seen)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_a_watch_that_the_server_accepts_is_an_answer() {
        for (query, status, is_seen) in [
            ("watch=true&resourceVersion=1", 200, true),
            ("allowWatchBookmarks=true&watch=true", 200, true),
            ("watch=true", 500, false),
            ("watch=true", 403, false),
            ("limit=500", 200, false),
        ] {
            let server = tower::service_fn(move |_: http::Request<Body>| async move {
                http::Response::builder().status(status).body(Body::empty())
            });
            let (client, seen) = observed(&Client::new(server, "default"));
            let request = http::Request::get(format!("/api/v1/secrets?{query}")).body(Body::empty()).unwrap();
            client.send(request).await.unwrap();
            assert_eq!(seen.borrow().is_some(), is_seen, "{query} {status}");
        }
    }
}
