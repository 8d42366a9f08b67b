//! The functions that text/template has itself.

mod compare;
mod escape;
mod index;

use crate::context::Context;
use crate::error::Error;
use crate::exec::{Item, Parameter};
use crate::value::{Text, Type, Value};

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Builtin {
    And,
    Call,
    Eq,
    Ge,
    Gt,
    Html,
    Index,
    Js,
    Le,
    Len,
    Lt,
    Ne,
    Not,
    Or,
    Print,
    Printf,
    Println,
    Slice,
    Urlquery,
}

/// The builtin of a name.
pub(crate) fn find(name: &[u8]) -> Option<Builtin> {
    Some(match name {
        b"and" => Builtin::And,
        b"call" => Builtin::Call,
        b"eq" => Builtin::Eq,
        b"ge" => Builtin::Ge,
        b"gt" => Builtin::Gt,
        b"html" => Builtin::Html,
        b"index" => Builtin::Index,
        b"js" => Builtin::Js,
        b"le" => Builtin::Le,
        b"len" => Builtin::Len,
        b"lt" => Builtin::Lt,
        b"ne" => Builtin::Ne,
        b"not" => Builtin::Not,
        b"or" => Builtin::Or,
        b"print" => Builtin::Print,
        b"printf" => Builtin::Printf,
        b"println" => Builtin::Println,
        b"slice" => Builtin::Slice,
        b"urlquery" => Builtin::Urlquery,
        _ => return None,
    })
}

impl Builtin {
    /// How many arguments it wants at least.
    pub(crate) fn count(self) -> usize {
        match self {
            Self::Html | Self::Js | Self::Print | Self::Println | Self::Urlquery => 0,
            Self::Ge | Self::Gt | Self::Le | Self::Lt | Self::Ne => 2,
            _ => 1,
        }
    }

    /// Whether it takes more.
    pub(crate) fn is_variadic(self) -> bool {
        !matches!(self, Self::Ge | Self::Gt | Self::Le | Self::Len | Self::Lt | Self::Ne | Self::Not)
    }

    /// What it wants at this place.
    pub(crate) fn parameter(self, index: usize) -> Option<Parameter> {
        match self {
            Self::Printf if index == 0 => Some(Parameter::Of(Type::String)),
            Self::Html | Self::Js | Self::Print | Self::Printf | Self::Println | Self::Urlquery => {
                Some(Parameter::Of(Type::Any))
            }
            _ => Some(Parameter::Reflect),
        }
    }

    /// Its result. The arguments are as many as it wants; `callee` is how the first was written.
    pub(crate) fn call(
        self,
        context: &Context<'_>,
        arguments: &[Item],
        callee: Option<&str>,
    ) -> Result<Item, Error> {
        let nothing = Item::None;
        let first = arguments.first().unwrap_or(&nothing);
        let others = arguments.get(1..).unwrap_or_default();
        let second = others.first().unwrap_or(&nothing);
        Ok(match self {
            // Their arguments are not all evaluated: the execution does them.
            Self::And | Self::Or => first.clone(),
            Self::Call => return call(first, callee),
            Self::Eq => truth(compare::equal_any(context, first, others)?),
            Self::Ne => truth(!compare::equal(context, first, second)?),
            Self::Lt => truth(compare::less(context, first, second)?),
            Self::Le => truth(compare::less_or_equal(context, first, second)?),
            Self::Gt => truth(!compare::less_or_equal(context, first, second)?),
            Self::Ge => truth(!compare::less(context, first, second)?),
            Self::Not => truth(!first.is_true()),
            Self::Index => index::index(first, others)?,
            Self::Slice => index::slice(context, first, others)?,
            Self::Len => index::length(first)?,
            Self::Html => escape::html(context, &text(context, arguments)?)?,
            Self::Js => escape::js(context, &text(context, arguments)?)?,
            Self::Urlquery => escape::url_query(context, &text(context, arguments)?)?,
            Self::Print => Item::Typed(context.print(&values(arguments))?.into()),
            Self::Println => Item::Typed(context.print_line(&values(arguments))?.into()),
            Self::Printf => {
                let values = values(arguments);
                let Some((Value::String(format), operands)) = values.split_first() else {
                    return Ok(Item::None);
                };
                Item::Typed(context.format(format, operands)?.into())
            }
        })
    }
}

fn truth(value: bool) -> Item {
    Item::Typed(Value::Bool(value))
}

fn values(items: &[Item]) -> Vec<Value> {
    items.iter().map(|item| item.value().clone()).collect()
}

/// There are no values that are functions.
fn call(function: &Item, callee: Option<&str>) -> Result<Item, Error> {
    let value = function.value();
    let Some(name) = value.go_type() else { return Err("call of nil".into()) };
    let callee = match (callee, value) {
        (Some(callee), _) => callee.to_owned(),
        // It comes from the pipeline, and has no name.
        (None, Value::String(text)) => text.to_string(),
        (None, _) => format!("<{name} Value>"),
    };
    Err(format!("non-function {callee} of type {name}").into())
}

/// The arguments as text: a string as it is, others as they are printed.
fn text(context: &Context<'_>, arguments: &[Item]) -> Result<Text, Error> {
    if let [Item::Any(Value::String(text)) | Item::Typed(Value::String(text))] = arguments {
        return Ok(text.clone());
    }
    let shown = |item: &Item| match item.value() {
        Value::Nil => Value::from("<no value>"),
        value => value.clone(),
    };
    context.print_dereferenced(&arguments.iter().map(shown).collect::<Vec<_>>())
}
