//! The process kustomize-controller.

use std::process::ExitCode;

use kustomize_controller::{NAME, preflight, start};

fn main() -> ExitCode {
    runtime::app::run(NAME, start, &preflight::RIGHTS, preflight::look)
}
