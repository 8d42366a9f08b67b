//! From trees and data to text: the nodes of templates. The messages, and the places that they name, are those of Go.

mod call;
mod item;
mod operand;

use std::fmt::Display;

use strconv::quote;

use crate::context::Context;
use crate::error::{Error, bounded};
use crate::node::{Branch, Command, List, Node, Operand, Pipe, Position, Template};
use crate::parse::Tree;
use crate::value::{Text, Value};

pub(crate) use call::Parameter;
pub(crate) use item::Item;

/// What an error can name.
trait Place: Display {
    fn position(&self) -> Position;
}

impl Place for Node {
    fn position(&self) -> Position {
        self.position()
    }
}

impl Place for Pipe {
    fn position(&self) -> Position {
        self.position
    }
}

impl Place for Command {
    fn position(&self) -> Position {
        self.position
    }
}

impl Place for Operand {
    fn position(&self) -> Position {
        self.position()
    }
}

/// What comes after a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// The execution of one template. Templates that it calls have their own.
struct Executor<'a, 'o> {
    context: Context<'a>,
    tree: &'a Tree,
    output: &'o mut Vec<u8>,
    /// What is being done, for errors.
    at: Option<&'a dyn Place>,
    /// Those declared later are the last.
    variables: Vec<(&'a [u8], Item)>,
}

/// Appends what the template makes of the data. On error, part of it may be there.
pub(crate) fn execute(
    context: Context<'_>,
    tree: &Tree,
    data: Value,
    output: &mut Vec<u8>,
) -> Result<(), Error> {
    run(context, tree, Item::from(data), output)
}

fn run(context: Context<'_>, tree: &Tree, dot: Item, output: &mut Vec<u8>) -> Result<(), Error> {
    let variables = vec![(b"$" as &[u8], dot.clone())];
    let mut executor = Executor { context, tree, output, at: None, variables };
    executor.list(&dot, &tree.root)?;
    Ok(())
}

fn pointer_text(value: &Value) -> Option<Text> {
    match value {
        Value::Object(object) => object.pointer_text(),
        _ => None,
    }
}

impl<'a> Executor<'a, '_> {
    /// An error here.
    fn fail<T>(&self, message: impl Display) -> Result<T, Error> {
        Err(Error::Execution { message: self.located(message), cause: None })
    }

    /// The message of an error here.
    fn located(&self, message: impl Display) -> String {
        let name = &self.tree.name;
        bounded(match self.at {
            None => format!("template: {}: {message}", String::from_utf8_lossy(name)),
            Some(place) => format!(
                "template: {}: executing {} at <{place}>: {message}",
                self.tree.location(place.position()),
                quote(name)
            ),
        })
    }

    fn at(&mut self, place: &'a dyn Place) {
        self.at = Some(place);
    }

    /// One level deeper: whatever calls itself again goes through here, for the stack is finite.
    fn nested<T>(&mut self, execute: impl FnOnce(&mut Self) -> Result<T, Error>) -> Result<T, Error> {
        self.context.run.enter()?;
        let result = execute(self);
        self.context.run.leave();
        result
    }

    fn list(&mut self, dot: &Item, list: &'a List) -> Result<Flow, Error> {
        self.nested(|executor| {
            for node in &list.nodes {
                let flow = executor.node(dot, node)?;
                if flow != Flow::Next {
                    return Ok(flow);
                }
            }
            Ok(Flow::Next)
        })
    }

    fn node(&mut self, dot: &Item, node: &'a Node) -> Result<Flow, Error> {
        let result = self.execute_node(dot, node);
        // A source of its own, such as the text of `tpl`, says nothing about the file that it comes from.
        if let Err(Error::Exhausted(_)) = &result
            && *self.tree.source_name != *self.context.set.name()
        {
            self.context.run.note_end(|| self.tree.location(node.position()));
        }
        result
    }

    fn execute_node(&mut self, dot: &Item, node: &'a Node) -> Result<Flow, Error> {
        self.context.run.step(1)?;
        self.at(node);
        match node {
            Node::Text(_, text) => self.context.run.write(text, self.output)?,
            Node::Action(pipe) => {
                let item = self.pipeline(dot, pipe)?;
                if pipe.variables.is_empty() {
                    self.at(node);
                    self.print(item)?;
                }
            }
            Node::If(branch) => return self.condition(dot, branch, false),
            Node::With(branch) => return self.condition(dot, branch, true),
            Node::Range(branch) => return self.range(dot, branch),
            Node::Template(template) => self.template(dot, template)?,
            Node::Break(_) => return Ok(Flow::Break),
            Node::Continue(_) => return Ok(Flow::Continue),
        }
        Ok(Flow::Next)
    }

    fn print(&mut self, item: Item) -> Result<(), Error> {
        let text = match item {
            Item::None => return Ok(self.context.run.write(b"<no value>", self.output)?),
            Item::Any(Value::String(text)) | Item::Typed(Value::String(text)) => text,
            Item::Any(value) | Item::Typed(value) => match pointer_text(&value) {
                Some(text) => text,
                None => self.context.print_dereferenced(&[value])?,
            },
        };
        Ok(self.context.run.write(&text, self.output)?)
    }

    /// `if`, or `with`, where the dot changes.
    fn condition(&mut self, dot: &Item, branch: &'a Branch, is_with: bool) -> Result<Flow, Error> {
        let variables = self.variables.len();
        let item = self.pipeline(dot, &branch.pipe)?;
        let flow = match (item.is_true(), &branch.otherwise) {
            (true, _) if is_with => self.list(&item, &branch.list)?,
            (true, _) => self.list(dot, &branch.list)?,
            (false, Some(otherwise)) => self.list(dot, otherwise)?,
            (false, None) => Flow::Next,
        };
        self.variables.truncate(variables);
        Ok(flow)
    }

    fn range(&mut self, dot: &Item, branch: &'a Branch) -> Result<Flow, Error> {
        let variables = self.variables.len();
        let value = self.pipeline(dot, &branch.pipe)?.into_value();
        let has_run = match value.underlying() {
            Value::Int(count) => self.count(branch, &value, count, Value::Int)?,
            Value::Int64(count) => self.count(branch, &value, count, Value::Int64)?,
            Value::Uint8(count) => self.count(branch, &value, count, Value::Uint8)?,
            Value::Uint64(count) => self.count(branch, &value, count, Value::Uint64)?,
            Value::List(list) => {
                let indexes = (0_i64..).map(Value::Int);
                let items = list.iter().map(|item| Item::of(list.element(), item.clone()));
                self.iterate(branch, indexes.map(Item::Typed).zip(items))?
            }
            Value::Bytes(bytes) => {
                let indexes = (0_i64..).map(Value::Int);
                let items = bytes.iter().map(|byte| Item::Typed(Value::Uint8(*byte)));
                self.iterate(branch, indexes.map(Item::Typed).zip(items))?
            }
            Value::Map(map) => {
                // The body may change the map.
                let entries = map.entries();
                let size = entries.len() * size_of::<(Text, Value)>();
                self.context.charge(size)?;
                let element = map.element();
                let items = entries.into_iter();
                let has_run = self.iterate(
                    branch,
                    items.map(|(key, value)| (Item::Typed(key.into()), Item::of(element, value))),
                )?;
                self.context.run.give_back(size);
                has_run
            }
            Value::Nil => false,
            _ => {
                let text = self.context.print_pointee(value)?;
                return self.fail(format_args!("range can't iterate over {text}"));
            }
        };
        let flow = match &branch.otherwise {
            // As in Go, a `break` here leaves this range, not the one around it.
            Some(otherwise) if !has_run => match self.list(dot, otherwise)? {
                Flow::Break => Flow::Next,
                flow => flow,
            },
            _ => Flow::Next,
        };
        self.variables.truncate(variables);
        Ok(flow)
    }

    /// `range` over a number.
    fn count<N>(
        &mut self,
        branch: &'a Branch,
        value: &Value,
        count: N,
        wrap: fn(N) -> Value,
    ) -> Result<bool, Error>
    where
        std::ops::Range<N>: Iterator<Item = N>,
        N: Default,
    {
        if branch.pipe.variables.len() > 1 {
            let text = self.context.print(std::slice::from_ref(value))?;
            return self.fail(format_args!("can't use {text} to iterate over more than one variable"));
        }
        self.iterate(branch, (N::default()..count).map(|number| (Item::None, Item::Typed(wrap(number)))))
    }

    /// Executes the list for each; whether there was any.
    fn iterate(
        &mut self,
        branch: &'a Branch,
        items: impl Iterator<Item = (Item, Item)>,
    ) -> Result<bool, Error> {
        let variables = self.variables.len();
        let mut has_run = false;
        for (index, item) in items {
            has_run = true;
            self.context.run.step(1)?;
            self.assign_iteration(&branch.pipe, index, &item)?;
            let flow = self.list(&item, &branch.list)?;
            self.variables.truncate(variables);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(has_run)
    }

    /// The variables of a `range`: the item, or the index and the item.
    fn assign_iteration(&mut self, pipe: &'a Pipe, index: Item, item: &Item) -> Result<(), Error> {
        let values = match pipe.variables.len() {
            0 => return Ok(()),
            1 => vec![item.clone()],
            _ => vec![index, item.clone()],
        };
        if pipe.is_assignment {
            for (variable, value) in pipe.variables.iter().zip(values) {
                self.assign(&variable.name, value)?;
            }
        } else {
            // The pipeline declared them.
            let first = self.variables.len().saturating_sub(values.len());
            for ((_, variable), value) in self.variables.iter_mut().skip(first).zip(values) {
                *variable = value;
            }
        }
        Ok(())
    }

    fn template(&mut self, dot: &Item, template: &'a Template) -> Result<(), Error> {
        let Some(tree) = self.context.set.get(&template.name) else {
            return self.fail(format_args!("template {} not defined", quote(&template.name)));
        };
        let dot = match &template.pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Item::None,
        };
        // It sees no variables of ours.
        run(self.context, tree, dot, self.output)
    }

    fn pipeline(&mut self, dot: &Item, pipe: &'a Pipe) -> Result<Item, Error> {
        self.at(pipe);
        let mut result = None;
        for command in &pipe.commands {
            result = Some(self.command(dot, command, result)?.concrete());
        }
        let item = result.unwrap_or(Item::None);
        for variable in &pipe.variables {
            if pipe.is_assignment {
                self.assign(&variable.name, item.clone())?;
            } else {
                self.variables.push((&variable.name, item.clone()));
            }
        }
        Ok(item)
    }

    fn assign(&mut self, name: &[u8], item: Item) -> Result<(), Error> {
        let index = self.find(name)?;
        if let Some((_, variable)) = self.variables.get_mut(index) {
            *variable = item;
        }
        Ok(())
    }

    fn variable(&self, name: &[u8]) -> Result<Item, Error> {
        let index = self.find(name)?;
        Ok(self.variables.get(index).map_or(Item::None, |(_, item)| item.clone()))
    }

    fn find(&self, name: &[u8]) -> Result<usize, Error> {
        let Some(index) = self.variables.iter().rposition(|(other, _)| *other == name) else {
            return self.fail(format_args!("undefined variable: {}", String::from_utf8_lossy(name)));
        };
        // A template can declare very many.
        self.context.run.step((self.variables.len() - index) as u64 / 16)?;
        Ok(index)
    }
}
