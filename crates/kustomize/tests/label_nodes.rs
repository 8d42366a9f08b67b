//! Labels and annotations that are one node in several fields of an object; each answer is that of the real kustomize.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use kustomize::{MemoryTree, Options, Resource, build};
use serde_json::Value;

fn run(files: &[(&str, &str)]) -> Vec<Resource> {
    let mut tree = MemoryTree::default();
    for (path, text) in files {
        tree.insert(path, text.as_bytes().to_vec());
    }
    build(&tree, "top", &Options::default(), None).unwrap()
}

const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  selector: {matchLabels: {own: 'x'}}\n  template:\n    spec: {containers: [{name: c, image: i}]}\n";
const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: cfg}\n";
const COMPONENT: &str =
    "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nlabels: [{pairs: {x: new}}]\n";
/// Lets transformers that have nothing to do with labels write to one of them.
const FIELDS: &str = "namePrefix: [{path: metadata/labels/x}, {path: spec/selector/matchLabels/x}]\nimages: [{path: spec/template/metadata/labels/x}]\nvarReference: [{path: metadata/labels}]\nnameReference: [{kind: ConfigMap, fieldSpecs: [{path: spec/template/metadata/annotations/x}]}]\n";
const OLD: &str = "commonLabels: {x: old}";

/// What metadata, selector and pod template of the Deployment have for the key that the base sets.
fn values(base: &str, top: &str) -> String {
    let resources = run(&[
        ("base/kustomization.yaml", &format!("resources: [d.yaml, c.yaml]\n{base}\n")),
        ("base/d.yaml", DEPLOYMENT),
        ("base/c.yaml", CONFIG_MAP),
        ("part/kustomization.yaml", COMPONENT),
        ("top/c.yaml", FIELDS),
        ("top/kustomization.yaml", &format!("resources: [../base]\n{top}\n")),
    ]);
    let deployment = resources.iter().find(|resource| resource.kind() == "Deployment").unwrap();
    let object = deployment.to_json().unwrap();
    let map = if base.starts_with("commonAnnotations") { "annotations" } else { "labels" };
    let key = ["app.kubernetes.io~1managed-by", "own"];
    let key = key.into_iter().find(|key| base.contains(&key.replace("~1", "/"))).unwrap_or("x");
    [
        format!("/metadata/{map}/{key}"),
        format!("/spec/selector/matchLabels/{key}"),
        format!("/spec/template/metadata/{map}/{key}"),
    ]
    .map(|path| object.pointer(&path).unwrap_or(&Value::Null).to_string())
    .join(" ")
}

fn patch(body: &str) -> String {
    format!("patches: [{{patch: '{{kind: Deployment, apiVersion: apps/v1, {body}}}'}}]")
}

fn transformer(kind: &str, body: &str) -> String {
    format!("transformers: ['{{apiVersion: builtin, kind: {kind}, metadata: {{name: t}}, {body}}}']")
}

fn replacement(source: &str, paths: &str, options: &str) -> String {
    format!(
        "replacements: [{{{source}, targets: [{{select: {{kind: Deployment}}, fieldPaths: [{paths}]{options}}}]}}]"
    )
}

#[test]
#[rustfmt::skip]
fn a_label_that_is_changed_in_one_field_changes_in_all_that_have_its_node() {
    let rows: Vec<(&str, &str, String, &str)> = vec![
        ("labels of the metadata", OLD, "labels: [{pairs: {x: new}}]".into(), r#""new" "new" "new""#),
        ("labels of the template", OLD, "labels: [{pairs: {x: new}, includeTemplates: true}]".into(), r#""new" "new" "new""#),
        ("labels of all", OLD, "labels: [{pairs: {x: new}, includeSelectors: true}]".into(), r#""new" "new" "new""#),
        ("labels with templates below", "labels: [{pairs: {x: old}, includeTemplates: true}]", "labels: [{pairs: {x: new}}]".into(), r#""new" null "new""#),
        ("labels with selectors below", "labels: [{pairs: {x: old}, includeSelectors: true}]", "labels: [{pairs: {x: new}}]".into(), r#""new" "new" "new""#),
        ("labels without any below", "labels: [{pairs: {x: old}}]", "labels: [{pairs: {x: new}, includeTemplates: true}]\ncommonLabels: {tier: z}".into(), r#""new" null "new""#),
        ("labels in one file", "commonLabels: {tier: z}", "labels: [{pairs: {x: old}, includeSelectors: true}, {pairs: {x: new}}]".into(), r#""new" "new" "new""#),
        ("another label", OLD, "labels: [{pairs: {tier: new}}]".into(), r#""old" "old" "old""#),
        ("two layers of labels", OLD, "commonLabels: {x: mid}\ncomponents: [../part]".into(), r#""mid" "mid" "mid""#),
        ("a component", OLD, "components: [../part]".into(), r#""new" "new" "new""#),
        ("a label transformer for the selector", OLD, transformer("LabelTransformer", "labels: {x: new}, fieldSpecs: [{path: spec/selector/matchLabels}]"), r#""new" "new" "new""#),
        ("patch of the metadata", OLD, patch("metadata: {name: d, labels: {x: new}}"), r#""new" "new" "new""#),
        ("patch of the template", OLD, patch("metadata: {name: d}, spec: {template: {metadata: {labels: {x: new}}}}"), r#""new" "new" "new""#),
        ("patch of the selector", OLD, patch("metadata: {name: d}, spec: {selector: {matchLabels: {x: new}}}"), r#""new" "new" "new""#),
        ("patch of several", OLD, patch("metadata: {name: d, labels: {x: m}}, spec: {template: {metadata: {labels: {x: t}}}, selector: {matchLabels: {x: s}}}"), r#""t" "t" "t""#),
        ("patch that removes one", OLD, patch("metadata: {name: d, labels: {x: null}}, spec: {selector: {matchLabels: {x: new}}}"), r#"null "new" "new""#),
        ("patch that replaces the labels", OLD, patch("metadata: {name: d, labels: {$patch: replace, x: m}}, spec: {selector: {matchLabels: {x: s}}}"), r#""m" "s" "s""#),
        ("patch with a target", OLD, "patches: [{patch: '{kind: Deployment, apiVersion: apps/v1, metadata: {name: any, labels: {x: new}}}', target: {kind: Deployment}}]".into(), r#""new" "new" "new""#),
        ("patchesStrategicMerge", OLD, "patchesStrategicMerge: ['{kind: Deployment, apiVersion: apps/v1, metadata: {name: d, labels: {x: new}}}']".into(), r#""new" "new" "new""#),
        ("patch with a number", OLD, patch("metadata: {name: d, labels: {x: 5}}"), "5 5 5"),
        ("patch with a number over a text in quotes", "commonLabels: {x: '7'}", patch("metadata: {name: d, labels: {x: 5}}"), r#""5" "5" "5""#),
        ("a text takes the style of what was there", "commonLabels: {own: new}", patch("metadata: {name: d, labels: {own: 5}}"), r#""5" "new" "5""#),
        ("a removed label that is set again", OLD, format!("{}\nlabels: [{{pairs: {{x: new}}}}]", patch("metadata: {name: d, labels: {x: null}}")), r#""new" "old" "old""#),
        ("JSON patch of one", OLD, r#"patches: [{target: {kind: Deployment}, patch: '[{"op": "replace", "path": "/metadata/labels/x", "value": "new"}]'}]"#.into(), r#""new" "old" "old""#),
        ("JSON patch of another field", OLD, "patches: [{target: {kind: Deployment}, patch: '[{\"op\": \"add\", \"path\": \"/spec/replicas\", \"value\": 3}]'}]\nlabels: [{pairs: {x: new}}]".into(), r#""new" "old" "old""#),
        ("patch, then JSON patch", OLD, "patches:\n- patch: '{kind: Deployment, apiVersion: apps/v1, metadata: {name: d, labels: {x: new}}}'\n- target: {kind: Deployment}\n  patch: '[{\"op\": \"replace\", \"path\": \"/spec/selector/matchLabels/x\", \"value\": \"json\"}]'".into(), r#""new" "json" "new""#),
        ("replacement", OLD, replacement("sourceValue: new", "metadata.labels.x", ""), r#""new" "new" "new""#),
        ("replacement in the template", OLD, replacement("sourceValue: new", "spec.template.metadata.labels.x", ""), r#""new" "new" "new""#),
        ("replacement of a part, twice", OLD, replacement("sourceValue: new", "metadata.labels.x, spec.selector.matchLabels.x", ", options: {delimiter: '-', index: -1}"), r#""new-new-old" "new-new-old" "new-new-old""#),
        ("replacement by itself", OLD, replacement("source: {kind: Deployment, fieldPath: metadata.labels.x}", "metadata.labels.x, spec.selector.matchLabels.x", ", options: {delimiter: '-', index: -1}"), r#""old-old-old-old" "old-old-old-old" "old-old-old-old""#),
        ("replacement of a whole mapping", OLD, format!("{}\ntransformers: ['{{apiVersion: builtin, kind: LabelTransformer, metadata: {{name: t}}, labels: {{x: new}}, fieldSpecs: [{{path: metadata/labels}}]}}']", replacement("source: {kind: Deployment, fieldPath: metadata.labels}", "spec.selector.matchLabels", "")), r#""new" "old" "new""#),
        ("name and namespace between", OLD, "namePrefix: a-\nnamespace: ns\nlabels: [{pairs: {x: new}}]".into(), r#""new" "new" "new""#),
        ("namePrefix with fields of its own", OLD, "namePrefix: a-\nconfigurations: [c.yaml]".into(), r#""a-a-old" "a-a-old" "a-a-old""#),
        ("images with a field of its own", OLD, "images: [{name: old, newTag: v1}]\nconfigurations: [c.yaml]".into(), r#""old:v1" "old:v1" "old:v1""#),
        ("ValueAddTransformer", OLD, transformer("ValueAddTransformer", "value: new, targets: [{fieldPath: metadata/labels/x}]"), r#""new" "new" "new""#),
        ("vars", "commonLabels: {x: $(VAR)}", "vars: [{name: VAR, objref: {apiVersion: v1, kind: ConfigMap, name: cfg}}]\nconfigurations: [c.yaml]".into(), r#""cfg" "cfg" "cfg""#),
        ("vars with dollars", "commonLabels: {x: $$(VAR)}", "vars: [{name: VAR, objref: {apiVersion: v1, kind: ConfigMap, name: cfg}}]\nconfigurations: [c.yaml]".into(), r#""$(VAR)" "$(VAR)" "$(VAR)""#),
        ("managedByLabel", "commonLabels: {app.kubernetes.io/managed-by: old}", "buildMetadata: [managedByLabel]".into(), r#""kustomize-v5.8.1" "kustomize-v5.8.1" "kustomize-v5.8.1""#),
        ("annotations", "commonAnnotations: {x: old}", patch("metadata: {name: d}, spec: {template: {metadata: {annotations: {x: new}}}}"), r#""new" null "new""#),
        ("annotations with notes of the build", "commonAnnotations: {x: old}", format!("{}\nbuildMetadata: [originAnnotations]", patch("metadata: {name: d}, spec: {template: {metadata: {annotations: {x: new}}}}")), r#""old" null "new""#),
        ("name reference in an annotation", "commonAnnotations: {x: cfg}", "namePrefix: a-\nconfigurations: [c.yaml]".into(), r#""a-cfg" null "a-cfg""#),
    ];
    for (name, base, top, expected) in rows {
        assert_eq!(values(base, &top), expected, "{name}");
    }
}

const STATEFUL_SET: &str = "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: s}\nspec:\n  selector: {matchLabels: {own: '1'}}\n  template:\n    metadata: {labels: {own: '1'}}\n    spec:\n      containers: [{name: c, image: i}]\n      topologySpreadConstraints:\n      - {topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {own: '1'}}}\n      - {topologyKey: node, whenUnsatisfiable: DoNotSchedule, labelSelector: {matchLabels: {own: '1'}}}\n  volumeClaimTemplates:\n  - metadata: {name: data}\n";

#[test]
fn items_of_lists_share_labels_wherever_a_merge_puts_them() {
    let top = |patch: &str| {
        let patch =
            format!("{{kind: StatefulSet, apiVersion: apps/v1, metadata: {{name: s}}, spec: {{{patch}}}}}");
        run(&[
            ("base/kustomization.yaml", "resources: [s.yaml]\ncommonLabels: {x: old}\n"),
            ("base/s.yaml", STATEFUL_SET),
            ("top/kustomization.yaml", &format!("resources: [../base]\npatches: [{{patch: '{patch}'}}]\n")),
        ])
    };
    let found = |resources: &[Resource]| {
        let object = resources[0].to_json().unwrap();
        let spread = "/spec/template/spec/topologySpreadConstraints";
        [
            "/metadata/labels/x".to_owned(),
            "/spec/selector/matchLabels/x".to_owned(),
            "/spec/template/metadata/labels/x".to_owned(),
            format!("{spread}/0/topologyKey"),
            format!("{spread}/0/labelSelector/matchLabels/x"),
            format!("{spread}/1/topologyKey"),
            format!("{spread}/1/labelSelector/matchLabels/x"),
            "/spec/volumeClaimTemplates/0/metadata/labels/x".to_owned(),
        ]
        .map(|path| object.pointer(&path).and_then(Value::as_str).unwrap_or("-").to_owned())
        .join(" ")
    };
    let spread = |fields: &str| {
        format!(
            "template: {{spec: {{topologySpreadConstraints: [{{topologyKey: new, whenUnsatisfiable: ScheduleAnyway}}, {{topologyKey: node, whenUnsatisfiable: DoNotSchedule{fields}}}]}}}}"
        )
    };
    let item = spread(", labelSelector: {matchLabels: {x: item}}");
    assert_eq!(found(&top(&item)), "item item item new - zone item item");
    let both = format!("selector: {{matchLabels: {{x: new}}}}, {}", spread(""));
    assert_eq!(found(&top(&both)), "new new new new - zone new new");
    let claims = "volumeClaimTemplates: [{metadata: {name: other, labels: {x: claim}}}]";
    assert_eq!(found(&top(claims)), "old old old zone old node old claim");
}

#[test]
fn objects_share_no_labels_with_each_other() {
    let both = format!("{DEPLOYMENT}---\n{}", DEPLOYMENT.replace("name: d", "name: e"));
    let resources = run(&[
        ("base/kustomization.yaml", "resources: [d.yaml]\ncommonLabels: {x: old}\n"),
        ("base/d.yaml", &both),
        (
            "top/kustomization.yaml",
            &format!("resources: [../base]\n{}\n", patch("metadata: {name: d, labels: {x: new}}")),
        ),
    ]);
    let selectors = resources.iter().map(|resource| {
        resource.to_json().unwrap().pointer("/spec/selector/matchLabels/x").unwrap().to_string()
    });
    assert_eq!(selectors.collect::<Vec<_>>(), ["\"new\"", "\"old\""]);
}
