//! Post-renderers and common metadata: a release counts as made with those alone that it was made with.

use api::HelmRelease;
use artifact::digest::Algorithm;
use helm_state::{Outcome, post_renderers_digest};
use runtime::conditions::READY;
use serde_json::{Value, json};

use crate::world::Goes::{self, Nowhere, Well, Wrong};
use crate::world::World;

type Digests = (Option<String>, Option<String>);

fn observed(object: &HelmRelease) -> Digests {
    let status = object.status.clone().unwrap();
    (status.observed_post_renderers_digest, status.observed_common_metadata_digest)
}

/// Is installed, and now wants to be rendered in another way.
fn changed(spec: Value, change: &Value) -> World {
    let mut world = World::new(spec);
    assert_eq!(world.pass(&[]), Outcome::Done);
    world.actions.clear();
    render(&mut world, change);
    world
}

fn render(world: &mut World, fields: &Value) {
    world.object.spec.post_renderers =
        serde_json::from_value(fields.get("postRenderers").cloned().unwrap_or(json!([]))).unwrap();
    world.object.spec.common_metadata =
        fields.get("commonMetadata").map(|metadata| serde_json::from_value(metadata.clone()).unwrap());
    *world.object.metadata.generation.as_mut().unwrap() += 1;
}

fn changes() -> [Value; 2] {
    [
        json!({"postRenderers": [{"kustomize": {"images": [{"name": "a", "newTag": "1"}]}}]}),
        json!({"commonMetadata": {"labels": {"a": "b"}}}),
    ]
}

#[test]
fn what_a_release_was_made_with_is_noted() {
    let [renderers, metadata] = changes();
    let mut world = World::new(json!({}));
    world.pass(&[]);
    assert_eq!(observed(&world.object), (None, None));
    render(
        &mut world,
        &json!({"postRenderers": renderers["postRenderers"], "commonMetadata": metadata["commonMetadata"]}),
    );
    world.pass(&[]);
    assert_eq!(world.actions, ["install", "upgrade"]);
    assert!(
        matches!(observed(&world.object), (Some(a), Some(b)) if a != b && a.starts_with("sha256:") && b.starts_with("sha256:"))
    );
    render(&mut world, &json!({}));
    world.pass(&[]);
    assert_eq!(world.actions.len(), 3);
    assert_eq!(observed(&world.object), (None, None));
}

#[test]
fn an_upgrade_that_stores_nothing_is_not_taken_for_done() {
    for change in changes() {
        let mut world = changed(json!({}), &change);
        for attempt in 1..=3 {
            assert_eq!(world.pass(&[Nowhere]), Outcome::Failed("it broke\n".into()));
            assert_eq!((world.actions.len(), world.counters()), (attempt, (attempt as i64, 0, 0)));
            assert!(
                world.condition(READY).starts_with("False UpgradeFailed: "),
                "{}",
                world.condition(READY)
            );
        }
        assert_eq!(world.pass(&[]), Outcome::Done);
        assert_eq!(world.actions, ["upgrade"].repeat(4));
        assert!(world.condition(READY).starts_with("True UpgradeSucceeded: "));
        assert_eq!(world.pass(&[]), Outcome::Done);
        assert_eq!(world.actions.len(), 4, "it is done");
    }
}

#[test]
fn a_change_that_is_taken_back_needs_no_upgrade() {
    for change in changes() {
        let mut world = changed(json!({}), &change);
        assert_eq!(world.pass(&[Nowhere]), Outcome::Failed("it broke\n".into()));
        render(&mut world, &json!({}));
        assert_eq!(world.pass(&[]), Outcome::Done);
        assert_eq!(world.actions, ["upgrade"]);
        assert!(world.condition(READY).starts_with("True UpgradeSucceeded: "));
    }
}

/// A retry that waits observes the generation.
#[test]
fn an_upgrade_that_stores_nothing_is_tried_again_where_failures_are() {
    let strategy = json!({"upgrade": {"strategy": {"name": "RetryOnFailure", "retryInterval": "1m"}}});
    for change in changes() {
        let mut world = changed(strategy.clone(), &change);
        for attempt in 1..=3 {
            assert!(matches!(world.pass(&[Nowhere]), Outcome::RetryAfter(_)));
            assert_eq!(world.actions.len(), attempt);
            assert!(
                world.condition(READY).starts_with("False UpgradeFailed: "),
                "{}",
                world.condition(READY)
            );
        }
        assert_eq!(world.pass(&[]), Outcome::Done);
        assert_eq!(world.actions.len(), 4);
    }
}

#[test]
fn an_upgrade_that_was_rolled_back_is_tried_as_often_as_retries_say() {
    let spec = json!({"upgrade": {"remediation": {"retries": 1}}});
    for change in changes() {
        let mut world = changed(spec.clone(), &change);
        assert_eq!(world.pass(&[Wrong]), Outcome::Requeue);
        assert_eq!(world.pass(&[Wrong]), Outcome::Stalled("exceeded maximum retries".into()));
        let actions = ["upgrade", "rollback"].repeat(2);
        assert_eq!((&world.actions, world.counters()), (&actions, (2, 0, 2)));
        // Nor is it taken for done when it is looked at again.
        for _ in 0..2 {
            let outcome = world.pass(&[]);
            assert_eq!(outcome, Outcome::Stalled("exceeded maximum retries: cannot upgrade release".into()));
            assert_eq!(world.actions, actions);
            assert!(world.condition(READY).starts_with("False RollbackSucceeded: "));
        }
        render(&mut world, &json!({}));
        assert_eq!(world.pass(&[]), Outcome::Done);
        assert_eq!(world.actions, actions, "what it was rolled back to is wanted");
    }
}

#[test]
fn an_upgrade_whose_tests_fail_is_not_taken_for_what_it_is_rolled_back_to() {
    let spec = json!({"test": {"enable": true}, "upgrade": {"remediation": {"retries": 1}}});
    let failing: &[Goes] = &[Well, Wrong];
    for change in changes() {
        let mut world = changed(spec.clone(), &change);
        assert_eq!(world.pass(failing), Outcome::Requeue);
        assert_eq!(world.pass(failing), Outcome::Stalled("exceeded maximum retries".into()));
        let actions = ["upgrade", "test", "rollback"].repeat(2);
        assert_eq!((&world.actions, world.counters()), (&actions, (2, 0, 2)));
        assert!(matches!(world.pass(&[]), Outcome::Stalled(_)));
        assert_eq!(world.actions, actions);
        // What the release was made with is not known, so that it is made once more.
        render(&mut world, &json!({}));
        assert_eq!(world.pass(&[]), Outcome::Done);
        assert_eq!(world.actions[6..], ["upgrade", "test"]);
        assert_eq!(observed(&world.object), (None, None));
    }
}

#[test]
fn another_algorithm_of_digests_is_no_change() {
    let [change, _] = changes();
    let mut world = changed(json!({}), &change);
    world.pass(&[]);
    world.settings.digest = Algorithm::Blake3;
    *world.object.metadata.generation.as_mut().unwrap() += 1;
    assert_eq!(world.pass(&[]), Outcome::Done);
    assert_eq!(world.actions, ["upgrade"]);
    let digest = post_renderers_digest(&world.object.spec.post_renderers, Algorithm::Blake3);
    assert_eq!(observed(&world.object), (Some(digest), None));
}
