//! Libraries that processes load before the C library, to meet what a test cannot bring about otherwise.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::process::temp_folder;

/// A library that reads what to do from a file, whenever it is asked for something.
#[derive(Debug)]
pub(crate) struct Preload {
    folder: tempfile::TempDir,
    library: String,
    control: String,
}

impl Preload {
    /// Compiles a library, which has `control()` of `preload.c`. Its file says 0.
    pub(crate) fn new(source: &str) -> Result<Self> {
        let folder = temp_folder("preload")?;
        let path = |name: &str| folder.path().join(name).display().to_string();
        let (code, library, control) = (path("code.c"), path("code.so"), path("control"));
        fs::write(&code, [include_str!("preload.c"), source].concat())?;
        let mut compiler = Command::new("cc");
        compiler.args(["-shared", "-fPIC", "-O1", "-o", &library, &code]);
        let status = compiler.status().context("a C compiler is needed for this test")?;
        ensure!(status.success(), "{compiler:?}: {status}");
        let preload = Self { folder, library, control };
        preload.set(0)?;
        Ok(preload)
    }

    /// What makes a process load it, in its environment.
    pub(crate) fn environment(&self) -> [(&str, &str); 2] {
        [("LD_PRELOAD", &self.library), ("PRELOAD_CONTROL", &self.control)]
    }

    /// Changes what the file says, at once and as a whole.
    pub(crate) fn set(&self, number: i64) -> Result<()> {
        let next = self.folder.path().join("next");
        fs::write(&next, number.to_string())?;
        Ok(fs::rename(next, Path::new(&self.control))?)
    }
}
