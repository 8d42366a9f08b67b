//! Random Kubernetes objects and patches for them.

use super::random::Random;
use super::structured;

/// Names of objects; each layer of a tree makes its own, and all refer to any.
pub const NAMES: [&str; 7] = ["web", "api", "db", "cache", "part", "top", "job"];
pub const WORKLOADS: [&str; 4] = ["Deployment", "StatefulSet", "DaemonSet", "ReplicaSet"];
const SCALARS: [&str; 38] = [
    "yes",
    "no",
    "on",
    "y",
    "true",
    "False",
    "null",
    "~",
    "",
    "'1'",
    "\"true\"",
    "0777",
    "0o17",
    "0x1F",
    "1_000",
    "1e3",
    "1.0",
    "-0",
    "1.50",
    ".5",
    "12345678901234567890",
    "2020-01-01",
    "2001-12-14 21:59:43",
    "2001-12-14t21:59:43.10-05:00",
    "2001-12-14   21:59:43",
    "!!timestamp 2001-12-14 21:59:43",
    "1:30",
    "abc",
    "a b",
    "'it''s'",
    "\"tab\\t\"",
    "a:b",
    "a#b",
    "'a #b'",
    "{}",
    "[]",
    "=",
    "!!str 5",
];

pub fn scalar(random: &mut Random) -> &'static str {
    random.pick(&SCALARS)
}

fn text(random: &mut Random) -> String {
    match random.below(6) {
        0 => "|\n    line one\n    line two".to_owned(),
        1 => "|-\n    {\"a\": {\"b\": 1}}".to_owned(),
        2 => ">\n    folded\n    text".to_owned(),
        3 => "\"$(VAR) and $(OTHER)\"".to_owned(),
        4 => format!("'{}'", "long words ".repeat(12)),
        _ => format!("v{}", random.below(100)),
    }
}

/// `metadata`, indented by nothing.
fn metadata(random: &mut Random, name: &str, namespaced: bool) -> String {
    let mut out = format!("metadata:\n  name: {name}\n");
    if namespaced && random.chance(25) {
        out.push_str(&format!("  namespace: {}\n", random.pick(&["one", "two", "default"])));
    }
    if random.chance(40) {
        out.push_str(&format!(
            "  labels: {{app: {name}, tier: {}}}\n",
            random.pick(&["front", "back", "'1'"])
        ));
    }
    if random.chance(30) {
        out.push_str(&format!("  annotations:\n    note: {}\n", scalar(random)));
        if random.chance(5) {
            out.push_str(&format!("    {}: odd\n", random.pick(&["1", "true", "'1'", "2001-01-01", "y"])));
        }
    }
    out
}

fn container(random: &mut Random, name: &str) -> String {
    let mut out = format!("- name: {name}\n");
    let image = random.pick(&[
        "nginx",
        "nginx:1.0",
        "registry:5000/app:v1",
        "app@sha256:abcd",
        "busybox:1.2@sha256:00",
    ]);
    out.push_str(&format!("  image: {image}\n"));
    if random.chance(50) {
        out.push_str("  env:\n");
        for _ in 0..=random.below(3) {
            let key = random.pick(&["A", "B", "C", "D"]);
            match random.below(4) {
                0 => out.push_str(&format!("  - name: {key}\n    value: \"$(VAR)\"\n")),
                1 => out.push_str(&format!(
                    "  - name: {key}\n    valueFrom: {{configMapKeyRef: {{name: {}, key: k}}}}\n",
                    random.pick(&NAMES)
                )),
                2 => out.push_str(&format!(
                    "  - {{name: {key}, value: {}}}\n",
                    random.pick(&["x", "'2'", "3", "yes"])
                )),
                _ => out.push_str(&format!("  - name: {key}\n    value: x{}\n", random.below(9))),
            }
        }
    }
    if random.chance(30) {
        let from = random.pick(&["configMapRef", "secretRef"]);
        out.push_str(&format!("  envFrom:\n  - {from}: {{name: {}}}\n", random.pick(&NAMES)));
    }
    if random.chance(40) {
        out.push_str("  ports:\n");
        for _ in 0..=random.below(2) {
            let port = random.pick(&["80", "443", "53"]);
            let protocol = random.pick(&["", ", protocol: TCP", ", protocol: UDP"]);
            let name = random.pick(&["", ", name: http", ", name: dns"]);
            out.push_str(&format!("  - {{containerPort: {port}{protocol}{name}}}\n"));
        }
    }
    if random.chance(30) {
        out.push_str("  args: [\"--x\", \"$(VAR)\"]\n");
    }
    if random.chance(30) {
        out.push_str("  resources:\n    limits: {cpu: 1, memory: 64Mi}\n");
    }
    if random.chance(20) {
        out.push_str(
            "  volumeMounts:\n  - {name: data, mountPath: /data}\n  - {name: data, mountPath: /other}\n",
        );
    }
    out
}

pub fn indent(text: &str, by: usize) -> String {
    let pad = " ".repeat(by);
    text.lines().map(|line| format!("{pad}{line}\n")).collect()
}

fn pod_spec(random: &mut Random) -> String {
    let mut out = "containers:\n".to_owned();
    out.push_str(&container(random, "main"));
    if random.chance(30) {
        out.push_str(&container(random, "side"));
    }
    if random.chance(20) {
        out.push_str("initContainers:\n");
        out.push_str(&container(random, "init"));
    }
    if random.chance(40) {
        out.push_str("volumes:\n");
        out.push_str(&format!("- name: data\n  configMap: {{name: {}}}\n", random.pick(&NAMES)));
        if random.chance(40) {
            out.push_str(&format!("- name: secret\n  secret: {{secretName: {}}}\n", random.pick(&NAMES)));
        }
        if random.chance(30) {
            out.push_str("- name: tmp\n  emptyDir:\n");
        }
    }
    if random.chance(25) {
        out.push_str(&format!("serviceAccountName: {}\n", random.pick(&NAMES)));
    }
    if random.chance(15) {
        out.push_str(&format!("imagePullSecrets:\n- name: {}\n", random.pick(&NAMES)));
    }
    if random.chance(15) {
        out.push_str("tolerations:\n- {key: a, operator: Exists}\n- {key: b}\n");
    }
    if random.chance(10) {
        out.push_str("hostAliases:\n- ip: 1.1.1.1\n  hostnames: [a, b]\n");
    }
    out
}

/// One object, and its kind and name.
pub fn object(random: &mut Random, names: &[&'static str]) -> (String, &'static str, &'static str) {
    let name = random.pick(names);
    match random.below(16) {
        0..=4 => {
            let kind = random.pick(&WORKLOADS);
            let mut spec = String::new();
            if random.chance(60) {
                let quote = random.pick(&["", "", "", "", "", "", "", "'"]);
                spec.push_str(&format!("replicas: {quote}{}{quote}\n", random.below(4)));
            }
            if random.chance(80) {
                spec.push_str(&format!("selector:\n  matchLabels: {{app: {name}}}\n"));
            }
            spec.push_str("template:\n");
            if random.chance(80) {
                spec.push_str(&format!("  metadata:\n    labels: {{app: {name}}}\n"));
            }
            spec.push_str("  spec:\n");
            spec.push_str(&indent(&pod_spec(random), 4));
            if kind == "StatefulSet" && random.chance(50) {
                spec.push_str("volumeClaimTemplates:\n- metadata: {name: data}\n  spec: {accessModes: [ReadWriteOnce]}\n");
            }
            let meta = metadata(random, name, true);
            (format!("apiVersion: apps/v1\nkind: {kind}\n{meta}spec:\n{}", indent(&spec, 2)), kind, name)
        }
        5 => {
            let meta = metadata(random, name, true);
            let mut data = String::new();
            for key in ["k", "l", "m"] {
                if random.chance(60) {
                    let value = match random.below(4) {
                        0 | 1 => scalar(random).to_owned(),
                        2 => text(random),
                        _ => structured::text(random),
                    };
                    data.push_str(&format!("{key}: {value}\n"));
                }
            }
            if data.is_empty() {
                data.push_str("k: v\n");
            }
            (format!("apiVersion: v1\nkind: ConfigMap\n{meta}data:\n{}", indent(&data, 2)), "ConfigMap", name)
        }
        6 => {
            let meta = metadata(random, name, true);
            (
                format!("apiVersion: v1\nkind: Secret\n{meta}stringData:\n  k: {}\n", scalar(random)),
                "Secret",
                name,
            )
        }
        7 => {
            let meta = metadata(random, name, true);
            let ports = random.pick(&[
                "[{port: 80, targetPort: http}]",
                "[{port: 80}, {port: 443, name: tls}]",
                "[{port: 53, protocol: UDP, name: u}, {port: 53, protocol: TCP, name: t}]",
            ]);
            (
                format!(
                    "apiVersion: v1\nkind: Service\n{meta}spec:\n  selector: {{app: {name}}}\n  ports: {ports}\n"
                ),
                "Service",
                name,
            )
        }
        8 => (
            format!("apiVersion: v1\nkind: ServiceAccount\n{}", metadata(random, name, true)),
            "ServiceAccount",
            name,
        ),
        9 => {
            let kind = random.pick(&["Role", "ClusterRole"]);
            let meta = metadata(random, name, kind == "Role");
            (
                format!(
                    "apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\n{meta}rules:\n- apiGroups: ['']\n  resources: [secrets]\n  resourceNames: [{}]\n  verbs: [get]\n",
                    random.pick(&NAMES)
                ),
                kind,
                name,
            )
        }
        10 => {
            let kind = random.pick(&["RoleBinding", "ClusterRoleBinding"]);
            let meta = metadata(random, name, kind == "RoleBinding");
            let subject = random.pick(&["default", "web", "api"]);
            let namespace = random.pick(&["", ", namespace: one", ", namespace: two"]);
            (
                format!(
                    "apiVersion: rbac.authorization.k8s.io/v1\nkind: {kind}\n{meta}roleRef:\n  apiGroup: rbac.authorization.k8s.io\n  kind: {}\n  name: {}\nsubjects:\n- {{kind: ServiceAccount, name: {subject}{namespace}}}\n",
                    random.pick(&["Role", "ClusterRole"]),
                    random.pick(&NAMES)
                ),
                kind,
                name,
            )
        }
        11 => {
            let meta = metadata(random, name, true);
            (
                format!(
                    "apiVersion: networking.k8s.io/v1\nkind: Ingress\n{meta}spec:\n  rules:\n  - host: {name}.example.com\n    http:\n      paths:\n      - path: /\n        pathType: Prefix\n        backend: {{service: {{name: {}, port: {{number: 80}}}}}}\n  tls:\n  - {{hosts: [a], secretName: {}}}\n",
                    random.pick(&NAMES),
                    random.pick(&NAMES)
                ),
                "Ingress",
                name,
            )
        }
        12 => {
            let meta = metadata(random, name, true);
            (
                format!(
                    "apiVersion: autoscaling/v2beta2\nkind: HorizontalPodAutoscaler\n{meta}spec:\n  scaleTargetRef: {{apiVersion: apps/v1, kind: {}, name: {}}}\n  maxReplicas: 5\n",
                    random.pick(&WORKLOADS),
                    random.pick(&NAMES)
                ),
                "HorizontalPodAutoscaler",
                name,
            )
        }
        13 => {
            let meta = metadata(random, name, true);
            let kind = "CronJob";
            let pod = indent(&pod_spec(random), 10);
            (
                format!(
                    "apiVersion: batch/v1\nkind: {kind}\n{meta}spec:\n  schedule: '* * * * *'\n  jobTemplate:\n    spec:\n      template:\n        spec:\n{pod}"
                ),
                kind,
                name,
            )
        }
        14 => (format!("apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {name}\n"), "Namespace", name),
        _ => {
            let meta = metadata(random, name, true);
            (
                format!(
                    "apiVersion: example.com/v1\nkind: Thing\n{meta}spec:\n  list: [1, a, {{b: c}}]\n  odd: {}\n  deep: {{x: {{y: {}}}}}\n  items:\n  - {{name: a, v: 1}}\n  - {{name: b, v: 2}}\n  pod: {{spec: {{containers: [{{name: main, image: a, env: [{{name: A, value: x}}]}}]}}}}\n",
                    scalar(random),
                    scalar(random)
                ),
                "Thing",
                name,
            )
        }
    }
}

pub fn api_version(kind: &str) -> &'static str {
    match kind {
        "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet" => "apps/v1",
        "Role" | "ClusterRole" | "RoleBinding" | "ClusterRoleBinding" => "rbac.authorization.k8s.io/v1",
        "Ingress" => "networking.k8s.io/v1",
        "HorizontalPodAutoscaler" => "autoscaling/v2beta2",
        "CronJob" => "batch/v1",
        "Thing" => "example.com/v1",
        _ => "v1",
    }
}

/// The body of a strategic merge patch, without type and name.
pub fn patch_body(random: &mut Random, kind: &str) -> String {
    let workload = WORKLOADS.contains(&kind);
    match random.below(15) {
        10 if workload => format!(
            "spec:\n  template:\n    spec:\n      containers:\n      - name: main\n        $patch: {}\n        image: directed\n      - {{name: side, image: s}}\n",
            random.pick(&["replace", "merge", "delete"])
        ),
        11 if workload => format!(
            "spec:\n  template:\n    spec:\n      containers:\n      - name: main\n        env:\n        - {{name: A, $patch: {}, value: directed}}\n        ports:\n        - {{containerPort: 80, $patch: {}, name: p}}\n      volumes:\n      - {{name: data, $patch: replace, emptyDir: {{}}}}\n",
            random.pick(&["replace", "merge", "delete"]),
            random.pick(&["replace", "merge", "delete"])
        ),
        12 => "$patch: replace\nspec: {only: this}\n".into(),
        13 if kind == "Thing" => format!(
            "spec:\n  items: [{{name: b, v: {}}}, {{name: c, $patch: replace}}]\n  pod: {{spec: {{containers: [{{name: main, env: [{{name: B, value: y}}]}}]}}}}\n",
            scalar(random)
        ),
        0 if workload => "spec:\n  template:\n    spec:\n      containers:\n      - name: main\n        env:\n        - {name: A, value: patched}\n        - {name: Z, value: '1'}\n".into(),
        1 if workload => "spec:\n  template:\n    spec:\n      containers:\n      - name: extra\n        image: extra:1\n      - name: side\n        $patch: delete\n".into(),
        2 if workload => "spec:\n  template:\n    spec:\n      containers:\n      - name: main\n        ports:\n        - {containerPort: 80, protocol: UDP}\n        - {containerPort: 8080}\n".into(),
        3 if workload => "spec:\n  template:\n    spec:\n      $patch: replace\n      containers:\n      - {name: only, image: only}\n".into(),
        4 if workload => "spec:\n  template:\n    spec:\n      containers:\n      - $patch: replace\n      - {name: new, image: new}\n".into(),
        5 if workload => "spec:\n  replicas: null\n  template:\n    spec:\n      containers:\n      - name: main\n        args: [one]\n        volumeMounts:\n        - {name: more, mountPath: /data}\n".into(),
        6 => "metadata:\n  labels:\n    tier: null\n    new: label\n  annotations:\n    note: null\n    added: 'yes'\n".into(),
        7 => format!("spec:\n  odd: {}\n  deep: {{x: {{z: {}}}}}\n  list: [9]\n", scalar(random), scalar(random)),
        8 if kind == "ConfigMap" => format!("data:\n  k: {}\n  new: {}\n  l: null\n", scalar(random), scalar(random)),
        9 => "$patch: delete\n".into(),
        _ => "metadata:\n  annotations: {patched: 'true'}\n".into(),
    }
}

/// Operations of a JSON patch.
pub fn json_patch(random: &mut Random) -> String {
    let mut out = String::new();
    for _ in 0..=random.below(2) {
        out.push_str(match random.below(9) {
            0 => "- {op: add, path: /metadata/annotations/json, value: 'x'}\n",
            1 => "- {op: replace, path: /spec/replicas, value: 7}\n",
            2 => "- {op: add, path: /spec/template/spec/containers/0/env/-, value: {name: J, value: '2'}}\n",
            3 => "- {op: remove, path: /spec/replicas}\n",
            4 => "- {op: add, path: /spec/new, value: {a: [1, 2.50, 1e3, yes, null]}}\n",
            5 => "- {op: replace, path: /metadata/name, value: renamed}\n",
            6 => "- {op: copy, from: /metadata/name, path: /metadata/labels}\n",
            7 => "- {op: test, path: /metadata/labels, value: null}\n- {op: add, path: /metadata/labels, value: {a: b}}\n",
            _ => "- {op: add, path: /data, value: {json: '1'}}\n",
        });
    }
    out
}
