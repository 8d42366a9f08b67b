//! What execution may cost. Templates come from strangers: one of them must not stop, slow or starve what runs beside it.

use std::cell::{Cell, OnceCell};

use crate::value::{Insertions, Map, Text, Value};

/// How much a run may take: of all templates that are executed in it together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Budget {
    /// Nodes that are visited, iterations, operands, and what functions count.
    pub steps: u64,
    /// Bytes that are written, by the templates and by those that functions execute.
    pub output: usize,
    /// Bytes of the values that are made. What a template drops is not given back, so that no more is ever in use.
    pub memory: usize,
    /// Templates, control structures, parentheses and calls within each other. They need stack: see [`Budget::stack_size`].
    pub depth: usize,
}

impl Budget {
    /// The bytes of stack that one level of `depth` takes at most, without optimisation.
    pub const STACK_PER_LEVEL: usize = 8 << 10;

    /// The bytes of stack that must be left at the deepest level: for the parser, and for what functions walk through.
    pub const STACK_RESERVE: usize = 10 << 20;

    /// The bytes of stack that a thread needs in which templates are executed. What is not used takes no memory.
    pub fn stack_size(&self) -> usize {
        self.depth.saturating_mul(Self::STACK_PER_LEVEL).saturating_add(Self::STACK_RESERVE)
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self { steps: 50_000_000, output: 64 << 20, memory: 256 << 20, depth: 8_000 }
    }
}

/// What is used up, or why the run ended otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Exhausted {
    /// [`Budget::steps`]
    #[error("templates take more than {0} steps")]
    Steps(u64),
    /// [`Budget::output`]
    #[error("templates write more than {0} bytes")]
    Output(usize),
    /// [`Budget::memory`]
    #[error("templates make values of more than {0} bytes")]
    Memory(usize),
    /// [`Budget::depth`]
    #[error("templates are nested more than {0} levels deep")]
    Depth(usize),
    /// [`crate::value::NESTING`]
    #[error("a value is nested more than {0} levels deep")]
    Nesting(usize),
    /// The caller wants it to end.
    #[error("the execution of templates was stopped")]
    Stopped,
}

/// How many steps pass between two looks at whether to stop.
const STEPS_PER_CHECK: u64 = 1024;

/// What execution has used so far.
pub struct Run<'a> {
    budget: Budget,
    is_stopped: &'a dyn Fn() -> bool,
    steps: Cell<u64>,
    checked: Cell<u64>,
    output: Cell<usize>,
    memory: Cell<usize>,
    depth: Cell<usize>,
    end: OnceCell<String>,
    insertions: Insertions,
}

impl<'a> Run<'a> {
    /// Nothing is used yet. `is_stopped` is asked again and again; once it says so, the run ends.
    pub fn new(budget: Budget, is_stopped: &'a dyn Fn() -> bool) -> Self {
        Self {
            budget,
            is_stopped,
            steps: Cell::new(0),
            checked: Cell::new(0),
            output: Cell::new(0),
            memory: Cell::new(0),
            depth: Cell::new(0),
            end: OnceCell::new(),
            insertions: Insertions::default(),
        }
    }

    /// The node at which the budget was used up, as `NAME:LINE:COLUMN`; `None` while it is not. It is one of a template with a name.
    pub fn end(&self) -> Option<&str> {
        self.end.get().map(String::as_str)
    }

    /// Notes where the budget was used up: the innermost node says it first.
    pub(crate) fn note_end(&self, location: impl FnOnce() -> String) {
        self.end.get_or_init(location);
    }

    /// Counts steps.
    pub(crate) fn step(&self, count: u64) -> Result<(), Exhausted> {
        let steps = self.steps.get().saturating_add(count);
        self.steps.set(steps);
        if steps > self.budget.steps {
            return Err(Exhausted::Steps(self.budget.steps));
        }
        if steps - self.checked.get() < STEPS_PER_CHECK {
            return Ok(());
        }
        self.checked.set(steps);
        if (self.is_stopped)() { Err(Exhausted::Stopped) } else { Ok(()) }
    }

    /// Counts bytes of values. They are also steps: one each 64 bytes.
    pub(crate) fn charge(&self, bytes: usize) -> Result<(), Exhausted> {
        let memory = self.memory.get().saturating_add(bytes);
        if memory > self.budget.memory {
            return Err(self.out_of_memory());
        }
        self.memory.set(memory);
        self.step(bytes as u64 / 64)
    }

    /// What was charged is free again.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.memory.set(self.memory.get().saturating_sub(bytes));
    }

    /// The error of whom the memory that is left is too little.
    pub(crate) fn out_of_memory(&self) -> Exhausted {
        Exhausted::Memory(self.budget.memory)
    }

    /// How many bytes of values may still be made.
    pub(crate) fn memory_left(&self) -> usize {
        self.budget.memory - self.memory.get()
    }

    /// Appends to output.
    pub(crate) fn write(&self, bytes: &[u8], to: &mut Vec<u8>) -> Result<(), Exhausted> {
        let output = self.output.get().saturating_add(bytes.len());
        if output > self.budget.output {
            return Err(Exhausted::Output(self.budget.output));
        }
        self.output.set(output);
        to.extend_from_slice(bytes);
        Ok(())
    }

    /// One level deeper. [`Run::leave`] must follow if it is granted.
    pub(crate) fn enter(&self) -> Result<(), Exhausted> {
        let depth = self.depth.get();
        if depth >= self.budget.depth {
            return Err(Exhausted::Depth(self.budget.depth));
        }
        self.depth.set(depth + 1);
        Ok(())
    }

    /// One level up.
    pub(crate) fn leave(&self) {
        self.depth.set(self.depth.get() - 1);
    }

    /// Changes an entry of a map, or adds it.
    pub(crate) fn insert(&self, map: &Map, key: Text, value: Value) -> Result<(), Exhausted> {
        // The entry, and the note that it was made.
        self.charge(key.len() + 2 * size_of::<(Text, Value)>())?;
        map.insert(&self.insertions, key, value);
        Ok(())
    }
}
