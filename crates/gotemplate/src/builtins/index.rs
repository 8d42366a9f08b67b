//! `index`, `slice` and `len`.

use crate::context::Context;
use crate::error::Error;
use crate::exec::Item;
use crate::value::{List, Type, Value};

/// What the argument is as an index; the length itself counts as one.
fn position(index: &Item, length: usize) -> Result<usize, Error> {
    let out_of_range = |index: &dyn std::fmt::Display| format!("index out of range: {index}").into();
    let index = match index {
        Item::Any(_) => return Err("cannot index slice/array with type interface {}".into()),
        item => item.value(),
    };
    let position = match index.underlying() {
        Value::Int(position) | Value::Int64(position) => position,
        Value::Uint8(position) => position.into(),
        // Go converts without a check.
        Value::Uint64(position) => position as i64,
        Value::Nil => return Err("cannot index slice/array with nil".into()),
        _ => {
            let name = index.go_type().unwrap_or(Type::Any);
            return Err(format!("cannot index slice/array with type {name}").into());
        }
    };
    usize::try_from(position).ok().filter(|index| *index <= length).ok_or_else(|| out_of_range(&position))
}

pub(super) fn index(item: &Item, indexes: &[Item]) -> Result<Item, Error> {
    let mut item = item.clone().concrete();
    if matches!(item, Item::None) {
        return Err("index of untyped nil".into());
    }
    for index in indexes {
        let index = index.clone().concrete();
        item = match item.value().underlying() {
            Value::Nil => return Err("index of nil pointer".into()),
            Value::String(text) => {
                let byte = text.get(position(&index, text.len())?);
                Item::Typed(Value::Uint8(*byte.ok_or("reflect: string index out of range")?))
            }
            Value::Bytes(bytes) => {
                let byte = bytes.get(position(&index, bytes.len())?);
                Item::Typed(Value::Uint8(*byte.ok_or("reflect: slice index out of range")?))
            }
            Value::List(list) => {
                let found = list.get(position(&index, list.len())?);
                Item::of(list.element(), found.ok_or("reflect: slice index out of range")?.clone())
            }
            Value::Map(map) => {
                let key = match index.value() {
                    Value::String(key) => key,
                    Value::Nil => return Err("value is nil; should be of type string".into()),
                    other => {
                        let name = other.go_type().unwrap_or(Type::Any);
                        return Err(format!("value has type {name}; should be string").into());
                    }
                };
                let element = map.element();
                Item::of(element, map.get(key).unwrap_or_else(|| element.zero()))
            }
            _ => {
                let name = item.value().pointee_type();
                return Err(format!("can't index item of type {name}").into());
            }
        };
    }
    Ok(item)
}

pub(super) fn slice(context: &Context<'_>, item: &Item, indexes: &[Item]) -> Result<Item, Error> {
    let item = item.clone().concrete();
    let value = item.value().underlying();
    if matches!(value, Value::Nil) {
        return Err("slice of untyped nil".into());
    }
    if indexes.len() > 3 {
        return Err(format!("too many slice indexes: {}", indexes.len()).into());
    }
    let length = match &value {
        Value::String(_) if indexes.len() == 3 => return Err("cannot 3-index slice a string".into()),
        Value::String(text) | Value::Bytes(text) => text.len(),
        Value::List(list) => list.len(),
        _ => {
            let name = item.value().pointee_type();
            return Err(format!("can't slice item of type {name}").into());
        }
    };
    let mut bounds = [0, length, length];
    for (bound, index) in bounds.iter_mut().zip(indexes) {
        *bound = position(index, length)?;
    }
    let [from, to, capacity] = bounds;
    for (low, high) in [(from, to), (to, capacity)] {
        if low > high {
            return Err(format!("invalid slice index: {low} > {high}").into());
        }
    }
    let bytes = match &value {
        Value::List(_) => (to - from) * size_of::<Value>(),
        _ => to - from,
    };
    context.charge(bytes)?;
    Ok(Item::Typed(match value {
        Value::String(text) => Value::String(text.get(from..to).unwrap_or_default().into()),
        Value::Bytes(bytes) => Value::Bytes(bytes.get(from..to).unwrap_or_default().into()),
        Value::List(list) => {
            Value::List(List::new(list.element(), list.get(from..to).unwrap_or_default().to_vec()))
        }
        value => value,
    }))
}

pub(super) fn length(item: &Item) -> Result<Item, Error> {
    let length = match item.value().underlying() {
        Value::Nil if matches!(item, Item::Any(_)) => return Err("len of nil pointer".into()),
        // What Go's package reflect says about it.
        Value::Nil => return Err("reflect: call of reflect.Value.Type on zero Value".into()),
        Value::String(text) | Value::Bytes(text) => text.len(),
        Value::List(list) => list.len(),
        Value::Map(map) => map.len(),
        _ => {
            let name = item.value().pointee_type();
            return Err(format!("len of type {name}").into());
        }
    };
    Ok(Item::Typed(Value::Int(i64::try_from(length).unwrap_or(i64::MAX))))
}
