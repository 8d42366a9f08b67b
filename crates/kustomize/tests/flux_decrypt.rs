//! Which files are decrypted before a build, and as what.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::error::Error;
use std::sync::{Arc, Mutex};

use kustomize::flux::{self, Decryptor, Overlay, PatchOverride, Usage};
use kustomize::tree::Traced;
use kustomize::{MemoryTree, Options, to_yaml};

/// Takes `ENC:` off, and remembers what it was asked.
#[derive(Default)]
struct Prefix(Mutex<Vec<(String, Usage)>>);

impl Decryptor for Prefix {
    fn decrypt(
        &self,
        name: &str,
        usage: Usage,
        content: &[u8],
    ) -> Result<Option<Arc<[u8]>>, Box<dyn Error + Send + Sync>> {
        self.0.lock().unwrap().push((name.to_owned(), usage));
        match content.strip_prefix(b"ENC:") {
            Some(b"!") => Err("no key fits".into()),
            plain => Ok(plain.map(Into::into)),
        }
    }
}

fn tree(files: &[(&str, &str)]) -> MemoryTree {
    let mut tree = MemoryTree::default();
    files.iter().for_each(|(path, text)| tree.insert(path, text.as_bytes().to_vec()));
    tree
}

fn build_tree(tree: &MemoryTree, path: &str, overlay: &Overlay, options: &Options) -> Result<String, String> {
    let built = flux::build(tree, path, overlay, options, None, Some(&Prefix::default()));
    built.map(|resources| to_yaml(&resources).unwrap()).map_err(|error| error.to_string())
}

fn build(files: &[(&str, &str)], path: &str) -> Result<String, String> {
    build_tree(&tree(files), path, &Overlay::default(), &Options::default())
}

/// What of `files` the decryptor is asked about.
fn asked(files: &[(&str, &str)], path: &str, overlay: &Overlay) -> Vec<(String, Usage)> {
    let prefix = Prefix::default();
    flux::build(&tree(files), path, overlay, &Options::default(), None, Some(&prefix)).unwrap();
    prefix.0.into_inner().unwrap()
}

const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\n";

#[test]
fn generators_of_secrets_and_patches_get_plain_files() {
    let files = [
        (
            "app/kustomization.yaml",
            "resources: [map.yaml]\n\
             generatorOptions: {disableNameSuffixHash: true}\n\
             secretGenerator:\n- name: s\n  files: [k.json=file.txt, ../plain.txt]\n  envs: [app.env]\n\
             configMapGenerator:\n- name: c\n  files: [own.txt]\n\
             patches:\n- path: patch.yaml\n",
        ),
        ("app/map.yaml", MAP),
        ("app/file.txt", "ENC:one"),
        ("plain.txt", "two"),
        ("app/app.env", "ENC:A=three\n"),
        ("app/own.txt", "ENC:not looked into"),
        ("app/patch.yaml", &format!("ENC:{MAP}data: {{a: four}}\n")),
    ];
    let built = build(&files, "app").unwrap();
    // In base64: one, two, three.
    for line in ["k.json: b25l", "plain.txt: dHdv", "A: dGhyZWU=", "a: four", "own.txt: ENC:not looked into"]
    {
        assert!(built.contains(line), "{line}: {built}");
    }
    let expected = [
        ("k.json", Usage::Value),
        ("../plain.txt", Usage::Value),
        ("app.env", Usage::Env),
        ("patch.yaml", Usage::Patch),
    ];
    let expected = expected.map(|(name, usage)| (name.to_owned(), usage));
    assert_eq!(asked(&files, "app", &Overlay::default()), expected);
}

#[test]
fn the_walk_follows_resources_and_components_once_in_their_order() {
    let generator = |name: &str, more: &str| {
        format!(
            "{more}\nsecretGenerator: [{{name: {name}, files: [{name}.txt], options: {{disableNameSuffixHash: true}}}}]\n"
        )
    };
    let component = "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n";
    let files = [
        (
            "app/kustomization.yaml",
            &*generator("a", "resources: [../b, map.yaml, missing]\ncomponents: [../c]"),
        ),
        ("app/a.txt", "ENC:a"),
        ("app/map.yaml", MAP),
        ("b/kustomization.yml", &*generator("b", "resources: [../d]")),
        ("b/b.txt", "ENC:b"),
        ("c/Kustomization", &*generator("c", component)),
        ("c/c.txt", "ENC:c"),
        ("d/kustomization.yaml", &*generator("d", "resources: [../b]")),
        ("d/d.txt", "ENC:d"),
        ("e/kustomization.yaml", &*generator("e", component)),
        ("e/e.txt", "ENC:e"),
    ];
    let prefix = Prefix::default();
    // A component of the spec is walked as one of the file is.
    let overlay = Overlay { components: vec!["../e".into()], ..Overlay::default() };
    let built = flux::build(&tree(&files), "app", &overlay, &Options::default(), None, Some(&prefix));
    assert!(built.is_err(), "the circle and what is missing are for the build to tell of");
    let asked: Vec<_> = prefix.0.into_inner().unwrap().into_iter().map(|(name, _)| name).collect();
    assert_eq!(asked, ["a.txt", "b.txt", "d.txt", "c.txt", "e.txt"]);
}

#[test]
fn a_plain_directory_and_patches_of_the_spec_have_nothing_to_decrypt() {
    let files = [("app/map.yaml", MAP)];
    let patch = PatchOverride { patch: format!("{MAP}data: {{a: b}}\n"), target: None };
    let overlay = Overlay { patches: vec![patch], ..Overlay::default() };
    assert_eq!(asked(&files, "app", &overlay), []);
}

#[test]
fn a_file_is_written_as_its_first_reference_says() {
    let files = [
        ("kustomization.yaml", "secretGenerator: [{name: s, files: [a=f, b.json=./f], envs: [f]}]\n"),
        ("f", "ENC:x=y\n"),
    ];
    assert_eq!(asked(&files, "", &Overlay::default()), [("a".to_owned(), Usage::Value)]);
}

#[test]
fn what_cannot_be_walked_or_decrypted_is_an_error() {
    let large = "x".repeat((5 << 20) + 1);
    let generator = "secretGenerator: [{name: s, files: [f]}]\n";
    for (files, message) in [
        (&[("app/kustomization.yaml", generator)][..], "lstat app/f: no such file or directory"),
        (
            &[("app/kustomization.yaml", "secretGenerator: [{name: s, files: [../../f]}]\n"), ("f", "")],
            "lstat ../f: no such file or directory",
        ),
        (
            &[("app/kustomization.yaml", generator), ("app/f/x", "")],
            "app/f: cannot decrypt irregular file as it has file mode type bits set",
        ),
        (
            &[("app/kustomization.yaml", generator), ("app/f", &*large)],
            "app/f: cannot decrypt file with size (5242881 bytes) exceeding limit (5242880)",
        ),
        (&[("app/kustomization.yaml", generator), ("app/f", "ENC:!")], "app/f: no key fits"),
        (
            &[("app/kustomization.yaml", "resources: [../b]\n"), ("b/x.yaml", MAP)],
            "no kustomization file found",
        ),
        (&[("app/kustomization.yaml", ""), ("app/Kustomization", "")], "found multiple kustomization files"),
        (
            &[("app/kustomization.yaml", ""), ("app/kustomization.yml/x", "")],
            "expected kustomization.yml to be a regular file",
        ),
    ] {
        assert_eq!(build(files, "app"), Err(format!("error decrypting sources: {message}")));
    }
    let error = build(&[("kustomization.yaml", "resources: [b]\n"), ("b/kustomization.yaml", "a: [")], "");
    let error = error.unwrap_err();
    let start =
        "error decrypting sources: failed to unmarshal kustomization file from 'b/kustomization.yaml': ";
    assert!(error.starts_with(start), "{error}");
}

#[test]
fn urls_are_left_to_the_build() {
    for reference in ["resources: ['https://h/a.yaml']", "patches: [{path: 'https://h/a.yaml'}]"] {
        let error = build(&[("kustomization.yaml", reference)], "").unwrap_err();
        assert!(error.starts_with("kustomize build failed: "), "{error}");
    }
}

#[test]
fn decrypted_files_count_for_the_limits_of_a_build() {
    let text = format!("ENC:{}", "x".repeat(1000));
    let files = tree(&[("kustomization.yaml", "secretGenerator: [{name: s, files: [f]}]\n"), ("f", &text)]);
    let mut options = Options::default();
    options.limits.total_bytes = 1000;
    let error = build_tree(&files, "", &Overlay::default(), &options).unwrap_err();
    assert_eq!(error, "error decrypting sources: more than 1000 bytes of files");
}

#[test]
fn an_encrypted_file_that_changes_is_noticed() {
    let files = [("kustomization.yaml", "secretGenerator: [{name: s, files: [f]}]\n"), ("f", "ENC:one")];
    let tree = tree(&files);
    let traced = Traced::new(&tree, 1000);
    let prefix = Prefix::default();
    flux::build(&traced, "", &Overlay::default(), &Options::default(), None, Some(&prefix)).unwrap();
    let trace = traced.finish().unwrap();
    assert!(trace.holds(&tree));
    let mut changed = tree.clone();
    changed.insert("f", b"ENC:two".as_slice());
    assert!(!trace.holds(&changed));
}
