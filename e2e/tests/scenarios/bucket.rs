//! Sources in a bucket: it is stored, followed and applied, and only what has changed is fetched.

use anyhow::Result;
use e2e::artifact::{artifact_entries, download};
use e2e::cluster::User;
use e2e::controller::Controller;
use e2e::objects::Look;
use e2e::real_stores::VersityGateway;
use e2e::s3_server::{
    ACCESS_KEY, BUCKET, LDAP_PASSWORD, LDAP_USER, REGION, ROLE, S3Server, SECRET_KEY, SESSION_TOKEN,
};
use e2e::scenario::{SHARD, Scenario};
use e2e::testkit::config_map;
use serde_json::{Value, json};

use crate::flux_cli::Flux;

pub const APP: &str = "Bucket/app";

/// Bucket `app`, with further lines of spec, indented by two.
fn source(server: &S3Server, more: &str) -> String {
    format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: Bucket\nmetadata: {{name: app}}\n\
         spec:\n  interval: 1h\n  endpoint: {}\n  bucketName: {BUCKET}\n{more}\n",
        server.endpoint()
    )
}

pub fn secret(name: &str, data: &Value) -> String {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "stringData": data}).to_string()
}

fn keys() -> String {
    secret("keys", &json!({"accesskey": ACCESS_KEY, "secretkey": SECRET_KEY}))
}

/// Waits until the source has another artifact than that of `revision`.
pub async fn stores_another(test: &Scenario, revision: &str) -> Result<Value> {
    test.until(APP, &format!("has another revision than {revision:?}"), |o| {
        let now = o.text("/status/artifact/revision");
        o.is_ready() && !now.is_empty() && now != revision
    })
    .await
}

/// Lets source-controller have tokens of service accounts.
pub async fn allow_identities(test: &Scenario) -> Result<()> {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "identity"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": "flux-object-identity-flux-system",
        },
        "subjects": [{"kind": "ServiceAccount", "name": "source-controller", "namespace": "flux-system"}],
    });
    let role = std::fs::read_to_string(e2e::workspace().join("config/rbac/workload-identity/role.yaml"))?;
    test.apply(&role).await?;
    test.apply(&binding.to_string()).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_is_stored_followed_and_applied() -> Result<()> {
    let mut test = Scenario::with_own_controllers("bucket", &[]).await?;
    let server = S3Server::start(true).await?;
    server.put("app/map.yaml", &config_map("map", "1"));
    server.put("app/logo.png", "no picture");
    server.put("docs/a.md", "text");
    server.put("folder/", "");
    server.put(".sourceignore", "docs/\n");
    test.apply(&keys()).await?;
    test.apply(&secret("ca", &json!({"ca.crt": server.ca_pem().unwrap()}))).await?;
    let more = "  secretRef: {name: keys}\n  certSecretRef: {name: ca}";
    test.apply(&source(&server, more)).await?;
    test.apply(&test.kustomization_yaml("app", "./app", "").replace("GitRepository", "Bucket")).await?;
    let app = stores_another(&test, "").await?;
    assert_eq!(artifact_entries(&app).await?, [".", ".sourceignore", "app", "app/logo.png", "app/map.yaml"]);
    let first = app.text("/status/artifact/revision").to_owned();
    let hex = first.strip_prefix("sha256:").unwrap_or_default();
    let path = format!("bucket/{}/app/{hex}.tar.gz", test.namespace);
    assert_eq!(app.text("/status/artifact/path"), path);
    let text = format!("stored artifact: revision '{first}'");
    test.condition(APP, "Ready", "True", "Succeeded", &text).await?;
    let text = format!("stored artifact with 2 fetched files from '{BUCKET}' bucket");
    test.event(APP, "Normal", "NewArtifact", &text).await?;
    test.until("ConfigMap/map", "is applied", |o| o["data"]["value"] == "1").await?;
    test.ready("Kustomization/app").await?;
    let mut requests = server.take_requests();
    // Objects are fetched side by side.
    requests.get_mut(3..).unwrap_or_default().sort();
    let expected = [
        "GET location",
        "GET list",
        "GET object .sourceignore",
        "GET object app/logo.png",
        "GET object app/map.yaml",
    ];
    assert_eq!(requests, expected);

    // Nothing new: one list, and nothing is written.
    let before = test.run(APP).await?;
    let after = test.run(APP).await?;
    assert_eq!(after["status"]["artifact"], before["status"]["artifact"]);
    assert_eq!(server.take_requests(), ["GET list", "GET list"]);

    // One object has changed: it alone is fetched, also by a process that knows nothing.
    for (value, restart) in [("2", false), ("3", true)] {
        if restart {
            test.own()?.source.restart().await?;
            test.run(APP).await?;
            server.take_requests();
        }
        let before = test.get(APP).await?.text("/status/artifact/revision").to_owned();
        server.put("app/map.yaml", &config_map("map", value));
        test.request(APP).await?;
        let app = stores_another(&test, &before).await?;
        assert_eq!(server.take_requests(), ["GET list", "GET object app/map.yaml"]);
        assert_eq!(artifact_entries(&app).await?.len(), 5);
        test.until("ConfigMap/map", "has the new value", |o| o["data"]["value"] == value).await?;
    }

    // What is gone or has changed since it was listed counts as it is.
    let before = test.get(APP).await?.text("/status/artifact/revision").to_owned();
    server.put("app/new", "1");
    server.put("app/gone", "1");
    server.after_list("app/new", Some("2 and more"));
    server.after_list("app/gone", None);
    test.request(APP).await?;
    let app = stores_another(&test, &before).await?;
    assert!(!artifact_entries(&app).await?.contains(&"app/gone".to_owned()));
    let before = test.run(APP).await?;
    assert_eq!(before["status"]["artifact"], app["status"]["artifact"], "the index follows the etag");

    // Other rules and a prefix act through the index.
    test.patch(APP, &json!({"spec": {"ignore": "*.png\n!docs/\n", "prefix": "docs"}})).await?;
    let app = stores_another(&test, before.text("/status/artifact/revision")).await?;
    assert_eq!(artifact_entries(&app).await?, [".", ".sourceignore", "docs", "docs/a.md"]);
    assert_eq!(app["status"]["observedIgnore"], "*.png\n!docs/\n");
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_a_store_that_others_wrote_is_followed() -> Result<()> {
    let test = Scenario::with_own_controllers("bucket-versity", &[]).await?;
    let server = VersityGateway::start().await?;
    for (key, content) in [("app/map.yaml", config_map("map", "1")), ("a b+c/é~?x=y", "odd".to_owned())] {
        server.put(key, &content).await?;
    }
    test.apply(&keys()).await?;
    let yaml = format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: Bucket\nmetadata: {{name: app}}\n\
         spec:\n  interval: 1h\n  endpoint: {}\n  bucketName: {BUCKET}\n  insecure: true\n  secretRef: {{name: keys}}\n",
        server.address()
    );
    test.apply(&yaml).await?;
    test.apply(&test.kustomization_yaml("app", "./app", "").replace("GitRepository", "Bucket")).await?;
    let app = stores_another(&test, "").await?;
    assert_eq!(artifact_entries(&app).await?, [".", "a b+c", "a b+c/é~?x=y", "app", "app/map.yaml"]);
    test.until("ConfigMap/map", "is applied", |o| o["data"]["value"] == "1").await?;
    server.put("app/map.yaml", &config_map("map", "2")).await?;
    test.request(APP).await?;
    test.until("ConfigMap/map", "has the new value", |o| o["data"]["value"] == "2").await?;
    let fails = async |text: &str| {
        test.condition(APP, "FetchFailed", "True", "BucketOperationFailed", text).await.map(drop)
    };
    test.patch(APP, &json!({"spec": {"bucketName": "none"}})).await?;
    fails("bucket 'none' not found").await?;
    test.apply(&secret("keys", &json!({"accesskey": ACCESS_KEY, "secretkey": "wr0ngs3cret"}))).await?;
    test.patch(APP, &json!({"spec": {"bucketName": BUCKET}})).await?;
    fails(&format!("failed to confirm existence of '{BUCKET}' bucket: ")).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_artifact_whose_record_is_lost_is_fetched_as_a_whole() -> Result<()> {
    let test = Scenario::with_own_controllers("bucket-lost", &[]).await?;
    let server = S3Server::start(false).await?;
    server.put("a", "1");
    server.put("b", "1");
    test.apply(&keys()).await?;
    test.apply(&source(&server, "  insecure: true\n  secretRef: {name: keys}")).await?;
    let first = stores_another(&test, "").await?;
    let path = test.pair()?.source.storage().join(first.text("/status/artifact/path"));
    let record = path.with_file_name(format!("{}.sidecar", path.file_name().unwrap().to_string_lossy()));
    std::fs::write(&record, std::fs::read(&record)?.split_last().map(|(_, rest)| rest).unwrap_or_default())?;
    server.put("b", "2");
    server.take_requests();
    test.request(APP).await?;
    let second = stores_another(&test, first.text("/status/artifact/revision")).await?;
    let mut requests = server.take_requests();
    requests.sort();
    assert_eq!(requests, ["GET list", "GET object a", "GET object b"]);
    assert_eq!(artifact_entries(&second).await?, [".", "a", "b"]);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_a_bucket_are_told_in_the_words_of_flux() -> Result<()> {
    let test = Scenario::with_own_controllers("bucket-faults", &[]).await?;
    let server = S3Server::start(false).await?;
    server.put("a", "1");
    test.apply(&source(&server, "  insecure: true\n  secretRef: {name: keys}")).await?;
    let ns = &test.namespace;
    let fails = async |reason: &str, text: &str| {
        test.condition(APP, "FetchFailed", "True", reason, text).await.map(drop)
    };
    fails("AuthenticationFailed", &format!("failed to get secret '{ns}/keys': ")).await?;
    test.apply(&secret("keys", &json!({"accesskey": ACCESS_KEY}))).await?;
    test.request(APP).await?;
    let text = "invalid 'keys' secret data: required fields 'accesskey' and 'secretkey'";
    fails("AuthenticationFailed", text).await?;
    test.apply(&secret("keys", &json!({"accesskey": ACCESS_KEY, "secretkey": "wr0ngs3cret"}))).await?;
    test.request(APP).await?;
    fails("BucketOperationFailed", &format!("failed to confirm existence of '{BUCKET}' bucket: ")).await?;
    test.apply(&keys()).await?;
    for (spec, reason, text) in [
        (json!({"bucketName": "none"}), "BucketOperationFailed", "bucket 'none' not found"),
        (
            json!({"bucketName": "x"}),
            "BucketOperationFailed",
            "failed to confirm existence of 'x' bucket: Bucket name cannot be shorter than 3 characters",
        ),
        (
            json!({"bucketName": BUCKET, "endpoint": "127.0.0.1:1"}),
            "BucketOperationFailed",
            "failed to confirm existence of 'team' bucket: GET \"http://127.0.0.1:1/team/\": ",
        ),
        (
            json!({"endpoint": "https://h"}),
            "AuthenticationFailed",
            "Endpoint url cannot have fully qualified paths.",
        ),
        (
            json!({"endpoint": server.endpoint(), "proxySecretRef": {"name": "proxy"}}),
            "AuthenticationFailed",
            "failed to get proxy URL: secret '",
        ),
        (
            json!({"proxySecretRef": null, "certSecretRef": {"name": "tls"}}),
            "AuthenticationFailed",
            "failed to get TLS config: secret '",
        ),
    ] {
        test.patch(APP, &json!({"spec": spec})).await?;
        fails(reason, text).await?;
    }
    test.patch(APP, &json!({"spec": {"certSecretRef": null}})).await?;
    stores_another(&test, "").await?;
    server.put("a", "2");
    server.fail(100, "GET object a", 403, "<Error><Code>AccessDenied</Code><Message>no</Message></Error>");
    test.request(APP).await?;
    fails("BucketOperationFailed", "fetch from bucket 'team' failed: failed to get 'a' object: no").await?;
    assert_eq!(test.get(APP).await?.condition("ArtifactOutdated"), None, "nothing new was fetched");
    server.heal();
    server.set_page(1);
    server.put("b", "1");
    server.set_circle(true);
    test.request(APP).await?;
    let text = "indexation of objects from bucket 'team' failed: listing objects from bucket 'team' failed: \
                the list goes round in a circle";
    fails("BucketOperationFailed", text).await?;
    server.heal();
    let stalls = async |spec: Value, reason: &str, text: &str| {
        test.patch(APP, &json!({"spec": spec})).await?;
        test.condition(APP, "Stalled", "True", reason, text).await.map(drop)
    };
    let sts = json!({"provider": "ldap", "endpoint": "https://h:port"});
    let text = "failed to parse STS endpoint 'https://h:port': invalid port number";
    stalls(json!({"provider": "generic", "sts": sts}), "URLInvalid", text).await?;
    test.patch(APP, &json!({"spec": {"sts": null}})).await?;
    stores_another(&test, "").await?;
    let log = test.pair()?.source.log_text();
    for secret in [SECRET_KEY, "wr0ngs3cret", "Signature="] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_gets_keys_from_a_directory_or_needs_none() -> Result<()> {
    let test = Scenario::with_own_controllers("bucket-ldap", &[]).await?;
    let server = S3Server::start(false).await?;
    server.put("a", "1");
    let sts = format!("  sts: {{provider: ldap, endpoint: '{}', secretRef: {{name: ldap}}}}", server.url());
    test.apply(&source(&server, &format!("  insecure: true\n{sts}"))).await?;
    let fails = async |text: &str| {
        test.condition(APP, "FetchFailed", "True", "AuthenticationFailed", text).await.map(drop)
    };
    fails(&format!("failed to get STS secret '{}/ldap': ", test.namespace)).await?;
    test.apply(&secret("ldap", &json!({"username": LDAP_USER, "password": "wr0ngs3cret"}))).await?;
    test.patch(APP, &json!({"spec": {"sts": {"certSecretRef": {"name": "tls"}}}})).await?;
    fails(&format!("failed to get STS TLS config: secret '{}/tls' ", test.namespace)).await?;
    test.apply(&secret("tls", &json!({"ca.crt": "garbage"}))).await?;
    test.request(APP).await?;
    fails("failed to get STS TLS config: failed to parse CA certificate: ").await?;
    test.patch(APP, &json!({"spec": {"sts": {"certSecretRef": null}}})).await?;
    let text = "failed to confirm existence of 'team' bucket: failed to get credentials: 400 Bad Request";
    test.condition(APP, "FetchFailed", "True", "BucketOperationFailed", text).await?;
    test.apply(&secret("ldap", &json!({"username": LDAP_USER, "password": LDAP_PASSWORD}))).await?;
    test.request(APP).await?;
    let app = stores_another(&test, "").await?;
    assert!(!download(&app).await?.is_empty());
    server.take_requests();
    test.run(APP).await?;
    assert_eq!(server.take_requests(), ["GET list"], "the keys are kept");
    test.apply(&secret("ldap", &json!({"username": LDAP_USER, "password": ""}))).await?;
    test.request(APP).await?;
    let text = "invalid 'ldap' secret data: required fields 'username' and 'password'";
    test.condition(APP, "FetchFailed", "True", "AuthenticationFailed", text).await?;
    let log = test.pair()?.source.log_text();
    for secret in [SECRET_KEY, SESSION_TOKEN, LDAP_PASSWORD, "wr0ngs3cret"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    // Without keys requests are not signed.
    server.set_anonymous(true);
    test.patch(APP, &json!({"spec": {"sts": null}})).await?;
    test.ready(APP).await?;
    server.put("a", "2");
    test.request(APP).await?;
    stores_another(&test, app.text("/status/artifact/revision")).await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_aws_has_the_identity_of_its_service_account_and_the_controller_its_own_hosts()
-> Result<()> {
    let test = Scenario::new("bucket-identity").await?;
    let server = S3Server::start(false).await?;
    server.put("a", "1");
    let selector = test.selector();
    let environment = [
        ("AWS_ENDPOINT_URL_STS", server.url()),
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
        ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
    ];
    let environment: Vec<_> = environment.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let _controller =
        Controller::start_in_environment(test.cluster, User::SourceController, &[&selector], &environment)
            .await?;
    allow_identities(&test).await?;
    let shard = format!("metadata: {{name: app, labels: {{{SHARD}: {}}}}}", test.namespace);
    let more = "  insecure: true\n  provider: aws";
    test.apply(&source(&server, more).replace("metadata: {name: app}", &shard)).await?;
    // The endpoint is a tenant's.
    let text = "AWS authentication failed: the controller's own credentials are not for the host '127.0.0.1'";
    test.condition(APP, "FetchFailed", "True", "AuthenticationFailed", text).await?;
    test.patch(APP, &json!({"spec": {"serviceAccountName": "team"}})).await?;
    let text = format!("failed to get service account '{}/team': ", test.namespace);
    test.condition(APP, "FetchFailed", "True", "AuthenticationFailed", &text).await?;
    let mut account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "team", "annotations": {"credential.auth.fluxcd.io/provider": "kubernetes"}},
    });
    test.apply(&account.to_string()).await?;
    test.request(APP).await?;
    let text = format!("failed to build spec for service account '{}/team': ", test.namespace);
    test.condition(APP, "FetchFailed", "True", "AuthenticationFailed", &text).await?;
    account["metadata"]["annotations"] = json!({"eks.amazonaws.com/role-arn": ROLE});
    test.objects.delete(&test.id("ServiceAccount/team")?).await?;
    test.apply(&account.to_string()).await?;
    test.request(APP).await?;
    let text = "AWS authentication failed: an AWS region is required";
    test.condition(APP, "FetchFailed", "True", "AuthenticationFailed", text).await?;
    server.take_requests();
    test.patch(APP, &json!({"spec": {"region": REGION}})).await?;
    stores_another(&test, "").await?;
    assert_eq!(server.take_requests(), ["POST sts", "GET list", "GET object a"]);
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn flux_creates_and_shows_a_bucket() -> Result<()> {
    let flux = Flux::new("flux-bucket").await?;
    let test = &flux.test;
    let server = S3Server::start(false).await?;
    server.put("map.yaml", &config_map("map", "1"));
    let (bucket, endpoint) = (format!("--bucket-name={BUCKET}"), format!("--endpoint={}", server.endpoint()));
    let (access, secret) = (format!("--access-key={ACCESS_KEY}"), format!("--secret-key={SECRET_KEY}"));
    let said = flux.run(&[
        "create",
        "source",
        "bucket",
        "app",
        "--provider=generic",
        &bucket,
        &endpoint,
        &access,
        &secret,
        "--insecure",
        "--interval=1h",
    ])?;
    assert!(said.contains("✔ fetched revision: sha256:"), "{said}");
    let table = flux.table(&["get", "sources", "bucket"])?;
    assert_eq!(table[1][0], "app");
    assert_eq!(table[1][2..4], ["False", "True"], "{table:?}");
    server.put("map.yaml", &config_map("map", "2"));
    let said = flux.run(&["reconcile", "source", "bucket", "app"])?;
    assert!(said.contains("✔ fetched revision sha256:"), "{said}");
    flux.run(&["suspend", "source", "bucket", "app"])?;
    flux.run(&["resume", "source", "bucket", "app"])?;
    let exported = flux.run(&["export", "source", "bucket", "app"])?;
    assert!(exported.contains(&format!("bucketName: {BUCKET}")), "{exported}");
    flux.run(&["delete", "source", "bucket", "app", "--silent"])?;
    test.gone(APP).await?;
    flux.test.finish().await
}
