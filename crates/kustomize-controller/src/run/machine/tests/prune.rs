//! Deleting what is no longer wanted.

use api::kustomize::reasons::RECONCILIATION_FAILED;
use apply::prune::{Entry, Pruned};

use super::script::{Script, drive_all, entry, inputs, run};
use crate::run::{Failure, PruneGuard};

fn stale() -> Vec<Entry> {
    vec![entry("ConfigMap", "a"), entry("ConfigMap", "old"), entry("Secret", "s")]
}

#[tokio::test(start_paused = true)]
async fn stale_objects_are_pruned_before_health_is_looked_for() {
    let (mut run, mut script) = (run(stale()), Script::default());
    assert_eq!(drive_all(&mut run, &mut script).await.1, "succeeded");
    assert_eq!(script.asked[3..], ["applied", "prune ConfigMap/old Secret/s", "health checks"]);
    assert_eq!(run.progress.inventory, Some(vec![entry("ConfigMap", "a")]));
}

#[tokio::test(start_paused = true)]
async fn stale_objects_stay_and_leave_the_inventory_if_pruning_is_off() {
    let (mut run, mut script) = (run(stale()), Script::default());
    run.plan.prune = false;
    assert_eq!(drive_all(&mut run, &mut script).await.1, "succeeded");
    assert_eq!(script.asked[3..], ["applied", "health checks"]);
    assert_eq!(run.progress.inventory, Some(vec![entry("ConfigMap", "a")]));
}

#[tokio::test(start_paused = true)]
async fn pruning_waits_for_others_of_the_source_and_not_for_ever() {
    let (mut run, mut script) = (run(stale()), Script { handover_pending: true, ..Script::default() });
    let (waits, end) = drive_all(&mut run, &mut script).await;
    assert_eq!((waits, end.as_str()), (vec![("Prune".to_owned(), 30)], "succeeded"));
    assert!(script.asked.contains(&"prune ConfigMap/old Secret/s".to_owned()));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_waited_for_if_nothing_is_stale() {
    let (mut run, mut script) = (run(vec![]), Script { handover_pending: true, ..Script::default() });
    assert_eq!(drive_all(&mut run, &mut script).await, (vec![], "succeeded".into()));
}

/// An inventory of `a`, which is still wanted, and others, which are not.
fn large(others: usize) -> Vec<Entry> {
    let names = (0..others).map(|number| format!("old-{number}"));
    [entry("ConfigMap", "a")].into_iter().chain(names.map(|name| entry("ConfigMap", &name))).collect()
}

#[tokio::test(start_paused = true)]
async fn guarded_objects_are_not_pruned_and_nothing_is_applied_or_written() {
    let (mut run, mut script) = (run(large(11)), Script::default());
    run.plan.prune_guard = PruneGuard::new(90, None);
    let ended = drive_all(&mut run, &mut script).await.1;
    assert!(
        ended.starts_with("PruneFailed: 11 of 12 objects of the inventory are no longer there"),
        "{ended}"
    );
    assert_eq!(script.asked, ["download", "build"], "so the next try finds the same inventory");
    assert!(run.progress.inventory.is_none() && run.progress.attempted);
}

#[tokio::test(start_paused = true)]
async fn a_guard_does_not_mind_a_small_part_nor_runs_that_prune_nothing() {
    let guarded = |inventory: Vec<Entry>, percent| {
        let mut run = run(inventory);
        run.plan.prune_guard = PruneGuard::new(percent, None);
        run
    };
    let mut small_part = guarded(large(11), 92);
    assert_eq!(drive_all(&mut small_part, &mut Script::default()).await.1, "succeeded");
    let mut keeps_all = guarded(large(11), 50);
    keeps_all.plan.prune = false;
    assert_eq!(drive_all(&mut keeps_all, &mut Script::default()).await.1, "succeeded");
    let (mut unchanged, build) = (guarded(large(11), 50), Some(inputs("d2")));
    let mut script = Script { unchanged: build, ..Script::default() };
    assert_eq!(drive_all(&mut unchanged, &mut script).await.1, "succeeded");
}

#[tokio::test(start_paused = true)]
async fn objects_that_cannot_be_pruned_stay_in_the_inventory_and_fail_the_run() {
    let (mut run, mut script) = (run(stale()), Script::default());
    let failed = vec![(entry("Secret", "s"), "Secret/s delete failed: no".to_owned())];
    let claimed = vec![entry("ConfigMap", "old")];
    script.pruned = Some(Ok(Pruned { failed, claimed, ..Pruned::default() }));
    let ended = drive_all(&mut run, &mut script).await.1;
    assert_eq!(ended, "PruneFailed: delete failed, errors: Secret/s delete failed: no;");
    let inventory = [entry("ConfigMap", "a"), entry("Secret", "s"), entry("ConfigMap", "old")];
    assert_eq!(run.progress.inventory.as_deref(), Some(&inventory[..]));
}

#[tokio::test(start_paused = true)]
async fn claimed_objects_stay_in_the_inventory_and_fail_nothing() {
    let (mut run, mut script) = (run(stale()), Script::default());
    let claimed = vec![entry("ConfigMap", "old")];
    script.pruned = Some(Ok(Pruned { claimed, ..Pruned::default() }));
    assert_eq!(drive_all(&mut run, &mut script).await.1, "succeeded");
    assert_eq!(run.progress.inventory, Some(vec![entry("ConfigMap", "a"), entry("ConfigMap", "old")]));
}

#[tokio::test(start_paused = true)]
async fn pruning_without_an_identity_fails_and_keeps_what_was_announced() {
    let (mut run, mut script) = (run(stale()), Script::default());
    script.pruned = Some(Err(Failure::new(RECONCILIATION_FAILED, "no such user")));
    let ended = drive_all(&mut run, &mut script).await.1;
    assert_eq!(ended, "ReconciliationFailed: no such user, not recorded");
    assert!(run.progress.inventory.is_none());
}
