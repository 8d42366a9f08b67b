//! Which definitions a chart brings.
#![allow(clippy::unwrap_used)]

use helm_chart::{Limits, MemoryTree, load_directory};
use serde_json::{Value, json};

/// The names of the definitions with these values.
fn names(values: &Value) -> Vec<String> {
    let mut tree = MemoryTree::default();
    let dependencies = "dependencies:\n- {name: s, version: 1.0.0, condition: s.enabled}\n- {name: t, version: 1.0.0, tags: [more]}\n";
    tree.insert("c/Chart.yaml", format!("apiVersion: v2\nname: c\nversion: 1.0.0\n{dependencies}"));
    tree.insert("c/values.yaml", "tags: {more: false}\n");
    for path in ["crds/a.yaml", "crds/b.txt", "crds/deep/c.JSON", "templates/crds/d.yaml"] {
        tree.insert(&format!("c/{path}"), "{}");
    }
    for name in ["s", "t"] {
        tree.insert(
            &format!("c/charts/{name}/Chart.yaml"),
            format!("apiVersion: v2\nname: {name}\nversion: 1.0.0\n"),
        );
        tree.insert(&format!("c/charts/{name}/crds/e.yml"), "{}");
    }
    let chart = load_directory(&tree, "c", &Limits::default()).unwrap();
    let crds = helm::crds(&chart, values.as_object().unwrap(), &helm::Costs::default(), &|| false).unwrap();
    crds.into_iter().map(|crd| crd.name).collect()
}

#[test]
fn definitions_of_subcharts_count_where_those_are_used() {
    let own = ["c/crds/a.yaml", "c/crds/deep/c.JSON"];
    assert_eq!(names(&json!({"s": {"enabled": false}})), own);
    assert_eq!(names(&json!({})), [&own[..], &["c/charts/s/crds/e.yml"]].concat());
    let both = ["c/charts/s/crds/e.yml", "c/charts/t/crds/e.yml"];
    assert_eq!(names(&json!({"tags": {"more": true}})), [&own[..], &both].concat());
}
