//! The install manifests.

use std::process::Command;

use anyhow::Result;
use e2e::cluster::Cluster;

#[tokio::test(flavor = "multi_thread")]
async fn the_install_manifests_and_the_samples_are_admitted_as_they_are() -> Result<()> {
    let cluster = Cluster::shared().await?;
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata: {name: flux-system}";
    cluster.objects().await?.apply(namespace, "").await?;
    let config = e2e::workspace().join("config");
    for (flag, folder) in [("-k", "default"), ("-f", "samples")] {
        let mut kubectl = cluster.kubectl();
        kubectl.args([
            "apply",
            "--server-side",
            "--force-conflicts",
            "--dry-run=server",
            "--validate=strict",
            "-o=name",
        ]);
        let applied = stdout(kubectl.arg(flag).arg(config.join(folder)));
        assert!(applied.lines().count() >= 5, "{folder}: {applied}");
    }
    Ok(())
}

fn stdout(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
