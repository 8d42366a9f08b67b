//! What the API server makes of an installation.

use std::fs;

use anyhow::Result;
use e2e::cluster::Cluster;
use serde_json::Value;

use crate::effects::together;
use crate::manifests::{NAMESPACE, build, of_kind, render, run_with_input, stdout, stream};

/// Values that make the chart render all that it can.
const EVERYTHING: [&str; 13] = [
    "sourceWatcher.create=true",
    "sourceWatcher.persistence.enabled=true",
    "tenancy.lockdown=true",
    "sharding.shards={a,b}",
    "rbac.workloadIdentity=true",
    "monitoring.podMonitor.create=true",
    "monitoring.prometheusRule.create=true",
    "monitoring.dashboard.create=true",
    "sourceController.persistence.enabled=true",
    "sourceController.persistence.storageClassName=fast",
    "eventsAddr=http://notification-controller.flux-system.svc.cluster.local./",
    "imagePullSecrets[0].name=registry",
    "artifactToken.secretName=artifact-token",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_install_manifests_the_chart_and_the_samples_are_admitted_as_they_are() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let samples: String = fs::read_dir(e2e::workspace().join("config/samples"))?
        .map(|file| Ok(format!("---\n{}", fs::read_to_string(file?.path())?)))
        .collect::<Result<_>>()?;
    let installations = [
        ("config/default", stream(&build("config/default"))),
        ("config/multi-tenancy", stream(&build("config/multi-tenancy"))),
        ("config/sharding", stream(&build("config/sharding"))),
        ("config/sharding/source-watcher", stream(&build("config/sharding/source-watcher"))),
        ("the chart", stream(&render(NAMESPACE, &[]).unwrap())),
        ("the chart with everything", stream(&render(NAMESPACE, &EVERYTHING).unwrap())),
        ("each value of the chart", stream(&together())),
        ("config/prometheus", stream(&build("config/prometheus"))),
        ("config/samples", samples),
    ];
    // The kinds of Prometheus's operator.
    let definitions = toolchain::prometheus_crds()?;
    stdout(cluster.kubectl().args(["apply", "--server-side", "-f"]).arg(&definitions));
    stdout(cluster.kubectl().args(["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"]));
    let apply = || {
        let mut kubectl = cluster.kubectl();
        kubectl.args(["apply", "--server-side", "--force-conflicts", "--dry-run=server"]);
        kubectl.args(["--validate=strict", "-o=name"]);
        kubectl
    };
    for (name, objects) in installations {
        let applied = run_with_input(apply().args(["-f", "-"]), &objects);
        let applied = applied.unwrap_or_else(|said| panic!("{name}: {said}"));
        assert!(applied.lines().count() >= 3, "{name}: {applied}");
    }
    // As people apply it, by kubectl's own kustomize.
    stdout(apply().arg("-k").arg(e2e::workspace().join("config/sharding")));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pods_of_the_controllers_are_admitted_under_the_restricted_standard() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = format!("restricted-{:x}", rand::random::<u32>());
    let installation = [build("config/sharding"), build("config/sharding/source-watcher")].concat();
    let mut labelled = of_kind(&installation, "Namespace")[0].clone();
    assert_eq!(labelled["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
    labelled["metadata"]["name"] = namespace.as_str().into();
    let objects = cluster.objects().await?;
    objects.apply_one(&labelled, "").await?;
    for name in ["source-controller", "kustomize-controller", "helm-controller", "source-watcher"] {
        objects
            .apply(&format!("apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: {name}}}"), &namespace)
            .await?;
    }
    let chart = render(NAMESPACE, &EVERYTHING).unwrap();
    let deployments = [of_kind(&installation, "Deployment"), of_kind(&chart, "Deployment")].concat();
    assert_eq!(deployments.len(), 8 + 12);
    for deployment in deployments {
        let mut pod = deployment["spec"]["template"].clone();
        pod["apiVersion"] = "v1".into();
        pod["kind"] = "Pod".into();
        pod["metadata"]["name"] = deployment["metadata"]["name"].clone();
        let create = |pod: &Value| {
            let mut kubectl = cluster.kubectl();
            kubectl.args(["create", "--dry-run=server", "-n", &namespace, "-f", "-"]);
            run_with_input(&mut kubectl, &pod.to_string())
        };
        create(&pod).unwrap_or_else(|said| panic!("{said}"));
        pod["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = true.into();
        let said = create(&pod).expect_err("admitted");
        assert!(said.contains("violates PodSecurity"), "{said}");
    }
    cluster.kubectl().args(["delete", "namespace", &namespace, "--wait=false"]).output()?;
    Ok(())
}
