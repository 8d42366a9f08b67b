//! Random trees of overlays that set the same few labels and annotations again and again, in all ways that there are.

use std::fs;
use std::io;
use std::path::Path;

use super::objects::indent;
use super::random::Random;

const KEYS: [&str; 3] = ["x", "z", "app.kubernetes.io/managed-by"];
/// What a kustomization file may say.
const TEXTS: [&str; 11] =
    ["old", "new", "a-b", "'7'", "'true'", "'yes'", "'2001-01-01'", "'1.5'", "'null'", "a:b", "'{}'"];
/// What a patch may say.
const VALUES: [&str; 12] =
    ["old", "new", "5", "'6'", "\"7\"", "true", "yes", "1.50", "null", "2001-01-01", "a-b", "'no'"];
/// Kinds and names of the objects.
const OBJECTS: [(&str, &str, &str); 5] = [
    ("apps/v1", "Deployment", "d"),
    ("apps/v1", "StatefulSet", "s"),
    ("batch/v1", "CronJob", "c"),
    ("v1", "Service", "v"),
    ("example.com/v1", "Thing", "t"),
];

/// Writes a tree whose root is `top`.
pub fn write(random: &mut Random, folder: &Path) -> io::Result<()> {
    let part = random.chance(30);
    if part {
        layer(
            random,
            &folder.join("part"),
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n",
            false,
        )?;
    }
    let mut below = "resources: [r.yaml]\n".to_owned();
    for depth in 0..random.below(3) {
        let name = format!("base{depth}");
        layer(random, &folder.join(&name), &below, depth == 0)?;
        below = format!("resources: [../{name}]\n");
        if part && random.chance(30) {
            below.push_str("components: [../part]\n");
        }
    }
    let objects = below.contains("r.yaml");
    layer(random, &folder.join("top"), &below, objects)
}

fn layer(random: &mut Random, folder: &Path, head: &str, objects: bool) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    if objects {
        let all = OBJECTS.iter().map(|(api_version, kind, name)| {
            format!(
                "apiVersion: {api_version}\nkind: {kind}\nmetadata:\n  name: {name}\n{}",
                body(random, kind)
            )
        });
        fs::write(folder.join("r.yaml"), all.collect::<Vec<_>>().join("---\n"))?;
    }
    let mut file = head.to_owned();
    if objects && random.chance(80) {
        file.push_str("commonLabels: {x: old, z: start}\ncommonAnnotations: {x: old}\n");
    }
    for change in [kustomization_labels, patches, replacements, transformers, others] {
        if random.chance(55) {
            change(random, &mut file);
        }
    }
    if file.contains("c.yaml") {
        fs::write(
            folder.join("c.yaml"),
            random.pick(&[
                "namePrefix: [{path: metadata/labels/x}, {path: spec/selector/matchLabels/x}, {path: spec/template/metadata/labels/z}]\n",
                "images: [{path: spec/template/metadata/labels/x}, {path: metadata/labels/z}]\n",
                "varReference: [{path: metadata/labels}, {path: spec/selector/matchLabels/z}]\n",
                "nameReference: [{kind: Service, fieldSpecs: [{path: metadata/annotations/x}, {path: spec/template/metadata/labels/z}]}]\n",
                "commonLabels: [{path: spec/extra, create: true, kind: Thing}, {path: spec/items/labels, create: true, kind: Thing}]\n",
                "commonAnnotations: [{path: metadata/labels, create: true, kind: Deployment}]\n",
            ]),
        )?;
    }
    if file == head {
        file.push_str("namePrefix: a-\n");
    }
    fs::write(folder.join("kustomization.yaml"), file)
}

fn body(random: &mut Random, kind: &str) -> String {
    let mut own = |text: &str| {
        let value = random.pick(&VALUES);
        if random.chance(25) && value != "null" { text.replace("V", value) } else { String::new() }
    };
    let mut out = own("  labels: {x: V}\n") + &own("  annotations: {x: V}\n");
    let spread = |labels: &str| {
        format!(
            "      topologySpreadConstraints:\n      - {{topologyKey: zone, whenUnsatisfiable: DoNotSchedule, labelSelector: {{matchLabels: {{own: a{labels}}}}}}}\n      - {{topologyKey: node, whenUnsatisfiable: DoNotSchedule, labelSelector: {{matchLabels: {{own: b}}}}}}\n"
        )
    };
    match kind {
        "Deployment" | "StatefulSet" => {
            out.push_str("spec:\n  selector:\n    matchLabels:\n      own: a\n");
            out.push_str(&own("      x: V\n"));
            out.push_str("  template:\n");
            out.push_str(&own("    metadata:\n      labels: {x: V}\n"));
            out.push_str("    spec:\n      containers: [{name: main, image: nginx}]\n");
            if kind == "StatefulSet" {
                out.push_str(&spread(&own(", x: V")));
                out.push_str(
                    "  volumeClaimTemplates:\n  - metadata: {name: data}\n  - metadata: {name: more}\n",
                );
            }
        }
        "CronJob" => out
            .push_str("spec:\n  jobTemplate:\n    spec:\n      template:\n        spec: {containers: []}\n"),
        "Service" => out.push_str("spec:\n  ports: [{port: 80, protocol: TCP}, {port: 53, protocol: UDP}]\n"),
        _ => out.push_str("spec:\n  items: [{name: a}, {name: b, labels: {x: own}}]\n"),
    }
    out
}

fn pairs(random: &mut Random) -> String {
    let mut pairs = format!("{}: {}", random.pick(&KEYS), random.pick(&TEXTS));
    if random.chance(30) {
        pairs.push_str(&format!(", other: {}", random.pick(&TEXTS)));
    }
    pairs
}

fn kustomization_labels(random: &mut Random, file: &mut String) {
    if random.chance(50) && !file.contains("commonLabels") {
        file.push_str(&format!("commonLabels: {{{}}}\n", pairs(random)));
    }
    if random.chance(50) {
        file.push_str("labels:\n");
        for _ in 0..=random.below(2) {
            let where_to = random.pick(&[
                "",
                "",
                ", includeSelectors: true",
                ", includeTemplates: true",
                ", fields: [{path: spec/extra, create: true, kind: Thing}]",
                ", fields: [{path: spec/items/labels, create: true, kind: Thing}]",
            ]);
            file.push_str(&format!("- {{pairs: {{{}}}{where_to}}}\n", pairs(random)));
        }
    }
    if random.chance(40) && !file.contains("commonAnnotations") {
        file.push_str(&format!("commonAnnotations: {{{}}}\n", pairs(random)));
    }
}

fn patch(random: &mut Random) -> String {
    let (api_version, kind, name) = OBJECTS.get(random.below(OBJECTS.len())).copied().unwrap_or(OBJECTS[0]);
    let mut patch = format!("apiVersion: {api_version}\nkind: {kind}\nmetadata:\n  name: {name}\n");
    let mut map = |chance: usize, directives: bool| {
        let directive = random.pick(&["", "", "", "", "", "$patch: replace, ", "$patch: delete, "]);
        let directive = if directives { directive } else { "" };
        let key = random.pick(&["x", "y1", "app.kubernetes.io/managed-by"]);
        random
            .chance(chance)
            .then(|| format!("{{{directive}{key}: {}, z: {}}}", random.pick(&VALUES), random.pick(&VALUES)))
    };
    for field in ["labels", "annotations"] {
        if let Some(map) = map(50, field == "labels") {
            patch.push_str(&format!("  {field}: {map}\n"));
        }
    }
    patch.push_str("spec:\n");
    let before = patch.len();
    if matches!(kind, "Deployment" | "StatefulSet") {
        for (head, chance) in
            [("  selector:\n    matchLabels:", 40), ("  template:\n    metadata:\n      labels:", 50)]
        {
            if let Some(map) = map(chance, true) {
                patch.push_str(&format!("{head} {map}\n"));
            }
        }
        if let Some(map) = map(30, true).filter(|_| !patch.contains("template")) {
            patch.push_str(&format!("  template:\n    spec:\n      topologySpreadConstraints:\n      - {{topologyKey: node, whenUnsatisfiable: DoNotSchedule, labelSelector: {{matchLabels: {map}}}}}\n"));
        }
        if let Some(map) = map(10, true) {
            patch.push_str(&format!(
                "  volumeClaimTemplates:\n  - metadata: {{name: other, labels: {map}}}\n"
            ));
        }
    } else if let Some(map) = map(40, true) {
        patch.push_str(&format!("  extra: {map}\n  selector: {map}\n"));
    }
    if kind == "Service" {
        patch.push_str("  ports: [{port: 53, protocol: UDP, name: u}, {port: 9, protocol: TCP}]\n");
    }
    if patch.len() == before {
        patch.push_str("  other: yes\n");
    }
    patch
}

fn patches(random: &mut Random, file: &mut String) {
    file.push_str("patches:\n");
    for _ in 0..=random.below(3) {
        if random.chance(20) {
            file.push_str(&format!(
                "- target: {{kind: {}}}\n  patch: |\n    - {{op: add, path: {}, value: json}}\n",
                random.pick(&["Deployment", "StatefulSet", "Deployment|Thing", "Service"]),
                random.pick(&[
                    "/metadata/new",
                    "/metadata/new",
                    "/metadata/labels/x",
                    "/spec/new",
                    "/metadata/annotations/x"
                ])
            ));
            continue;
        }
        file.push_str(&format!("- patch: |\n{}", indent(&patch(random), 4)));
        if random.chance(25) {
            file.push_str("  target: {kind: 'Deployment|StatefulSet|Thing'}\n");
        }
    }
}

/// The path of a label or annotation; only a stateful set has those at the end.
fn field(random: &mut Random, kind: &str) -> &'static str {
    const FIELDS: [&str; 7] = [
        "metadata.labels.x",
        "metadata.labels.z",
        "metadata.annotations.x",
        "spec.selector.matchLabels.x",
        "spec.template.metadata.labels.x",
        "spec.template.spec.topologySpreadConstraints.0.labelSelector.matchLabels.x",
        "spec.volumeClaimTemplates.1.metadata.labels.x",
    ];
    let fields = if kind == "StatefulSet" { &FIELDS[..] } else { &FIELDS[..5] };
    random.pick(fields)
}

fn replacements(random: &mut Random, file: &mut String) {
    file.push_str("replacements:\n");
    for _ in 0..=random.below(2) {
        let source = match random.below(3) {
            0 => format!("sourceValue: {}", random.pick(&["new", "'5'", "'yes'"])),
            1 => "source: {kind: Service, fieldPath: metadata.name}".to_owned(),
            _ => format!("source: {{kind: StatefulSet, fieldPath: {}}}", field(random, "StatefulSet")),
        };
        let options = random.pick(&[
            "",
            "",
            ", options: {create: true}",
            ", options: {delimiter: '-', index: -1}",
            ", options: {delimiter: '-', index: 1}",
            ", options: {delimiter: '-', index: 0, create: true}",
        ]);
        let kind = random.pick(&["StatefulSet", "StatefulSet", "Deployment"]);
        let (one, other) = (field(random, kind), field(random, kind));
        file.push_str(&format!(
            "- {source}\n  targets: [{{select: {{kind: {kind}}}, fieldPaths: [{one}, {other}]{options}}}]\n"
        ));
    }
}

fn transformers(random: &mut Random, file: &mut String) {
    file.push_str("transformers:\n");
    let (key, text) = (random.pick(&KEYS), random.pick(&TEXTS));
    let config = match random.below(4) {
        0 => format!("kind: LabelTransformer\nmetadata: {{name: t}}\nlabels: {{{key}: {text}, other: t}}\nfieldSpecs:\n- {{path: metadata/labels, create: true}}\n- {{path: spec/extra, create: true, kind: Thing}}\n"),
        1 => format!("kind: LabelTransformer\nmetadata: {{name: t}}\nlabels: {{{key}: {text}}}\nfieldSpecs:\n- {{path: spec/selector/matchLabels}}\n- {{path: spec/template/metadata/annotations, create: true, kind: Deployment}}\n"),
        2 => format!("kind: AnnotationsTransformer\nmetadata: {{name: t}}\nannotations: {{{key}: {text}}}\nfieldSpecs:\n- {{path: metadata/annotations, create: true}}\n- {{path: metadata/labels}}\n"),
        _ => "kind: ValueAddTransformer\nmetadata: {name: t}\nvalue: added\ntargets:\n- {selector: {kind: StatefulSet}, fieldPath: spec/template/metadata/labels/other, filePathPosition: 1}\n- {fieldPath: metadata/labels/other}\n".to_owned(),
    };
    file.push_str(&format!("- |\n{}", indent(&format!("apiVersion: builtin\n{config}"), 2)));
}

fn others(random: &mut Random, file: &mut String) {
    let mut may = |chance: usize, text: &str| {
        if random.chance(chance) {
            file.push_str(text);
        }
    };
    may(30, "namePrefix: a-\n");
    may(20, "namespace: ns\n");
    may(20, "images: [{name: new, newTag: v1}, {name: nginx, newTag: v2}]\n");
    may(25, "configurations: [c.yaml]\n");
    may(25, "buildMetadata: [managedByLabel]\n");
}
