//! A tenant whose chart eats time and memory: it is told so, the process stays small, and the release of a neighbour goes on.

use std::time::Instant;

use anyhow::{Result, ensure};
use e2e::objects::Look;
use serde_json::json;

use crate::helm_release::{Helm, MAP, RELEASE};

/// Templates that no machine brings to an end, or that no memory holds.
const HOSTILE: [(&str, &str); 4] = [
    (
        "includes",
        "{{ define \"a\" }}{{ include \"a\" . }}{{ include \"a\" . }}{{ end }}{{ include \"a\" . }}",
    ),
    (
        "doubling",
        "{{ $text := \"0123456789abcdef\" }}{{ range until 64 }}{{ $text = print $text $text }}{{ end }}{{ $text }}",
    ),
    ("repeating", "{{ repeat 1000000000 \"abcdefgh\" }}"),
    (
        "hashes",
        "{{ range until 100000 }}{{ htpasswd \"a\" \"b\" }}{{ genPrivateKey \"rsa\" | sha256sum }}{{ end }}",
    ),
];
/// More than the process may ever take, in KiB.
const MEMORY: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread")]
async fn a_chart_that_eats_time_and_memory_is_refused_and_a_neighbour_goes_on() -> Result<()> {
    let helm = Helm::new("helm-hostile", &["--concurrent=4"]).await?;
    let test = &helm.test;
    for (name, template) in HOSTILE {
        helm.commit_chart_in(name, "1.0.0", &[("templates/bad.yaml", template)])?;
    }
    helm.commit_chart("1.0.0", &[("map.yaml", MAP)])?;
    test.apply_source().await?;
    test.ready("GitRepository/app").await?;
    let before = helm.controller.usage()?;
    for (name, _) in HOSTILE {
        helm.release_named(name, &json!({"chart": helm.chart_in(name)})).await?;
    }
    for (name, _) in HOSTILE {
        let object = format!("HelmRelease/{name}");
        test.until(&object, "is worked on", |release| release.condition("Reconciling").is_some()).await?;
    }
    // The neighbour is of the same namespace, so the two share what a namespace may have.
    let begun = Instant::now();
    helm.release(&json!({"values": {"text": "0"}})).await?;
    helm.ready("Helm install succeeded").await?;
    for version in 2..=4 {
        test.patch(RELEASE, &json!({"spec": {"values": {"text": version.to_string()}}})).await?;
        helm.ready(&format!("app.v{version} with chart")).await?;
    }
    eprintln!("four revisions of the neighbour took {:?}", begun.elapsed());
    for (name, _) in HOSTILE {
        let object = format!("HelmRelease/{name}");
        let begun = Instant::now();
        let failed = test
            .condition(&object, "Released", "False", "InstallFailed", "Helm install failed for release")
            .await?;
        ensure!(failed.message.len() <= 32768, "{name}: {} bytes", failed.message.len());
        eprintln!(
            "{name} after {:?}: {}",
            begun.elapsed(),
            failed.message.chars().take(300).collect::<String>()
        );
    }
    let after = helm.controller.usage()?;
    ensure!(after.peak_kib < MEMORY, "{before:?} became {after:?}");
    ensure!(after.threads < before.threads + 64, "{before:?} became {after:?}");
    ensure!(helm.helm(&["list"])?.as_array().map(Vec::len) == Some(1));
    helm.test.finish().await
}
