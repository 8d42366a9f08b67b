//! The process kustomize-controller.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::app::run(kustomize_controller::NAME, kustomize_controller::start)
}
