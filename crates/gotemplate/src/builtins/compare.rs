//! `eq`, `lt` and what follows from them.

use std::sync::Arc;

use crate::context::Context;
use crate::error::Error;
use crate::exec::Item;
use crate::value::{Text, Type, Value};

/// What values are compared as.
enum Basic {
    Bool(bool),
    Complex(f64, f64),
    Int(i64),
    Float(f64),
    String(Text),
    Uint(u64),
}

/// As much of two strings is compared in a step.
const BYTES_PER_STEP: usize = 64;

const BAD_TYPE: &str = "invalid type for comparison";

fn basic(value: &Value) -> Option<Basic> {
    Some(match value.underlying() {
        Value::Bool(value) => Basic::Bool(value),
        Value::Complex128(real, imaginary) => Basic::Complex(real, imaginary),
        Value::Int(value) | Value::Int64(value) => Basic::Int(value),
        Value::Uint8(value) => Basic::Uint(value.into()),
        Value::Uint64(value) => Basic::Uint(value),
        Value::Float64(value) => Basic::Float(value),
        Value::String(text) => Basic::String(text),
        Value::Nil | Value::Bytes(_) | Value::List(_) | Value::Map(_) | Value::Object(_) => return None,
    })
}

fn incompatible(first: &Value, second: &Value) -> Error {
    let name = |value: &Value| value.go_type().unwrap_or(Type::Any);
    format!("incompatible types for comparison: {} and {}", name(first), name(second)).into()
}

/// Whether it equals one of the others.
pub(super) fn equal_any(context: &Context<'_>, first: &Item, others: &[Item]) -> Result<bool, Error> {
    if others.is_empty() {
        return Err("missing argument for comparison".into());
    }
    for other in others {
        if equal(context, first, other)? {
            return Ok(true);
        }
    }
    Ok(false)
}

pub(super) fn equal(context: &Context<'_>, first: &Item, second: &Item) -> Result<bool, Error> {
    let (first, second) = (first.value(), second.value());
    Ok(match (basic(first), basic(second)) {
        (Some(Basic::Bool(first)), Some(Basic::Bool(second))) => first == second,
        (Some(Basic::Complex(real, imaginary)), Some(Basic::Complex(other, its_imaginary))) => {
            real == other && imaginary == its_imaginary
        }
        (Some(Basic::Int(first)), Some(Basic::Int(second))) => first == second,
        (Some(Basic::Float(first)), Some(Basic::Float(second))) => first == second,
        (Some(Basic::String(first)), Some(Basic::String(second))) => {
            context.step(first.len().min(second.len()) / BYTES_PER_STEP)?;
            first == second
        }
        (Some(Basic::Uint(first)), Some(Basic::Uint(second))) => first == second,
        (Some(Basic::Int(int)), Some(Basic::Uint(uint)))
        | (Some(Basic::Uint(uint)), Some(Basic::Int(int))) => u64::try_from(int) == Ok(uint),
        (None, None) => return equal_composite(context, first, second),
        _ if matches!(first, Value::Nil) || matches!(second, Value::Nil) => false,
        _ => return Err(incompatible(first, second)),
    })
}

fn equal_composite(context: &Context<'_>, first: &Value, second: &Value) -> Result<bool, Error> {
    let name = |value: &Value| value.go_type().unwrap_or(Type::Any);
    let text = |format: &[u8], value: &Value| context.format(format, std::slice::from_ref(value));
    let is_untyped = |value: &Value| matches!(value, Value::Nil);
    if first.kind() != second.kind() && !is_untyped(first) && !is_untyped(second) {
        let (first_type, second_type) = (name(first), name(second));
        let (first, second) = (text(b"%s", first)?, text(b"%v", second)?);
        return Err(format!("non-comparable types {first}: {first_type}, {second_type}: {second}").into());
    }
    if first.is_nil() || second.is_nil() {
        return Ok(first.is_nil() == second.is_nil());
    }
    match (first, second) {
        (Value::Object(one), Value::Object(other)) if matches!(second.kind(), "ptr" | "struct") => {
            Ok(Arc::ptr_eq(one, other) || one.equals(second))
        }
        _ => Err(format!("non-comparable type {}: {}", text(b"%s", second)?, name(second)).into()),
    }
}

pub(super) fn less(context: &Context<'_>, first: &Item, second: &Item) -> Result<bool, Error> {
    let (first, second) = (first.value(), second.value());
    let (Some(one), Some(other)) = (basic(first), basic(second)) else { return Err(BAD_TYPE.into()) };
    Ok(match (one, other) {
        (Basic::Bool(_), Basic::Bool(_)) | (Basic::Complex(..), Basic::Complex(..)) => {
            return Err(BAD_TYPE.into());
        }
        (Basic::Int(one), Basic::Int(other)) => one < other,
        (Basic::Float(one), Basic::Float(other)) => one < other,
        (Basic::String(one), Basic::String(other)) => {
            context.step(one.len().min(other.len()) / BYTES_PER_STEP)?;
            one < other
        }
        (Basic::Uint(one), Basic::Uint(other)) => one < other,
        (Basic::Int(int), Basic::Uint(uint)) => u64::try_from(int).is_ok_and(|int| int < uint) || int < 0,
        (Basic::Uint(uint), Basic::Int(int)) => u64::try_from(int).is_ok_and(|int| uint < int),
        _ => return Err(incompatible(first, second)),
    })
}

pub(super) fn less_or_equal(context: &Context<'_>, first: &Item, second: &Item) -> Result<bool, Error> {
    Ok(less(context, first, second)? || equal(context, first, second)?)
}
