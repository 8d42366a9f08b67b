//! Evaluation, which counts what it costs.

use std::{collections::HashMap, rc::Rc, time::Instant};

use regex::{Regex, RegexBuilder};
use regex_automata::nfa::thompson::NFA;
use serde_json::Value as Json;

use crate::{
    Limits,
    functions::Overload,
    syntax::{Element, Kind, Literal, Loop, Node},
    value::{List, Map, Text, Type, Value},
};

/// Bytes of text that cost as much as one step.
const TEXT_PER_STEP: usize = 8;
/// Looks at a state of a regular expression that cost as much as one step.
const LOOKS_PER_STEP: usize = 64;
/// Steps between two looks at the clock.
const CLOCK: u64 = 1024;
/// Memory of a compiled regular expression, in bytes, and what compiling costs beside its length.
const REGEX: usize = 128 << 10;
const REGEX_COST: u64 = 2000;

/// Why there is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// An error of the language, which `&&` and `||` may pass over. It tells nothing of the input, which may be a Secret.
    #[error("{0}")]
    Error(String),
    /// The ceiling, which nothing passes over.
    #[error("operation cancelled: actual cost limit exceeded")]
    Cost,
    /// The time is over.
    #[error("operation interrupted: it took too long")]
    Time,
}

impl Failure {
    /// An error of the language.
    pub fn error(message: impl Into<String>) -> Self {
        Self::Error(message.into())
    }
}

/// The result of a step.
pub type Outcome<'a> = Result<Value<'a>, Failure>;

/// Counts what an evaluation costs, and keeps its regular expressions.
pub struct Meter {
    left: u64,
    clock: u64,
    deadline: Option<Instant>,
    regexes: HashMap<String, Pattern>,
}

/// A compiled regular expression.
#[derive(Clone)]
struct Pattern {
    regex: Regex,
    /// States of its automaton. In the worst case each of them is looked at for each byte of text.
    states: usize,
}

impl Meter {
    /// Takes steps from what is left.
    ///
    /// # Errors
    /// When too few are left or the time is over.
    pub fn charge(&mut self, steps: u64) -> Result<(), Failure> {
        self.left = self.left.checked_sub(steps).ok_or(Failure::Cost)?;
        self.clock += steps;
        if self.clock >= CLOCK {
            self.clock = 0;
            if self.deadline.is_some_and(|end| Instant::now() > end) {
                return Err(Failure::Time);
            }
        }
        Ok(())
    }

    /// Takes the steps for looking at, or making, text of this length.
    ///
    /// # Errors
    /// As [`Self::charge`].
    pub fn text(&mut self, bytes: usize) -> Result<(), Failure> {
        self.charge(1 + (bytes / TEXT_PER_STEP) as u64)
    }

    /// Whether a regular expression of the linear-time kind is found in a text.
    ///
    /// # Errors
    /// When it is none or too large; as [`Self::charge`].
    pub fn matches(&mut self, text: &str, pattern: &str) -> Result<bool, Failure> {
        let pattern = self.pattern(pattern)?;
        // Charged before the search, which does not look at the clock.
        let looks = text.len().saturating_mul(pattern.states) / LOOKS_PER_STEP;
        self.charge(1 + looks as u64)?;
        Ok(pattern.regex.is_match(text))
    }

    fn pattern(&mut self, pattern: &str) -> Result<Pattern, Failure> {
        if let Some(known) = self.regexes.get(pattern) {
            return Ok(known.clone());
        }
        self.charge(REGEX_COST + 8 * pattern.len() as u64)?;
        let invalid = || Failure::error("error parsing regexp: it is invalid or too large");
        let built = RegexBuilder::new(pattern).size_limit(REGEX).dfa_size_limit(REGEX).build();
        let regex = built.map_err(|_| invalid())?;
        let config = NFA::config().nfa_size_limit(Some(REGEX));
        let nfa = NFA::compiler().configure(config).build(pattern).map_err(|_| invalid())?;
        let compiled = Pattern { regex, states: nfa.states().len() };
        self.regexes.insert(pattern.to_owned(), compiled.clone());
        Ok(compiled)
    }
}

/// One evaluation.
pub struct Evaluator<'a, 'v> {
    variable: &'v dyn Fn(&str) -> Option<&'a Json>,
    /// Variables of macros, the innermost last.
    scope: Vec<(&'a str, Value<'a>)>,
    meter: Meter,
}

impl<'a, 'v> Evaluator<'a, 'v> {
    pub fn new(variable: &'v dyn Fn(&str) -> Option<&'a Json>, limits: &Limits) -> Self {
        let deadline = Instant::now().checked_add(limits.time);
        let meter = Meter { left: limits.cost, clock: 0, deadline, regexes: HashMap::new() };
        Self { variable, scope: Vec::new(), meter }
    }

    pub fn evaluate(&mut self, node: &'a Node) -> Outcome<'a> {
        self.meter.charge(1)?;
        match &node.kind {
            Kind::Literal(literal) => Ok(self::literal(literal)),
            Kind::Name(name) => self.name(name),
            Kind::Select { operand, field, optional } => {
                let operand = self.operand(operand, Some(field))?;
                self.at(operand, Value::String(Text::Given(field)), *optional, Some(field))
            }
            Kind::Has { operand, field } => match self.operand(operand, Some(field))? {
                Value::Map(map) => {
                    let key = Value::String(Text::Given(field));
                    map.get(&key, &mut self.meter).map(|found| Value::Bool(found.is_some()))
                }
                Value::Optional(None) => Ok(Value::Bool(false)),
                Value::Optional(Some(inner)) => {
                    let found = self.find(&inner, &Value::String(Text::Given(field)))?;
                    Ok(Value::Bool(found.is_some()))
                }
                _ => Err(Failure::error("no such overload")),
            },
            Kind::Index { operand, index, optional } => {
                let operand = self.operand(operand, literal_text(index))?;
                let key = self.evaluate(index)?;
                self.at(operand, key, *optional, written(index).as_deref())
            }
            Kind::Call { function, overloads, arguments, .. } => self.call(function, overloads, arguments),
            Kind::And(terms) => self.logic(terms, false),
            Kind::Or(terms) => self.logic(terms, true),
            Kind::Conditional(parts) => {
                let [condition, yes, no] = &**parts;
                match self.evaluate(condition)? {
                    Value::Bool(true) => self.evaluate(yes),
                    Value::Bool(false) => self.evaluate(no),
                    _ => Err(Failure::error("no such overload")),
                }
            }
            Kind::List(elements) => {
                let mut items = Vec::new();
                for element in elements {
                    items.extend(self.element(element)?);
                }
                Ok(Value::list(items))
            }
            Kind::Map(entries) => self.map(entries),
            Kind::Loop { what, range, variable, filter, body } => {
                let range = self.evaluate(range)?;
                self.each(*what, range, variable, filter.as_deref(), body)
            }
            Kind::OptionalMap { operand, variable, body, flat } => match self.evaluate(operand)? {
                Value::Optional(None) => Ok(Value::Optional(None)),
                Value::Optional(Some(inner)) => {
                    let value = self.with(variable, Value::clone(&inner), body)?;
                    Ok(if *flat { value } else { Value::Optional(Some(Rc::new(value))) })
                }
                _ => Err(Failure::error("no such overload")),
            },
        }
    }

    /// What a field is selected of. cel-go names a variable that is missing with all the fields that are selected of it.
    fn operand(&mut self, operand: &'a Node, field: Option<&str>) -> Outcome<'a> {
        self.evaluate(operand).map_err(|failure| match (&failure, attribute(operand), field) {
            (Failure::Error(text), Some(path), Some(field)) if *text == missing(&path) => {
                Failure::Error(missing(&format!("{path}.{field}")))
            }
            _ => failure,
        })
    }

    fn name(&self, name: &str) -> Outcome<'a> {
        if let Some((_, value)) = self.scope.iter().rev().find(|(own, _)| *own == name) {
            return Ok(value.clone());
        }
        if let Some(json) = (self.variable)(name) {
            return Ok(Value::of(json));
        }
        let kind = Type::named(name);
        kind.map(Value::Type).ok_or_else(|| Failure::Error(missing(name)))
    }

    /// A field, an entry or an element, which is an optional value if so asked for or if it is one of an optional value.
    /// `name` is the key as the expression has it.
    fn at(&mut self, operand: Value<'a>, key: Value<'a>, optional: bool, name: Option<&str>) -> Outcome<'a> {
        let (operand, optional) = match operand {
            Value::Optional(None) => return Ok(Value::Optional(None)),
            Value::Optional(Some(inner)) => (Value::clone(&inner), true),
            plain => (plain, optional),
        };
        let found = self.find(&operand, &key)?;
        if optional {
            return Ok(Value::Optional(found.map(Rc::new)));
        }
        found.ok_or_else(|| {
            let what = if matches!(operand, Value::List(_)) { "index out of bounds" } else { "no such key" };
            Failure::error(name.map_or_else(|| what.to_owned(), |name| format!("{what}: {name}")))
        })
    }

    fn find(&mut self, operand: &Value<'a>, key: &Value<'a>) -> Result<Option<Value<'a>>, Failure> {
        match (operand, key) {
            (Value::Map(map), key) => map.get(key, &mut self.meter),
            (Value::List(list), key) => {
                let index = match key {
                    Value::Int(n) => usize::try_from(*n).ok(),
                    Value::Uint(n) => usize::try_from(*n).ok(),
                    #[expect(
                        clippy::cast_possible_truncation,
                        clippy::cast_sign_loss,
                        reason = "it is whole"
                    )]
                    Value::Double(n) if n.fract() == 0.0 && (0.0..1e15).contains(n) => Some(*n as usize),
                    _ => return Err(Failure::error("no such overload")),
                };
                Ok(index.and_then(|index| list.get(index)))
            }
            _ => Err(Failure::error("no such overload")),
        }
    }

    fn call(&mut self, function: &str, overloads: &'static [Overload], arguments: &'a [Node]) -> Outcome<'a> {
        let mut values = Vec::with_capacity(arguments.len());
        for argument in arguments {
            values.push(self.evaluate(argument)?);
            // What else there is is not looked at if a value is there.
            if let ("or" | "orValue", [first @ Value::Optional(Some(inner))]) = (function, &*values) {
                return Ok(if function == "or" { first.clone() } else { Value::clone(inner) });
            }
        }
        match overloads.iter().find(|o| o.takes(&values)) {
            Some(overload) => (overload.call)(&mut self.meter, &values),
            None => Err(Failure::error(format!("no such overload: {function}"))),
        }
    }

    /// `&&` and `||`: the value that decides does so whatever errors the other terms have.
    fn logic(&mut self, terms: &'a [Node], decisive: bool) -> Outcome<'a> {
        let mut error = None;
        for term in terms {
            match self.evaluate(term) {
                Ok(Value::Bool(value)) if value == decisive => return Ok(Value::Bool(value)),
                Ok(Value::Bool(_)) => {}
                Ok(_) => error = error.or_else(|| Some(Failure::error("no such overload"))),
                Err(failure @ Failure::Error(_)) => error = error.or(Some(failure)),
                Err(end) => return Err(end),
            }
        }
        error.map_or(Ok(Value::Bool(!decisive)), Err)
    }

    fn element(&mut self, element: &'a Element) -> Result<Option<Value<'a>>, Failure> {
        let value = self.evaluate(&element.value)?;
        match (element.optional, value) {
            (false, value) => Ok(Some(value)),
            (true, Value::Optional(inner)) => Ok(inner.map(|inner| Value::clone(&inner))),
            (true, _) => {
                Err(Failure::error("cannot initialize optional entry from a value that is not optional"))
            }
        }
    }

    fn map(&mut self, entries: &'a [(Node, Element)]) -> Outcome<'a> {
        let mut made: Vec<(Value<'a>, Value<'a>)> = Vec::new();
        for (key, element) in entries {
            let key = self.evaluate(key)?;
            if !matches!(key, Value::Bool(_) | Value::Int(_) | Value::Uint(_) | Value::String(_)) {
                return Err(Failure::error("unsupported key type"));
            }
            for (other, _) in &made {
                if other.equals(&key, &mut self.meter)? {
                    return Err(Failure::error("Failed with repeated key"));
                }
            }
            if let Some(value) = self.element(element)? {
                made.push((key, value));
            }
        }
        Ok(Value::Map(Map::Made(made.into())))
    }

    /// `body` with a variable set.
    fn with(&mut self, variable: &'a str, value: Value<'a>, body: &'a Node) -> Outcome<'a> {
        self.scope.push((variable, value));
        let outcome = self.evaluate(body);
        self.scope.pop();
        outcome
    }

    fn test(&mut self, variable: &'a str, value: Value<'a>, body: &'a Node) -> Result<bool, Failure> {
        match self.with(variable, value, body)? {
            Value::Bool(answer) => Ok(answer),
            _ => Err(Failure::error("no such overload")),
        }
    }

    fn each(
        &mut self,
        what: Loop,
        range: Value<'a>,
        variable: &'a str,
        filter: Option<&'a Node>,
        body: &'a Node,
    ) -> Outcome<'a> {
        let items = match range {
            Value::List(list) => list,
            Value::Map(map) => List::Made(map.keys(&mut self.meter)?.into()),
            _ => return Err(Failure::error("no such overload")),
        };
        let (mut kept, mut matches, mut error) = (Vec::new(), 0, None);
        for item in items.iter() {
            self.meter.charge(1)?;
            match what {
                Loop::All | Loop::Exists => match self.test(variable, item, body) {
                    Ok(answer) if answer == (what == Loop::Exists) => return Ok(Value::Bool(answer)),
                    Ok(_) => {}
                    Err(failure @ Failure::Error(_)) => error = error.or(Some(failure)),
                    Err(end) => return Err(end),
                },
                Loop::ExistsOne => matches += u32::from(self.test(variable, item, body)?),
                Loop::Filter => {
                    if self.test(variable, item.clone(), body)? {
                        kept.push(item);
                    }
                }
                Loop::Map => {
                    let wanted = match filter {
                        Some(filter) => self.test(variable, item.clone(), filter)?,
                        None => true,
                    };
                    if wanted {
                        kept.push(self.with(variable, item, body)?);
                    }
                }
            }
        }
        match (what, error) {
            (Loop::All | Loop::Exists, Some(error)) => Err(error),
            (Loop::All, None) => Ok(Value::Bool(true)),
            (Loop::Exists, None) => Ok(Value::Bool(false)),
            (Loop::ExistsOne, _) => Ok(Value::Bool(matches == 1)),
            (Loop::Filter | Loop::Map, _) => Ok(Value::list(kept)),
        }
    }
}

fn literal(literal: &Literal) -> Value<'_> {
    match literal {
        Literal::Null => Value::Null,
        Literal::Bool(value) => Value::Bool(*value),
        Literal::Int(value) => Value::Int(*value),
        Literal::Uint(value) => Value::Uint(*value),
        Literal::Double(value) => Value::Double(*value),
        Literal::String(text) => Value::String(Text::Given(text)),
        Literal::Bytes(bytes) => Value::Bytes(bytes.clone()),
    }
}

fn missing(attribute: &str) -> String {
    format!("no such attribute(s): {attribute}")
}

/// A variable, or fields that are selected of one: `a.b`.
fn attribute(node: &Node) -> Option<String> {
    let (operand, field) = match &node.kind {
        Kind::Name(name) => return Some(name.clone()),
        Kind::Select { operand, field, .. } => (operand, field.as_str()),
        Kind::Index { operand, index, .. } => (operand, literal_text(index)?),
        _ => return None,
    };
    Some(format!("{}.{field}", attribute(operand)?))
}

fn literal_text(node: &Node) -> Option<&str> {
    match &node.kind {
        Kind::Literal(Literal::String(text)) => Some(text),
        _ => None,
    }
}

/// A key that is written in the expression. Others come from the input, of which nothing is told in messages.
fn written(key: &Node) -> Option<String> {
    match &key.kind {
        Kind::Literal(Literal::String(text)) => Some(text.clone()),
        Kind::Literal(Literal::Int(n)) => Some(n.to_string()),
        Kind::Literal(Literal::Uint(n)) => Some(n.to_string()),
        _ => None,
    }
}
