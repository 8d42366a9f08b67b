//! From the text of a template to tokens, by the rules of Go's `text/template/parse`.

use std::fmt::{self, Display, Formatter};
use std::sync::LazyLock;

use regex::Regex;
use strconv::{decode, quote, quote_rune};

const LEFT: &[u8] = b"{{";
const RIGHT: &[u8] = b"}}";
/// A `-` and a space between delimiter and action: the white space beside the action goes.
const TRIM_MARKER: usize = 2;

/// What a token is. As large as a word: a token is copied for each look at it, and a single byte would have to wait for its padding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub(crate) enum Kind {
    Error,
    Bool,
    /// A printable character of ASCII that is nothing else: `,` between variables.
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    Eof,
    /// `.name`
    Field,
    Identifier,
    LeftDelimiter,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelimiter,
    RightParen,
    Space,
    String,
    Text,
    /// `$` or `$name`
    Variable,
    Block,
    Break,
    Continue,
    Define,
    Dot,
    Else,
    End,
    If,
    Nil,
    Range,
    Template,
    With,
}

impl Kind {
    fn keyword(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"block" => Self::Block,
            b"break" => Self::Break,
            b"continue" => Self::Continue,
            b"define" => Self::Define,
            b"else" => Self::Else,
            b"end" => Self::End,
            b"if" => Self::If,
            b"nil" => Self::Nil,
            b"range" => Self::Range,
            b"template" => Self::Template,
            b"with" => Self::With,
            _ => return None,
        })
    }

    fn is_keyword(self) -> bool {
        matches!(
            self,
            Self::Block
                | Self::Break
                | Self::Continue
                | Self::Define
                | Self::Dot
                | Self::Else
                | Self::End
                | Self::If
                | Self::Nil
                | Self::Range
                | Self::Template
                | Self::With
        )
    }
}

/// A token and where it begins.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Token<'a> {
    pub(crate) kind: Kind,
    /// In bytes from the start of the text.
    pub(crate) position: usize,
    /// Its text; an error has none, [`Lexer::error`] says what is wrong.
    pub(crate) text: &'a [u8],
    /// From 1.
    pub(crate) line: usize,
}

impl Token<'_> {
    /// What stands where no token has been read yet.
    pub(crate) const NONE: Self = Self { kind: Kind::Error, position: 0, text: &[], line: 0 };
}

impl Display for Token<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.kind {
            Kind::Eof => f.write_str("EOF"),
            kind if kind.is_keyword() => write!(f, "<{}>", String::from_utf8_lossy(self.text)),
            _ if self.text.len() > 10 => write!(f, "{}...", quote(first_characters(self.text, 10))),
            _ => f.write_str(&quote(self.text)),
        }
    }
}

/// The first `count` characters, as Go's `%.10q` counts them.
fn first_characters(text: &[u8], count: usize) -> &[u8] {
    let mut end = 0;
    for _ in 0..count {
        let Some((_, length)) = text.get(end..).and_then(decode) else { break };
        end += length;
    }
    text.get(..end).unwrap_or(text)
}

/// What an action does next.
enum Step<'a> {
    Text,
    Inside,
    Emit(Token<'a>),
}

/// Reads one token after the other.
pub(crate) struct Lexer<'a> {
    input: &'a [u8],
    position: usize,
    /// Where the token begins that is being read.
    start: usize,
    start_line: usize,
    parens: usize,
    is_inside: bool,
    /// What is wrong, once something is.
    error: Option<String>,
    /// Whether the words `break` and `continue` are keywords: they are not if there are functions of this name.
    pub(crate) break_is_keyword: bool,
    pub(crate) continue_is_keyword: bool,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self {
            input,
            position: 0,
            start: 0,
            start_line: 1,
            parens: 0,
            is_inside: false,
            error: None,
            break_is_keyword: true,
            continue_is_keyword: true,
        }
    }

    /// The next token; at the end, and after an error, `EOF` for ever.
    pub(crate) fn next(&mut self) -> Token<'a> {
        if self.error.is_some() {
            return Token { kind: Kind::Eof, position: 0, text: &[], line: self.start_line };
        }
        let mut step = if self.is_inside { Step::Inside } else { Step::Text };
        loop {
            step = match step {
                Step::Text => self.text(),
                Step::Inside => self.inside(),
                Step::Emit(token) => return token,
            };
        }
    }

    fn rest(&self) -> &'a [u8] {
        self.input.get(self.position..).unwrap_or_default()
    }

    fn pending(&self) -> &'a [u8] {
        self.input.get(self.start..self.position).unwrap_or_default()
    }

    /// The next character and its bytes. Almost all are of ASCII.
    #[inline]
    fn character(&self) -> Option<(char, usize)> {
        match self.input.get(self.position) {
            Some(byte) if byte.is_ascii() => Some((char::from(*byte), 1)),
            Some(_) => decode(self.rest()),
            None => None,
        }
    }

    #[inline]
    fn peek(&self) -> Option<char> {
        self.character().map(|(c, _)| c)
    }

    #[inline]
    fn advance(&mut self) -> Option<char> {
        let (c, length) = self.character()?;
        self.position += length;
        Some(c)
    }

    fn accept(&mut self, valid: &str) -> bool {
        let is_valid = self.peek().is_some_and(|c| valid.contains(c));
        if is_valid {
            self.advance();
        }
        is_valid
    }

    fn accept_run(&mut self, valid: &str) {
        while self.accept(valid) {}
    }

    fn accept_name(&mut self) {
        loop {
            let ascii = self.rest().iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_');
            self.position += ascii.count();
            match self.peek() {
                Some(c) if !c.is_ascii() && is_alphanumeric(c) => self.position += c.len_utf8(),
                _ => return,
            }
        }
    }

    fn token(&mut self, kind: Kind) -> Token<'a> {
        let text = self.pending();
        let token = Token { kind, position: self.start, text, line: self.start_line };
        // No other token may go over the end of a line.
        if matches!(kind, Kind::Text | Kind::Space | Kind::RawString) {
            self.start_line += newlines(text);
        }
        self.start = self.position;
        token
    }

    /// What was read belongs to no token.
    fn ignore(&mut self) {
        self.start_line += newlines(self.pending());
        self.start = self.position;
    }

    fn emit(&mut self, kind: Kind) -> Step<'a> {
        Step::Emit(self.token(kind))
    }

    fn fail(&mut self, message: impl Into<String>) -> Step<'a> {
        Step::Emit(self.end(message))
    }

    /// Nothing more is read, because something is wrong.
    pub(crate) fn end(&mut self, error: impl Into<String>) -> Token<'a> {
        self.error = Some(error.into());
        Token { kind: Kind::Error, position: self.start, text: &[], line: self.start_line }
    }

    /// What is wrong; empty as long as nothing is.
    pub(crate) fn error(&self) -> &str {
        self.error.as_deref().unwrap_or_default()
    }

    fn text(&mut self) -> Step<'a> {
        let Some(length) = find(self.rest(), LEFT) else {
            self.position = self.input.len();
            return if self.position > self.start { self.emit(Kind::Text) } else { self.emit_end() };
        };
        if length > 0 {
            let end = self.position + length;
            self.position = end;
            let trimmed =
                match starts_with_left_marker(self.input.get(end + LEFT.len()..).unwrap_or_default()) {
                    true => spaces(self.pending().iter().rev()),
                    false => 0,
                };
            self.position = end - trimmed;
            let token = self.token(Kind::Text);
            self.position = end;
            self.ignore();
            if !token.text.is_empty() {
                return Step::Emit(token);
            }
        }
        self.left_delimiter()
    }

    fn emit_end(&mut self) -> Step<'a> {
        Step::Emit(Token { kind: Kind::Eof, position: self.start, text: &[], line: self.start_line })
    }

    fn left_delimiter(&mut self) -> Step<'a> {
        self.position += LEFT.len();
        let after_marker = if starts_with_left_marker(self.rest()) { TRIM_MARKER } else { 0 };
        if self.rest().get(after_marker..).is_some_and(|rest| rest.starts_with(b"/*")) {
            self.position += after_marker;
            self.ignore();
            return self.comment();
        }
        let token = self.token(Kind::LeftDelimiter);
        self.is_inside = true;
        self.position += after_marker;
        self.ignore();
        self.parens = 0;
        Step::Emit(token)
    }

    fn comment(&mut self) -> Step<'a> {
        self.position += 2;
        let Some(length) = find(self.rest(), b"*/") else { return self.fail("unclosed comment") };
        self.position += length + 2;
        let Some(trims) = self.at_right_delimiter() else {
            return self.fail("comment ends before closing delimiter");
        };
        self.leave_right_delimiter(trims);
        self.ignore();
        Step::Text
    }

    /// Whether what follows closes the action, and if so, whether it takes white space behind it along.
    fn at_right_delimiter(&self) -> Option<bool> {
        let rest = self.rest();
        if starts_with_right_marker(rest)
            && rest.get(TRIM_MARKER..).is_some_and(|rest| rest.starts_with(RIGHT))
        {
            return Some(true);
        }
        rest.starts_with(RIGHT).then_some(false)
    }

    fn leave_right_delimiter(&mut self, trims: bool) {
        if trims {
            self.position += TRIM_MARKER + RIGHT.len();
            self.position += spaces(self.rest().iter());
        } else {
            self.position += RIGHT.len();
        }
    }

    fn right_delimiter(&mut self, trims: bool) -> Step<'a> {
        if trims {
            self.position += TRIM_MARKER;
            self.ignore();
        }
        self.position += RIGHT.len();
        let token = self.token(Kind::RightDelimiter);
        if trims {
            self.position += spaces(self.rest().iter());
            self.ignore();
        }
        self.is_inside = false;
        Step::Emit(token)
    }

    fn inside(&mut self) -> Step<'a> {
        if let Some(trims) = self.at_right_delimiter() {
            return match self.parens {
                0 => self.right_delimiter(trims),
                _ => self.fail("unclosed left paren"),
            };
        }
        let Some(c) = self.peek() else { return self.fail("unclosed action") };
        if is_space(c) {
            return self.space();
        }
        if c.is_ascii_digit() || matches!(c, '+' | '-') {
            return self.number();
        }
        if is_alphanumeric(c) {
            return self.identifier();
        }
        self.advance();
        match c {
            '=' => self.emit(Kind::Assign),
            ':' => match self.advance() {
                Some('=') => self.emit(Kind::Declare),
                _ => self.fail("expected :="),
            },
            '|' => self.emit(Kind::Pipe),
            '"' => self.quoted(b'"', Kind::String, "unterminated quoted string"),
            '\'' => self.quoted(b'\'', Kind::CharConstant, "unterminated character constant"),
            '`' => match find(self.rest(), b"`") {
                Some(length) => {
                    self.position += length + 1;
                    self.emit(Kind::RawString)
                }
                None => {
                    self.position = self.input.len();
                    self.fail("unterminated raw quoted string")
                }
            },
            '$' if self.at_terminator() => self.emit(Kind::Variable),
            '$' => self.name(Kind::Variable),
            '.' if self.rest().first().is_some_and(u8::is_ascii_digit) || self.rest().is_empty() => {
                self.position -= 1;
                self.number()
            }
            '.' if self.at_terminator() => self.emit(Kind::Dot),
            '.' => self.name(Kind::Field),
            '(' => {
                self.parens += 1;
                self.emit(Kind::LeftParen)
            }
            ')' if self.parens == 0 => self.fail("unexpected right paren"),
            ')' => {
                self.parens -= 1;
                self.emit(Kind::RightParen)
            }
            c if c.is_ascii_graphic() => self.emit(Kind::Char),
            c => self.fail(format!("unrecognized character in action: {}", code_point(c))),
        }
    }

    fn space(&mut self) -> Step<'a> {
        let count = spaces(self.rest().iter());
        self.position += count;
        // The last of them may belong to the closing delimiter.
        self.position -= 1;
        if self.at_right_delimiter() == Some(true) {
            if count == 1 {
                return self.right_delimiter(true);
            }
        } else {
            self.position += 1;
        }
        self.emit(Kind::Space)
    }

    fn identifier(&mut self) -> Step<'a> {
        self.accept_name();
        if !self.at_terminator() {
            return self.bad_character();
        }
        let word = self.pending();
        let kind = match Kind::keyword(word) {
            Some(Kind::Break) if !self.break_is_keyword => Kind::Identifier,
            Some(Kind::Continue) if !self.continue_is_keyword => Kind::Identifier,
            Some(keyword) => keyword,
            None if word == b"true" || word == b"false" => Kind::Bool,
            None => Kind::Identifier,
        };
        self.emit(kind)
    }

    /// The letters behind `.` or `$`.
    fn name(&mut self, kind: Kind) -> Step<'a> {
        self.accept_name();
        if self.at_terminator() { self.emit(kind) } else { self.bad_character() }
    }

    fn bad_character(&mut self) -> Step<'a> {
        let c = self.peek().map_or_else(|| "U+FFFFFFFFFFFFFFFF".to_owned(), code_point);
        self.fail(format!("bad character {c}"))
    }

    /// Whether a name may end here.
    fn at_terminator(&self) -> bool {
        match self.peek() {
            None | Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(c) => is_space(c) || self.rest().starts_with(RIGHT),
        }
    }

    /// The opening mark is read.
    fn quoted(&mut self, mark: u8, kind: Kind, unterminated: &str) -> Step<'a> {
        loop {
            let is_special = |byte: &u8| *byte == mark || matches!(byte, b'\\' | b'\n');
            let Some(length) = self.rest().iter().position(is_special) else {
                self.position = self.input.len();
                return self.fail(unterminated);
            };
            self.position += length;
            match self.advance() {
                Some('\\') if !matches!(self.advance(), None | Some('\n')) => {}
                Some('\\' | '\n') | None => return self.fail(unterminated),
                Some(_) => return self.emit(kind),
            }
        }
    }

    fn number(&mut self) -> Step<'a> {
        if !self.scan_number() {
            return self.bad_number();
        }
        if matches!(self.peek(), Some('+' | '-')) {
            return match self.scan_number() && self.pending().ends_with(b"i") {
                true => self.emit(Kind::Complex),
                false => self.bad_number(),
            };
        }
        self.emit(Kind::Number)
    }

    fn bad_number(&mut self) -> Step<'a> {
        let message = format!("bad number syntax: {}", quote(self.pending()));
        self.fail(message)
    }

    /// Whether it looks like a number; the parser sees whether it is one.
    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        let exponent = match digits.len() {
            11 => "eE",
            23 => "pP",
            _ => "",
        };
        if self.accept(exponent) {
            self.accept("+-");
            self.accept_run("0123456789_");
        }
        self.accept("i");
        if self.peek().is_some_and(is_alphanumeric) {
            self.advance();
            return false;
        }
        true
    }
}

/// Where a short delimiter begins. Texts between them are short, too: a searcher is not worth its making.
fn find(text: &[u8], sought: &[u8]) -> Option<usize> {
    let first = *sought.first()?;
    memchr::memchr_iter(first, text).find(|at| text.get(*at..).is_some_and(|rest| rest.starts_with(sought)))
}

fn newlines(text: &[u8]) -> usize {
    // Most tokens are a few bytes.
    match text.len() {
        ..16 => text.iter().filter(|byte| **byte == b'\n').count(),
        _ => memchr::memchr_iter(b'\n', text).count(),
    }
}

fn spaces<'a>(bytes: impl Iterator<Item = &'a u8>) -> usize {
    bytes.take_while(|byte| is_space(char::from(**byte))).count()
}

#[inline]
fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

fn starts_with_left_marker(text: &[u8]) -> bool {
    matches!(text, [b'-', space, ..] if is_space(char::from(*space)))
}

fn starts_with_right_marker(text: &[u8]) -> bool {
    matches!(text, [space, b'-', ..] if is_space(char::from(*space)))
}

/// `unicode.IsLetter`, `unicode.IsDigit` or an underscore. The standard library counts some marks as alphabetic, too.
fn is_alphanumeric(c: char) -> bool {
    static LETTER_OR_DIGIT: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[\p{L}\p{Nd}]$").ok());
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    LETTER_OR_DIGIT.as_ref().is_some_and(|regex| regex.is_match(c.encode_utf8(&mut [0; 4])))
}

/// Go's `%#U`: `U+0026 '&'`.
fn code_point(c: char) -> String {
    let number = format!("U+{:04X}", u32::from(c));
    if strconv::is_print(c) { format!("{number} {}", raw_rune(c)) } else { number }
}

/// The character in single quotes as it is, unlike [`quote_rune`] also a quote or a backslash.
fn raw_rune(c: char) -> String {
    if matches!(c, '\'' | '\\') { format!("'{c}'") } else { quote_rune(c) }
}
