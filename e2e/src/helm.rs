//! The real Helm, and charts that it packages.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::Result;

use crate::process::output;

/// The program of the real Helm.
pub fn program() -> Result<PathBuf> {
    toolchain::helm()
}

/// Runs the real Helm.
pub fn helm(folder: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(program()?);
    command.args(arguments).current_dir(folder).env("HOME", folder).env("HELM_NO_PLUGINS", "1");
    output(&mut command)
}

/// Has Helm package a chart of this name and version; gives the name of the archive.
pub fn package(folder: &Path, name: &str, version: &str) -> Result<String> {
    let source = folder.join("source").join(name);
    fs::create_dir_all(source.join("templates"))?;
    fs::write(source.join("Chart.yaml"), format!("apiVersion: v2\nname: {name}\nversion: {version}\n"))?;
    fs::write(source.join("values.yaml"), "replicas: 1\nname: default\n")?;
    fs::write(source.join("values-prod.yaml"), "replicas: 3\n")?;
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: map}\ndata: {replicas: \"{{ .Values.replicas }}\"}\n";
    fs::write(source.join("templates/map.yaml"), map)?;
    helm(folder, &["package", &format!("source/{name}")])?;
    Ok(format!("{name}-{version}.tgz"))
}
