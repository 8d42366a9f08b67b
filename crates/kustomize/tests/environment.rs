//! Lines of env files without a value: kustomize takes it from its environment, and a controller must not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use std::process::Command;

use kustomize::{MemoryTree, Options, build, flux, to_yaml};

const KUSTOMIZATION: &str =
    "generatorOptions: {disableNameSuffixHash: true}\nconfigMapGenerator:\n- name: c\n  envs: [e.env]\n";
const ENV_FILE: &str = "FERROFLUX_TEST_CANARY\nPATH\nown=1\n";
const EMPTY: &str = "apiVersion: v1\ndata:\n  FERROFLUX_TEST_CANARY: \"\"\n  PATH: \"\"\n  own: \"1\"\nkind: ConfigMap\nmetadata:\n  name: c\n";

#[test]
fn a_build_has_no_environment_but_what_it_is_given() {
    assert!(std::env::var_os("PATH").is_some(), "the test needs a variable that is set");
    let mut tree = MemoryTree::default();
    tree.insert("kustomization.yaml", KUSTOMIZATION.as_bytes());
    tree.insert("e.env", ENV_FILE.as_bytes());
    let mut options = Options::default();
    assert_eq!(to_yaml(&build(&tree, "", &options, None).unwrap()).unwrap(), EMPTY);
    let built = flux::build(&tree, "", &flux::Overlay::default(), &options, None, None).unwrap();
    assert_eq!(built.first().unwrap().to_json().unwrap()["data"]["PATH"], "");
    options.environment.insert("FERROFLUX_TEST_CANARY".into(), "yellow".into());
    let text = to_yaml(&build(&tree, "", &options, None).unwrap()).unwrap();
    assert_eq!(text, EMPTY.replace("CANARY: \"\"", "CANARY: yellow"));
}

#[test]
fn the_program_takes_missing_values_from_its_environment() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kustomization.yaml"), KUSTOMIZATION).unwrap();
    std::fs::write(folder.path().join("e.env"), ENV_FILE).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kustomize-build"));
    command.arg(folder.path()).env_clear().env("FERROFLUX_TEST_CANARY", "yellow");
    let text = String::from_utf8(command.output().unwrap().stdout).unwrap();
    assert_eq!(text, EMPTY.replace("CANARY: \"\"", "CANARY: yellow"));
}
