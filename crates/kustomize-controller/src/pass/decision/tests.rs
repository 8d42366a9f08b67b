//! Every state against everything that can have changed.

#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;

use api::Artifact;
use apply::change::ChangeSet;
use references::sources::Content;
use runtime::queue::InFlight;
use tokio_util::task::AbortOnDropHandle;

use super::*;
use crate::{
    builds::Queued,
    run::{BuildTask, Plan},
};

fn inputs() -> Inputs {
    let content = Some(Content { revision: "r1".into(), digest: "d1".into() });
    Inputs { generation: 1, requested: None, content, uid: Some("u".into()), configs: 0 }
}

fn running(phase: Phase) -> State {
    let plan = Plan {
        inputs: inputs(),
        artifact: Artifact::default(),
        path: String::new(),
        started: Instant::now(),
        timeout: Duration::from_secs(60),
        prune: true,
        prune_guard: None,
        fail_fast: true,
        skip_unchanged: true,
        before: Vec::new(),
        last_build: None,
        was_healthy: false,
    };
    State::Running(Box::new(Run::new(plan, InFlight::default().begin())), phase)
}

/// A run in each phase.
fn every_phase() -> Vec<State> {
    let deadline = Instant::now() + Duration::from_secs(60);
    let download = tokio::spawn(std::future::pending());
    let phases = vec![
        Phase::Start,
        Phase::Download(AbortOnDropHandle::new(download)),
        Phase::Build(BuildTask {
            task: AbortOnDropHandle::new(tokio::spawn(std::future::pending())),
            queued: Queued::default(),
        }),
        Phase::Apply(VecDeque::new()),
        Phase::Recreate { terminating: Vec::new(), deadline, remaining: VecDeque::new() },
        Phase::AwaitStage { awaited: Vec::new(), deadline, remaining: VecDeque::new() },
        Phase::Prune { stale: Vec::new(), deadline },
        Phase::AwaitHealth { awaited: Vec::new(), since: Instant::now(), deadline },
    ];
    phases.into_iter().map(running).collect()
}

fn done(succeeded: bool, due: u64) -> State {
    State::Done { inputs: inputs(), due: Instant::now() + Duration::from_secs(due), succeeded }
}

/// The inputs after each thing that can change, and whether what the watches prove may then be trusted after a run.
fn changes() -> Vec<(&'static str, Inputs, bool)> {
    let content = |revision: &str, digest: &str| {
        Some(Content { revision: revision.to_owned(), digest: digest.to_owned() })
    };
    vec![
        ("spec", Inputs { generation: 2, ..inputs() }, false),
        ("request", Inputs { requested: Some("now".into()), ..inputs() }, false),
        ("object made anew", Inputs { uid: Some("v".into()), ..inputs() }, false),
        ("revision", Inputs { content: content("r2", "d2"), ..inputs() }, true),
        ("content of a revision", Inputs { content: content("r1", "d2"), ..inputs() }, true),
        ("artifact gone", Inputs { content: None, ..inputs() }, true),
        ("variables", Inputs { configs: 7, ..inputs() }, true),
        ("spec and revision", Inputs { generation: 2, content: content("r2", "d2"), ..inputs() }, false),
    ]
}

/// What was decided, in short.
fn decided(state: State, inputs: &Inputs, source_known: bool, drifted: &[&str]) -> String {
    let drifted = drifted.iter().map(|name| ObjectId {
        group: String::new(),
        kind: "A".into(),
        namespace: "n".into(),
        name: (*name).into(),
    });
    let (repairs, now) = (Repairs::default(), Instant::now());
    let situation = Situation { inputs, source_known, drifted: drifted.collect(), repairs: &repairs, now };
    match decide(state, situation) {
        Decision::CarryOn(..) => "carry on".into(),
        Decision::Rest(_, wait) => format!("rest {}", wait.as_secs()),
        Decision::Begin { replaced, skip_unchanged, drifted } => {
            let replaced = if replaced.is_some() { ", replacing" } else { "" };
            let trusting = if skip_unchanged { ", skipping" } else { "" };
            format!("begin{replaced}{trusting}{}", if drifted.is_empty() { "" } else { ", for drift" })
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_is_replaced_in_every_phase_by_every_change_of_its_inputs() {
    for (change, changed, _) in changes() {
        for state in every_phase() {
            assert_eq!(decided(state, &changed, true, &[]), "begin, replacing", "{change}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_goes_on_in_every_phase_while_its_inputs_stay() {
    for state in every_phase() {
        assert_eq!(decided(state, &inputs(), true, &["a"]), "carry on");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_survives_a_source_that_cannot_be_read_unless_something_else_changed() {
    for state in every_phase() {
        assert_eq!(decided(state, &Inputs { content: None, ..inputs() }, false, &[]), "carry on");
    }
    for state in every_phase() {
        let changed = Inputs { content: None, generation: 2, ..inputs() };
        assert_eq!(decided(state, &changed, false, &[]), "begin, replacing");
    }
}

#[tokio::test(start_paused = true)]
async fn a_finished_run_rests_until_it_is_due() {
    assert_eq!(decided(done(true, 60), &inputs(), true, &[]), "rest 60");
    assert_eq!(decided(done(false, 60), &inputs(), true, &[]), "rest 60");
    assert_eq!(decided(done(true, 0), &inputs(), true, &[]), "begin, skipping");
    assert_eq!(decided(done(false, 0), &inputs(), true, &[]), "begin, skipping");
}

#[tokio::test(start_paused = true)]
async fn a_finished_run_is_followed_by_another_after_every_change() {
    for (change, changed, skips) in changes() {
        let expected = if skips { "begin, skipping" } else { "begin" };
        for succeeded in [true, false] {
            assert_eq!(decided(done(succeeded, 60), &changed, true, &[]), expected, "{change}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn drift_begins_a_run_only_after_success() {
    assert_eq!(decided(done(true, 60), &inputs(), true, &["a"]), "begin, skipping, for drift");
    assert_eq!(decided(done(false, 60), &inputs(), true, &["a"]), "rest 60");
}

#[tokio::test(start_paused = true)]
async fn drift_that_was_repaired_just_now_waits() {
    let id = ObjectId { group: String::new(), kind: "A".into(), namespace: "n".into(), name: "a".into() };
    let (mut repairs, now) = (Repairs::default(), Instant::now());
    repairs.begin(std::slice::from_ref(&id), now);
    let (inputs, drifted) = (inputs(), vec![id]);
    let situation = Situation { inputs: &inputs, source_known: true, drifted, repairs: &repairs, now };
    assert!(matches!(decide(done(true, 60), situation), Decision::Rest(_, wait) if wait.as_secs() == 1));
}

#[tokio::test(start_paused = true)]
async fn other_states_begin_a_run_that_trusts_nothing() {
    let deadline = Instant::now();
    for state in [State::Idle, State::Blocked, State::Terminating { deleted: ChangeSet::default(), deadline }]
    {
        assert_eq!(decided(state, &inputs(), true, &[]), "begin");
    }
}
