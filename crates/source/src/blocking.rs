//! Blocking work of async passes: on threads of its own, and never longer than somebody waits for it.

use std::convert::Infallible;
use std::time::Duration;

use net::Deadline;
use runtime::error::TaskError;
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;

/// How long work may go on that was told to end because the process stops.
const STOP_GRACE: Duration = Duration::from_secs(2);

/// Why blocking work gave no result.
#[derive(Debug, thiserror::Error)]
pub enum BlockingError {
    /// The process stops; what the work would have said is no news.
    #[error("the process stops")]
    Stopped,
    /// The work panicked.
    #[error(transparent)]
    Panicked(TaskError),
}

impl From<JoinError> for BlockingError {
    fn from(error: JoinError) -> Self {
        match TaskError::from(error) {
            // Only a runtime that ends cancels such work.
            TaskError::Cancelled => Self::Stopped,
            panicked @ TaskError::Panicked => Self::Panicked(panicked),
        }
    }
}

/// Runs `work`. It is told to end through `deadline` when `limit` has passed, when `stop` is cancelled, and when this
/// future is dropped; after `stop` only a success counts.
pub async fn run<T: Send + 'static, E: Send + 'static>(
    deadline: Deadline,
    limit: Option<Duration>,
    stop: &CancellationToken,
    work: impl FnOnce(&Deadline) -> Result<T, E> + Send + 'static,
) -> Result<Result<T, E>, BlockingError> {
    let (cancelled, _guard) = (deadline.clone(), deadline.cancel_on_drop());
    let mut running = tokio::task::spawn_blocking(move || work(&deadline));
    let overdue = async {
        match limit {
            Some(limit) => tokio::time::sleep(limit).await,
            None => std::future::pending().await,
        }
        cancelled.cancel();
        std::future::pending::<Infallible>().await
    };
    let done = tokio::select! {
        done = &mut running => done?,
        never = overdue => match never {},
        () = stop.cancelled() => {
            cancelled.cancel();
            tokio::time::timeout(STOP_GRACE, running).await.map_err(|_| BlockingError::Stopped)??
        }
    };
    if done.is_err() && stop.is_cancelled() {
        return Err(BlockingError::Stopped);
    }
    Ok(done)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::Instant;

    const LONG: Duration = Duration::from_secs(3600);

    /// Works until it is told to end.
    fn until_cancelled(deadline: &Deadline) -> Result<(), &'static str> {
        while !deadline.is_cancelled() {
            std::thread::sleep(Duration::from_millis(1));
        }
        Err("cancelled")
    }

    #[tokio::test]
    async fn work_is_told_when_its_time_is_over() {
        let limit = Some(Duration::from_millis(20));
        let done = run(Deadline::new(LONG), limit, &CancellationToken::new(), until_cancelled).await;
        assert_eq!(done.unwrap(), Err("cancelled"));
    }

    #[tokio::test]
    async fn a_stop_ends_work_and_silences_its_error() {
        let stop = CancellationToken::new();
        stop.cancel();
        let done = run(Deadline::new(LONG), None, &stop, until_cancelled).await;
        assert!(matches!(done, Err(BlockingError::Stopped)));
        let done = run(Deadline::new(LONG), None, &stop, |_| Ok::<_, ()>("in time")).await;
        assert_eq!(done.unwrap(), Ok("in time"));
    }

    #[tokio::test]
    async fn work_ends_when_nobody_waits() {
        let (deadline, stop) = (Deadline::new(LONG), CancellationToken::new());
        let started = Instant::now();
        let waiting = run(deadline.clone(), None, &stop, until_cancelled);
        tokio::time::timeout(Duration::from_millis(20), waiting).await.unwrap_err();
        assert!(deadline.is_cancelled() && started.elapsed() < LONG);
    }

    #[tokio::test]
    async fn a_panic_is_an_error() {
        let plain = |_: &Deadline| -> Result<(), ()> { panic!("at the disco") };
        let formatted = |_: &Deadline| -> Result<(), ()> { panic!("at the {}", "disco") };
        for work in [plain, formatted] {
            let done = run(Deadline::new(LONG), None, &CancellationToken::new(), work).await;
            assert_eq!(
                done.unwrap_err().to_string(),
                "the work panicked: the log of the controller says where"
            );
        }
    }
}
