//! What can go wrong between YAML text, nodes and JSON.

/// A failure to read or convert YAML, worded as go-yaml words it (`yaml: line 2: ...`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The text is not YAML. Line and column count from 1; a column of 0 is unknown.
    #[error("yaml: {}{message}", At(*line))]
    Syntax {
        /// Line as go-yaml v3 reports it; 0 when it reports none.
        line: u32,
        /// The same of go-yaml v2.
        line_of_v2: u32,
        /// Column of the offending character.
        column: u32,
        /// go-yaml's words for the fault.
        message: String,
    },
    /// A node has no JSON form: a key that is a list, a float that is not finite, a tag that does not fit its text.
    #[error("yaml: {}{message}", At(*line))]
    Convert {
        /// Line where the node began; 0 when the node was not parsed.
        line: u32,
        /// What does not fit.
        message: String,
    },
    /// What JSON lacks, in the words of Go's `encoding/json`.
    #[error("json: unsupported value: {0}")]
    UnsupportedValue(&'static str),
    /// The text asks for more than [`Limits`](crate::Limits) allow.
    #[error("yaml: {}more than {limit} {what}", At(*line))]
    Limit {
        /// Line where the limit was passed; 0 when it concerns the whole text.
        line: u32,
        /// What was counted.
        what: &'static str,
        /// The allowed number.
        limit: usize,
    },
}

impl Error {
    /// As go-yaml v2 tells it, which `sigs.k8s.io/yaml` uses: of a construct and the place in it that is wrong, version 3 names the
    /// first.
    pub(crate) fn of_v2(mut self) -> Self {
        if let Self::Syntax { line, line_of_v2, .. } = &mut self {
            *line = *line_of_v2;
        }
        self
    }
}

/// `line N: `, or nothing for line 0.
struct At(u32);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 == 0 { Ok(()) } else { write!(f, "line {}: ", self.0) }
    }
}
