//! Reading JSON, with Go's words for what is wrong.

use gotemplate::value::{Map, Text, Type};
use gotemplate::{Error, Value};

use crate::call::Call;

/// What Go says is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) String);

/// Why reading ends.
enum Stop {
    Failure(Failure),
    Budget(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Budget(error)
    }
}

type Read<T> = Result<T, Stop>;

/// The value of a text, and what is wrong with it. A number that is too large is a failure that leaves a value.
///
/// # Errors
/// The budget is used up.
pub(crate) fn decode(call: &Call<'_>, text: &[u8]) -> Result<(Value, Option<Failure>), Error> {
    let mut decoder = Decoder { call, rest: text, overflow: None };
    match decoder.document() {
        Ok(value) => Ok((value, decoder.overflow)),
        Err(Stop::Failure(failure)) => Ok((Value::Nil, Some(failure))),
        Err(Stop::Budget(error)) => Err(error),
    }
}

struct Decoder<'t> {
    call: &'t Call<'t>,
    rest: &'t [u8],
    overflow: Option<Failure>,
}

impl Decoder<'_> {
    fn document(&mut self) -> Read<Value> {
        let value = self.value(0)?;
        self.skip_space();
        match self.rest.first() {
            None => Ok(value),
            Some(_) => Err(self.unexpected("after top-level value")),
        }
    }

    /// What Go says about the next byte, or about the end.
    fn unexpected(&self, place: &str) -> Stop {
        Stop::Failure(Failure(match self.rest.first() {
            None => "unexpected end of JSON input".to_owned(),
            Some(b'\'') => format!(r"invalid character '\'' {place}"),
            Some(b'"') => format!("invalid character '\"' {place}"),
            Some(byte) => {
                let quoted = strconv::quote(char::from(*byte).encode_utf8(&mut [0; 4]).as_bytes());
                format!("invalid character '{}' {place}", quoted.trim_matches('"'))
            }
        }))
    }

    fn skip_space(&mut self) {
        let spaces = self.rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\r' | b'\n')).count();
        self.advance(spaces);
    }

    fn advance(&mut self, count: usize) {
        self.rest = self.rest.get(count..).unwrap_or_default();
    }

    /// Takes the next byte if it is this one.
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.rest.first() == Some(&byte);
        if is_next {
            self.advance(1);
        }
        is_next
    }

    fn value(&mut self, depth: usize) -> Read<Value> {
        self.call.descend(depth)?;
        self.call.context.charge(size_of::<Value>())?;
        self.skip_space();
        match self.rest.first() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => Ok(Value::String(self.string()?)),
            Some(b't') => self.word("true", Value::Bool(true)),
            Some(b'f') => self.word("false", Value::Bool(false)),
            Some(b'n') => self.word("null", Value::Nil),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    fn object(&mut self, depth: usize) -> Read<Value> {
        self.advance(1);
        let mut entries = Vec::new();
        self.skip_space();
        if self.take(b'}') {
            return Ok(Value::Map(Map::new(&Type::Any, entries)));
        }
        loop {
            self.skip_space();
            if self.rest.first() != Some(&b'"') {
                return Err(self.unexpected("looking for beginning of object key string"));
            }
            let key = self.string()?;
            self.skip_space();
            if !self.take(b':') {
                return Err(self.unexpected("after object key"));
            }
            self.call.context.charge(2 * size_of::<(Text, Value)>())?;
            entries.push((key, self.value(depth + 1)?));
            self.skip_space();
            if self.take(b'}') {
                return Ok(Value::Map(Map::new(&Type::Any, entries)));
            }
            if !self.take(b',') {
                return Err(self.unexpected("after object key:value pair"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Read<Value> {
        self.advance(1);
        let mut items = Vec::new();
        self.skip_space();
        if self.take(b']') {
            return Ok(Value::list(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.take(b']') {
                return Ok(Value::list(items));
            }
            if !self.take(b',') {
                return Err(self.unexpected("after array element"));
            }
        }
    }

    fn word(&mut self, word: &str, value: Value) -> Read<Value> {
        for byte in word.bytes() {
            if !self.take(byte) {
                return Err(self.unexpected(&format!("in literal {word} (expecting '{}')", char::from(byte))));
            }
        }
        Ok(value)
    }

    fn digits(&mut self) -> usize {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.advance(count);
        count
    }

    fn number(&mut self) -> Read<Value> {
        let start = self.rest;
        self.take(b'-');
        if !self.take(b'0') && self.digits() == 0 {
            return Err(self.unexpected("in numeric literal"));
        }
        if self.take(b'.') && self.digits() == 0 {
            return Err(self.unexpected("after decimal point in numeric literal"));
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            if self.digits() == 0 {
                return Err(self.unexpected("in exponent of numeric literal"));
            }
        }
        let text = start.get(..start.len() - self.rest.len()).unwrap_or_default();
        let text = std::str::from_utf8(text).unwrap_or_default();
        if let Some(value) = strconv::parse_float(text) {
            return Ok(value.into());
        }
        let message = format!("json: cannot unmarshal number {text} into Go value of type float64");
        self.overflow.get_or_insert(Failure(message));
        Ok(Value::Nil)
    }

    fn string(&mut self) -> Read<Text> {
        self.advance(1);
        let mut out = String::new();
        loop {
            let plain = self.rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count();
            let text = self.rest.get(..plain).unwrap_or_default();
            out.extend(crate::strings::characters(text).map(|(c, _)| c));
            self.advance(plain);
            if self.take(b'"') {
                self.call.context.charge(out.len())?;
                return Ok(out.into());
            }
            if !self.take(b'\\') {
                return Err(self.unexpected("in string literal"));
            }
            let c = match self.rest.first() {
                Some(c @ (b'"' | b'\\' | b'/')) => char::from(*c),
                Some(b'b') => '\u{8}',
                Some(b'f') => '\u{c}',
                Some(b'n') => '\n',
                Some(b'r') => '\r',
                Some(b't') => '\t',
                Some(b'u') => {
                    out.push(self.escaped()?);
                    continue;
                }
                _ => return Err(self.unexpected("in string escape code")),
            };
            out.push(c);
            self.advance(1);
        }
    }

    /// `uXXXX`, or two of them that are one character.
    fn escaped(&mut self) -> Read<char> {
        let first = self.unit()?;
        if (0xd800..0xdc00).contains(&first) && self.rest.starts_with(br"\u") {
            let before = self.rest;
            self.advance(1);
            let second = self.unit()?;
            if (0xdc00..0xe000).contains(&second) {
                let joined = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                return Ok(char::from_u32(joined).unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            self.rest = before;
        }
        Ok(char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER))
    }

    fn unit(&mut self) -> Read<u32> {
        self.advance(1);
        let mut unit = 0;
        for _ in 0..4 {
            let digit = self.rest.first().and_then(|byte| char::from(*byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.unexpected("in \\u hexadecimal character escape"));
            };
            unit = unit * 16 + digit;
            self.advance(1);
        }
        Ok(unit)
    }
}
