//! A task whose result can be taken by whoever is woken by its end.

use std::panic::{AssertUnwindSafe, resume_unwind};
use std::thread;

use futures::FutureExt;
use tokio::sync::oneshot::{self, error::TryRecvError};
use tokio::task::JoinHandle;

/// Work on a task of its own, which gives a `T`.
pub(super) struct Task<T> {
    result: oneshot::Receiver<thread::Result<T>>,
    handle: JoinHandle<()>,
}

/// What there is of a task.
pub(super) enum Look<T> {
    /// It goes on.
    Underway,
    /// What it gave.
    Done(T),
    /// It ended without a result: it was told to, or the process ends.
    Lost,
}

impl<T: Send + 'static> Task<T> {
    /// Begins `work`. `ended` is dropped when it has ended, however it did. What it gave can be taken by then: the handle of a
    /// task says only later that it is finished, and who looks in between would look in vain and not be woken again.
    pub fn spawn(work: impl Future<Output = T> + Send + 'static, ended: impl Send + 'static) -> Self {
        let (give, result) = oneshot::channel();
        let handle = tokio::spawn(async move {
            let _ended = ended;
            let done = AssertUnwindSafe(work).catch_unwind().await;
            // Who no longer waits for it has dropped it.
            let _ = give.send(done);
        });
        Self { result, handle }
    }

    /// Looks, once. A panic of the work goes on here, where panics are caught.
    pub fn look(&mut self) -> Look<T> {
        match self.result.try_recv() {
            Ok(done) => Look::Done(done.unwrap_or_else(|panic| resume_unwind(panic))),
            Err(TryRecvError::Empty) => Look::Underway,
            Err(TryRecvError::Closed) => Look::Lost,
        }
    }

    /// Waits for the result; `None` if there will be none. A panic of the work goes on here.
    pub async fn result(&mut self) -> Option<T> {
        let done = (&mut self.result).await.ok()?;
        Some(done.unwrap_or_else(|panic| resume_unwind(panic)))
    }

    /// Gives it up, without waiting for its end.
    pub fn abort(&self) {
        self.handle.abort();
    }

    /// Gives it up; what it does on other threads is told to end. Nothing of it goes on when this returns.
    pub async fn end(self) {
        self.handle.abort();
        // Whatever it has to say.
        let _ = self.handle.await;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Says that the work has ended, and waits until somebody has looked.
    struct Ended(mpsc::Sender<()>, mpsc::Receiver<()>);

    impl Drop for Ended {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
            self.1.recv().unwrap();
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_is_woken_by_the_end_finds_the_result() {
        let ((end, ended), (look, looked)) = (mpsc::channel(), mpsc::channel());
        let mut task = Task::spawn(async { 7 }, Ended(end, looked));
        tokio::task::spawn_blocking(move || {
            ended.recv().unwrap();
            let found = matches!(task.look(), Look::Done(7));
            look.send(()).unwrap();
            assert!(found, "the end is told before there is a result");
        })
        .await
        .unwrap();
    }

    #[tokio::test]
    async fn a_task_that_is_told_to_end_is_lost() {
        let mut task = Task::spawn(std::future::pending::<()>(), ());
        assert!(matches!(task.look(), Look::Underway));
        task.abort();
        assert!(task.result().await.is_none());
    }
}
