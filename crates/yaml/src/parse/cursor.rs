//! A position in the text, with the line and column bookkeeping the scanner needs.

use crate::Error;

/// A place in the text. Line and column count from 0, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Mark {
    pub index: usize,
    pub line: u32,
    pub column: u32,
}

/// Reads the text one character or one run at a time. Past the end it sees zero bytes, which the text itself cannot hold.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    text: &'a str,
    pub mark: Mark,
    /// Line breaks since the last character that was not blank.
    pub newlines: u32,
}

impl<'a> Cursor<'a> {
    pub fn new(text: &'a str) -> Result<Self, Error> {
        if text.as_bytes().chunks(256).any(has_suspicious) && text.chars().any(is_forbidden) {
            let message = "control characters are not allowed".into();
            return Err(Error::Syntax { line: 0, line_of_v2: 0, column: 0, message });
        }
        let mut cursor = Self { text, mark: Mark::default(), newlines: 0 };
        if text.starts_with('\u{feff}') {
            cursor.mark.index = '\u{feff}'.len_utf8();
        }
        Ok(cursor)
    }

    /// The byte `ahead` of the position.
    #[inline]
    pub fn peek(&self, ahead: usize) -> u8 {
        self.text.as_bytes().get(self.mark.index + ahead).copied().unwrap_or(0)
    }

    #[inline]
    pub fn at_end(&self) -> bool {
        self.mark.index >= self.text.len()
    }

    /// The whole text.
    pub fn text(&self) -> &'a str {
        self.text
    }

    /// The text from `start` to `end`; both are character boundaries the cursor has been at.
    pub fn slice(&self, start: usize, end: usize) -> &'a str {
        self.text.get(start..end).unwrap_or_default()
    }

    #[inline]
    pub fn is_blank(&self, ahead: usize) -> bool {
        matches!(self.peek(ahead), b' ' | b'\t')
    }

    /// Bytes of the line break `ahead`; 0 when there is none. `\r\n` counts as one break.
    #[inline]
    pub fn break_len(&self, ahead: usize) -> usize {
        match self.peek(ahead) {
            b'\n' => 1,
            b'\r' if self.peek(ahead + 1) == b'\n' => 2,
            b'\r' => 1,
            0xC2 if self.peek(ahead + 1) == 0x85 => 2,
            0xE2 if self.peek(ahead + 1) == 0x80 && matches!(self.peek(ahead + 2), 0xA8 | 0xA9) => 3,
            _ => 0,
        }
    }

    #[inline]
    pub fn is_break(&self, ahead: usize) -> bool {
        self.break_len(ahead) > 0
    }

    /// A line break or the end of the text.
    #[inline]
    pub fn is_break_or_end(&self, ahead: usize) -> bool {
        self.peek(ahead) == 0 || self.is_break(ahead)
    }

    /// A blank, a line break or the end of the text.
    #[inline]
    pub fn is_space_or_end(&self, ahead: usize) -> bool {
        self.is_blank(ahead) || self.is_break_or_end(ahead)
    }

    /// Passes one character that is not a line break.
    #[inline]
    pub fn skip(&mut self) {
        let byte = self.peek(0);
        if !matches!(byte, b' ' | b'\t') {
            self.newlines = 0;
        }
        self.mark.index += match byte {
            0..0x80 => 1,
            0x80..0xE0 => 2,
            0xE0..0xF0 => 3,
            0xF0.. => 4,
        };
        self.mark.column += 1;
    }

    pub fn skip_many(&mut self, count: usize) {
        for _ in 0..count {
            self.skip();
        }
    }

    /// Passes spaces, of which indentation has many.
    #[inline]
    pub fn skip_spaces(&mut self) {
        let spaces = self.rest().iter().take_while(|byte| **byte == b' ').count();
        self.mark.index += spaces;
        self.mark.column += spaces as u32;
    }

    pub fn skip_blanks(&mut self) {
        while self.is_blank(0) {
            self.skip();
        }
    }

    /// Passes a line break and returns what it stands for: `\n`, or the Unicode line or paragraph separator itself.
    pub fn read_break(&mut self) -> &'a str {
        let (start, len) = (self.mark.index, self.break_len(0));
        if len == 0 {
            return "";
        }
        self.mark.index += len;
        self.mark.column = 0;
        self.mark.line += 1;
        self.newlines += 1;
        if len == 3 { self.slice(start, start + len) } else { "\n" }
    }

    /// Passes characters while `go_on` holds for the position, and returns them.
    #[inline]
    pub fn read_while(&mut self, go_on: impl Fn(&Self) -> bool) -> &'a str {
        let start = self.mark.index;
        while go_on(self) {
            self.skip();
        }
        self.slice(start, self.mark.index)
    }

    /// Passes the rest of the line and returns it.
    pub fn read_line(&mut self) -> &'a str {
        let start = self.mark.index;
        loop {
            let rest = self.text.as_bytes().get(self.mark.index..).unwrap_or_default();
            let line = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
            // The first bytes of the other breaks.
            let plain = rest.get(..line).and_then(|line| memchr::memchr2(0xC2, 0xE2, line)).unwrap_or(line);
            self.advance(plain);
            if self.is_break_or_end(0) {
                return self.slice(start, self.mark.index);
            }
            self.skip();
        }
    }

    /// Passes `bytes` of text without line breaks.
    pub fn advance(&mut self, bytes: usize) {
        let end = self.mark.index + bytes;
        let passed = self.text.as_bytes().get(self.mark.index..end).unwrap_or_default();
        self.mark.column += passed.iter().map(|byte| u32::from(*byte & 0xC0 != 0x80)).sum::<u32>();
        if self.newlines > 0 && passed.iter().any(|byte| !matches!(byte, b' ' | b'\t')) {
            self.newlines = 0;
        }
        self.mark.index = end;
    }

    /// The unread bytes.
    #[inline]
    pub fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.mark.index..).unwrap_or_default()
    }

    /// `---` or `...` alone at the start of a line.
    #[inline]
    pub fn at_document_indicator(&self) -> bool {
        self.mark.column == 0
            && (self.rest().starts_with(b"---") || self.rest().starts_with(b"..."))
            && self.is_space_or_end(3)
    }
}

/// Whether any byte may begin a forbidden character. Looks at all of them, which the compiler turns into vector code.
fn has_suspicious(chunk: &[u8]) -> bool {
    let is_suspicious = |byte: u8| {
        (byte < 0x20) & (byte != b'\t') & (byte != b'\n') & (byte != b'\r')
            | (byte == 0x7F)
            | (byte == 0xC2)
            | (byte == 0xEF)
    };
    chunk.iter().fold(false, |found, byte| found | is_suspicious(*byte))
}

/// Whether go-yaml's reader refuses a text with this character.
pub fn is_forbidden(c: char) -> bool {
    !matches!(c, '\t' | '\n' | '\r' | ' '..='~' | '\u{85}' | '\u{A0}'..='\u{FFFD}' | '\u{10000}'..)
}
