//! What a spec asks for and cannot have: fields that this version does not act upon yet, and lists that are too long. Each is
//! refused by name: applying an object while ignoring half of what it asks for would be worse.

use api::KustomizationSpec;

/// The fields that are set and not supported.
pub fn fields(spec: &KustomizationSpec) -> impl Iterator<Item = &'static str> + use<> {
    let fields = [("spec.decryption", spec.decryption.is_some())];
    fields.into_iter().filter(|(_, set)| *set).map(|(name, _)| name)
}

/// What the author of an object is told about such a field.
pub fn message(field: &str) -> String {
    format!("{field} is not supported yet")
}

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
    fn a_field_that_would_be_ignored_is_named() {
        let mut spec = KustomizationSpec::default();
        assert_eq!(fields(&spec).next(), None);
        spec.decryption = Some(Default::default());
        assert_eq!(fields(&spec).collect::<Vec<_>>(), ["spec.decryption"]);
    }

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
