//! The root files that Flux generates and changes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use kustomize::flux::{self, Action, ImageOverride, Overlay, PatchOverride, SelectorOverride};
use kustomize::{MemoryTree, Options};
use serde_json::Value;

fn text(value: &Value, key: &str) -> String {
    value[key].as_str().unwrap_or_default().to_owned()
}

fn texts(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|text| text.as_str().unwrap().to_owned()).collect()
}

fn overlay(spec: &Value) -> Overlay {
    let optional = |key: &str| spec[key].as_str().map(str::to_owned);
    let target = |target: &Value| SelectorOverride {
        group: text(target, "group"),
        version: text(target, "version"),
        kind: text(target, "kind"),
        name: text(target, "name"),
        namespace: text(target, "namespace"),
        annotation_selector: text(target, "annotationSelector"),
        label_selector: text(target, "labelSelector"),
    };
    let patch = |patch: &Value| PatchOverride {
        patch: text(patch, "patch"),
        target: patch.get("target").map(target),
    };
    let image = |image: &Value| ImageOverride {
        name: text(image, "name"),
        new_name: text(image, "newName"),
        new_tag: text(image, "newTag"),
        digest: text(image, "digest"),
    };
    Overlay {
        target_namespace: optional("targetNamespace"),
        name_prefix: optional("namePrefix"),
        name_suffix: optional("nameSuffix"),
        patches: spec["patches"].as_array().into_iter().flatten().map(patch).collect(),
        images: spec["images"].as_array().into_iter().flatten().map(image).collect(),
        components: texts(&spec["components"]),
        ignore_missing_components: spec["ignoreMissingComponents"] == true,
        build_metadata: texts(&spec["buildMetadata"]),
    }
}

/// JSON without what Go leaves out: nulls and empty collections.
fn json(yaml_text: &str) -> String {
    let node = yaml::parse(yaml_text, &yaml::Limits::default()).unwrap().remove(0);
    let mut value = node.to_json(yaml::Resolver::KubernetesV2).unwrap();
    if let Value::Object(fields) = &mut value {
        fields.retain(|_, field| !field.is_null() && field.as_array().is_none_or(|list| !list.is_empty()));
    }
    yaml::canonical_json(&value)
}

fn read_into(tree: &mut MemoryTree, folder: &Path, prefix: &str) {
    for entry in fs::read_dir(folder).into_iter().flatten() {
        let entry = entry.unwrap();
        let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
        if entry.path().is_dir() {
            tree.insert_directory(&name);
            read_into(tree, &entry.path(), &format!("{name}/"));
        } else {
            tree.insert(&name, fs::read(entry.path()).unwrap());
        }
    }
}

fn run(case: &Path) -> Result<(), String> {
    let about: Value = serde_json::from_slice(&fs::read(case.join("case.json")).unwrap()).unwrap();
    let directory = text(&about, "path");
    let mut tree = MemoryTree::default();
    tree.insert_directory(&directory);
    read_into(&mut tree, &case.join("input"), "");
    let filter = about["filter"] == true;
    let rules = fs::read(case.join("input/.sourceignore")).unwrap_or_default();
    let spec = text(&about, "ignore");
    let files = [(&b""[..], &rules[..])];
    let matcher =
        artifact::ignore::Matcher::from_rules(files, Some(&spec), &artifact::ignore::Limits::default());
    let matcher = RefCell::new(matcher.unwrap());
    let deadline = net::Deadline::new(Duration::from_secs(3600));
    let ignored = |path: &str, is_directory: bool| {
        filter && matcher.borrow_mut().is_ignored(path.as_bytes(), is_directory, &deadline).unwrap()
    };
    let overlay = overlay(&about["spec"]["spec"]);
    let manifest = flux::manifest(&tree, &directory, &overlay, &Options::default(), &ignored)
        .map_err(|error| error.to_string())?;
    let action = match manifest.action {
        Action::Created => "created",
        Action::Unchanged => "unchanged",
    };
    assert_eq!(about["action"], action);
    let expected = fs::read_dir(case).unwrap().map(|entry| entry.unwrap().path());
    let expected =
        expected.into_iter().find(|path| path.file_name().unwrap().to_str().unwrap().starts_with("expected"));
    let expected = json(&fs::read_to_string(expected.unwrap()).unwrap());
    let actual = json(&manifest.text);
    if actual == expected { Ok(()) } else { Err(format!("\n  expected {expected}\n  actual   {actual}")) }
}

#[test]
fn root_files_are_those_of_flux() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/flux-cases/generator");
    if !folder.is_dir() {
        eprintln!("no cases beside the repository");
        return;
    }
    let cases: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(cases.len() >= 29, "only {} cases", cases.len());
    let failed: Vec<String> = cases
        .iter()
        .filter_map(|case| run(case).err().map(|fault| format!("{}: {fault}", case.display())))
        .collect();
    assert!(failed.is_empty(), "{} failed:\n{}", failed.len(), failed.join("\n"));
}
