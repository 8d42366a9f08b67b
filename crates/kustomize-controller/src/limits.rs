//! Lists of a spec that are too long.

use api::KustomizationSpec;

/// Most entries of `spec.dependsOn`: each is looked at in one pass.
const DEPENDENCIES: usize = 256;
/// Most entries of `spec.healthChecks`: each is a watch of its own.
const HEALTH_CHECKS: usize = 512;
/// Most entries of `spec.healthCheckExprs`.
const HEALTH_CHECK_EXPRESSIONS: usize = 256;

/// What a list of the spec has too much of, for its author.
pub fn excess(spec: &KustomizationSpec) -> Option<String> {
    let lists = [
        ("spec.dependsOn", spec.depends_on.len(), DEPENDENCIES),
        ("spec.healthChecks", spec.health_checks.len(), HEALTH_CHECKS),
        ("spec.healthCheckExprs", spec.health_check_exprs.len(), HEALTH_CHECK_EXPRESSIONS),
    ];
    let (name, count, most) = lists.into_iter().find(|(_, count, most)| count > most)?;
    Some(format!("{name} has {count} entries, more than {most}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_with_too_many_entries_is_named() {
        let mut spec = KustomizationSpec { depends_on: vec![Default::default(); 256], ..Default::default() };
        assert_eq!(excess(&spec), None);
        spec.depends_on.push(Default::default());
        assert_eq!(excess(&spec).unwrap_or_default(), "spec.dependsOn has 257 entries, more than 256");
        spec = KustomizationSpec { health_checks: vec![Default::default(); 513], ..Default::default() };
        assert_eq!(excess(&spec).unwrap_or_default(), "spec.healthChecks has 513 entries, more than 512");
        spec = KustomizationSpec { health_check_exprs: vec![Default::default(); 257], ..Default::default() };
        assert_eq!(excess(&spec).unwrap_or_default(), "spec.healthCheckExprs has 257 entries, more than 256");
    }
}
