//! What one generator may cost.

use net::Deadline;

/// Bounds of all artifacts of one generator together, unless a field says otherwise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Artifacts, after the path pattern was expanded.
    pub artifacts: usize,
    /// Copy operations of the spec.
    pub operations: usize,
    /// Files and directories that are copied or extracted.
    pub entries: u64,
    /// Bytes of the files that are copied, extracted or merged.
    pub bytes: u64,
    /// Bytes of what one tarball has in it that is extracted. As with Flux.
    pub extracted_bytes: u64,
    /// Bytes of one YAML file that is merged.
    pub merged_bytes: usize,
    /// Components of a path in an artifact: as many as consumers take.
    pub depth: usize,
    /// Bytes of one glob.
    pub glob_bytes: usize,
    /// Globs that the alternatives of one glob stand for.
    pub glob_alternatives: usize,
    /// Comparisons of an element of a glob with a part of a path; about ten seconds of one CPU.
    pub steps: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            artifacts: 1000,
            operations: 10_000,
            entries: 500_000,
            bytes: 2 << 30,
            extracted_bytes: 100 << 20,
            merged_bytes: 4 << 20,
            depth: 256,
            glob_bytes: 1024,
            glob_alternatives: 64,
            steps: 1_000_000_000,
        }
    }
}

/// A limit that was reached, or time that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LimitError {
    /// There would be more of something than there may be.
    #[error("the limit of {limit} {what} is exceeded")]
    Exceeded {
        /// What is limited.
        what: &'static str,
        /// The limit.
        limit: u64,
    },
    /// Nobody waits any more.
    #[error("it took too long")]
    Time,
}

/// How often the deadline is looked at.
const STEPS_PER_LOOK: u64 = 1 << 16;

/// Counts what a generator costs.
#[derive(Debug)]
pub struct Meter<'a> {
    limits: &'a Limits,
    deadline: &'a Deadline,
    entries: u64,
    bytes: u64,
    steps: u64,
}

impl<'a> Meter<'a> {
    /// Nothing was used yet. Work ends when `deadline` is cancelled or over.
    pub fn new(limits: &'a Limits, deadline: &'a Deadline) -> Self {
        Self { limits, deadline, entries: 0, bytes: 0, steps: 0 }
    }

    /// The limits.
    pub fn limits(&self) -> &'a Limits {
        self.limits
    }

    /// One more file or directory, with so many bytes.
    pub(crate) fn entry(&mut self, bytes: u64) -> Result<(), LimitError> {
        self.entries += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        within("files and directories", self.entries, self.limits.entries)?;
        within("bytes of files", self.bytes, self.limits.bytes)?;
        self.step()
    }

    /// One more comparison.
    pub(crate) fn step(&mut self) -> Result<(), LimitError> {
        self.steps += 1;
        if self.steps.is_multiple_of(STEPS_PER_LOOK)
            && (self.deadline.is_cancelled() || self.deadline.is_over())
        {
            return Err(LimitError::Time);
        }
        within("steps of comparing globs with paths", self.steps, self.limits.steps)
    }
}

/// Refuses more than the limit.
pub(crate) fn within(what: &'static str, count: u64, limit: u64) -> Result<(), LimitError> {
    if count > limit { Err(LimitError::Exceeded { what, limit }) } else { Ok(()) }
}
