use crate::error::Error;
use crate::exec;
use crate::fmt::{Overflow, Printer};
use crate::parse::Tree;
use crate::run::{Exhausted, Run};
use crate::set::Set;
use crate::value::{Map, NESTING, Text, Value};

/// How many times larger than its source a tree can be: `{{.}}` becomes an action, a command and an operand.
const TREE_PER_SOURCE: usize = 256;

/// What a function may use of the execution that calls it.
///
/// Whatever a function makes or walks through counts: it calls [`Context::charge`] before it makes something as large as its
/// arguments ask for, and [`Context::step`] where its work grows with them.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    pub(crate) set: &'a Set,
    pub(crate) run: &'a Run<'a>,
}

impl Context<'_> {
    /// The templates that are executed.
    pub fn templates(&self) -> &Set {
        self.set
    }

    /// Counts steps.
    ///
    /// # Errors
    /// There are no more.
    pub fn step(&self, count: usize) -> Result<(), Error> {
        Ok(self.run.step(count as u64)?)
    }

    /// Counts bytes of a value that is about to be made.
    ///
    /// # Errors
    /// There are no more.
    pub fn charge(&self, bytes: usize) -> Result<(), Error> {
        Ok(self.run.charge(bytes)?)
    }

    /// Takes back a charge: what it was for is gone again, before anything else could run.
    pub fn give_back(&self, bytes: usize) {
        self.run.give_back(bytes);
    }

    /// Changes an entry of a map, or adds it. Lists, maps and objects that come into a map so are taken out of it again when the
    /// run is over: a map that holds itself would never be freed.
    ///
    /// # Errors
    /// There is no memory for it, or the map is `nil`.
    pub fn insert(&self, map: &Map, key: Text, value: Value) -> Result<(), Error> {
        if map.is_nil() {
            return Err("assignment to entry in nil map".into());
        }
        Ok(self.run.insert(map, key, value)?)
    }

    /// What Go's `fmt.Sprint` gives.
    ///
    /// # Errors
    /// It is too much.
    pub fn print(&self, arguments: &[Value]) -> Result<Text, Error> {
        self.printed(|printer| printer.print(arguments))
    }

    /// What an action prints: not `&{…}`, but what a pointer points to.
    pub(crate) fn print_dereferenced(&self, arguments: &[Value]) -> Result<Text, Error> {
        self.printed(|printer| {
            printer.dereferences = true;
            printer.print(arguments);
        })
    }

    /// What a pointer points to, which has none of its methods.
    pub(crate) fn print_pointee(&self, value: Value) -> Result<Text, Error> {
        self.printed(|printer| {
            printer.dereferences = true;
            printer.is_erroring = value.is_pointer();
            printer.print(&[value]);
        })
    }

    /// What Go's `fmt.Sprintln` gives.
    ///
    /// # Errors
    /// It is too much.
    pub fn print_line(&self, arguments: &[Value]) -> Result<Text, Error> {
        self.printed(|printer| printer.print_line(arguments))
    }

    /// What Go's `fmt.Sprintf` gives.
    ///
    /// # Errors
    /// It is too much.
    pub fn format(&self, format: &[u8], arguments: &[Value]) -> Result<Text, Error> {
        self.printed(|printer| printer.format(format, arguments))
    }

    fn printed(&self, print: impl FnOnce(&mut Printer)) -> Result<Text, Error> {
        let mut printer = Printer::new(self.run.memory_left());
        print(&mut printer);
        let text = printer.finish().map_err(|overflow| match overflow {
            Overflow::Length => self.run.out_of_memory(),
            Overflow::Nesting => Exhausted::Nesting(NESTING),
        })?;
        self.run.charge(text.len())?;
        Ok(text.into())
    }

    /// Executes a template of the set.
    ///
    /// # Errors
    /// There is none of this name, or it fails.
    pub fn execute(&self, name: &[u8], data: Value) -> Result<Text, Error> {
        let mut output = Vec::new();
        self.set.execute_into(self.run, name, data, &mut output)?;
        self.run.charge(output.len())?;
        Ok(output.into())
    }

    /// Executes a source. It sees the templates of the set, and those that it defines itself only while it runs.
    ///
    /// # Errors
    /// It is no template, or it fails.
    pub fn execute_source(&self, name: &str, source: &[u8], data: Value) -> Result<Text, Error> {
        let mut set = self.set.extended();
        let size =
            source.len().saturating_mul(TREE_PER_SOURCE) + set.own_len() * size_of::<(Vec<u8>, Tree)>();
        self.run.charge(size)?;
        let tree = set.parse(name, source)?;
        let mut output = Vec::new();
        exec::execute(Context { set: &set, run: self.run }, &tree, data, &mut output)?;
        self.run.give_back(size);
        self.run.charge(output.len())?;
        Ok(output.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{Command, Node, Operand, Pipe};

    #[test]
    fn a_tree_is_no_larger_than_what_is_charged() {
        // Vectors have room for four from the first, and twice as much as they hold when they grow.
        let pipe = 4 * size_of::<Command>() + 4 * size_of::<Operand>();
        let action = 2 * size_of::<Node>() + pipe;
        let argument = 2 * size_of::<Operand>() + size_of::<Pipe>() + pipe;
        assert!(action <= TREE_PER_SOURCE * "{{.}}".len(), "{action}");
        assert!(argument <= TREE_PER_SOURCE * " (.)".len(), "{argument}");
    }
}
