//! A storage in memory, in which actions go as a script says.

use std::collections::VecDeque;
use std::time::Duration;

use api::HelmRelease;
use api::helm_release::Snapshot;
use helm_release::{Phase, Release, Status};
use helm_state::{
    Action, Desired, Next, Notice, Outcome, Pass, Ran, Run, Settings, Step, begin_attempt, next, state,
    unlocked_description, verify,
};
use serde_json::Value;

use crate::common::*;

/// How an action goes.
#[derive(Clone, Copy, PartialEq)]
pub enum Goes {
    /// It succeeds.
    Well,
    /// It fails after it has stored what it does.
    Wrong,
    /// It fails before it stores anything.
    Nowhere,
}

pub struct World {
    pub object: HelmRelease,
    pub stored: Vec<Release>,
    pub desired: Desired,
    pub settings: Settings,
    pub script: VecDeque<Goes>,
    /// The actions that were run.
    pub actions: Vec<&'static str>,
    pub notices: Vec<Notice>,
    tests: Vec<&'static str>,
}

impl World {
    pub fn new(spec: Value) -> Self {
        Self {
            object: object(spec),
            stored: Vec::new(),
            desired: desired(),
            settings: settings(),
            script: VecDeque::new(),
            actions: Vec::new(),
            notices: Vec::new(),
            tests: vec!["check"],
        }
    }

    /// Is installed in version 1.0.0, and now wants another one.
    pub fn installed(spec: Value) -> Self {
        let mut world = Self::new(spec);
        assert_eq!(world.pass(&[]), Outcome::Done);
        world.wants("2.0.0");
        world.actions.clear();
        world.notices.clear();
        world
    }

    pub fn wants(&mut self, version: &str) {
        self.desired = Desired::new(&chart(version), "", values(), self.settings.digest);
        *self.object.metadata.generation.as_mut().unwrap() += 1;
    }

    /// A pass of the controller, whose actions go as the script says, and well at its end.
    pub fn pass(&mut self, script: &[Goes]) -> Outcome {
        self.script = script.iter().copied().collect();
        begin_attempt(&mut self.object, &self.desired);
        let mut pass = Pass::default();
        let outcome = loop {
            if let Some(outcome) = self.turn(&mut pass) {
                break outcome;
            }
            assert!(self.actions.len() < 100, "the loop has no end");
        };
        assert!(self.script.is_empty(), "not all of the script was run: {:?}", self.actions);
        if outcome.observes_generation() {
            status(&mut self.object).observed_generation = self.object.metadata.generation;
        }
        outcome
    }

    fn turn(&mut self, pass: &mut Pass) -> Option<Outcome> {
        let newest = self.stored.iter().max_by_key(|release| release.version);
        let state = match state::determine(&self.object, newest, &self.desired, now()) {
            Ok(state) => state,
            Err(error) => return Some(Pass::without_state(&mut self.object, &error.to_string(), now())),
        };
        let decided = next::decide(&mut self.object, &state, &self.settings, now());
        let decided = decided.map(|decision| {
            self.notices.extend(decision.notice);
            decision.next
        });
        let mut step = pass.before(&mut self.object, decided, &self.settings, now());
        if let Step::Verify(target) = step {
            let stored = self.stored.iter().find(|stored| stored.version == target.version);
            let verified = Next::after_verification(target.clone(), verify(&target, stored));
            step = pass.before(&mut self.object, Ok(verified), &self.settings, now());
        }
        match step {
            Step::End(outcome) => Some(outcome),
            Step::Verify(_) => panic!("a target is verified once"),
            Step::Run { action, timeout } => {
                let text = format!(
                    "True Progressing: Running '{}' action with timeout of {}",
                    action.name(),
                    api::duration::go_duration_string(timeout)
                );
                assert_eq!(condition(&self.object, "Reconciling"), text);
                let kind = action.kind();
                let error = self.run(action);
                pass.after(&mut self.object, kind, error.as_deref(), &self.settings, now())
            }
        }
    }

    fn run(&mut self, action: Action) -> Option<String> {
        self.actions.push(action.name());
        let goes = self.script.pop_front().unwrap_or(Goes::Well);
        let mut run = Run::begin(&mut self.object, action.clone(), &self.settings, now());
        let newest = self.newest().cloned();
        let before = if action == Action::Unlock { newest } else { None };
        if goes != Goes::Nowhere {
            self.write(&mut run, &action, goes == Goes::Well);
        }
        let returned = match action {
            Action::Test | Action::UninstallRemediation => self.newest().cloned(),
            _ => before,
        };
        let ran = Ran {
            error: (goes != Goes::Well).then_some("it broke\n"),
            release: returned.as_ref(),
            took: Duration::from_secs(2),
            ..Ran::default()
        };
        let ended = run.end(&mut self.object, &self.desired, &ran, now());
        self.notices.extend(ended.notice);
        ended.error
    }

    fn newest(&self) -> Option<&Release> {
        self.stored.iter().max_by_key(|release| release.version)
    }

    fn write(&mut self, run: &mut Run, action: &Action, succeeds: bool) {
        let newest = self.newest().map_or(0, |release| release.version);
        match action {
            Action::Install | Action::Upgrade => {
                let chart = chart(&self.desired.chart_version);
                let pending = if newest == 0 { Status::PendingInstall } else { Status::PendingUpgrade };
                let mut made = release_of(&chart, newest + 1, pending);
                made.config = Some(self.desired.values().clone());
                made.hooks = Some(self.tests.iter().map(|name| test_hook(name, Phase::None)).collect());
                self.replace(run, made, succeeds);
            }
            Action::Rollback(target) => {
                let stored = self.stored.iter().find(|stored| stored.version == target.version).unwrap();
                let mut made = Release { version: newest + 1, ..stored.clone() };
                made.info.status = Status::PendingRollback;
                made.info.rollback_revision = target.version;
                self.replace(run, made, succeeds);
            }
            Action::UninstallRemediation => {
                self.update(run, newest, |release| release.info.status = Status::Uninstalling);
                if succeeds {
                    self.stored.clear();
                }
            }
            Action::Unlock => self.update(run, newest, |release| {
                release.info.description = unlocked_description(release.info.status);
                release.info.status = Status::Failed;
            }),
            Action::Test => {
                let phase = if succeeds { Phase::Succeeded } else { Phase::Failed };
                self.update(run, newest, |release| {
                    release.hooks.iter_mut().flatten().for_each(|hook| hook.last_run.phase = phase);
                });
            }
            Action::Uninstall | Action::CorrectDrift => {}
        }
    }

    /// A new revision: stored as pending, then as what became of it; the one before is superseded.
    fn replace(&mut self, run: &mut Run, mut made: Release, succeeds: bool) {
        let version = made.version;
        run.created(&made).unwrap();
        made.info.status = if succeeds { Status::Deployed } else { Status::Failed };
        run.updated(&made).unwrap();
        self.stored.push(made);
        if succeeds {
            let deployed: Vec<i64> = self
                .stored
                .iter()
                .filter(|release| release.version < version && release.info.status != Status::Failed)
                .map(|release| release.version)
                .collect();
            for version in deployed {
                self.update(run, version, |release| release.info.status = Status::Superseded);
            }
        }
    }

    fn update(&mut self, run: &mut Run, version: i64, change: impl FnOnce(&mut Release)) {
        let release = self.stored.iter_mut().find(|release| release.version == version).unwrap();
        change(release);
        run.updated(release).unwrap();
    }

    pub fn condition(&self, kind: &str) -> String {
        condition(&self.object, kind)
    }

    pub fn counters(&self) -> (i64, i64, i64) {
        counters(&self.object)
    }

    pub fn latest(&self) -> &Snapshot {
        api::helm_release::latest(&self.object.status.as_ref().unwrap().history).unwrap()
    }
}
