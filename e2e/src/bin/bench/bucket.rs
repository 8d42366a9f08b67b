//! What a bucket of N objects costs at each kind of store: first, when nothing has changed, and when one object has.

use anyhow::{Context, Result};
use e2e::azure_server::AzureServer;
use e2e::gcs_server::GcsServer;
use e2e::object_store::{BUCKET, ObjectStore};
use e2e::objects::Look;
use e2e::s3_server::{ACCESS_KEY, S3Server, SECRET_KEY};
use e2e::scenario::{Scenario, Settings};
use serde_json::{Value, json};

use super::{Cost, all, phase};

/// The kinds of stores.
pub const STORES: [&str; 3] = ["generic", "gcp", "azure"];
const APP: &str = "Bucket/app";
/// Objects in one folder.
const FOLDER: usize = 1000;

/// Measures and prints those of the `stores` that are named.
pub async fn table(count: usize, stores: &[&str]) -> Result<()> {
    println!("by {}", super::measured("source-controller")?);
    println!(
        "Bucket of {count} objects: first, no change, one has changed, peak; requests for lists+objects+others"
    );
    if stores.contains(&"generic") {
        let server = S3Server::start(false).await?;
        let keys = json!({"accesskey": ACCESS_KEY, "secretkey": SECRET_KEY});
        row("generic", &server, &server.endpoint(), "127.0.0.1:1", &keys, count).await?;
    }
    if stores.contains(&"gcp") {
        let server = GcsServer::start().await?;
        let keys = json!({"serviceaccount": server.key_file()});
        row("gcp", &server, "storage.googleapis.com", &server.url(), &keys, count).await?;
    }
    if stores.contains(&"azure") {
        let server = AzureServer::start(false).await?;
        let keys = json!({"accountKey": server.account_key()});
        row("azure", &server, &server.url(), "127.0.0.1:1", &keys, count).await?;
    }
    Ok(())
}

async fn row(
    provider: &str,
    server: &ObjectStore,
    endpoint: &str,
    emulator: &str,
    keys: &Value,
    count: usize,
) -> Result<()> {
    for number in 0..count {
        server.put(&key(number), &content(number, "first"));
    }
    let environment = [("STORAGE_EMULATOR_HOST", emulator)];
    let settings = Settings { environment: &environment, ..Settings::default() };
    let test = Scenario::with_settings(&format!("bench-bucket-{provider}"), settings).await?;
    let process = test.pair()?.source.id().context("not running")?;
    let secret =
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "keys"}, "stringData": keys});
    test.apply(&secret.to_string()).await?;
    let bucket = json!({
        "apiVersion": "source.toolkit.fluxcd.io/v1", "kind": "Bucket", "metadata": {"name": "app"},
        "spec": {
            "interval": "1h", "timeout": "20m", "provider": provider, "endpoint": endpoint, "bucketName": BUCKET,
            "insecure": true, "secretRef": {"name": "keys"},
        },
    });
    let first = phase(process, async || {
        test.apply(&bucket.to_string()).await?;
        has_other(&test, "").await
    })
    .await?;
    let of_first = requests(server);
    let no_change = phase(process, async || test.run(APP).await.map(drop)).await?;
    let of_no_change = requests(server);
    let one = phase(process, async || {
        let before = test.get(APP).await?.text("/status/artifact/revision").to_owned();
        server.put(&key(count / 2), &content(count / 2, "second"));
        test.request(APP).await?;
        has_other(&test, &before).await
    })
    .await?;
    let of_one = requests(server);
    let peak = test.pair()?.source.usage()?.peak_kib >> 10;
    println!(
        "{provider:<10} {} {} {} {peak:>5} MiB",
        told(&first, of_first),
        told(&no_change, of_no_change),
        told(&one, of_one)
    );
    test.finish().await
}

fn key(number: usize) -> String {
    format!("folder-{}/object-{number}.yaml", number / FOLDER)
}

fn content(number: usize, value: &str) -> String {
    format!("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: object-{number}\ndata:\n  value: {value}\n")
}

/// Waits until the bucket is ready with another revision.
async fn has_other(test: &Scenario, revision: &str) -> Result<()> {
    all(test, "Bucket", 1, |object| {
        let now = object.text("/status/artifact/revision");
        object.is_ready() && !now.is_empty() && now != revision
    })
    .await
}

/// Lists, objects, and what else was asked for since the last time.
fn requests(server: &ObjectStore) -> [usize; 3] {
    let lines = server.take_requests();
    let count = |what: &str| lines.iter().filter(|line| line.starts_with(what)).count();
    let (lists, objects) = (count("GET list"), count("GET object"));
    [lists, objects, lines.len() - lists - objects]
}

fn told(cost: &Cost, [lists, objects, others]: [usize; 3]) -> String {
    format!("{:>6.2} s CPU {:>5.1} s {lists:>3}+{objects:<5}+{others:<5}", cost.cpu, cost.wall)
}
