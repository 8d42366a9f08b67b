//! Values in JSON.

use gojson::{Build, Failure};
use serde_json::{Map, Number, Value};

use crate::{Error, Limits};

/// How many values are left to make, and how deep they may lie.
pub(crate) struct Room<'l> {
    limits: &'l Limits,
    items: usize,
}

impl<'l> Room<'l> {
    pub(crate) fn new(limits: &'l Limits) -> Self {
        Self { limits, items: limits.items }
    }

    pub(crate) fn take(&mut self, items: usize) -> Result<(), Error> {
        self.items = self.items.checked_sub(items).ok_or(Error::Items(self.limits.items))?;
        Ok(())
    }

    pub(crate) fn descend(&self, depth: usize) -> Result<(), Error> {
        if depth > self.limits.depth { Err(Error::Depth(self.limits.depth)) } else { Ok(()) }
    }
}

/// Makes values; what is wrong with a number is told when all is read, as in Go.
struct Builder<'r, 'l> {
    room: &'r mut Room<'l>,
    depth: usize,
    overflow: Option<Error>,
}

impl Build for Builder<'_, '_> {
    type Value = Value;
    type Error = Error;

    fn begin(&mut self, depth: usize) -> Result<(), Error> {
        self.room.take(1)?;
        self.room.descend(self.depth + depth)
    }

    fn null(&mut self) -> Value {
        Value::Null
    }

    fn boolean(&mut self, value: bool) -> Value {
        Value::Bool(value)
    }

    fn number(&mut self, text: &str) -> Result<Value, Error> {
        let number = strconv::parse_float(text).and_then(Number::from_f64);
        Ok(number.map_or_else(
            || {
                let message = format!("json: cannot unmarshal number {text} into Go value of type float64");
                self.overflow.get_or_insert(Error::Json(message));
                Value::Null
            },
            Value::Number,
        ))
    }

    fn string(&mut self, text: String) -> Result<Value, Error> {
        Ok(Value::String(text))
    }

    fn key(&mut self, _: &str) -> Result<(), Error> {
        Ok(())
    }

    fn array(&mut self, items: Vec<Value>) -> Value {
        Value::Array(items)
    }

    fn object(&mut self, entries: Vec<(String, Value)>) -> Value {
        Value::Object(entries.into_iter().collect())
    }
}

/// The first value of a text that lies so deep, and how long it is.
pub(crate) fn first(text: &str, room: &mut Room<'_>, depth: usize) -> Result<(Value, usize), Error> {
    let mut builder = Builder { room, depth, overflow: None };
    let read = gojson::first(text.as_bytes(), &mut builder);
    finish(read, builder.overflow, "unexpected EOF")
}

/// The object that a text is.
pub(crate) fn object(text: &str, limits: &Limits) -> Result<Map<String, Value>, Error> {
    let mut room = Room::new(limits);
    let mut builder = Builder { room: &mut room, depth: 0, overflow: None };
    let read = gojson::whole(text.as_bytes(), &mut builder);
    match finish(read, builder.overflow, "unexpected end of JSON input")? {
        Value::Object(object) => Ok(object),
        _ => Ok(Map::new()),
    }
}

fn finish<T>(read: Result<T, Failure<Error>>, overflow: Option<Error>, at_end: &str) -> Result<T, Error> {
    match read {
        Ok(value) => overflow.map_or(Ok(value), Err),
        Err(Failure::Syntax(message)) => Err(Error::Json(message)),
        Err(Failure::End) => Err(Error::Json(at_end.to_owned())),
        Err(Failure::Build(error)) => Err(error),
    }
}
