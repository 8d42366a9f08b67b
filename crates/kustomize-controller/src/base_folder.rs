//! Folders that bases are fetched into. A process that is killed leaves its own, and `/tmp` outlives it: the next one removes them.

use std::{fs, io, path::Path};

use tempfile::TempDir;

/// Before the number of the process, as in Flux, which removes all folders with it.
const PREFIX: &str = "kustomization-";

/// A new folder, which is removed when it is dropped.
///
/// # Errors
/// When it cannot be made.
pub fn create() -> io::Result<TempDir> {
    tempfile::Builder::new().prefix(&format!("{PREFIX}{}-", std::process::id())).tempdir()
}

/// Removes the folders of processes that are no more. In a container all of them have the same number, so this comes before the first
/// [`create`]. Blocks.
pub fn remove_abandoned() {
    let (own, entries) = (std::process::id(), fs::read_dir(std::env::temp_dir()));
    for entry in entries.into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(process) = name.to_str().and_then(process) else { continue };
        let is_running = process != own && Path::new(&format!("/proc/{process}")).exists();
        if is_running || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if let Err(error) = fs::remove_dir_all(entry.path()) {
            tracing::error!(folder = %entry.path().display(), %error, "failed to remove what another process left");
        }
    }
}

/// The number of the process whose folder is called so.
fn process(folder: &str) -> Option<u32> {
    folder.strip_prefix(PREFIX)?.split_once('-')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_name_their_process() {
        for (name, expected) in [
            ("kustomization-12-ab3", Some(12)),
            ("kustomization-12", None),
            ("kustomization-x-1", None),
            ("other-12-ab3", None),
        ] {
            assert_eq!(process(name), expected, "{name}");
        }
        let name = create().ok().and_then(|made| made.path().file_name()?.to_str().and_then(process));
        assert_eq!(name, Some(std::process::id()));
    }
}
