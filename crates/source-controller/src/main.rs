//! The process source-controller.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::app::run(source_controller::NAME, source_controller::start)
}
