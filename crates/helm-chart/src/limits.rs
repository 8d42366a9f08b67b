//! What a chart may cost.

use artifact::unpack;

/// Bounds on one chart with all its subcharts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of an archive that is in a tree.
    pub archive_bytes: u64,
    /// Bytes of a file.
    pub file_bytes: u64,
    /// Bytes of all files, after decompression; those of archives in archives count again.
    pub bytes: u64,
    /// Files, those of all subcharts included.
    pub files: usize,
    /// Subcharts within each other.
    pub depth: usize,
    /// Values files that are merged into one.
    pub values_files: usize,
    /// What one YAML file may ask for.
    pub yaml: yaml::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            archive_bytes: 10 << 20,
            file_bytes: 5 << 20,
            bytes: 100 << 20,
            files: 20_000,
            depth: 16,
            values_files: 100,
            yaml: yaml::Limits { bytes: 5 << 20, nodes: 500_000, ..yaml::Limits::default() },
        }
    }
}

/// What is left of the limits while a chart is loaded.
pub(crate) struct Allowance<'a> {
    pub(crate) limits: &'a Limits,
    bytes: u64,
    files: usize,
    depth: usize,
}

/// A limit that was reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// See [`Limits::bytes`]; the words are Helm's.
    #[error("decompressed chart is larger than the maximum size {0}")]
    Bytes(u64),
    /// See [`Limits::file_bytes`]; the words are Flux's.
    #[error("cannot load file {name} as file size ({size}) exceeds limit ({limit})")]
    FileBytes {
        /// The file in the chart.
        name: String,
        /// Its bytes.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// See [`Limits::archive_bytes`]; the words are Flux's.
    #[error("size of chart '{name}' exceeds '{limit}' bytes limit")]
    ArchiveBytes {
        /// Where it is.
        name: String,
        /// The limit.
        limit: u64,
    },
    /// See [`Limits::files`].
    #[error("the chart has more than {0} files")]
    Files(usize),
    /// See [`Limits::depth`].
    #[error("the chart has more than {0} subcharts within each other")]
    Depth(usize),
}

impl<'a> Allowance<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        Self { limits, bytes: limits.bytes, files: limits.files, depth: limits.depth }
    }

    /// Takes what a file needs.
    pub(crate) fn file(&mut self, name: &str, size: u64) -> Result<(), LimitError> {
        let limit = self.limits.file_bytes;
        if size > limit {
            return Err(LimitError::FileBytes { name: name.to_owned(), size, limit });
        }
        self.bytes = self.bytes.checked_sub(size).ok_or(LimitError::Bytes(self.limits.bytes))?;
        self.files = self.files.checked_sub(1).ok_or(LimitError::Files(self.limits.files))?;
        Ok(())
    }

    /// Goes into a subchart.
    pub(crate) fn descend(&mut self) -> Result<(), LimitError> {
        self.depth = self.depth.checked_sub(1).ok_or(LimitError::Depth(self.limits.depth))?;
        Ok(())
    }

    /// Comes out of it.
    pub(crate) fn ascend(&mut self) {
        self.depth += 1;
    }

    /// What may be unpacked of an archive now. Headers and directories count, too, so there is room for these.
    pub(crate) fn unpacking(&self) -> unpack::Limits {
        let entries = 2 * self.files as u64 + 1024;
        unpack::Limits {
            bytes: self.bytes.saturating_add(entries * 1536),
            entries,
            ..unpack::Limits::default()
        }
    }
}
