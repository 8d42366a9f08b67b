//! Values of any type as numbers and texts: Go's package `cast` 1.7 and sprig's `strval`.

use gotemplate::value::Text;
use gotemplate::{Error, Value};

use crate::call::Call;

/// As `int64`; what is no number is 0. Floats lose their fraction, strings are Go's literals.
pub(crate) fn to_int64(value: &Value) -> i64 {
    match value {
        Value::Bool(value) => (*value).into(),
        Value::Int(value) | Value::Int64(value) => *value,
        Value::Uint8(value) => (*value).into(),
        // Go converts without a check.
        Value::Uint64(value) => *value as i64,
        Value::Float64(value) => truncate(*value),
        Value::String(text) => parse_int64(text),
        Value::Object(object) if matches!(object.go_type(), "time.Month" | "time.Weekday") => {
            object.underlying().map_or(0, |value| to_int64(&value))
        }
        _ => 0,
    }
}

/// As `float64`; what is no number is 0.
pub(crate) fn to_float64(value: &Value) -> f64 {
    match value {
        Value::Float64(value) => *value,
        Value::Uint64(value) => *value as f64,
        Value::String(text) => std::str::from_utf8(text).ok().and_then(strconv::parse_float).unwrap_or(0.0),
        value => to_int64(value) as f64,
    }
}

/// Go's `int64(f)` on the usual machines: what does not fit is the lowest number.
fn truncate(value: f64) -> i64 {
    let fits = value >= -(2_f64.powi(63)) && value < 2_f64.powi(63);
    if fits { value as i64 } else { i64::MIN }
}

fn parse_int64(text: &[u8]) -> i64 {
    let Ok(text) = std::str::from_utf8(text) else { return 0 };
    // `1.00` counts as 1.
    let whole = match text.rsplit_once('.') {
        Some((whole, zeros)) if !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0') => whole,
        _ => text,
    };
    strconv::parse_int(whole).unwrap_or_default()
}

impl Call<'_> {
    /// sprig's `strval`: strings and bytes as they are, anything else as it prints.
    pub(crate) fn strval(&self, value: &Value) -> Result<Text, Error> {
        match value {
            Value::String(text) | Value::Bytes(text) => Ok(text.clone()),
            value => self.context.print(std::slice::from_ref(value)),
        }
    }

    /// sprig's `strslice`: the items of a list that are not nil, or the value alone.
    pub(crate) fn strslice(&self, value: &Value) -> Result<Vec<Text>, Error> {
        match items(value) {
            Some(items) => {
                self.context.charge(items.len() * size_of::<Text>())?;
                let items = items.iter().filter(|item| !matches!(item, Value::Nil));
                items.map(|item| self.strval(item)).collect()
            }
            None if matches!(value, Value::Nil) => Ok(Vec::new()),
            None => Ok(vec![self.strval(value)?]),
        }
    }
}

/// The items of a slice; `None` if it is another kind of value.
pub(crate) fn items(value: &Value) -> Option<Vec<Value>> {
    match value.underlying() {
        Value::List(list) => Some(list.to_vec()),
        Value::Bytes(bytes) => Some(bytes.iter().map(|byte| Value::Uint8(*byte)).collect()),
        _ => None,
    }
}
