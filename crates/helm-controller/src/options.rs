//! What each action is told, from the spec of a HelmRelease (Flux: `internal/action`).

use std::sync::Arc;
use std::time::Duration;

use api::HelmRelease;
use api::helm_release::{
    CrdsPolicy, DeletionPropagation, PostRenderStrategy, ServerSideApplyMode, Snapshot, WaitStrategyName,
};
use apply::kstatus::custom::HealthRules;
use helm_actions::CrdPolicy;
use helm_actions::options::{Apply, Install, Rollback, Test, Uninstall, Upgrade, Wait, WaitStrategy};
use helm_actions::resources::Propagation;

use helm_state::Action;

/// What options are made of besides the spec.
pub struct Given<'a> {
    /// The HelmRelease.
    pub object: &'a HelmRelease,
    /// Feature gate UseHelm3Defaults.
    pub helm3: bool,
    /// Health by expressions of the user.
    pub rules: Option<Arc<HealthRules>>,
}

impl Given<'_> {
    fn wait(&self, timeout: Duration, is_disabled: bool, for_jobs: bool) -> Wait {
        let strategy = match self.object.wait_strategy(self.helm3) {
            _ if is_disabled => WaitStrategy::HooksOnly,
            WaitStrategyName::Legacy => WaitStrategy::Legacy,
            WaitStrategyName::Poller | WaitStrategyName::Unknown => WaitStrategy::Status,
        };
        Wait { strategy, timeout, for_jobs, rules: self.rules.clone() }
    }

    fn max_history(&self) -> usize {
        usize::try_from(self.object.max_history()).unwrap_or_default()
    }

    /// How it is installed.
    pub fn install(&self) -> Install {
        let spec = &self.object.spec.install;
        let is_server_side = spec.uses_server_side_apply(self.helm3);
        let has_target = self.object.spec.target_namespace.as_ref().is_some_and(|name| !name.is_empty());
        Install {
            apply: if is_server_side { Apply::ServerSide } else { Apply::ClientSide },
            creates_namespace: spec.create_namespace && has_target,
            takes_ownership: !spec.disable_take_ownership,
            runs_hooks: !spec.disable_hooks,
            wait: self.wait(
                Action::Install.timeout(self.object),
                spec.disable_wait,
                !spec.disable_wait_for_jobs,
            ),
            labels: Default::default(),
        }
    }

    /// How it is upgraded.
    pub fn upgrade(&self) -> Upgrade {
        let spec = &self.object.spec.upgrade;
        Upgrade {
            apply: apply(spec.server_side_apply_mode()),
            forces: spec.force,
            takes_ownership: !spec.disable_take_ownership,
            cleans_up: spec.cleanup_on_fail,
            max_history: self.max_history(),
            runs_hooks: !spec.disable_hooks,
            wait: self.wait(
                Action::Upgrade.timeout(self.object),
                spec.disable_wait,
                !spec.disable_wait_for_jobs,
            ),
        }
    }

    /// How it is rolled back.
    pub fn rollback(&self, target: &Snapshot) -> Rollback {
        let spec = &self.object.spec.rollback;
        let timeout = self.object.action_timeout(spec.timeout.as_ref());
        Rollback {
            revision: target.version,
            apply: apply(spec.server_side_apply_mode()),
            forces: spec.force,
            cleans_up: spec.cleanup_on_fail,
            max_history: self.max_history(),
            runs_hooks: !spec.disable_hooks,
            wait: self.wait(timeout, spec.disable_wait, !spec.disable_wait_for_jobs),
        }
    }

    /// How it is uninstalled. Expressions of the user say nothing about what goes.
    pub fn uninstall(&self) -> Uninstall {
        let spec = &self.object.spec.uninstall;
        let wait = self.wait(Action::Uninstall.timeout(self.object), spec.disable_wait, true);
        Uninstall {
            keeps_history: spec.keep_history,
            propagation: match spec.deletion_propagation() {
                DeletionPropagation::Foreground => Propagation::Foreground,
                DeletionPropagation::Orphan => Propagation::Orphan,
                _ => Propagation::Background,
            },
            runs_hooks: !spec.disable_hooks,
            wait: Wait { rules: None, ..wait },
        }
    }

    /// Which tests run.
    pub fn test(&self) -> Test {
        let spec = &self.object.spec.test;
        let names = |excluded: bool| {
            let filters = spec.filters.iter().filter(move |filter| filter.exclude == excluded);
            filters.map(|filter| filter.name.clone()).collect()
        };
        Test {
            timeout: Action::Test.timeout(self.object),
            rules: self.rules.clone(),
            included: names(false),
            excluded: names(true),
        }
    }

    /// What post-renderers see.
    pub fn post_render_strategy(&self) -> helm::PostRenderStrategy {
        match self.object.post_render_strategy(self.helm3) {
            PostRenderStrategy::NoHooks => helm::PostRenderStrategy::NoHooks,
            PostRenderStrategy::Separate => helm::PostRenderStrategy::Separate,
            PostRenderStrategy::Combined | PostRenderStrategy::Unknown => helm::PostRenderStrategy::Combined,
        }
    }
}

/// What becomes of the definitions of a chart.
pub fn crd_policy(policy: CrdsPolicy) -> CrdPolicy {
    match policy {
        CrdsPolicy::Skip => CrdPolicy::Skip,
        CrdsPolicy::CreateReplace => CrdPolicy::CreateReplace,
        _ => CrdPolicy::Create,
    }
}

fn apply(mode: ServerSideApplyMode) -> Apply {
    match mode {
        ServerSideApplyMode::Enabled => Apply::ServerSide,
        ServerSideApplyMode::Disabled => Apply::ClientSide,
        _ => Apply::Auto,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn object(spec: &Value) -> HelmRelease {
        serde_json::from_value(json!({"metadata": {"name": "a", "namespace": "b"}, "spec": spec})).unwrap()
    }

    #[test]
    fn no_namespace_is_created_that_the_object_itself_is_in() {
        for (target, creates) in [(json!("there"), true), (json!(""), false), (Value::Null, false)] {
            let spec =
                json!({"interval": "1m", "targetNamespace": target, "install": {"createNamespace": true}});
            let given = Given { object: &object(&spec), helm3: false, rules: None };
            assert_eq!(given.install().creates_namespace, creates, "{spec}");
        }
    }

    #[test]
    fn actions_are_told_what_the_spec_says() {
        let spec = json!({
            "interval": "1m", "timeout": "9s", "maxHistory": 7,
            "install": {
                "timeout": "1s", "serverSideApply": false, "disableTakeOwnership": true, "disableHooks": true,
                "disableWaitForJobs": true,
            },
            "upgrade": {
                "timeout": "2s", "serverSideApply": "disabled", "force": true, "cleanupOnFail": true, "disableTakeOwnership": true,
                "disableHooks": true, "disableWaitForJobs": true,
            },
            "rollback": {
                "timeout": "3s", "serverSideApply": "enabled", "force": true, "cleanupOnFail": true, "disableHooks": true,
                "disableWaitForJobs": true,
            },
            "uninstall": {
                "timeout": "4s", "keepHistory": true, "deletionPropagation": "foreground", "disableHooks": true, "disableWait": true,
            },
            "test": {"timeout": "5s", "filters": [{"name": "a"}, {"name": "b", "exclude": true}]},
        });
        let object = object(&spec);
        let given = Given { object: &object, helm3: false, rules: None };
        let Install { apply, creates_namespace, takes_ownership, runs_hooks, wait, labels } = given.install();
        assert_eq!((apply, creates_namespace, takes_ownership), (Apply::ClientSide, false, false));
        assert!(!runs_hooks && !wait.for_jobs && labels.is_empty() && wait.timeout.as_secs() == 1);
        let Upgrade { apply, forces, takes_ownership, cleans_up, max_history, runs_hooks, wait } =
            given.upgrade();
        assert_eq!((apply, forces, takes_ownership, cleans_up), (Apply::ClientSide, true, false, true));
        assert!(!runs_hooks && !wait.for_jobs && max_history == 7 && wait.timeout.as_secs() == 2);
        let target = Snapshot { version: 3, ..Snapshot::default() };
        let Rollback { revision, apply, forces, cleans_up, max_history, runs_hooks, wait } =
            given.rollback(&target);
        assert_eq!((revision, apply, forces, cleans_up), (3, Apply::ServerSide, true, true));
        assert!(!runs_hooks && !wait.for_jobs && max_history == 7 && wait.timeout.as_secs() == 3);
        let Uninstall { keeps_history, propagation, runs_hooks, wait } = given.uninstall();
        assert_eq!((keeps_history, propagation, runs_hooks), (true, Propagation::Foreground, false));
        assert_eq!((wait.strategy, wait.timeout.as_secs()), (WaitStrategy::HooksOnly, 4));
        let Test { timeout, rules, included, excluded } = given.test();
        assert_eq!((timeout.as_secs(), included, excluded), (5, vec!["a".to_owned()], vec!["b".to_owned()]));
        assert!(rules.is_none());
    }

    #[test]
    fn without_a_word_in_the_spec_actions_do_as_flux_does() {
        let object = object(&json!({"interval": "1m", "timeout": "9s"}));
        let given = Given { object: &object, helm3: false, rules: None };
        let install = given.install();
        assert_eq!(
            (install.apply, install.takes_ownership, install.runs_hooks),
            (Apply::ServerSide, true, true)
        );
        assert!(install.wait.for_jobs && install.wait.timeout.as_secs() == 9);
        let upgrade = given.upgrade();
        assert_eq!((upgrade.apply, upgrade.forces, upgrade.cleans_up), (Apply::Auto, false, false));
        assert_eq!((upgrade.takes_ownership, upgrade.max_history), (true, 5));
        let rollback = given.rollback(&Snapshot::default());
        assert_eq!((rollback.apply, rollback.forces, rollback.runs_hooks), (Apply::Auto, false, true));
        let uninstall = given.uninstall();
        assert_eq!((uninstall.keeps_history, uninstall.propagation), (false, Propagation::Background));
        // By the defaults of Helm 3 a first revision is client-side, and what follows it as it was.
        let helm3 = Given { helm3: true, ..given };
        assert_eq!((helm3.install().apply, helm3.upgrade().apply), (Apply::ClientSide, Apply::Auto));
        assert_eq!(helm3.post_render_strategy(), helm::PostRenderStrategy::NoHooks);
    }

    fn strategies(spec: &Value, helm3: bool) -> [WaitStrategy; 3] {
        let object = object(spec);
        let given = Given { object: &object, helm3, rules: None };
        [given.install().wait, given.upgrade().wait, given.uninstall().wait].map(|wait| wait.strategy)
    }

    #[test]
    fn objects_are_waited_for_by_the_rules_that_the_spec_names() {
        use WaitStrategy::{HooksOnly, Legacy, Status};
        let plain = json!({"interval": "1m"});
        assert_eq!(strategies(&plain, false), [Status; 3]);
        assert_eq!(strategies(&plain, true), [Legacy; 3]);
        let legacy = json!({
            "interval": "1m", "waitStrategy": {"name": "legacy"}, "upgrade": {"disableWait": true},
        });
        assert_eq!(strategies(&legacy, false), [Legacy, HooksOnly, Legacy]);
        let poller = json!({"interval": "1m", "waitStrategy": {"name": "poller"}});
        assert_eq!(strategies(&poller, true), [Status; 3]);
    }
}
