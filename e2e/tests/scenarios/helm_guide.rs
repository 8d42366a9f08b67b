//! The guide for HelmReleases.

use std::fs;

use anyhow::{Context, Result, ensure};
use e2e::document;
use e2e::process::temp_folder;

use crate::helm_release::Helm;

const GUIDE: &str = "docs/helm.md";

/// What the guide says of its chart: it needs a color.
const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ .Release.Name }}\"}\n\
    data: {color: '{{ required \"a color is needed\" .Values.color }}', password: \"{{ .Values.password | sha256sum }}\"}\n";

#[tokio::test(flavor = "multi_thread")]
async fn the_guide_works_as_it_is_written() -> Result<()> {
    let helm = Helm::shared("helm-guide").await?;
    let test = &helm.test;
    helm.commit_chart_in("charts/web", "1.0.0", &[("templates/map.yaml", MAP)])?;
    let rename = |text: String| text.replace("shop", &test.namespace);
    let (folder, client, flux) = tokio::task::block_in_place(|| {
        anyhow::Ok((temp_folder("guide")?, e2e::helm::program()?, toolchain::flux()?))
    })?;
    let file = document::file(GUIDE, "A release")?;
    let file = file.replace("https://git.example.com/shop/charts", &test.git.url("app"));
    fs::write(folder.path().join("web.yaml"), rename(file))?;
    let programs = [client.as_path(), flux.as_path()];
    for heading in document::headings_with_commands(GUIDE)? {
        let mut said = String::new();
        for commands in document::commands(GUIDE, &heading)? {
            let commands = rename(commands);
            let run = document::run_beside(&commands, folder.path(), test.cluster, &programs);
            said += &run.await.with_context(|| {
                format!("{GUIDE}, {heading}: {}", helm.controller.log_about(&test.namespace, 40))
            })?;
        }
        let expected: &[&str] = match &*heading {
            "A release" => &["app-1.0.0", "deployed", "color: blue", "password: s3cret"],
            "A value changes" => &["superseded", "deployed"],
            "An upgrade that fails" => &["UpgradeFailed", "a color is needed"],
            "Changes by hand" => &["condition met"],
            "By hand after all" => &["Rollback was a success", "\nred"],
            "The end of a release" => &["NAME"],
            other => anyhow::bail!("nobody knows what {other:?} prints"),
        };
        for text in expected {
            ensure!(said.contains(text), "{heading}: no {text:?} in\n{said}");
        }
        let is_gone = heading != "The end of a release" || !said.contains("app-1.0.0");
        ensure!(is_gone, "{said}");
    }
    helm.test.finish().await
}
