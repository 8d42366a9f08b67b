//! Random trees of kustomizations.

use std::fs;
use std::io;
use std::path::Path;

use super::labels;
use super::objects::{self, NAMES, WORKLOADS, indent};
use super::random::Random;
use super::structured;

/// A schema for things, which refers to built-in types.
const SCHEMA: &str = r##"{"definitions": {"thing": {
    "type": "object",
    "x-kubernetes-group-version-kind": [{"group": "example.com", "version": "v1", "kind": "Thing"}],
    "properties": {"spec": {"type": "object", "properties": {
        "items": {"type": "array", "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "name", "items": {"type": "object"}},
        "pod": {"$ref": "#/definitions/io.k8s.api.core.v1.PodTemplateSpec"}}}}}}}"##;

/// Of 100 trees, those that are about labels.
const LABEL_TREES: usize = 25;

/// Writes a tree whose root is `top`.
pub fn write(random: &mut Random, folder: &Path) -> io::Result<()> {
    if random.chance(LABEL_TREES) {
        return labels::write(random, folder);
    }
    let bases = random.below(3);
    let mut names = Vec::new();
    let some = |range: std::ops::Range<usize>| NAMES.get(range).unwrap_or(&NAMES);
    for index in 0..bases {
        let name = format!("base{index}");
        let below = names.last().filter(|_| random.chance(40)).map(std::slice::from_ref).unwrap_or_default();
        kustomization(random, &folder.join(&name), below, None, some(2 * index..2 * index + 2))?;
        names.push(name);
    }
    let component = random.chance(20).then_some("component");
    if let Some(name) = component {
        kustomization(random, &folder.join(name), &[], None, some(4..5))?;
    }
    let used: Vec<String> = names.iter().rev().take(1 + random.below(2)).cloned().collect();
    let own = if random.chance(10) { some(0..7) } else { some(5..7) };
    kustomization(random, &folder.join("top"), &used, component, own)
}

fn kustomization(
    random: &mut Random,
    folder: &Path,
    bases: &[String],
    component: Option<&str>,
    own: &[&'static str],
) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut file = String::new();
    if folder.ends_with("component") {
        file.push_str("apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n");
    }
    let mut known: Vec<(&str, &str)> = Vec::new();
    let mut resources: Vec<String> = bases.iter().map(|base| format!("../{base}")).collect();
    for index in 0..random.below(4) {
        let mut documents = Vec::new();
        for _ in 0..=random.below(2) {
            let (object, kind, name) = objects::object(random, own);
            if known.contains(&(kind, name)) && random.chance(95) {
                continue;
            }
            known.push((kind, name));
            documents.push(object);
        }
        let name = format!("r{index}.yaml");
        fs::write(folder.join(&name), documents.join("---\n"))?;
        resources.push(name);
    }
    list(&mut file, "resources", &resources);
    if let Some(component) = component {
        list(&mut file, "components", &[format!("../{component}")]);
    }
    // Elsewhere kustomize forgets the built-in types.
    if folder.ends_with("component") && random.chance(50) {
        fs::write(folder.join("schema.json"), SCHEMA)?;
        file.push_str("openapi: {path: schema.json}\n");
    }
    renames(random, &mut file);
    labels(random, &mut file);
    images(random, &mut file, &known);
    generators(random, &mut file, folder, own)?;
    patches(random, &mut file, &known);
    plugins(random, &mut file, folder)?;
    late(random, &mut file, &known);
    if file.is_empty() {
        file.push_str("namePrefix: x-\n");
    }
    fs::write(folder.join("kustomization.yaml"), file)
}

fn list(file: &mut String, field: &str, entries: &[String]) {
    if !entries.is_empty() {
        file.push_str(&format!("{field}:\n"));
        entries.iter().for_each(|entry| file.push_str(&format!("- {entry}\n")));
    }
}

fn renames(random: &mut Random, file: &mut String) {
    if random.chance(40) {
        file.push_str(&format!("namePrefix: {}\n", random.pick(&["pre-", "a-", "x-"])));
    }
    if random.chance(25) {
        file.push_str(&format!("nameSuffix: {}\n", random.pick(&["-suf", "-s1"])));
    }
    if random.chance(35) {
        file.push_str(&format!("namespace: {}\n", random.pick(&["one", "two", "prod"])));
    }
}

fn labels(random: &mut Random, file: &mut String) {
    if random.chance(20) {
        file.push_str("commonLabels: {common: 'yes', app: changed}\n");
    }
    if random.chance(30) {
        let selectors = random.pick(&["", "  includeSelectors: true\n", "  includeTemplates: true\n"]);
        let fields =
            random.pick(&["", "  fields:\n  - {path: spec/extra/labels, create: true, kind: Thing}\n"]);
        file.push_str(&format!("labels:\n- pairs: {{env: prod, num: '1'}}\n{selectors}{fields}"));
    }
    if random.chance(25) {
        let odd = if random.chance(8) { ", '1': odd" } else { "" };
        file.push_str(&format!("commonAnnotations: {{owner: team, flag: 'true'{odd}}}\n"));
    }
}

fn images(random: &mut Random, file: &mut String, known: &[(&str, &str)]) {
    if random.chance(35) {
        file.push_str("images:\n");
        for _ in 0..=random.below(2) {
            let name = random.pick(&["nginx", "registry:5000/app", "app", "busybox"]);
            let change = random.pick(&[
                "newTag: v9",
                "newName: other/img",
                "digest: sha256:ff",
                "newName: nn, newTag: '1'",
                "tagSuffix: -x",
                "newTag: t, digest: sha256:aa",
            ]);
            file.push_str(&format!("- {{name: '{name}', {change}}}\n"));
        }
    }
    let scaled = known.iter().find(|(kind, _)| matches!(*kind, "Deployment" | "StatefulSet" | "ReplicaSet"));
    if let Some((_, name)) = scaled.filter(|_| random.chance(40)) {
        file.push_str(&format!("replicas:\n- {{name: {name}, count: {}}}\n", random.below(9)));
    }
}

fn generators(random: &mut Random, file: &mut String, folder: &Path, own: &[&str]) -> io::Result<()> {
    for field in ["configMapGenerator", "secretGenerator"] {
        if !random.chance(30) {
            continue;
        }
        file.push_str(&format!("{field}:\n"));
        for name in own.iter().take(1 + random.below(2)) {
            file.push_str(&format!("- name: {name}gen\n"));
            match random.below(4) {
                0 => {
                    fs::write(folder.join("data.txt"), "line 1\nline 2 <&>\n")?;
                    file.push_str("  files: [data.txt, key=data.txt]\n");
                }
                1 => {
                    fs::write(folder.join("env.txt"), "# comment\nA=1\n  B=two words\nC\n")?;
                    file.push_str("  envs: [env.txt]\n");
                }
                2 => {
                    fs::write(folder.join("raw.bin"), [0u8, 159, 146, 150].repeat(30))?;
                    file.push_str("  files: [raw.bin]\n");
                }
                _ => file.push_str("  literals: [k=v, 'q=\"quoted\"', n=12]\n"),
            }
            if random.chance(20) {
                file.push_str(&format!("  behavior: {}\n", random.pick(&["create", "create", "merge"])));
            }
            if random.chance(20) {
                file.push_str(
                    "  options: {disableNameSuffixHash: true, labels: {gen: 'a'}, immutable: true}\n",
                );
            }
            if random.chance(15) {
                file.push_str("  namespace: one\n");
            }
        }
    }
    if random.chance(10) {
        file.push_str("generatorOptions: {annotations: {all: x}, disableNameSuffixHash: true}\n");
    }
    Ok(())
}

fn target(random: &mut Random, known: &[(&str, &str)]) -> String {
    let (kind, name) = known.get(random.below(known.len())).copied().unwrap_or(("Deployment", "web"));
    match random.below(6) {
        0 => format!("{{kind: {kind}}}"),
        1 => format!("{{kind: {kind}, name: {name}}}"),
        2 => format!("{{name: '{}.*'}}", name.get(..1).unwrap_or("w")),
        3 => "{labelSelector: 'tier in (front, back), app'}".to_owned(),
        4 => "{annotationSelector: note, group: apps|batch}".to_owned(),
        _ => format!("{{kind: {kind}, namespace: 'one|default'}}"),
    }
}

fn patches(random: &mut Random, file: &mut String, known: &[(&str, &str)]) {
    if random.chance(15) && !known.is_empty() {
        let (kind, name) = known.get(random.below(known.len())).copied().unwrap_or(("Deployment", "web"));
        let version = objects::api_version(kind);
        if random.chance(50) {
            let patch = format!(
                "apiVersion: {version}\nkind: {kind}\nmetadata:\n  name: {name}\n  labels: {{smp: x}}\n"
            );
            file.push_str(&format!("patchesStrategicMerge:\n- |\n{}", indent(&patch, 2)));
        } else {
            file.push_str(&format!(
                "patchesJson6902:\n- target: {{kind: {kind}, name: {name}}}\n  patch: |\n{}",
                indent(&objects::json_patch(random), 4)
            ));
        }
    }
    if random.chance(45) && !known.is_empty() {
        file.push_str("patches:\n");
        for _ in 0..=random.below(2) {
            let (kind, name) = known.get(random.below(known.len())).copied().unwrap_or(("Deployment", "web"));
            if random.chance(35) {
                file.push_str(&format!("- target: {}\n  patch: |\n", target(random, known)));
                file.push_str(&indent(&objects::json_patch(random), 4));
                continue;
            }
            let mut patch = format!("apiVersion: {}\nkind: {kind}\n", objects::api_version(kind));
            let body = objects::patch_body(random, kind);
            match body.strip_prefix("metadata:\n") {
                Some(rest) => patch.push_str(&format!("metadata:\n  name: {name}\n{rest}")),
                None => patch.push_str(&format!("metadata:\n  name: {name}\n{body}")),
            }
            let selected = random.chance(40);
            file.push_str("- patch: |\n");
            file.push_str(&indent(&patch, 4));
            if selected {
                file.push_str(&format!("  target: {}\n", target(random, known)));
            }
            if random.chance(10) {
                file.push_str("  options: {allowNameChange: true, allowKindChange: true}\n");
            }
        }
    }
}

/// Transformers configured in files, and configurations.
fn plugins(random: &mut Random, file: &mut String, folder: &Path) -> io::Result<()> {
    if random.chance(20) {
        let config = random.pick(&[
            "kind: LabelTransformer\nmetadata: {name: t}\nlabels: {by: plugin, n1: 5}\nfieldSpecs:\n- {path: metadata/labels, create: true}\n- {path: spec/extra, create: true, kind: Thing}\n",
            "kind: AnnotationsTransformer\nmetadata: {name: t}\nannotations: {by: plugin}\nfieldSpecs:\n- {path: metadata/annotations, create: true}\n",
            "kind: PrefixTransformer\nmetadata: {name: t}\nprefix: plug-\nfieldSpecs:\n- {path: metadata/name}\n- {path: spec/template/spec/serviceAccountName}\n",
            "kind: PrefixSuffixTransformer\nmetadata: {name: t}\nprefix: ps-\nsuffix: -ps\nfieldSpecs:\n- {kind: Service, path: metadata/name}\n",
            "kind: NamespaceTransformer\nmetadata: {name: t, namespace: plugged}\nunsetOnly: true\nsetRoleBindingSubjects: allServiceAccounts\n",
            "kind: NamespaceTransformer\nmetadata: {name: t, namespace: plugged}\nsetRoleBindingSubjects: none\nfieldSpecs:\n- {path: spec/ns, create: true, kind: Thing}\n",
            "kind: ImageTagTransformer\nmetadata: {name: t}\nimageTag: {name: nginx, newTag: 7}\nfieldSpecs:\n- {path: spec/image}\n",
            "kind: ValueAddTransformer\nmetadata: {name: t}\nvalue: added\ntargets:\n- {selector: {kind: Thing}, fieldPath: spec/path, filePathPosition: 1}\n- {fieldPath: metadata/labels/added}\n",
            "kind: PatchTransformer\nmetadata: {name: t}\npatch: '[{\"op\": \"add\", \"path\": \"/metadata/labels\", \"value\": {\"p\": \"1\"}}]'\ntarget: {kind: Service|Thing}\n",
        ]);
        fs::write(folder.join("transformer.yaml"), format!("apiVersion: builtin\n{config}"))?;
        file.push_str("transformers: [transformer.yaml]\n");
    }
    if random.chance(15) {
        let config = random.pick(&[
            "nameReference:\n- kind: ConfigMap\n  fieldSpecs:\n  - {path: spec/odd, kind: Thing}\n  - {path: spec/items/name, kind: Thing}\n",
            "namePrefix:\n- {path: metadata/name, kind: Service}\n",
            "commonLabels:\n- {path: spec/labels, create: true, kind: Thing}\n",
            "varReference:\n- {path: spec/odd, kind: Thing}\n- {path: data, kind: ConfigMap}\n",
            "images:\n- {path: spec/odd, kind: Thing}\n",
        ]);
        fs::write(folder.join("config.yaml"), config)?;
        file.push_str("configurations: [config.yaml]\n");
    }
    Ok(())
}

fn late(random: &mut Random, file: &mut String, known: &[(&str, &str)]) {
    let (kind, name) = known.get(random.below(known.len())).copied().unwrap_or(("Deployment", "web"));
    if random.chance(20) && !known.is_empty() {
        let source =
            random.pick(&["metadata.name", "metadata.name", "kind", "spec.replicas", "metadata.labels.app"]);
        let field = random.pick(&[
            "metadata.annotations.copied",
            "spec.template.spec.containers.[name=main].image",
            "spec.template.spec.containers.*.env.[name=A].value",
            "metadata.annotations.copied",
            "metadata.labels.app",
            "metadata.annotations.note",
        ]);
        let options = random.pick(&[
            "",
            "    options: {create: true}\n",
            "    options: {create: true}\n",
            "    options: {delimiter: ':', index: 1}\n",
        ]);
        file.push_str(&format!(
            "replacements:\n- source: {{kind: {kind}, name: {name}, fieldPath: {source}}}\n  targets:\n  - select: {{kind: {}}}\n    fieldPaths: ['{field}']\n{options}",
            random.pick(&[WORKLOADS[0], WORKLOADS[1], "Thing", "ConfigMap"])
        ));
    }
    let texts = known.iter().any(|(kind, _)| *kind == "ConfigMap");
    if texts && random.chance(60) && !file.contains("replacements:") {
        file.push_str("replacements:\n");
        file.push_str(&structured::replacement(random));
    }
    if random.chance(15) && !known.is_empty() {
        let field = random.pick(&["metadata.name", "spec.replicas", "metadata.labels.app"]);
        file.push_str(&format!(
            "vars:\n- name: {}\n  objref: {{apiVersion: {}, kind: {kind}, name: {name}}}\n  fieldref: {{fieldpath: {field}}}\n",
            random.pick(&["VAR", "OTHER"]),
            objects::api_version(kind)
        ));
    }
    if random.chance(10) {
        file.push_str(random.pick(&[
            "sortOptions: {order: fifo}\n",
            "sortOptions: {order: legacy}\n",
            "sortOptions: {order: legacy, legacySortOptions: {orderFirst: [Service, Secret], orderLast: [Namespace]}}\n",
        ]));
    }
    if random.chance(10) {
        file.push_str(random.pick(&[
            "buildMetadata: [originAnnotations]\n",
            "buildMetadata: [originAnnotations, transformerAnnotations]\n",
            "buildMetadata: [managedByLabel]\n",
        ]));
    }
}
