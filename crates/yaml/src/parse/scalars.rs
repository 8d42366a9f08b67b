//! Scanning scalars: plain, quoted and block.

use std::borrow::Cow;

use super::cursor::Mark;
use super::scanner::Scanner;
use super::token::TokenKind;
use crate::{Error, Style};

/// Text that stays borrowed for as long as it is one piece of the source.
struct Text<'a> {
    piece: (usize, usize),
    joined: Option<String>,
    source: &'a str,
}

impl<'a> Text<'a> {
    fn new(source: &'a str, start: usize) -> Self {
        Self { piece: (start, start), joined: None, source }
    }

    /// Appends the source from where the last piece ended up to `end`.
    fn extend_to(&mut self, start: usize, end: usize) {
        match &mut self.joined {
            Some(joined) => joined.push_str(self.source.get(start..end).unwrap_or_default()),
            None => self.piece.1 = end,
        }
    }

    /// From here on the text differs from the source.
    fn owned(&mut self) -> &mut String {
        let (start, end) = self.piece;
        self.joined.get_or_insert_with(|| self.source.get(start..end).unwrap_or_default().to_owned())
    }

    fn into_cow(self) -> Cow<'a, str> {
        match self.joined {
            Some(joined) => Cow::Owned(joined),
            None => Cow::Borrowed(self.source.get(self.piece.0..self.piece.1).unwrap_or_default()),
        }
    }
}

/// Blanks or line breaks between two words of a scalar.
enum Gap<'a> {
    None,
    Blanks { start: usize, end: usize },
    Breaks { first: &'a str, more: String },
}

impl Gap<'_> {
    /// Folds the gap into `text`: one line break is a space, more are one less.
    fn fold_into(self, text: &mut Text<'_>) {
        match self {
            Gap::None => {}
            Gap::Blanks { start, end } => text.extend_to(start, end),
            Gap::Breaks { first: "\n", more } if more.is_empty() => text.owned().push(' '),
            Gap::Breaks { first: "\n", more } => text.owned().push_str(&more),
            Gap::Breaks { first, more } => {
                text.owned().push_str(first);
                text.owned().push_str(&more);
            }
        }
    }
}

/// What a block scalar does with the line breaks at its end.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chomping {
    Strip,
    Clip,
    Keep,
}

impl<'a> Scanner<'a> {
    /// A plain scalar and the mark behind its last word.
    pub(super) fn scan_plain(&mut self) -> Result<(TokenKind<'a>, Mark), Error> {
        let start = self.cursor.mark;
        let min_column = self.indent + 1;
        let mut text = Text::new(self.cursor.text(), start.index);
        let mut end = start;
        let mut gap = Gap::None;
        loop {
            if self.cursor.at_document_indicator() || self.cursor.peek(0) == b'#' {
                break;
            }
            let word = self.cursor.mark.index;
            self.skip_plain_word();
            if self.cursor.mark.index > word {
                std::mem::replace(&mut gap, Gap::None).fold_into(&mut text);
                end = self.cursor.mark;
                text.extend_to(word, end.index);
            }
            if !self.cursor.is_blank(0) && !self.cursor.is_break(0) {
                break;
            }
            gap = self.scan_gap(Some((min_column, start)), false)?;
            if self.flow_level == 0 && i64::from(self.cursor.mark.column) < min_column {
                break;
            }
        }
        if matches!(gap, Gap::Breaks { .. }) {
            self.simple_key_allowed = true;
        }
        Ok((TokenKind::Scalar(text.into_cow(), Style::Plain), end))
    }

    /// Passes everything up to a blank, a break, `: ` or, in flow context, an indicator.
    fn skip_plain_word(&mut self) {
        let in_flow = self.flow_level > 0;
        loop {
            let rest = self.cursor.rest();
            let run = rest
                .iter()
                .position(|byte| match byte {
                    b' ' | b'\t' | b'\n' | b'\r' | b':' | 0xC2 | 0xE2 => true,
                    b',' | b'?' | b'[' | b']' | b'{' | b'}' => in_flow,
                    _ => false,
                })
                .unwrap_or(rest.len());
            self.cursor.advance(run);
            let goes_on = match self.cursor.peek(0) {
                b':' => !self.cursor.is_space_or_end(1),
                0xC2 | 0xE2 => !self.cursor.is_break(0),
                _ => false,
            };
            if !goes_on {
                return;
            }
            self.cursor.skip();
        }
    }

    /// Passes blanks and breaks between words. `indentation` is set for plain scalars, where a tab may not indent.
    fn scan_gap(
        &mut self,
        indentation: Option<(i64, Mark)>,
        after_escaped_break: bool,
    ) -> Result<Gap<'a>, Error> {
        let start = self.cursor.mark.index;
        // Behind an escaped break no break is folded into a space.
        let mut breaks = after_escaped_break.then(|| ("", String::new()));
        loop {
            if self.cursor.is_blank(0) {
                if let Some((min_column, scalar)) = indentation
                    && breaks.is_some()
                    && i64::from(self.cursor.mark.column) < min_column
                    && self.cursor.peek(0) == b'\t'
                {
                    return Err(self.error(scalar, "found a tab character that violates indentation"));
                }
                self.cursor.skip();
            } else if self.cursor.is_break(0) {
                let read = self.cursor.read_break();
                match &mut breaks {
                    Some((_, more)) => more.push_str(read),
                    None => breaks = Some((read, String::new())),
                }
            } else {
                break;
            }
        }
        let end = self.cursor.mark.index;
        Ok(match breaks {
            Some((first, more)) => Gap::Breaks { first, more },
            None if start == end => Gap::None,
            None => Gap::Blanks { start, end },
        })
    }

    /// `'...'` or `"..."`.
    pub(super) fn scan_quoted(&mut self) -> Result<TokenKind<'a>, Error> {
        let start = self.cursor.mark;
        let quote = self.cursor.peek(0);
        let single = quote == b'\'';
        self.cursor.skip();
        let mut text = Text::new(self.cursor.text(), self.cursor.mark.index);
        loop {
            if self.cursor.at_document_indicator() {
                return Err(self.error(start, "found unexpected document indicator"));
            }
            if self.cursor.at_end() {
                return Err(self.error(start, "found unexpected end of stream"));
            }
            let mut escaped_break = false;
            loop {
                let word = self.cursor.mark.index;
                self.skip_quoted_word(quote);
                text.extend_to(word, self.cursor.mark.index);
                match self.cursor.peek(0) {
                    b'\'' if single && self.cursor.peek(1) == b'\'' => {
                        text.owned().push('\'');
                        self.cursor.skip_many(2);
                    }
                    b'\\' if !single && self.cursor.is_break(1) => {
                        text.owned();
                        self.cursor.skip();
                        self.cursor.read_break();
                        escaped_break = true;
                        break;
                    }
                    b'\\' if !single => {
                        let c = self.scan_escape(start)?;
                        text.owned().push(c);
                    }
                    _ => break,
                }
            }
            if self.cursor.peek(0) == quote {
                break;
            }
            self.scan_gap(None, escaped_break)?.fold_into(&mut text);
        }
        self.cursor.skip();
        let style = if single { Style::SingleQuoted } else { Style::DoubleQuoted };
        Ok(TokenKind::Scalar(text.into_cow(), style))
    }

    /// Passes everything up to a blank, a break, the quote, or a backslash in double quotes.
    fn skip_quoted_word(&mut self, quote: u8) {
        loop {
            let rest = self.cursor.rest();
            let run = rest
                .iter()
                .position(|byte| match byte {
                    b' ' | b'\t' | b'\n' | b'\r' | 0xC2 | 0xE2 => true,
                    b'\\' => quote == b'"',
                    byte => *byte == quote,
                })
                .unwrap_or(rest.len());
            self.cursor.advance(run);
            if !matches!(self.cursor.peek(0), 0xC2 | 0xE2) || self.cursor.is_break(0) {
                return;
            }
            self.cursor.skip();
        }
    }

    /// One backslash escape.
    fn scan_escape(&mut self, scalar: Mark) -> Result<char, Error> {
        let digits = match self.cursor.peek(1) {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            simple => {
                let c = match simple {
                    b'0' => '\0',
                    b'a' => '\x07',
                    b'b' => '\x08',
                    b't' | b'\t' => '\t',
                    b'n' => '\n',
                    b'v' => '\x0B',
                    b'f' => '\x0C',
                    b'r' => '\r',
                    b'e' => '\x1B',
                    b' ' => ' ',
                    b'"' => '"',
                    b'\'' => '\'',
                    b'\\' => '\\',
                    b'N' => '\u{85}',
                    b'_' => '\u{A0}',
                    b'L' => '\u{2028}',
                    b'P' => '\u{2029}',
                    _ => return Err(self.error(scalar, "found unknown escape character")),
                };
                self.cursor.skip_many(2);
                return Ok(c);
            }
        };
        self.cursor.skip_many(2);
        let mut code = 0_u32;
        for ahead in 0..digits {
            match char::from(self.cursor.peek(ahead)).to_digit(16) {
                Some(digit) => code = code << 4 | digit,
                None => return Err(self.error(scalar, "did not find expected hexdecimal number")),
            }
        }
        let c = char::from_u32(code)
            .ok_or_else(|| self.error(scalar, "found invalid Unicode character escape code"))?;
        self.cursor.skip_many(digits);
        Ok(c)
    }

    /// `|` or `>` with its lines, and the mark behind the last one.
    pub(super) fn scan_block_scalar(&mut self) -> Result<(TokenKind<'a>, Mark), Error> {
        let start = self.cursor.mark;
        let literal = self.cursor.peek(0) == b'|';
        self.cursor.skip();
        let (chomping, increment) = self.scan_block_header(start)?;

        let mut indent = increment.map_or(0, |increment| self.indent.max(0) + increment);
        let mut text = String::new();
        let mut last_break = "";
        let mut blank_lines = String::new();
        let mut after_indented = false;
        let mut end = self.scan_block_breaks(&mut indent, &mut blank_lines, start)?;
        while i64::from(self.cursor.mark.column) == indent && !self.cursor.at_end() {
            let indented = self.cursor.is_blank(0);
            if !literal && !after_indented && !indented && last_break == "\n" {
                if blank_lines.is_empty() {
                    text.push(' ');
                }
            } else {
                text.push_str(last_break);
            }
            text.push_str(&blank_lines);
            blank_lines.clear();
            after_indented = indented;
            text.push_str(self.cursor.read_line());
            last_break = self.cursor.read_break();
            end = self.scan_block_breaks(&mut indent, &mut blank_lines, start)?;
        }
        if chomping != Chomping::Strip {
            text.push_str(last_break);
        }
        if chomping == Chomping::Keep {
            text.push_str(&blank_lines);
        }
        let style = if literal { Style::Literal } else { Style::Folded };
        Ok((TokenKind::Scalar(Cow::Owned(text), style), end))
    }

    /// Chomping and indentation indicators in either order, a comment, and the line's end.
    fn scan_block_header(&mut self, start: Mark) -> Result<(Chomping, Option<i64>), Error> {
        let mut chomping = None;
        let mut increment = None;
        for _ in 0..2 {
            match self.cursor.peek(0) {
                b'+' if chomping.is_none() => chomping = Some(Chomping::Keep),
                b'-' if chomping.is_none() => chomping = Some(Chomping::Strip),
                b'0' if increment.is_none() => {
                    return Err(self.error(start, "found an indentation indicator equal to 0"));
                }
                digit @ b'1'..=b'9' if increment.is_none() => increment = Some(i64::from(digit - b'0')),
                _ => break,
            }
            self.cursor.skip();
        }
        self.cursor.skip_blanks();
        if self.cursor.peek(0) == b'#' {
            self.scan_line_comment(start.index);
            self.cursor.read_line();
        }
        if !self.cursor.is_break_or_end(0) {
            return Err(self.error(start, "did not find expected comment or line break"));
        }
        self.cursor.read_break();
        Ok((chomping.unwrap_or(Chomping::Clip), increment))
    }

    /// Passes indentation and empty lines. Finds the indentation if it is still 0. Returns where the last line ended.
    fn scan_block_breaks(
        &mut self,
        indent: &mut i64,
        breaks: &mut String,
        start: Mark,
    ) -> Result<Mark, Error> {
        let mut end = self.cursor.mark;
        let mut deepest = 0;
        loop {
            while (*indent == 0 || i64::from(self.cursor.mark.column) < *indent)
                && self.cursor.peek(0) == b' '
            {
                self.cursor.skip();
            }
            let column = i64::from(self.cursor.mark.column);
            deepest = deepest.max(column);
            if (*indent == 0 || column < *indent) && self.cursor.peek(0) == b'\t' {
                return Err(self.error(start, "found a tab character where an indentation space is expected"));
            }
            if !self.cursor.is_break(0) {
                break;
            }
            breaks.push_str(self.cursor.read_break());
            end = self.cursor.mark;
        }
        if *indent == 0 {
            *indent = deepest.max(self.indent + 1).max(1);
        }
        Ok(end)
    }
}
