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
