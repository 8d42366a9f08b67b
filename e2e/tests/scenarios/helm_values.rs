//! The values of a HelmRelease: of ConfigMaps, Secrets and its own spec, and what is said of those that are none.

use anyhow::{Context, Result, ensure};
use e2e::objects::Look;
use serde_json::{Value, json};

use crate::helm_release::{Helm, MAP, RELEASE};

/// Texts that are values, and texts that are none.
const SOURCES: &str = r#"
apiVersion: v1
kind: ConfigMap
metadata: {name: texts}
data:
  list: "- 1\n"
  word: "x\n"
  number: "1\n"
  broken: "a: [1, 2\n"
  good: "text: of the map\nnested: {a: 1, b: map}\ngone: null\nempty: {}\n"
  five: "5"
  quoted: "'5'"
---
apiVersion: v1
kind: Secret
metadata: {name: hidden}
stringData:
  list: "- s3cret\n"
  literal: "a,b={c}[0]\\d"
"#;

fn reference(kind: &str, name: &str, key: &str, more: &Value) -> Value {
    let mut reference = json!({"kind": kind, "name": name, "valuesKey": key});
    for (field, value) in more.as_object().into_iter().flatten() {
        reference[field] = value.clone();
    }
    reference
}

#[tokio::test(flavor = "multi_thread")]
async fn values_of_config_maps_and_secrets_are_watched_where_they_say_so() -> Result<()> {
    let from = json!([
        {"kind": "ConfigMap", "name": "base"},
        {"kind": "Secret", "name": "token", "valuesKey": "token", "targetPath": "more.token"},
        {"kind": "ConfigMap", "name": "absent", "optional": true},
    ]);
    let helm = Helm::shared("helm-values").await?;
    helm.begin(&[("map.yaml", MAP)], &json!({"valuesFrom": from})).await?;
    let test = &helm.test;
    test.condition(RELEASE, "Ready", "False", "ValuesError", "could not resolve ConfigMap chart values")
        .await?;
    let objects = "apiVersion: v1\nkind: Secret\nmetadata: {name: token}\nstringData: {token: s3cret}\n---\n\
                   apiVersion: v1\nkind: ConfigMap\nmetadata: {name: base, labels: {reconcile.fluxcd.io/watch: Enabled}}\n\
                   data: {values.yaml: \"text: first\"}\n";
    test.apply(objects).await?;
    helm.ready("Helm install succeeded").await?;
    ensure!(helm.text().await? == "first");
    let values = helm.helm(&["get", "values", "app"])?;
    ensure!(values == json!({"text": "first", "more": {"token": "s3cret"}}), "{values}");
    test.patch("ConfigMap/base", &json!({"data": {"values.yaml": "text: second"}})).await?;
    helm.ready("Helm upgrade succeeded").await?;
    ensure!(helm.text().await? == "second");
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_values_is_told_and_what_is_composed_is_what_flux_composes() -> Result<()> {
    let helm = Helm::shared("helm-no-values").await?;
    let test = &helm.test;
    test.apply(SOURCES).await?;
    let decoding = "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal";
    let no_map = |what: &str| format!("{decoding} {what} into Go value of type common.Values");
    let below =
        "unable to parse key: interface conversion: interface {} is string, not map[string]interface {}";
    let none = json!({});
    let optional = json!({"optional": true});
    let path = json!({"targetPath": "text.below"});
    let broken = "error converting YAML to JSON: yaml: line 1: did not find expected ',' or ']'";
    helm.begin(&[("map.yaml", MAP)], &json!({"suspend": true, "values": {"text": "inline"}})).await?;
    for (kind, name, key, more, reason) in [
        ("ConfigMap", "texts", "list", &none, no_map("array")),
        ("ConfigMap", "texts", "word", &none, no_map("string")),
        ("ConfigMap", "texts", "number", &none, no_map("number")),
        ("ConfigMap", "texts", "broken", &none, broken.to_owned()),
        ("ConfigMap", "texts", "absent", &none, "key not found".to_owned()),
        ("ConfigMap", "texts", "word", &path, below.to_owned()),
        ("ConfigMap", "none", "any", &none, "configmaps \"none\" not found".to_owned()),
        // What is optional may be missing, not wrong.
        ("ConfigMap", "texts", "list", &optional, no_map("array")),
        // What is in a Secret is not told.
        ("Secret", "hidden", "list", &none, "failed to read values data".to_owned()),
        ("Secret", "hidden", "absent", &none, "key not found".to_owned()),
    ] {
        let from = json!([reference(kind, name, key, more)]);
        test.patch(RELEASE, &json!({"spec": {"suspend": false, "valuesFrom": from}})).await?;
        let word = if more["optional"] == true { " optional" } else { "" };
        let text = format!(
            "could not resolve{word} {kind} chart values reference '{}/{name}' with key '{key}': {reason}",
            test.namespace
        );
        let release = helm.says("Ready", "False", "ValuesError", &text).await?;
        ensure!(release.condition("Ready").context("seen")?.message == text, "{release}");
        let event = test.event(RELEASE, "Warning", "ValuesError", &text).await?;
        ensure!(event.text("/message") == text, "{event}");
    }

    let from = json!([
        reference("ConfigMap", "texts", "good", &none),
        // One below wins over what is inline, if it is the first.
        reference("ConfigMap", "texts", "five", &json!({"targetPath": "below.it"})),
        reference("ConfigMap", "texts", "absent", &optional),
        reference("Secret", "none", "absent", &optional),
        reference("Secret", "hidden", "literal", &json!({"targetPath": "verbatim", "literal": true})),
        reference("ConfigMap", "texts", "five", &json!({"targetPath": "as.number"})),
        reference("ConfigMap", "texts", "quoted", &json!({"targetPath": "as.text"})),
        // One at the top loses to what is inline.
        reference("ConfigMap", "texts", "five", &json!({"targetPath": "top"})),
    ]);
    let inline = json!({"text": "inline", "nested": {"b": "inline", "c": [1]}, "top": "inline", "below": {"it": "inline"}});
    test.patch(RELEASE, &json!({"spec": {"valuesFrom": from, "values": inline}})).await?;
    helm.ready("Helm install succeeded").await?;
    let values = helm.helm(&["get", "values", "app"])?;
    let wanted = json!({
        "text": "inline", "nested": {"a": 1, "b": "inline", "c": [1]}, "gone": null, "empty": {}, "verbatim": "a,b={c}[0]\\d",
        "as": {"number": 5, "text": "5"}, "top": "inline", "below": {"it": 5},
    });
    ensure!(values == wanted, "{values}");
    ensure!(helm.text().await? == "inline");

    // The same in another order is no change.
    let reordered = "empty: {}\ngone: null\nnested: {b: map, a: 1}\ntext: of the map\n";
    test.patch("ConfigMap/texts", &json!({"data": {"good": reordered}})).await?;
    test.run(RELEASE).await?;
    ensure!(helm.version().await? == 1);
    ensure!(!helm.controller.log_text().contains("s3cret"));
    helm.test.finish().await
}
