//! A run that is dropped in any phase leaves nothing behind that goes on.

use std::{sync::Arc, time::Duration};

use tokio_util::task::AbortOnDropHandle;

use super::script::{Script, awaited, built, entry, id, manifest, name, run};
use crate::{
    health::Health,
    run::{
        Ending, Phase,
        effects::{Built, Downloaded, StageApplied},
        machine::drive,
    },
};

/// A task without end, which shows by the count of the `Arc` whether it still runs.
fn endless<T: Send + 'static>(alive: &Arc<()>) -> AbortOnDropHandle<T> {
    let alive = alive.clone();
    AbortOnDropHandle::new(tokio::spawn(async move {
        let _alive = alive;
        std::future::pending().await
    }))
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_dropped_asks_for_nothing_more_and_its_tasks_end() {
    let alive = Arc::new(());
    let waiting = || (Health::Waiting(vec![]), None);
    let terminating = StageApplied {
        terminating: vec![entry("Pod", "p")],
        unapplied: vec![manifest("Pod", "p")],
        ..StageApplied::default()
    };
    let recreating = Script {
        stages: [Ok(terminating)].into(),
        terminating: [Ok(vec![entry("Pod", "p")])].into(),
        ..Script::default()
    };
    let definitions = Some(Built::Now(Ok(built(&[("Namespace", "n")]))));
    let download = Some(Downloaded::Later(endless(&alive)));
    let building = Some(Built::Later(endless(&alive)));
    let checks = Some(Ok(Some(vec![awaited(id("ConfigMap", "a"))])));
    for (phase, before, mut script) in [
        ("Download", vec![], Script { download, ..Script::default() }),
        ("Build", vec![], Script { built: building, ..Script::default() }),
        ("Recreate", vec![], recreating),
        (
            "AwaitStage",
            vec![],
            Script { built: definitions, health: [waiting()].into(), ..Script::default() },
        ),
        ("Prune", vec![entry("Pod", "old")], Script { handover_pending: true, ..Script::default() }),
        ("AwaitHealth", vec![], Script { checks, health: [waiting()].into(), ..Script::default() }),
    ] {
        let mut run = run(before);
        let Ok(Ending::Waiting(waits, _)) = drive(&mut run, Phase::Start, &mut script).await else {
            panic!("the run waits in {phase}");
        };
        assert_eq!(name(&waits), phase);
        let asked = script.asked.len();
        drop((waits, run));
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(script.asked.len(), asked, "{phase}");
    }
    assert_eq!(Arc::strong_count(&alive), 1, "a download or build still runs");
}
