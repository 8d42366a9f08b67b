//! The values of the chart: what is refused, and that all of them are described.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use crate::manifests::{NAMESPACE, by_name, chart, helm, of_kind, render};

#[test]
fn wrong_values_are_refused_with_the_place_and_the_reason() {
    let rows: Vec<(&[&str], &str)> = vec![
        (&["sourceControler.create=true"], "at '': additional properties 'sourceControler' not allowed"),
        (
            &["sourceController.imagee.tag=a"],
            "at '/sourceController': additional properties 'imagee' not allowed",
        ),
        (&["monitoring.podMonitor.enabled=true"], "additional properties 'enabled' not allowed"),
        (&["sourceController.create=yes"], "at '/sourceController/create': got string, want boolean"),
        (&["kustomizeController.logLevel=loud"], "value must be one of 'trace', 'debug', 'info', 'error'"),
        (&["kustomizeController.image.pullPolicy=Sometimes"], "value must be one of 'IfNotPresent'"),
        (&["kustomizeController.extraArgs={concurrent=3}"], "'concurrent=3' does not match pattern"),
        (&["kustomizeController.resources.limits.memory=lots"], "'lots' does not match pattern"),
        (&["sourceController.persistence.size=1 GB"], "at '/sourceController/persistence/size'"),
        (&["eventsAddr=notification-controller"], "at '/eventsAddr'"),
        (&["tenancy.defaultServiceAccount=a:b"], "at '/tenancy/defaultServiceAccount'"),
        (&["sharding.shards={a,a}"], "items at 0 and 1 are equal"),
        (
            &["tenancy.lockdown=true", "kustomizeController.extraArgs={--no-remote-bases=false}"],
            "--no-remote-bases=false would undo tenancy.lockdown, since the last one counts.",
        ),
        (
            &["tenancy.lockdown=true", "sourceController.extraArgs={--debug-objects=true}"],
            "sourceController.extraArgs: --debug-objects=true would undo tenancy.lockdown",
        ),
        (
            &["sourceController.persistence.existingClaim=data"],
            "sourceController.persistence.existingClaim: the volume is not used unless persistence.enabled is true.",
        ),
        (
            &["sourceWatcher.persistence.enabled=true", "sourceWatcher.emptyDir.sizeLimit=1Gi"],
            "sourceWatcher.emptyDir: with persistence.enabled there is none. Set persistence.size instead.",
        ),
        (&["helmController.podLabels.app=mine"], "at '/helmController/podLabels/app': false schema"),
        (
            &["tenancy.lockdown=true", "helmController.extraArgs={--default-service-account=admin}"],
            "helmController.extraArgs: --default-service-account=admin would undo tenancy.lockdown",
        ),
        (
            &[
                "tenancy.lockdown=true",
                "kustomizeController.extraArgs={--default-decryption-service-account=admin}",
            ],
            "--default-decryption-service-account=admin would undo tenancy.lockdown",
        ),
        (
            &["sharding.shards={a}", "helmController.extraArgs={--watch-label-selector=b}"],
            "helmController.extraArgs: --watch-label-selector=b would undo sharding.shards",
        ),
        (
            &["sharding.shards={a}", "sourceController.extraArgs={--watch-label-selector=b}"],
            "--watch-label-selector=b would undo sharding.shards, since the last one counts.",
        ),
        (
            &[
                "sharding.shards={a}",
                "sourceController.persistence.enabled=true",
                "sourceController.persistence.existingClaim=data",
            ],
            "one volume cannot be the storage of several shards.",
        ),
        (&["sourceController.image.repository=Mirror/A"], "at '/sourceController/image/repository'"),
        (&["clusterDomain=cluster..local"], "at '/clusterDomain'"),
        (&["clusterDomain=cluster.local."], "at '/clusterDomain'"),
        (&["artifactToken.secretName=My Secret"], "at '/artifactToken/secretName'"),
        (&["artifactToken.key=a/b"], "at '/artifactToken/key'"),
        (
            &["sourceController.persistence.storageClassName=-"],
            "at '/sourceController/persistence/storageClassName'",
        ),
        (&["sourceController.persistence.size=0"], "at '/sourceController/persistence/size'"),
        (&["sourceController.persistence.size=100m"], "at '/sourceController/persistence/size'"),
        (
            &["sourceController.extraEnv[0].name=A", "sourceController.extraEnv[0].value=3"],
            "at '/sourceController/extraEnv/0/value': got number, want string",
        ),
        (
            &["helmController.extraEnv[0].name=A", "helmController.extraEnv[0].valeu=b"],
            "at '/helmController/extraEnv/0': additional properties 'valeu' not allowed",
        ),
        (&["sourceWatcher.extraEnv[0].value=b"], "at '/sourceWatcher/extraEnv/0': missing property 'name'"),
        (
            &["sourceController.affinity.nodeAfinity.a=b"],
            "at '/sourceController/affinity': additional properties 'nodeAfinity' not allowed",
        ),
        (
            &["sourceController.tolerations[0].efect=NoSchedule"],
            "at '/sourceController/tolerations/0': additional properties 'efect' not allowed",
        ),
        (
            &[
                "networkPolicies.scrapeFrom.matchExpressions[0].key=team",
                "networkPolicies.scrapeFrom.matchExpressions[0].operator=Is",
            ],
            "value must be one of 'In', 'NotIn', 'Exists', 'DoesNotExist'",
        ),
        (
            &[
                "networkPolicies.scrapeFrom.matchExpressions[0].key=team",
                "networkPolicies.scrapeFrom.matchExpressions[0].operator=In",
            ],
            "at '/networkPolicies/scrapeFrom/matchExpressions/0': missing property 'values'",
        ),
        (
            &["--set-string=sourceController.podAnnotations.prometheus\\.io/scrape=false"],
            "at '/sourceController/podAnnotations/prometheus.io~1scrape': false schema",
        ),
        (
            &["monitoring.podMonitor.labels.app\\.kubernetes\\.io/part-of=a"],
            "at '/monitoring/podMonitor/labels/app.kubernetes.io~1part-of': false schema",
        ),
    ];
    for (values, sentence) in rows {
        is_refused(NAMESPACE, values, sentence);
    }
}

fn is_refused(namespace: &str, values: &[&str], sentence: &str) {
    let said = render(namespace, values).expect_err(&format!("{values:?} in {namespace}"));
    assert!(said.contains(sentence), "{values:?} in {namespace}: {said}");
}

#[test]
fn what_would_have_no_effect_beside_other_values_is_refused_in_a_sentence() {
    const ENABLED: &str = "sourceController.persistence.enabled=true";
    const CLAIM: &str = "sourceController.persistence.existingClaim=disk";
    let rows: Vec<(&[&str], &str)> = vec![
        (
            &["sourceController.persistence.size=20Gi"],
            "sourceController.persistence.size: no claim is made unless persistence.enabled is true.",
        ),
        (
            &["sourceWatcher.persistence.storageClassName=fast"],
            "sourceWatcher.persistence.storageClassName: no claim is made unless persistence.enabled is true.",
        ),
        (
            &["sourceController.persistence.annotations.a=b"],
            "sourceController.persistence.annotations: no claim is made unless persistence.enabled is true.",
        ),
        (
            &["sourceController.persistence.accessModes={ReadWriteMany}"],
            "sourceController.persistence.accessModes: no claim is made unless persistence.enabled is true.",
        ),
        (
            &[ENABLED, CLAIM, "sourceController.persistence.size=20Gi"],
            "sourceController.persistence.size: no claim is made where persistence.existingClaim names one.",
        ),
        (
            &[
                ENABLED,
                CLAIM,
                "sourceWatcher.create=true",
                "sourceWatcher.persistence.enabled=true",
                "sourceWatcher.persistence.existingClaim=disk",
            ],
            "sourceWatcher.persistence.existingClaim: disk is the storage of source-controller,",
        ),
        (
            &["tenancy.defaultServiceAccount=tenant"],
            "tenancy.defaultServiceAccount: nothing is applied by it unless tenancy.lockdown is true.",
        ),
        (
            &["artifactToken.key=other"],
            "artifactToken.key: no token is used unless artifactToken.secretName names a Secret.",
        ),
        (
            &["rbac.create=false", "rbac.workloadIdentity=true"],
            "rbac.workloadIdentity: no role is made unless rbac.create is true.",
        ),
        (
            &["networkPolicies.create=false", "networkPolicies.scrapeFrom.matchLabels.a=b"],
            "networkPolicies.scrapeFrom: no policy is made unless networkPolicies.create is true.",
        ),
        (
            &["sharding.shards={a}", "sourceController.extraArgs={--storage-adv-addr=host}"],
            "sourceController.extraArgs: --storage-adv-addr=host would be the address of every shard,",
        ),
        (
            &["helmController.extraEnv[0].name=RUNTIME_NAMESPACE", "helmController.extraEnv[0].value=a"],
            "helmController.extraEnv: RUNTIME_NAMESPACE is set already.",
        ),
        (
            &["helmController.extraEnv[0].name=A", "helmController.extraEnv[1].name=A"],
            "helmController.extraEnv: A is set already.",
        ),
        (
            &[
                "helmController.extraEnv[0].name=A",
                "helmController.extraEnv[0].value=a",
                "helmController.extraEnv[0].valueFrom.fieldRef.fieldPath=spec.nodeName",
            ],
            "helmController.extraEnv: A has a value and a valueFrom.",
        ),
    ];
    for (values, sentence) in rows {
        is_refused(NAMESPACE, values, sentence);
    }
}

#[test]
fn a_namespace_of_others_is_not_isolated() {
    for namespace in ["default", "kube-system"] {
        let sentence =
            format!("the policies isolate every Pod of the namespace {namespace}, those of others, too.");
        is_refused(namespace, &[], &sentence);
        let objects = render(namespace, &["networkPolicies.create=false"]).unwrap();
        assert_eq!(of_kind(&objects, "NetworkPolicy").len(), 0);
    }
}

/// What `null` takes the default away from, which is the only way to do so.
const MAY_BE_NULL: [&str; 3] = ["nodeSelector", "resources.requests", "resources.limits"];

#[test]
fn a_value_without_anything_is_refused() {
    let values: Value =
        serde_yaml::from_str(&fs::read_to_string(chart().join("values.yaml")).unwrap()).unwrap();
    let mut levels: Vec<Vec<String>> = Vec::new();
    sections(&values, &[], &mut levels);
    let mut count = 0;
    // All of one depth at once: each must be named, at its place.
    for paths in levels {
        let is_optional = |path: &&String| MAY_BE_NULL.iter().any(|name| path.ends_with(&format!(".{name}")));
        let (optional, refused): (Vec<_>, Vec<_>) = paths.iter().partition(is_optional);
        let nulls = |paths: &[&String]| paths.iter().map(|path| format!("{path}=null")).collect::<Vec<_>>();
        let set = nulls(&refused);
        let said = render(NAMESPACE, &set.iter().map(String::as_str).collect::<Vec<_>>()).unwrap_err();
        for path in refused {
            let (parent, name) = path.rsplit_once('.').unwrap_or(("", path));
            let place = format!(
                "at '{}{}': missing propert",
                if parent.is_empty() { "" } else { "/" },
                parent.replace('.', "/")
            );
            let is_named =
                said.lines().any(|line| line.contains(&place) && line.contains(&format!("'{name}'")));
            assert!(is_named, "{path}: {said}");
            count += 1;
        }
        let set = nulls(&optional);
        render(NAMESPACE, &set.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
    }
    assert!(count > 100, "{count}");
}

/// The paths of all values, leaves and sections, by their depth. What users name themselves is no value of its own.
fn sections(values: &Value, path: &[&str], levels: &mut Vec<Vec<String>>) {
    for (name, value) in values.as_object().into_iter().flatten() {
        if ["labels", "nodeSelector", "requests", "limits"].contains(path.last().unwrap_or(&"")) {
            continue;
        }
        let path = [path, &[name.as_str()]].concat();
        levels.resize(levels.len().max(path.len()), Vec::new());
        levels[path.len() - 1].push(path.join("."));
        sections(value, &path, levels);
    }
}

#[test]
fn switches_leave_out_what_they_name_and_nothing_else() {
    let names =
        |values: &[&str]| by_name(render(NAMESPACE, values).unwrap()).into_keys().collect::<BTreeSet<_>>();
    let all = names(&[]);
    let rows: [(&[&str], &[&str]); 9] = [
        (&["sourceController.create=false"], &["source-controller"]),
        (&["kustomizeController.create=false"], &["kustomize-controller"]),
        (&["helmController.create=false"], &["helm-controller"]),
        (
            &["kustomizeController.clusterAdmin=false", "helmController.clusterAdmin=false"],
            &["cluster-reconciler"],
        ),
        (&["networkPolicies.create=false"], &["NetworkPolicy"]),
        (&["resourceQuota.create=false"], &["critical-pods"]),
        // The quota would admit what nobody asks for.
        (&["priorityClassName="], &["critical-pods"]),
        (&["rbac.userRoles=false"], &["flux-edit", "flux-view"]),
        (&["rbac.create=false", "rbac.userRoles=false"], &["rbac.authorization.k8s.io"]),
    ];
    for (values, words) in rows {
        let expected = all.iter().filter(|name| !words.iter().any(|word| name.contains(word))).cloned();
        assert_eq!(names(values), expected.collect(), "{values:?}");
    }
}

#[test]
fn each_controller_that_applies_has_a_switch_for_cluster_admin() {
    let admins = |values: &[&str]| {
        let objects = by_name(render(NAMESPACE, values).unwrap());
        let name = format!("rbac.authorization.k8s.io/v1 ClusterRoleBinding /cluster-reconciler-{NAMESPACE}");
        let subjects = objects.get(&name).map(|binding| binding["subjects"].clone()).unwrap_or_default();
        let names = subjects.as_array().cloned().unwrap_or_default().into_iter();
        names.map(|subject| subject["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(admins(&[]), ["kustomize-controller", "helm-controller"]);
    assert_eq!(admins(&["kustomizeController.clusterAdmin=false"]), ["helm-controller"]);
    assert_eq!(admins(&["helmController.clusterAdmin=false"]), ["kustomize-controller"]);
    assert_eq!(admins(&["helmController.create=false"]), ["kustomize-controller"]);
    assert_eq!(admins(&["kustomizeController.create=false", "helmController.clusterAdmin=false"]), [""; 0]);
}

#[test]
fn values_reach_the_objects() {
    let one = |values: &[&str], name: &str, pointer: &str| {
        let objects = by_name(render(NAMESPACE, values).unwrap());
        let object = objects.get(name).unwrap_or_else(|| panic!("no {name} with {values:?}"));
        object.pointer(pointer).cloned().unwrap_or(Value::Null)
    };
    let source = format!("apps/v1 Deployment {NAMESPACE}/source-controller");
    let shard = format!("apps/v1 Deployment {NAMESPACE}/source-controller-a");
    let persistent = "sourceController.persistence.enabled=true";
    let data = "/spec/template/spec/volumes/0/persistentVolumeClaim/claimName";
    assert_eq!(one(&[persistent], &source, data), "source-controller");
    assert_eq!(one(&[persistent, "sharding.shards={a}"], &shard, data), "source-controller-a");
    let existing = [persistent, "sourceController.persistence.existingClaim=disk"];
    assert_eq!(one(&existing, &source, data), "disk");
    let claim = format!("v1 PersistentVolumeClaim {NAMESPACE}/source-controller");
    let size = [persistent, "sourceController.persistence.size=3Gi"];
    assert_eq!(one(&size, &claim, "/spec/resources/requests/storage"), "3Gi");
    let limited = ["sourceController.emptyDir.sizeLimit=5Gi"];
    assert_eq!(one(&limited, &source, "/spec/template/spec/volumes/0/emptyDir/sizeLimit"), "5Gi");
    let image = "/spec/template/spec/containers/0/image";
    let mirror = [
        "sourceController.image.repository=mirror:5000/a/source-controller",
        "sourceController.image.tag=v9",
    ];
    assert_eq!(one(&mirror, &source, image), "mirror:5000/a/source-controller:v9");
    let first = "/spec/template/spec/containers/0/args/0";
    assert_eq!(one(&["eventsAddr=http://events/"], &source, first), "--events-addr=http://events/");
    let scraping = format!("networking.k8s.io/v1 NetworkPolicy {NAMESPACE}/allow-scraping");
    let from = ["networkPolicies.scrapeFrom.matchLabels.team=monitoring"];
    let pointer = "/spec/ingress/0/from/0/namespaceSelector/matchLabels/team";
    assert_eq!(one(&from, &scraping, pointer), "monitoring");
}

#[test]
fn what_helm_says_after_an_installation_tells_of_what_is_not_safe() {
    let notes = |values: &[&str]| {
        let options = [&["--dry-run=client"], values].concat();
        let said = helm(None, &["install", "ferroflux"], "apps", &options).unwrap();
        said.split_once("NOTES:").unwrap().1.to_owned()
    };
    let open = notes(&[]);
    assert!(
        open.contains("kubectl label namespace apps pod-security.kubernetes.io/enforce=restricted"),
        "{open}"
    );
    for kind in ["Kustomization", "HelmRelease"] {
        assert!(open.contains(&format!("WARNING: whoever may create a {kind} has the rights")), "{open}");
    }
    assert!(open.contains("has the rights of helm-controller, which is cluster-admin."), "{open}");
    assert!(open.contains("Artifacts are in an emptyDir"), "{open}");
    assert!(open.contains("Network policies isolate every Pod of the namespace"), "{open}");
    assert!(open.contains("helm show crds CHART | kubectl apply"), "{open}");
    let own = notes(&["rbac.create=false", "sourceController.create=false", "networkPolicies.create=false"]);
    assert!(!own.contains("cluster-admin") && own.contains("No roles are made"), "{own}");
    assert!(!own.contains("emptyDir") && !own.contains("isolate"), "{own}");
    let locked = notes(&["tenancy.lockdown=true", "sharding.shards={a}"]);
    assert!(!locked.contains("WARNING"), "{locked}");
    assert!(locked.contains("Tenants are locked down") && locked.contains("key=a"), "{locked}");
}

#[test]
fn every_value_is_in_the_schema_and_in_the_readme() {
    let read = |file: &str| fs::read_to_string(chart().join(file)).unwrap();
    let values: Value = serde_yaml::from_str(&read("values.yaml")).unwrap();
    let schema: Value = serde_json::from_str(&read("values.schema.json")).unwrap();
    let mut paths = Vec::new();
    check(&values, &schema, "", &mut paths);
    let readme = read("README.md");
    for path in &paths {
        let common = path
            .replace("sourceController.", "<controller>.")
            .replace("kustomizeController.", "<controller>.")
            .replace("helmController.", "<controller>.")
            .replace("sourceWatcher.", "<controller>.");
        let is_described = [path, &common].iter().any(|name| readme.contains(&format!("| `{name}` |")));
        assert!(is_described, "README.md does not describe {path}");
    }
    assert!(paths.len() > 40, "{paths:?}");
}

/// Every closed object of the schema has the keys of the values, and the other way round; `paths` are the leaves.
pub fn check(values: &Value, schema: &Value, path: &str, paths: &mut Vec<String>) {
    let properties = schema.get("properties").and_then(Value::as_object);
    if properties.is_none() || values.as_object().is_some_and(serde_json::Map::is_empty) {
        paths.push(path.trim_start_matches('.').to_owned());
        return;
    }
    let properties = properties.unwrap();
    assert_eq!(schema["additionalProperties"], false, "{path} is open");
    for key in values.as_object().unwrap().keys() {
        assert!(properties.contains_key(key), "{path}.{key} is not in the schema");
    }
    for (name, property) in properties {
        match values.get(name) {
            Some(value) => check(value, property, &format!("{path}.{name}"), paths),
            // Helm's own, and one that containers seldom have.
            None => assert!(
                ["global", "claims"].contains(&&**name),
                "{path}.{name} has no default in values.yaml"
            ),
        }
    }
}
