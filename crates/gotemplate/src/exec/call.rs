//! Calls of functions and methods.

use std::fmt::{self, Display, Formatter};

use super::operand::bare;
use super::{Executor, Item, Place};
use crate::builtins::{self, Builtin};
use crate::error::Error;
use crate::function::Function;
use crate::node::Operand;
use crate::value::{Type, Value};

/// What a function wants as an argument.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parameter {
    /// A `reflect.Value`: anything as it is. Builtins alone have it.
    Reflect,
    /// A value of a type.
    Of(Type),
}

impl Parameter {
    /// Whether an untyped `nil` will do.
    pub(super) fn can_be_nil(self) -> bool {
        match self {
            Self::Reflect | Self::Of(Type::Any | Type::Slice(_) | Type::Map(_)) => true,
            Self::Of(Type::Named(name)) => name.starts_with('*'),
            Self::Of(_) => false,
        }
    }
}

impl Display for Parameter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reflect => f.write_str("reflect.Value"),
            Self::Of(wanted) => wanted.fmt(f),
        }
    }
}

/// How many arguments of which types.
struct Signature<'s> {
    parameters: &'s dyn Fn(usize) -> Option<Parameter>,
    count: usize,
    is_variadic: bool,
}

/// Bytes of arguments that a function looks at in the time of a step.
const BYTES_PER_STEP: usize = 64;

impl<'a> Executor<'a, '_> {
    /// Calls what has the name. Errors of the call itself name `place`.
    pub(super) fn function(
        &mut self,
        dot: &Item,
        name: &'a [u8],
        place: &'a dyn Place,
        arguments: &'a [Operand],
        last: Option<Item>,
    ) -> Result<Item, Error> {
        if let Some(function) = self.context.set.functions().get(name) {
            return self.method(dot, function, name, place, arguments, last);
        }
        match builtins::find(name) {
            Some(builtin) => self.builtin(dot, builtin, name, place, arguments, last),
            None => self.fail(format_args!("{} is not a defined function", strconv::quote(name))),
        }
    }

    /// Calls a function of the host or a method.
    pub(super) fn method(
        &mut self,
        dot: &Item,
        function: &Function,
        name: &[u8],
        place: &'a dyn Place,
        arguments: &'a [Operand],
        last: Option<Item>,
    ) -> Result<Item, Error> {
        let parameter =
            |index: usize| function.parameters.get(index).copied().or(function.rest).map(Parameter::Of);
        let signature = Signature {
            parameters: &parameter,
            count: function.parameters.len(),
            is_variadic: function.rest.is_some(),
        };
        self.refuse_wrong_count(name, &signature, arguments.len(), last.is_some())?;
        let items = self.arguments(dot, &signature, arguments, last)?;
        let values: Vec<Value> = items.into_iter().map(Item::into_value).collect();
        self.step_for(&values)?;
        let context = self.context;
        let result = self.nested(|_| (function.body)(&context, &values));
        let value = self.checked(result, name, place)?;
        Ok(match (function.result, value) {
            (Type::Any, value) => Item::Any(value),
            // A nil slice or map.
            (result, Value::Nil) => Item::from(result.zero()),
            (_, value) => Item::Typed(value),
        })
    }

    fn builtin(
        &mut self,
        dot: &Item,
        builtin: Builtin,
        name: &[u8],
        place: &'a dyn Place,
        arguments: &'a [Operand],
        last: Option<Item>,
    ) -> Result<Item, Error> {
        let parameter = |index| builtin.parameter(index);
        let signature =
            Signature { parameters: &parameter, count: builtin.count(), is_variadic: builtin.is_variadic() };
        self.refuse_wrong_count(name, &signature, arguments.len(), last.is_some())?;
        if let Builtin::And | Builtin::Or = builtin {
            return self.logic(dot, builtin == Builtin::Or, arguments, last);
        }
        let callee = (builtin == Builtin::Call).then(|| arguments.first().map(bare)).flatten();
        let items = self.arguments(dot, &signature, arguments, last)?;
        for item in &items {
            self.step_for(std::slice::from_ref(item.value()))?;
        }
        let result = builtin.call(&self.context, &items, callee.as_deref());
        self.checked(result, name, place)
    }

    /// The first argument that decides, or the last; those behind are not evaluated.
    fn logic(
        &mut self,
        dot: &Item,
        is_or: bool,
        arguments: &'a [Operand],
        last: Option<Item>,
    ) -> Result<Item, Error> {
        let mut result = Item::None;
        for operand in arguments {
            result = self.argument(dot, Parameter::Reflect, operand)?;
            if result.is_true() == is_or {
                return Ok(result);
            }
        }
        Ok(last.unwrap_or(result))
    }

    /// What takes long texts walks through them, which is more than a step.
    fn step_for(&self, values: &[Value]) -> Result<(), Error> {
        let texts = values.iter().map(|value| match value {
            Value::String(text) | Value::Bytes(text) => text.len(),
            _ => 0,
        });
        self.context.step(texts.sum::<usize>() / BYTES_PER_STEP)
    }

    fn refuse_wrong_count(
        &self,
        name: &[u8],
        signature: &Signature<'_>,
        arguments: usize,
        has_last: bool,
    ) -> Result<(), Error> {
        let name = || String::from_utf8_lossy(name);
        let want = signature.count;
        let got = arguments + usize::from(has_last);
        match signature.is_variadic {
            // Go does not count the one that comes from the pipeline here.
            true if got < want => self.fail(format_args!(
                "wrong number of args for {}: want at least {want} got {arguments}",
                name()
            )),
            false if got != want => {
                self.fail(format_args!("wrong number of args for {}: want {want} got {got}", name()))
            }
            _ => Ok(()),
        }
    }

    fn arguments(
        &mut self,
        dot: &Item,
        signature: &Signature<'_>,
        operands: &'a [Operand],
        last: Option<Item>,
    ) -> Result<Vec<Item>, Error> {
        let parameter = |index| (signature.parameters)(index).unwrap_or(Parameter::Of(Type::Any));
        let mut items = Vec::with_capacity(operands.len() + 1);
        for (index, operand) in operands.iter().enumerate() {
            items.push(self.argument(dot, parameter(index), operand)?);
        }
        if let Some(item) = last {
            items.push(self.validate(item, parameter(operands.len()))?);
        }
        Ok(items)
    }

    /// What a call gave, or why it failed.
    fn checked<T>(
        &mut self,
        result: Result<T, Error>,
        name: &[u8],
        place: &'a dyn Place,
    ) -> Result<T, Error> {
        match result {
            Err(Error::Exhausted(exhausted)) => Err(exhausted.into()),
            Err(error) => {
                self.at(place);
                let called = String::from_utf8_lossy(name);
                let message = self.located(format_args!("error calling {called}: {error}"));
                Err(Error::Execution { message, cause: Some(Box::new(error)) })
            }
            result => result,
        }
    }

    /// The item as an argument, if it has the right type.
    pub(super) fn validate(&self, item: Item, parameter: Parameter) -> Result<Item, Error> {
        let Parameter::Of(wanted) = parameter else { return Ok(item) };
        if matches!(item, Item::None) {
            return match parameter.can_be_nil() {
                true => Ok(Item::of(&wanted, wanted.zero())),
                false => self.fail(format_args!("invalid value; expected {wanted}")),
            };
        }
        let value = item.value();
        if wanted == Type::Any || value.go_type() == Some(wanted) {
            return Ok(item);
        }
        // What has a name of its own can stand for what it is.
        if let Type::Slice(_) | Type::Map(_) = wanted {
            let underlying = value.underlying();
            if underlying.go_type() == Some(wanted) {
                return Ok(Item::Typed(underlying));
            }
        }
        let got = value.go_type().unwrap_or(Type::Any);
        self.fail(format_args!("wrong type for value; expected {wanted}; got {got}"))
    }
}
