//! The functions that templates call by name, and the methods of objects.

use std::collections::HashMap;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

use crate::context::Context;
use crate::error::Error;
use crate::value::{Type, Value};

type Body = dyn Fn(&Context<'_>, &[Value]) -> Result<Value, Error> + Send + Sync;

/// A function of the host. Before it is called, number and types of the arguments are checked against its parameters, by the rules
/// and with the messages of Go.
///
/// An object is passed as what it underlies if the parameter has that type, an untyped `nil` as that of the type of the parameter.
#[derive(Clone)]
pub struct Function {
    pub(crate) parameters: Arc<[Type]>,
    /// Of the arguments beyond the parameters; `None` if there may be none.
    pub(crate) rest: Option<Type>,
    pub(crate) result: Type,
    pub(crate) body: Arc<Body>,
}

impl Function {
    /// With so many parameters. The type of the result is [`Type::Any`] if it is an `interface {}` in Go: it matters for messages.
    pub fn new(
        parameters: &[Type],
        result: Type,
        body: impl Fn(&Context<'_>, &[Value]) -> Result<Value, Error> + Send + Sync + 'static,
    ) -> Self {
        Self { parameters: parameters.into(), rest: None, result, body: Arc::new(body) }
    }

    /// With any number of arguments of type `rest` behind the parameters.
    pub fn variadic(
        parameters: &[Type],
        rest: Type,
        result: Type,
        body: impl Fn(&Context<'_>, &[Value]) -> Result<Value, Error> + Send + Sync + 'static,
    ) -> Self {
        Self { parameters: parameters.into(), rest: Some(rest), result, body: Arc::new(body) }
    }
}

impl Debug for Function {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("parameters", &self.parameters)
            .field("rest", &self.rest)
            .field("result", &self.result)
            .finish_non_exhaustive()
    }
}

/// Functions by name. One of the name of a builtin takes its place.
#[derive(Debug, Clone, Default)]
pub struct Functions(Arc<HashMap<String, Function>>);

impl Functions {
    /// Adds a function, or replaces one.
    pub fn insert(&mut self, name: impl Into<String>, function: Function) {
        Arc::make_mut(&mut self.0).insert(name.into(), function);
    }

    /// The names, in no order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    pub(crate) fn get(&self, name: &[u8]) -> Option<&Function> {
        self.0.get(std::str::from_utf8(name).ok()?)
    }
}
