//! Trees written to break the build: each is refused, quickly, with a text that says what is wrong and where.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::Mutex;

use kustomize::{
    DiskTree, Error, FetchError, Fetcher, Limits, LoadRestrictor, MemoryTree, Options, RepoSpec, Repository,
    build, to_yaml,
};

const POD: &str = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\n";

fn tree(files: &[(&str, &str)]) -> MemoryTree {
    let mut tree = MemoryTree::default();
    for (path, text) in files {
        tree.insert(path, text.as_bytes().to_vec());
    }
    tree
}

fn error_with(files: &[(&str, &str)], options: &Options) -> String {
    build(&tree(files), "", options, None).unwrap_err().to_string()
}

fn error(files: &[(&str, &str)]) -> String {
    error_with(files, &Options::default())
}

#[track_caller]
fn assert_says(error: &str, parts: &[&str]) {
    for part in parts {
        assert!(error.contains(part), "'{part}' is not in: {error}");
    }
}

#[test]
fn an_alias_bomb_is_refused() {
    let mut bomb = String::from("kind: ConfigMap\nmetadata: {name: x}\na0: &a0 [1, 1]\n");
    for level in 1..40 {
        bomb.push_str(&format!("a{level}: &a{level} [*a{0}, *a{0}]\n", level - 1));
    }
    let error = error(&[("kustomization.yaml", "resources: [x.yaml]"), ("x.yaml", &bomb)]);
    assert_says(&error, &["x.yaml", "more than"]);
}

#[test]
fn deep_nesting_is_refused_in_files_and_in_kustomizations() {
    let deep =
        format!("kind: A\nmetadata: {{name: x}}\nspec: {}{}\n", "[".repeat(100_000), "]".repeat(100_000));
    let refused = error(&[("kustomization.yaml", "resources: [x.yaml]"), ("x.yaml", &deep)]);
    assert_says(&refused, &["x.yaml"]);
    assert_says(&error(&[("kustomization.yaml", &deep)]), &["/kustomization.yaml"]);
}

#[test]
fn bases_in_a_circle_are_refused() {
    let direct =
        [("a/kustomization.yaml", "resources: [../b]"), ("b/kustomization.yaml", "resources: [../a]")];
    let refused = build(&tree(&direct), "a", &Options::default(), None).unwrap_err().to_string();
    assert_says(&refused, &["cycle detected", "'/a'"]);
    assert_says(&error(&[("kustomization.yaml", "resources: ['.']")]), &["cycle detected"]);
    assert_says(&error(&[("kustomization.yaml", "components: [./]")]), &["cycle detected"]);
}

#[test]
fn a_circle_through_a_symbolic_link_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let a = folder.path().join("a");
    std::fs::create_dir_all(&a).unwrap();
    std::fs::write(a.join("kustomization.yaml"), "resources: [again]\n").unwrap();
    std::os::unix::fs::symlink("../a", a.join("again")).unwrap();
    let tree = DiskTree::new(folder.path()).unwrap();
    let refused = build(&tree, "a", &Options::default(), None).unwrap_err().to_string();
    assert_says(&refused, &["cycle detected"]);
}

#[test]
fn a_long_chain_of_bases_meets_the_depth_limit() {
    let mut chain = MemoryTree::default();
    for level in 0..1000 {
        let text = format!("resources: [../{}]", level + 1);
        chain.insert(&format!("{level}/kustomization.yaml"), text.into_bytes());
    }
    match build(&chain, "0", &Options::default(), None) {
        Err(error) => assert_says(&error.to_string(), &["more than 128 bases below one another"]),
        Ok(_) => panic!("it builds"),
    }
}

#[test]
fn a_chain_within_the_limit_builds() {
    let mut chain = MemoryTree::default();
    let depth = Limits::default().depth;
    for level in 0..depth {
        let text = format!("resources: [../{}]\nnamePrefix: a-\n", level + 1);
        chain.insert(&format!("{level}/kustomization.yaml"), text.into_bytes());
    }
    chain.insert(&format!("{depth}/kustomization.yaml"), &b"resources: [p.yaml]"[..]);
    chain.insert(&format!("{depth}/p.yaml"), POD.as_bytes());
    let built = build(&chain, "0", &Options::default(), None).unwrap();
    assert_eq!(built[0].name(), format!("{}p", "a-".repeat(depth)));
}

#[test]
fn a_diamond_of_2_to_the_20_paths_meets_the_work_limit() {
    let mut diamond = MemoryTree::default();
    for level in 0..20 {
        for side in ["l", "r"] {
            let next = level + 1;
            let text = format!("namePrefix: {side}-\nresources: [../{next}l, ../{next}r]\n");
            diamond.insert(&format!("{level}{side}/kustomization.yaml"), text.into_bytes());
        }
    }
    for side in ["20l", "20r"] {
        diamond.insert(
            &format!("{side}/kustomization.yaml"),
            format!("namePrefix: {side}-\nresources: [p.yaml]\n").into_bytes(),
        );
        diamond.insert(&format!("{side}/p.yaml"), POD.as_bytes());
    }
    let refused = build(&diamond, "0l", &Options::default(), None).unwrap_err().to_string();
    assert_says(&refused, &["more than 20000 kustomization files"]);
}

#[test]
fn limits_on_bytes_and_resources_are_kept() {
    let files = [
        ("kustomization.yaml", "resources: [a.yaml, b.yaml]"),
        ("a.yaml", POD),
        ("b.yaml", "kind: B\nmetadata: {name: b}\n"),
    ];
    let limited = |limits: Limits| error_with(&files, &Options { limits, ..Options::default() });
    assert_says(&limited(Limits { resources: 1, ..Limits::default() }), &["more than 1 resources"]);
    assert_says(&limited(Limits { file_bytes: 40, ..Limits::default() }), &["a.yaml", "more than 40 bytes"]);
    assert_says(&limited(Limits { total_bytes: 60, ..Limits::default() }), &["more than 60 bytes of files"]);
    assert_says(
        &limited(Limits { kustomizations: 0, ..Limits::default() }),
        &["more than 0 kustomization files"],
    );
}

#[test]
fn regular_expressions_match_in_linear_time_and_have_a_size() {
    let name = "a".repeat(60_000) + "!";
    let pod = format!("kind: Pod\nmetadata: {{name: '{name}'}}\n");
    let patch = |pattern: &str| {
        format!(
            "resources: [p.yaml]\npatches:\n- target: {{name: '{pattern}'}}\n  patch: '{{kind: Pod, metadata: {{name: x}}}}'\n"
        )
    };
    let files = |kustomization: &str| tree(&[("kustomization.yaml", kustomization), ("p.yaml", &pod)]);
    assert!(build(&files(&patch("(a+)+")), "", &Options::default(), None).is_ok());
    let refused = build(&files(&patch("((a{100}){100}){100}")), "", &Options::default(), None).unwrap_err();
    assert_says(&refused.to_string(), &["size limit"]);
    let refused = build(&files(&patch(&"(a|b)".repeat(2000))), "", &Options::default(), None).unwrap_err();
    assert_says(&refused.to_string(), &["more than 4096 bytes in a regular expression"]);
}

#[test]
fn a_patch_that_takes_name_or_kind_away_is_refused() {
    for (path, what) in [
        ("/metadata/name", "missing metadata.name"),
        ("/kind", "missing kind"),
        ("/metadata", "missing metadata.name"),
    ] {
        let kustomization = format!(
            "resources: [p.yaml]\npatches:\n- target: {{kind: Pod}}\n  patch: |\n    - {{op: remove, path: {path}}}\n"
        );
        assert_says(&error(&[("kustomization.yaml", &kustomization), ("p.yaml", POD)]), &[what, "p.yaml"]);
    }
}

/// Merges two environments of 3000 variables, of which every name occurs `times`.
fn merge_environments(times: usize, limits: Limits) -> kustomize::Result<Vec<kustomize::Resource>> {
    let list = |prefix: &str| {
        let item = |item: usize| format!("        - {{name: {prefix}{}, value: x}}\n", item / times);
        let items: String = (0..3000).map(item).collect();
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d}}\nspec:\n  template:\n    spec:\n      containers:\n      - name: c\n        env:\n{items}"
        )
    };
    let files = tree(&[
        ("kustomization.yaml", "resources: [d.yaml]\npatches: [{path: p.yaml}]"),
        ("d.yaml", &list("a")),
        ("p.yaml", &list("b")),
    ]);
    build(&files, "", &Options { limits, ..Options::default() }, None)
}

#[test]
fn merging_lists_by_key_takes_few_steps_and_odd_lists_meet_the_work_limit() {
    let limits = || Limits { work: 50_000, ..Limits::default() };
    let built = merge_environments(1, limits()).unwrap();
    let path = ["spec", "template", "spec", "containers"];
    let containers = built[0].node().get_path(&path).unwrap();
    assert_eq!(containers.items()[0].get("env").unwrap().items().len(), 6000);
    let refused = merge_environments(2, limits()).unwrap_err().to_string();
    assert_says(&refused, &["more than 50000 steps of work", "Deployment.v1.apps/d"]);
}

#[test]
fn nothing_outside_the_tree_is_read() {
    let options = Options { load_restrictor: LoadRestrictor::None, ..Options::default() };
    for path in ["../outside.yaml", "/etc/passwd", "a/../../outside.yaml"] {
        let kustomization = format!("configMapGenerator:\n- name: x\n  files: ['{path}']\n");
        assert_says(
            &error_with(&[("kustomization.yaml", &kustomization)], &options),
            &["is not in or below"],
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("inside");
    std::fs::create_dir(&inside).unwrap();
    std::fs::write(folder.path().join("secret"), "x").unwrap();
    std::fs::write(inside.join("kustomization.yaml"), "configMapGenerator: [{name: x, files: [link]}]")
        .unwrap();
    std::os::unix::fs::symlink("../secret", inside.join("link")).unwrap();
    let refused = build(&DiskTree::new(&inside).unwrap(), "", &options, None).unwrap_err();
    assert_says(&refused.to_string(), &["is not in or below"]);
}

#[test]
fn files_outside_the_kustomization_need_leave() {
    let files = [("k/kustomization.yaml", "resources: [../p.yaml]"), ("p.yaml", POD)];
    let refused = build(&tree(&files), "k", &Options::default(), None).unwrap_err().to_string();
    assert_says(&refused, &["security; file '/p.yaml' is not in or below '/k'"]);
    let options = Options { load_restrictor: LoadRestrictor::None, ..Options::default() };
    assert_eq!(build(&tree(&files), "k", &options, None).unwrap().len(), 1);
}

#[test]
fn charts_functions_and_foreign_plugins_are_refused() {
    let chart = error(&[("kustomization.yaml", "helmCharts: [{name: x}]")]);
    assert_says(&chart, &["helmCharts", "--enable-helm"]);
    let plugin = "apiVersion: example.com/v1\nkind: Maker\nmetadata:\n  name: m\n  annotations: {config.kubernetes.io/function: 'exec: {path: /bin/sh}'}\n";
    let plugin = error(&[("kustomization.yaml", "generators: [m.yaml]"), ("m.yaml", plugin)]);
    assert_says(&plugin, &["unable to load external plugin 'Maker'"]);
}

#[test]
fn errors_name_file_line_and_field() {
    let unknown = error(&[("kustomization.yaml", "namePrefix: a\nnmaePrefix: b\n")]);
    assert_says(&unknown, &["/kustomization.yaml", "line 2", "unknown field \"nmaePrefix\""]);
    let broken = error(&[("kustomization.yaml", "resources: [x.yaml]"), ("x.yaml", "a: b\n c: [\n")]);
    assert_says(&broken, &["x.yaml", "line"]);
    let duplicate = "kind: A\nmetadata: {name: a}\nspec: 1\nspec: 2\n";
    let built = build(
        &tree(&[("kustomization.yaml", "resources: [x.yaml]"), ("x.yaml", duplicate)]),
        "",
        &Options::default(),
        None,
    );
    assert_says(
        &to_yaml(&built.unwrap()).unwrap_err().to_string(),
        &["x.yaml", "line 4", "\"spec\" already defined"],
    );
}

/// Hands out one repository and one file, and remembers what it was asked for.
struct Remote {
    repository: Arc<MemoryTree>,
    asked: Mutex<Vec<String>>,
}

impl Fetcher for Remote {
    fn git(&self, spec: &RepoSpec, _limit: u64) -> Result<Repository, FetchError> {
        self.asked.lock().unwrap().push(format!("{} at '{}'", spec.clone_url(), spec.reference));
        Ok(Repository { tree: Arc::<MemoryTree>::clone(&self.repository), bytes: 100 })
    }

    fn http(&self, url: &str, _limit: usize) -> Result<Vec<u8>, FetchError> {
        self.asked.lock().unwrap().push(url.to_owned());
        if url.ends_with(".yaml") {
            Ok(POD.into())
        } else {
            Err(FetchError::Failed("URL is a git repository".into()))
        }
    }
}

#[test]
fn remote_bases_come_from_the_fetcher_and_from_nowhere_else() {
    let files = [(
        "kustomization.yaml",
        "resources:\n- https://host/o/r//sub?ref=v1\n- https://host/pod.yaml\nnamePrefix: a-\n",
    )];
    let refused = error(&files);
    assert_says(&refused, &["remote resource 'https://host/o/r//sub' is not allowed"]);
    let repository = Arc::new(tree(&[
        ("sub/kustomization.yaml", "resources: [../other, c.yaml]"),
        ("sub/c.yaml", "kind: C\nmetadata: {name: c}\n"),
        ("other/kustomization.yaml", "resources: [d.yaml]"),
        ("other/d.yaml", "kind: D\nmetadata: {name: d}\n"),
    ]));
    let remote = Remote { repository, asked: Mutex::default() };
    let built = build(&tree(&files), "", &Options::default(), Some(&remote)).unwrap();
    let names: Vec<&str> = built.iter().map(kustomize::Resource::name).collect();
    assert_eq!(names, ["a-p", "a-c", "a-d"]);
    let asked = remote.asked.into_inner().unwrap();
    assert!(asked.contains(&"https://host/o/r at 'v1'".to_owned()), "{asked:?}");
}

#[test]
fn what_may_be_secret_in_a_remote_reference_is_in_no_error() {
    const SECRET: &str = "canary4711";
    let urls = [
        format!("https://{SECRET}@host/x.yml"),
        format!("https://me:{SECRET}@host/x.yml"),
        format!("https://me:\"{SECRET}@host/x.yml"),
        format!("https://me:{SECRET}@host/o/r//sub?ref=v1"),
        format!("https://host/o/r.git?token={SECRET}"),
        format!("https://host/o/r#{SECRET}"),
        format!("ssh://me:{SECRET}@host/o/r"),
        format!("{SECRET}@host:o/r.git"),
    ];
    let places = [
        "resources: ['URL']",
        "components: ['URL']",
        "crds: ['URL']",
        "configurations: ['URL']",
        "openapi: {path: 'URL'}",
        "generators: ['URL']",
        "transformers: ['URL']",
        "validators: ['URL']",
        "resources: [pod.yaml]\npatches: [{path: 'URL'}]",
        "resources: [pod.yaml]\npatchesStrategicMerge: ['URL']",
        "resources: [pod.yaml]\npatchesJson6902: [{path: 'URL', target: {version: v1, kind: Pod, name: p}}]",
        "resources: [pod.yaml]\nreplacements: [{path: 'URL'}]",
        "configMapGenerator: [{name: a, files: ['URL']}]",
        "configMapGenerator: [{name: a, files: ['k=URL']}]",
        "configMapGenerator: [{name: a, envs: ['URL']}]",
        "secretGenerator: [{name: a, env: 'URL'}]",
    ];
    let below = format!("resources: ['https://me:{SECRET}@host/o/r//sub?ref=v1']");
    let repository = Arc::new(tree(&[("sub/kustomization.yaml", &below)]));
    for (place, url) in places.iter().flat_map(|place| urls.iter().map(move |url| (place, url))) {
        let kustomization = place.replace("URL", url);
        let files = tree(&[("kustomization.yaml", &kustomization), ("pod.yaml", POD)]);
        let remote = Remote { repository: repository.clone(), asked: Mutex::default() };
        for fetcher in [None, Some(&remote as &dyn Fetcher)] {
            let error = build(&files, "", &Options::default(), fetcher).unwrap_err().to_string();
            assert!(!error.contains(SECRET), "{kustomization}: {error}");
        }
    }
}

#[test]
fn what_is_fetched_has_a_number_and_a_size() {
    let base = |name: u32| format!("- https://host/o/{name}//sub\n");
    let kustomization = format!("resources:\n{}", (0..5).map(base).collect::<String>());
    let refused = |limits: Limits| {
        let inner = [("sub/kustomization.yaml", "namePrefix: a-\nresources: []")];
        let remote = Remote { repository: Arc::new(tree(&inner)), asked: Mutex::default() };
        let files = tree(&[("kustomization.yaml", &kustomization)]);
        let options = Options { limits, ..Options::default() };
        let error = build(&files, "", &options, Some(&remote)).unwrap_err().to_string();
        (error, remote.asked.into_inner().unwrap().iter().filter(|asked| asked.contains(" at ")).count())
    };
    let (error, asked) = refused(Limits { fetches: 5, ..Limits::default() });
    assert_says(&error, &["more than 5 remote resources"]);
    // A file of that URL is asked for before a repository.
    assert!(asked < 5, "{asked}");
    let (error, asked) = refused(Limits { fetched_bytes: 250, ..Limits::default() });
    assert_says(&error, &["more than 250 bytes of remote resources"]);
    assert_eq!(asked, 3);
}

#[test]
fn a_repository_that_refers_to_itself_or_above_itself_is_refused() {
    for (base, says) in
        [("https://host/o/r//sub?ref=v1", "cycle detected"), ("../../x", "is not in or below")]
    {
        let inner = format!("resources: ['{base}']");
        let repository = Arc::new(tree(&[("sub/kustomization.yaml", &inner)]));
        let remote = Remote { repository, asked: Mutex::default() };
        let files = tree(&[("kustomization.yaml", "resources: ['https://host/o/r//sub?ref=v1']")]);
        let refused: Error = build(&files, "", &Options::default(), Some(&remote)).unwrap_err();
        assert_says(&refused.to_string(), &[says]);
    }
}

#[test]
fn patches_and_replacements_cannot_build_what_could_not_be_read() {
    let patch = |operations: &str| {
        format!("resources: [p.yaml]\npatches:\n- target: {{kind: Pod}}\n  patch: |\n{operations}")
    };
    let deep = "    - {op: copy, from: /metadata, path: /metadata/again}\n".repeat(600);
    let refused = error(&[("kustomization.yaml", &patch(&deep)), ("p.yaml", POD)]);
    let too_deep = format!("more than {} nested collections", Limits::default().yaml.depth);
    assert_says(&refused, &[&too_deep, "p.yaml"]);
    let double = "    - {op: copy, from: /x, path: /x/-}\n".repeat(40);
    let wide = patch(&format!("    - {{op: add, path: /x, value: [1]}}\n{double}"));
    assert_says(
        &error(&[("kustomization.yaml", &wide), ("p.yaml", POD)]),
        &["more than 1000000 nodes in all files of a build"],
    );
    let path = vec!["a"; 100_000].join(".");
    let replacement = format!(
        "resources: [p.yaml]\nreplacements:\n- sourceValue: x\n  targets: [{{select: {{kind: Pod}}, fieldPaths: [{path}], options: {{create: true}}}}]\n"
    );
    assert_says(&error(&[("kustomization.yaml", &replacement), ("p.yaml", POD)]), &[&too_deep]);
    let path = vec!["a"; 100_000].join("/");
    let labels = format!(
        "resources: [p.yaml]\nlabels: [{{pairs: {{a: b}}, fields: [{{path: {path}, create: true}}]}}]\n"
    );
    assert_says(
        &error(&[("kustomization.yaml", &labels), ("p.yaml", POD)]),
        &["more than 200 parts in a field path"],
    );
}
