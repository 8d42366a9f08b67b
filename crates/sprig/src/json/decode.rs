//! Reading JSON, with Go's words for what is wrong.

use gotemplate::value::{Map, Text, Type};
use gotemplate::{Error, Value};

use crate::call::{Call, LIST_COST};

/// What Go says is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) String);

/// The value of a text, and what is wrong with it. A number that is too large is a failure that leaves a value.
///
/// # Errors
/// The budget is used up.
pub(crate) fn decode(call: &Call<'_>, text: &[u8]) -> Result<(Value, Option<Failure>), Error> {
    let mut builder = Builder { call, overflow: None };
    match gojson::whole(text, &mut builder) {
        Ok(value) => Ok((value, builder.overflow)),
        Err(gojson::Failure::Syntax(message)) => Ok((Value::Nil, Some(Failure(message)))),
        Err(gojson::Failure::End) => {
            Ok((Value::Nil, Some(Failure("unexpected end of JSON input".to_owned()))))
        }
        Err(gojson::Failure::Build(error)) => Err(error),
    }
}

struct Builder<'c> {
    call: &'c Call<'c>,
    overflow: Option<Failure>,
}

impl gojson::Build for Builder<'_> {
    type Value = Value;
    type Error = Error;

    fn begin(&mut self, depth: usize) -> Result<(), Error> {
        self.call.descend(depth)?;
        // Whether it is a list or a map shows at its end.
        self.call.context.charge(size_of::<Value>() + LIST_COST)
    }

    fn null(&mut self) -> Value {
        Value::Nil
    }

    fn boolean(&mut self, value: bool) -> Value {
        value.into()
    }

    fn number(&mut self, text: &str) -> Result<Value, Error> {
        if let Some(value) = strconv::parse_float(text) {
            return Ok(value.into());
        }
        let message = format!("json: cannot unmarshal number {text} into Go value of type float64");
        self.overflow.get_or_insert(Failure(message));
        Ok(Value::Nil)
    }

    fn string(&mut self, text: String) -> Result<Value, Error> {
        self.call.context.charge(text.len())?;
        Ok(text.into())
    }

    fn key(&mut self, text: &str) -> Result<(), Error> {
        self.call.context.charge(text.len() + 2 * size_of::<(Text, Value)>())
    }

    fn array(&mut self, items: Vec<Value>) -> Value {
        Value::list(items)
    }

    fn object(&mut self, entries: Vec<(String, Value)>) -> Value {
        let entries = entries.into_iter().map(|(key, value)| (Text::from(key), value));
        Value::Map(Map::new(&Type::Any, entries))
    }
}
