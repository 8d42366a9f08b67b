use std::fmt::{self, Display, Formatter};

use super::{List, Map, Text, Value};

/// A type of Go, as far as values have one and functions ask for one. `Display` gives its name in Go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `interface {}`: any value, also `nil`.
    Any,
    /// `bool`
    Bool,
    /// `int`
    Int,
    /// `int64`
    Int64,
    /// `uint8`
    Uint8,
    /// `uint32`, which no value has: a parameter of a function.
    Uint32,
    /// `uint64`
    Uint64,
    /// `float64`
    Float64,
    /// `complex128`
    Complex128,
    /// `string`
    String,
    /// A slice of the type.
    Slice(&'static Type),
    /// A map from strings to the type.
    Map(&'static Type),
    /// The type of an object.
    Named(&'static str),
}

impl Type {
    /// Its zero value: that of a slice or map is its `nil`, that of an object type is an untyped one.
    pub fn zero(self) -> Value {
        match self {
            Self::Any | Self::Named(_) => Value::Nil,
            Self::Bool => Value::Bool(false),
            Self::Int => Value::Int(0),
            Self::Int64 => Value::Int64(0),
            Self::Uint8 => Value::Uint8(0),
            Self::Uint32 | Self::Uint64 => Value::Uint64(0),
            Self::Float64 => Value::Float64(0.0),
            Self::Complex128 => Value::Complex128(0.0, 0.0),
            Self::String => Value::String(Text::default()),
            Self::Slice(Self::Uint8) => Value::Bytes(Text::default()),
            Self::Slice(element) => Value::List(List::nil(element)),
            Self::Map(element) => Value::Map(Map::nil(element)),
        }
    }
}

impl Display for Type {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("interface {}"),
            Self::Bool => f.write_str("bool"),
            Self::Int => f.write_str("int"),
            Self::Int64 => f.write_str("int64"),
            Self::Uint8 => f.write_str("uint8"),
            Self::Uint32 => f.write_str("uint32"),
            Self::Uint64 => f.write_str("uint64"),
            Self::Float64 => f.write_str("float64"),
            Self::Complex128 => f.write_str("complex128"),
            Self::String => f.write_str("string"),
            Self::Slice(element) => write!(f, "[]{element}"),
            Self::Map(element) => write!(f, "map[string]{element}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}
