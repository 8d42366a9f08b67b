//! A Kubernetes control plane for people and for other programs' tests.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Result, bail};
use e2e::cluster::{Cluster, User};
use e2e::process::{run, stop_recorded};
use toolchain::cache;

const USAGE: &str = "usage: kube up               start a control plane that stays
       kube down             stop it and remove its state
       kube run -- CMD ARG.. run CMD with E2E_KUBECONFIG and KUBECONFIG of a control plane of its own";

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["up"] => up().await?,
        ["down"] => down()?,
        ["run", "--", program, rest @ ..] => {
            let cluster = Cluster::start().await?;
            let kubeconfig = cluster.kubeconfig(User::Admin);
            let mut command = Command::new(program);
            command.args(rest).env("E2E_KUBECONFIG", kubeconfig).env("KUBECONFIG", kubeconfig);
            let status = tokio::task::block_in_place(|| run(&mut command))?;
            return Ok(status
                .code()
                .and_then(|c| u8::try_from(c).ok())
                .map_or(ExitCode::FAILURE, ExitCode::from));
        }
        _ => bail!("{USAGE}"),
    }
    Ok(ExitCode::SUCCESS)
}

fn folder() -> Result<PathBuf> {
    Ok(cache()?.join("run/kube"))
}

async fn up() -> Result<()> {
    let folder = folder()?;
    down()?;
    let cluster = Cluster::start_detached(&folder).await?;
    println!("export KUBECONFIG={}", cluster.kubeconfig(User::Admin).display());
    Ok(())
}

fn down() -> Result<()> {
    let folder = folder()?;
    for name in stop_recorded(&folder)? {
        eprintln!("stopped {name}");
    }
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    Ok(())
}
