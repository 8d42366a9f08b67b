//! How much a document may ask for.

/// Bounds on one document, its metadata included.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the document. Flux takes files of up to 5 MiB.
    pub bytes: usize,
    /// Values and comments, those that aliases of YAML copy included. Texts that they copy are held to `bytes`.
    pub nodes: usize,
    /// Nested mappings and lists. Trees are walked by recursion, so this bounds the use of the stack.
    pub depth: usize,
    /// Master keys in all groups. Each may be tried, and a try takes milliseconds.
    pub keys: usize,
    /// Bytes of a data key that a master key has encrypted. An age file or OpenPGP message of this kind has one recipient, but may
    /// have as many as fit.
    pub wrapped_key_bytes: usize,
    /// Bytes of the keys on the way to a value. Each value is authenticated with them, so that long keys and many values multiply.
    pub path_bytes: usize,
    /// States of the automaton of a document's regular expression times bytes that it is compared with.
    pub regex_work: usize,
    /// Bytes that a decrypted document may have in a format. Indentation and alignment can make more of a document than it was.
    pub emitted_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes: 5 << 20,
            nodes: 200_000,
            depth: 100,
            keys: 256,
            wrapped_key_bytes: 16 << 10,
            path_bytes: 4 << 10,
            regex_work: 1 << 32,
            emitted_bytes: 64 << 20,
        }
    }
}

/// A document that asks for more than [`Limits`] allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {limit} {what}")]
pub struct LimitError {
    /// Of what there is too much.
    pub what: &'static str,
    /// How much is allowed.
    pub limit: usize,
}

impl Limits {
    /// Refuses a `count` that is above its limit.
    pub(crate) fn check(what: &'static str, count: usize, limit: usize) -> Result<(), LimitError> {
        if count > limit { Err(LimitError { what, limit }) } else { Ok(()) }
    }
}

/// Characters of a name in a message; in a document it may have megabytes.
const SHOWN_CHARACTERS: usize = 256;

/// A name as messages show it.
pub(crate) fn shown(name: &str) -> String {
    match name.char_indices().nth(SHOWN_CHARACTERS) {
        Some((end, _)) => format!("{}…", name.get(..end).unwrap_or_default()),
        None => name.to_owned(),
    }
}

/// What a document may still use while its tree is made.
pub(crate) struct Budget<'a> {
    limits: &'a Limits,
    nodes: usize,
    bytes: usize,
}

impl<'a> Budget<'a> {
    pub(crate) fn new(limits: &'a Limits) -> Self {
        Self { limits, nodes: 0, bytes: 0 }
    }

    /// Accounts for a value or comment inside `depth` mappings and lists.
    pub(crate) fn node(&mut self, depth: usize) -> Result<(), LimitError> {
        self.nodes += 1;
        Limits::check("nodes", self.nodes, self.limits.nodes)?;
        Limits::check("nested mappings and lists", depth, self.limits.depth)
    }

    /// Accounts for a text that may be copied.
    pub(crate) fn text(&mut self, text: &str) -> Result<(), LimitError> {
        self.bytes = self.bytes.saturating_add(text.len());
        Limits::check("bytes of text", self.bytes, self.limits.bytes)
    }
}
