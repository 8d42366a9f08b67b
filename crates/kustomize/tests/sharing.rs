//! Builds that share what they parse build what they would alone.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use kustomize::{MemoryTree, Options, ParseCache, build, to_yaml};

/// Environments over one base of 30 files. File by file the content is the same in all trees, save what `told` says.
fn tree(environments: usize, told: &str) -> MemoryTree {
    let mut tree = MemoryTree::default();
    let names: Vec<String> = (0..30).map(|file| format!("{file}.yaml")).collect();
    for name in &names {
        let text = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d{name}}}\nspec:\n  template:\n    spec:\n      containers: [{{name: c, image: app:1}}]\n"
        );
        tree.insert(&format!("base/{name}"), text.into_bytes());
    }
    tree.insert(
        "base/told.yaml",
        format!("kind: Told\nmetadata: {{name: told}}\ntold: {told}\n").into_bytes(),
    );
    let base = format!("resources: [told.yaml, {}]\n", names.join(", "));
    tree.insert("base/kustomization.yaml", base.into_bytes());
    for environment in 0..environments {
        let overlay = format!(
            "resources: [../base]\nnamePrefix: e{environment}-\ncommonLabels: {{env: e{environment}}}\nimages: [{{name: app, newTag: v{environment}}}]\n"
        );
        tree.insert(&format!("e{environment}/kustomization.yaml"), overlay.into_bytes());
    }
    tree
}

fn text(tree: &MemoryTree, directory: &str, options: &Options) -> String {
    to_yaml(&build(tree, directory, options, None).unwrap()).unwrap()
}

#[test]
fn builds_in_parallel_over_one_cache_print_the_same_bytes() {
    const THREADS: usize = 8;
    let tree = tree(THREADS, "x");
    let alone: Vec<String> =
        (0..THREADS).map(|n| text(&tree, &format!("e{n}"), &Options::default())).collect();
    assert!((1..THREADS).all(|n| alone[n] != alone[0]));
    // Room for all files; for a few of them, so that each build throws out what others want; for none.
    for budget in [64 << 20, 40 << 10, 0] {
        let options = Options { parsed: Some(ParseCache::new(budget)), ..Options::default() };
        let (tree, options, alone) = (&tree, &options, &alone);
        std::thread::scope(|scope| {
            for n in 0..THREADS {
                scope.spawn(move || {
                    for round in 0..3 {
                        let environment = (n + round) % THREADS;
                        assert_eq!(text(tree, &format!("e{environment}"), options), alone[environment]);
                    }
                });
            }
        });
    }
}

#[test]
fn a_path_says_nothing_about_content() {
    let options = Options { parsed: Some(ParseCache::new(64 << 20)), ..Options::default() };
    let (mine, yours) = (tree(1, "mine"), tree(1, "yours"));
    for _ in 0..2 {
        assert!(text(&mine, "e0", &options).contains("told: mine\n"));
        assert!(text(&yours, "e0", &options).contains("told: yours\n"));
    }
}

#[test]
fn a_known_file_still_counts_and_has_its_own_path() {
    let mut options = Options { parsed: Some(ParseCache::new(64 << 20)), ..Options::default() };
    let mut tree = MemoryTree::default();
    for directory in ["a", "b"] {
        tree.insert(&format!("{directory}/kustomization.yaml"), &b"resources: [x.yaml]"[..]);
        tree.insert(&format!("{directory}/x.yaml"), &b"kind: X\nmetadata: {name: x}\n"[..]);
        let built = build(&tree, directory, &options, None).unwrap();
        assert_eq!(built[0].origin_file(), Some(format!("{directory}/x.yaml").as_str()));
    }
    options.limits.resources = 0;
    assert!(build(&tree, "a", &options, None).unwrap_err().to_string().contains("more than 0 resources"));
    options.limits.resources = 1;
    options.limits.total_bytes = 30;
    assert!(build(&tree, "a", &options, None).unwrap_err().to_string().contains("more than 30 bytes"));
}
