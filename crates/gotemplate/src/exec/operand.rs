//! Commands, fields, and operands as arguments.

use super::call::Parameter;
use super::{Executor, Item, Place};
use crate::error::Error;
use crate::node::{Command, Number, Operand};
use crate::set::MissingKey;
use crate::value::{Type, Value};

impl<'a> Executor<'a, '_> {
    /// `last` is the result of the command before, if there is one.
    pub(super) fn command(
        &mut self,
        dot: &Item,
        command: &'a Command,
        last: Option<Item>,
    ) -> Result<Item, Error> {
        self.context.run.step(1)?;
        let Some((first, arguments)) = command.operands.split_first() else { return Ok(Item::None) };
        match first {
            Operand::Field(..) | Operand::Chain(..) => {
                return self.fields_of(dot, first, arguments, last);
            }
            Operand::Variable(variable) if !variable.fields.is_empty() => {
                return self.fields_of(dot, first, arguments, last);
            }
            Operand::Identifier(_, name) => {
                self.at(first);
                return self.function(dot, name, command, arguments, last);
            }
            Operand::Pipe(pipe) => {
                self.refuse_arguments(first, arguments, last.as_ref())?;
                return self.nested(|executor| executor.pipeline(dot, pipe));
            }
            _ => self.at(first),
        }
        if let Operand::Variable(variable) = first {
            let item = self.variable(&variable.name)?;
            self.refuse_arguments(first, arguments, last.as_ref())?;
            return Ok(item);
        }
        self.refuse_arguments(first, arguments, last.as_ref())?;
        match first {
            Operand::Dot(_) => Ok(dot.clone()),
            Operand::Nil(_) => self.fail("nil is not a command"),
            constant => self.constant(constant),
        }
    }

    fn refuse_arguments(
        &self,
        operand: &Operand,
        arguments: &[Operand],
        last: Option<&Item>,
    ) -> Result<(), Error> {
        match arguments.is_empty() && last.is_none() {
            true => Ok(()),
            false => self.fail(format_args!("can't give argument to non-function {}", bare(operand))),
        }
    }

    /// A constant where any type will do.
    fn constant(&mut self, operand: &'a Operand) -> Result<Item, Error> {
        match operand {
            Operand::Bool(_, value) => Ok(Item::Typed((*value).into())),
            Operand::String(_, text) => Ok(Item::Typed(Value::String(text.value.clone()))),
            Operand::Number(_, number) => {
                self.at(operand);
                self.number(number)
            }
            operand => {
                self.fail(format_args!("can't handle assignment of {operand} to empty interface argument"))
            }
        }
    }

    /// What the notation of a number makes of it.
    fn number(&self, number: &Number) -> Result<Item, Error> {
        let text = &number.source;
        let is_hexadecimal = (text.starts_with("0x") || text.starts_with("0X"))
            && text.len() > 2
            && !text.contains(['p', 'P']);
        let is_fractional =
            !is_hexadecimal && !text.starts_with('\'') && text.contains(['.', 'e', 'E', 'p', 'P']);
        Ok(Item::Typed(match (number.complex, number.float, number.int, number.uint) {
            (Some((real, imaginary)), ..) => Value::Complex128(real, imaginary),
            (_, Some(value), ..) if is_fractional => Value::Float64(value),
            (_, _, Some(value), _) => Value::Int(value),
            (_, _, _, Some(_)) => return self.fail(format_args!("{text} overflows int")),
            _ => return Ok(Item::None),
        }))
    }

    /// `.a.b`, `$a.b` or `(…).a.b`. If the last name is that of a method, it gets the arguments.
    fn fields_of(
        &mut self,
        dot: &Item,
        operand: &'a Operand,
        arguments: &'a [Operand],
        last: Option<Item>,
    ) -> Result<Item, Error> {
        self.at(operand);
        let (mut receiver, names) = match operand {
            Operand::Field(_, names) => (dot.clone(), names),
            Operand::Variable(variable) => (self.variable(&variable.name)?, &variable.fields),
            Operand::Chain(_, inner, names) => {
                if matches!(**inner, Operand::Nil(_)) {
                    return self.fail(format_args!("indirection through explicit nil in {operand}"));
                }
                (self.any_operand(dot, inner)?, names)
            }
            _ => return Ok(Item::None),
        };
        let mut names = names.names().peekable();
        while let Some(name) = names.next() {
            if names.peek().is_none() {
                return self.field(dot, receiver, name, operand, arguments, last);
            }
            receiver = self.field(dot, receiver, name, operand, &[], None)?;
        }
        Ok(receiver)
    }

    fn field(
        &mut self,
        dot: &Item,
        receiver: Item,
        name: &'a [u8],
        place: &'a dyn Place,
        arguments: &'a [Operand],
        last: Option<Item>,
    ) -> Result<Item, Error> {
        self.context.run.step(1)?;
        let shown = || String::from_utf8_lossy(name);
        let Some(receiver_type) = receiver.go_type() else {
            return match self.context.set.missing_key() {
                MissingKey::Error => {
                    self.fail(format_args!("nil data; no entry for key {}", strconv::quote(name)))
                }
                _ => Ok(Item::None),
            };
        };
        if matches!(receiver, Item::Any(Value::Nil)) {
            return self.fail(format_args!("nil pointer evaluating {receiver_type}.{}", shown()));
        }
        let object = match receiver.value() {
            Value::Object(object) => Some(object),
            _ => None,
        };
        if let Some(method) = object.and_then(|object| object.method(&shown())) {
            return self.method(dot, &method, name, place, arguments, last);
        }
        let has_arguments = !arguments.is_empty() || last.is_some();
        let found =
            object.and_then(|object| object.fields().into_iter().find(|(field, _)| field.as_bytes() == name));
        if let Some((_, value)) = found {
            if has_arguments {
                return self
                    .fail(format_args!("{} has arguments but cannot be invoked as function", shown()));
            }
            return Ok(Item::from(value));
        }
        let map = match receiver.value() {
            Value::Map(map) => map.clone(),
            value => match value.underlying() {
                Value::Map(map) => map,
                _ => {
                    return self
                        .fail(format_args!("can't evaluate field {} in type {receiver_type}", shown()));
                }
            },
        };
        if has_arguments {
            return self.fail(format_args!("{} is not a method but has arguments", shown()));
        }
        let element = map.element();
        match (map.get(name), self.context.set.missing_key()) {
            (Some(value), _) => Ok(Item::of(element, value)),
            (None, MissingKey::Default) => Ok(Item::None),
            (None, MissingKey::Zero) => Ok(Item::of(element, element.zero())),
            (None, MissingKey::Error) => {
                self.fail(format_args!("map has no entry for key {}", strconv::quote(name)))
            }
        }
    }

    /// An operand that is no constant; `None` if it is one.
    fn computed(&mut self, dot: &Item, operand: &'a Operand) -> Result<Option<Item>, Error> {
        self.context.run.step(1)?;
        self.at(operand);
        Ok(Some(match operand {
            Operand::Dot(_) => dot.clone(),
            Operand::Field(..) | Operand::Chain(..) => self.fields_of(dot, operand, &[], None)?,
            Operand::Variable(variable) if variable.fields.is_empty() => self.variable(&variable.name)?,
            Operand::Variable(_) => self.fields_of(dot, operand, &[], None)?,
            Operand::Pipe(pipe) => self.nested(|executor| executor.pipeline(dot, pipe))?,
            Operand::Identifier(_, name) => self.function(dot, name, operand, &[], None)?,
            Operand::Bool(..) | Operand::Nil(_) | Operand::Number(..) | Operand::String(..) => {
                return Ok(None);
            }
        }))
    }

    /// An operand of which nothing is expected.
    fn any_operand(&mut self, dot: &Item, operand: &'a Operand) -> Result<Item, Error> {
        match self.computed(dot, operand)? {
            Some(item) => Ok(item),
            None => self.constant(operand),
        }
    }

    /// An operand as an argument.
    pub(super) fn argument(
        &mut self,
        dot: &Item,
        parameter: Parameter,
        operand: &'a Operand,
    ) -> Result<Item, Error> {
        if let Some(item) = self.computed(dot, operand)? {
            return self.validate(item, parameter);
        }
        let expected = match (operand, parameter) {
            (Operand::Nil(_), Parameter::Reflect) => return Ok(Item::None),
            (Operand::Nil(_), Parameter::Of(wanted)) if parameter.can_be_nil() => {
                return Ok(Item::of(&wanted, wanted.zero()));
            }
            (Operand::Nil(_), _) => return self.fail(format_args!("cannot assign nil to {parameter}")),
            (constant, Parameter::Reflect | Parameter::Of(Type::Any)) => return self.constant(constant),
            (Operand::Bool(_, value), Parameter::Of(Type::Bool)) => {
                return Ok(Item::Typed((*value).into()));
            }
            (Operand::String(..), Parameter::Of(Type::String)) => return self.constant(operand),
            (Operand::Number(_, number), Parameter::Of(wanted)) => match converted(number, wanted) {
                Some(value) => return Ok(Item::Typed(value)),
                None => wanted,
            },
            (_, Parameter::Of(wanted)) => wanted,
        };
        let expected = match expected {
            Type::Bool => "bool",
            Type::String => "string",
            Type::Int | Type::Int64 => "integer",
            Type::Uint8 | Type::Uint32 | Type::Uint64 => "unsigned integer",
            Type::Float64 => "float",
            Type::Complex128 => "complex",
            other => return self.fail(format_args!("can't handle {operand} for arg of type {other}")),
        };
        self.fail(format_args!("expected {expected}; found {operand}"))
    }
}

/// An operand as Go names it where it stands alone: without the parentheses.
pub(super) fn bare(operand: &Operand) -> String {
    match operand {
        Operand::Pipe(pipe) => pipe.to_string(),
        operand => operand.to_string(),
    }
}

/// A number as the type that a parameter wants.
fn converted(number: &Number, wanted: Type) -> Option<Value> {
    match wanted {
        Type::Int => number.int.map(Value::Int),
        Type::Int64 => number.int.map(Value::Int64),
        // What does not fit loses its upper bits, as in Go.
        Type::Uint8 => number.uint.map(|value| Value::Uint8(value as u8)),
        Type::Uint32 => number.uint.map(|value| Value::Uint64(u64::from(value as u32))),
        Type::Uint64 => number.uint.map(Value::Uint64),
        Type::Float64 => number.float.map(Value::Float64),
        Type::Complex128 => number.complex.map(|(real, imaginary)| Value::Complex128(real, imaginary)),
        _ => None,
    }
}
