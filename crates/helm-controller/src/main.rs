//! The process helm-controller.

use std::process::ExitCode;

use helm_controller::{NAME, preflight, start};

fn main() -> ExitCode {
    runtime::app::run(NAME, start, &preflight::RIGHTS, preflight::look)
}
