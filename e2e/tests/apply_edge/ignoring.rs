//! Fields that are left to others.

use super::*;
use apply::ignore::{Limits, Rule, Rules, Target};

const REPLICAS: &str = "/spec/replicas";
const WEB: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 0
  minReadySeconds: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: web, resources: {limits: {cpu: 10m}}}]}
";

/// Ignores paths of Deployments.
fn ignoring(bed: &mut Bed, paths: &[&str]) {
    let target: Target = Arc::new(|object| object["kind"] == "Deployment");
    let paths = paths.iter().map(|p| (*p).to_owned()).collect();
    bed.options.ignore = Rules::new(vec![Rule { paths, target: Some(target) }], Limits::default()).unwrap();
}

impl Bed {
    /// Server-side apply of part of Deployment web in the name of another manager.
    async fn apply_as(&self, manager: &str, part: Value) -> Result<()> {
        let mut object = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}});
        object.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("apps", "v1", "Deployment"));
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), &self.namespace, &resource);
        api.patch("web", &PatchParams::apply(manager).force(), &Patch::Apply(object)).await?;
        Ok(())
    }

    /// The managers of Deployment web whose entry names a field.
    async fn owners_of(&self, field: &str) -> Result<Vec<String>> {
        let live = self.live("Deployment/web").await?;
        let entries = live["metadata"]["managedFields"].as_array().unwrap();
        let mut owners: Vec<_> = entries
            .iter()
            .filter(|e| e.text("/subresource") != "status" && e["fieldsV1"].to_string().contains(field))
            .map(|e| e.text("/manager").to_owned())
            .collect();
        owners.sort();
        Ok(owners)
    }
}

const UNCHANGED: [&str; 1] = ["Deployment/web unchanged"];
const CONFIGURED: [&str; 1] = ["Deployment/web configured"];

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_an_autoscaler_applies_is_given_up_when_the_object_changes() -> Result<()> {
    let mut bed = Bed::new("ignore").await?;
    ignoring(&mut bed, &[REPLICAS]);
    let mut memory = Memory::new();
    assert_eq!(bed.apply(WEB, &mut memory).await?, ["Deployment/web created"]);
    bed.available("Deployment/web").await?;
    let live = bed.live("Deployment/web").await?;
    assert_eq!(live["spec"]["replicas"], 0, "nothing is ignored on creation");

    // It agrees at first, then takes over.
    bed.apply_as("hpa", json!({"spec": {"replicas": 0}})).await?;
    assert_eq!(bed.apply(WEB, &mut memory).await?, UNCHANGED);
    assert_eq!(bed.owners_of("f:replicas").await?, ["hpa", "kustomize-controller"]);
    bed.apply_as("hpa", json!({"spec": {"replicas": 3}})).await?;
    assert_eq!(bed.owners_of("f:replicas").await?, ["hpa"]);
    assert_eq!(bed.apply(WEB, &mut memory).await?, UNCHANGED);
    assert_eq!(bed.apply(WEB, &mut memory).await?, UNCHANGED);
    assert_eq!(bed.live("Deployment/web").await?["spec"]["replicas"], 3);

    let slower = WEB.replace("minReadySeconds: 1", "minReadySeconds: 2");
    assert_eq!(bed.apply(&slower, &mut memory).await?, CONFIGURED);
    let live = bed.live("Deployment/web").await?;
    assert_eq!((&live["spec"]["replicas"], &live["spec"]["minReadySeconds"]), (&json!(3), &json!(2)));
    assert_eq!(bed.owners_of("f:replicas").await?, ["hpa"]);
    assert_eq!(bed.apply(&slower, &mut memory).await?, UNCHANGED);
    // As after a restart.
    assert_eq!(bed.apply(&slower, &mut Memory::new()).await?, UNCHANGED);

    // Without the rule it is drift again.
    bed.options.ignore = Rules::default();
    assert_eq!(bed.apply(&slower, &mut Memory::new()).await?, CONFIGURED);
    assert_eq!(bed.live("Deployment/web").await?["spec"]["replicas"], 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_nobody_else_applies_is_adopted_with_its_live_value() -> Result<()> {
    let mut bed = Bed::new("adopt-ignored").await?;
    ignoring(&mut bed, &[REPLICAS, "/spec/revisionHistoryLimit", "/spec/nothing/here", "malformed", ""]);
    let mut memory = Memory::new();
    bed.apply(WEB, &mut memory).await?;
    let hand = json!({"spec": {"replicas": 2, "revisionHistoryLimit": 4}});
    bed.patch_as("someone", "Deployment/web", hand.clone()).await?;
    assert_eq!(bed.apply(WEB, &mut memory).await?, UNCHANGED);
    // Another field beside it brings the object back, but not the ignored ones.
    bed.patch_as("someone", "Deployment/web", json!({"spec": {"minReadySeconds": 9}})).await?;
    assert_eq!(bed.apply(WEB, &mut memory).await?, CONFIGURED);
    let spec = bed.live("Deployment/web").await?["spec"].take();
    assert_eq!([&spec["replicas"], &spec["minReadySeconds"], &spec["revisionHistoryLimit"]], [2, 1, 4]);
    assert_eq!(bed.owners_of("f:replicas").await?, ["kustomize-controller", "someone"]);
    assert_eq!(bed.apply(WEB, &mut memory).await?, UNCHANGED);
    // So do the fields that kubectl leaves, which are taken over.
    bed.patch_as("kubectl-edit", "Deployment/web", json!({"spec": {"replicas": 5, "paused": true}})).await?;
    assert_eq!(bed.apply(WEB, &mut memory).await?, CONFIGURED);
    let live = bed.live("Deployment/web").await?;
    assert_eq!((&live["spec"]["replicas"], live["spec"].get("paused")), (&json!(5), None));
    assert_eq!(bed.apply(WEB, &mut memory).await?, UNCHANGED);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn resources_of_a_container_are_left_to_who_applies_them() -> Result<()> {
    let mut bed = Bed::new("vpa").await?;
    ignoring(&mut bed, &["/spec/template/spec/containers/0/resources"]);
    let mut memory = Memory::new();
    bed.apply(WEB, &mut memory).await?;
    let container = |cpu: &str| json!([{"name": "web", "resources": {"limits": {"cpu": cpu}}}]);
    bed.apply_as("vpa", json!({"spec": {"template": {"spec": {"containers": container("99m")}}}})).await?;
    assert_eq!(bed.apply(WEB, &mut memory).await?, UNCHANGED);
    let newer = WEB.replace("image: web", "image: web:2");
    assert_eq!(bed.apply(&newer, &mut memory).await?, CONFIGURED);
    let container = bed.live("Deployment/web").await?["spec"]["template"]["spec"]["containers"][0].take();
    assert_eq!(container.text("/resources/limits/cpu"), "99m");
    assert_eq!(container.text("/image"), "web:2");
    assert_eq!(bed.owners_of("f:cpu").await?, ["vpa"]);
    assert_eq!(bed.apply(&newer, &mut memory).await?, UNCHANGED);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn required_and_immutable_fields_can_be_ignored_and_other_objects_are_not() -> Result<()> {
    let mut bed = Bed::new("required").await?;
    ignoring(&mut bed, &["/spec/template/spec/containers/0/image", "/spec/selector", "/data"]);
    let mut memory = Memory::new();
    bed.apply(&format!("{WEB}---\n{MAP}"), &mut memory).await?;
    // The image has an owner of its own; the selector cannot change at all.
    let container = json!([{"name": "web", "image": "web:9"}]);
    bed.apply_as("image-policy", json!({"spec": {"template": {"spec": {"containers": container}}}})).await?;
    bed.patch_as("someone", "ConfigMap/a", json!({"data": {"k": "hand"}})).await?;
    let slower = WEB.replace("minReadySeconds: 1", "minReadySeconds: 2");
    let got = bed.apply(&format!("{slower}---\n{MAP}"), &mut memory).await?;
    assert_eq!(got, ["ConfigMap/a configured", "Deployment/web configured"]);
    assert_eq!(bed.live("ConfigMap/a").await?["data"]["k"], "v", "no rule is for it");
    let live = bed.live("Deployment/web").await?;
    assert_eq!(live.text("/spec/template/spec/containers/0/image"), "web:9");
    assert_eq!(bed.owners_of("f:image\"").await?, ["image-policy"]);
    assert_eq!(live["spec"]["selector"], json!({"matchLabels": {"app": "web"}}));
    assert_eq!(bed.owners_of("f:selector").await?, ["kustomize-controller"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_field_that_the_manifest_lacks_is_left_to_who_sets_it() -> Result<()> {
    let mut bed = Bed::new("ignore-lacking").await?;
    ignoring(&mut bed, &[REPLICAS, "/spec/strategy/rollingUpdate/maxSurge"]);
    let without = WEB.replace("  replicas: 0\n", "");
    let mut memory = Memory::new();
    assert_eq!(bed.apply(&without, &mut memory).await?, ["Deployment/web created"]);
    bed.available("Deployment/web").await?;
    let surge = |share: &str| json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": share}});
    for (replicas, minimum) in [(0, 2), (2, 3)] {
        bed.apply_as("hpa", json!({"spec": {"replicas": replicas}})).await?;
        bed.patch_as("someone", "Deployment/web", json!({"spec": {"strategy": surge("50%")}})).await?;
        assert_eq!(bed.apply(&without, &mut memory).await?, UNCHANGED);
        let changed = without.replace("minReadySeconds: 1", &format!("minReadySeconds: {minimum}"));
        assert_eq!(bed.apply(&changed, &mut memory).await?, CONFIGURED);
        let spec = bed.live("Deployment/web").await?["spec"].take();
        assert_eq!([&spec["replicas"], &spec["minReadySeconds"]], [replicas, minimum]);
        assert_eq!(spec["strategy"]["rollingUpdate"]["maxSurge"], "50%");
        // As after a restart. What was remembered before must not be used again: it is of another state.
        memory = Memory::new();
        assert_eq!(bed.apply(&without, &mut memory).await?, CONFIGURED, "the minimum is back");
    }
    assert_eq!(bed.owners_of("f:replicas").await?, ["hpa"]);
    Ok(())
}
