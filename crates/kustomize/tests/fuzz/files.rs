//! The files that are changed.

/// A tree that uses about everything.
pub const FILES: [(&str, &str); 9] = [
    ("kustomization.yaml", KUSTOMIZATION),
    ("app.yaml", APP),
    ("json-patch.yaml", JSON_PATCH),
    ("merge-patch.yaml", MERGE_PATCH),
    ("replacements.yaml", REPLACEMENTS),
    ("transformers.yaml", TRANSFORMERS),
    ("component/kustomization.yaml", COMPONENT),
    (
        "base/kustomization.yaml",
        "resources: [role.yaml]\nnameSuffix: -base\nvars:\n- name: KIND\n  objref: {kind: ServiceAccount, name: robot, apiVersion: v1}\n  fieldref: {fieldpath: metadata.name}\n",
    ),
    (
        "base/role.yaml",
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: robot}\n---\napiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: bind}\nroleRef: {kind: ClusterRole, name: view, apiGroup: rbac.authorization.k8s.io}\nsubjects: [{kind: ServiceAccount, name: robot, namespace: default}]\n",
    ),
];

pub const KUSTOMIZATION: &str = "apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources:
- app.yaml
- base
components: [component]
namespace: team
namePrefix: p-
nameSuffix: -s
commonAnnotations: {owner: team}
commonLabels: {app: x}
labels:
- pairs: {env: prod}
  includeSelectors: true
  fields: [{path: spec/a/b, create: true}]
images:
- name: app
  newName: registry/app
  newTag: '2'
- name: side
  digest: sha256:0123
replicas: [{name: web, count: 3}]
patches:
- path: merge-patch.yaml
- path: json-patch.yaml
  target: {kind: Deployment, name: w.*, labelSelector: 'tier in (front, back)', annotationSelector: '!no'}
  options: {allowNameChange: true, allowKindChange: true}
patchesJson6902:
- target: {version: v1, kind: Service, name: web}
  patch: '- {op: add, path: /metadata/labels/a~1b, value: c}'
configMapGenerator:
- name: config
  literals: [a=b, 'c=d e']
  options: {immutable: true, labels: {x: z}}
secretGenerator:
- name: secret
  type: Opaque
  literals: [k=v]
generatorOptions: {disableNameSuffixHash: false}
replacements: [{path: replacements.yaml}]
transformers: [transformers.yaml]
buildMetadata: [managedByLabel]
sortOptions: {order: legacy}
";

pub const APP: &str = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: web # the one
  labels: {tier: front}
spec:
  selector: {matchLabels: {tier: front}}
  template:
    metadata: {labels: &labels {tier: front}}
    spec:
      containers:
      - name: main
        image: app:1
        args: [\"$(KIND)\", '--n=0777', yes]
        env:
        - {name: A, value: \"1\"}
        - {name: B, valueFrom: {configMapKeyRef: {name: config, key: a}}}
      - {name: side, image: side, ports: [{containerPort: 80, protocol: TCP}]}
      volumes: [{name: v, secret: {secretName: secret}}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {tier: front}, ports: [{port: 80, name: http}]}
---
apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: text}
  data:
    block: |
      one
        two
    folded: >-
      a
      b
";

pub const JSON_PATCH: &str = "- {op: test, path: /spec/template/spec/containers/0/name, value: main}
- {op: add, path: /spec/template/spec/containers/0/env/-, value: {name: C, value: \"1\"}}
- {op: replace, path: /spec/replicas, value: 3}
- {op: copy, from: /metadata/labels, path: /metadata/annotations}
- {op: move, from: /spec/template/spec/volumes/0, path: /spec/template/spec/volumes/-}
- {op: remove, path: /spec/template/spec/containers/1}
";

pub const MERGE_PATCH: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  strategy: {$patch: replace, type: Recreate}
  template:
    spec:
      $setElementOrder/containers: [{name: side}, {name: main}]
      containers:
      - name: main
        env:
        - {name: A, $patch: delete}
        - {name: D, value: d}
      - name: side
        ports: [{containerPort: 80, protocol: UDP}]
      volumes:
      - $patch: delete
        name: other
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: null
";

pub const REPLACEMENTS: &str = "- source: {kind: ConfigMap, name: text, fieldPath: data.block, options: {delimiter: \"\\n\", index: 1}}
  targets:
  - select: {kind: Deployment}
    reject: [{name: other}]
    fieldPaths: ['spec.template.spec.containers.[name=main].env.[name=A].value', 'spec.template.spec.containers.*.args.0']
    options: {create: true, delimiter: '=', index: -1}
- sourceValue: fixed
  targets:
  - select: {kind: '.*'}
    fieldPaths: [metadata.annotations.fixed]
    options: {create: true}
";

pub const TRANSFORMERS: &str = "apiVersion: builtin
kind: PrefixSuffixTransformer
metadata: {name: x}
prefix: q-
fieldSpecs: [{path: metadata/name, kind: Service}]
---
apiVersion: builtin
kind: PatchTransformer
metadata: {name: y}
patch: '- {op: add, path: /metadata/annotations/w, value: z}'
target: {kind: ConfigMap}
";

pub const COMPONENT: &str = "apiVersion: kustomize.config.k8s.io/v1alpha1
kind: Component
configMapGenerator:
- {name: text, behavior: merge, literals: [more=x]}
patches: [{patch: '{kind: ConfigMap, apiVersion: v1, metadata: {name: text}, data: {folded: null}}'}]
";

pub fn original(file: &str) -> &'static str {
    FILES.iter().find(|(path, _)| *path == file).unwrap().1
}
