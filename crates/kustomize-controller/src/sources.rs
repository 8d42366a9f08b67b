//! Which source a Kustomization refers to, and whether it may.

use api::Kustomization;
use references::sources::{EXTERNAL_ARTIFACT, Options, SourceKey};

use crate::flags::{self, Arguments, DIRECT_SOURCES};

/// Kinds that a Kustomization can refer to, beside [`EXTERNAL_ARTIFACT`], which has to be allowed.
const KINDS: [&str; 3] = ["GitRepository", "OCIRepository", "Bucket"];

/// The source that a Kustomization refers to.
pub fn source_key(object: &Kustomization) -> SourceKey {
    let reference = &object.spec.source_ref;
    let own = || object.metadata.namespace.clone().unwrap_or_default();
    let namespace = reference.namespace.clone().filter(|n| !n.is_empty()).unwrap_or_else(own);
    SourceKey { kind: reference.kind.clone(), namespace, name: reference.name.clone() }
}

/// Why a Kustomization may not refer to its source.
pub fn denied(object: &Kustomization, arguments: &Arguments) -> Option<String> {
    let source = source_key(object);
    if source.kind == EXTERNAL_ARTIFACT && !arguments.feature_gates.is_on(flags::EXTERNAL_ARTIFACT) {
        return Some(format!("can't access '{source}', ExternalArtifact feature gate is disabled"));
    }
    let foreign = object.metadata.namespace.as_deref() != Some(source.namespace.as_str());
    (arguments.no_cross_namespace_refs && foreign)
        .then(|| format!("can't access '{source}', cross-namespace references have been blocked"))
}

/// Which sources there are and how they are read.
pub fn options(arguments: &Arguments) -> Options {
    let gates = &arguments.feature_gates;
    let external = gates.is_on(flags::EXTERNAL_ARTIFACT).then_some(EXTERNAL_ARTIFACT);
    Options {
        direct: gates.is_on(DIRECT_SOURCES),
        kinds: KINDS.into_iter().chain(external).collect(),
        ..Options::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_without_namespace_means_its_own() {
        let mut object = Kustomization::new("app", Default::default());
        object.metadata.namespace = Some("apps".into());
        object.spec.source_ref.name = "repo".into();
        assert_eq!(source_key(&object).namespace, "apps");
        object.spec.source_ref.namespace = Some("flux-system".into());
        assert_eq!(source_key(&object).namespace, "flux-system");
    }
}
