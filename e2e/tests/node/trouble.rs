//! The commands for those who look for trouble, with the Pods that they are for.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use e2e::document;
use e2e::node::Node;
use e2e::objects::{Id, Look};
use e2e::process::{output, processes_of};
use e2e::wait::{self, Not};

use crate::delivery::Delivery;
use crate::install::rolled_out;
use crate::step;
use crate::user::User;

const DOCUMENT: &str = "docs/troubleshooting.md";

/// Follows `docs/troubleshooting.md` from its first to its last line by the ports of the Pods, and what `docs/empty-files.md` says of
/// logs.
pub async fn look_for_trouble(node: &Node, user: &User, delivery: &mut Delivery) -> Result<()> {
    let mut script = String::from("trap 'kill $(jobs -p)' EXIT\n");
    let open = document::pod_commands(DOCUMENT, "Troubleshooting")?;
    ensure!(open.len() == 1, "{open:?}");
    script.extend(open);
    script += "for at in $SOURCE $KUSTOMIZE $HELM; do\n  for _ in $(seq 100); do curl -fsS -o /dev/null $at/metrics && break; \
               sleep 0.2; done\ndone\n";
    for heading in document::headings_with_commands(DOCUMENT)? {
        script.extend(document::commands(DOCUMENT, &heading)?);
    }
    let said = user.run(&script)?;
    ensure!(said.contains("gotk_watch_failing") && said.contains("Forwarding from"), "{said}");
    step(&format!("{DOCUMENT}: the ports of the Pods"));

    crash(node, "kustomize-controller").await?;
    delivery.deliver().await.context("a controller was killed")?;
    let commands = document::pod_commands(DOCUMENT, "A controller does not start")?;
    let commands = commands.concat();
    // The status tells for a moment of a container before that one, whose log is gone.
    wait::until(wait::LIMIT, async || {
        let said = user.run(&commands).map_err(|error| Not::Yet(format!("{error:#}")))?;
        match said.contains("\"level\":") {
            true => Ok(()),
            false => Err(Not::Yet(format!("no line of a log: {said}"))),
        }
    })
    .await?;
    let commands = document::pod_commands("docs/empty-files.md", "Was I affected?")?;
    ensure!(user.run(&commands.concat())? == "none\n", "nothing was corrected");
    step(&format!("{DOCUMENT}: the log of a container that is gone"));
    Ok(())
}

/// Kills a controller in its container, which is started again.
async fn crash(node: &Node, name: &str) -> Result<()> {
    let objects = node.cluster.objects().await?;
    let restarts = async || -> Result<i64> {
        let pods = objects.list(&Id::of("v1", "Pod", "flux-system", "")).await?;
        let pod = pods.iter().find(|pod| pod.text("/metadata/labels/app") == name).context("no Pod")?;
        Ok(pod.number("/status/containerStatuses/0/restartCount"))
    };
    let before = restarts().await?;
    let ids = processes_of(Path::new(&format!("/{name}")));
    let ids: Vec<String> = ids.iter().filter(|id| is_controller(**id, name)).map(u32::to_string).collect();
    ensure!(ids.len() == 1, "one {name} runs: {ids:?}");
    output(Command::new("kill").arg("-9").args(&ids))?;
    wait::until(wait::LIMIT, async || match restarts().await {
        Ok(now) if now > before => Ok(()),
        seen => Err(Not::Yet(format!("{seen:?} restarts after {before}"))),
    })
    .await?;
    rolled_out(&node.cluster, name).await
}

/// Whether that is what a process runs, and not only part of what it was told.
fn is_controller(id: u32, name: &str) -> bool {
    let line = std::fs::read(format!("/proc/{id}/cmdline")).unwrap_or_default();
    line.split(|byte| *byte == 0).next() == Some(format!("/{name}").as_bytes())
}
