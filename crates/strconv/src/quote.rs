//! Quoted strings and characters.

/// The first character of `bytes` and its length; what is no UTF-8 is U+FFFD of length 1, as with `utf8.DecodeRune`.
pub fn decode(bytes: &[u8]) -> Option<(char, usize)> {
    let first = *bytes.first()?;
    if first.is_ascii() {
        return Some((char::from(first), 1));
    }
    let longest = bytes.get(..bytes.len().min(4)).unwrap_or_default();
    let valid = match std::str::from_utf8(longest) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(longest.get(..error.valid_up_to())?).ok()?,
    };
    Some(valid.chars().next().map_or((char::REPLACEMENT_CHARACTER, 1), |c| (c, c.len_utf8())))
}

/// `strconv.IsPrint`: letters, marks, numbers, punctuation, symbols and the space of ASCII.
pub fn is_print(c: char) -> bool {
    if c.is_ascii() {
        return matches!(c, ' '..='~');
    }
    // The standard library has the same table, and escapes a combining mark only at the beginning of a text.
    let text = ['a', c].iter().collect::<String>();
    text.escape_debug().eq(['a', c])
}

/// `strconv.Quote`: in double quotes, with escapes for what cannot be printed.
pub fn quote(text: &[u8]) -> String {
    quote_with(text, '"', is_print)
}

/// `strconv.QuoteToASCII`: with escapes for what is not ASCII, too.
pub fn quote_to_ascii(text: &[u8]) -> String {
    quote_with(text, '"', is_printable_ascii)
}

/// `strconv.QuoteRune`: in single quotes.
pub fn quote_rune(c: char) -> String {
    quote_with(c.encode_utf8(&mut [0; 4]).as_bytes(), '\'', is_print)
}

/// `strconv.QuoteRuneToASCII`
pub fn quote_rune_to_ascii(c: char) -> String {
    quote_with(c.encode_utf8(&mut [0; 4]).as_bytes(), '\'', is_printable_ascii)
}

/// `strconv.CanBackquote`: whether it can stand between backquotes on one line.
pub fn can_backquote(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    !text.contains(|c| (c < ' ' && c != '\t') || matches!(c, '`' | '\u{7f}' | '\u{feff}'))
}

fn is_printable_ascii(c: char) -> bool {
    matches!(c, ' '..='~')
}

fn quote_with(mut rest: &[u8], mark: char, is_shown: fn(char) -> bool) -> String {
    let mut quoted = String::with_capacity(rest.len() + 2);
    quoted.push(mark);
    while let Some((c, length)) = decode(rest) {
        if let (char::REPLACEMENT_CHARACTER, 1, Some(byte)) = (c, length, rest.first()) {
            quoted.push_str(&format!("\\x{byte:02x}"));
        } else {
            escape(c, mark, is_shown, &mut quoted);
        }
        rest = rest.get(length..).unwrap_or_default();
    }
    quoted.push(mark);
    quoted
}

fn escape(c: char, mark: char, is_shown: fn(char) -> bool, into: &mut String) {
    match c {
        '\u{7}' => into.push_str("\\a"),
        '\u{8}' => into.push_str("\\b"),
        '\u{c}' => into.push_str("\\f"),
        '\n' => into.push_str("\\n"),
        '\r' => into.push_str("\\r"),
        '\t' => into.push_str("\\t"),
        '\u{b}' => into.push_str("\\v"),
        c if c == mark || c == '\\' => into.extend(['\\', c]),
        c if is_shown(c) => into.push(c),
        c if c < ' ' || c == '\u{7f}' => into.push_str(&format!("\\x{:02x}", u32::from(c))),
        c if u32::from(c) < 0x1_0000 => into.push_str(&format!("\\u{:04x}", u32::from(c))),
        c => into.push_str(&format!("\\U{:08x}", u32::from(c))),
    }
}

/// `strconv.Unquote`: a string in double quotes or backquotes, or a character in single quotes. `None` where Go says `invalid syntax`.
pub fn unquote(text: &[u8]) -> Option<Vec<u8>> {
    let (&mark, inner) = text.split_first()?;
    let (&end, inner) = inner.split_last()?;
    if mark != end {
        return None;
    }
    match mark {
        b'`' if inner.contains(&b'`') => None,
        // Carriage returns are no part of raw strings.
        b'`' if inner.contains(&b'\r') => Some(inner.iter().copied().filter(|byte| *byte != b'\r').collect()),
        b'`' => Some(inner.to_vec()),
        b'"' => unquote_string(inner),
        b'\'' if inner.starts_with(b"\n") => None,
        b'\'' => {
            let mut unquoted = Vec::new();
            let length = push_unescaped(&mut unquoted, inner, mark)?;
            (length == inner.len()).then_some(unquoted)
        }
        _ => None,
    }
}

fn unquote_string(text: &[u8]) -> Option<Vec<u8>> {
    let (mut unquoted, mut rest) = (Vec::with_capacity(text.len()), text);
    loop {
        let is_special = |byte: &u8| matches!(byte, b'\\' | b'"' | b'\n');
        let plain = rest.iter().position(is_special).unwrap_or(rest.len());
        unquoted.extend_from_slice(rest.get(..plain)?);
        rest = rest.get(plain..)?;
        match rest.first() {
            None => return Some(unquoted),
            Some(b'\n') => return None,
            Some(_) => {
                let length = push_unescaped(&mut unquoted, rest, b'"')?;
                rest = rest.get(length..)?;
            }
        }
    }
}

/// Appends what the first character of a text between such marks stands for, and gives its length in the text.
fn push_unescaped(unquoted: &mut Vec<u8>, text: &[u8], mark: u8) -> Option<usize> {
    let (piece, length) = unescape(text, mark)?;
    match piece {
        Piece::Byte(byte) => unquoted.push(byte),
        Piece::Char(c) => unquoted.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        Piece::Raw => unquoted.extend_from_slice(text.get(..length)?),
    }
    Some(length)
}

/// `strconv.UnquoteChar` within single quotes: the value of the first character and its length. A byte written as `\xff` is its number.
pub fn unquote_rune(text: &[u8]) -> Option<(u32, usize)> {
    let (piece, length) = unescape(text, b'\'')?;
    let value = match piece {
        Piece::Byte(byte) => u32::from(byte),
        Piece::Char(c) => u32::from(c),
        Piece::Raw => u32::from(char::REPLACEMENT_CHARACTER),
    };
    Some((value, length))
}

enum Piece {
    Byte(u8),
    Char(char),
    /// Bytes that are no UTF-8 and stay as they are.
    Raw,
}

fn unescape(text: &[u8], mark: u8) -> Option<(Piece, usize)> {
    let (c, length) = decode(text)?;
    if u32::from(c) == u32::from(mark) {
        return None;
    }
    if c != '\\' {
        let is_raw = c == char::REPLACEMENT_CHARACTER && length == 1;
        return Some((if is_raw { Piece::Raw } else { Piece::Char(c) }, length));
    }
    let simple = |c| Some((Piece::Char(c), 2));
    match *text.get(1)? {
        b'a' => simple('\u{7}'),
        b'b' => simple('\u{8}'),
        b'f' => simple('\u{c}'),
        b'n' => simple('\n'),
        b'r' => simple('\r'),
        b't' => simple('\t'),
        b'v' => simple('\u{b}'),
        b'\\' => simple('\\'),
        quote @ (b'\'' | b'"') if quote == mark => simple(char::from(quote)),
        b'x' => Some((Piece::Byte(u8::try_from(digits(text, 2, 2, 16)?).ok()?), 4)),
        b'u' => Some((Piece::Char(char::from_u32(digits(text, 2, 4, 16)?)?), 6)),
        b'U' => Some((Piece::Char(char::from_u32(digits(text, 2, 8, 16)?)?), 10)),
        b'0'..=b'7' => Some((Piece::Byte(u8::try_from(digits(text, 1, 3, 8)?).ok()?), 4)),
        _ => None,
    }
}

fn digits(text: &[u8], from: usize, count: usize, radix: u32) -> Option<u32> {
    let digits = text.get(from..from + count)?;
    digits.iter().try_fold(0_u32, |value, digit| {
        value.checked_mul(radix)?.checked_add(char::from(*digit).to_digit(radix)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What Go 1.26 prints.
    #[test]
    fn strings_are_quoted_as_go_does() {
        let cases: [(&[u8], &str); 10] = [
            (b"", r#""""#),
            (b"a\"b\\c'", r#""a\"b\\c'""#),
            (b"\x07\x08\x0c\n\r\t\x0b", r#""\a\b\f\n\r\t\v""#),
            (b"\x00\x1f\x7f", r#""\x00\x1f\x7f""#),
            (b"\xff\xfea", r#""\xff\xfea""#),
            ("ä€😀".as_bytes(), "\"ä€😀\""),
            ("\u{a0}\u{ad}\u{200b}".as_bytes(), r#""\u00a0\u00ad\u200b""#),
            ("\u{301}e\u{301}".as_bytes(), "\"\u{301}e\u{301}\""),
            ("\u{e0001}".as_bytes(), r#""\U000e0001""#),
            ("\u{fffd}".as_bytes(), "\"\u{fffd}\""),
        ];
        for (text, quoted) in cases {
            assert_eq!(quote(text), quoted);
            assert_eq!(unquote(quoted.as_bytes()).as_deref(), Some(text), "{quoted}");
        }
        assert_eq!(quote_rune('\''), r"'\''");
        assert_eq!(quote_rune('"'), "'\"'");
        assert_eq!(quote_to_ascii("aä😀\u{7f}".as_bytes()), r#""a\u00e4\U0001f600\x7f""#);
        assert_eq!(quote_rune_to_ascii('ä'), r"'\u00e4'");
    }

    #[test]
    fn what_can_stand_between_backquotes_is_known() {
        let cases: [(&[u8], bool); 7] = [
            (b"a\tb \\\"", true),
            ("ä".as_bytes(), true),
            (b"a`b", false),
            (b"a\nb", false),
            (b"\x7f", false),
            ("\u{feff}".as_bytes(), false),
            (b"\xff", false),
        ];
        for (text, can) in cases {
            assert_eq!(can_backquote(text), can);
        }
    }

    #[test]
    fn what_go_cannot_read_is_refused() {
        for text in [
            "",
            "\"",
            "\"a",
            "'a\"",
            "''",
            "'ab'",
            "\"\\q\"",
            "\"\\'\"",
            "\"\\x4\"",
            "\"\\400\"",
            "\"\\ud800\"",
            "\"a\nb\"",
            "`a`b`",
            "\"a\"b\"",
        ] {
            assert_eq!(unquote(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn escapes_are_read() {
        let cases: [(&[u8], &[u8]); 6] = [
            (br#""\x41\101\u00e4\U0001F600""#, "AAä😀".as_bytes()),
            (br#""\xff\377""#, b"\xff\xff"),
            (b"\"\xff\"", b"\xff"),
            (b"`a\r\n\\n`", b"a\n\\n"),
            (br"'\''", b"'"),
            (b"\"'\"", b"'"),
        ];
        for (quoted, text) in cases {
            assert_eq!(unquote(quoted).as_deref(), Some(text));
        }
        assert_eq!(unquote_rune(br"\xff'"), Some((255, 4)));
        assert_eq!(unquote_rune(b"'"), None);
    }
}
