//! The source object that `spec.chart` makes: a HelmChart, or since Flux 2.10 an OCIRepository (Flux: `reconcile.HelmChartTemplate`).

use std::collections::BTreeMap;

use api::helm::{NAME_LABEL, NAMESPACE_LABEL};
use api::helm_chart::{HelmChartSourceReference, HelmChartSpec, HelmChartVerification};
use api::helm_release::{ChartReference, HELM_CHART_KIND, HelmChartTemplate};
use api::{Duration, HelmChart, HelmRelease, OciRepository};
use kube::ResourceExt;

/// The object that a template makes, to be applied by server-side apply. It has no status.
#[derive(Clone, Debug, PartialEq)]
pub enum ChartObject {
    /// For charts of a HelmRepository, GitRepository or Bucket.
    HelmChart(Box<HelmChart>),
    /// For charts of an OCI registry.
    OciRepository(Box<OciRepository>),
}

/// Why a template makes no object. The API server refuses it with the same words, so it is older than the rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A HelmChart needs a chart and a source.
    #[error("chart.spec.chart and chart.spec.sourceRef must be set when chart.kind is not 'OCIRepository'")]
    NoChart,
    /// An OCIRepository needs an address.
    #[error("chart.spec.url must be set when chart.kind is 'OCIRepository'")]
    NoUrl,
}

/// The object that `spec.chart` makes, by its name; none without a template (Flux: `buildHelmChartFromTemplate`).
///
/// What it has of `chart.metadata` is overruled by the labels that say whose it is.
///
/// # Errors
/// See [`TemplateError`].
pub fn build(release: &HelmRelease) -> Result<Option<(ChartReference, ChartObject)>, TemplateError> {
    let (Some(template), Some(reference)) = (&release.spec.chart, release.chart_template_reference()) else {
        return Ok(None);
    };
    let object = if reference.kind == HELM_CHART_KIND {
        let mut chart = HelmChart::new(&reference.name, helm_chart_spec(release, template)?);
        set_metadata(&mut chart, &reference, release, template);
        ChartObject::HelmChart(Box::new(chart))
    } else {
        let mut spec = template.spec.repository.clone();
        if spec.url.is_empty() {
            return Err(TemplateError::NoUrl);
        }
        spec.interval = as_go_writes(release.chart_template_interval());
        spec.timeout = spec.timeout.as_ref().map(as_go_writes);
        let mut repository = OciRepository::new(&reference.name, spec);
        set_metadata(&mut repository, &reference, release, template);
        ChartObject::OciRepository(Box::new(repository))
    };
    Ok(Some((reference, object)))
}

fn helm_chart_spec(
    release: &HelmRelease,
    template: &HelmChartTemplate,
) -> Result<HelmChartSpec, TemplateError> {
    let spec = &template.spec;
    let (Some(chart), Some(source)) = (&spec.chart, &spec.source_ref) else {
        return Err(TemplateError::NoChart);
    };
    Ok(HelmChartSpec {
        chart: chart.clone(),
        version: spec.version().to_owned(),
        source_ref: HelmChartSourceReference {
            api_version: None,
            kind: source.kind.clone(),
            name: source.name.clone(),
        },
        interval: as_go_writes(release.chart_template_interval()),
        reconcile_strategy: spec.reconcile_strategy.unwrap_or_default(),
        values_files: spec.values_files.clone(),
        ignore_missing_values_files: spec.ignore_missing_values_files,
        suspend: false,
        verification: spec.repository.verification.as_ref().map(|verification| HelmChartVerification {
            provider: verification.provider,
            secret_ref: verification.secret_ref.clone(),
            match_oidc_identity: verification.match_oidc_identity.clone(),
        }),
    })
}

/// The duration in the text that Flux leaves in the object: another one would be a change of it when a cluster is taken over.
fn as_go_writes(duration: &Duration) -> Duration {
    duration.parse().map_or_else(|_| duration.clone(), Duration::from)
}

fn set_metadata(
    object: &mut impl ResourceExt,
    reference: &ChartReference,
    release: &HelmRelease,
    template: &HelmChartTemplate,
) {
    let metadata = template.metadata.clone().unwrap_or_default();
    let mut labels = metadata.labels;
    labels.insert(NAME_LABEL.to_owned(), release.name_any());
    labels.insert(NAMESPACE_LABEL.to_owned(), release.namespace().unwrap_or_default());
    let present = |map: BTreeMap<_, _>| Some(map).filter(|map| !map.is_empty());
    let meta = object.meta_mut();
    meta.namespace = Some(reference.namespace.clone());
    meta.labels = present(labels);
    meta.annotations = present(metadata.annotations);
}

/// The object that was made for the release before and is no more: another one than that of the template, or any if there is none now
/// (Flux: `HelmChartTemplate.Reconcile`). It is to be deleted first.
pub fn obsolete(release: &HelmRelease) -> Option<ChartReference> {
    let made = release.status.as_ref()?.chart_reference()?;
    (release.chart_template_reference().as_ref() != Some(&made)).then_some(made)
}

/// What the event says after the object was written: `Created` or `Configured`, and where the chart is from.
pub fn applied_text(action: &str, reference: &ChartReference, object: &ChartObject) -> String {
    let subject = format!("{action} {reference}");
    match object {
        ChartObject::HelmChart(chart) => {
            let source = &chart.spec.source_ref;
            format!("{subject} with SourceRef '{}/{}/{}'", source.kind, reference.namespace, source.name)
        }
        ChartObject::OciRepository(repository) => format!("{subject} with URL '{}'", repository.spec.url),
    }
}

/// What the event says after the object was deleted.
pub fn deleted_text(reference: &ChartReference) -> String {
    format!("deleted {} '{}'", reference.kind, reference.to_status())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn release(chart: Value, status: Value) -> HelmRelease {
        serde_json::from_value(json!({
            "metadata": {"name": "app", "namespace": "team"},
            "spec": {"interval": "10m", "chart": chart}, "status": status,
        }))
        .unwrap_or_else(|error| panic!("{error}"))
    }

    fn made(chart: Value) -> Value {
        match build(&release(chart, Value::Null)) {
            Ok(Some((_, ChartObject::HelmChart(chart)))) => serde_json::to_value(chart).unwrap_or_default(),
            Ok(Some((_, ChartObject::OciRepository(repository)))) => {
                serde_json::to_value(repository).unwrap_or_default()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_helm_chart_is_beside_its_source_and_has_what_the_template_says() {
        assert_eq!(
            made(json!({
                "metadata": {"labels": {"a": "b", "helm.toolkit.fluxcd.io/name": "x"}, "annotations": {"c": "d"}},
                "spec": {
                    "chart": "podinfo", "version": "6.x", "interval": "1h", "reconcileStrategy": "Revision",
                    "sourceRef": {"apiVersion": "v", "kind": "HelmRepository", "name": "r", "namespace": "shared"},
                    "valuesFiles": ["v.yaml"], "ignoreMissingValuesFiles": true,
                    "verify": {"provider": "notation", "secretRef": {"name": "s"}},
                },
            })),
            json!({
                "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "HelmChart",
                "metadata": {
                    "name": "team-app", "namespace": "shared", "annotations": {"c": "d"},
                    "labels": {"a": "b", "helm.toolkit.fluxcd.io/name": "app", "helm.toolkit.fluxcd.io/namespace": "team"},
                },
                "spec": {
                    "chart": "podinfo", "version": "6.x", "interval": "1h0m0s", "reconcileStrategy": "Revision",
                    "sourceRef": {"kind": "HelmRepository", "name": "r"},
                    "valuesFiles": ["v.yaml"], "ignoreMissingValuesFiles": true,
                    "verify": {"provider": "notation", "secretRef": {"name": "s"}},
                },
            })
        );
    }

    #[test]
    fn what_the_template_does_not_say_is_any_version_at_the_interval_of_the_release() {
        let source = json!({"kind": "GitRepository", "name": "r"});
        let chart = made(json!({"spec": {"chart": "./c", "sourceRef": source}}));
        assert_eq!(
            chart.get("spec"),
            Some(&json!({
                "chart": "./c", "version": "*", "interval": "10m0s", "reconcileStrategy": "ChartVersion", "sourceRef": source,
            }))
        );
        assert_eq!(chart.pointer("/metadata/namespace"), Some(&json!("team")));
    }

    #[test]
    fn a_template_of_an_oci_repository_makes_one_in_the_namespace_of_the_release() {
        let repository =
            made(json!({"kind": "OCIRepository", "spec": {"url": "oci://r/c", "ref": {"semver": "1.x"}}}));
        assert_eq!(repository.get("kind"), Some(&json!("OCIRepository")));
        assert_eq!(
            repository.get("spec"),
            Some(&json!({"url": "oci://r/c", "ref": {"semver": "1.x"}, "interval": "10m0s"}))
        );
        assert_eq!(repository.pointer("/metadata/name"), Some(&json!("team-app")));
    }

    #[test]
    fn a_template_without_what_its_kind_needs_makes_nothing() {
        let error = |chart| build(&release(chart, Value::Null)).err();
        assert_eq!(error(json!({"spec": {"chart": "c"}})), Some(TemplateError::NoChart));
        assert_eq!(error(json!({"kind": "OCIRepository", "spec": {}})), Some(TemplateError::NoUrl));
        assert_eq!(build(&release(Value::Null, Value::Null)), Ok(None));
    }

    #[test]
    fn what_was_made_before_is_obsolete_when_the_template_makes_another_one_or_none() {
        let source = json!({"kind": "HelmRepository", "name": "r"});
        let chart = json!({"spec": {"chart": "c", "sourceRef": source}});
        let obsolete = |chart: &Value, before: &str| {
            obsolete(&release(chart.clone(), json!({"helmChart": before}))).map(|made| made.to_string())
        };
        assert_eq!(obsolete(&chart, "team/team-app"), None);
        assert_eq!(obsolete(&chart, "").as_deref(), None);
        assert_eq!(obsolete(&chart, "shared/team-app").as_deref(), Some("HelmChart/shared/team-app"));
        assert_eq!(obsolete(&Value::Null, "team/team-app").as_deref(), Some("HelmChart/team/team-app"));
        let oci = json!({"kind": "OCIRepository", "spec": {"url": "oci://r/c"}});
        assert_eq!(obsolete(&oci, "team/team-app").as_deref(), Some("HelmChart/team/team-app"));
        assert_eq!(obsolete(&oci, "OCIRepository/team/team-app"), None);
    }

    #[test]
    fn events_name_the_object_and_its_source() {
        let source = json!({"kind": "HelmRepository", "name": "r", "namespace": "shared"});
        let release = release(json!({"spec": {"chart": "c", "sourceRef": source}}), Value::Null);
        let Ok(Some((reference, object))) = build(&release) else { panic!("nothing is made") };
        assert_eq!(
            applied_text("Created", &reference, &object),
            "Created HelmChart/shared/team-app with SourceRef 'HelmRepository/shared/r'"
        );
        assert_eq!(deleted_text(&reference), "deleted HelmChart 'shared/team-app'");
    }
}
