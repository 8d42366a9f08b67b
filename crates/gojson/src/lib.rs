//! JSON as Go's package `encoding/json` reads it, with Go's words for what is wrong. What is made of a text is up to a [`Build`].
//!
//! Bytes that are no UTF-8 are U+FFFD. Which of two equal keys counts is up to the [`Build`]; in Go the later one does.

#![forbid(unsafe_code)]

/// Makes values of what is read. Its errors end the reading.
pub trait Build {
    /// A value.
    type Value;
    /// Why it cannot be made: a limit, as a rule.
    type Error;

    /// A value begins that lies within so many others. Reading recurses, so this is where depth is bounded.
    ///
    /// # Errors
    /// There is to be no such value.
    fn begin(&mut self, depth: usize) -> Result<(), Self::Error>;

    /// `null`
    fn null(&mut self) -> Self::Value;

    /// `true` or `false`
    fn boolean(&mut self, value: bool) -> Self::Value;

    /// A number in the syntax of JSON.
    ///
    /// # Errors
    /// It is none that can be kept.
    fn number(&mut self, text: &str) -> Result<Self::Value, Self::Error>;

    /// A string.
    ///
    /// # Errors
    /// It is too large.
    fn string(&mut self, text: String) -> Result<Self::Value, Self::Error>;

    /// A key of an object, before its value is read.
    ///
    /// # Errors
    /// It is too large.
    fn key(&mut self, text: &str) -> Result<(), Self::Error>;

    /// An array.
    fn array(&mut self, items: Vec<Self::Value>) -> Self::Value;

    /// An object: its entries in the order of the text.
    fn object(&mut self, entries: Vec<(String, Self::Value)>) -> Self::Value;
}

/// Why reading ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure<E> {
    /// The text is no JSON: what Go says.
    Syntax(String),
    /// It ends within a value. Go says `unexpected end of JSON input` in `Unmarshal`, and `unexpected EOF` in a `Decoder`, or `EOF` where
    /// there is no value at all.
    End,
    /// The [`Build`] refused.
    Build(E),
}

impl<E> From<E> for Failure<E> {
    fn from(error: E) -> Self {
        Self::Build(error)
    }
}

/// The first value of a text, and how many bytes of it were read. What follows is not looked at.
///
/// # Errors
/// See [`Failure`].
pub fn first<B: Build>(text: &[u8], build: &mut B) -> Result<(B::Value, usize), Failure<B::Error>> {
    let mut reader = Reader { build, rest: text };
    let value = reader.value(0)?;
    Ok((value, text.len() - reader.rest.len()))
}

/// The value that a text is, with space around it.
///
/// # Errors
/// See [`Failure`].
pub fn whole<B: Build>(text: &[u8], build: &mut B) -> Result<B::Value, Failure<B::Error>> {
    let mut reader = Reader { build, rest: text };
    let value = reader.value(0)?;
    reader.skip_space();
    match reader.rest.first() {
        None => Ok(value),
        Some(_) => Err(reader.unexpected("after top-level value")),
    }
}

struct Reader<'t, 'b, B> {
    build: &'b mut B,
    rest: &'t [u8],
}

type Read<T, B> = Result<T, Failure<<B as Build>::Error>>;

impl<B: Build> Reader<'_, '_, B> {
    /// What Go says about the next byte, or about the end.
    fn unexpected(&self, place: &str) -> Failure<B::Error> {
        Failure::Syntax(match self.rest.first() {
            None => return Failure::End,
            Some(b'\'') => format!(r"invalid character '\'' {place}"),
            Some(b'"') => format!("invalid character '\"' {place}"),
            Some(byte) => {
                let quoted = strconv::quote(char::from(*byte).encode_utf8(&mut [0; 4]).as_bytes());
                format!("invalid character '{}' {place}", quoted.trim_matches('"'))
            }
        })
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

    fn value(&mut self, depth: usize) -> Read<B::Value, B> {
        self.build.begin(depth)?;
        self.skip_space();
        match self.rest.first() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => {
                let text = self.string()?;
                Ok(self.build.string(text)?)
            }
            Some(b't') => self.word("true").map(|()| self.build.boolean(true)),
            Some(b'f') => self.word("false").map(|()| self.build.boolean(false)),
            Some(b'n') => self.word("null").map(|()| self.build.null()),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => Err(self.unexpected("looking for beginning of value")),
        }
    }

    fn object(&mut self, depth: usize) -> Read<B::Value, B> {
        self.advance(1);
        let mut entries = Vec::new();
        self.skip_space();
        if self.take(b'}') {
            return Ok(self.build.object(entries));
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
            self.build.key(&key)?;
            entries.push((key, self.value(depth + 1)?));
            self.skip_space();
            if self.take(b'}') {
                return Ok(self.build.object(entries));
            }
            if !self.take(b',') {
                return Err(self.unexpected("after object key:value pair"));
            }
        }
    }

    fn array(&mut self, depth: usize) -> Read<B::Value, B> {
        self.advance(1);
        let mut items = Vec::new();
        self.skip_space();
        if self.take(b']') {
            return Ok(self.build.array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_space();
            if self.take(b']') {
                return Ok(self.build.array(items));
            }
            if !self.take(b',') {
                return Err(self.unexpected("after array element"));
            }
        }
    }

    fn word(&mut self, word: &str) -> Read<(), B> {
        for byte in word.bytes() {
            if !self.take(byte) {
                return Err(self.unexpected(&format!("in literal {word} (expecting '{}')", char::from(byte))));
            }
        }
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let count = self.rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.advance(count);
        count
    }

    fn number(&mut self) -> Read<B::Value, B> {
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
        Ok(self.build.number(text)?)
    }

    fn string(&mut self) -> Read<String, B> {
        self.advance(1);
        let mut out = String::new();
        loop {
            let plain = self.rest.iter().take_while(|byte| !matches!(byte, b'"' | b'\\' | 0..=0x1f)).count();
            let text = self.rest.get(..plain).unwrap_or_default();
            put(&mut out, text);
            self.advance(plain);
            if self.take(b'"') {
                return Ok(out);
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
    fn escaped(&mut self) -> Read<char, B> {
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

    fn unit(&mut self) -> Read<u32, B> {
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

/// Appends bytes; what is no UTF-8 is U+FFFD, byte by byte.
fn put(out: &mut String, mut bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes) {
        out.push_str(text);
        return;
    }
    while let Some((c, length)) = strconv::decode(bytes) {
        out.push(c);
        bytes = bytes.get(length..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests;
