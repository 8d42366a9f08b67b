//! What templates compute with: the values of Go that data, constants and functions can have.
//!
//! A value knows its Go type, for templates see it: `int` and `int64` print alike, yet `%T` and function parameters tell them
//! apart. A value within an `interface {}` is not wrapped: where the difference shows, the type of the element of the list or map
//! that it comes from says it.
//!
//! Values are cheap to clone: what is large is shared. Lists never change; maps do, and all who hold one see it, as in Go.

mod list;
mod map;
mod object;
mod text;
mod types;

pub use list::List;
pub(crate) use map::Insertions;
pub use map::Map;
pub use object::Object;
pub use text::Text;
pub use types::Type;

use std::any::Any;
use std::fmt::{self, Debug, Formatter};
use std::sync::Arc;

/// How deep functions walk into values. A map can hold itself, and the stack is finite.
pub const NESTING: usize = 500;

/// A value of Go.
#[derive(Clone, Default)]
pub enum Value {
    /// An untyped `nil`.
    #[default]
    Nil,
    /// `bool`
    Bool(bool),
    /// `int`, which has 64 bits.
    Int(i64),
    /// `int64`
    Int64(i64),
    /// `uint8`: what an index into a string or `[]uint8` gives.
    Uint8(u8),
    /// `uint64`
    Uint64(u64),
    /// `float64`
    Float64(f64),
    /// `complex128`, real and imaginary part: only constants give one.
    Complex128(f64, f64),
    /// `string`
    String(Text),
    /// `[]uint8`, which Go also calls `[]byte`.
    Bytes(Text),
    /// Any other slice.
    List(List),
    /// A map from strings.
    Map(Map),
    /// What has a name of its own, methods or fields.
    Object(Arc<dyn Object>),
}

impl Value {
    /// A list of type `[]interface {}`.
    pub fn list(items: Vec<Self>) -> Self {
        Self::List(List::new(&Type::Any, items))
    }

    /// A map of type `map[string]interface {}`.
    pub fn map<K: Into<Text>>(entries: impl IntoIterator<Item = (K, Self)>) -> Self {
        Self::Map(Map::new(&Type::Any, entries))
    }

    /// An object.
    pub fn object(object: impl Object + 'static) -> Self {
        Self::Object(Arc::new(object))
    }

    /// Its type, as `%T` prints it; `None` is the type of `nil`.
    pub fn go_type(&self) -> Option<Type> {
        Some(match self {
            Self::Nil => return None,
            Self::Bool(_) => Type::Bool,
            Self::Int(_) => Type::Int,
            Self::Int64(_) => Type::Int64,
            Self::Uint8(_) => Type::Uint8,
            Self::Uint64(_) => Type::Uint64,
            Self::Float64(_) => Type::Float64,
            Self::Complex128(..) => Type::Complex128,
            Self::String(_) => Type::String,
            Self::Bytes(_) => Type::Slice(&Type::Uint8),
            Self::List(list) => list.go_type(),
            Self::Map(map) => map.go_type(),
            Self::Object(object) => Type::Named(object.go_type()),
        })
    }

    /// The object that it is, if it is one of this type.
    pub fn downcast<T: Object>(&self) -> Option<&T> {
        match self {
            Self::Object(object) => (object.as_ref() as &dyn Any).downcast_ref(),
            _ => None,
        }
    }

    /// The kind of its type, by the name that Go's package reflect gives it.
    pub fn kind(&self) -> &'static str {
        match self.underlying() {
            Self::Nil => "invalid",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Int64(_) => "int64",
            Self::Uint8(_) => "uint8",
            Self::Uint64(_) => "uint64",
            Self::Float64(_) => "float64",
            Self::Complex128(..) => "complex128",
            Self::String(_) => "string",
            Self::Bytes(_) | Self::List(_) => "slice",
            Self::Map(_) => "map",
            Self::Object(_) if self.is_pointer() => "ptr",
            Self::Object(_) => "struct",
        }
    }

    /// The type of what a pointer points to, or its own.
    pub(crate) fn pointee_type(&self) -> Type {
        match self.go_type() {
            None => Type::Any,
            Some(Type::Named(name)) => Type::Named(name.trim_start_matches('*')),
            Some(other) => other,
        }
    }

    pub(crate) fn is_pointer(&self) -> bool {
        matches!(self, Self::Object(object) if object.go_type().starts_with('*'))
    }

    /// The value without the name and the methods that its type may have.
    pub fn underlying(&self) -> Self {
        match self {
            Self::Object(object) => object.underlying().unwrap_or_else(|| self.clone()),
            value => value.clone(),
        }
    }

    /// Whether a condition takes it for true: it is not the zero of its type, and not empty.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) | Self::Int64(value) => *value != 0,
            Self::Uint8(value) => *value != 0,
            Self::Uint64(value) => *value != 0,
            Self::Float64(value) => *value != 0.0,
            Self::Complex128(real, imaginary) => (*real, *imaginary) != (0.0, 0.0),
            Self::String(text) | Self::Bytes(text) => !text.is_empty(),
            Self::List(list) => !list.is_empty(),
            Self::Map(map) => !map.is_empty(),
            // A struct is always true, and so is a pointer to one.
            Self::Object(object) => object.underlying().is_none_or(|value| value.is_true()),
        }
    }

    /// Whether it is `nil`, also that of a slice or map.
    pub fn is_nil(&self) -> bool {
        match self.underlying() {
            Self::Nil => true,
            Self::List(list) => list.is_nil(),
            Self::Map(map) => map.is_nil(),
            _ => false,
        }
    }

    /// Whether it can hold other values.
    pub(crate) fn is_container(&self) -> bool {
        matches!(self, Self::List(_) | Self::Map(_) | Self::Object(_))
    }
}

/// Its type, not what it is: it may be a secret.
impl Debug for Value {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (self, self.go_type()) {
            (Self::String(text) | Self::Bytes(text), _) => text.fmt(f),
            (Self::List(list), _) => list.fmt(f),
            (Self::Map(map), _) => map.fmt(f),
            (_, Some(name)) => f.write_str(&name.to_string()),
            (_, None) => f.write_str("nil"),
        }
    }
}

/// Lets go of values one after the other. Nested as deep as a template can build them, they would overflow the stack if each
/// dropped those within.
fn release(mut pending: Vec<Value>) {
    while let Some(value) = pending.pop() {
        match value {
            Value::List(list) => list.release_into(&mut pending),
            Value::Map(map) => map.release_into(&mut pending),
            _ => {}
        }
    }
}

impl From<bool> for Value {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

/// Go's `int`.
impl From<i64> for Value {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl From<f64> for Value {
    fn from(value: f64) -> Self {
        Self::Float64(value)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::String(text.into())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Self {
        Self::String(text.into())
    }
}

impl From<Text> for Value {
    fn from(text: Text) -> Self {
        Self::String(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_can_be_sent_and_shared() {
        fn assert<T: Send + Sync>() {}
        assert::<Value>();
    }

    #[test]
    fn values_nested_without_bound_are_dropped_without_recursion() {
        let mut value = Value::Nil;
        for level in 0..1_000_000 {
            value = match level % 2 {
                0 => Value::list(vec![value]),
                _ => Value::map([("within", value)]),
            };
        }
        let held = value.clone();
        drop(value);
        assert!(held.is_true());
    }

    #[test]
    fn all_who_hold_a_map_see_its_changes_and_lists_do_not_change() {
        let map = Map::new(&Type::Any, [("a", Value::from(1))]);
        let outer = Value::list(vec![Value::Map(map.clone())]);
        map.insert(&Insertions::default(), "b".into(), Value::from(2));
        let Value::List(list) = &outer else { panic!("a list") };
        let Some(Value::Map(seen)) = list.first() else { panic!("a map") };
        assert!(matches!(seen.get(b"b"), Some(Value::Int(2))));
        assert!(matches!(map.remove(b"a"), Some(Value::Int(1))));
        assert_eq!(seen.len(), 1);
    }

    #[test]
    fn a_map_within_itself_is_freed_with_the_insertions() {
        let insertions = Insertions::default();
        let map = Map::new(&Type::Any, [("kept", Value::list(vec![]))]);
        map.insert(&insertions, "self".into(), Value::list(vec![Value::Map(map.clone())]));
        map.insert(&insertions, "number".into(), Value::from(1));
        let watched = map.downgrade();
        assert_eq!(map.len(), 3);
        drop(insertions);
        // What closes no cycle stays.
        assert_eq!(map.keys(), ["kept".into(), "number".into()]);
        drop(map);
        assert!(watched.upgrade().is_none());
    }

    #[test]
    fn debug_output_shows_no_content() {
        let map = Map::new(&Type::Any, [("password", Value::from("hunter2"))]);
        let insertions = Insertions::default();
        map.insert(&insertions, "self".into(), Value::Map(map.clone()));
        let values = [
            Value::Map(map),
            Value::from("hunter2"),
            Value::Bytes("hunter2".into()),
            Value::list(vec!["hunter2".into()]),
            Value::Nil,
            Value::from(true),
        ];
        assert_eq!(
            format!("{values:?}"),
            "[map[string]interface {} of 2, string of 7 bytes, string of 7 bytes, []interface {} of 1, nil, bool]"
        );
    }

    #[test]
    fn types_are_named_as_go_names_them() {
        let cases = [
            (Value::from(1), "int"),
            (Value::Int64(1), "int64"),
            (Value::Bytes("a".into()), "[]uint8"),
            (Value::list(vec![]), "[]interface {}"),
            (Value::List(List::new(&Type::Slice(&Type::String), vec![])), "[][]string"),
            (Value::map([("a", Value::Nil)]), "map[string]interface {}"),
            (Value::Map(Map::new(&Type::String, [("a", Value::from(""))])), "map[string]string"),
        ];
        for (value, name) in cases {
            assert_eq!(value.go_type().map(|name| name.to_string()).as_deref(), Some(name));
        }
        assert_eq!(Value::Nil.go_type(), None);
    }
}
