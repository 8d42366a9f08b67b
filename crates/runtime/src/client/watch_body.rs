//! The events of a watch, within bounds of time and memory.
//!
//! A server that ends a watch as soon as it began would be asked again at once, for ever: so for its reader a watch lasts
//! a second at least. One that goes on although the server should have ended it long ago is taken for dead: nothing may
//! have come through for all that time.

use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Body;
use tokio::time::{Instant, sleep_until, timeout_at};
use tower::BoxError;

use super::{ResponseBody, TooLarge};

/// How long a watch lasts at least.
const SHORTEST: Duration = Duration::from_secs(1);
/// How much longer than asked for a watch may last.
const WATCH_END_SLACK: Duration = Duration::from_secs(30);
/// The longest time that kube-apiserver takes by itself for a watch that asks for none.
const DEFAULT_WATCH_TIMEOUT: Duration = Duration::from_secs(3600);

/// How long the watch of a query may last; `None` when it is no watch.
pub(super) fn longest(query: &str) -> Option<Duration> {
    let mut watch = false;
    let mut longest = DEFAULT_WATCH_TIMEOUT;
    for parameter in query.split('&') {
        if parameter == "watch=true" {
            watch = true;
        } else if let Some(Ok(seconds)) = parameter.strip_prefix("timeoutSeconds=").map(str::parse) {
            longest = Duration::from_secs(seconds).min(DEFAULT_WATCH_TIMEOUT);
        }
    }
    watch.then_some(longest + WATCH_END_SLACK)
}

/// A watch that has just begun; `held` is let go of with it. No event may have more than `line` bytes.
pub(super) fn bounded<B>(body: B, longest: Duration, line: usize, held: impl Send + 'static) -> ResponseBody
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError> + Send,
{
    let began = Instant::now();
    let frames = stream::unfold(Some((body, 0, held)), move |watch| async move {
        let (mut body, begun, held) = watch?;
        match timeout_at(began + longest, body.frame()).await {
            Ok(Some(Ok(frame))) => {
                let (ended, begun) = lines(begun, frame.data_ref().map_or(&[], |data| data));
                match ended > line {
                    true => Some((Err(TooLarge("an event of the watch", line).into()), None)),
                    false => Some((Ok(frame), Some((body, begun, held)))),
                }
            }
            Ok(Some(Err(error))) => Some((Err(error.into()), None)),
            Ok(None) => {
                sleep_until(began + SHORTEST).await;
                None
            }
            Err(_) => Some((Err(Overdue(longest).into()), None)),
        }
    });
    StreamBody::new(frames).boxed_unsync()
}

/// Of a line that had so many bytes before, how many it has with the first of these, and how many has the last one, which goes on.
fn lines(begun: usize, data: &[u8]) -> (usize, usize) {
    let is_end = |byte: &u8| *byte == b'\n';
    let first = begun + data.iter().position(is_end).unwrap_or(data.len());
    (first, data.iter().rposition(is_end).map_or(first, |end| data.len() - end - 1))
}

#[derive(Debug, thiserror::Error)]
#[error("the watch did not end within {}s", .0.as_secs())]
struct Overdue(Duration);

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use http_body_util::{Empty, Full};
    use hyper::body::Frame;

    #[test]
    fn a_watch_may_last_somewhat_longer_than_it_asked_for() {
        assert_eq!(longest("limit=500"), None);
        assert_eq!(longest("watch=true&timeoutSeconds=290"), Some(Duration::from_secs(320)));
        assert_eq!(longest("timeoutSeconds=x&watch=true"), Some(DEFAULT_WATCH_TIMEOUT + WATCH_END_SLACK));
        assert_eq!(
            longest("watch=true&timeoutSeconds=18446744073709551615"),
            Some(DEFAULT_WATCH_TIMEOUT + WATCH_END_SLACK)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_ends_at_once_lasts_a_second_for_its_reader() {
        let began = Instant::now();
        let mut watch = bounded(Full::new(Bytes::from_static(b"event")), DEFAULT_WATCH_TIMEOUT, 1000, ());
        assert_eq!(watch.frame().await.unwrap().unwrap().into_data().unwrap(), "event");
        assert_eq!(began.elapsed(), Duration::ZERO, "what it tells comes at once");
        assert!(watch.frame().await.is_none());
        assert_eq!(began.elapsed(), SHORTEST);
        tokio::time::sleep(SHORTEST).await;
        let watch = bounded(Empty::<Bytes>::new(), DEFAULT_WATCH_TIMEOUT, 1000, ());
        watch.collect().await.unwrap();
        assert_eq!(began.elapsed(), 3 * SHORTEST);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_is_silent_beyond_its_time_fails() {
        let silent = StreamBody::new(stream::pending::<Result<Frame<Bytes>, BoxError>>());
        let mut watch = bounded(silent, Duration::from_secs(320), 1000, ());
        let error = watch.frame().await.unwrap().unwrap_err();
        assert_eq!(error.to_string(), "the watch did not end within 320s");
        assert!(watch.frame().await.is_none());
    }

    #[tokio::test]
    async fn an_event_has_a_limit_and_the_watch_has_none() {
        let frames = |frames: &[&'static str]| {
            let frames: Vec<_> =
                frames.iter().map(|text| Ok(Frame::data(Bytes::from_static(text.as_bytes())))).collect();
            bounded(
                StreamBody::new(stream::iter::<Vec<Result<_, BoxError>>>(frames)),
                DEFAULT_WATCH_TIMEOUT,
                5,
                (),
            )
        };
        let read = |watch: ResponseBody| async { watch.collect().await.map(|all| all.to_bytes()) };
        for fits in [&["12345\n12345\n", "12345"][..], &["123", "45\n", "\n\n12345"], &["1\n2345", "6\n"]] {
            assert_eq!(read(frames(fits)).await.unwrap(), fits.concat());
        }
        for too_long in [&["123456"][..], &["12345", "6\n"], &["1\n2345", "67\n"], &["1\n", "1", "2345", "6"]]
        {
            let error = read(frames(too_long)).await.unwrap_err();
            assert_eq!(error.to_string(), "an event of the watch has more than 5 bytes");
        }
    }

    #[tokio::test]
    async fn a_watch_that_ends_lets_go_of_what_it_holds() {
        let held = std::sync::Arc::new(());
        let watch = bounded(Empty::<Bytes>::new(), DEFAULT_WATCH_TIMEOUT, 1000, held.clone());
        assert_eq!(std::sync::Arc::strong_count(&held), 2);
        drop(watch);
        assert_eq!(std::sync::Arc::strong_count(&held), 1);
    }
}
