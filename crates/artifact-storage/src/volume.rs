//! One storage belongs to one process: a second one on the same volume, such as the next pod of a rollout, waits.

use std::time::Duration;

use artifact::store::Store;
use runtime::process::Process;

/// How long to wait before the storage is claimed again.
const CLAIM_POLL: Duration = Duration::from_secs(1);

/// Waits until the storage is ours; meanwhile the process is not ready. `false` means that it was told to stop first.
pub async fn claim(process: &Process, storage: &Store) -> bool {
    let mut waiting = false;
    loop {
        match storage.claim() {
            Ok(true) => break,
            Ok(false) if waiting => {}
            Ok(false) => {
                waiting = true;
                tracing::error!(logger = "setup", "the storage is in use by another process, waiting for it");
            }
            // What is stored can be served all the same, and what cannot be written says so itself.
            Err(error) => {
                let error = runtime::error::chain(&error);
                tracing::warn!(logger = "setup", error, "the storage cannot be locked");
                break;
            }
        }
        tokio::select! {
            () = tokio::time::sleep(CLAIM_POLL) => {}
            () = process.stop.cancelled() => return false,
        }
    }
    true
}
