//! Flux's own manifests with our images, as `docs/install.md` makes them, in a cluster that has nothing else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use e2e::cluster::{Cluster, User};
use e2e::controller::{Controller, find_binary};
use e2e::document;
use e2e::flux::Client;
use e2e::git_server::GitServer;
use e2e::objects::{Id, Look, documents};
use e2e::process::temp_folder;
use e2e::testkit::config_map;
use e2e::wait::{self, LIMIT, Not};
use serde_json::Value;

use crate::manifests::{NAMESPACE, arguments, build, of_kind, stdout};

const COMPONENTS: [&str; 3] = ["source-controller", "kustomize-controller", "helm-controller"];

/// What `config/default` has otherwise than `flux install` writes it, below a path of an object or of all of a kind, and why.
const DIFFERENT: [(&str, &str, &str); 9] = [
    ("", "/metadata/labels/app.kubernetes.io/version", "the version is ours"),
    (
        "Namespace/",
        "/metadata/labels/pod-security.kubernetes.io/enforce",
        "our Pods are restricted, not only warned of",
    ),
    ("ClusterRoleBinding/crd-controller-", "/subjects", "there are fewer controllers"),
    ("Deployment/", "/spec/template/metadata/labels/app.kubernetes.io/version", "the version is ours"),
    ("Deployment/", "/spec/template/spec/containers/0/image", "the image is ours"),
    (
        "Deployment/",
        "/spec/template/spec/containers/0/args",
        "a default is not written, and no events-addr is empty",
    ),
    ("Deployment/", "/spec/template/spec/containers/0/env", "GOMEMLIMIT and TUF_ROOT are of Go"),
    ("Deployment/source-controller", "/spec/template/spec/containers/0/readinessProbe", "as in Flux 2.10"),
    (
        "Deployment/source-controller",
        "/spec/template/spec/terminationGracePeriodSeconds",
        "docs/install.md has why",
    ),
];

/// Names, labels, ports, probes, volumes, accounts, security contexts, quotas, policies.
#[tokio::test(flavor = "multi_thread")]
async fn config_has_what_flux_install_writes() -> Result<()> {
    let client = Client::new(Path::new("/nonexistent"), NAMESPACE).await?;
    let components = format!("--components={}", COMPONENTS.join(","));
    let theirs = documents(&client.run(&["install", "--export", &components])?)?;
    let ours = build("config/default");
    let id = |object: &Value| format!("{}/{}", object.text("/kind"), object.text("/metadata/name"));
    let (mut strange, mut used) = (Vec::new(), Vec::new());
    // Fields of CRDs and rights have tests of their own.
    let compared = |object: &&Value| {
        !["CustomResourceDefinition", "ClusterRole"].contains(&object.text("/kind"))
            // Of notification-controller.
            && id(object) != "NetworkPolicy/allow-webhooks"
    };
    let mut objects = 0;
    for their in theirs.iter().filter(compared) {
        let name = id(their);
        let our = ours.iter().find(|object| id(object) == name).unwrap_or_else(|| panic!("no {name}"));
        let mut paths = Vec::new();
        differences(their, our, String::new(), &mut paths);
        for path in paths {
            let is_known =
                |(kind, below, _): &&(&str, &str, &str)| name.starts_with(kind) && path.starts_with(below);
            match DIFFERENT.iter().find(is_known) {
                Some(known) => used.push(known.1),
                None => strange.push(format!("{name} {path}")),
            }
        }
        objects += 1;
    }
    assert!(objects > 10, "{objects}");
    assert_eq!(strange, [""; 0], "other than in Flux, and nobody knows why");
    let unused: Vec<_> = DIFFERENT.iter().filter(|known| !used.contains(&known.1)).collect();
    assert!(unused.is_empty(), "no longer different: {unused:?}");
    Ok(())
}

/// The paths at which two values differ: of lists of other lengths that of the list.
fn differences(one: &Value, other: &Value, path: String, found: &mut Vec<String>) {
    match (one, other) {
        (Value::Object(ones), Value::Object(others)) => {
            let names: BTreeSet<&String> = ones.keys().chain(others.keys()).collect();
            for name in names {
                differences(&one[name], &other[name], format!("{path}/{name}"), found);
            }
        }
        (Value::Array(ones), Value::Array(others)) if ones.len() == others.len() => {
            for (at, (one, other)) in ones.iter().zip(others).enumerate() {
                differences(one, other, format!("{path}/{at}"), found);
            }
        }
        _ if one == other => {}
        _ => found.push(path),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fluxs_manifests_with_our_images_are_an_installation() -> Result<()> {
    let cluster = Cluster::start().await?;
    let folder = temp_folder("overlay")?;
    let client = Client::new(cluster.kubeconfig(User::Admin), NAMESPACE).await?;
    let components = format!("--components={}", COMPONENTS.join(","));
    let exported = client.run(&["install", "--export", &components])?;
    fs::write(folder.path().join("gotk-components.yaml"), exported)?;
    fs::write(folder.path().join("gotk-sync.yaml"), "")?;
    let kustomization = document::file("docs/install.md", "Images for Flux's manifests")?;
    fs::write(folder.path().join("kustomization.yaml"), kustomization)?;
    let objects = built(&cluster, folder.path());
    has_our_images(&objects);

    let mut apply = cluster.kubectl();
    apply.args(["apply", "--server-side", "--validate=strict", "-o=name", "-k"]).arg(folder.path());
    let applied = stdout(&mut apply);
    assert_eq!(applied.lines().count(), objects.len(), "{applied}");
    commit_is_applied(&cluster, &objects).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controllers_understand_what_the_options_of_flux_install_make_of_their_arguments() -> Result<()> {
    let client = Client::new(Path::new("/nonexistent"), "infra").await?;
    let components = format!("--components={}", COMPONENTS.join(","));
    let options = [
        "--watch-all-namespaces=false",
        "--cluster-domain=example.org",
        "--log-level=debug",
        "--network-policy=false",
        "--toleration-keys=node.example.com/controllers",
        "--registry=registry.example.com/flux",
        "--image-pull-secret=registry",
    ];
    let exported = client.run(&[&["install", "--export", &components], &options[..]].concat())?;
    let objects = documents(&exported)?;
    let deployments = of_kind(&objects, "Deployment");
    assert_eq!(deployments.len(), COMPONENTS.len());
    for deployment in deployments {
        let arguments = arguments(deployment);
        for option in ["--watch-all-namespaces=false", "--log-level=debug", "--events-addr="] {
            assert!(arguments.contains(&option), "{arguments:?}");
        }
        stdout(Command::new(find_binary(deployment.text("/metadata/name"))?).args(arguments).arg("--help"));
    }
    Ok(())
}

/// The objects of the overlay, of which kustomize and our engine must make the same.
fn built(cluster: &Cluster, folder: &Path) -> Vec<Value> {
    let ours = stdout(Command::new(find_binary("kustomize-build").unwrap()).arg(folder));
    let theirs = stdout(cluster.kubectl().arg("kustomize").arg(folder));
    assert_eq!(ours, theirs);
    documents(&ours).unwrap()
}

/// The images are those of `config`, and nothing of Flux is left.
fn has_our_images(objects: &[Value]) {
    let images = |objects: &[Value]| {
        let of =
            |deployment: &&Value| deployment["spec"]["template"]["spec"]["containers"][0]["image"].clone();
        let mut images: Vec<String> =
            of_kind(objects, "Deployment").iter().map(of).map(|i| i.to_string()).collect();
        images.sort_unstable();
        images
    };
    assert_eq!(images(objects), images(&build("config/default")));
}

/// The binaries, with the arguments and the rights of Flux's manifests.
async fn commit_is_applied(cluster: &Cluster, objects: &[Value]) -> Result<()> {
    let mut controllers = Vec::new();
    for user in [User::SourceController, User::KustomizeController, User::HelmController] {
        let deployments = of_kind(objects, "Deployment");
        let deployment = deployments.into_iter().find(|d| d.text("/metadata/name") == user.name()).unwrap();
        let all = arguments(deployment);
        stdout(Command::new(find_binary(user.name())?).args(&all).arg("--help"));
        // The storage and its name are those of a Pod.
        let here: Vec<&str> =
            all.iter().filter(|argument| !argument.starts_with("--storage-")).copied().collect();
        assert!(here.contains(&"--enable-leader-election"), "{here:?}");
        controllers.push(Controller::start(cluster, user, &here).await?);
    }
    let git = GitServer::start().await?;
    let repository = git.create("app")?;
    let commit = repository.commit_file("map.yaml", &config_map("map", "1"))?;
    let toolkit = format!(
        "
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {{name: app}}
spec: {{interval: 1h, url: '{}', ref: {{branch: main}}}}
---
apiVersion: kustomize.toolkit.fluxcd.io/v1
kind: Kustomization
metadata: {{name: app}}
spec: {{interval: 1h, path: ./, prune: true, targetNamespace: default, sourceRef: {{kind: GitRepository, name: app}}}}
",
        git.url("app")
    );
    let client = cluster.objects().await?;
    let ids = client.apply(&toolkit, NAMESPACE).await?;
    let kustomization = Id::new("Kustomization/app", NAMESPACE)?;
    let logs = || controllers.iter().map(|controller| controller.log_about("app", 10)).collect::<String>();
    wait::until(LIMIT, async || {
        let seen = client.get(&kustomization).await.map_err(wait::not_yet)?.unwrap_or_default();
        let applied = seen.text("/status/lastAppliedRevision").ends_with(&commit) && seen.is_ready();
        if applied { Ok(()) } else { Err(Not::Yet(format!("{}\n{}", seen["status"], logs()))) }
    })
    .await?;
    // The end of an object asks for rights, too.
    for id in ids.iter().rev() {
        client.delete(id).await?;
        wait::until(LIMIT, async || match client.get(id).await.map_err(wait::not_yet)? {
            None => Ok(()),
            Some(seen) => Err(Not::Yet(format!("{seen}\n{}", logs()))),
        })
        .await?;
    }
    assert!(client.get(&Id::of("v1", "ConfigMap", "default", "map")).await?.is_none());
    for controller in &controllers {
        let log = controller.log_text();
        assert!(!log.to_lowercase().contains("forbidden"), "{log}");
    }
    Ok(())
}
