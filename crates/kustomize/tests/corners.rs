//! Corners of kustomize that random trees have found; each output was compared with the real one.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use kustomize::{MemoryTree, Options, build, to_yaml};

fn run(files: &[(&str, &str)]) -> Result<String, String> {
    let mut tree = MemoryTree::default();
    for (path, text) in files {
        tree.insert(path, text.as_bytes().to_vec());
    }
    let built = build(&tree, "top", &Options::default(), None).map_err(|error| error.to_string())?;
    to_yaml(&built).map_err(|error| error.to_string())
}

const THING: &str = "apiVersion: e.com/v1\nkind: Thing\nmetadata:\n  name: t\n  annotations: {note: .5}\nspec: {count: 1_000}\n";

#[test]
fn after_a_component_a_prefix_for_one_kind_is_for_no_other() {
    let config = "namePrefix:\n- {path: metadata/name, kind: Service}\n";
    let with = |components: &str| {
        let top =
            format!("resources: [../base]\n{components}namePrefix: x-\nconfigurations: [config.yaml]\n");
        run(&[
            ("top/kustomization.yaml", &top),
            ("top/config.yaml", config),
            ("base/kustomization.yaml", "resources: [t.yaml]"),
            ("base/t.yaml", THING),
            (
                "part/kustomization.yaml",
                "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\nnamespace: ns\n",
            ),
        ])
        .unwrap()
    };
    assert!(with("").contains("name: x-t\n"));
    let built = with("components: [../part]\n");
    assert!(built.contains("  name: t\n  namespace: ns\n"), "{built}");
}

#[test]
fn a_json_patch_turns_annotations_and_numbers_into_what_go_makes_of_them() {
    let patch = "- target: {kind: Thing}\n  patch: |\n    - {op: add, path: /spec/on, value: yes}\n";
    let top = format!("resources: [t.yaml]\npatches:\n{patch}");
    let built = run(&[("top/kustomization.yaml", &top), ("top/t.yaml", THING)]).unwrap();
    assert!(
        built.contains("note: \"0.5\"") && built.contains("\"on\": true") && built.contains("count: 1000"),
        "{built}"
    );
}

#[test]
fn a_null_annotation_removes_unless_the_patch_selects_its_targets() {
    let patch = "  patch: |\n    apiVersion: e.com/v1\n    kind: Thing\n    metadata:\n      name: t\n      annotations: {note: null}\n";
    let with = |target: &str| {
        let top = format!("resources: [t.yaml]\npatches:\n- {target}\n{patch}");
        run(&[("top/kustomization.yaml", &top), ("top/t.yaml", THING)]).unwrap()
    };
    assert!(!with("options: {}").contains("note"));
    assert!(with("target: {kind: Thing}").contains("note: \"null\""));
}

#[test]
fn a_field_without_a_value_goes_when_its_object_is_patched() {
    let thing = "kind: Thing\nmetadata: {name: t}\nspec:\n  nothing:\n  null: ~\n  empty: null\n";
    let top = "resources: [t.yaml]\npatches:\n- patch: '{kind: Thing, metadata: {name: t}, spec: {a: 1}}'\n";
    let built =
        run(&[("top/kustomization.yaml", top), ("top/t.yaml", &thing.replace("  null: ~\n", ""))]).unwrap();
    assert_eq!(built, "kind: Thing\nmetadata:\n  name: t\nspec:\n  a: 1\n  empty: null\n");
}

#[test]
fn names_that_clash_after_a_patch_are_found_by_the_next_one() {
    let things = "kind: A\nmetadata: {name: a}\n---\nkind: A\nmetadata: {name: b}\n";
    let rename = "- target: {name: b}\n  patch: |\n    - {op: replace, path: /metadata/name, value: a}\n";
    let label = "- target: {kind: A}\n  patch: '{kind: A, metadata: {name: x, labels: {l: x}}}'\n";
    let top = format!("resources: [t.yaml]\npatches:\n{rename}{label}");
    let error = run(&[("top/kustomization.yaml", &top), ("top/t.yaml", things)]).unwrap_err();
    assert!(
        error.contains("may not add resource with an already registered id: A.[noVer].[noGrp]/a.[noNs]"),
        "{error}"
    );
}

#[test]
fn references_follow_names_through_layers_and_hashes() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: c\n    envFrom: [{configMapRef: {name: cfg}}]\n";
    let built = run(&[
        ("top/kustomization.yaml", "resources: [../base]\nnamePrefix: a-\n"),
        (
            "base/kustomization.yaml",
            "resources: [p.yaml]\nnameSuffix: -z\nconfigMapGenerator: [{name: cfg, literals: [k=v]}]\n",
        ),
        ("base/p.yaml", pod),
    ])
    .unwrap();
    assert_eq!(built.matches("name: a-cfg-z-bdg947hgcc\n").count(), 2, "{built}");
}

#[test]
fn a_number_patched_over_a_quoted_text_is_a_text() {
    let config = "kind: ConfigMap\nmetadata: {name: c}\ndata: {quoted: '1', plain: 1}\n";
    let top = "resources: [c.yaml]\npatches:\n- patch: '{kind: ConfigMap, metadata: {name: c}, data: {quoted: 0x1F, plain: 0x1F}}'\n";
    let built = run(&[("top/kustomization.yaml", top), ("top/c.yaml", config)]).unwrap();
    assert!(built.contains("  plain: 31\n  quoted: \"0x1F\"\n"), "{built}");
}

/// Sets a field of a text that is YAML or JSON itself, within the ConfigMap's field `text`.
fn set_in_text(text: &str, field: &str, value: &str) -> String {
    let indented: String = text.lines().map(|line| format!("    {line}\n")).collect();
    let config = format!("kind: ConfigMap\nmetadata: {{name: c}}\ndata:\n  text: |\n{indented}");
    let top = format!(
        "resources: [c.yaml]\nreplacements:\n- sourceValue: {value:?}\n  targets: [{{select: {{kind: ConfigMap}}, fieldPaths: ['data.text.{field}']}}]\n"
    );
    let built = run(&[("top/kustomization.yaml", &top), ("top/c.yaml", &config)]).unwrap();
    let built: serde_json::Value = yaml::parse(&built, &yaml::Limits::default())
        .unwrap()
        .remove(0)
        .to_json(yaml::Resolver::KustomizeV3)
        .unwrap();
    built["data"]["text"].as_str().unwrap().to_owned()
}

#[test]
fn a_value_set_within_a_text_leaves_all_around_it_as_it_is() {
    for (text, value, expected) in [
        ("f: 'old' # note", "new", "f: 'new' # note"),
        ("f: \"old\"", "new", "f: \"new\""),
        ("f: old", "12", "f: \"12\""),
        ("f: old", "two\nlines", "f: |-\n  two\n  lines"),
        ("f: 'old'", "12", "f: '12'"),
        ("f: 5", "new", "f: !!int new"),
        ("f:", "new", "f: !!null new"),
        ("f: 2001-01-01", "12", "f: !!timestamp 12"),
        ("f: !!str 5", "6", "f: !!str 6"),
        ("f: !c old", "12", "f: !c 12"),
        ("f: ! old", "12", "f: \"12\""),
        ("f: |\n  old", "new", "f: |-\n  new"),
        ("# head\nf: &x old # note\nref: *x\n# foot", "new", "# head\nf: &x new # note\nref: *x\n# foot"),
        ("f: old\n<<: {z: 1}", "new", "f: new\n!!merge <<: {z: 1}"),
        ("x: &x {z: 1}\nf: *x", "new", "x: &x {z: 1}\nf: new"),
    ] {
        assert_eq!(set_in_text(text, "f", value), expected, "{text}");
    }
}

#[test]
fn a_value_set_within_json_is_written_as_go_writes_json() {
    let fields = "\"f\": \"x\", \"h\": \"<&>\", \"n\": [1e21, 1.0], \"o\": {}, \"l\": []";
    assert_eq!(
        set_in_text(&format!("{{{fields}}}"), "f", "a<b"),
        r#"{"f":"a\u003cb","h":"\u003c\u0026\u003e","l":[],"n":[1e+21,1],"o":{}}"#
    );
    assert_eq!(
        set_in_text(&format!("{{\n  {fields}\n}}"), "f", "a<b"),
        "{\n  \"f\": \"a\\u003cb\",\n  \"h\": \"\\u003c\\u0026\\u003e\",\n  \"l\": [],\n  \"n\": [\n    1e+21,\n    1\n  ],\n  \"o\": {}\n}"
    );
    // Nothing that JSON has no form for is written.
    assert_eq!(set_in_text("{1: {z: 1}, f: old}", "f", "new"), "{1: {z: 1}, f: old}\n");
}

#[test]
fn an_item_that_shall_replace_another_one_only_gives_it_its_place() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - {name: a, image: one}\n  - {name: b, image: two, env: [{name: E, value: x}]}\n";
    let with = |spec: &str| {
        let top = format!(
            "resources: [p.yaml]\npatches:\n- patch: '{{apiVersion: v1, kind: Pod, metadata: {{name: p}}, spec: {spec}}}'\n"
        );
        run(&[("top/kustomization.yaml", &top), ("top/p.yaml", pod)]).unwrap()
    };
    let list = |containers: &str| {
        format!("apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n  containers:\n{containers}")
    };
    let (a, b) = (
        "  - image: one\n    name: a\n",
        "  - env:\n    - name: E\n      value: x\n    image: two\n    name: b\n",
    );
    assert_eq!(with("{containers: [{name: b, $patch: replace, image: new}]}"), list(&format!("{b}{a}")));
    assert_eq!(
        with("{containers: [{name: b, env: [{name: E, $patch: replace}]}]}"),
        list(&format!("{b}{a}"))
    );
    // One that is new is added, a mapping that is no item is replaced.
    let new = "  - image: new\n    name: c\n";
    assert_eq!(with("{containers: [{name: c, $patch: replace, image: new}]}"), list(&format!("{new}{a}{b}")));
    assert_eq!(with("{$patch: replace, containers: [{name: c, image: new}]}"), list(new));
}

#[test]
fn a_patch_that_shall_replace_an_object_has_no_effect() {
    let thing = "kind: Thing\nmetadata: {name: t, labels: {l: v}}\nspec: {a: 1}\n";
    let with = |patch: &str| {
        let top = format!("resources: [t.yaml]\npatches: [{{patch: '{patch}'}}]\n");
        run(&[("top/kustomization.yaml", &top), ("top/t.yaml", thing)])
    };
    let unchanged = with("{kind: Thing, metadata: {name: t}}").unwrap();
    let replaced = with("{kind: Thing, metadata: {name: t}, $patch: replace, spec: {b: 1}}").unwrap();
    assert_eq!(replaced, unchanged);
    assert!(with("{kind: Thing, metadata: {name: t}, $patch: replace, spec: {$patch: x}}").is_err());
}

#[test]
fn a_replica_count_in_quotes_keeps_them() {
    for (count, expected) in [
        ("1", "3"),
        ("'1'", "\"3\""),
        ("\"\"", "\"3\""),
        ("! '1'", "\"3\""),
        ("|-\n    1", "\"3\""),
        ("!!str 1", "3"),
        ("!!str '1'", "3"),
        ("", "3"),
        ("abc", "3"),
    ] {
        let workload = format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: d}}\nspec:\n  replicas: {count}\n"
        );
        let top = "resources: [d.yaml]\nreplicas: [{name: d, count: 3}]\n";
        let built = run(&[("top/kustomization.yaml", top), ("top/d.yaml", &workload)]).unwrap();
        assert!(built.ends_with(&format!("spec:\n  replicas: {expected}\n")), "{count}: {built}");
    }
}

#[test]
fn helm_is_asked_for_by_charts_alone() {
    let with = |helm: &str| {
        let top = format!("resources: [t.yaml]\n{helm}\n");
        run(&[("top/kustomization.yaml", &top), ("top/t.yaml", THING)])
    };
    for helm in [
        "helmGlobals: {chartHome: x}",
        "helmGlobals: {}",
        "helmGlobals:",
        "helmCharts: []",
        "helmChartInflationGenerator: []",
    ] {
        assert!(with(helm).is_ok(), "{helm}");
    }
    for helm in [
        "helmCharts: [{}]",
        "helmChartInflationGenerator: [{chartName: x}]",
        "helmGlobals: {chartHome: x}\nhelmCharts: [{name: x}]",
    ] {
        assert!(with(helm).unwrap_err().contains("--enable-helm"), "{helm}");
    }
    for helm in ["helmGlobals: [1]", "helmGlobals: {bogus: x}", "helmGlobals: {chartHome: [x]}"] {
        assert!(with(helm).is_err(), "{helm}");
    }
}

#[test]
fn a_field_of_a_configuration_is_looked_for_as_a_path() {
    let with = |path: &str| {
        let top = "resources: [t.yaml]\nconfigurations: [c.yaml]\ncommonAnnotations: {a: v}\n";
        let config = format!("commonAnnotations: [{{path: '{path}'}}]\n");
        run(&[("top/kustomization.yaml", top), ("top/c.yaml", &config), ("top/t.yaml", THING)])
    };
    for path in ["spec/*", "*", "spec/0", "spec/-", "spec/[a=b]", "spec/[a]", "spec/*/x"] {
        assert!(with(path).is_err(), "{path}");
    }
    for path in ["spec/x*", "spec/**", "spec/-1x", "spec/nothing/*"] {
        assert!(with(path).is_ok(), "{path}");
    }
}

#[test]
fn of_equal_keys_of_a_patch_the_first_counts() {
    let patch = "{apiVersion: e.com/v1, kind: Thing, metadata: {name: t}, spec: {count: 1, new: 1, count: 2, new: 2}}";
    let top = format!("resources: [t.yaml]\npatches: [{{patch: '{patch}'}}]\n");
    let built = run(&[("top/kustomization.yaml", &top), ("top/t.yaml", THING)]).unwrap();
    assert!(built.ends_with("spec:\n  count: 1\n  new: 1\n"), "{built}");
}

#[test]
fn what_a_patch_adds_in_flow_style_stays_in_it() {
    let patch =
        "{apiVersion: e.com/v1, kind: Thing, metadata: {name: t}, spec: {new: {at: 2001-12-14 21:59:43}}}";
    let top = format!("resources: [t.yaml]\npatches: [{{patch: '{patch}'}}]\n");
    let thing = "apiVersion: e.com/v1\nkind: Thing\nmetadata:\n  name: t\nspec:\n  a: 1\n";
    let built = run(&[("top/kustomization.yaml", &top), ("top/t.yaml", thing)]).unwrap();
    assert!(built.ends_with("spec:\n  a: 1\n  new:\n    at: \"2001-12-14 21:59:43\"\n"), "{built}");
}

#[test]
fn a_null_is_a_text_for_what_is_set_below_it() {
    let with = |value: &str| {
        let config = format!("kind: ConfigMap\nmetadata:\n  name: c\ndata:\n  a: {value}\n");
        let top = "resources: [c.yaml]\nreplacements:\n- sourceValue: v\n  targets: [{select: {kind: ConfigMap}, fieldPaths: [data.a.b], options: {create: true}}]\n";
        run(&[("top/kustomization.yaml", top), ("top/c.yaml", &config)])
    };
    assert!(with("null").unwrap().starts_with("data:\n  a: null\n"));
    assert!(with("").is_err());
}

#[test]
fn items_with_two_keys_stay_where_they_are() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  ports: [{port: 80, protocol: TCP}, {port: 443, protocol: TCP}, {port: 9, protocol: UDP}]\n";
    let ports = |patch: &str| {
        let top = format!(
            "resources: [s.yaml]\npatches: [{{patch: '{{apiVersion: v1, kind: Service, metadata: {{name: s}}, spec: {{ports: [{patch}]}}}}'}}]\n"
        );
        let built = run(&[("top/kustomization.yaml", &top), ("top/s.yaml", service)]).unwrap();
        let ports =
            built.lines().filter_map(|line| line.trim_start_matches([' ', '-']).strip_prefix("port: "));
        ports.collect::<Vec<_>>().join(" ")
    };
    for (patch, expected) in [
        ("{port: 443, protocol: TCP, nodePort: 1}", "80 443 9"),
        ("{port: 9, protocol: UDP, nodePort: 1}, {port: 80, protocol: TCP, nodePort: 2}", "80 443 9"),
        ("{port: 443, protocol: TCP, nodePort: 1}, {port: 1, protocol: TCP}", "1 80 443 9"),
        ("{port: 9, protocol: UDP, $patch: delete}, {port: 80, protocol: TCP, nodePort: 2}", "80 443"),
        ("{port: 443, protocol: TCP, $patch: replace}", "80 443 9"),
        ("{port: 443, nodePort: 1}", "80 443 9"),
    ] {
        assert_eq!(ports(patch), expected, "{patch}");
    }
}

/// The fields of a ConfigMap's data after what a kustomization does to it.
fn data(before: &str, kustomization: &str) -> String {
    let config = format!("kind: ConfigMap\nmetadata: {{name: c}}\ndata: {{{before}}}\n");
    let top = format!("resources: [c.yaml]\n{kustomization}\n");
    let built = run(&[("top/kustomization.yaml", &top), ("top/c.yaml", &config)]).unwrap();
    let data = built.strip_prefix("data:\n").unwrap().split("kind:").next().unwrap();
    data.lines().map(str::trim).collect::<Vec<_>>().join(", ")
}

#[test]
fn a_value_that_is_patched_keeps_the_style_that_it_had() {
    let patch =
        |data: &str| format!("- patch: '{{kind: ConfigMap, metadata: {{name: c}}, data: {{{data}}}}}'\n");
    let patches = [patch("a: \"5\", b: x"), patch("a: 6, b: 7, c: 8, d: 9"), patch("e: 1")]
        .map(|p| p.to_string())
        .concat();
    assert_eq!(
        data("a: one, b: \"two\", c: yes, d: yesno, e: !!str 1", &format!("patches:\n{patches}")),
        "a: 6, b: \"7\", c: \"8\", d: 9, e: 1"
    );
}

#[test]
fn a_replacement_sees_what_it_makes_of_its_source() {
    let target = "targets: [{select: {kind: ConfigMap}, fieldPaths: [data.a, data.b], options: {delimiter: '-', index: -1}}]";
    let with = |source: &str| {
        data(
            "a: one, b: two",
            &format!("replacements: [{{source: {{kind: ConfigMap, {source}}}, {target}}}]"),
        )
    };
    assert_eq!(with("fieldPath: data.a"), "a: one-one, b: one-one-two");
    assert_eq!(with("fieldPath: data.a, options: {delimiter: '-'}"), "a: one-one, b: one-two");
}

#[test]
fn a_field_that_a_replacement_has_made_takes_any_later_value() {
    let target = |value: &str, options: &str| {
        format!(
            "- {{sourceValue: {value}, targets: [{{select: {{kind: ConfigMap}}, fieldPaths: [data.new]{options}}}]}}\n"
        )
    };
    let number = target("'5'", ", options: {create: true}");
    assert_eq!(data("a: one", &format!("replacements:\n{number}")), "a: one, new: 5");
    let both = format!("replacements:\n{number}{}", target("text", ""));
    assert_eq!(data("a: one", &both), "a: one, new: text");
    // A patch takes it for a text.
    let transformer = "transformers: ['{apiVersion: builtin, kind: PatchTransformer, metadata: {name: t}, patch: \"{kind: ConfigMap, metadata: {name: c}, data: {a: two}}\"}']";
    assert_eq!(data("a: one", &format!("replacements:\n{number}{transformer}")), "a: two, new: \"5\"");
}

#[test]
fn a_field_that_a_replacement_has_made_is_a_scalar_to_a_patch_even_if_it_is_empty() {
    let patched = |value: &str, patch: &str| {
        let base = format!(
            "resources: [t.yaml]\nreplacements:\n- {{sourceValue: {value}, targets: [{{select: {{kind: Thing}}, fieldPaths: [spec.new], options: {{create: true}}}}]}}\n"
        );
        let top = format!(
            "resources: [../base]\npatches:\n- patch: '{{apiVersion: e.com/v1, kind: Thing, metadata: {{name: t}}, spec: {patch}}}'\n"
        );
        run(&[("top/kustomization.yaml", &top), ("base/kustomization.yaml", &base), ("base/t.yaml", THING)])
    };
    for value in ["''", "'~'", "'null'", "text"] {
        for (patch, kind) in
            [("{}", "Mapping"), ("{a: 1}", "Mapping"), ("{$patch: delete}", "Mapping"), ("[]", "Sequence")]
        {
            let error = patched(value, &format!("{{new: {patch}}}")).unwrap_err();
            let expected = format!("expected ScalarNode but got {kind}Node: node contents:\n{patch}\n");
            assert!(error.ends_with(&expected), "{value} {patch}: {error}");
        }
        assert!(patched(value, "{new: x}").unwrap().ends_with("  new: x\n"));
        assert!(!patched(value, "{new: null}").unwrap().contains("new"));
    }
    assert!(patched("''", "{}").unwrap().ends_with("  new: \"\"\n"));
}

#[test]
fn an_item_that_a_replacement_has_made_stays_in_a_list_that_merges_even_if_it_is_empty() {
    let built = |value: &str, field: &str, patch: &str| {
        let base = format!(
            "resources: [p.yaml]\nreplacements:\n- {{sourceValue: {value}, targets: [{{select: {{kind: Pod}}, fieldPaths: [{field}], options: {{create: true}}}}]}}\n"
        );
        let top =
            format!("resources: [../base]\npatches:\n- patch: '{{apiVersion: v1, kind: Pod, {patch}}}'\n");
        let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: d}\n";
        let files = [
            ("top/kustomization.yaml", top.as_str()),
            ("base/kustomization.yaml", &base),
            ("base/p.yaml", pod),
        ];
        run(&files).unwrap().lines().skip(3).map(str::trim).collect::<Vec<_>>().join(" ")
    };
    for (value, item) in [("''", "\"\""), ("'~'", "null"), ("'null'", "null"), ("a", "a")] {
        for (patch, items) in [("x", format!("- x - {item}")), ("", format!("- {item}"))] {
            let patch = format!("metadata: {{name: d, finalizers: [{patch}]}}");
            let list = format!("finalizers: {items} name: d");
            assert_eq!(built(value, "metadata.finalizers.0", &patch), list);
        }
    }
    for (value, name) in [("'~'", "\"~\""), ("a", "a")] {
        let patch = "metadata: {name: d}, spec: {volumes: [{name: b}]}";
        let list = format!("name: d spec: volumes: - name: b - name: {name}");
        assert_eq!(built(value, "spec.volumes.0.name", patch), list);
    }
}

#[test]
fn a_patch_that_deletes_all_annotations_leaves_names_to_be_followed() {
    let pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - name: c\n    envFrom: [{configMapRef: {name: cfg}}]\n";
    let built = run(&[
        (
            "top/kustomization.yaml",
            "resources: [p.yaml]\nnamePrefix: a-\nconfigMapGenerator: [{name: cfg, literals: [k=v]}]\npatches:\n- patch: '{apiVersion: v1, kind: ConfigMap, metadata: {name: cfg, annotations: {$patch: delete}}}'\n",
        ),
        ("top/p.yaml", pod),
    ])
    .unwrap();
    assert_eq!(built.matches("name: a-cfg-bdg947hgcc\n").count(), 2, "{built}");
}
