//! A storage whose file system refuses what is written, with any error that there is.

use anyhow::Result;

use crate::preload::Preload;

/// Makes a process fail to write to files of its storage.
#[derive(Debug)]
pub struct FailingWrites(Preload);

impl FailingWrites {
    /// Writes are well until they are made to [fail](Self::fail).
    pub fn new() -> Result<Self> {
        Preload::new(include_str!("failing_writes.c")).map(Self)
    }

    /// What a process needs in its environment.
    pub fn environment(&self) -> [(&str, &str); 3] {
        let [library, control] = self.0.environment();
        [library, control, ("FAULT_FOLDER", "/storage/")]
    }

    /// From now on writes fail with this error number of the system; 0 lets them be.
    pub fn fail(&self, number: i32) -> Result<()> {
        self.0.set(number.into())
    }
}
