//! How much a schema may ask for.

use std::cell::Cell;

use thiserror::Error;

/// Bounds on one call of [`validate`](crate::validate).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the schema's text.
    pub schema_bytes: usize,
    /// Objects and arrays within each other, in the schema and in the values.
    pub depth: usize,
    /// Schemas that are being compared at one time, each within the one before: by `allOf`, `$ref` or the like, or for a part of the
    /// value. Comparing recurses, so this bounds the stack.
    pub nested_schemas: usize,
    /// Steps, about one for each keyword that is compared with a value, and for each 16 bytes that are looked at. They are for reading
    /// the schema, for comparing it with its metaschema, and for comparing the values with it, all together.
    pub steps: u64,
    /// Bytes that locations, expressions and messages may take, about.
    pub memory: usize,
}

impl Default for Limits {
    /// What the largest schemas of public charts need, many times over; about a second, and less than 1 MiB of stack.
    fn default() -> Self {
        Self { schema_bytes: 5 << 20, depth: 100, nested_schemas: 300, steps: 10_000_000, memory: 64 << 20 }
    }
}

/// What there is too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Exceeded {
    /// [`Limits::schema_bytes`]
    #[error("the schema is larger than {0} bytes")]
    SchemaBytes(usize),
    /// [`Limits::depth`]
    #[error("values or schema are nested deeper than {0}")]
    Depth(usize),
    /// [`Limits::nested_schemas`]
    #[error("more than {0} schemas within each other")]
    NestedSchemas(usize),
    /// [`Limits::steps`]
    #[error("the schema takes more than {0} steps")]
    Steps(u64),
    /// [`Limits::memory`]
    #[error("the schema takes more than {0} bytes of memory")]
    Memory(usize),
    /// A number with so many digits, or such an exponent, that comparing it would be costly.
    #[error("a number has more than 1000 digits")]
    Number,
}

/// What is left of the limits.
#[derive(Debug)]
pub(crate) struct Meter<'l> {
    pub(crate) limits: &'l Limits,
    steps: Cell<u64>,
    memory: Cell<usize>,
}

impl<'l> Meter<'l> {
    pub(crate) fn new(limits: &'l Limits) -> Self {
        Self { limits, steps: Cell::new(limits.steps), memory: Cell::new(limits.memory) }
    }

    pub(crate) fn step(&self, steps: usize) -> Result<(), Exceeded> {
        let left = self.steps.get().checked_sub(steps as u64);
        self.steps.set(left.ok_or(Exceeded::Steps(self.limits.steps))?);
        Ok(())
    }

    /// Steps for bytes that are looked at.
    pub(crate) fn look(&self, bytes: usize) -> Result<(), Exceeded> {
        self.step(1 + bytes / 16)
    }

    pub(crate) fn keep(&self, bytes: usize) -> Result<(), Exceeded> {
        let left = self.memory.get().checked_sub(bytes);
        self.memory.set(left.ok_or(Exceeded::Memory(self.limits.memory))?);
        Ok(())
    }
}
