//! The definitions of Prometheus's operator, generated from its types by the generator that its authors use: the module of the types
//! has no files of them.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};

use crate::command::output;
use crate::module::{Build, Module, Program};

const OPERATOR: Module = Module {
    name: "prometheus-operator",
    go_mod: include_str!("../../tools/prometheus-operator/go.mod"),
    root: "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring",
    version_variables: &[],
    tags: "",
    build: Build::Here,
};

pub(crate) const GENERATOR: Program =
    Program::new(&OPERATOR, "controller-gen", "sigs.k8s.io/controller-tools/cmd/controller-gen");

/// A folder with the definitions of version v1, a file for each, from the cache or generated now.
pub fn prometheus_crds() -> Result<PathBuf> {
    let (generator, all) = (GENERATOR.ensure()?, OPERATOR.folder()?);
    let folder = all.join("crds");
    if folder.is_dir() {
        return Ok(folder);
    }
    let partial = tempfile::tempdir_in(&all)?;
    let mut generate = Command::new(generator);
    generate.args(["crd", &format!("paths={}/v1", OPERATOR.root)]);
    generate.arg(format!("output:crd:dir={}", partial.path().display())).current_dir(OPERATOR.pins());
    // It loads the types by Go's own means.
    output(generate.env("GOFLAGS", "-mod=readonly"))?;
    match fs::rename(partial.path(), &folder) {
        Ok(()) => drop(partial.keep()),
        // Another test was quicker.
        Err(_) if folder.is_dir() => {}
        Err(error) => return Err(error).with_context(|| format!("rename to {}", folder.display())),
    }
    Ok(folder)
}
