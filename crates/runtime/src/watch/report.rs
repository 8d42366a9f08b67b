//! What is told of a watch that fails: why, and what to do, once a minute; and that it works again.

use std::time::{Duration, Instant};

use futures::{Stream, StreamExt};
use kube::{
    core::Status,
    runtime::watcher::{self, Event},
};

use crate::{error::chain, metrics::Metrics};

/// How often the same failure is told. Attempts are more frequent.
const REMINDER: Duration = Duration::from_secs(60);

/// What is known of one watch.
struct Report {
    kind: String,
    failing: Option<Failing>,
}

struct Failing {
    since: Instant,
    told: Instant,
    /// The status code that the API server answered with, 0 if it did not answer.
    code: u16,
}

/// The same events. Failures of the watch of a `kind` are logged, with what to do, and shown as `gotk_watch_failing`. Those for which
/// `is_expected` are not.
pub fn reported<K, S>(
    events: S,
    kind: &str,
    metrics: &Metrics,
    is_expected: fn(&watcher::Error) -> bool,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + use<K, S>
where
    S: Stream<Item = watcher::Result<Event<K>>> + Send,
{
    let (mut report, metrics) = (Report { kind: kind.to_owned(), failing: None }, metrics.clone());
    metrics.watch_failing(kind, false);
    events.inspect(move |event| {
        match event {
            Err(error) if is_expected(error) => return,
            Err(error) => {
                if let Some(text) = report.failed(error, Instant::now()) {
                    tracing::error!(
                        logger = "watch",
                        kind = report.kind,
                        error = text,
                        "watch failed, trying again"
                    );
                }
            }
            // An attempt begins.
            Ok(Event::Init | Event::InitApply(_)) => return,
            Ok(_) => {
                if let Some(since) = report.works() {
                    let seconds = since.elapsed().as_secs();
                    tracing::info!(logger = "watch", kind = report.kind, seconds, "the watch works again");
                }
            }
        }
        metrics.watch_failing(&report.kind, report.failing.is_some());
    })
}

impl Report {
    /// The watch failed. Gives what is to be told of it, if anything.
    fn failed(&mut self, error: &watcher::Error, now: Instant) -> Option<String> {
        let code = status(error).map(|status| status.code).unwrap_or_default();
        let before = self.failing.as_ref();
        if before.is_some_and(|before| before.code == code && now < before.told + REMINDER) {
            return None;
        }
        let since = before.map_or(now, |before| before.since);
        self.failing = Some(Failing { since, told: now, code });
        Some(explained(error, &self.kind))
    }

    /// The watch works. Gives since when it has not.
    fn works(&mut self) -> Option<Instant> {
        self.failing.take().map(|failing| failing.since)
    }
}

fn cause(error: &watcher::Error) -> Option<&kube::Error> {
    match error {
        watcher::Error::InitialListFailed(cause)
        | watcher::Error::WatchStartFailed(cause)
        | watcher::Error::WatchFailed(cause) => Some(cause),
        watcher::Error::WatchError(_) | watcher::Error::NoResourceVersion => None,
    }
}

/// What the API server answered.
fn status(error: &watcher::Error) -> Option<&Status> {
    match (error, cause(error)) {
        (watcher::Error::WatchError(status), _) | (_, Some(kube::Error::Api(status))) => Some(status),
        _ => None,
    }
}

/// Why a watch failed, and what to do if somebody has to do something.
fn explained(error: &watcher::Error, kind: &str) -> String {
    match (status(error), cause(error)) {
        (Some(status), _) => match status.code {
            401 => format!(
                "{}: the API server does not know who asks; check the service account of the Pod, or the kubeconfig",
                status.message
            ),
            403 => format!("{}; grant that right (config/rbac, or the chart's rbac.create)", status.message),
            404 => format!("{kind} is not served; install its CRD (config/crd/bases, or the chart)"),
            _ => status.message.clone(),
        },
        (None, Some(cause)) => format!("the API server cannot be asked: {}", chain(cause)),
        (None, None) => chain(error),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use futures::{executor::block_on, stream};
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn failure(code: u16, message: &str) -> watcher::Error {
        let status = Status::failure(message, "Reason").with_code(code);
        watcher::Error::InitialListFailed(kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn a_failure_says_what_to_do() {
        let no_answer = std::io::Error::other("connection refused");
        for (error, text) in [
            (
                failure(401, "Unauthorized"),
                "Unauthorized: the API server does not know who asks; check the service account of the Pod, or the kubeconfig",
            ),
            (
                failure(403, "may not list"),
                "may not list; grant that right (config/rbac, or the chart's rbac.create)",
            ),
            (
                failure(404, "404 page not found"),
                "Bucket is not served; install its CRD (config/crd/bases, or the chart)",
            ),
            (failure(500, "etcd"), "etcd"),
            (
                watcher::Error::WatchStartFailed(kube::Error::Service(no_answer.into())),
                "the API server cannot be asked: ServiceError: connection refused",
            ),
        ] {
            assert_eq!(explained(&error, "Bucket"), text);
        }
    }

    #[test]
    fn a_failure_is_told_at_once_and_every_minute_and_when_it_is_another_one() {
        let mut report = Report { kind: "Bucket".into(), failing: None };
        let begin = Instant::now();
        let mut told = |code, seconds| {
            report.failed(&failure(code, "x"), begin + Duration::from_secs(seconds)).is_some()
        };
        let told = [told(404, 0), told(404, 1), told(403, 2), told(403, 61), told(403, 62), told(403, 63)];
        assert_eq!(told, [true, false, true, false, true, false]);
        assert_eq!(report.works(), Some(begin));
        assert_eq!(report.works(), None);
    }

    #[test]
    fn a_watch_fails_until_its_list_is_complete() {
        let metrics = Metrics::new().unwrap();
        let events = [
            Ok(Event::Init),
            Err(failure(403, "no")),
            Ok(Event::Init),
            Ok(Event::InitApply(ConfigMap::default())),
            Ok(Event::InitDone),
            Err(failure(404, "absent")),
        ];
        let events = reported(stream::iter(events), "ConfigMap", &metrics, |error| {
            status(error).is_some_and(|status| status.code == 404)
        });
        let failing = |_| metrics.render().contains("gotk_watch_failing{kind=\"ConfigMap\"} 1");
        let seen: Vec<bool> = block_on(events.map(failing).collect());
        assert_eq!(seen, [false, true, true, true, false, false]);
    }
}
