//! `reflect.DeepEqual`.

use gotemplate::{Error, Value};

use crate::call::Call;

/// Whether two values have the same type and content.
pub(crate) fn deep_equal(call: &Call<'_>, first: &Value, second: &Value) -> Result<bool, Error> {
    equal(call, first, second, 0)
}

fn equal(call: &Call<'_>, first: &Value, second: &Value, depth: usize) -> Result<bool, Error> {
    call.descend(depth)?;
    if first.go_type() != second.go_type() || first.is_nil() != second.is_nil() {
        return Ok(false);
    }
    Ok(match (first, second) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(first), Value::Bool(second)) => first == second,
        (Value::Int(first), Value::Int(second)) | (Value::Int64(first), Value::Int64(second)) => {
            first == second
        }
        (Value::Uint8(first), Value::Uint8(second)) => first == second,
        (Value::Uint64(first), Value::Uint64(second)) => first == second,
        (Value::Float64(first), Value::Float64(second)) => first == second,
        (Value::Complex128(real, imaginary), Value::Complex128(other_real, other_imaginary)) => {
            (real, imaginary) == (other_real, other_imaginary)
        }
        (Value::String(first), Value::String(second)) | (Value::Bytes(first), Value::Bytes(second)) => {
            call.context.step(first.len() / 64)?;
            first == second
        }
        (Value::List(first), Value::List(second)) => {
            if first.len() != second.len() {
                return Ok(false);
            }
            for (first, second) in first.iter().zip(second.iter()) {
                if !equal(call, first, second, depth + 1)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(first), Value::Map(second)) => {
            if first.is_same(second) {
                return Ok(true);
            }
            let (first, second) = (first.entries(), second.entries());
            if first.len() != second.len() {
                return Ok(false);
            }
            for ((key, first), (other_key, second)) in first.iter().zip(&second) {
                if key != other_key || !equal(call, first, second, depth + 1)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Object(object), Value::Object(other)) => {
            let (fields, other_fields) = (object.fields(), other.fields());
            for ((_, first), (_, second)) in fields.iter().zip(&other_fields) {
                if !equal(call, first, second, depth + 1)? {
                    return Ok(false);
                }
            }
            match (object.underlying(), other.underlying()) {
                (Some(first), Some(second)) => equal(call, &first, &second, depth + 1)?,
                _ => object.text() == other.text(),
            }
        }
        _ => false,
    })
}
