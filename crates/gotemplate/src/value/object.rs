use std::any::Any;
use std::fmt::Debug;

use super::{Text, Value};
use crate::function::Function;

/// What a template sees as more than plain data: a named type, with methods or fields.
pub trait Object: Any + Debug + Send + Sync {
    /// The name of its type in Go, such as `*common.Capabilities`; the `*` of a pointer belongs to it.
    fn go_type(&self) -> &'static str;

    /// The slice, map or number that it is but for the name of its type; `None` for a struct.
    fn underlying(&self) -> Option<Value> {
        None
    }

    /// A value of the same type that is something else but for the name; `None` for a struct.
    fn with_underlying(&self, underlying: Value) -> Option<Value> {
        let _ = underlying;
        None
    }

    /// The exported fields of a struct, in their order.
    fn fields(&self) -> Vec<(&'static str, Value)> {
        Vec::new()
    }

    /// All fields of a struct, those that are not exported, too: they are printed.
    fn all_fields(&self) -> Vec<(&'static str, Value)> {
        self.fields()
    }

    /// A method, bound to the object. It goes before a field or a key of the same name.
    fn method(&self, name: &str) -> Option<Function> {
        let _ = name;
        None
    }

    /// The fields by the names that they have in JSON, without those that are left out there if they are empty.
    fn json_fields(&self) -> Vec<(&'static str, Value)> {
        self.fields()
    }

    /// Whether Go's `==` takes a struct for the same as another one of its type: all fields are equal.
    fn equals(&self, other: &Value) -> bool {
        let _ = other;
        false
    }

    /// What its method `String` or `Error` gives.
    fn text(&self) -> Option<Text> {
        None
    }

    /// What the method `String` gives that only a pointer to it has. An action prints it; for a function it is a copy.
    fn pointer_text(&self) -> Option<Text> {
        None
    }
}
