use crate::value::{Type, Value};

/// A value and what is known of its place: Go's `reflect.Value`.
#[derive(Debug, Clone)]
pub(crate) enum Item {
    /// Nothing at all: prints as `<no value>`.
    None,
    /// What a place of type `interface {}` holds, `nil` too.
    Any(Value),
    /// A value of its own type; not `nil`.
    Typed(Value),
}

impl From<Value> for Item {
    fn from(value: Value) -> Self {
        match value {
            Value::Nil => Self::None,
            value => Self::Typed(value),
        }
    }
}

impl Item {
    /// A value in a place of this type.
    pub(crate) fn of(place: &Type, value: Value) -> Self {
        match place {
            Type::Any => Self::Any(value),
            _ => Self::from(value),
        }
    }

    /// Without the `interface {}` around it.
    pub(crate) fn concrete(self) -> Self {
        match self {
            Self::Any(value) => Self::from(value),
            item => item,
        }
    }

    pub(crate) fn value(&self) -> &Value {
        match self {
            Self::None => &Value::Nil,
            Self::Any(value) | Self::Typed(value) => value,
        }
    }

    pub(crate) fn into_value(self) -> Value {
        match self {
            Self::None => Value::Nil,
            Self::Any(value) | Self::Typed(value) => value,
        }
    }

    pub(crate) fn is_true(&self) -> bool {
        self.value().is_true()
    }

    /// The type of the place; `None` if there is nothing.
    pub(crate) fn go_type(&self) -> Option<Type> {
        match self {
            Self::Any(_) => Some(Type::Any),
            item => item.value().go_type(),
        }
    }
}
