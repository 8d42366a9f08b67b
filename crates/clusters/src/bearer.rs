//! Tokens that end: each request gets one that is good.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    time::{Duration, SystemTime},
};

use http::{HeaderValue, Request, StatusCode, header::AUTHORIZATION};
use kube::{Client, client::Body};
use secret::Secret;
use tokio::sync::Mutex;
use tower::BoxError;

/// Longest time that a token is used, however long it is good for. As with Flux, where it is `--token-cache-max-duration`.
const LONGEST: Duration = Duration::from_secs(3600);

/// A token, and when it ends.
#[derive(Clone, Debug)]
pub struct Token {
    /// The token.
    pub secret: Secret,
    /// When it is of no use any longer.
    pub expires: SystemTime,
}

/// Makes tokens.
pub trait TokenSource: Send + Sync {
    /// A new token.
    ///
    /// # Errors
    /// When there is none to be had.
    fn token(&self) -> Pin<Box<dyn Future<Output = Result<Token, BoxError>> + Send + '_>>;
}

struct Bearer {
    source: Arc<dyn TokenSource>,
    /// The token, and when another one is wanted.
    kept: Mutex<Option<(HeaderValue, SystemTime)>>,
}

impl Bearer {
    /// The header of the next request. All who need a new token wait for the same one.
    async fn header(&self) -> Result<HeaderValue, BoxError> {
        let mut kept = self.kept.lock().await;
        let now = SystemTime::now();
        if let Some((header, until)) = &*kept
            && now < *until
        {
            return Ok(header.clone());
        }
        let token = self.source.token().await?;
        // The source of the error would show the token.
        let header = HeaderValue::from_str(&format!("Bearer {}", token.secret.expose()));
        let mut header = header.map_err(|_| BoxError::from("the token cannot be sent in a header"))?;
        header.set_sensitive(true);
        // A token is renewed at 80 % of its life, as with Flux.
        let life = token.expires.duration_since(now).unwrap_or_default().mul_f64(0.8).min(LONGEST);
        *kept = Some((header.clone(), now + life));
        Ok(header)
    }

    /// The server does not take this token: the next request gets another one.
    async fn refused(&self, header: &HeaderValue) {
        let mut kept = self.kept.lock().await;
        if kept.as_ref().is_some_and(|(known, _)| known == header) {
            *kept = None;
        }
    }
}

/// A client whose requests show tokens of this source.
pub fn with_bearer(client: &Client, source: Arc<dyn TokenSource>) -> Client {
    let bearer = Arc::new(Bearer { source, kept: Mutex::default() });
    let inner = client.clone();
    let service = tower::service_fn(move |mut request: Request<Body>| {
        let (bearer, inner) = (bearer.clone(), inner.clone());
        async move {
            let header = bearer.header().await?;
            request.headers_mut().insert(AUTHORIZATION, header.clone());
            let answer = inner.send(request).await?;
            if answer.status() == StatusCode::UNAUTHORIZED {
                bearer.refused(&header).await;
            }
            Ok::<_, BoxError>(answer)
        }
    });
    Client::new(service, client.default_namespace().to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::{
        Mutex as StdMutex,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    /// Gives `t1`, `t2`, …, each good for this long.
    struct Counting(AtomicUsize, Duration);

    impl TokenSource for Counting {
        fn token(&self) -> Pin<Box<dyn Future<Output = Result<Token, BoxError>> + Send + '_>> {
            let number = self.0.fetch_add(1, Ordering::Relaxed) + 1;
            let secret = Secret::new(format!("t{number}"));
            let expires = SystemTime::now() + self.1;
            Box::pin(async move { Ok(Token { secret, expires }) })
        }
    }

    /// Sends so many requests to a server that refuses the first token; gives the tokens that it saw.
    async fn seen(life: Duration, requests: usize) -> Vec<String> {
        let shown = Arc::new(StdMutex::new(Vec::new()));
        let taken_down = shown.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let header = request.headers()[AUTHORIZATION].to_str().unwrap().to_owned();
            let status = if header == "Bearer t1" { 401 } else { 200 };
            taken_down.lock().unwrap().push(header.replace("Bearer ", ""));
            let answer = http::Response::builder().status(status).body(Body::empty()).unwrap();
            async move { Ok::<_, std::io::Error>(answer) }
        });
        let client =
            with_bearer(&Client::new(service, "default"), Arc::new(Counting(AtomicUsize::new(0), life)));
        for _ in 0..requests {
            client.send(Request::get("/").body(Body::empty()).unwrap()).await.unwrap();
        }
        shown.lock().unwrap().clone()
    }

    #[tokio::test]
    async fn a_token_is_used_until_it_ends_or_is_refused() {
        assert_eq!(seen(Duration::from_secs(600), 3).await, ["t1", "t2", "t2"]);
        assert_eq!(seen(Duration::ZERO, 3).await, ["t1", "t2", "t3"]);
    }
}
