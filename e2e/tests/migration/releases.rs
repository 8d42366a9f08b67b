//! Releases of many sorts, and what becomes of them.

use anyhow::Result;
use e2e::objects::{Id, Look, Objects};
use e2e::registry::Registry;
use e2e::scenario::Scenario;
use serde_json::{Value, json};

use crate::tree::archive;

/// What a registry calls a chart.
const CHART: &str = "application/vnd.cncf.helm.chart.content.v1.tar+gzip";

/// Applies all HelmReleases, and waits until each is what it stays.
pub async fn plant(test: &Scenario, registry: &Registry) -> Result<()> {
    push(registry, "1.0.0").await?;
    test.apply(&RELEASES.replace("REGISTRY", &registry.address()).replace("NAMESPACE", &test.namespace))
        .await?;
    for name in ["site", "from-registry", "from-index", "stopped-release", "rolled", "leaves", "left"] {
        released(test, name, "1.0.0").await?;
    }
    test.condition("HelmRelease/stalled", "Stalled", "True", "RetriesExceeded", "").await?;
    test.patch("HelmRelease/stopped-release", &json!({"spec": {"suspend": true}})).await?;
    Ok(())
}

/// Writes the charts in the repository `app`: `value` is in the version and in the objects.
pub fn write_charts(test: &Scenario, value: &str) -> Result<()> {
    let write = |file: &str, text: &str| test.repo.write(&format!("charts/{file}"), text);
    for name in ["site", "small", "rolled", "stalled"] {
        write(&format!("{name}/Chart.yaml"), &chart(name, &version(value)))?;
        write(&format!("{name}/values.yaml"), "color: none\npassword: none\n")?;
        write(&format!("{name}/templates/map.yaml"), &map(value))?;
    }
    write(
        "site/crds/gadgets.yaml",
        &crate::tree::CRD.replace("widget", "gadget").replace("Widget", "Gadget"),
    )?;
    write("site/templates/web.yaml", WEB)?;
    write("site/templates/hook.yaml", HOOK)?;
    write("site/templates/NOTES.txt", "Color: {{ .Values.color }}\n")?;
    write("stalled/templates/refused.yaml", REFUSED)?;
    if value != "1" {
        write("rolled/templates/refused.yaml", REFUSED)?;
    }
    Ok(())
}

/// Pushes the chart of `from-registry`.
pub async fn push(registry: &Registry, version: &str) -> Result<()> {
    let files = [("chart/Chart.yaml", chart("chart", version)), ("chart/templates/map.yaml", map(version))];
    let layer = archive(&files)?;
    let mut pusher = registry.pusher();
    pusher.url = pusher.url.replace("team/app", "team/chart");
    pusher.artifact("latest", &[(CHART, &layer)]).await;
    Ok(())
}

/// The version of charts with a value.
pub fn version(value: &str) -> String {
    format!("1.{}.0", value.parse::<u32>().unwrap_or_default() - 1)
}

/// Waits until a release has been made of this version of its chart.
pub async fn released(test: &Scenario, name: &str, version: &str) -> Result<Value> {
    let is = |release: &Value| {
        release.is_ready() && without_digest(release.text("/status/history/0/chartVersion")) == version
    };
    test.until(&format!("HelmRelease/{name}"), &format!("is a release of version {version}"), is).await
}

/// Waits until a commit and a push of a value have become what they should.
pub async fn changed(test: &Scenario, value: &str) -> Result<()> {
    upgraded(test, value).await?;
    rolled_back(test, &version(value)).await
}

/// Waits until those releases have a value that can be upgraded to it; one that is suspended stays.
pub async fn upgraded(test: &Scenario, value: &str) -> Result<()> {
    let version = version(value);
    for name in ["site", "from-registry", "from-index"] {
        released(test, name, &version).await?;
        let has = |map: &Value| map["data"]["value"].as_str().is_some_and(|v| v == value || v == version);
        test.until(&format!("ConfigMap/{name}-map"), "has the new value", has).await?;
    }
    assert_eq!(test.get("ConfigMap/stopped-release-map").await?["data"]["value"], "1");
    Ok(())
}

/// Waits until the upgrade of `rolled` to a version has failed and was taken back.
async fn rolled_back(test: &Scenario, version: &str) -> Result<()> {
    let is_rolled_back = |release: &Value| {
        !release.is_ready()
            && release.text("/status/history/0/status") == "deployed"
            && without_digest(release.text("/status/lastAttemptedRevision")) == version
    };
    let rolled = test.until("HelmRelease/rolled", "is rolled back", is_rolled_back).await?;
    assert_eq!(rolled.text("/status/history/0/chartVersion"), "1.0.0", "{rolled}");
    assert_eq!(test.get("ConfigMap/rolled-map").await?["data"]["value"], "1");
    Ok(())
}

/// The version of a chart as it was written; that of one from a registry has its digest behind it.
fn without_digest(version: &str) -> &str {
    version.split_once('+').map_or(version, |(version, _)| version)
}

/// The revisions of all releases, as they are stored.
pub async fn stored(objects: &Objects, namespace: &str) -> Result<Vec<(String, Value)>> {
    let secrets = objects.list(&Id::of("v1", "Secret", namespace, "")).await?;
    let is_release = |secret: &Value| secret["type"] == "helm.sh/release.v1";
    let named = |secret: Value| (format!("Secret/{}", secret.text("/metadata/name")), secret);
    Ok(secrets.into_iter().filter(is_release).map(named).collect())
}

/// The metadata of a chart.
pub fn chart(name: &str, version: &str) -> String {
    format!("apiVersion: v2\nname: {name}\nversion: {version}\nappVersion: \"7\"\n")
}

/// The template that every chart has.
pub fn map(value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: \"{{{{ .Release.Name }}}}-map\"}}\n\
         data: {{value: \"{value}\", color: \"{{{{ .Values.color }}}}\", password: \"{{{{ .Values.password }}}}\"}}\n"
    )
}

const WEB: &str = "\
apiVersion: apps/v1
kind: Deployment
metadata: {name: \"{{ .Release.Name }}-web\"}
spec:
  replicas: 0
  selector: {matchLabels: {app: \"{{ .Release.Name }}\"}}
  template:
    metadata: {labels: {app: \"{{ .Release.Name }}\"}}
    spec:
      containers:
      - {name: web, image: web, resources: {limits: {cpu: 1000m, memory: 1024Mi}}}
---
apiVersion: v1
kind: Service
metadata: {name: \"{{ .Release.Name }}-web\", annotations: {helm.sh/resource-policy: keep}}
spec: {selector: {app: web}, ports: [{port: 80}]}
";

const HOOK: &str = "\
apiVersion: v1
kind: ConfigMap
metadata:
  name: \"{{ .Release.Name }}-hook\"
  annotations: {helm.sh/hook: \"pre-install,pre-upgrade\"}
data: {revision: \"{{ .Release.Revision }}\"}
";

/// No API server takes it.
const REFUSED: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: NoName}
";

const RELEASES: &str = "\
apiVersion: v1
kind: ConfigMap
metadata: {name: site-values}
data: {values.yaml: \"color: blue\"}
---
apiVersion: v1
kind: Secret
metadata: {name: site-values}
stringData: {password: s3cret}
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: OCIRepository
metadata: {name: chart}
spec:
  interval: 1h
  url: \"oci://REGISTRY/team/chart\"
  insecure: true
  ref: {tag: latest}
  layerSelector: {mediaType: application/vnd.cncf.helm.chart.content.v1.tar+gzip, operation: copy}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: site}
spec:
  interval: 1h
  timeout: 2m
  chart: {spec: {chart: charts/site, sourceRef: {kind: GitRepository, name: app}}}
  driftDetection: {mode: enabled, ignore: [{paths: [/spec/replicas], target: {kind: Deployment}}]}
  upgrade: {crds: CreateReplace, remediation: {retries: 3}}
  commonMetadata: {labels: {team: blue}}
  postRenderers:
  - kustomize: {patches: [{target: {kind: ConfigMap}, patch: '- {op: add, path: /data/patched, value: \"yes\"}'}]}
  valuesFrom:
  - {kind: ConfigMap, name: site-values}
  - {kind: Secret, name: site-values, valuesKey: password, targetPath: password}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: from-registry}
spec: {interval: 1h, chartRef: {kind: OCIRepository, name: chart}, serviceAccountName: deployer, values: {color: red}}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: stopped-release}
spec: {interval: 1h, chart: {spec: {chart: charts/small, sourceRef: {kind: GitRepository, name: app}}}}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: rolled}
spec:
  interval: 1h
  chart: {spec: {chart: charts/rolled, sourceRef: {kind: GitRepository, name: app}}}
  upgrade: {remediation: {remediateLastFailure: true}}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: stalled}
spec: {interval: 1h, chart: {spec: {chart: charts/stalled, sourceRef: {kind: GitRepository, name: app}}}}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: leaves}
spec: {interval: 1h, chart: {spec: {chart: charts/small, sourceRef: {kind: GitRepository, name: app}}}}
---
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: left}
spec: {interval: 1h, chart: {spec: {chart: charts/small, sourceRef: {kind: GitRepository, name: app}}}}
";
