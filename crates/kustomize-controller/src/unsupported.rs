//! Fields of the API that this version does not act upon yet. Each is refused by name: applying an object while
//! ignoring half of what it asks for would be worse.

use api::KustomizationSpec;

/// The first field that is set and not supported.
pub fn field(spec: &KustomizationSpec) -> Option<&'static str> {
    let fields =
        [("spec.kubeConfig", spec.kube_config.is_some()), ("spec.decryption", spec.decryption.is_some())];
    fields.into_iter().find(|(_, set)| *set).map(|(name, _)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_that_would_be_ignored_is_named() {
        let mut spec = KustomizationSpec::default();
        assert_eq!(field(&spec), None);
        spec.decryption = Some(Default::default());
        assert_eq!(field(&spec), Some("spec.decryption"));
    }
}
