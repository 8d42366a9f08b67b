//! The suite of kustomize 5.8.1 and the builds of Flux's suite, byte for byte.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;
use std::path::{Path, PathBuf};

use kustomize::{DiskTree, LoadRestrictor, Options, Reorder};
use serde_json::Value;

/// The folder with the cases, beside the repository. Without it there is nothing to compare with.
fn shared() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared");
    folder.is_dir().then_some(folder)
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        let kind = entry.file_type().unwrap();
        if kind.is_symlink() {
            std::os::unix::fs::symlink(fs::read_link(entry.path()).unwrap(), target).unwrap();
        } else if kind.is_dir() {
            copy(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// Runs one case; says what is wrong, if anything.
fn run(case: &Path, legacy_order: bool) -> Result<(), String> {
    let about: Value = serde_json::from_slice(&fs::read(case.join("case.json")).unwrap()).unwrap();
    let root = tempfile::tempdir().unwrap();
    if case.join("input").is_dir() {
        copy(&case.join("input"), root.path());
    }
    for directory in about["emptyDirs"].as_array().into_iter().flatten() {
        fs::create_dir_all(root.path().join(directory.as_str().unwrap())).unwrap();
    }
    let none = |option: &str| about["options"][option] == "none";
    let in_order = !legacy_order && none("order");
    let options = Options {
        load_restrictor: if none("loadRestrictor") { LoadRestrictor::None } else { LoadRestrictor::RootOnly },
        reorder: if in_order { Reorder::None } else { Reorder::Legacy },
        managed_by_label: about["options"]["managedByLabel"] == true,
        ..Options::default()
    };
    let tree = DiskTree::new(root.path()).unwrap();
    let path = about["path"].as_str().unwrap().trim_start_matches('/');
    let built =
        kustomize::build(&tree, path, &options, None).and_then(|resources| kustomize::to_yaml(&resources));
    match (built, about["expect"] == "error") {
        (Err(_), true) => Ok(()),
        (Ok(_), true) => Err("should have failed".into()),
        (Err(error), false) => Err(error.to_string()),
        (Ok(text), false) => {
            let legacy = case.join("expected.legacy.yaml");
            let expected = if !in_order && legacy.exists() { legacy } else { case.join("expected.yaml") };
            let expected = fs::read_to_string(expected).unwrap();
            let plain =
                |text: &str| text.replace("managed-by: kustomize-v5.8.1", "managed-by: kustomize-(devel)");
            if plain(&text) == plain(&expected) { Ok(()) } else { Err(format!("differs:\n{text}")) }
        }
    }
}

/// Runs all cases of a folder, in their own order or in kustomize's; those in `known-failures.txt` are expected to fail.
fn run_all(folder: &str, at_least: usize, orders: &[bool]) {
    let Some(shared) = shared() else {
        eprintln!("no cases beside the repository");
        return;
    };
    let known = include_str!("../known-failures.txt");
    let known: Vec<&str> = known.lines().filter_map(|line| line.split('#').next()).map(str::trim).collect();
    let mut cases: Vec<PathBuf> = fs::read_dir(shared.join(folder))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    assert!(cases.len() >= at_least, "only {} cases", cases.len());
    let mut surprises = Vec::new();
    for case in &cases {
        let name = case.file_name().unwrap().to_str().unwrap();
        for legacy_order in orders {
            match run(case, *legacy_order) {
                Err(_) if known.contains(&name) => {}
                Ok(()) if known.contains(&name) => {
                    surprises.push(format!("{name}: passes, but is listed as failing"))
                }
                Err(fault) => surprises.push(format!("{name}: {fault}")),
                Ok(()) => {}
            }
        }
    }
    assert!(surprises.is_empty(), "{} of {} cases:\n{}", surprises.len(), cases.len(), surprises.join("\n"));
}

#[test]
fn builds_what_kustomize_builds() {
    run_all("kustomize-cases", 418, &[false, true]);
}

#[test]
fn builds_what_flux_builds() {
    run_all("flux-cases/build", 32, &[false]);
}
