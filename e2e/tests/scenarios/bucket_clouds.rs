//! Buckets of Google Cloud and of Azure: they are stored, followed and applied with each kind of credentials, and only what has
//! changed is fetched.

use std::ops::Deref;

use anyhow::{Context, Result};
use e2e::artifact::{artifact_entries, artifact_file};
use e2e::azure_server::{AzureServer, CLIENT, TENANT};
use e2e::gcs_server::{GcsServer, PROVIDER};
use e2e::object_store::{BUCKET, ObjectStore, gzip};
use e2e::objects::Look;
use e2e::real_stores::FakeGcs;
use e2e::scenario::{Scenario, Settings};
use e2e::testkit::config_map;
use serde_json::{Value, json};

use crate::bucket::{APP, allow_identities, secret, stores_another};

fn source(provider: &str, endpoint: &str, more: &str) -> String {
    format!(
        "apiVersion: source.toolkit.fluxcd.io/v1\nkind: Bucket\nmetadata: {{name: app}}\n\
         spec:\n  interval: 1h\n  provider: {provider}\n  endpoint: {endpoint}\n  bucketName: {BUCKET}\n{more}\n"
    )
}

async fn fails(test: &Scenario, reason: &str, text: &str) -> Result<()> {
    test.condition(APP, "FetchFailed", "True", reason, text).await.map(drop)
}

async fn patch(test: &Scenario, spec: &Value) -> Result<()> {
    test.patch(APP, &json!({"spec": spec})).await.map(drop)
}

fn fill(server: &impl Deref<Target = ObjectStore>) {
    server.put("app/map.yaml", &config_map("map", "1"));
    server.put_encoded("app/logo.png", &gzip(b"no picture"), "gzip");
    server.put("docs/a.md", "text");
    server.put("folder/", "");
    server.put(".sourceignore", "docs/\n");
    server.set_page(2);
}

/// What every store does once its bucket is ready: it is applied, a poll costs its list, and one change one object.
async fn is_followed(test: &Scenario, server: &ObjectStore) -> Result<()> {
    let pages = ["GET list"; 3];
    test.apply(&test.kustomization_yaml("app", "./app", "").replace("GitRepository", "Bucket")).await?;
    let app = test.ready(APP).await?;
    assert_eq!(artifact_entries(&app).await?, [".", ".sourceignore", "app", "app/logo.png", "app/map.yaml"]);
    assert_eq!(artifact_file(&app, "app/logo.png").await?, "no picture", "it is unpacked");
    let text = format!("stored artifact with 2 fetched files from '{BUCKET}' bucket");
    test.event(APP, "Normal", "NewArtifact", &text).await?;
    test.until("ConfigMap/map", "is applied", |o| o["data"]["value"] == "1").await?;
    server.take_requests();
    let before = test.run(APP).await?;
    assert_eq!(server.take_requests(), pages, "nothing is new");

    server.put("app/map.yaml", &config_map("map", "2"));
    test.request(APP).await?;
    let app = stores_another(test, before.text("/status/artifact/revision")).await?;
    let one = [&pages[..], &["GET object app/map.yaml"]].concat();
    assert_eq!(server.take_requests(), one, "one object has changed");
    assert_eq!(artifact_entries(&app).await?.len(), 5);
    assert_eq!(artifact_file(&app, "app/logo.png").await?, "no picture", "it is taken over");
    test.until("ConfigMap/map", "has the new value", |o| o["data"]["value"] == "2").await?;

    // What is gone or has changed since it was listed counts as it is.
    server.set_page(1000);
    server.put("app/new", "1");
    server.put("app/gone", "1");
    server.after_list("app/new", Some("2 and more"));
    server.after_list("app/gone", None);
    test.request(APP).await?;
    let app = stores_another(test, app.text("/status/artifact/revision")).await?;
    assert!(!artifact_entries(&app).await?.contains(&"app/gone".to_owned()));
    let before = test.run(APP).await?;
    assert_eq!(before["status"]["artifact"], app["status"]["artifact"], "the index follows the etag");

    patch(test, &json!({"ignore": "!docs/\n", "prefix": "docs"})).await?;
    let app = stores_another(test, before.text("/status/artifact/revision")).await?;
    assert_eq!(artifact_entries(&app).await?, [".", ".sourceignore", "docs", "docs/a.md"]);
    patch(test, &json!({"ignore": null, "prefix": null})).await?;
    stores_another(test, app.text("/status/artifact/revision")).await.map(drop)
}

/// Stores a new object, and waits until it is in an artifact, so that the credentials of now are those that work.
async fn works(test: &Scenario, server: &ObjectStore) -> Result<()> {
    let before = test.get(APP).await?.text("/status/artifact/revision").to_owned();
    server.put("more", &before);
    test.request(APP).await?;
    stores_another(test, &before).await.map(drop)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_google_is_followed_by_the_key_of_a_service_account_and_by_workload_identity()
-> Result<()> {
    let server = GcsServer::start().await?;
    let url = server.url();
    let environment =
        [("STORAGE_EMULATOR_HOST", url.as_str()), ("CLOUDSDK_API_ENDPOINT_OVERRIDES_STS", &url)];
    let settings = Settings { environment: &environment, ..Settings::default() };
    let test = Scenario::with_settings("bucket-google", settings).await?;
    let ns = &test.namespace;
    fill(&server);
    test.apply(&source("gcp", "ignored.example.com", "  secretRef: {name: keys}")).await?;
    fails(&test, "AuthenticationFailed", &format!("failed to get secret '{ns}/keys': ")).await?;
    let other = json!({"type": "authorized_user", "refresh_token": "s3cret"}).to_string();
    for (data, text) in [
        (json!({"x": "y"}), "invalid 'keys' secret data: required fields 'serviceaccount'"),
        (
            json!({"serviceaccount": other}),
            "invalid 'keys' secret data: 'serviceaccount' must contain a service account key with 'type' set to \
             'service_account'",
        ),
    ] {
        test.apply(&secret("keys", &data)).await?;
        test.request(APP).await?;
        fails(&test, "AuthenticationFailed", text).await?;
    }
    let old = server.key_file();
    server.rotate()?;
    test.apply(&secret("keys", &json!({"serviceaccount": old}))).await?;
    test.request(APP).await?;
    let text = format!(
        "failed to confirm existence of '{BUCKET}' bucket: failed to get a token of the Google service account: \
         400 Bad Request: wrong signature"
    );
    fails(&test, "BucketOperationFailed", &text).await?;
    test.apply(&secret("keys", &json!({"serviceaccount": server.key_file()}))).await?;
    patch(&test, &json!({"bucketName": "none"})).await?;
    fails(&test, "BucketOperationFailed", "bucket 'none' not found").await?;
    patch(&test, &json!({"bucketName": BUCKET})).await?;
    stores_another(&test, "").await?;
    is_followed(&test, &server).await?;

    // Another key: the token of the old one is good no more.
    server.rotate()?;
    test.request(APP).await?;
    let text = format!(
        "failed to confirm existence of '{BUCKET}' bucket: googleapi: Error 401: Invalid Credentials, authError"
    );
    fails(&test, "BucketOperationFailed", &text).await?;
    test.apply(&secret("keys", &json!({"serviceaccount": server.key_file()}))).await?;
    server.take_requests();
    works(&test, &server).await?;
    assert_eq!(server.take_requests().first().map(String::as_str), Some("POST /token"));

    // The service account of the cluster, for which the cloud has another token.
    allow_identities(&test).await?;
    patch(&test, &json!({"secretRef": null, "serviceAccountName": "team"})).await?;
    fails(&test, "AuthenticationFailed", &format!("failed to get service account '{ns}/team': ")).await?;
    let account = json!({
        "apiVersion": "v1", "kind": "ServiceAccount",
        "metadata": {"name": "team", "annotations": {"gcp.auth.fluxcd.io/workload-identity-provider": PROVIDER}},
    });
    test.apply(&account.to_string()).await?;
    server.take_requests();
    works(&test, &server).await?;
    assert_eq!(server.take_requests().first().map(String::as_str), Some("POST /v1/token"));
    assert_eq!(server.token(), "ya29.workload");
    let log = test.pair()?.source.log_text();
    for secret in ["PRIVATE KEY", "ya29.", "s3cret"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_of_the_fake_that_others_wrote_is_followed_without_credentials() -> Result<()> {
    let server = FakeGcs::start().await?;
    let environment = [("STORAGE_EMULATOR_HOST", server.address())];
    let flags = ["--bucket-object-max-size=1000000"];
    let settings = Settings { environment: &environment, source: &flags, ..Settings::default() };
    let test = Scenario::with_settings("bucket-fake-google", settings).await?;
    for (key, content) in [("app/map.yaml", config_map("map", "1")), ("a b+c/é?x=y", "odd".to_owned())] {
        server.put(BUCKET, key, &content).await?;
    }
    test.apply(&source("gcp", "storage.googleapis.com", "")).await?;
    test.apply(&test.kustomization_yaml("app", "./app", "").replace("GitRepository", "Bucket")).await?;
    let app = stores_another(&test, "").await?;
    let expected = [".", "a b+c", "a b+c/é?x=y", "app", "app/map.yaml"];
    assert_eq!(artifact_entries(&app).await?, expected);
    test.until("ConfigMap/map", "is applied", |o| o["data"]["value"] == "1").await?;
    server.put(BUCKET, "app/map.yaml", &config_map("map", "2")).await?;
    test.request(APP).await?;
    test.until("ConfigMap/map", "has the new value", |o| o["data"]["value"] == "2").await?;

    // What is stored packed is unpacked, within the limits of what is not.
    server.put_packed(BUCKET, "app/map.yaml", config_map("map", "3").as_bytes()).await?;
    server.put_packed(BUCKET, "large", &vec![0; 1_000_000]).await?;
    test.request(APP).await?;
    test.until("ConfigMap/map", "has the packed value", |o| o["data"]["value"] == "3").await?;
    let app = test.ready(APP).await?;
    assert_eq!(artifact_file(&app, "large").await?.len(), 1_000_000);
    server.put_packed(BUCKET, "large", &vec![0; 1_000_001]).await?;
    test.request(APP).await?;
    let text = format!(
        "fetch from bucket '{BUCKET}' failed: failed to get 'large' object: more than 1000000 bytes once unpacked"
    );
    fails(&test, "BucketOperationFailed", &text).await?;
    patch(&test, &json!({"bucketName": "none"})).await?;
    fails(&test, "BucketOperationFailed", "bucket 'none' not found").await?;
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_of_azure_is_followed_by_the_key_of_its_account_and_by_a_signature() -> Result<()> {
    let test = Scenario::with_own_controllers("bucket-azure", &[]).await?;
    let server = AzureServer::start(false).await?;
    fill(&server);
    test.apply(&source("azure", &server.url(), "  secretRef: {name: keys}")).await?;
    fails(&test, "AuthenticationFailed", &format!("failed to get secret '{}/keys': ", test.namespace))
        .await?;
    let nothing = "invalid 'keys' secret data: requires a 'clientId' or 'accountKey' field, a combination of 'tenantId', \
                   'clientId' and 'clientSecret', or 'tenantId', 'clientId' and 'clientCertificate'";
    let unknown = format!(
        "failed to confirm existence of '{BUCKET}' bucket: the specified bucket name may be incorrect, nonexistent, or the \
         caller might lack sufficient permissions to access it: RESPONSE 403: AuthenticationFailed: "
    );
    let machine =
        "Azure authentication failed: the controller's own credentials are not for the host '127.0.0.1'";
    for (data, reason, text) in [
        (json!({"tenantId": TENANT}), "AuthenticationFailed", nothing),
        (json!({"authorityHost": "https://h"}), "AuthenticationFailed", nothing),
        (json!({"accountKey": "s3cret!"}), "AuthenticationFailed", "decode account key: "),
        (
            json!({"sasKey": "sig=s3cret%"}),
            "AuthenticationFailed",
            "unable to parse SAS token: invalid URL escape",
        ),
        // The machine of the controller is nobody's but the operator's.
        (json!({"clientId": CLIENT}), "AuthenticationFailed", machine),
        (json!({"accountKey": "c3RyYW5nZXI="}), "BucketOperationFailed", &unknown),
        (json!({"sasKey": "sv=1&sig=s3cret"}), "BucketOperationFailed", &unknown),
    ] {
        test.kubectl(&["delete", "secret", "keys", "--ignore-not-found"])?;
        test.apply(&secret("keys", &data)).await?;
        test.request(APP).await?;
        fails(&test, reason, text).await?;
    }
    test.kubectl(&["delete", "secret", "keys"])?;
    test.apply(&secret("keys", &json!({"accountKey": server.account_key()}))).await?;
    patch(&test, &json!({"bucketName": "none"})).await?;
    fails(&test, "BucketOperationFailed", "bucket 'none' not found").await?;
    patch(&test, &json!({"bucketName": BUCKET})).await?;
    stores_another(&test, "").await?;
    is_followed(&test, &server).await?;

    server.rotate();
    test.request(APP).await?;
    fails(&test, "BucketOperationFailed", &unknown).await?;
    test.apply(&secret("keys", &json!({"accountKey": server.account_key()}))).await?;
    works(&test, &server).await?;
    for key in [server.sas_key(), format!("?{}", server.sas_key())] {
        test.kubectl(&["delete", "secret", "keys"])?;
        test.apply(&secret("keys", &json!({"sasKey": key}))).await?;
        works(&test, &server).await?;
    }
    // The query of a URL is in no text.
    server.fail(
        100,
        "GET list",
        403,
        "<Error><Code>AuthorizationFailure</Code><Message>no</Message></Error>",
    );
    test.request(APP).await?;
    let text =
        format!("failed to confirm existence of '{BUCKET}' bucket: RESPONSE 403: AuthorizationFailure: no");
    fails(&test, "BucketOperationFailed", &text).await?;
    let log = test.pair()?.source.log_text();
    for secret in [server.account_key().as_str(), "SharedKey", "sig=", "s3cret"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    test.finish().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_of_azure_is_followed_by_an_application_and_by_workload_identity() -> Result<()> {
    let server = AzureServer::start(true).await?;
    let folder = e2e::process::temp_folder("azure")?;
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, server.ca_pem().context("an authority")?)?;
    let (url, ca) = (server.url(), ca.display().to_string());
    // Neither provider reads certSecretRef, so the authority is one of the system's.
    let environment = [("SSL_CERT_FILE", ca.as_str()), ("AZURE_AUTHORITY_HOST", &url)];
    let settings = Settings { environment: &environment, ..Settings::default() };
    let test = Scenario::with_settings("bucket-azure-entra", settings).await?;
    fill(&server);
    let application = |secret_text: &str| {
        let data = json!({"tenantId": TENANT, "clientId": CLIENT, "clientSecret": secret_text, "authorityHost": url});
        secret("keys", &data)
    };
    test.apply(&application("wr0ng")).await?;
    test.apply(&source("azure", &url, "  secretRef: {name: keys}")).await?;
    let text = format!(
        "failed to confirm existence of '{BUCKET}' bucket: failed to get a token from Microsoft Entra: \
         401 Unauthorized: wrong secret"
    );
    fails(&test, "BucketOperationFailed", &text).await?;
    test.apply(&application(&server.client_secret())).await?;
    test.request(APP).await?;
    stores_another(&test, "").await?;
    is_followed(&test, &server).await?;
    server.rotate();
    test.apply(&application(&server.client_secret())).await?;
    server.take_requests();
    works(&test, &server).await?;
    assert_eq!(server.take_requests().first().map(String::as_str), Some("POST token"));

    // Without a Secret it is the controller, whose token is not for this host, or the service account of the cluster.
    patch(&test, &json!({"secretRef": null})).await?;
    let text =
        "Azure authentication failed: the controller's own credentials are not for the host '127.0.0.1'";
    fails(&test, "AuthenticationFailed", text).await?;
    allow_identities(&test).await?;
    let account = |annotations: Value| json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "team", "annotations": annotations}});
    test.apply(&account(json!({"azure.workload.identity/tenant-id": TENANT})).to_string()).await?;
    patch(&test, &json!({"serviceAccountName": "team"})).await?;
    let text = format!(
        "failed to confirm existence of '{BUCKET}' bucket: failed to get provider identity from service account \
         '{}/team' annotations: azure client ID is not set in the service account annotation \
         azure.workload.identity/client-id",
        test.namespace
    );
    fails(&test, "BucketOperationFailed", &text).await?;
    let annotations =
        json!({"azure.workload.identity/tenant-id": TENANT, "azure.workload.identity/client-id": CLIENT});
    test.apply(&account(annotations).to_string()).await?;
    server.take_requests();
    works(&test, &server).await?;
    assert_eq!(server.take_requests().first().map(String::as_str), Some("POST token"));
    let log = test.pair()?.source.log_text();
    for secret in [server.client_secret().as_str(), &server.token(), "wr0ng"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
    test.finish().await
}
