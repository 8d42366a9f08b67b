//! What is stored, against what the real client stores of the same chart.

use std::collections::BTreeMap;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use e2e::objects::Id;
use serde_json::Value;

use crate::bed::*;

const HOOK: (&str, &str) = (
    "templates/hook.yaml",
    "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: hook\n  annotations: {helm.sh/hook: post-install, helm.sh/hook-weight: \"3\"}\n",
);
const NOTES: (&str, &str) = ("templates/NOTES.txt", "{{ .Release.Name }} is there\n");
/// All values that templates see.
const SEEN: (&str, &str) = (
    "templates/seen.yaml",
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: seen}\ndata: {all: {{ toJson .Values | quote }}}\n",
);

/// The labels and the release of a stored revision, without what differs from run to run.
async fn stored(bed: &Bed, name: &str, revision: i64) -> Result<(BTreeMap<String, Value>, Value)> {
    let id = Id::new(&format!("Secret/sh.helm.release.v1.{name}.v{revision}"), &bed.namespace)?;
    let secret = bed.objects.get(&id).await?.unwrap();
    assert_eq!(secret["type"], "helm.sh/release.v1");
    let mut labels: BTreeMap<String, Value> = serde_json::from_value(secret["metadata"]["labels"].clone())?;
    for stamp in ["createdAt", "modifiedAt"] {
        labels.entry(stamp.to_owned()).and_modify(|seconds| *seconds = "some".into());
    }
    let bytes = STANDARD.decode(STANDARD.decode(secret["data"]["release"].as_str().unwrap())?)?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(bytes.as_slice()), &mut text)?;
    let mut release: Value = serde_json::from_str(&text)?;
    mask_times(&mut release);
    Ok((labels, release))
}

fn mask_times(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match name.as_str() {
                    "first_deployed" | "last_deployed" | "deleted" | "started_at" | "completed_at" => {
                        assert!(field.as_str().is_some_and(|text| text.contains('T')), "{name}: {field}");
                        *field = "some".into();
                    }
                    _ => mask_times(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask_times),
        _ => {}
    }
}

/// A revision of `web` is the same in two namespaces, in the order of its fields, too.
async fn same(ours: &Bed, theirs: &Bed, revision: i64) -> Result<()> {
    let mut both = Vec::new();
    for bed in [ours, theirs] {
        let (labels, release) = stored(bed, "web", revision).await?;
        both.push((labels, serde_json::to_string(&release)?.replace(&bed.namespace, "ns")));
    }
    assert_eq!(both[0], both[1]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_is_stored_as_by_the_real_client() -> Result<()> {
    let bed = Bed::new().await?;
    let chart = bed.chart("1.0.0", &[MAP, HOOK, NOTES])?;
    let beside = Bed::new().await?;
    good(bed.install("web", &chart, r#"{"text": "one", "n": {"deep": 1}}"#).await);
    beside.helm(&["install", "web", &chart, "--set", "text=one,n.deep=1", "--wait"])?;
    same(&bed, &beside, 1).await?;
    good(bed.upgrade("web", &chart, r#"{"text": "two"}"#).await);
    beside.helm(&["upgrade", "web", &chart, "--set", "text=two", "--reset-values", "--wait"])?;
    for revision in [1, 2] {
        same(&bed, &beside, revision).await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_that_reuses_values_is_stored_as_by_the_real_client() -> Result<()> {
    let (bed, beside) = (Bed::new().await?, Bed::new().await?);
    let (first, second) = (bed.chart("1.0.0", &[MAP])?, bed.chart("2.0.0", &[MAP, SEEN])?);
    good(
        bed.install("web", &first, r#"{"text": "one", "n": {"deep": 1, "other": [1, 2]}, "gone": 7}"#).await,
    );
    let sets = ["--set", "text=one,n.deep=1,n.other={1,2},gone=7"];
    beside.helm(&[&["install", "web", &first, "--wait"], &sets[..]].concat())?;
    for (revision, values, sets) in [
        (2, r#"{"n": {"deep": 2}, "gone": null}"#, "n.deep=2,gone=null"),
        (3, r#"{"gone": null}"#, "gone=null"),
        (4, "{}", ""),
    ] {
        good(bed.upgrade_reusing("web", &second, values).await);
        beside.helm(&["upgrade", "web", &second, "--reuse-values", "--set", sets, "--wait"])?;
        same(&bed, &beside, revision).await?;
    }
    assert_eq!(bed.text("web-map").await?.as_deref(), Some("one"), "not the default of the chart");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn no_more_revisions_are_kept_than_asked_for() -> Result<()> {
    let bed = Bed::new().await?;
    let chart = bed.chart("1.0.0", &[MAP])?;
    good(bed.install("web", &chart, "{}").await);
    let mut options = upgrade();
    options.max_history = 2;
    for _ in 0..3 {
        good(bed.upgrade_as("web", &chart, "{}", &options).await);
    }
    let revisions: Vec<i64> =
        bed.configuration.storage().entries("web").await?.iter().map(|entry| entry.revision).collect();
    assert_eq!(revisions, [3, 4]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_that_is_too_large_is_refused_before_anything_is_applied() -> Result<()> {
    let bed = Bed::new().await?;
    let chart = bed.chart("1.0.0", &[MAP])?;
    let plan = bed.configuration.plan_install("web", &bed.namespace, false).await?;
    let mut rendition = bed.rendition(&chart, plan.release(), "{}")?;
    let noise: String = (0..2_000_000).map(|_| char::from(rand::random_range(b'a'..=b'z'))).collect();
    rendition.notes = noise;
    let text = refusal(plan.run(rendition, &install()).await);
    assert_eq!(
        text,
        "create: failed to create: Secret \"sh.helm.release.v1.web.v1\" is invalid: data: Too long: may not be more than 1048576 bytes"
    );
    assert_eq!(bed.text("web-map").await?, None);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_revision_is_passed_over() -> Result<()> {
    let bed = Bed::new().await?;
    let chart = bed.chart("1.0.0", &[MAP])?;
    good(bed.install("web", &chart, "{}").await);
    good(bed.upgrade("web", &chart, "{}").await);
    let id = Id::new("Secret/sh.helm.release.v1.web.v2", &bed.namespace)?;
    bed.objects.patch(&id, &serde_json::json!({"data": {"release": "bm8gcmVsZWFzZQ=="}})).await?;
    assert_eq!(bed.configuration.storage().last("web").await?.map(|release| release.version), Some(1));
    // Its number is not used again, for its Secret is there.
    assert_eq!(good(bed.upgrade("web", &chart, "{}").await).release.version, 3);
    bed.objects.patch(&id, &serde_json::json!({"metadata": {"labels": {"version": "7"}}})).await?;
    assert_eq!(good(bed.configuration.rollback("web", &rollback(1)).await).release.version, 8);
    Ok(())
}
