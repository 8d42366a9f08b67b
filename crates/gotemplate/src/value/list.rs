use std::fmt::{self, Debug, Formatter};
use std::ops::Deref;
use std::sync::Arc;

use super::{Type, Value, release};

/// A slice of Go other than `[]uint8`. It does not change: what appends or cuts makes another.
#[derive(Clone)]
pub struct List(Arc<Inner>);

struct Inner {
    element: &'static Type,
    items: Vec<Value>,
    is_nil: bool,
}

impl List {
    /// Of items that are of the type of the elements.
    pub fn new(element: &'static Type, items: Vec<Value>) -> Self {
        Self(Arc::new(Inner { element, items, is_nil: false }))
    }

    /// The `nil` of the type. It is empty, equals an untyped `nil`, and is `null` as JSON.
    pub fn nil(element: &'static Type) -> Self {
        Self(Arc::new(Inner { element, items: Vec::new(), is_nil: true }))
    }

    /// Whether it is the `nil` of its type.
    pub fn is_nil(&self) -> bool {
        self.0.is_nil
    }

    /// The type of its elements.
    pub fn element(&self) -> &'static Type {
        self.0.element
    }

    /// Its own type.
    pub fn go_type(&self) -> Type {
        Type::Slice(self.0.element)
    }

    /// Its items go to `pending` if no one else holds them.
    pub(super) fn release_into(self, pending: &mut Vec<Value>) {
        if let Some(mut inner) = Arc::into_inner(self.0) {
            pending.append(&mut inner.items);
        }
    }
}

impl Deref for List {
    type Target = [Value];

    fn deref(&self) -> &[Value] {
        &self.0.items
    }
}

/// What it is and how long.
impl Debug for List {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.go_type(), self.0.items.len())
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if self.items.iter().any(Value::is_container) {
            release(std::mem::take(&mut self.items));
        }
    }
}
