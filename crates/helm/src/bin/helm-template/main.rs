//! `helm template` without Helm: same flags, same output, same errors. And `table` and `values`, which answer many small
//! questions in one process, for comparisons with the real Helm.

mod api_versions;
mod disk;
mod table;
mod template;
mod user_values;

use std::error::Error;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use mimalloc::MiMalloc;

/// A rendering is many small texts: that of the system takes a fifth of the time.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Renders charts as Helm 4 does.
#[derive(Parser)]
#[command(name = "helm-template", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Renders a chart and prints the manifests, then the hooks.
    Template(Box<template::Arguments>),
    /// Renders templates/t.yaml of a chart for each line of standard input, which is a JSON object.
    Table,
    /// Prints what `template` prints for each line of standard input, which is a JSON object.
    Manifests,
    /// Prints the values that each chart sees for each line of standard input, which is a JSON object.
    Values,
}

fn main() -> ExitCode {
    let result = match Arguments::parse().command {
        Command::Template(arguments) => template::run(&arguments),
        Command::Table => table::run(table::render),
        Command::Manifests => table::run(table::manifests),
        Command::Values => table::run(table::values),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {}", chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// The message of an error with those of its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
