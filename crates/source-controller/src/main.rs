//! The process source-controller.

use std::process::ExitCode;

use source_controller::{NAME, preflight, start};

fn main() -> ExitCode {
    runtime::app::run(NAME, start, &preflight::RIGHTS, preflight::look)
}
