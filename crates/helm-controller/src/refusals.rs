//! What a HelmRelease may ask for and is not served: it is refused by name, and never left out in silence.

use api::HelmRelease;
use api::helm_release::{PostRenderStrategy, WaitStrategyName};

use crate::Arguments;
use crate::flags::HELM_3_DEFAULTS;

/// Most entries of `spec.dependsOn`: each is looked at in one pass.
const DEPENDENCIES: usize = 256;
/// Most entries of `spec.healthCheckExprs`.
const HEALTH_CHECK_EXPRESSIONS: usize = 256;
/// Most entries of `spec.postRenderers`: each is a build of its own.
const POST_RENDERERS: usize = 64;

/// Why a HelmRelease is not looked after.
pub fn refusal(object: &HelmRelease, arguments: &Arguments) -> Option<String> {
    let (spec, helm3) = (&object.spec, arguments.feature_gates.is_on(HELM_3_DEFAULTS));
    let lists = [
        ("spec.dependsOn", spec.depends_on.len(), DEPENDENCIES),
        ("spec.healthCheckExprs", spec.health_check_exprs.len(), HEALTH_CHECK_EXPRESSIONS),
        ("spec.postRenderers", spec.post_renderers.len(), POST_RENDERERS),
    ];
    if let Some((name, count, most)) = lists.into_iter().find(|(_, count, most)| count > most) {
        return Some(format!("{name} has {count} entries, more than {most}"));
    }
    let unserved = match (object.wait_strategy(helm3), object.post_render_strategy(helm3)) {
        (WaitStrategyName::Unknown, _) => Some("the strategy of spec.waitStrategy"),
        (_, PostRenderStrategy::Unknown) => Some("the strategy of spec.postRenderStrategy"),
        _ => None,
    };
    unserved.map(|what| format!("{what} is not supported"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn refused(spec: &Value, flags: &[&str]) -> Option<String> {
        let arguments = runtime::flags::try_parse_from([&["helm-controller"], flags].concat()).unwrap();
        let object = json!({"metadata": {"name": "a", "namespace": "b"}, "spec": spec});
        refusal(&serde_json::from_value(object).unwrap(), &arguments)
    }

    #[test]
    fn what_is_not_served_is_named() {
        let waiting = |name: &str| json!({"interval": "1m", "waitStrategy": {"name": name}});
        assert_eq!(refused(&waiting("legacy"), &[]), None);
        let text = "the strategy of spec.waitStrategy is not supported";
        assert_eq!(refused(&waiting("watcher"), &[]).unwrap(), text);
        let plain = json!({"interval": "1m"});
        assert_eq!(refused(&plain, &["--feature-gates=UseHelm3Defaults=true"]), None);
        let many: Vec<Value> = (0..300).map(|at| json!({"name": format!("d{at}")})).collect();
        let many = json!({"interval": "1m", "dependsOn": many});
        assert_eq!(refused(&many, &[]).unwrap(), "spec.dependsOn has 300 entries, more than 256");
    }
}
