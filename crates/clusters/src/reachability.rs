//! Whether the API server of a cluster answers, as its last requests showed.
//!
//! Each request to a server that is gone costs its whole timeout. So after a few failures in a row the next ones fail at once, but for
//! a single one now and then that tries again.

use std::{
    future::Future,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use http::Request;
use kube::{Client, client::Body};
use runtime::{controller::give_up_turn, error::chain};
use tokio::time::{Instant, timeout};
use tower::BoxError;

/// So many failures in a row are no accident.
const FAILURES: u32 = 2;
/// How long requests fail at once after that.
const PAUSE: Duration = Duration::from_secs(10);

/// A pass that waits longer for an answer goes on without its turn.
const PATIENCE: Duration = Duration::from_millis(500);

/// The server does not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the API server {server} does not answer: {cause}")]
pub struct Unreachable {
    /// Its URL.
    pub server: String,
    /// What the last request came to.
    pub cause: String,
}

/// What is known of a server. Clones share it.
#[derive(Clone, Debug)]
pub struct Reachability {
    server: String,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    answered: Option<Instant>,
    failures: u32,
    cause: String,
    /// When the next request may be tried.
    next_try: Option<Instant>,
}

impl Reachability {
    /// A server of which nothing is known yet.
    pub fn new(server: String) -> Self {
        Self { server, state: Arc::default() }
    }

    /// Whether it has answered within this time and not failed since.
    pub fn has_answered_within(&self, time: Duration) -> bool {
        let state = self.lock();
        state.failures == 0 && state.answered.is_some_and(|at| at.elapsed() <= time)
    }

    /// Whether the last request got no answer.
    pub fn is_failing(&self) -> bool {
        self.lock().failures > 0
    }

    /// A client that takes down what becomes of its requests, and sends none to a server that does not answer.
    pub fn guard(&self, client: &Client) -> Client {
        let (reachability, inner) = (self.clone(), client.clone());
        let service = tower::service_fn(move |request: Request<Body>| {
            let (reachability, inner) = (reachability.clone(), inner.clone());
            async move {
                reachability.admit(Instant::now())?;
                let answer = patiently(inner.send(request)).await;
                match &answer {
                    Ok(_) => reachability.answered(),
                    Err(error) => drop(reachability.failed(chain(error))),
                }
                answer.map_err(BoxError::from)
            }
        });
        Client::new(service, client.default_namespace().to_owned())
    }

    /// Whether a request may be sent now.
    fn admit(&self, now: Instant) -> Result<(), Unreachable> {
        let mut state = self.lock();
        if state.failures < FAILURES {
            return Ok(());
        }
        if state.next_try.is_none_or(|next| next <= now) {
            // This one tries; the others wait for what it finds.
            state.next_try = Some(now + PAUSE);
            return Ok(());
        }
        Err(Unreachable { server: self.server.clone(), cause: state.cause.clone() })
    }

    /// The server gave an answer, whatever it says.
    pub(crate) fn answered(&self) {
        *self.lock() = State { answered: Some(Instant::now()), ..State::default() };
    }

    /// A request got no answer.
    pub(crate) fn failed(&self, cause: String) -> Unreachable {
        let mut state = self.lock();
        state.failures = state.failures.saturating_add(1);
        state.next_try = Some(Instant::now() + PAUSE);
        state.cause.clone_from(&cause);
        Unreachable { server: self.server.clone(), cause }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for an answer; one that is not there soon keeps no pass waiting that needs nothing of this server.
async fn patiently<T>(answer: impl Future<Output = T>) -> T {
    let mut answer = pin!(answer);
    match timeout(PATIENCE, &mut answer).await {
        Ok(answer) => answer,
        Err(_) => {
            give_up_turn();
            answer.await
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    /// A client of a server that answers while it is up, and how many requests came.
    fn server() -> (Client, Arc<AtomicBool>, Arc<AtomicUsize>) {
        let (up, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicUsize::new(0)));
        let (is_up, count) = (up.clone(), asked.clone());
        let service = tower::service_fn(move |_: Request<Body>| {
            count.fetch_add(1, Ordering::Relaxed);
            let answers = is_up.load(Ordering::Relaxed);
            async move {
                if answers {
                    Ok(http::Response::new(Body::empty()))
                } else {
                    Err(std::io::Error::other("gone"))
                }
            }
        });
        (Client::new(service, "default"), up, asked)
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_answer_is_asked_now_and_then_only() {
        let (client, up, asked) = server();
        let reachability = Reachability::new("https://a.example/".to_owned());
        let guarded = reachability.guard(&client);
        let send = || guarded.send(Request::get("/").body(Body::empty()).unwrap());
        assert!(!reachability.has_answered_within(PAUSE));
        send().await.unwrap();
        assert!(reachability.has_answered_within(PAUSE));
        up.store(false, Ordering::Relaxed);
        for _ in 0..10 {
            assert!(send().await.is_err());
        }
        assert_eq!(asked.load(Ordering::Relaxed), 1 + FAILURES as usize);
        assert!(!reachability.has_answered_within(PAUSE));
        let error = chain(&send().await.unwrap_err());
        assert!(error.contains("the API server https://a.example/ does not answer: "), "{error}");
        tokio::time::advance(PAUSE).await;
        for _ in 0..10 {
            assert!(send().await.is_err());
        }
        assert_eq!(asked.load(Ordering::Relaxed), 2 + FAILURES as usize, "one tries");
        up.store(true, Ordering::Relaxed);
        tokio::time::advance(PAUSE).await;
        for _ in 0..10 {
            send().await.unwrap();
        }
        assert!(reachability.has_answered_within(PAUSE));
        tokio::time::advance(PAUSE * 2).await;
        assert!(!reachability.has_answered_within(PAUSE), "that is long ago");
    }
}
