//! What kustomize 5.8.1 does where 5.8.2 does something else, so that a change of the version that is followed is seen.
//!
//! Flux 2.10 builds as 5.8.1 does; each answer is that of the real 5.8.1.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use kustomize::{MemoryTree, Options, build};
use serde_json::{Value, json};

/// Builds one resource file with a kustomization that has these fields.
fn run(fields: &str, resources: &str) -> Result<Vec<Value>, String> {
    run_files(&[
        ("top/kustomization.yaml", &format!("resources: [r.yaml]\n{fields}\n")),
        ("top/r.yaml", resources),
    ])
}

fn run_files(files: &[(&str, &str)]) -> Result<Vec<Value>, String> {
    let mut tree = MemoryTree::default();
    for (path, text) in files {
        tree.insert(path, text.as_bytes().to_vec());
    }
    let built = build(&tree, "top", &Options::default(), None).map_err(|error| error.to_string())?;
    Ok(built.iter().map(|resource| resource.to_json().unwrap()).collect())
}

/// The only object that is built.
fn one(fields: &str, resource: &str) -> Value {
    let mut built = run(fields, resource).unwrap();
    assert_eq!(built.len(), 1, "{built:?}");
    built.remove(0)
}

const STATEFUL_SET: &str = "
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: s}
spec:
  selector: {matchLabels: {app: s}}
  template:
    metadata: {labels: {app: s}}
    spec: {containers: [{name: c, image: web, volumeMounts: [{name: data, mountPath: /d}]}]}
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce]}
";

#[test]
fn volume_claim_templates_get_labels_with_pod_templates_and_nothing_else() {
    let (named, labelled) = (json!({"name": "data"}), json!({"name": "data", "labels": {"a": "b"}}));
    for (fields, expected) in [
        ("labels: [{pairs: {a: b}}]", &named),
        // Not so in 5.8.2, which has a field of its own for them.
        ("labels: [{pairs: {a: b}, includeTemplates: true}]", &labelled),
        ("labels: [{pairs: {a: b}, includeSelectors: true}]", &labelled),
        ("commonLabels: {a: b}", &labelled),
        ("commonAnnotations: {a: b}", &named),
        ("namePrefix: x-\nnamespace: ns", &named),
    ] {
        let built = one(fields, STATEFUL_SET);
        assert_eq!(built["spec"]["volumeClaimTemplates"][0]["metadata"], *expected, "{fields}");
    }
    let error =
        run("labels: [{pairs: {a: b}, includeVolumeClaimTemplates: true}]", STATEFUL_SET).unwrap_err();
    assert!(error.ends_with("json: unknown field \"includeVolumeClaimTemplates\""), "{error}");
    let error = run_files(&[
        ("top/kustomization.yaml", "resources: [r.yaml]\nconfigurations: [c.yaml]\n"),
        ("top/c.yaml", "volumeClaimTemplateLabels: [{path: spec/volumeClaimTemplates/metadata/labels}]\n"),
        ("top/r.yaml", STATEFUL_SET),
    ])
    .unwrap_err();
    assert!(error.ends_with("json: unknown field \"volumeClaimTemplateLabels\""), "{error}");
}

#[test]
fn a_replacement_within_a_text_replaces_the_whole_value_whatever_its_options_say() {
    let with = |text: &str, path: &str, options: &str| {
        let fields = format!(
            "replacements: [{{sourceValue: NEW, targets: [{{select: {{kind: ConfigMap}}, fieldPaths: ['data.config\\.yaml.{path}'], options: {{{options}}}}}]}}]"
        );
        let config = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"config.yaml": text}});
        run(&fields, &config.to_string()).map(|built| built[0].pointer("/data/config.yaml").unwrap().clone())
    };
    let (yaml, json) = ("url: http://a/b\nlist: [one, two]\n", r#"{"url": "http://a/b", "list": ["one"]}"#);
    for (text, path, options, expected) in [
        // 5.8.2 replaces the segment.
        (yaml, "url", "delimiter: /, index: 3", "url: NEW\nlist: [one, two]"),
        (yaml, "url", "delimiter: /, index: -1", "url: NEW\nlist: [one, two]"),
        (yaml, "url", "delimiter: /, index: 99", "url: NEW\nlist: [one, two]"),
        (json, "url", "delimiter: /, index: 3", r#"{"list":["one"],"url":"NEW"}"#),
        (yaml, "list.1", "", "url: http://a/b\nlist: [one, NEW]"),
        (yaml, "none", "create: true", "url: http://a/b\nlist: [one, two]\nnone: NEW"),
    ] {
        assert_eq!(with(text, path, options).unwrap(), expected, "{path} {options}");
    }
    for (text, path, expected) in [
        (yaml, "list.5", ": index 5 specified but only 2 elements found"),
        (json, "list.1", ": index 1 specified but only 1 elements found"),
        (yaml, "none", ""),
    ] {
        let error =
            format!(r#"unable to find field "data.config\.yaml.{path}" in replacement target{expected}"#);
        assert!(with(text, path, "").unwrap_err().ends_with(&error), "{error}");
    }
}

/// A Pod, or what has a pod template, with one image for its container and one for its volume.
fn workload(kind: &str, image: &str, volume: &str) -> String {
    let pod = json!({"containers": [{"name": "c", "image": image}], "volumes": [{"name": "v", "image": {"reference": volume}}]});
    let template = json!({"spec": pod});
    let (version, spec) = match kind {
        "Pod" => ("v1", pod),
        "Deployment" => ("apps/v1", json!({"template": template})),
        _ => ("batch/v1", json!({"jobTemplate": {"spec": {"template": template}}})),
    };
    json!({"apiVersion": version, "kind": kind, "metadata": {"name": "w"}, "spec": spec}).to_string()
}

#[test]
fn images_are_set_in_volumes_but_for_those_of_cron_jobs() {
    for (kind, pod, volume) in [
        ("Pod", "/spec", "reg/web:v2"),
        ("Deployment", "/spec/template/spec", "reg/web:v2"),
        // 5.8.2 sets this one too.
        ("CronJob", "/spec/jobTemplate/spec/template/spec", "web:1"),
    ] {
        let fields = "images: [{name: web, newName: reg/web, newTag: v2}]";
        let built = one(fields, &workload(kind, "web:1", "web:1"));
        let pod = built.pointer(pod).unwrap();
        assert_eq!(pod["containers"][0]["image"], "reg/web:v2", "{kind}");
        assert_eq!(pod["volumes"][0]["image"]["reference"], volume, "{kind}");
    }
}

#[test]
fn an_image_is_found_with_a_digest_of_sha256_only() {
    for (image, expected) in [
        ("web@sha256:abc", "web:v2"),
        ("web:1@sha256:abc", "web:v2"),
        // 5.8.2 takes any algorithm.
        ("web@sha512:abc", "web@sha512:abc"),
        ("web:1@sha512:abc", "web:1@sha512:abc"),
    ] {
        let built = one("images: [{name: web, newTag: v2}]", &workload("Pod", image, image));
        assert_eq!(built["spec"]["containers"][0]["image"], expected);
        assert_eq!(built["spec"]["volumes"][0]["image"]["reference"], expected);
    }
    let built = one("images: [{name: web, digest: 'sha512:abc'}]", &workload("Pod", "web", "web"));
    assert_eq!(built["spec"]["containers"][0]["image"], "web@sha512:abc");
    // The name is a regular expression; a bad one ends kustomize 5.8.1, and matches nothing in 5.8.2.
    let built = one("images: [{name: 'w.b', newTag: v2}]", &workload("Pod", "web", "web"));
    assert_eq!(built["spec"]["containers"][0]["image"], "web:v2");
    let error = run("images: [{name: 'web[', newTag: v2}]", &workload("Pod", "web", "web")).unwrap_err();
    assert!(error.contains("error parsing regexp"), "{error}");
}

#[test]
fn a_generator_that_merges_onto_string_data_loses_it() {
    let secret = |string_data: &str, data: &str| {
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\nstringData: {string_data}\n{data}")
    };
    for (behavior, literal, resource, data) in [
        // 5.8.2 moves stringData to data first.
        ("merge", "a=x", secret("{a: plain, b: other}", ""), json!({"a": "eA=="})),
        ("merge", "c=x", secret("{a: plain, b: other}", ""), json!({"c": "eA=="})),
        (
            "merge",
            "a=x",
            secret("{a: plain}", "data: {a: b2xk, d: b2xk}\n"),
            json!({"a": "eA==", "d": "b2xk"}),
        ),
        // 5.8.2 refuses what is no scalar.
        ("merge", "a=x", secret("{a: {x: y}}", ""), json!({"a": "eA=="})),
        ("replace", "a=x", secret("{a: plain, b: other}", ""), json!({"a": "eA=="})),
    ] {
        let fields = format!("secretGenerator: [{{name: s, behavior: {behavior}, literals: ['{literal}']}}]");
        let built = one(&fields, &resource);
        assert_eq!((&built["data"], built.get("stringData")), (&data, None), "{fields} {resource}");
    }
}

#[test]
fn a_directory_may_have_dots_within_its_name() {
    let resource = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";
    for (path, directory) in [
        // 5.8.2 takes these for an indentation error.
        ("../foo/bar..baz", "foo/bar..baz"),
        ("../..base", "..base"),
        ("../base..", "base.."),
        ("../...", "..."),
        ("../base - ../other", "base - ../other"),
    ] {
        let built = run_files(&[
            ("top/kustomization.yaml", &format!("resources: ['{path}']\n")),
            (&format!("{directory}/kustomization.yaml"), "resources: [c.yaml]\n"),
            (&format!("{directory}/c.yaml"), resource),
        ]);
        assert_eq!(built.unwrap().len(), 1, "{path}");
    }
    // What such an error in the indentation makes of two entries.
    let error = run_files(&[
        ("top/kustomization.yaml", "resources:\n- ../base\n  - ../shared/prod\n"),
        ("base/kustomization.yaml", "resources: [c.yaml]\n"),
        ("base/c.yaml", resource),
        ("shared/prod/kustomization.yaml", "resources: []\n"),
    ])
    .unwrap_err();
    assert!(error.starts_with("accumulating resources: accumulation err='accumulating resources from '../base - ../shared/prod': "), "{error}");
}

#[test]
fn admission_policies_get_a_namespace_and_their_names_are_followed() {
    for version in ["v1", "v1beta1"] {
        let policies = format!(
            "
apiVersion: admissionregistration.k8s.io/{version}
kind: ValidatingAdmissionPolicy
metadata: {{name: policy}}
---
apiVersion: admissionregistration.k8s.io/{version}
kind: ValidatingAdmissionPolicyBinding
metadata: {{name: binding}}
spec: {{policyName: policy, paramRef: {{name: params, namespace: other}}}}
---
apiVersion: v1
kind: ConfigMap
metadata: {{name: params, namespace: other}}
"
        );
        let built = run("namePrefix: x-\nnamespace: ns", &policies).unwrap();
        // 5.8.2 knows that v1 of them is in no namespace.
        for (kind, name) in [
            ("ConfigMap", "x-params"),
            ("ValidatingAdmissionPolicy", "x-policy"),
            ("ValidatingAdmissionPolicyBinding", "x-binding"),
        ] {
            let object = built.iter().find(|object| object["kind"] == kind).unwrap();
            assert_eq!(object["metadata"], json!({"name": name, "namespace": "ns"}), "{version}");
        }
        let binding =
            built.iter().find(|object| object["kind"] == "ValidatingAdmissionPolicyBinding").unwrap();
        assert_eq!(
            binding["spec"],
            json!({"policyName": "x-policy", "paramRef": {"name": "params", "namespace": "other"}}),
            "{version}"
        );
    }
}
