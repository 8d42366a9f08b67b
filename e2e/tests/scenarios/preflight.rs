//! The verb `preflight` of the controllers: what it finds in a cluster of Flux, and that it writes nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use e2e::audit::Request;
use e2e::cluster::{Cluster, User};
use e2e::controller::{Controller, RUNTIME_NAMESPACE, find_binary};
use e2e::document;
use e2e::objects::Look;
use e2e::scenario::Scenario;
use e2e::testkit::config_map;
use e2e::wait::not_yet;
use runtime::preflight::{EVENT_RIGHTS, LEASE_RIGHTS, Right};
use serde_json::json;

use crate::helm_release::{Helm, MAP, RELEASE};
use crate::helm_scenario::Running;

/// Exit code and output of the verb, asked by a user of the cluster.
async fn ask(cluster: &Cluster, controller: &str, user: User) -> Result<(Option<i32>, String)> {
    run(controller, cluster.kubeconfig(user).to_owned()).await
}

async fn run(controller: &str, kubeconfig: PathBuf) -> Result<(Option<i32>, String)> {
    let mut command = Command::new(find_binary(controller)?);
    command.args(["preflight", "--namespace", RUNTIME_NAMESPACE]).env("KUBECONFIG", kubeconfig);
    let output = tokio::task::spawn_blocking(move || command.output()).await??;
    let text =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned()).concat();
    Ok((output.status.code(), text))
}

/// The rows of the table, without the space between columns.
fn rows(table: &str) -> Vec<String> {
    let row = |line: &str| {
        let cells: Vec<&str> = line.split("   ").map(str::trim).filter(|cell| !cell.is_empty()).collect();
        cells.join(" | ")
    };
    table.lines().map(row).collect()
}

/// A Deployment of a controller with further arguments.
fn deployment(name: &str, image: &str, arguments: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: {RUNTIME_NAMESPACE}}}\nspec:\n  replicas: 0\n  \
         selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: {{app: {name}}}}}\n    \
         spec:\n      serviceAccountName: {image}\n      containers:\n      - name: manager\n        \
         image: ghcr.io/fluxcd/{image}:v1.9.0\n        args: [--watch-all-namespaces, --log-level=info, \
         --enable-leader-election{arguments}]\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn what_would_not_work_is_named_and_nothing_is_written() -> Result<()> {
    // It looks at all namespaces, so it has a cluster of its own.
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start().await?));
    let (code, text) = ask(cluster, "kustomize-controller", User::Admin).await?;
    assert_eq!(code, Some(1));
    assert_eq!(
        rows(&text),
        [
            "NAMESPACE | OBJECT | PROBLEM",
            "CustomResourceDefinition/kustomizations.kustomize.toolkit.fluxcd.io | is not installed",
            "flux-system | Namespace/flux-system | runs no kustomize-controller; its flags and rights are not checked",
        ]
    );

    cluster.install().await?;
    let test = Scenario::in_cluster(cluster, "preflight").await?;
    for controller in CONTROLLERS {
        test.apply(&deployment(controller, controller, "")).await?;
    }
    test.apply(&test.source_yaml("1h", "")).await?;
    test.apply(&test.kustomization_yaml("good", "./app", "  wait: true\n  serviceAccountName: x")).await?;
    test.apply(&helm_release("good", "  chartRef: {kind: OCIRepository, name: c}\n  serviceAccountName: x"))
        .await?;
    for controller in CONTROLLERS {
        let answer = ask(cluster, controller, User::Admin).await?;
        assert_eq!(answer, (Some(0), "No problems found.\n".to_owned()), "{controller}");
    }

    // Of each sort one.
    let kustomization = "  decryption: {provider: sops}\n  \
         healthCheckExprs: [{apiVersion: v1, kind: ConfigMap, current: 'a =='}]";
    test.apply(&test.kustomization_yaml("bad", "./app", kustomization)).await?;
    let foreign = test.kustomization_yaml("foreign", "./app", "");
    test.apply(&foreign.replace("sourceRef: {", "sourceRef: {namespace: elsewhere, ")).await?;
    test.apply(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: app-of-github}\n\
         spec: {interval: 1h, url: 'https://example.com/app', provider: github}\n",
    )
    .await?;
    test.apply(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: OCIRepository\nmetadata: {name: signed}\n\
         spec: {interval: 1h, url: 'oci://example.com/app', verify: {provider: cosign}, provider: aws}\n",
    )
    .await?;
    test.apply(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: h}\nspec: {url: 'oci://example.com/charts'}\n",
    )
    .await?;
    test.apply(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmRepository\nmetadata: {name: static}\n\
         spec: {url: 'oci://example.com/charts', type: oci}\n",
    )
    .await?;
    test.apply(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: HelmChart\nmetadata: {name: c}\nspec: {chart: c, interval: 1h, \
         sourceRef: {kind: HelmRepository, name: static}, verify: {provider: cosign}}\n",
    )
    .await?;
    test.apply(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: Bucket\nmetadata: {name: b}\nspec: {provider: azure, bucketName: abc, \
         endpoint: example.com, interval: 1h}\n",
    )
    .await?;
    test.apply(&deployment(
        "kustomize-controller",
        "kustomize-controller",
        ", --spiffe-broker-id=a, --concurrent=0, --no-cross-namespace-refs",
    ))
    .await?;
    test.apply(&deployment("shard", "source-controller", ", '--watch-label-selector=key=a'")).await?;
    test.apply(&helm_release(
        "bad",
        "  chartRef: {kind: OCIRepository, name: c}\n  \
         healthCheckExprs: [{apiVersion: v1, kind: ConfigMap, current: 'a =='}]\n  \
         driftDetection: {ignore: [{paths: [''], target: {labelSelector: 'a b'}}]}",
    ))
    .await?;
    test.apply(&helm_release("foreign", "  chartRef: {kind: OCIRepository, name: c, namespace: elsewhere}"))
        .await?;
    test.apply(&deployment(
        "helm-controller",
        "helm-controller",
        ", --spiffe-broker-id=a, --feature-gates=AllowDNSLookups=true, --no-cross-namespace-refs",
    ))
    .await?;
    // Whose requests are audited, and who may read all of this.
    let user = User::KustomizeController;
    let audit = cluster.audit().context("no audit log")?;
    let (code, text) = ask(cluster, "kustomize-controller", user).await?;
    assert_eq!(code, Some(1), "{text}");
    let ns = &test.namespace;
    let expected = [
        "NAMESPACE | OBJECT | PROBLEM".to_owned(),
        "flux-system | Deployment/kustomize-controller | --concurrent=0: invalid value '0' for '--concurrent <CONCURRENT>': 0 \
         is not in 1..=65535"
            .to_owned(),
        "flux-system | Deployment/kustomize-controller | --spiffe-broker-id=a: unexpected argument '--spiffe-broker-id' found"
            .to_owned(),
    ];
    let found = rows(&text);
    assert_eq!(found.iter().take(3).cloned().collect::<Vec<_>>(), expected);
    let foreign = format!(
        "{ns} | Kustomization/foreign | can't access 'GitRepository/elsewhere/app', cross-namespace references have been blocked"
    );
    assert!(found.contains(&foreign), "{text}");
    let of_bad: Vec<&str> = found.iter().skip(3).filter(|row| **row != foreign).map(String::as_str).collect();
    let prefix = format!("{ns} | Kustomization/bad | ");
    assert!(of_bad.iter().all(|row| row.starts_with(&prefix)), "{of_bad:?}");
    let problems: Vec<&str> = of_bad.iter().map(|row| row.trim_start_matches(&prefix)).collect();
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems.iter().any(|problem| problem.contains("the CEL expression 'a =='")), "{problems:?}");

    let (code, text) = ask(cluster, "source-controller", user).await?;
    assert_eq!(code, Some(1), "{text}");
    assert_eq!(
        rows(&text),
        [
            "NAMESPACE | OBJECT | PROBLEM".to_owned(),
            format!(
                "{ns} | Bucket/b | unable to parse endpoint URL: 'example.com' is not an http(s) URL of a storage account"
            ),
            format!(
                "{ns} | GitRepository/app-of-github | secretRef with github app data must be specified when provider is set to github"
            ),
            format!(
                "{ns} | HelmRepository/h | invalid Helm repository URL: 'oci' URL scheme cannot be used with 'default' HelmRepository type"
            ),
        ]
    );
    let (code, text) = ask(cluster, "helm-controller", user).await?;
    assert_eq!(code, Some(1), "{text}");
    let found = rows(&text);
    let expected = [
        "flux-system | Deployment/helm-controller | --feature-gates=AllowDNSLookups=true: ".to_owned(),
        "flux-system | Deployment/helm-controller | --spiffe-broker-id=a: unexpected argument '--spiffe-broker-id' found".to_owned(),
        format!("{ns} | HelmRelease/bad | failed to create custom status evaluator for healthchecks[0]: "),
        format!("{ns} | HelmRelease/bad | failed to create ignore rule selector: "),
        format!(
            "{ns} | HelmRelease/foreign | cross-namespace references are not allowed: cannot access OCIRepository elsewhere/c"
        ),
    ];
    assert_eq!(found.len(), 1 + expected.len(), "{text}");
    for (row, start) in found.iter().skip(1).zip(&expected) {
        assert!(row.starts_with(start), "{row} is not {start}");
    }
    assert!(text.contains("the CEL expression 'a =='"), "{text}");

    // The question what somebody may do stores nothing.
    let requests = audit.all_requests(user)?;
    let is_question =
        |request: &Request| (&*request.verb, &*request.resource) == ("create", "subjectaccessreviews");
    assert!(requests.iter().any(is_question), "{requests:?}");
    let writes: Vec<_> = requests.iter().filter(|r| !r.is_read() && !is_question(r)).collect();
    assert!(writes.is_empty(), "{writes:?}");

    // A user who may not look is told so.
    let (code, text) = ask(cluster, "source-controller", User::SourceController).await?;
    assert_eq!(code, Some(2));
    assert!(text.starts_with("error: failed to read deployments: deployments.apps is forbidden: "), "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_missing_and_fields_of_a_newer_flux_are_named() -> Result<()> {
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start().await?));
    cluster.install().await?;
    let test = Scenario::in_cluster(cluster, "rights").await?;
    // A service account that nobody gave anything.
    let powerless = deployment("kustomize-controller", "kustomize-controller", "")
        .replace("serviceAccountName: kustomize-controller", "serviceAccountName: powerless");
    test.apply(&powerless).await?;
    test.kubectl(&[
        "patch",
        "crd",
        "kustomizations.kustomize.toolkit.fluxcd.io",
        "--type=json",
        "--patch",
        NEWER,
    ])?;
    let new = test.kustomization_yaml("new", "./app", "  magic: {level: 9}");
    // The API server takes its time to learn the field.
    test.wait("the field is known", async || test.apply(&new).await.map_err(not_yet)).await?;
    let (code, text) = ask(cluster, "kustomize-controller", User::Admin).await?;
    assert_eq!(code, Some(1));
    let found = rows(&text);
    let row = "flux-system | Deployment/kustomize-controller | ServiceAccount/powerless may not impersonate serviceaccounts";
    assert!(found.contains(&row.to_owned()), "{text}");
    let row = "ServiceAccount/powerless may not update leases of coordination.k8s.io";
    assert!(text.contains(row), "{text}");
    let row = "ServiceAccount/powerless may not patch kustomizations/status of kustomize.toolkit.fluxcd.io";
    assert!(text.contains(row), "{text}");
    let row =
        format!("{} | Kustomization/new | spec.magic is not known, and would be ignored", test.namespace);
    assert!(found.contains(&row), "{text}");

    // The same of helm-controller, which also needs what its objects ask for.
    let powerless = deployment("helm-controller", "helm-controller", "")
        .replace("serviceAccountName: helm-controller", "serviceAccountName: powerless");
    test.apply(&powerless).await?;
    test.kubectl(&[
        "patch",
        "crd",
        "helmreleases.helm.toolkit.fluxcd.io",
        "--type=json",
        "--patch",
        NEWER_HELM,
    ])?;
    let new = helm_release(
        "new",
        "  magic: {level: 9}\n  chartRef: {kind: OCIRepository, name: c}\n  waitStrategy: {name: watcher}\n  \
         kubeConfig: {configMapRef: {name: cluster}}",
    );
    test.wait("the field is known", async || test.apply(&new).await.map_err(not_yet)).await?;
    let (code, text) = ask(cluster, "helm-controller", User::Admin).await?;
    assert_eq!(code, Some(1));
    let found = rows(&text);
    let object = format!("{} | HelmRelease/new", test.namespace);
    let account = "flux-system | Deployment/helm-controller | ServiceAccount/powerless may not";
    for row in [
        format!("{account} impersonate serviceaccounts"),
        format!("{account} create helmcharts of source.toolkit.fluxcd.io"),
        format!("{account} patch helmreleases/status of helm.toolkit.fluxcd.io"),
        format!("{account} create serviceaccounts/token"),
        format!("{object} | spec.magic is not known, and would be ignored"),
        format!("{object} | the strategy of spec.waitStrategy is not supported"),
    ] {
        assert!(found.contains(&row), "no {row} in {text}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_does_not_answer_is_an_error_with_its_cause() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("kubeconfig");
    // Nobody listens where somebody did.
    let address = std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?;
    let kubeconfig = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
         clusters: [{{name: c, cluster: {{server: 'http://{address}'}}}}]\nusers: [{{name: u, user: {{}}}}]\n"
    );
    std::fs::write(&path, kubeconfig)?;
    let (code, text) = run("source-controller", path).await?;
    assert_eq!(code, Some(2), "{text}");
    assert!(
        text.starts_with(&format!("error: the API server http://{address}/ does not answer: ")),
        "{text}"
    );
    assert!(text.contains("Connection refused") && text.lines().count() == 1, "{text}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_namespace_that_admits_restricted_pods_alone_admits_the_one_of_the_document() -> Result<()> {
    let cluster: &'static Cluster = Box::leak(Box::new(Cluster::start().await?));
    cluster.install().await?;
    let test = Scenario::in_cluster(cluster, "restricted").await?;
    let enforced = "pod-security.kubernetes.io/enforce=restricted";
    test.kubectl(&["label", "namespace", RUNTIME_NAMESPACE, "--overwrite", enforced])?;
    let blocks = document::pod_commands("docs/migrate.md", "Check")?;
    let [block] = &blocks[..] else { bail!("not one block: {blocks:?}") };
    // No Pod runs in this cluster.
    let commands = block.replace("--rm --attach", "--dry-run=server");
    let kubectl = cluster.kubectl();
    let folder = Path::new(kubectl.get_program()).parent().context("no folder")?.to_owned();
    let mut shell = Command::new("sh");
    let paths = std::env::var_os("PATH").unwrap_or_default();
    shell.env("PATH", std::env::join_paths([folder].into_iter().chain(std::env::split_paths(&paths)))?);
    shell.args(["-euc", &commands]).env("KUBECONFIG", cluster.kubeconfig(User::Admin));
    let output = tokio::task::spawn_blocking(move || shell.output()).await??;
    let said = [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(output.status.success(), "{said:?}");
    let created = "pod/ferroflux-preflight created (server dry run)\n";
    assert_eq!(said, [created.repeat(3), String::new()]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_controllers_do_nothing_that_preflight_does_not_ask_for() -> Result<()> {
    let test = Scenario::with_own_cluster("used").await?;
    let selector = test.selector();
    let controller = Controller::start(test.cluster, User::HelmController, &[&selector]).await?;
    let helm = Helm { test, controller: Running::Own(Box::new(controller)) };
    let test = &helm.test;
    let audit = test.cluster.audit().context("no audit log")?;
    let commit = test.repo.commit_file("app/map.yaml", &config_map("map", "one"))?;
    test.apply_source().await?;
    test.apply(&test.kustomization_yaml("app", "./app", "  dependsOn: [{name: base}]")).await?;
    test.apply(&test.kustomization_yaml("base", "./app", "")).await?;
    test.applied("Kustomization/app", &commit).await?;
    // One release that makes its chart and is drifted from, and one that depends on it.
    helm.commit_chart("1.0.0", &[("map.yaml", MAP)])?;
    test.request("GitRepository/app").await?;
    helm.release(&json!({"driftDetection": {"mode": "enabled"}, "values": {"text": "one"}})).await?;
    helm.release_named("dependent", &json!({"dependsOn": [{"name": "app"}]})).await?;
    test.until("HelmRelease/dependent", "is ready", Look::is_ready).await?;
    test.patch(RELEASE, &json!({"spec": {"values": {"text": "two"}}})).await?;
    helm.ready("Helm upgrade succeeded").await?;
    test.kubectl(&["delete", "-n", &test.namespace, "helmreleases,kustomizations,gitrepositories", "--all"])?;
    let source = &source_controller::preflight::RIGHTS[..];
    let kustomize = &kustomize_controller::preflight::RIGHTS[..];
    let releases = &helm_controller::preflight::RIGHTS[..];
    for (user, rights) in [
        (User::SourceController, source),
        (User::KustomizeController, kustomize),
        (User::HelmController, releases),
    ] {
        let asked = [rights, &EVENT_RIGHTS, &LEASE_RIGHTS].concat();
        let is_asked = |request: &Request| {
            asked
                .iter()
                .any(|(verb, _, resource): &Right| request.verb == *verb && request.resource == *resource)
        };
        // What a Kustomization applies is what its author may, and so is what a release has and is stored in.
        let is_storage = |request: &Request| {
            user == User::HelmController && request.resource == "secrets" && !request.is_read()
        };
        let is_own = |request: &&Request| request.resource != "configmaps" && !is_storage(request);
        let requests = audit.all_requests(user)?;
        assert!(requests.iter().any(|request| request.verb == "patch"), "{requests:?}");
        let others: Vec<_> = requests.iter().filter(is_own).filter(|request| !is_asked(request)).collect();
        assert!(others.is_empty(), "{user:?}: {others:?}");
    }
    Ok(())
}

/// The controllers that have the verb and replace one of Flux.
const CONTROLLERS: [&str; 3] = ["source-controller", "kustomize-controller", "helm-controller"];

/// A HelmRelease with these fields of spec.
fn helm_release(name: &str, more: &str) -> String {
    format!(
        "apiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {{name: {name}}}\nspec:\n  interval: 1h\n{more}\n"
    )
}

/// A field and a value that this version does not know.
const NEWER_HELM: &str = r#"[{"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/magic",
    "value": {"type": "object", "properties": {"level": {"type": "integer"}}}},
    {"op": "replace", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/waitStrategy/properties/name/enum",
    "value": ["poller", "legacy", "watcher"]}]"#;

/// A field that this version does not know.
const NEWER: &str = r#"[{"op": "add", "path": "/spec/versions/0/schema/openAPIV3Schema/properties/spec/properties/magic",
    "value": {"type": "object", "properties": {"level": {"type": "integer"}}}},
    {"op": "add", "path": "/spec/versions/1/schema/openAPIV3Schema/properties/spec/properties/magic",
    "value": {"type": "object", "properties": {"level": {"type": "integer"}}}}]"#;
