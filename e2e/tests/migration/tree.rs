//! What a Flux user has: sources and Kustomizations of many sorts, and what they apply. The HelmReleases are in `releases`, other sources
//! in `stores`.

use std::io::Write;

use anyhow::Result;
use e2e::objects::{Id, Look, Objects};
use e2e::registry::{LAYER, Registry};
use e2e::scenario::Scenario;
use e2e::testkit::{config_map, deployment};
use flate2::{Compression, write::GzEncoder};
use serde_json::Value;

use crate::releases::write_charts;

/// All toolkit objects of the tree.
pub const TOOLKIT: [&str; 25] = [
    "GitRepository/app",
    "GitRepository/lib",
    "OCIRepository/oci",
    "OCIRepository/chart",
    "Bucket/bucket",
    "HelmRepository/index",
    "Kustomization/infra",
    "Kustomization/web",
    "Kustomization/tenant",
    "Kustomization/from-oci",
    "Kustomization/from-bucket",
    "Kustomization/secrets",
    "Kustomization/plain",
    "Kustomization/stopped",
    "Kustomization/broken",
    "Kustomization/waiting",
    "Kustomization/doomed",
    "HelmRelease/site",
    "HelmRelease/from-registry",
    "HelmRelease/from-index",
    "HelmRelease/stopped-release",
    "HelmRelease/rolled",
    "HelmRelease/stalled",
    "HelmRelease/leaves",
    "HelmRelease/left",
];

/// Those that do not stay ready.
const FAILING: [&str; 4] =
    ["Kustomization/broken", "Kustomization/waiting", "HelmRelease/rolled", "HelmRelease/stalled"];

/// Whether an object is a source, which has an artifact.
pub fn is_source(name: &str) -> bool {
    name.contains("Repository/") || name.starts_with("Bucket/")
}

/// Those that stay ready.
pub fn healthy() -> impl Iterator<Item = &'static str> {
    TOOLKIT.into_iter().filter(|name| !FAILING.contains(name))
}

/// Files of the repository `app`.
fn write(test: &Scenario) -> Result<()> {
    let ns = &test.namespace;
    let write = |file: &str, text: &str| test.repo.write(file, text);
    write("infra/crd.yaml", CRD)?;
    write(
        "infra/vars.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: vars}\ndata: {color: blue, quoted: \"yes\"}\n",
    )?;
    write(
        "infra/secret.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata: {name: vars}\nstringData: {password: pass word}\n",
    )?;
    write(
        "infra/role.yaml",
        &format!(
            "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {ns}-reader}}\nrules: [{{apiGroups: [\"\"], resources: [pods], verbs: [get]}}]\n"
        ),
    )?;
    write(
        "infra/priority.yaml",
        &format!(
            "apiVersion: scheduling.k8s.io/v1\nkind: PriorityClass\nmetadata: {{name: {ns}}}\nvalue: 7\n"
        ),
    )?;
    write("web/kustomization.yaml", WEB)?;
    write("web/deployment.yaml", &deployment("web", 0))?;
    write(
        "web/service.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {selector: {app: web}, ports: [{port: 80, name: http}, {port: 443, name: tls}]}\n",
    )?;
    write(
        "web/widget.yaml",
        "apiVersion: example.com/v1\nkind: Widget\nmetadata: {name: w}\nspec: {size: 1, color: \"${color}\"}\n",
    )?;
    write(
        "web/once.yaml",
        &config_map("once", "first").replace(
            "{name: once}",
            "{name: once, annotations: {kustomize.toolkit.fluxcd.io/ssa: IfNotPresent}}",
        ),
    )?;
    write(
        "web/merged.yaml",
        &config_map("merged", "1").replace(
            "{name: merged}",
            "{name: merged, annotations: {kustomize.toolkit.fluxcd.io/ssa: Merge}}",
        ),
    )?;
    write(
        "web/kept.yaml",
        &config_map("kept", "1")
            .replace("{name: kept}", "{name: kept, labels: {kustomize.toolkit.fluxcd.io/prune: disabled}}"),
    )?;
    write("web/values.env", "COLOR=${color}\nSECRET=${password}\n")?;
    write("web/daemon.yaml", DAEMON)?;
    write("tenant/map.yaml", &config_map("tenant", "1"))?;
    write("tenant/account.yaml", "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: tenant-app}\n")?;
    write("plain/a/map.yaml", &config_map("plain", "1"))?;
    write("plain/b/goes.yaml", &config_map("goes", "1"))?;
    write("plain/ignored.yaml", "this: is\nno: object\n")?;
    write("plain/.sourceignore", "ignored.yaml\n")?;
    write("stopped/map.yaml", &config_map("stopped", "1"))?;
    write("doomed/map.yaml", &config_map("doomed", "1"))?;
    write(
        "broken/deployment.yaml",
        &deployment("broken", 0).replace("labels: {app: broken}", "labels: {app: other}"),
    )?;
    write("sync/map.yaml", &config_map("sync", "1"))?;
    write_charts(test, "1")?;
    write("docs/readme.md", "no part of the artifact\n")?;
    write("bin/run.sh", "#!/bin/sh\n")?;
    test.repo.git(&["update-index", "--add", "--chmod=+x", "bin/run.sh"])?;
    Ok(())
}

/// Applies everything, as a user of Flux would; answers the commit.
pub async fn plant(test: &Scenario, registry: &Registry) -> Result<String> {
    write(test)?;
    let commit = test.repo.commit("start")?;
    let lib = test.git.create("lib")?;
    lib.write("base/kustomization.yaml", "resources: [map.yaml]\n")?;
    lib.write("base/map.yaml", &config_map("from-lib", "1"))?;
    lib.commit("lib")?;
    test.git.set_account(Some(("alice", "s3cret")));
    push(registry, "1").await?;
    let (app, lib) = (test.git.url("app"), test.git.url("lib"));
    let sources = SOURCES.replace("APP", &app).replace("LIB", &lib).replace("REGISTRY", &registry.address());
    test.apply(&sources).await?;
    test.apply(&ACCOUNTS.replace("NAMESPACE", &test.namespace)).await?;
    test.apply(&KUSTOMIZATIONS.replace("NAMESPACE", &test.namespace)).await?;
    Ok(commit)
}

/// Pushes what `from-oci` applies.
pub async fn push(registry: &Registry, value: &str) -> Result<()> {
    let layer = archive(&[("map.yaml", config_map("from-oci", value))])?;
    registry.pusher().artifact("latest", &[(LAYER, &layer)]).await;
    Ok(())
}

/// A compressed archive of files.
pub fn archive(files: &[(&str, String)]) -> Result<Vec<u8>> {
    let mut tar = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (path, text) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, path, text.as_bytes())?;
    }
    let mut gzip = tar.into_inner()?;
    gzip.flush()?;
    Ok(gzip.finish()?)
}

/// The objects in the inventory of a Kustomization or HelmRelease.
pub fn inventory(owner: &Value) -> Vec<Id> {
    let entries = owner.pointer("/status/inventory/entries").and_then(Value::as_array);
    let id = |entry: &Value| {
        let parts: Vec<&str> = entry.text("/id").split('_').collect();
        let [namespace, name, group, kind] = parts[..] else { panic!("{entry}") };
        let version = entry.text("/v");
        let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
        Id::of(&api_version, kind, namespace, &name.replace("__", ":"))
    };
    entries.into_iter().flatten().map(id).collect()
}

/// Every managed object as it is, with its name: field managers and resource versions included.
pub async fn managed(objects: &Objects, toolkit: &[Value]) -> Result<Vec<(String, Value)>> {
    let mut all = Vec::new();
    for id in toolkit.iter().flat_map(inventory) {
        all.push((id.to_string(), objects.get(&id).await?.unwrap_or_default()));
    }
    Ok(all)
}

/// A definition.
pub const CRD: &str = "\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {kind: Widget, plural: widgets, singular: widget, listKind: WidgetList}
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              size: {type: integer}
              color: {type: string}
              mode: {type: string, default: fast}
";

const WEB: &str = "\
apiVersion: kustomize.config.k8s.io/v1beta1
kind: Kustomization
resources: [deployment.yaml, service.yaml, widget.yaml, once.yaml, merged.yaml, kept.yaml, daemon.yaml, ../lib/base]
configMapGenerator: [{name: settings, envs: [values.env]}]
";

/// Quantities, ports and defaults in the forms that users write and servers normalise.
const DAEMON: &str = "\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  replicas: 0
  serviceName: db
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      containers:
      - name: db
        image: db
        env: [{name: PASSWORD, value: \"${password}\"}, {name: EMPTY, value: \"\"}]
        resources: {limits: {cpu: 1000m, memory: 1024Mi}, requests: {cpu: \"0.5\", memory: 1Gi}}
        ports: [{containerPort: 5432}]
  volumeClaimTemplates:
  - metadata: {name: data}
    spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1024Mi}}}
";

const SOURCES: &str = "\
apiVersion: v1
kind: Secret
metadata: {name: git}
stringData: {username: alice, password: s3cret}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: lib}
spec: {interval: 1h, url: LIB, ref: {branch: main}, secretRef: {name: git}}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: app}
spec:
  interval: 1h
  url: APP
  ref: {branch: main}
  secretRef: {name: git}
  include: [{repository: {name: lib}, toPath: lib}]
  ignore: |
    /docs/
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: oci}
spec: {interval: 1h, url: \"oci://REGISTRY/team/app\", insecure: true, ref: {tag: latest}}
";

const ACCOUNTS: &str = "\
apiVersion: v1
kind: ServiceAccount
metadata: {name: deployer}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: deployer}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}
subjects: [{kind: ServiceAccount, name: deployer, namespace: NAMESPACE}]
";

const KUSTOMIZATIONS: &str = "\
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: infra}
spec:
  interval: 1h
  path: ./infra
  prune: true
  wait: true
  timeout: 2m
  targetNamespace: NAMESPACE
  sourceRef: {kind: GitRepository, name: app}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: web}
spec:
  interval: 1h
  retryInterval: 2s
  path: web
  prune: true
  timeout: 2m
  targetNamespace: NAMESPACE
  sourceRef: {kind: GitRepository, name: app}
  dependsOn: [{name: infra}]
  commonMetadata: {labels: {team: blue}, annotations: {team.example.com/chat: \"#blue\"}}
  images: [{name: app, newName: registry.example.com/app, newTag: v2}]
  patches:
  - target: {kind: Deployment}
    patch: |
      - {op: add, path: /metadata/annotations, value: {patched: \"true\"}}
  postBuild:
    substitute: {unused: \"1\"}
    substituteFrom: [{kind: ConfigMap, name: vars}, {kind: Secret, name: vars}, {kind: Secret, name: none, optional: true}]
  healthChecks: [{apiVersion: apps/v1, kind: Deployment, name: web, namespace: NAMESPACE}]
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: tenant}
spec:
  interval: 1h
  path: ./tenant
  prune: true
  force: true
  serviceAccountName: deployer
  targetNamespace: NAMESPACE
  sourceRef: {kind: GitRepository, name: app, namespace: NAMESPACE}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: from-oci}
spec:
  interval: 1h
  prune: true
  namePrefix: a-
  nameSuffix: -z
  targetNamespace: NAMESPACE
  sourceRef: {kind: OCIRepository, name: oci}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: plain}
spec:
  interval: 1h
  path: ./plain
  prune: true
  deletionPolicy: MirrorPrune
  targetNamespace: NAMESPACE
  sourceRef: {kind: GitRepository, name: app}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: stopped}
spec:
  interval: 1h
  path: ./stopped
  prune: true
  targetNamespace: NAMESPACE
  sourceRef: {kind: GitRepository, name: app}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: doomed}
spec:
  interval: 1h
  path: ./doomed
  prune: true
  deletionPolicy: Delete
  targetNamespace: NAMESPACE
  sourceRef: {kind: GitRepository, name: app}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: flux-system, namespace: flux-system}
spec:
  interval: 1h
  path: ./sync
  prune: true
  targetNamespace: NAMESPACE
  sourceRef: {kind: GitRepository, name: app, namespace: NAMESPACE}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: broken}
spec:
  interval: 1h
  path: ./broken
  prune: true
  targetNamespace: NAMESPACE
  sourceRef: {kind: GitRepository, name: app}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {name: waiting}
spec:
  interval: 1h
  path: ./plain
  prune: true
  dependsOn: [{name: broken}]
  targetNamespace: NAMESPACE
  sourceRef: {kind: GitRepository, name: app}
";
