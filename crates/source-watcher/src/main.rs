//! The process source-watcher.

use std::process::ExitCode;

use source_watcher::{NAME, preflight, start};

fn main() -> ExitCode {
    runtime::app::run(NAME, start, &preflight::RIGHTS, preflight::look)
}
