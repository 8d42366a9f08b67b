//! Values, their equality and their order. What comes from the input is borrowed from it.

use std::{cmp::Ordering, ops::Deref, rc::Rc, sync::Arc};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map as JsonMap, Value as Json};

use crate::evaluate::{Failure, Meter};

/// A value.
#[derive(Clone, Debug)]
pub enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Text<'a>),
    Bytes(Arc<[u8]>),
    Timestamp(Timestamp),
    Duration(SignedDuration),
    List(List<'a>),
    Map(Map<'a>),
    Type(Type),
    Optional(Option<Rc<Value<'a>>>),
}

/// The types, without those of elements. `Dyn` is any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::enum_variant_names, reason = "types have a type, too")]
pub enum Type {
    Dyn,
    Null,
    Bool,
    Int,
    Uint,
    Double,
    String,
    Bytes,
    Timestamp,
    Duration,
    List,
    Map,
    Type,
    Optional,
}

impl Type {
    /// What a type is called in expressions and messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Dyn => "dyn",
            Self::Null => "null_type",
            Self::Bool => "bool",
            Self::Int => "int",
            Self::Uint => "uint",
            Self::Double => "double",
            Self::String => "string",
            Self::Bytes => "bytes",
            Self::Timestamp => "timestamp",
            Self::Duration => "duration",
            Self::List => "list",
            Self::Map => "map",
            Self::Type => "type",
            Self::Optional => "optional_type",
        }
    }

    /// The type that an identifier names.
    pub fn named(name: &str) -> Option<Self> {
        let types = [
            Self::Null,
            Self::Bool,
            Self::Int,
            Self::Uint,
            Self::Double,
            Self::String,
            Self::Bytes,
            Self::List,
            Self::Map,
            Self::Type,
            Self::Optional,
        ];
        types.into_iter().find(|t| t.name() == name)
    }
}

/// A string.
#[derive(Clone, Debug)]
pub enum Text<'a> {
    Given(&'a str),
    Made(Rc<str>),
}

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        match self {
            Self::Given(text) => text,
            Self::Made(text) => text,
        }
    }
}

/// A list.
#[derive(Clone, Debug)]
pub enum List<'a> {
    Given(&'a [Json]),
    Made(Rc<[Value<'a>]>),
}

impl<'a> List<'a> {
    pub fn len(&self) -> usize {
        match self {
            Self::Given(items) => items.len(),
            Self::Made(items) => items.len(),
        }
    }

    pub fn get(&self, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Given(items) => items.get(index).map(Value::of),
            Self::Made(items) => items.get(index).cloned(),
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = Value<'a>> {
        (0..self.len()).filter_map(|index| self.get(index))
    }
}

/// A map. One that was made is small: it was written out.
#[derive(Clone, Debug)]
pub enum Map<'a> {
    Given(&'a JsonMap<String, Json>),
    Made(Rc<[(Value<'a>, Value<'a>)]>),
}

impl<'a> Map<'a> {
    pub fn len(&self) -> usize {
        match self {
            Self::Given(map) => map.len(),
            Self::Made(entries) => entries.len(),
        }
    }

    /// The value under a key.
    ///
    /// # Errors
    /// When looking costs too much.
    pub fn get(&self, key: &Value<'a>, meter: &mut Meter) -> Result<Option<Value<'a>>, Failure> {
        match (self, key) {
            (Self::Given(map), Value::String(key)) => Ok(map.get(&**key).map(Value::of)),
            (Self::Given(_), _) => Ok(None),
            (Self::Made(entries), key) => {
                for (own, value) in entries.iter() {
                    if own.equals(key, meter)? {
                        return Ok(Some(value.clone()));
                    }
                }
                Ok(None)
            }
        }
    }

    /// All keys.
    ///
    /// # Errors
    /// When there are too many.
    pub fn keys(&self, meter: &mut Meter) -> Result<Vec<Value<'a>>, Failure> {
        meter.charge(self.len() as u64)?;
        Ok(match self {
            Self::Given(map) => map.keys().map(|key| Value::String(Text::Given(key))).collect(),
            Self::Made(entries) => entries.iter().map(|(key, _)| key.clone()).collect(),
        })
    }
}

impl<'a> Value<'a> {
    /// A value of the input.
    pub fn of(json: &'a Json) -> Self {
        match json {
            Json::Null => Self::Null,
            Json::Bool(b) => Self::Bool(*b),
            Json::Number(n) => match (n.as_i64(), n.as_u64()) {
                (Some(n), _) => Self::Int(n),
                (None, Some(n)) => Self::Uint(n),
                (None, None) => Self::Double(n.as_f64().unwrap_or(f64::NAN)),
            },
            Json::String(text) => Self::String(Text::Given(text)),
            Json::Array(items) => Self::List(List::Given(items)),
            Json::Object(map) => Self::Map(Map::Given(map)),
        }
    }

    pub fn text(text: impl Into<Rc<str>>) -> Self {
        Self::String(Text::Made(text.into()))
    }

    pub fn list(items: Vec<Self>) -> Self {
        Self::List(List::Made(items.into()))
    }

    pub fn kind(&self) -> Type {
        match self {
            Self::Null => Type::Null,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Uint(_) => Type::Uint,
            Self::Double(_) => Type::Double,
            Self::String(_) => Type::String,
            Self::Bytes(_) => Type::Bytes,
            Self::Timestamp(_) => Type::Timestamp,
            Self::Duration(_) => Type::Duration,
            Self::List(_) => Type::List,
            Self::Map(_) => Type::Map,
            Self::Type(_) => Type::Type,
            Self::Optional(_) => Type::Optional,
        }
    }

    /// Whether two values are equal. Numbers compare across their types; values of different types are unequal.
    ///
    /// # Errors
    /// When comparing costs too much.
    pub fn equals(&self, other: &Self, meter: &mut Meter) -> Result<bool, Failure> {
        meter.charge(1)?;
        if let Some(order) = numbers(self, other) {
            return Ok(order == Some(Ordering::Equal));
        }
        Ok(match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::String(a), Self::String(b)) => {
                meter.text(a.len().min(b.len()))?;
                **a == **b
            }
            (Self::Bytes(a), Self::Bytes(b)) => {
                meter.text(a.len().min(b.len()))?;
                a == b
            }
            (Self::Timestamp(a), Self::Timestamp(b)) => a == b,
            (Self::Duration(a), Self::Duration(b)) => a == b,
            (Self::Type(a), Self::Type(b)) => a == b,
            (Self::Optional(None), Self::Optional(None)) => true,
            (Self::Optional(Some(a)), Self::Optional(Some(b))) => a.equals(b, meter)?,
            (Self::List(a), Self::List(b)) if a.len() == b.len() => {
                for (a, b) in a.iter().zip(b.iter()) {
                    if !a.equals(&b, meter)? {
                        return Ok(false);
                    }
                }
                true
            }
            (Self::Map(a), Self::Map(b)) if a.len() == b.len() => {
                for key in a.keys(meter)? {
                    match (a.get(&key, meter)?, b.get(&key, meter)?) {
                        (Some(a), Some(b)) if a.equals(&b, meter)? => {}
                        _ => return Ok(false),
                    }
                }
                true
            }
            _ => false,
        })
    }

    /// The order of two values, if they have one. `Some(None)` is that of NaN.
    ///
    /// # Errors
    /// When comparing costs too much.
    pub fn order(&self, other: &Self, meter: &mut Meter) -> Result<Option<Option<Ordering>>, Failure> {
        if let Some(order) = numbers(self, other) {
            return Ok(Some(order));
        }
        Ok(match (self, other) {
            (Self::Bool(a), Self::Bool(b)) => Some(Some(a.cmp(b))),
            (Self::String(a), Self::String(b)) => {
                meter.text(a.len().min(b.len()))?;
                Some(Some((**a).cmp(&**b)))
            }
            (Self::Bytes(a), Self::Bytes(b)) => {
                meter.text(a.len().min(b.len()))?;
                Some(Some(a.cmp(b)))
            }
            (Self::Timestamp(a), Self::Timestamp(b)) => Some(Some(a.cmp(b))),
            (Self::Duration(a), Self::Duration(b)) => Some(Some(a.cmp(b))),
            _ => None,
        })
    }
}

/// The order of two numbers, if both are.
fn numbers(a: &Value<'_>, b: &Value<'_>) -> Option<Option<Ordering>> {
    let integer = |value: &Value<'_>| match value {
        Value::Int(n) => Some(i128::from(*n)),
        Value::Uint(n) => Some(i128::from(*n)),
        _ => None,
    };
    match (a, b) {
        (Value::Double(a), Value::Double(b)) => Some(a.partial_cmp(b)),
        (Value::Double(a), b) => integer(b).map(|b| double_and_integer(*a, b)),
        (a, Value::Double(b)) => integer(a).map(|a| double_and_integer(*b, a).map(Ordering::reverse)),
        (a, b) => Some(Some(integer(a)?.cmp(&integer(b)?))),
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the whole part of a double in that range fits")]
fn double_and_integer(double: f64, integer: i128) -> Option<Ordering> {
    // Beyond both integer types.
    const FAR: f64 = 1e20;
    if double.is_nan() {
        return None;
    }
    if double.abs() >= FAR {
        return Some(if double > 0.0 { Ordering::Greater } else { Ordering::Less });
    }
    let whole = double.trunc();
    let by_fraction = double.partial_cmp(&whole)?;
    Some((whole as i128).cmp(&integer).then(by_fraction))
}
