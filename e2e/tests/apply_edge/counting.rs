//! How many requests it takes.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn an_install_takes_two_requests_an_object_and_a_run_without_changes_one() -> Result<()> {
    let bed = Bed::new("counts").await?;
    let mut memory = Memory::new();
    assert_eq!(
        bed.apply(APP, &mut memory).await?,
        ["ConfigMap/a created", "Secret/s created", "Service/web created", "Deployment/web created"]
    );
    assert_eq!(bed.take_requests(), repeated(&[("PATCH", 4), ("PATCH dry-run", 4)]));
    // The Deployment's status moves its version on.
    bed.available("Deployment/web").await?;
    let versions = async || -> Result<Vec<String>> {
        let mut all = Vec::new();
        for text in ["ConfigMap/a", "Secret/s", "Service/web", "Deployment/web"] {
            all.push(bed.live(text).await?.text("/metadata/resourceVersion").to_owned());
        }
        Ok(all)
    };
    let before = versions().await?;
    age().await;
    let unchanged =
        ["ConfigMap/a unchanged", "Secret/s unchanged", "Service/web unchanged", "Deployment/web unchanged"];
    assert_eq!(bed.apply(APP, &mut memory).await?, unchanged);
    assert_eq!(bed.take_requests(), repeated(&[("PATCH dry-run", 4)]));
    assert_eq!(bed.apply(APP, &mut memory).await?, unchanged);
    assert_eq!(bed.take_requests(), repeated(&[("PATCH dry-run", 4)]));
    // As after a restart.
    let mut memory = Memory::new();
    assert_eq!(bed.apply(APP, &mut memory).await?, unchanged);
    assert_eq!(bed.take_requests(), repeated(&[("GET", 4), ("PATCH dry-run", 4)]));
    assert_eq!(bed.apply(APP, &mut memory).await?, unchanged);
    assert_eq!(bed.take_requests(), repeated(&[("PATCH dry-run", 4)]));
    assert_eq!(versions().await?, before);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_manifest_configures_that_object_only() -> Result<()> {
    let bed = Bed::new("change").await?;
    let mut memory = Memory::new();
    bed.apply(APP, &mut memory).await?;
    age().await;
    let changed = APP.replace("image: web", "image: web:2");
    let got = bed.apply(&changed, &mut memory).await?;
    assert_eq!(
        got,
        ["ConfigMap/a unchanged", "Secret/s unchanged", "Service/web unchanged", "Deployment/web configured"]
    );
    assert_eq!(bed.take_requests(), repeated(&[("PATCH", 1), ("PATCH dry-run", 4)]));
    // The same content in other words.
    age().await;
    let reworded = changed.replace("1000m", "1");
    let got = bed.apply(&reworded, &mut memory).await?;
    assert_eq!(got.last().map(String::as_str), Some("Deployment/web unchanged"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unreachable_server_costs_a_few_deadlines_not_one_an_object() -> Result<()> {
    let mut bed = Bed::new("silent").await?;
    let maps: Vec<String> = (0..40).map(|i| MAP.replace("name: a", &format!("name: m{i}"))).collect();
    let manifests = bed.prepared(&maps.join("\n---\n"))?;
    // Takes connections and never answers.
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let config = Config::new(format!("http://{}", silent.local_addr()?).parse()?);
    let client = recording(Client::try_from(config)?, bed.requests.clone(), None);
    bed.options = Options { concurrency: 2, request_timeout: Duration::from_millis(200), ..bed.options };
    let applier = Applier::new(client.clone(), bed.mapper.clone(), MANAGER, bed.options.clone());
    let error = applier.apply_stage(&manifests, &Memory::new(), |_| async { Ok(()) }).await.unwrap_err();
    assert!(error.to_string().contains("no answer from the API server within 200ms"), "{error}");
    let sent = bed.take_requests().len();
    assert!(sent <= 4, "{sent} requests");

    let entries: Vec<Entry> = manifests.iter().map(|m| Entry { id: m.id(), version: "v1".into() }).collect();
    let options = PruneOptions {
        manager: MANAGER,
        owner: bed.owner(),
        keep: Default::default(),
        claimed: Default::default(),
        protected_namespaces: vec![],
        concurrency: 2,
        request_timeout: Duration::from_millis(200),
    };
    let pruned = prune::delete(&client, &bed.mapper, entries, &options).await;
    assert_eq!((pruned.changes.changes.len(), pruned.failed.len()), (0, 40));
    let sent = bed.take_requests().len();
    assert!(sent <= 4, "{sent} requests");
    Ok(())
}
