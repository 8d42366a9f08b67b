//! What a server may cost: bytes, objects, entries.

use std::fmt;

use crate::TenantMemory;

/// Upper bounds for one source. Exceeding one fails the operation and keeps what was there before.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes of handshake and ref advertisement in one session.
    pub advertised_bytes: u64,
    /// Refs in one advertisement.
    pub refs: usize,
    /// Bytes of an answer before its pack begins: which commits are common, and where history ends.
    pub answer_bytes: u64,
    /// Bytes of one pack on the wire, progress messages and what comes before it included; of all packs for the submodules of one tree.
    pub pack_bytes: u64,
    /// Objects that one pack may announce. The table of deltas takes 64 bytes for each, which counts as one allocation, and
    /// what is known of them another 40.
    pub pack_objects: u32,
    /// Bytes of a single allocation made for pack data: an object, a delta result, the table of deltas.
    pub allocation_bytes: usize,
    /// Deltas that build on one another. Git writes no more than 4095.
    pub delta_depth: u32,
    /// Bytes of all objects along a chain of deltas. A thread that resolves deltas keeps them at the same time, and so many
    /// are made for reading the last of them.
    pub delta_bytes: u64,
    /// Threads that resolve deltas of one pack.
    pub index_threads: usize,
    /// Packs that may pile up in a cache (each new commit adds one) before it is rebuilt.
    pub packs: usize,
    /// Bytes of packs that a cache may hold before it is rebuilt.
    pub cache_bytes: u64,
    /// Commits looked at to prove that a commit belongs to a branch.
    pub history: usize,
    /// Files, directories, links and submodules of one tree.
    pub entries: usize,
    /// Directories inside directories.
    pub depth: usize,
    /// Submodules of one tree, those of submodules included.
    pub submodules: usize,
    /// Submodules inside submodules; deeper ones stay empty directories.
    pub submodule_depth: usize,
    /// Bytes of one `.gitmodules`.
    pub gitmodules_bytes: u64,
    /// Bytes of all files read in one walk over a tree. One blob counts each time it is read.
    pub tree_bytes: u64,
    /// Memory that is shared with other fetches; `None` counts none.
    pub memory: Option<TenantMemory>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            advertised_bytes: 64 << 20,
            refs: 500_000,
            answer_bytes: 4 << 20,
            pack_bytes: 4 << 30,
            pack_objects: 2_000_000,
            allocation_bytes: 128 << 20,
            delta_depth: 4095,
            delta_bytes: 256 << 20,
            index_threads: 2,
            packs: 30,
            cache_bytes: 4 << 30,
            history: 1_000_000,
            entries: 1_000_000,
            depth: 256,
            submodules: 256,
            submodule_depth: 10,
            gitmodules_bytes: 1 << 20,
            tree_bytes: 2 << 30,
            memory: None,
        }
    }
}

impl Limits {
    /// Objects of up to `bytes`, and as many bytes along a chain of deltas as two of them.
    pub fn with_object_bytes(self, bytes: usize) -> Limits {
        Limits { allocation_bytes: bytes, delta_bytes: (bytes as u64).saturating_mul(2), ..self }
    }
}

/// What of [`Limits`] was exceeded, in words for after a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// [`Limits::advertised_bytes`]
    RefBytes,
    /// [`Limits::refs`]
    Refs,
    /// [`Limits::answer_bytes`]
    AnswerBytes,
    /// [`Limits::pack_bytes`]
    PackBytes,
    /// [`Limits::pack_objects`]
    Objects,
    /// [`Limits::allocation_bytes`]
    ObjectBytes,
    /// [`Limits::delta_depth`]
    DeltaDepth,
    /// [`Limits::delta_bytes`]
    DeltaBytes,
    /// [`Limits::entries`]
    Entries,
    /// [`Limits::depth`]
    Depth,
    /// [`Limits::gitmodules_bytes`]
    GitmodulesBytes,
    /// [`Limits::tree_bytes`]
    FileBytes,
    /// [`Limits::memory`]
    Memory,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Bound::RefBytes => "bytes of refs",
            Bound::Refs => "refs",
            Bound::AnswerBytes => "bytes before a pack",
            Bound::PackBytes => "bytes of a pack",
            Bound::Objects => "objects",
            Bound::ObjectBytes => "bytes in one object",
            Bound::DeltaDepth => "deltas on one another",
            Bound::DeltaBytes => "bytes in a chain of deltas",
            Bound::Entries => "entries",
            Bound::Depth => "nested directories",
            Bound::GitmodulesBytes => "bytes of .gitmodules",
            Bound::FileBytes => "bytes of files",
            Bound::Memory => "bytes of memory for all fetches together",
        })
    }
}
