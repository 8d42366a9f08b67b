//! Operators and functions: one table says what each takes and gives, for the check and for the evaluation.

use crate::{
    evaluate::{Failure, Meter, Outcome},
    value::{Type, Value},
};

mod convert;
mod format;
mod lists;
mod numbers;
mod strings;
mod times;

pub(crate) use numbers::ordered;

/// What a function does with its arguments, which are of the types of its overload.
pub type Body = for<'a> fn(&mut Meter, &[Value<'a>]) -> Outcome<'a>;

/// One way to call a function. The target of a member function is its first argument.
#[derive(Debug)]
pub struct Overload {
    pub member: bool,
    pub parameters: &'static [Type],
    pub gives: Gives,
    pub call: Body,
}

/// The type of a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gives {
    /// Always this.
    Is(Type),
    /// That of the first argument.
    Same,
    /// That of the elements of the first argument.
    Element,
    /// An optional value of the first argument's type.
    OptionalSame,
    /// An optional value of the type of the first argument's elements.
    OptionalElement,
}

impl Overload {
    /// Whether these are its arguments.
    pub fn takes(&self, values: &[Value<'_>]) -> bool {
        self.parameters.len() == values.len()
            && self.parameters.iter().zip(values).all(|(wanted, value)| {
                // An empty optional value and one with a value have one type, as have all types.
                *wanted == Type::Dyn || *wanted == value.kind()
            })
    }
}

const fn global(parameters: &'static [Type], gives: Type, call: Body) -> Overload {
    Overload { member: false, parameters, gives: Gives::Is(gives), call }
}

const fn member(parameters: &'static [Type], gives: Type, call: Body) -> Overload {
    Overload { member: true, parameters, gives: Gives::Is(gives), call }
}

const fn giving(overload: Overload, gives: Gives) -> Overload {
    Overload { gives, ..overload }
}

/// The overloads of a function, none if there is no such function.
pub fn named(name: &str) -> &'static [Overload] {
    [numbers::named, convert::named, strings::named, lists::named, times::named]
        .into_iter()
        .find_map(|table| table(name))
        .unwrap_or_default()
}

/// The types of an overload and of its arguments always agree, so this is never seen.
fn mismatch<'a>() -> Outcome<'a> {
    Err(Failure::error("no such overload"))
}
