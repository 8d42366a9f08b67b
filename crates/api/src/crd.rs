//! The CRD manifests, generated from the types.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSONSchemaProps, ValidationRule,
};
use kube::CustomResourceExt;
use kube::core::crd::MergeError;

use crate::{
    artifact_generator, bucket, external_artifact, git_repository, helm_chart, helm_release, helm_repository,
    kustomization, oci_repository, schema,
};

/// By the first, `flux check`, `flux migrate` and `flux uninstall` find CRDs; the second is what `flux version` calls the distribution.
/// They are here, since Helm installs CRDs as they are.
const LABELS: [(&str, &str); 2] = [
    ("app.kubernetes.io/part-of", "flux"),
    ("app.kubernetes.io/version", concat!("v", env!("CARGO_PKG_VERSION"))),
];

/// Every CRD of this crate, each with all its versions; the first one is stored.
///
/// # Errors
/// When the versions of a kind do not agree on group, kind or scope.
pub fn all() -> Result<Vec<CustomResourceDefinition>, MergeError> {
    Ok(vec![
        with_spec_rule(
            merge(vec![artifact_generator::ArtifactGenerator::crd()])?,
            artifact_generator::SPEC_RULE,
        ),
        without_required_spec(merge(vec![external_artifact::ExternalArtifact::crd()])?),
        merge(vec![bucket::Bucket::crd(), bucket::v1beta2::Bucket::crd()])?,
        merge(vec![git_repository::GitRepository::crd(), git_repository::v1beta2::GitRepository::crd()])?,
        merge(vec![helm_chart::HelmChart::crd(), helm_chart::v1beta2::HelmChart::crd()])?,
        merge(vec![
            helm_release::HelmRelease::crd(),
            helm_release::v2beta1::HelmRelease::crd(),
            helm_release::v2beta2::HelmRelease::crd(),
        ])?,
        merge(vec![helm_repository::HelmRepository::crd(), helm_repository::v1beta2::HelmRepository::crd()])?,
        merge(vec![kustomization::Kustomization::crd(), kustomization::v1beta2::Kustomization::crd()])?,
        ruled(merge(vec![oci_repository::OciRepository::crd()])?, &oci_repository::ROOT_RULES),
    ])
}

/// Name of the file that holds a CRD: `<group>_<plural>.yaml`.
pub fn file_name(crd: &CustomResourceDefinition) -> String {
    format!("{}_{}.yaml", crd.spec.group, crd.spec.names.plural)
}

/// The label by which the `flux` client asks before it installs over what something else has installed.
const MANAGED_BY_HELM: (&str, &str) = ("app.kubernetes.io/managed-by", "Helm");

/// A CRD as the chart has it: Helm gives no label to what is in `crds/`.
#[must_use]
pub fn of_chart(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    let (name, value) = MANAGED_BY_HELM;
    crd.metadata.labels.get_or_insert_default().insert(name.to_owned(), value.to_owned());
    crd
}

/// The manifest of a CRD as a YAML document.
///
/// # Errors
/// When the schema cannot be serialised.
pub fn to_yaml(crd: &CustomResourceDefinition) -> Result<String, serde_yaml::Error> {
    Ok(format!("# Generated from crates/api by `make crds`.\n---\n{}", serde_yaml::to_string(crd)?))
}

/// Adds rules about the whole object, each with its message, in place of fields that the spec requires.
fn ruled(mut crd: CustomResourceDefinition, rules: &[(&str, &str)]) -> CustomResourceDefinition {
    for schema in schemas(&mut crd) {
        schema.x_kubernetes_validations = Some(rules.iter().copied().map(rule).collect());
        // In place of the spec, which the schema would require.
        schema.required = None;
    }
    crd
}

/// Adds a rule about the spec, with its message.
fn with_spec_rule(mut crd: CustomResourceDefinition, of_spec: (&str, &str)) -> CustomResourceDefinition {
    for schema in schemas(&mut crd) {
        spec(schema).into_iter().for_each(|spec| spec.x_kubernetes_validations = Some(vec![rule(of_spec)]));
    }
    crd
}

/// A spec without fields that are required need not be there.
fn without_required_spec(mut crd: CustomResourceDefinition) -> CustomResourceDefinition {
    schemas(&mut crd).for_each(|schema| schema.required = None);
    crd
}

fn schemas(crd: &mut CustomResourceDefinition) -> impl Iterator<Item = &mut JSONSchemaProps> {
    let validations = crd.spec.versions.iter_mut().filter_map(|version| version.schema.as_mut());
    validations.filter_map(|validation| validation.open_api_v3_schema.as_mut())
}

fn spec(schema: &mut JSONSchemaProps) -> Option<&mut JSONSchemaProps> {
    schema.properties.as_mut()?.get_mut("spec")
}

fn rule((rule, message): (&str, &str)) -> ValidationRule {
    ValidationRule { rule: rule.to_owned(), message: Some(message.to_owned()), ..ValidationRule::default() }
}

fn merge(versions: Vec<CustomResourceDefinition>) -> Result<CustomResourceDefinition, MergeError> {
    let stored = versions.first().and_then(|crd| crd.spec.versions.first());
    let stored = stored.map(|version| version.name.clone()).unwrap_or_default();
    let mut crd = kube::core::crd::merge_crds(versions, &stored)?;
    for version in &mut crd.spec.versions {
        if let Some(validation) = &mut version.schema {
            validation.open_api_v3_schema = validation.open_api_v3_schema.take().map(schema::publish);
        }
    }
    crd.spec.names.list_kind = Some(format!("{}List", crd.spec.names.kind));
    let labels = LABELS.map(|(name, value)| (name.to_owned(), value.to_owned()));
    crd.metadata.labels.get_or_insert_default().extend(labels);
    Ok(crd)
}
