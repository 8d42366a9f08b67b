//! Waiting until controllers have nothing to do: how a test shows that something does not happen.
//!
//! Being idle is no proof that an event has arrived. So a test first causes what must have no effect, then something later
//! in the same watch that must have one (another object of the kind, a requested run of the same object), waits for that
//! effect, and for idleness; what was not done by then was not asked for.

use anyhow::Result;

use crate::controller::{Controller, sum};
use crate::wait::{self, LIMIT, Not, not_yet};

/// Series that are 0 in a controller that has nothing queued, no pass and no run under way. A fetch of source-controller
/// that outlasts its pass is in none of them.
const BUSY: [&str; 3] = ["workqueue_depth", "workqueue_unfinished_work_seconds", "gotk_oldest_run_seconds"];

/// Series that grow with each object that is queued and each pass that is over.
const DONE: [&str; 2] = ["workqueue_adds_total", "controller_runtime_reconcile_total"];

/// Waits until all of these controllers have had nothing to do between two looks at each. What is due later, such as the
/// next run by interval or a retry, is not waited for.
pub async fn idle(controllers: &[&Controller]) -> Result<()> {
    let mut before = Vec::new();
    wait::until(LIMIT, async || {
        let mut now = Vec::new();
        for controller in controllers {
            now.push(work(controller).await?);
        }
        if now == before {
            return Ok(());
        }
        before.clone_from(&now);
        Err(Not::Yet(format!("queued and done: {now:?}")))
    })
    .await
}

/// What an idle controller has done so far.
async fn work(controller: &Controller) -> Result<[f64; 2], Not> {
    work_of(&controller.metrics().await.map_err(not_yet)?)
}

/// The same of series that were read before.
pub fn work_of(series: &str) -> Result<[f64; 2], Not> {
    let value = |name: &&str| sum(series, name, &[]);
    if let Some(busy) = BUSY.iter().find(|name| value(name) > 0.0) {
        return Err(Not::Yet(format!("{busy} is {}", value(busy))));
    }
    Ok(DONE.each_ref().map(value))
}
