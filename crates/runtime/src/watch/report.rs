//! What is told of a watch that fails: why, and what to do, once a minute; and that it works again.
//!
//! A watch works again when it shows something, or when the API server has answered it and it has lasted. It is not enough that no failure
//! is seen for a while: an attempt at a server that does not answer lasts for minutes. `apply::observe` counts failures of its watches by
//! a similar rule, but for its back-off, and from a new list on: it makes one after each failure, so it needs nobody who sees answers.

use std::time::Duration;

use futures::{Stream, StreamExt, future::pending, stream, stream::BoxStream};
use kube::{
    Client,
    core::Status,
    runtime::watcher::{self, Event},
};
use tokio::{
    sync::watch::Receiver,
    time::{Instant, sleep_until},
};

use super::answers::observed;
use crate::{error::chain, metrics::Metrics};

/// How often the same failure is told. Attempts are more frequent.
const REMINDER: Duration = Duration::from_secs(60);
/// How long a watch goes on without a failure before it counts as one that works.
const WATCH_LASTING: Duration = Duration::from_secs(10);

/// When the API server answered a watch of the kind last.
type Answered = Receiver<Option<Instant>>;

/// What is known of one watch.
struct Report {
    kind: String,
    metrics: Metrics,
    failing: Option<Failing>,
}

struct Failing {
    since: Instant,
    /// The last failure.
    last: Instant,
    told: Instant,
    /// The status code that the API server answered with, 0 if it did not answer.
    code: u16,
}

/// The events of a watch of a `kind`, which `watch` makes with the client that it is given. Failures are logged, with what to do, and
/// shown as `gotk_watch_failing`. Those for which `is_expected` are not.
pub fn reported<K, S>(
    client: &Client,
    kind: &str,
    metrics: &Metrics,
    is_expected: fn(&watcher::Error) -> bool,
    watch: impl FnOnce(Client) -> S,
) -> BoxStream<'static, watcher::Result<Event<K>>>
where
    K: Send + 'static,
    S: Stream<Item = watcher::Result<Event<K>>> + Send + 'static,
{
    let (client, answered) = observed(client);
    let report = Report { kind: kind.to_owned(), metrics: metrics.clone(), failing: None };
    report_on(watch(client), answered, report, is_expected).boxed()
}

fn report_on<K, S>(
    events: S,
    answered: Answered,
    report: Report,
    is_expected: fn(&watcher::Error) -> bool,
) -> impl Stream<Item = watcher::Result<Event<K>>> + Send + use<K, S>
where
    K: Send,
    S: Stream<Item = watcher::Result<Event<K>>> + Send,
{
    report.show();
    stream::unfold((Box::pin(events), answered, report), move |(mut events, mut answered, mut report)| {
        async move {
            loop {
                let failed = report.failing.as_ref().map(|failing| failing.last);
                let event = tokio::select! {
                    biased;
                    event = events.next() => event?,
                    () = lasts(&mut answered, failed) => {
                        report.works();
                        continue;
                    }
                };
                match &event {
                    // An attempt begins.
                    Ok(Event::Init | Event::InitApply(_)) => {}
                    Ok(_) => report.works(),
                    Err(error) if is_expected(error) => drop(report.ended()),
                    Err(error) => report.failed(error),
                }
                return Some((event, (events, answered, report)));
            }
        }
    })
}

/// Waits until the watch has lasted that was answered after the last failure, if it has failed.
async fn lasts(answered: &mut Answered, failed: Option<Instant>) {
    let Some(failed) = failed else { return pending().await };
    let is_later = |at: &Option<Instant>| at.is_some_and(|at| at > failed);
    match answered.wait_for(is_later).await.map(|at| *at) {
        Ok(Some(at)) => sleep_until(at + WATCH_LASTING).await,
        // Without a client there is no watch.
        Ok(None) | Err(_) => pending().await,
    }
}

impl Report {
    fn failed(&mut self, error: &watcher::Error) {
        if let Some(text) = self.reminder(error, Instant::now()) {
            tracing::error!(logger = "watch", kind = self.kind, error = text, "watch failed, trying again");
        }
        self.show();
    }

    /// The watch failed. Gives what is to be told of it, if anything.
    fn reminder(&mut self, error: &watcher::Error, now: Instant) -> Option<String> {
        let code = status(error).map(|status| status.code).unwrap_or_default();
        if let Some(failing) = &mut self.failing {
            failing.last = now;
            if failing.code == code && now < failing.told + REMINDER {
                return None;
            }
        }
        let since = self.failing.as_ref().map_or(now, |failing| failing.since);
        self.failing = Some(Failing { since, last: now, told: now, code });
        Some(explained(error, &self.kind))
    }

    /// The watch works, which is told once after a failure.
    fn works(&mut self) {
        if let Some(failing) = self.ended() {
            let seconds = failing.since.elapsed().as_secs();
            tracing::info!(logger = "watch", kind = self.kind, seconds, "the watch works again");
        }
    }

    /// It fails no more. Most events come while it does not: then nothing is done.
    fn ended(&mut self) -> Option<Failing> {
        let failing = self.failing.take()?;
        self.show();
        Some(failing)
    }

    fn show(&self) {
        self.metrics.watch_failing(&self.kind, self.failing.is_some());
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

/// What the API server answered to a watch that failed, if it did.
pub fn status(error: &watcher::Error) -> Option<&Status> {
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
    use futures::future::ready;
    use k8s_openapi::api::core::v1::ConfigMap;
    use tokio::sync::watch::Sender;

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

    fn report(metrics: &Metrics) -> Report {
        Report { kind: "ConfigMap".into(), metrics: metrics.clone(), failing: None }
    }

    fn is_failing(metrics: &Metrics) -> bool {
        metrics.render().contains("gotk_watch_failing{kind=\"ConfigMap\"} 1")
    }

    fn is_absent(error: &watcher::Error) -> bool {
        status(error).is_some_and(|status| status.code == 404)
    }

    #[test]
    fn a_failure_is_told_at_once_and_every_minute_and_when_it_is_another_one() {
        let mut report = report(&Metrics::new().unwrap());
        let begin = Instant::now();
        let mut told = |code, seconds| {
            report.reminder(&failure(code, "x"), begin + Duration::from_secs(seconds)).is_some()
        };
        let told = [told(404, 0), told(404, 1), told(403, 2), told(403, 61), told(403, 62), told(403, 63)];
        assert_eq!(told, [true, false, true, false, true, false]);
        let failing = report.failing.as_ref().map(|failing| (failing.since, failing.last));
        assert_eq!(failing, Some((begin, begin + Duration::from_secs(63))));
    }

    #[tokio::test]
    async fn a_watch_fails_until_its_list_is_complete_or_its_failure_is_expected() {
        let metrics = Metrics::new().unwrap();
        let (events, expected): (Vec<_>, Vec<_>) = [
            (Ok(Event::Init), false),
            (Err(failure(403, "no")), true),
            (Ok(Event::Init), true),
            (Ok(Event::InitApply(ConfigMap::default())), true),
            (Ok(Event::InitDone), false),
            (Err(failure(404, "absent")), false),
            (Err(failure(500, "etcd")), true),
            (Err(failure(404, "absent")), false),
            (Err(failure(500, "etcd")), true),
            (Ok(Event::Apply(ConfigMap::default())), false),
        ]
        .into_iter()
        .unzip();
        let answered = Sender::new(None);
        let events = report_on(stream::iter(events), answered.subscribe(), report(&metrics), is_absent);
        let seen: Vec<bool> = events.map(|_| is_failing(&metrics)).collect().await;
        assert_eq!(seen, expected);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_shows_nothing_works_again_when_it_was_answered_and_has_lasted() {
        let (metrics, answered) = (Metrics::new().unwrap(), Sender::new(None));
        let (send, events) = futures::channel::mpsc::unbounded::<watcher::Result<Event<ConfigMap>>>();
        let events = report_on(events, answered.subscribe(), report(&metrics), is_absent);
        let following = tokio::spawn(events.for_each(|_| ready(())));
        let after = async |time: Duration| {
            tokio::time::sleep(time).await;
            is_failing(&metrics)
        };
        let (moment, hour) = (Duration::from_millis(1), Duration::from_secs(3600));
        let failed = || {
            let lost = kube::Error::Service(std::io::Error::other("connection refused").into());
            send.unbounded_send(Err(watcher::Error::WatchStartFailed(lost))).unwrap();
        };
        let answer = || answered.send_replace(Some(Instant::now()));
        answer();
        send.unbounded_send(Ok(Event::InitDone)).unwrap();
        assert!(!after(moment).await);
        failed();
        assert!(after(moment).await);
        assert!(after(hour).await, "no attempt was answered yet");
        answer();
        assert!(after(WATCH_LASTING - moment).await);
        failed();
        assert!(after(hour).await, "it did not last");
        answer();
        assert!(!after(WATCH_LASTING + moment).await, "nothing is to be shown of a kind without changes");
        failed();
        assert!(after(moment).await, "it can fail again");
        drop(send);
        following.await.unwrap();
    }
}
