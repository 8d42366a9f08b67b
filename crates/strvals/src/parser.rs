//! Reads a text and assigns what it says.

use serde_json::{Map, Value};

use crate::json::{self, Room};
use crate::text::Text;
use crate::{Error, Limits, MAX_INDEX, MAX_NESTED_NAME_LEVEL, ReadFile};

/// How values are read.
pub(crate) enum Reading<'f> {
    Typed,
    Text,
    Json,
    File(&'f mut ReadFile<'f>),
    Literal,
}

/// Why an assignment is not finished.
enum Stop {
    /// The text ends. That is no error, whatever it ends in.
    End,
    Error(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// Where an assignment is: how many dots of a name were read, and how many lists and maps lie around.
#[derive(Clone, Copy)]
struct Place {
    level: usize,
    depth: usize,
}

impl Place {
    fn deeper(self) -> Self {
        Self { depth: self.depth + 1, ..self }
    }
}

pub(crate) struct Parser<'t, 'f> {
    text: Text<'t>,
    reading: Reading<'f>,
    room: Room<'t>,
}

impl<'t, 'f> Parser<'t, 'f> {
    pub(crate) fn new(text: &'t str, reading: Reading<'f>, limits: &'t Limits) -> Self {
        Self { text: Text::new(text), reading, room: Room::new(limits) }
    }

    pub(crate) fn parse(mut self, values: &mut Map<String, Value>) -> Result<(), Error> {
        loop {
            match self.key(values, Place { level: 0, depth: 0 }) {
                Ok(()) => {}
                Err(Stop::End) => return Ok(()),
                Err(Stop::Error(error)) => return Err(error),
            }
        }
    }

    fn until(&mut self, stops: &[char]) -> (String, Option<char>) {
        let has_escapes = !matches!(self.reading, Reading::Literal);
        self.text.until(stops, has_escapes)
    }

    /// Reads a name and assigns its value.
    fn key(&mut self, values: &mut Map<String, Value>, place: Place) -> Result<(), Stop> {
        self.room.descend(place.depth)?;
        let stops: &[char] = match self.reading {
            Reading::Literal => &['=', '[', '.'],
            _ => &['=', '[', '.', ','],
        };
        match self.until(stops) {
            (key, None) if key.is_empty() => Err(Stop::End),
            (key, None) => Err(Error::NoValue(quoted(&key)).into()),
            (key, Some('=')) => self.value_of(key, values, place),
            (key, Some('[')) => self.list_of(key, values, place),
            (key, Some('.')) => self.map_of(key, values, place),
            (key, Some(_)) => {
                let error = Error::Comma(quoted(&key));
                set(values, key, Value::String(String::new()));
                Err(error.into())
            }
        }
    }

    /// `key=`
    fn value_of(&mut self, key: String, values: &mut Map<String, Value>, place: Place) -> Result<(), Stop> {
        match self.value(place)? {
            Some(value) => {
                set(values, key, value);
                Ok(())
            }
            None => {
                set(values, key, Value::String(String::new()));
                Err(Stop::End)
            }
        }
    }

    /// `key.`
    fn map_of(&mut self, key: String, values: &mut Map<String, Value>, place: Place) -> Result<(), Stop> {
        let place = Place { level: place.level + 1, ..place.deeper() };
        if place.level > MAX_NESTED_NAME_LEVEL {
            return Err(Error::Nested.into());
        }
        if let Some(there) = values.get_mut(&key) {
            let Value::Object(inner) = there else { return Err(mismatch(there, MAP).into()) };
            let done = self.key(inner, place);
            return checked(done, &key, inner);
        }
        let mut inner = Map::new();
        let done = self.key(&mut inner, place);
        let done = checked(done, &key, &inner);
        if !inner.is_empty() {
            set(values, key, Value::Object(inner));
        }
        done
    }

    /// `key[`
    fn list_of(&mut self, key: String, values: &mut Map<String, Value>, place: Place) -> Result<(), Stop> {
        let index = self.index()?;
        if let Some(there) = values.get_mut(&key) {
            let Value::Array(list) = there else { return Err(mismatch(there, LIST).into()) };
            return self.item(list, index, place.deeper());
        }
        let mut list = Vec::new();
        let done = self.item(&mut list, index, place.deeper());
        set(values, key, Value::Array(list));
        done
    }

    /// An index with its `]`.
    fn index(&mut self) -> Result<i64, Stop> {
        let (text, Some(_)) = self.until(&[']']) else { return Err(Stop::End) };
        strconv::atoi(&text).map_err(|message| Error::Index(message).into())
    }

    /// What follows `list[index]`.
    fn item(&mut self, list: &mut Vec<Value>, index: i64, place: Place) -> Result<(), Stop> {
        self.room.descend(place.depth)?;
        let at = usize::try_from(index).map_err(|_| Error::NegativeIndex(index))?;
        let (between, stop) = self.until(&['[', '.', '=']);
        if !between.is_empty() {
            let shown: Vec<_> = between.chars().map(strconv::quote_rune).collect();
            return Err(Error::AfterIndex(format!("[{}]", shown.join(" "))).into());
        }
        match stop {
            None => Err(Stop::End),
            Some('=') => {
                // The end is an empty text, and no reason to stop here.
                let value = self.value(place)?.unwrap_or_else(|| Value::String(String::new()));
                self.set_index(list, at, value)
            }
            Some('[') => {
                let next = self.index()?;
                match list.get_mut(at) {
                    Some(Value::Array(inner)) => self.item(inner, next, place.deeper()),
                    Some(Value::Null) | None => {
                        let mut inner = Vec::new();
                        self.item(&mut inner, next, place.deeper())?;
                        self.set_index(list, at, Value::Array(inner))
                    }
                    Some(there) => Err(mismatch(there, LIST).into()),
                }
            }
            Some(_) => {
                let Some(there) = list.get_mut(at) else {
                    let mut inner = Map::new();
                    self.key(&mut inner, place.deeper())?;
                    return self.set_index(list, at, Value::Object(inner));
                };
                if !there.is_object() {
                    *there = Value::Object(Map::new());
                }
                match there {
                    Value::Object(inner) => self.key(inner, place.deeper()),
                    // It is an object by now.
                    _ => Ok(()),
                }
            }
        }
    }

    fn set_index(&mut self, list: &mut Vec<Value>, at: usize, value: Value) -> Result<(), Stop> {
        if at > MAX_INDEX {
            return Err(Error::IndexTooLarge(i64::try_from(at).unwrap_or(i64::MAX)).into());
        }
        if let Some(item) = list.get_mut(at) {
            *item = value;
            return Ok(());
        }
        self.room.take(at + 1 - list.len())?;
        list.resize(at, Value::Null);
        list.push(value);
        Ok(())
    }

    /// The value behind `=`; `None` at the end of the text.
    fn value(&mut self, place: Place) -> Result<Option<Value>, Stop> {
        match self.reading {
            Reading::Json => return self.json(place).map(Some),
            Reading::Literal => return Ok(Some(Value::String(self.until(&[]).0))),
            _ => {}
        }
        if self.text.rest().is_empty() {
            return Ok(None);
        }
        if self.text.take_if('{') {
            return self.list().map(Some);
        }
        let (text, _) = self.until(&[',']);
        self.read(text).map(Some)
    }

    fn json(&mut self, place: Place) -> Result<Value, Stop> {
        if self.text.is_empty_value() {
            return Ok(Value::Null);
        }
        let (value, length) = json::first(self.text.rest(), &mut self.room, place.depth + 1)?;
        self.text.skip(length);
        self.text.is_empty_value();
        Ok(value)
    }

    /// The rest of `{a,b}`.
    fn list(&mut self) -> Result<Value, Stop> {
        let mut list = Vec::new();
        loop {
            let (text, stop) = self.until(&[',', '}']);
            let Some(stop) = stop else { return Err(Error::ListEnd.into()) };
            self.room.take(1)?;
            if stop == '}' {
                self.text.take_if(',');
                list.push(self.read(text)?);
                return Ok(Value::Array(list));
            }
            list.push(self.read(text)?);
        }
    }

    /// The value that a text stands for.
    fn read(&mut self, text: String) -> Result<Value, Stop> {
        match &mut self.reading {
            Reading::Typed => Ok(typed(text)),
            Reading::File(read) => match read(&text) {
                Ok(content) => Ok(Value::String(content)),
                Err(message) => Err(Error::File(message).into()),
            },
            Reading::Text | Reading::Json | Reading::Literal => Ok(Value::String(text)),
        }
    }
}

const LIST: &str = "[]interface {}";
const MAP: &str = "map[string]interface {}";

fn mismatch(found: &Value, wanted: &'static str) -> Error {
    let found = match found {
        Value::Null => "nil",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => LIST,
        Value::Object(_) => MAP,
    };
    Error::Type { found, wanted }
}

fn quoted(text: &str) -> String {
    strconv::quote(text.as_bytes())
}

/// An empty key is not set.
fn set(values: &mut Map<String, Value>, key: String, value: Value) {
    if !key.is_empty() {
        values.insert(key, value);
    }
}

/// What follows a dot must have assigned something.
fn checked(done: Result<(), Stop>, key: &str, inner: &Map<String, Value>) -> Result<(), Stop> {
    if done.is_ok() && inner.is_empty() {
        return Err(Error::NoValueInMap(quoted(key)).into());
    }
    done
}

fn typed(text: String) -> Value {
    // Go folds the long s, too.
    let is_word = |word: &str| {
        let folded = text.chars().map(|c| if c == 'ſ' { 's' } else { c.to_ascii_lowercase() });
        folded.eq(word.chars())
    };
    if is_word("true") {
        return Value::Bool(true);
    }
    if is_word("false") {
        return Value::Bool(false);
    }
    if is_word("null") {
        return Value::Null;
    }
    match text.parse::<i64>() {
        Ok(value) if text == "0" || !text.starts_with('0') => value.into(),
        _ => Value::String(text),
    }
}
