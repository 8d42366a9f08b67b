//! Text to tokens.

/// A token and where it begins and ends, in bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    pub at: usize,
    pub end: usize,
    pub kind: TokenKind,
}

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenKind {
    Name(String),
    /// Digits, possibly with `0x` before and `u` after.
    Integer(String),
    Double(String),
    String(String),
    Bytes(Vec<u8>),
    /// An operator or bracket.
    Symbol(&'static str),
    End,
}

/// The longer ones first.
const SYMBOLS: [&str; 24] = [
    "&&", "||", "==", "!=", "<=", ">=", "(", ")", "[", "]", "{", "}", ".", ",", "?", ":", "+", "-", "*", "/",
    "%", "!", "<", ">",
];

/// Splits a text into tokens, [`TokenKind::End`] last.
///
/// # Errors
/// Where and what is wrong.
pub fn tokens(source: &str) -> Result<Vec<Token>, (usize, String)> {
    let mut lexer = Lexer { source, at: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blank();
        let at = lexer.at;
        let kind = lexer.token()?;
        let end = kind == TokenKind::End;
        tokens.push(Token { at, end: lexer.at, kind });
        if end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let end = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.at += end;
        rest.get(..end).unwrap_or_default()
    }

    fn skip_blank(&mut self) {
        loop {
            self.take_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{c}'));
            if !self.rest().starts_with("//") {
                return;
            }
            self.take_while(|c| c != '\n');
        }
    }

    fn token(&mut self) -> Result<TokenKind, (usize, String)> {
        let rest = self.rest();
        let Some(first) = rest.chars().next() else { return Ok(TokenKind::End) };
        if let Some(prefix) = string_prefix(rest) {
            return self.string(prefix);
        }
        let second = rest.chars().nth(1);
        if first.is_ascii_digit() || first == '.' && second.is_some_and(|c| c.is_ascii_digit()) {
            return Ok(self.number());
        }
        if first.is_ascii_alphabetic() || first == '_' {
            return Ok(TokenKind::Name(
                self.take_while(|c| c.is_ascii_alphanumeric() || c == '_').to_owned(),
            ));
        }
        let symbol = SYMBOLS.iter().find(|s| rest.starts_with(**s));
        let symbol = symbol
            .ok_or_else(|| (self.at, format!("Syntax error: token recognition error at: '{first}'")))?;
        self.at += symbol.len();
        Ok(TokenKind::Symbol(symbol))
    }

    fn number(&mut self) -> TokenKind {
        let start = self.at;
        let text = |lexer: &Self| lexer.source.get(start..lexer.at).unwrap_or_default().to_owned();
        if self.rest().starts_with("0x") {
            self.at += 2;
            self.take_while(|c| c.is_ascii_hexdigit());
        } else {
            self.take_while(|c| c.is_ascii_digit());
            let mut double = false;
            let mut following = self.rest().chars();
            if following.next() == Some('.') && following.next().is_some_and(|c| c.is_ascii_digit()) {
                double = true;
                self.at += 1;
                self.take_while(|c| c.is_ascii_digit());
            }
            let rest = self.rest();
            if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
                let digits = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
                if digits.starts_with(|c: char| c.is_ascii_digit()) {
                    double = true;
                    self.at += rest.len() - digits.len();
                    self.take_while(|c| c.is_ascii_digit());
                }
            }
            if double {
                return TokenKind::Double(text(self));
            }
        }
        if self.rest().starts_with(['u', 'U']) {
            self.at += 1;
        }
        TokenKind::Integer(text(self))
    }

    fn string(&mut self, prefix: Prefix) -> Result<TokenKind, (usize, String)> {
        let start = self.at;
        self.at += prefix.length;
        let unterminated = || (start, "Syntax error: a string does not end".to_owned());
        let rest = self.rest();
        let quote = rest.chars().next().ok_or_else(unterminated)?;
        let triple: String = std::iter::repeat_n(quote, 3).collect();
        let end = if rest.starts_with(&triple) { triple } else { quote.to_string() };
        self.at += end.len();
        let mut out = Vec::new();
        loop {
            let rest = self.rest();
            if rest.starts_with(&end) {
                self.at += end.len();
                break;
            }
            let c = rest.chars().next().ok_or_else(unterminated)?;
            match c {
                '\n' | '\r' if end.len() == 1 => return Err(unterminated()),
                '\\' if !prefix.raw => {
                    let (at, wrong) = (self.at, "Syntax error: unknown escape sequence".to_owned());
                    let (length, value) = escape(rest).ok_or((at, wrong))?;
                    self.at += length;
                    match value {
                        // In bytes \x and octal escapes are bytes, in strings characters.
                        Escape::Byte(byte) if prefix.bytes => out.push(byte),
                        Escape::Byte(byte) => push(&mut out, char::from(byte)),
                        Escape::Character(c) => push(&mut out, c),
                    }
                }
                c => {
                    push(&mut out, c);
                    self.at += c.len_utf8();
                }
            }
        }
        if prefix.bytes {
            return Ok(TokenKind::Bytes(out));
        }
        Ok(TokenKind::String(String::from_utf8_lossy(&out).into_owned()))
    }
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

struct Prefix {
    raw: bool,
    bytes: bool,
    length: usize,
}

/// The letters before a quote, if a string begins here.
fn string_prefix(rest: &str) -> Option<Prefix> {
    let length = rest.chars().take(3).position(|c| matches!(c, '\'' | '"'))?;
    let letters = rest.get(..length)?.to_ascii_lowercase();
    let (raw, bytes) = match letters.as_str() {
        "" => (false, false),
        "r" => (true, false),
        "b" => (false, true),
        "br" | "rb" => (true, true),
        _ => return None,
    };
    Some(Prefix { raw, bytes, length })
}

enum Escape {
    Character(char),
    Byte(u8),
}

/// The escape sequence at the start of a text: its length and its meaning.
fn escape(text: &str) -> Option<(usize, Escape)> {
    let kind = text.chars().nth(1)?;
    let simple = |c| Some((2, Escape::Character(c)));
    let code = |from: usize, digits: usize, radix| {
        u32::from_str_radix(text.get(from..from + digits)?, radix).ok().map(|code| (from + digits, code))
    };
    match kind {
        'a' => simple('\u{7}'),
        'b' => simple('\u{8}'),
        'f' => simple('\u{c}'),
        'n' => simple('\n'),
        'r' => simple('\r'),
        't' => simple('\t'),
        'v' => simple('\u{b}'),
        '\\' | '?' | '"' | '\'' | '`' => simple(kind),
        'x' | 'X' => code(2, 2, 16).and_then(|(n, c)| Some((n, Escape::Byte(u8::try_from(c).ok()?)))),
        '0'..='3' => code(1, 3, 8).and_then(|(n, c)| Some((n, Escape::Byte(u8::try_from(c).ok()?)))),
        'u' => code(2, 4, 16).and_then(|(n, c)| Some((n, Escape::Character(char::from_u32(c)?)))),
        'U' => code(2, 8, 16).and_then(|(n, c)| Some((n, Escape::Character(char::from_u32(c)?)))),
        _ => None,
    }
}
