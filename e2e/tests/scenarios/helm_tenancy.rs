//! Tenants and their releases: identities, other namespaces, and what a chart may look up.

use anyhow::{Result, ensure};
use e2e::objects::{Id, Look};
use serde_json::{Value, json};

use crate::helm_release::{Helm, MAP, RELEASE};

/// What a chart sees of the cluster: an object, a list of them, one that is not there, and one that is not for it.
const LOOKED: &str = "{{ $one := lookup \"v1\" \"ConfigMap\" .Release.Namespace \"found\" }}\n\
    {{ $all := lookup \"v1\" \"ConfigMap\" .Release.Namespace \"\" }}\n\
    {{ $none := lookup \"v1\" \"ConfigMap\" .Release.Namespace \"absent\" }}\n\
    {{ with .Values.forbidden }}{{ lookup \"v1\" \"Secret\" . \"\" | toYaml }}{{ end }}\n\
    apiVersion: v1\nkind: ConfigMap\nmetadata: {name: looked}\ndata:\n  one: \"{{ $one.data.text }}\"\n  \
    all: \"{{ range $all.items }}{{ if eq .metadata.name \"found\" }}{{ .apiVersion }} {{ .kind }}{{ end }}{{ end }}\"\n  none: \"{{ empty $none }}\"\n";

fn rights(namespace: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {{name: tenant}}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {{name: tenant}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: admin}}\n\
         subjects: [{{kind: ServiceAccount, name: tenant, namespace: {namespace}}}]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn under_lockdown_a_tenant_stays_at_home() -> Result<()> {
    let flags = ["--no-cross-namespace-refs", "--default-service-account=tenant"];
    let helm = Helm::new("helm-lockdown", &flags).await?;
    let test = &helm.test;
    let (own, there) = (test.namespace.clone(), format!("{}-other", test.namespace));
    test.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {there}}}")).await?;
    test.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: found}\ndata: {text: seen}\n").await?;
    helm.begin(&[("map.yaml", MAP), ("looked.yaml", LOOKED)], &json!({})).await?;
    // Without rights of its own nothing can be read, not even what is stored of the release.
    let user = format!("User \"system:serviceaccount:{own}:tenant\" cannot list resource \"secrets\"");
    helm.says("Ready", "False", "StateError", &user).await?;
    test.apply(&rights(&own)).await?;
    test.request(RELEASE).await?;
    helm.ready("Helm install succeeded").await?;
    let looked = test.get("ConfigMap/looked").await?;
    ensure!(looked["data"] == json!({"one": "seen", "all": "v1 ConfigMap", "none": "true"}), "{looked}");

    // What the account may not read, no chart of its reads.
    test.patch(RELEASE, &json!({"spec": {"values": {"forbidden": there}}})).await?;
    let text = format!(
        "User \"system:serviceaccount:{own}:tenant\" cannot list resource \"secrets\" in API group \"\" in the namespace \"{there}\""
    );
    let release = helm.says("Released", "False", "UpgradeFailed", &text).await?;
    ensure!(release.number("/status/history/0/version") == 1, "{release}");
    // Objects elsewhere, a release elsewhere, a storage elsewhere: the account has no rights there.
    test.patch(RELEASE, &json!({"spec": {"values": {"forbidden": null}}})).await?;
    helm.ready("").await?;
    helm.commit_chart(
        "2.0.0",
        &[(
            "away.yaml",
            &format!("apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: away, namespace: {there}}}\n"),
        )],
    )?;
    test.request("GitRepository/app").await?;
    let text = format!(
        "User \"system:serviceaccount:{own}:tenant\" cannot patch resource \"configmaps\" in API group \"\" in the namespace \"{there}\""
    );
    helm.says("Released", "False", "UpgradeFailed", &text).await?;
    ensure!(test.objects.get(&Id::of("v1", "ConfigMap", &there, "away")).await?.is_none());
    test.repo.remove("chart/templates/away.yaml")?;
    helm.commit_chart("2.0.1", &[])?;
    test.request("GitRepository/app").await?;
    helm.ready("with chart app@2.0.1").await?;
    test.patch(RELEASE, &json!({"spec": {"storageNamespace": there}})).await?;
    let text = format!("cannot list resource \"secrets\" in API group \"\" in the namespace \"{there}\"");
    helm.says("Ready", "False", "StateError", &text).await?;
    ensure!(!test.exists("ConfigMap/app-map").await?, "the former release was uninstalled");
    test.patch(RELEASE, &json!({"spec": {"storageNamespace": null}})).await?;
    helm.ready("Helm install succeeded").await?;

    // Sources of others, by template and by reference.
    let chart =
        |namespace: &str| json!({"spec": {"chart": {"spec": {"sourceRef": {"namespace": namespace}}}}});
    test.patch(RELEASE, &chart(&there)).await?;
    let denied = "cross-namespace references are not allowed: cannot access HelmChart";
    test.wait("the log tells of the refusal", async || {
        let log = helm.controller.log_text();
        if log.contains(&format!("{denied} {there}/{own}-app")) {
            Ok(())
        } else {
            Err(e2e::wait::Not::Yet("not told".into()))
        }
    })
    .await?;
    ensure!(
        test.objects
            .get(&Id::of("source.toolkit.fluxcd.io/v1", "HelmChart", &there, &format!("{own}-app")))
            .await?
            .is_none()
    );
    let refer = json!({"spec": {"chart": null, "chartRef": {"kind": "HelmChart", "name": "any", "namespace": there}}});
    test.patch(RELEASE, &refer).await?;
    let text = format!("{denied} {there}/any");
    let release = helm.says("Stalled", "True", "AccessDenied", &text).await?;
    ensure!(release.condition("Ready").is_some_and(|ready| ready.reason == "AccessDenied"), "{release}");
    ensure!(
        release.number("/status/observedGeneration") == release.number("/metadata/generation"),
        "{release}"
    );
    test.event(RELEASE, "Warning", "AccessDenied", &text).await?;
    test.objects.delete(&Id::of("v1", "Namespace", "", &there)).await?;
    helm.test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_go_to_other_namespaces_and_move_between_them() -> Result<()> {
    let helm = Helm::shared("helm-target").await?;
    let test = &helm.test;
    let (target, storage) = (format!("{}-target", test.namespace), format!("{}-storage", test.namespace));
    test.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {storage}}}")).await?;
    let spec =
        json!({"targetNamespace": target, "storageNamespace": storage, "install": {"createNamespace": true}});
    helm.begin(&[("map.yaml", MAP)], &spec).await?;
    // The release is named for both.
    let name = format!("{target}-app");
    let release =
        helm.ready(&format!("Helm install succeeded for release {target}/{name}.v1 with chart")).await?;
    ensure!(release.text("/status/storageNamespace") == storage, "{release}");
    let at = async |kind: &str, namespace: &str, name: &str| -> Result<Option<Value>> {
        test.objects.get(&Id::of("v1", kind, namespace, name)).await
    };
    ensure!(at("ConfigMap", &target, &format!("{name}-map")).await?.is_some());
    ensure!(at("Secret", &storage, &format!("sh.helm.release.v1.{name}.v1")).await?.is_some());
    let entry = json!([{"id": format!("{target}_{name}-map__ConfigMap"), "v": "v1"}]);
    ensure!(release["status"]["inventory"]["entries"] == entry, "{release}");

    // Moved: uninstalled there, installed here, under another name.
    test.patch(RELEASE, &json!({"spec": {"targetNamespace": null, "releaseName": "moved"}})).await?;
    helm.ready(&format!("{}/moved.v1 with chart", test.namespace)).await?;
    ensure!(at("ConfigMap", &target, &format!("{name}-map")).await?.is_none());
    ensure!(at("Secret", &storage, &format!("sh.helm.release.v1.{name}.v1")).await?.is_none());
    ensure!(at("Secret", &storage, "sh.helm.release.v1.moved.v1").await?.is_some());
    ensure!(test.exists("ConfigMap/moved-map").await?);
    test.patch(RELEASE, &json!({"spec": {"storageNamespace": null}})).await?;
    helm.ready(&format!("{}/moved.v1 with chart", test.namespace)).await?;
    ensure!(at("Secret", &storage, "sh.helm.release.v1.moved.v1").await?.is_none());

    // Another name of the chart is another release, unless that is to be upgraded.
    let renamed = |name: &str| format!("apiVersion: v2\nname: {name}\nversion: 3.0.0\n");
    test.repo.commit_file("chart/Chart.yaml", &renamed("other"))?;
    test.request("GitRepository/app").await?;
    helm.ready("moved.v1 with chart other@3.0.0").await?;
    test.patch(RELEASE, &json!({"spec": {"upgrade": {"chartNameChangeStrategy": "InPlaceUpdate"}}})).await?;
    test.repo.commit_file("chart/Chart.yaml", &renamed("third"))?;
    test.request("GitRepository/app").await?;
    helm.ready("moved.v2 with chart third@3.0.0").await?;
    for namespace in [&target, &storage] {
        test.objects.delete(&Id::of("v1", "Namespace", "", namespace)).await?;
    }
    helm.test.finish().await
}
