//! The check of names, functions and types, as far as they are known before evaluation.

use std::fmt;

use crate::{
    functions::{Gives, Overload, ordered},
    syntax::{Element, Kind, Literal, Loop, Node},
    value::Type,
};

/// What is wrong.
#[derive(Debug, PartialEq, Eq)]
pub enum Mistake {
    /// As it says.
    Text(String),
    /// The type of the whole is not that of a boolean.
    NotBoolean(String),
}

/// A type with those of its elements.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Known {
    Plain(Type),
    List(Box<Known>),
    Map(Box<Known>, Box<Known>),
    Optional(Box<Known>),
}

const DYN: Known = Known::Plain(Type::Dyn);

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Plain(kind) => f.write_str(kind.name()),
            Self::List(of) => write!(f, "list({of})"),
            Self::Map(from, to) => write!(f, "map({from}, {to})"),
            Self::Optional(of) => write!(f, "optional_type({of})"),
        }
    }
}

impl Known {
    fn of(kind: Type) -> Self {
        match kind {
            Type::List => Self::List(Box::new(DYN)),
            Type::Map => Self::Map(Box::new(DYN), Box::new(DYN)),
            Type::Optional => Self::Optional(Box::new(DYN)),
            other => Self::Plain(other),
        }
    }

    fn kind(&self) -> Type {
        match self {
            Self::Plain(kind) => *kind,
            Self::List(_) => Type::List,
            Self::Map(..) => Type::Map,
            Self::Optional(_) => Type::Optional,
        }
    }

    /// What is in a list, a map or an optional value.
    fn element(self) -> Self {
        match self {
            Self::List(of) | Self::Map(_, of) | Self::Optional(of) => *of,
            Self::Plain(_) => DYN,
        }
    }

    /// Whether a value could be of both types.
    fn agrees(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Plain(Type::Dyn), _) | (_, Self::Plain(Type::Dyn)) => true,
            // Anything that is no scalar may be null.
            (Self::Plain(Type::Null), Self::Plain(kind)) | (Self::Plain(kind), Self::Plain(Type::Null)) => {
                matches!(kind, Type::Null | Type::Timestamp | Type::Duration)
            }
            (Self::Plain(Type::Null), _) | (_, Self::Plain(Type::Null)) => true,
            (Self::List(a), Self::List(b)) | (Self::Optional(a), Self::Optional(b)) => a.agrees(b),
            (Self::Map(a, b), Self::Map(c, d)) => a.agrees(c) && b.agrees(d),
            (a, b) => a == b,
        }
    }
}

type Outcome<T = Known> = Result<T, (usize, Mistake)>;

fn mistake<T>(at: usize, text: String) -> Outcome<T> {
    Err((at, Mistake::Text(text)))
}

/// Checks an expression over variables that are objects.
///
/// # Errors
/// Where and what the first mistake is.
pub fn check(root: &Node, variables: &[&str]) -> Result<(), (usize, Mistake)> {
    let object = || Known::Map(Box::new(Known::Plain(Type::String)), Box::new(DYN));
    let mut checker =
        Checker { scope: variables.iter().map(|name| ((*name).to_owned(), object())).collect() };
    let found = checker.known(root)?;
    if found == Known::Plain(Type::Bool) {
        return Ok(());
    }
    Err((root.at, Mistake::NotBoolean(found.to_string())))
}

struct Checker {
    scope: Vec<(String, Known)>,
}

impl Checker {
    fn known(&mut self, node: &Node) -> Outcome {
        match &node.kind {
            Kind::Literal(literal) => Ok(Known::Plain(match literal {
                Literal::Null => Type::Null,
                Literal::Bool(_) => Type::Bool,
                Literal::Int(_) => Type::Int,
                Literal::Uint(_) => Type::Uint,
                Literal::Double(_) => Type::Double,
                Literal::String(_) => Type::String,
                Literal::Bytes(_) => Type::Bytes,
            })),
            Kind::Name(name) => {
                if let Some((_, known)) = self.scope.iter().rev().find(|(own, _)| own == name) {
                    return Ok(known.clone());
                }
                if Type::named(name).is_some() {
                    return Ok(Known::Plain(Type::Type));
                }
                mistake(node.at, format!("undeclared reference to '{name}' (in container '')"))
            }
            Kind::Select { operand, field: _, optional } => {
                let found = self.field(operand)?;
                Ok(if *optional { optional_of(found) } else { found })
            }
            Kind::Has { operand, .. } => self.field(operand).map(|_| Known::Plain(Type::Bool)),
            Kind::Index { operand, index, optional } => {
                let (of, by) = (self.known(operand)?, self.known(index)?);
                let (inner, lifted) = match of {
                    Known::Optional(inner) => (*inner, true),
                    plain => (plain, false),
                };
                let fits = match &inner {
                    Known::List(_) => {
                        matches!(by.kind(), Type::Int | Type::Uint | Type::Double | Type::Dyn)
                    }
                    Known::Map(key, _) => key.agrees(&by),
                    other => other.kind() == Type::Dyn,
                };
                if !fits {
                    return no_overload(node.at, "_[_]", &[inner, by]);
                }
                let element = inner.element();
                Ok(if *optional || lifted { optional_of(element) } else { element })
            }
            Kind::Call { function, member, overloads, arguments } => {
                self.call(node.at, function, *member, overloads, arguments)
            }
            Kind::And(terms) => self.logic("_&&_", terms),
            Kind::Or(terms) => self.logic("_||_", terms),
            Kind::Conditional(parts) => {
                let [condition, yes, no] = &**parts;
                self.boolean(condition, "_?_:_")?;
                let (yes, no) = (self.known(yes)?, self.known(no)?);
                if !yes.agrees(&no) {
                    return no_overload(node.at, "_?_:_", &[Known::Plain(Type::Bool), yes, no]);
                }
                Ok(if yes == DYN { yes } else { common(yes, no) })
            }
            Kind::List(elements) => self.same(elements.iter()).map(|of| Known::List(Box::new(of))),
            Kind::Map(entries) => {
                let mut key = None;
                for (own, _) in entries {
                    let found = self.known(own)?;
                    key = Some(joined(own.at, key, found)?);
                }
                let value = self.same(entries.iter().map(|(_, element)| element))?;
                Ok(Known::Map(Box::new(key.unwrap_or(DYN)), Box::new(value)))
            }
            Kind::Loop { what, range, variable, filter, body } => {
                let element = match self.known(range)? {
                    Known::List(of) => *of,
                    Known::Map(key, _) => *key,
                    Known::Plain(Type::Dyn) => DYN,
                    other => {
                        let text = format!(
                            "expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)"
                        );
                        return mistake(range.at, text);
                    }
                };
                self.scope.push((variable.clone(), element.clone()));
                if let Some(filter) = filter {
                    self.boolean(filter, "_?_:_")?;
                }
                let found = if *what == Loop::Map {
                    self.known(body)?
                } else {
                    self.boolean(body, "_&&_")?;
                    element
                };
                self.scope.pop();
                Ok(match what {
                    Loop::All | Loop::Exists | Loop::ExistsOne => Known::Plain(Type::Bool),
                    Loop::Filter | Loop::Map => Known::List(Box::new(found)),
                })
            }
            Kind::OptionalMap { operand, variable, body, flat } => {
                let inner = self.known(operand)?.element();
                self.scope.push((variable.clone(), inner));
                let found = self.known(body)?;
                self.scope.pop();
                Ok(if *flat { found } else { optional_of(found) })
            }
        }
    }

    fn field(&mut self, operand: &Node) -> Outcome {
        match self.known(operand)? {
            Known::Map(_, value) => Ok(*value),
            Known::Plain(Type::Dyn) => Ok(DYN),
            Known::Optional(inner) => Ok(optional_of(inner.element())),
            other => mistake(operand.at, format!("type '{other}' does not support field selection")),
        }
    }

    fn call(
        &mut self,
        at: usize,
        function: &str,
        member: bool,
        overloads: &'static [Overload],
        arguments: &[Node],
    ) -> Outcome {
        let known = arguments.iter().map(|argument| self.known(argument)).collect::<Result<Vec<_>, _>>()?;
        if overloads.is_empty() {
            return mistake(at, format!("undeclared reference to '{function}' (in container '')"));
        }
        let related = match (function, &*known) {
            ("_==_" | "_!=_", [a, b]) => a.agrees(b) || numbers(a) && numbers(b),
            ("_<_" | "_<=_" | "_>_" | "_>=_", [a, b]) => ordered(a.kind(), b.kind()),
            ("@in", [wanted, Known::List(of)]) => wanted.agrees(of) || numbers(wanted) && numbers(of),
            ("@in", [wanted, Known::Map(key, _)]) => wanted.agrees(key),
            ("_+_", [a @ Known::List(_), b @ Known::List(_)]) => a.agrees(b),
            _ => true,
        };
        let fits = |overload: &&Overload| {
            overload.member == member
                && overload.parameters.len() == known.len()
                && overload.parameters.iter().zip(&known).all(|(wanted, found)| {
                    *wanted == Type::Dyn || found.kind() == Type::Dyn || *wanted == found.kind()
                })
        };
        let mut fitting = overloads.iter().filter(fits).filter(|_| related);
        let Some(first) = fitting.next() else { return no_overload(at, function, &known) };
        // Of several that could be meant the type is known only if all give the same.
        if fitting.any(|other| other.gives != first.gives) {
            return Ok(DYN);
        }
        let target = known.into_iter().next().unwrap_or(DYN);
        Ok(match first.gives {
            Gives::Is(kind) => Known::of(kind),
            Gives::Same => target,
            Gives::Element => target.element(),
            Gives::OptionalSame => optional_of(target),
            Gives::OptionalElement => optional_of(target.element()),
        })
    }

    fn boolean(&mut self, node: &Node, function: &str) -> Outcome<()> {
        let found = self.known(node)?;
        if matches!(found.kind(), Type::Bool | Type::Dyn) {
            return Ok(());
        }
        no_overload(node.at, function, &[found])
    }

    fn logic(&mut self, function: &str, terms: &[Node]) -> Outcome {
        for term in terms {
            self.boolean(term, function)?;
        }
        Ok(Known::Plain(Type::Bool))
    }

    /// The one type of all elements.
    fn same<'n>(&mut self, elements: impl Iterator<Item = &'n Element>) -> Outcome {
        let mut all = None;
        for element in elements {
            let found = self.known(&element.value)?;
            let found = if element.optional { found.element() } else { found };
            all = Some(joined(element.value.at, all, found)?);
        }
        Ok(all.unwrap_or(DYN))
    }
}

fn optional_of(known: Known) -> Known {
    Known::Optional(Box::new(known))
}

fn numbers(known: &Known) -> bool {
    matches!(known.kind(), Type::Int | Type::Uint | Type::Double)
}

/// Of two types that agree the one that says less.
fn common(a: Known, b: Known) -> Known {
    if b == DYN { b } else { a }
}

/// The type of the elements so far with one more: literals hold one type.
fn joined(at: usize, before: Option<Known>, found: Known) -> Outcome {
    match before {
        None => Ok(found),
        Some(before) if before.agrees(&found) => Ok(common(before, found)),
        Some(before) => mistake(at, format!("expected type '{before}' but found '{found}'")),
    }
}

fn no_overload<T>(at: usize, function: &str, known: &[Known]) -> Outcome<T> {
    let types: Vec<_> = known.iter().map(Known::to_string).collect();
    mistake(at, format!("found no matching overload for '{function}' applied to '({})'", types.join(", ")))
}
