//! What one tenant's sources do reaches no other tenant, and no secret of theirs reaches anybody.

use anyhow::Result;
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::objects::{Id, Look};
use e2e::scenario::{SHARD, Scenario};
use e2e::silent_server::{SilentServer, open, until_open};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn fetches_without_end_take_no_more_than_the_share_of_their_namespace() -> Result<()> {
    const SHARE: usize = 3;
    let test = Scenario::new("fetches").await?;
    let selector = test.selector();
    let options =
        [&*selector, "--fetch-concurrency=4", "--namespace-fetch-concurrency=3", "--git-host-concurrency=4"];
    let _controller = Controller::start(test.cluster, User::SourceController, &options).await?;
    let tenant = format!("{}-tenant", test.namespace);
    test.apply(&format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: {tenant}}}")).await?;
    // Several ports of one host, and other hosts.
    let mut servers = Vec::new();
    for host in ["127.0.0.2", "127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.4", "127.0.0.5"] {
        servers.push(SilentServer::start(host).await?);
    }
    let source = |name: &str, namespace: &str, url: &str| {
        json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "GitRepository",
            "metadata": {"name": name, "namespace": namespace, "labels": { SHARD: test.namespace }},
            "spec": {"interval": "1h", "timeout": "20m", "url": url, "ref": {"branch": "main"}},
        })
    };
    for (n, server) in servers.iter().take(3).enumerate() {
        test.objects.apply_one(&source(&format!("port-{n}"), &tenant, &server.url), &tenant).await?;
    }
    until_open(&servers, 2).await?;
    for (n, server) in servers.iter().enumerate().skip(3) {
        test.objects.apply_one(&source(&format!("host-{n}"), &tenant, &server.url), &tenant).await?;
    }
    until_open(&servers, SHARE).await?;

    let commit = test.repo.commit_file("a.txt", "one")?;
    let bystander = source("app", &test.namespace, &test.git.url("app"));
    test.objects.apply_one(&bystander, &test.namespace).await?;
    let object = test.ready("GitRepository/app").await?;
    assert!(object.text("/status/artifact/revision").ends_with(&commit), "{object}");
    assert_eq!(open(&servers), SHARE);

    // Who is suspended makes room for one who waits, and with the last of them all is given back.
    let id = |name: &str| Id::of("source.toolkit.fluxcd.io/v1", "GitRepository", &tenant, name);
    let suspended = json!({"spec": {"suspend": true}});
    for n in 0..3 {
        test.objects.patch(&id(&format!("port-{n}")), &suspended).await?;
    }
    until_open(servers.get(..3).unwrap_or_default(), 0).await?;
    until_open(&servers, SHARE).await?;
    test.kubectl(&["delete", "namespace", &tenant, "--wait=false"])?;
    until_open(&servers, 0).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_in_urls_are_nowhere_to_be_read() -> Result<()> {
    const SECRET: &str = "canary4711";
    let test = Scenario::new("canary").await?;
    let selector = test.selector();
    let options = [&*selector, "--log-level=trace"];
    let controller = Controller::start(test.cluster, User::SourceController, &options).await?;
    test.repo.commit_file("a.txt", "one")?;
    let host = test.git.url("app").trim_start_matches("http://").trim_end_matches("/app").to_owned();
    let closed = "127.0.0.1:1";
    let git = |place: &str| {
        [
            format!("http://{SECRET}@{place}"),
            format!("http://me:{SECRET}@{place}"),
            format!("http://{place}?private_token={SECRET}"),
            format!("http://{place}#{SECRET}"),
            format!("https://{SECRET}@{place}"),
        ]
    };
    let (there, absent, down) = (git(&format!("{host}/app")), git(&format!("{host}/none")), git(closed));
    let ssh = [format!("ssh://{SECRET}@{closed}/r"), format!("ssh://git:{SECRET}@{closed}/r")];
    let oci = [
        format!("oci://me:{SECRET}@{closed}/app"),
        format!("oci://{SECRET}@{closed}/app"),
        format!("oci://{closed}/app?private_token={SECRET}"),
        format!("oci://{closed}/app?private_token=a:{SECRET}"),
        format!("oci://{closed}/app#{SECRET}"),
    ];
    let git = there.iter().chain(&absent).chain(&down).chain(&ssh).map(|url| ("GitRepository", url));
    let mut names = Vec::new();
    for (n, (kind, url)) in git.chain(oci.iter().map(|url| ("OCIRepository", url))).enumerate() {
        let source = json!({
            "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": kind,
            "metadata": {"name": format!("source-{n}"), "labels": { SHARD: test.namespace }},
            "spec": {"interval": "1h", "timeout": "10s", "url": url},
        });
        test.objects.apply_one(&source, &test.namespace).await?;
        names.push(format!("{kind}/source-{n}"));
    }
    let mut texts = Vec::new();
    for name in &names {
        let is_judged = |object: &serde_json::Value| {
            object.condition("Ready").is_some_and(|ready| ready.status != "Unknown")
        };
        let object = test.until(name, "is judged", is_judged).await?;
        texts.push(format!("{name}: {}", object["status"]));
        let events = test.objects.events(&test.id(name)?).await?;
        texts.extend(events.iter().map(|event| format!("{name}: {}", event["message"])));
    }
    let metrics = controller.metrics().await?;
    for name in &names {
        let (_, name) = name.split_once('/').unwrap_or_default();
        assert!(metrics.contains(&format!("name=\"{name}\"")), "{name} is in no series");
    }
    texts.push(metrics);
    texts.push(controller.log_text());
    assert!(controller.log_text().contains("source-0"), "the log tells of the sources");
    // As it stands, and as `Authorization` headers have it.
    let forms = [SECRET, "Y2FuYXJ5NDcxMTo", "bWU6Y2FuYXJ5NDcxMQ"];
    let shows = |line: &&str| forms.iter().any(|form| line.contains(form));
    let found = texts.iter().flat_map(|text| text.lines()).filter(shows);
    assert_eq!(found.collect::<Vec<_>>(), Vec::<&str>::new());
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn secret_values_are_in_no_text_about_objects() -> Result<()> {
    const SECRET: &str = "canary4711";
    const NUMBER: &str = "8150447112";
    let test = Scenario::with_own_controllers("masked", &["--log-level=trace"]).await?;
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec:\n  replicas: ${VALUE}\n  \
        selector: {matchLabels: {a: b}}\n  template: {metadata: {labels: {a: b}}, spec: {containers: [{name: a, image: a}]}}\n";
    let secret = |field: &str, value: &str| {
        format!("apiVersion: v1\nkind: Secret\nmetadata: {{name: bad}}\n{field}: {{password: {value}}}\n")
    };
    test.repo.write("replicas/a.yaml", deployment)?;
    test.repo.write("name/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"${VALUE}_\"}\n")?;
    test.repo
        .write("alias/a.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: *${VALUE}\n")?;
    test.repo.write("number/a.yaml", &secret("stringData", NUMBER))?;
    test.repo.write("nested/a.yaml", &secret("stringData", &format!("{{a: {SECRET}}}")))?;
    test.repo.write("data/a.yaml", &secret("data", &format!("{SECRET}!")))?;
    test.repo.write("type/a.yaml", &format!("{}type: [{SECRET}]\n", secret("stringData", SECRET)))?;
    test.repo.write(
        "base/kustomization.yaml",
        &format!("resources: ['http://me:{SECRET}@127.0.0.1:1/o/r?ref={SECRET}']\n"),
    )?;
    test.repo.commit("start")?;
    test.objects
        .apply(
            &format!(
                "{{apiVersion: v1, kind: Secret, metadata: {{name: vars}}, stringData: {{VALUE: {SECRET}}}}}"
            ),
            &test.namespace,
        )
        .await?;
    test.apply_source().await?;
    test.ready("GitRepository/app").await?;
    let names = ["replicas", "name", "alias", "number", "nested", "data", "type", "base"];
    let from = "  postBuild:\n    substituteFrom: [{kind: Secret, name: vars}]";
    for name in names {
        test.apply(&test.kustomization_yaml(name, &format!("./{name}"), from)).await?;
    }
    let mut texts = Vec::new();
    for name in names {
        let name = format!("Kustomization/{name}");
        let failed = |object: &serde_json::Value| {
            object
                .condition("Ready")
                .is_some_and(|ready| ready.status == "False" && ready.reason != "ArtifactFailed")
        };
        let object = test.until(&name, "has failed", failed).await?;
        texts.push(format!("{name}: {}", object["status"]));
        let events = test.objects.events(&test.id(&name)?).await?;
        texts.extend(events.iter().map(|event| format!("{name}: {}", event["message"])));
    }
    // What is no secret is shown, as it helps to find the mistake.
    test.apply("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: open}\ndata: {VALUE: shown4711}\n").await?;
    for (name, from) in [
        ("map", "  path: ./name\n  postBuild: {substituteFrom: [{kind: ConfigMap, name: open}]}"),
        ("inline", "  path: ./name\n  postBuild: {substitute: {VALUE: shown4711}}"),
    ] {
        let yaml = test.kustomization_yaml(name, "./name", from).replacen("  path: ./name\n", "", 1);
        test.apply(&yaml).await?;
        let app = format!("Kustomization/{name}");
        test.condition(&app, "Ready", "False", "ReconciliationFailed", "shown4711_").await?;
    }
    let masked = |name: &str| {
        texts
            .iter()
            .any(|text| text.starts_with(&format!("Kustomization/{name}: ")) && text.contains("*****"))
    };
    assert!(masked("name") && masked("number"), "{texts:?}");
    for controller in [&test.pair()?.source, &test.pair()?.kustomize] {
        texts.extend([controller.metrics().await?, controller.log_text()]);
    }
    let log = test.pair()?.kustomize.log_text();
    assert!(log.contains("Reconciliation failed after"), "{log}");
    let found = texts
        .iter()
        .flat_map(|text| text.lines())
        .filter(|line| line.contains(SECRET) || line.contains(NUMBER));
    assert_eq!(found.collect::<Vec<_>>(), Vec::<&str>::new());
    test.finish().await
}
