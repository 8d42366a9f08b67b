//! Text of an INI file to sections.

use super::{DEFAULT_SECTION, Section};
use crate::stores::ParseError;

const LONG_QUOTE: &str = "\"\"\"";

/// What ends the name of a key.
const DELIMITERS: [char; 2] = ['=', ':'];

/// What begins a comment.
const COMMENT: [char; 2] = ['#', ';'];

/// The sections of a file in their order; those of the same name stay apart.
pub(super) fn read(text: &str) -> Result<Vec<Section<String>>, ParseError> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut reader = Reader { rest: text, line: 0, comment: String::new() };
    let mut sections = Vec::new();
    let mut section = Section::new(DEFAULT_SECTION.to_owned(), String::new());
    let mut unnamed = 1;
    while let Some(line) = reader.next_line() {
        let line = line.trim_start();
        if line.is_empty() {
            continue;
        }
        if line.starts_with(COMMENT) {
            reader.comment.push_str(line);
            continue;
        }
        if line.starts_with('[') {
            let (name, behind) = line.rsplit_once(']').ok_or_else(|| reader.error("unclosed section"))?;
            let name = name.strip_prefix('[').unwrap_or(name);
            if name.is_empty() {
                return Err(reader.error("empty section name"));
            }
            if let Some(at) = behind.find(COMMENT) {
                reader.comment.push_str(behind.get(at..).unwrap_or_default());
            }
            sections
                .push(std::mem::replace(&mut section, Section::new(name.to_owned(), reader.take_comment())));
            unnamed = 1;
            continue;
        }
        let (mut name, value) = reader.key(line)?;
        if name == "-" {
            name = format!("#{unnamed}");
            unnamed += 1;
        }
        if name.is_empty() {
            return Err(reader.error("empty key name"));
        }
        let value = reader.value(value)?;
        let position = section.set(&name, value, String::new());
        let comment = reader.take_comment();
        if let Some(key) = section.keys.get_mut(position) {
            key.comment = comment;
        }
    }
    sections.push(section);
    Ok(sections)
}

struct Reader<'a> {
    rest: &'a str,
    /// Lines read so far.
    line: usize,
    /// Comments that belong to what comes next.
    comment: String,
}

impl<'a> Reader<'a> {
    /// The next line with its end.
    fn next_line(&mut self) -> Option<&'a str> {
        if self.rest.is_empty() {
            return None;
        }
        let end = self.rest.find('\n').map_or(self.rest.len(), |at| at + 1);
        let (line, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        self.line += 1;
        Some(line)
    }

    fn take_comment(&mut self) -> String {
        std::mem::take(&mut self.comment).trim().to_owned()
    }

    fn error(&self, problem: &'static str) -> ParseError {
        ParseError::Ini { line: self.line, problem }
    }

    /// The name of a key, and what follows its delimiter.
    fn key(&self, line: &'a str) -> Result<(String, &'a str), ParseError> {
        let quote = match line.as_bytes() {
            [b'"', b'"', b'"', _, _, _, _, ..] => LONG_QUOTE,
            [b'"', ..] => "\"",
            [b'`', ..] => "`",
            _ => "",
        };
        let (name, rest) = match line.strip_prefix(quote).filter(|_| !quote.is_empty()) {
            Some(inner) => inner.split_once(quote).ok_or_else(|| self.error("missing closing key quote"))?,
            None => line.split_at(line.find(DELIMITERS).unwrap_or(line.len())),
        };
        let (_, value) =
            rest.split_once(DELIMITERS).ok_or_else(|| self.error("key-value delimiter not found"))?;
        Ok((name.trim().to_owned(), value))
    }

    fn value(&mut self, text: &'a str) -> Result<String, ParseError> {
        let text = text.trim_start();
        let quote = if text.len() > 3 && text.starts_with(LONG_QUOTE) {
            LONG_QUOTE
        } else if text.starts_with('`') {
            "`"
        } else {
            return Ok(self.unquoted(text.trim()));
        };
        let inner = text.strip_prefix(quote).unwrap_or(text);
        match inner.rsplit_once(quote) {
            Some((value, _)) => Ok(value.to_owned()),
            None => self.multiline(inner, quote),
        }
    }

    /// A quoted value that goes on until a line has the closing quote.
    fn multiline(&mut self, first: &str, quote: &str) -> Result<String, ParseError> {
        let mut value = first.to_owned();
        while let Some(line) = self.next_line() {
            let Some((before, behind)) = line.rsplit_once(quote) else {
                value.push_str(line);
                continue;
            };
            if behind.trim().ends_with('\\') {
                value.push_str(line);
                continue;
            }
            value.push_str(before);
            let from_quote = line.get(before.len()..).unwrap_or_default();
            if let Some(at) = from_quote.find(COMMENT) {
                self.comment.push_str(from_quote.get(at..).unwrap_or_default().trim());
            }
            return Ok(value);
        }
        Err(self.error("missing closing quote of a value"))
    }

    fn unquoted(&mut self, text: &str) -> String {
        if let Some(first) = text.strip_suffix('\\') {
            return self.continued(first);
        }
        let mut text = text;
        if let Some(at) = text.find(COMMENT) {
            let (value, comment) = text.split_at(at);
            self.comment.push_str(comment);
            text = value.trim();
        }
        for quote in ['\'', '"'] {
            let inner = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote));
            if let Some(inner) = inner.filter(|inner| !inner.contains(quote)) {
                return inner.to_owned();
            }
        }
        text.to_owned()
    }

    /// A value that goes on in the next line where it ends with a backslash.
    fn continued(&mut self, first: &str) -> String {
        let mut value = first.to_owned();
        while let Some(line) = self.next_line() {
            let line = line.trim();
            if line.is_empty() {
                break;
            }
            value.push_str(line);
            if !value.ends_with('\\') {
                break;
            }
            value.pop();
        }
        value
    }
}
