//! Texts that nobody would write: each builds or is refused, within the limits, and what is built builds again to the same.
//!
//! Inputs are valid files with a few changes, since most texts of random bytes are refused by the first line of a parser.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod change;
mod files;

use change::{changed, pieces};
use files::{
    APP, COMPONENT, FILES, JSON_PATCH, KUSTOMIZATION, MERGE_PATCH, REPLACEMENTS, TRANSFORMERS, original,
};
use kustomize::flux::{self, ImageOverride, Overlay, PatchOverride, SelectorOverride};
use kustomize::{Limits, MemoryTree, Options, Reorder, RepoSpec, Resource, build, to_yaml};
use proptest::prelude::*;

/// [`FILES`] with some of them replaced.
fn tree(replaced: &[(&str, &str)]) -> MemoryTree {
    let mut tree = MemoryTree::default();
    for (path, text) in FILES.iter().chain(replaced) {
        tree.insert(path, text.as_bytes().to_vec());
    }
    tree
}

/// So narrow that what does not end is found to.
fn options() -> Options {
    let yaml = yaml::Limits { bytes: 64 << 10, depth: 60, documents: 50, nodes: 5_000, alias_nodes: 5_000 };
    let limits = Limits {
        depth: 8,
        kustomizations: 30,
        resources: 100,
        file_bytes: 64 << 10,
        total_bytes: 1 << 20,
        regex_bytes: 256,
        regex_memory: 64 << 10,
        work: 100_000,
        nodes: 10_000,
        fetches: 2,
        fetched_bytes: 64 << 10,
        regex_text_bytes: 1 << 10,
        regex_work: 100_000,
        yaml,
    };
    Options { limits, ..Options::default() }
}

/// What was built keeps the limits, and built again, as a file of resources, it is the same.
fn check(built: &[Resource]) -> Result<(), TestCaseError> {
    let most = options().limits.resources;
    prop_assert!(built.len() as u64 <= most, "{} resources", built.len());
    // Not every tree of nodes has a JSON form.
    let Ok(text) = to_yaml(built) else { return Ok(()) };
    // A list would be taken apart, what the build notes about itself taken off; a key that is tagged binary is another when decoded.
    let changes = |resource: &Resource| {
        resource.kind().ends_with("List") || yaml::emit(resource.node()).contains("!!binary")
    };
    if text.contains("config.kubernetes.io/") || built.iter().any(changes) {
        return Ok(());
    }
    let mut again = MemoryTree::default();
    again.insert("kustomization.yaml", &b"resources: [built.yaml]"[..]);
    again.insert("built.yaml", text.clone().into_bytes());
    let in_order = Options { reorder: Reorder::None, ..Options::default() };
    let rebuilt = build(&again, "", &in_order, None).and_then(|rebuilt| to_yaml(&rebuilt));
    match rebuilt {
        Ok(rebuilt) => prop_assert_eq!(rebuilt, text),
        Err(error) => prop_assert!(built.is_empty(), "{}\n{}", error, text),
    }
    Ok(())
}

fn check_tree(replaced: &[(&str, &str)]) -> Result<(), TestCaseError> {
    match build(&tree(replaced), "", &options(), None) {
        Ok(built) => check(&built),
        Err(error) => {
            prop_assert!(!error.to_string().is_empty());
            Ok(())
        }
    }
}

#[test]
fn the_tree_that_is_changed_builds() {
    let built = build(&tree(&[]), "", &options(), None).unwrap();
    assert_eq!(built.len(), 7, "{}", to_yaml(&built).unwrap());
    check(&built).unwrap();
}

/// Half the usual number of cases, since each builds a tree or two. `PROPTEST_CASES` asks for more.
fn bounded() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases / 2, failure_persistence: None, ..usual }
}

proptest! {
    #![proptest_config(bounded())]

    #[test]
    fn any_kustomization_builds_or_is_refused(text in changed(KUSTOMIZATION)) {
        check_tree(&[("kustomization.yaml", &text)])?;
    }

    #[test]
    fn any_resources_build_or_are_refused(text in changed(APP)) {
        check_tree(&[("app.yaml", &text)])?;
    }

    #[test]
    fn any_json_patch_applies_or_is_refused(text in changed(JSON_PATCH)) {
        check_tree(&[("json-patch.yaml", &text)])?;
    }

    #[test]
    fn any_strategic_merge_patch_applies_or_is_refused(text in changed(MERGE_PATCH)) {
        check_tree(&[("merge-patch.yaml", &text)])?;
    }

    #[test]
    fn any_replacement_applies_or_is_refused(text in changed(REPLACEMENTS)) {
        check_tree(&[("replacements.yaml", &text)])?;
    }

    #[test]
    fn any_transformer_and_component_applies_or_is_refused(
        transformers in changed(TRANSFORMERS),
        component in changed(COMPONENT),
        base in changed(original("base/role.yaml")),
        which in 0..3_usize,
    ) {
        let replaced = [
            ("transformers.yaml", transformers.as_str()),
            ("component/kustomization.yaml", &component),
            ("base/role.yaml", &base),
        ];
        check_tree(&replaced[which..=which])?;
    }

    #[test]
    fn text_without_order_is_refused_or_builds(text in pieces(), which in 0..FILES.len()) {
        check_tree(&[(FILES[which].0, &text)])?;
    }

    #[test]
    fn any_overlay_is_laid_over_or_refused(
        kustomization in prop_oneof![4 => Just(KUSTOMIZATION.to_owned()), 1 => changed(KUSTOMIZATION)],
        patch in prop_oneof![4 => Just(MERGE_PATCH.to_owned()), 4 => changed(MERGE_PATCH), 4 => changed(JSON_PATCH), 1 => pieces()],
        words in prop::collection::vec(prop_oneof![6 => Just(String::new()), 3 => "[a-z.*]{1,8}", 1 => pieces()], 8),
        targeted: bool,
        generated: bool,
    ) {
        let word = |at: usize| words[at].clone();
        let overlay = Overlay {
            target_namespace: Some(word(0)),
            name_prefix: Some(word(1)),
            name_suffix: Some(word(2)),
            patches: vec![PatchOverride {
                patch,
                target: targeted.then(|| SelectorOverride {
                    kind: "Deployment".into(),
                    name: word(3),
                    label_selector: word(4),
                    ..SelectorOverride::default()
                }),
            }],
            images: vec![ImageOverride { name: "app".into(), new_tag: word(5), ..ImageOverride::default() }],
            components: Some(word(6)).filter(|word| !word.is_empty()).into_iter().collect(),
            ignore_missing_components: true,
            build_metadata: Some(word(7)).filter(|word| !word.is_empty()).into_iter().collect(),
        };
        let tree = tree(&[("kustomization.yaml", &kustomization)]);
        let directory = if generated { "" } else { "base" };
        match flux::build(&tree, directory, &overlay, &options(), None, None) {
            Ok(built) => check(&built)?,
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    #[test]
    fn any_text_is_a_repository_or_is_not(
        text in prop_oneof![
            changed("git::https://user@github.com/org/repo.git//sub/dir?ref=v1&timeout=2m&submodules=0"),
            changed("git@github.com:org/repo/_git/x//sub?version=%2e+1"),
            changed("file:///a/b/repo.git//c"),
            any::<String>(),
        ],
    ) {
        if let Ok(spec) = RepoSpec::parse(&text) {
            prop_assert!(!spec.repository.is_empty() && spec.timeout > 0);
            let mut depth = 0_i32;
            for part in spec.path.split('/') {
                depth += match part { "" | "." => 0, ".." => -1, _ => 1 };
            }
            prop_assert!(depth >= 0, "{} leaves the repository", spec.path);
            prop_assert_eq!(RepoSpec::parse(&text), Ok(spec));
        }
    }
}
