//! A wall clock that processes see and a test moves.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::temp_folder;

/// A library that processes load before the C library, and the file that tells it how far the clock is off.
#[derive(Debug)]
pub struct MovedClock {
    folder: tempfile::TempDir,
    library: String,
    offset: String,
}

impl MovedClock {
    /// A clock that is right until it is [set](Self::set).
    pub fn new() -> Result<Self> {
        let folder = temp_folder("clock")?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (source, library, offset) = (path("clock.c"), path("clock.so"), path("offset"));
        fs::write(&source, include_str!("moved_clock.c"))?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o", &library, &source]);
        let status = compiler.status().context("a C compiler is needed to move the clock of a process")?;
        ensure!(status.success(), "{compiler:?}: {status}");
        let clock = Self { folder, library, offset };
        clock.set(0)?;
        Ok(clock)
    }

    /// What a process needs in its environment to have this clock.
    pub fn environment(&self) -> [(&str, &str); 2] {
        [("LD_PRELOAD", &self.library), ("CLOCK_OFFSET_FILE", &self.offset)]
    }

    /// From now on the clock is off by so many seconds.
    pub fn set(&self, seconds: i64) -> Result<()> {
        let next = self.folder.path().join("next");
        fs::write(&next, seconds.to_string())?;
        Ok(fs::rename(next, &self.offset)?)
    }
}
