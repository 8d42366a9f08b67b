//! Who may do what after an installation: what `kubectl auth can-i` says of every service account, and of editors.

use std::fs;

use anyhow::Result;
use e2e::cluster::Cluster;
use e2e::objects::Objects;
use e2e::wait::{self, LIMIT, Not};
use runtime::preflight::{EVENT_RIGHTS, LEASE_RIGHTS, Right};
use serde_json::{Value, json};

use crate::manifests::{render, run_with_input, stream};

/// What a controller does, as a row for each right: what its preflight asks for, and what is said further. `%` is the namespace of
/// the installation, `tenant` any other.
fn rows(rights: &[Right], further: &[&str]) -> Vec<String> {
    let row = |(verb, group, resource): &Right, namespace: &str| {
        let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
        let group = if group.is_empty() { String::new() } else { format!(".{group}") };
        let subresource = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
        format!("{verb} {resource}{group}{subresource} {namespace}").trim_end().to_owned()
    };
    // Whole kinds are listed and watched in all namespaces at once.
    let place = |verb: &str| if matches!(verb, "list" | "watch") { "" } else { "tenant" };
    let rights = rights.iter().chain(&EVENT_RIGHTS).map(|right| row(right, place(right.0)));
    let leases = LEASE_RIGHTS.iter().map(|right| row(right, "%"));
    rights.chain(leases).chain(further.iter().map(|row| (*row).to_owned())).collect()
}

fn source() -> Vec<String> {
    rows(&source_controller::preflight::RIGHTS, &SOURCE)
}

fn kustomize() -> Vec<String> {
    rows(&kustomize_controller::preflight::RIGHTS, &KUSTOMIZE)
}

fn watcher() -> Vec<String> {
    rows(&source_watcher::preflight::RIGHTS, &WATCHER)
}

fn helm() -> Vec<String> {
    rows(&helm_controller::preflight::RIGHTS, &HELM)
}

/// What helm-controller may beside that, which it works without; what is in charts, and the Secrets of releases, are a matter of
/// others.
const HELM: [&str; 3] = [
    "update helmreleases.helm.toolkit.fluxcd.io/finalizers tenant",
    "patch leases.coordination.k8s.io %",
    "head /livez/ping",
];

/// What others may, and helm-controller does not.
const NOT_HELM: [&str; 5] = [
    "get kustomizations.kustomize.toolkit.fluxcd.io tenant",
    "patch gitrepositories.source.toolkit.fluxcd.io tenant",
    "patch helmcharts.source.toolkit.fluxcd.io/status tenant",
    "create externalartifacts.source.toolkit.fluxcd.io tenant",
    "create helmreleases.helm.toolkit.fluxcd.io tenant",
];

/// What source-watcher may beside that, which it works without.
const WATCHER: [&str; 3] = [
    "update artifactgenerators.source.extensions.fluxcd.io/finalizers tenant",
    "patch leases.coordination.k8s.io %",
    "head /livez/ping",
];

/// What others may, and source-watcher does not.
const NOT_WATCHER: [&str; 6] = [
    "get secrets tenant",
    "get configmaps tenant",
    "impersonate serviceaccounts tenant",
    "get kustomizations.kustomize.toolkit.fluxcd.io tenant",
    "patch gitrepositories.source.toolkit.fluxcd.io/status tenant",
    "create artifactgenerators.source.extensions.fluxcd.io tenant",
];

/// What source-controller may beside that, which it works without.
const SOURCE: [&str; 7] = [
    "update buckets.source.toolkit.fluxcd.io/finalizers tenant",
    "update helmcharts.source.toolkit.fluxcd.io/finalizers tenant",
    "update gitrepositories.source.toolkit.fluxcd.io/finalizers tenant",
    "update helmrepositories.source.toolkit.fluxcd.io/finalizers tenant",
    "update ocirepositories.source.toolkit.fluxcd.io/finalizers tenant",
    "patch leases.coordination.k8s.io %",
    "head /livez/ping",
];

/// What kustomize-controller may beside that, which it works without; what it applies is a matter of others.
const KUSTOMIZE: [&str; 3] = [
    "update kustomizations.kustomize.toolkit.fluxcd.io/finalizers tenant",
    "patch leases.coordination.k8s.io %",
    "head /livez/ping",
];

/// What none does, and whoever can takes over the cluster, a tenant, or another controller.
const NEITHER: [&str; 38] = [
    "* *",
    "create secrets %",
    "patch secrets tenant",
    "update secrets tenant",
    "delete secrets tenant",
    "create serviceaccounts/token %",
    "create serviceaccounts/token tenant",
    "create serviceaccounts tenant",
    "list serviceaccounts",
    "impersonate users",
    "impersonate groups",
    "impersonate uids.authentication.k8s.io",
    "impersonate userextras.authentication.k8s.io",
    "escalate clusterroles.rbac.authorization.k8s.io",
    "escalate roles.rbac.authorization.k8s.io %",
    "bind clusterroles.rbac.authorization.k8s.io",
    "bind roles.rbac.authorization.k8s.io %",
    "create clusterrolebindings.rbac.authorization.k8s.io",
    "create rolebindings.rbac.authorization.k8s.io %",
    "create pods %",
    "create pods/exec %",
    "create pods/ephemeralcontainers tenant",
    "get pods/log %",
    "create deployments.apps %",
    "patch deployments.apps tenant",
    "get nodes/proxy",
    "create certificatesigningrequests.certificates.k8s.io",
    "patch validatingwebhookconfigurations.admissionregistration.k8s.io",
    "patch customresourcedefinitions.apiextensions.k8s.io",
    "patch namespaces tenant",
    "create gitrepositories.source.toolkit.fluxcd.io tenant",
    "delete gitrepositories.source.toolkit.fluxcd.io tenant",
    "create kustomizations.kustomize.toolkit.fluxcd.io %",
    "delete kustomizations.kustomize.toolkit.fluxcd.io tenant",
    "create helmreleases.helm.toolkit.fluxcd.io %",
    "delete helmreleases.helm.toolkit.fluxcd.io tenant",
    "update leases.coordination.k8s.io kube-system",
    "get /debug/pprof/",
];

/// What the other controller may, and source-controller does not.
const NOT_SOURCE: [&str; 11] = [
    "list secrets",
    "watch secrets",
    "list secrets %",
    "get configmaps tenant",
    "get serviceaccounts tenant",
    "impersonate serviceaccounts tenant",
    "get kustomizations.kustomize.toolkit.fluxcd.io tenant",
    "patch kustomizations.kustomize.toolkit.fluxcd.io/status tenant",
    "list externalartifacts.source.toolkit.fluxcd.io",
    "get helmreleases.helm.toolkit.fluxcd.io tenant",
    "create helmcharts.source.toolkit.fluxcd.io tenant",
];

/// What kustomize-controller does not, and source-controller may.
const NOT_KUSTOMIZE: [&str; 5] = [
    "patch gitrepositories.source.toolkit.fluxcd.io tenant",
    "patch gitrepositories.source.toolkit.fluxcd.io/status tenant",
    "update ocirepositories.source.toolkit.fluxcd.io/finalizers tenant",
    "get helmreleases.helm.toolkit.fluxcd.io tenant",
    "create ocirepositories.source.toolkit.fluxcd.io tenant",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_may_do_what_it_does_and_nothing_dangerous() -> Result<()> {
    let values = [
        "kustomizeController.clusterAdmin=false",
        "helmController.clusterAdmin=false",
        "sourceWatcher.create=true",
    ];
    let installed = Installed::with(&values).await?;
    installed.may("source-controller", &source()).await?;
    installed.may("source-watcher", &watcher()).await?;
    installed.may("kustomize-controller", &kustomize()).await?;
    installed.may("helm-controller", &helm()).await?;
    installed.may_not("source-controller", &[&NEITHER[..], &NOT_SOURCE[..]].concat());
    installed.may_not("kustomize-controller", &[&NEITHER[..], &NOT_KUSTOMIZE[..]].concat());
    installed.may_not("helm-controller", &[&NEITHER[..], &NOT_HELM[..]].concat());
    installed.may_not("source-watcher", &[&NEITHER[..], &NOT_WATCHER[..]].concat());
    installed.remove()
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_opted_into_are_those_and_no_others() -> Result<()> {
    let values = ["rbac.workloadIdentity=true", "kustomizeController.clusterAdmin=true"];
    let installed = Installed::with(&values).await?;
    let identity_rights = source_controller::preflight::IDENTITY_RIGHTS;
    let identity = rows(&[&source_controller::preflight::RIGHTS[..], &identity_rights[..]].concat(), &SOURCE);
    installed.may("source-controller", &identity).await?;
    let tokens = |row: &&&str| {
        !row.contains("serviceaccounts/token") && !identity.iter().any(|granted| granted == *row)
    };
    let denied: Vec<&str> = NEITHER.iter().chain(&NOT_SOURCE).filter(tokens).copied().collect();
    assert_eq!(denied.len(), NEITHER.len() + NOT_SOURCE.len() - 3);
    installed.may_not("source-controller", &denied);
    let tokens = Installed::with(&["rbac.workloadIdentity=true"]).await?;
    let rights = [&kustomize_controller::preflight::RIGHTS[..], &identity_rights[..]].concat();
    tokens.may("kustomize-controller", &rows(&rights, &KUSTOMIZE)).await?;
    tokens.remove()?;
    // Whatever is in Git or in a chart may be applied.
    for applier in ["kustomize-controller", "helm-controller"] {
        installed.may(applier, &["* *".to_owned()]).await?;
    }
    installed.remove()
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_opted_into_without_cluster_admin() -> Result<()> {
    let values = [
        "rbac.workloadIdentity=true",
        "kustomizeController.clusterAdmin=false",
        "helmController.clusterAdmin=false",
    ];
    let installed = Installed::with(&values).await?;
    let identity = kustomize_controller::preflight::IDENTITY_RIGHTS;
    let identity = rows(&[&kustomize_controller::preflight::RIGHTS[..], &identity].concat(), &KUSTOMIZE);
    installed.may("kustomize-controller", &identity).await?;
    let tokens = |row: &&&str| !row.contains("serviceaccounts/token");
    let denied: Vec<&str> = NEITHER.iter().chain(&NOT_KUSTOMIZE).filter(tokens).copied().collect();
    assert_eq!(denied.len(), NEITHER.len() + NOT_KUSTOMIZE.len() - 2);
    installed.may_not("kustomize-controller", &denied);
    let identity = helm_controller::preflight::IDENTITY_RIGHTS;
    let identity = rows(&[&helm_controller::preflight::RIGHTS[..], &identity].concat(), &HELM);
    installed.may("helm-controller", &identity).await?;
    let denied: Vec<&str> = NEITHER.iter().chain(&NOT_HELM).filter(tokens).copied().collect();
    assert_eq!(denied.len(), NEITHER.len() + NOT_HELM.len() - 2);
    installed.may_not("helm-controller", &denied);
    installed.remove()
}

/// The rights of the chart, in a namespace and under names of their own.
struct Installed {
    cluster: &'static Cluster,
    namespace: String,
    objects: String,
}

impl Installed {
    async fn with(values: &[&str]) -> Result<Self> {
        let cluster = Cluster::shared().await?;
        let namespace = format!("rights-{:x}", rand::random::<u32>());
        let of_rights = |object: &&Value| {
            let kind = object["kind"].as_str().unwrap();
            kind == "ServiceAccount" || kind.contains("Role") && object["apiVersion"] != "v1"
        };
        let rendered = render(&namespace, values).unwrap();
        let objects = stream(rendered.iter().filter(of_rights));
        let client: Objects = cluster.objects().await?;
        client
            .apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}"), "")
            .await?;
        client.apply(&objects, &namespace).await?;
        Ok(Self { cluster, namespace, objects })
    }

    /// Waits until the API server, which reads roles with some delay, says yes to each.
    async fn may(&self, account: &str, rows: &[String]) -> Result<()> {
        let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
        wait::until(LIMIT, async || {
            let denied = self.answers(account, &rows, false);
            if denied.is_empty() { Ok(()) } else { Err(Not::Yet(format!("{account} may not {denied:?}"))) }
        })
        .await
    }

    fn may_not(&self, account: &str, rows: &[&str]) {
        assert_eq!(self.answers(account, rows, true), [""; 0], "{account} may");
    }

    /// Those that are answered so.
    fn answers<'a>(&self, account: &str, rows: &[&'a str], allowed: bool) -> Vec<&'a str> {
        let user = format!("system:serviceaccount:{}:{account}", self.namespace);
        let reviews: Vec<Value> = rows.iter().map(|row| review(&user, row, &self.namespace)).collect();
        let mut kubectl = self.cluster.kubectl();
        kubectl.args(["create", "-f", "-", "-o", "jsonpath={.status.allowed}{\"\\n\"}"]);
        let answers = run_with_input(&mut kubectl, &stream(&reviews)).unwrap();
        let answers: Vec<&str> = answers.lines().collect();
        assert_eq!(answers.len(), rows.len(), "{answers:?}");
        let wanted = allowed.to_string();
        rows.iter().zip(answers).filter(|(_, answer)| *answer == wanted).map(|(row, _)| *row).collect()
    }

    fn remove(self) -> Result<()> {
        let mut kubectl = self.cluster.kubectl();
        let removed = run_with_input(kubectl.args(["delete", "--wait=false", "-f", "-"]), &self.objects);
        removed.unwrap_or_else(|said| panic!("{said}"));
        self.cluster.kubectl().args(["delete", "namespace", &self.namespace, "--wait=false"]).output()?;
        Ok(())
    }
}

/// The question whether `user` may do this: a verb, and a path, or a resource with its group and subresource, and a namespace.
/// `kubectl auth can-i --as` asks the same.
fn review(user: &str, row: &str, installation: &str) -> Value {
    let mut words = row.split_whitespace();
    let (verb, what) = (words.next().unwrap(), words.next().unwrap());
    let namespace = words.next().unwrap_or("").replace('%', installation);
    // Virtual users belong to these, by which they may read some paths.
    let groups = json!([
        "system:serviceaccounts",
        format!("system:serviceaccounts:{installation}"),
        "system:authenticated"
    ]);
    let mut spec = json!({"user": user, "groups": groups});
    if what.starts_with('/') {
        spec["nonResourceAttributes"] = json!({"verb": verb, "path": what});
    } else {
        let (resource, subresource) = what.split_once('/').unwrap_or((what, ""));
        let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
        let group = if what == "*" { "*" } else { group };
        spec["resourceAttributes"] = json!({
            "verb": verb, "resource": resource, "group": group, "subresource": subresource, "namespace": namespace,
        });
    }
    json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec})
}

#[tokio::test(flavor = "multi_thread")]
async fn editors_may_change_objects_and_not_what_their_status_says() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = format!("editors-{:x}", rand::random::<u32>());
    let roles = fs::read_to_string(e2e::workspace().join("config/rbac/user_roles.yaml"))?;
    let binding = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata: {{name: {namespace}}}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\n\
         metadata: {{name: editors, namespace: {namespace}}}\n\
         subjects: [{{apiGroup: rbac.authorization.k8s.io, kind: User, name: editor}}]\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: flux-edit-flux-system}}\n"
    );
    cluster.objects().await?.apply(&format!("{roles}\n---\n{binding}"), "").await?;
    let may = |verb: &str, resource: &str, subresource: &str| {
        let subresource = if subresource.is_empty() { String::new() } else { format!("/{subresource}") };
        // `kubectl auth can-i` knows no groups of kinds that are not served.
        let row = format!("{verb} {resource}{subresource} {namespace}");
        let mut kubectl = cluster.kubectl();
        kubectl.args(["create", "-f", "-", "-o", "jsonpath={.status.allowed}"]);
        run_with_input(&mut kubectl, &review("editor", &row, "").to_string()).unwrap() == "true"
    };
    let resources = [
        "gitrepositories.source.toolkit.fluxcd.io",
        "kustomizations.kustomize.toolkit.fluxcd.io",
        "helmreleases.helm.toolkit.fluxcd.io",
        "alerts.notification.toolkit.fluxcd.io",
        "imagepolicies.image.toolkit.fluxcd.io",
    ];
    for resource in resources {
        for (subresource, expected) in [("", true), ("status", false), ("finalizers", false)] {
            for verb in ["patch", "update"] {
                assert_eq!(may(verb, resource, subresource), expected, "{verb} {resource}/{subresource}");
            }
        }
    }
    cluster.kubectl().args(["delete", "namespace", &namespace, "--wait=false"]).output()?;
    Ok(())
}
