//! The glob of a single path component: what Go's `filepath.Match` accepts.
//!
//! `*` any bytes, `?` one character, `[a-z]` and `[^a-z]` one character of a class, `\` takes the next one as it is.
//! Matching needs at most pattern length × name length steps.

/// A parsed glob. Most patterns in use are a plain name or `*.ext`, which need no general matching.
#[derive(Clone, Debug)]
pub(super) enum Glob {
    Anything,
    Exact(Vec<u8>),
    Suffix(Vec<u8>),
    Tokens(Vec<Token>),
}

#[derive(Clone, Debug)]
pub(super) enum Token {
    Star,
    Byte(u8),
    AnyChar,
    Class { negated: bool, ranges: Vec<(u32, u32)> },
}

impl Glob {
    /// `None` when the syntax is wrong.
    pub(super) fn parse(mut text: &[u8]) -> Option<Self> {
        let mut tokens = Vec::new();
        while let Some((&first, rest)) = text.split_first() {
            text = rest;
            tokens.push(match first {
                b'*' => Token::Star,
                b'?' => Token::AnyChar,
                b'[' => parse_class(&mut text)?,
                b'\\' => {
                    let (&escaped, rest) = text.split_first()?;
                    text = rest;
                    Token::Byte(escaped)
                }
                byte => Token::Byte(byte),
            });
        }
        Some(Self::from_tokens(tokens))
    }

    fn from_tokens(tokens: Vec<Token>) -> Self {
        let literal = |tokens: &[Token]| -> Option<Vec<u8>> {
            tokens
                .iter()
                .map(|token| if let Token::Byte(byte) = token { Some(*byte) } else { None })
                .collect()
        };
        if let Some(bytes) = literal(&tokens) {
            return Self::Exact(bytes);
        }
        let stars = tokens.iter().take_while(|token| matches!(token, Token::Star)).count();
        match tokens.get(stars..) {
            Some([]) => Self::Anything,
            Some(tail) if stars > 0 => literal(tail).map_or(Self::Tokens(tokens), Self::Suffix),
            _ => Self::Tokens(tokens),
        }
    }

    /// Whether the whole of `name` matches.
    pub(super) fn matches(&self, name: &[u8]) -> bool {
        match self {
            Self::Anything => true,
            Self::Exact(bytes) => bytes == name,
            Self::Suffix(bytes) => name.ends_with(bytes),
            Self::Tokens(tokens) => matches_tokens(tokens, name),
        }
    }
}

fn parse_class(text: &mut &[u8]) -> Option<Token> {
    let negated = text.strip_prefix(b"^").map(|rest| *text = rest).is_some();
    let mut ranges = Vec::new();
    loop {
        if !ranges.is_empty()
            && let Some(rest) = text.strip_prefix(b"]")
        {
            *text = rest;
            return Some(Token::Class { negated, ranges });
        }
        let low = parse_class_char(text)?;
        let high = match text.strip_prefix(b"-") {
            Some(rest) => {
                *text = rest;
                parse_class_char(text)?
            }
            None => low,
        };
        ranges.push((low, high));
    }
}

fn parse_class_char(text: &mut &[u8]) -> Option<u32> {
    if matches!(text.first()?, b'-' | b']') {
        return None;
    }
    if let Some(escaped) = text.strip_prefix(b"\\") {
        *text = escaped;
    }
    let (character, length) = first_char(text)?;
    *text = text.get(length..)?;
    // A byte that is no UTF-8 is a syntax error here, though a name may contain it.
    (character != REPLACEMENT || length > 1).then_some(character)
}

const REPLACEMENT: u32 = char::REPLACEMENT_CHARACTER as u32;

/// The first character and its length; a byte that is no UTF-8 counts as one replacement character.
fn first_char(text: &[u8]) -> Option<(u32, usize)> {
    let first = *text.first()?;
    if first.is_ascii() {
        return Some((u32::from(first), 1));
    }
    let head = text.get(..4).unwrap_or(text);
    let valid = head.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next());
    Some(valid.map_or((REPLACEMENT, 1), |character| (u32::from(character), character.len_utf8())))
}

impl Token {
    /// How many bytes at the head of `name` this token takes.
    fn takes(&self, name: &[u8]) -> Option<usize> {
        match self {
            Self::Star => Some(0),
            Self::Byte(byte) => (name.first() == Some(byte)).then_some(1),
            Self::AnyChar => first_char(name).map(|(_, length)| length),
            Self::Class { negated, ranges } => {
                let (character, length) = first_char(name)?;
                let within = ranges.iter().any(|(low, high)| (low..=high).contains(&&character));
                (within != *negated).then_some(length)
            }
        }
    }
}

/// Only the last star is ever widened: what comes before it already matched at the earliest place, and a later
/// place cannot leave more choice.
fn matches_tokens(tokens: &[Token], name: &[u8]) -> bool {
    let (mut token, mut at) = (0, 0);
    let mut star = None;
    loop {
        let rest = name.get(at..).unwrap_or_default();
        match tokens.get(token) {
            None if rest.is_empty() => return true,
            Some(Token::Star) => {
                star = Some((token + 1, at));
                token += 1;
                continue;
            }
            Some(other) => {
                if let Some(length) = other.takes(rest) {
                    at += length;
                    token += 1;
                    continue;
                }
            }
            None => {}
        }
        match star {
            Some((after, from)) if from < name.len() => {
                star = Some((after, from + 1));
                token = after;
                at = from + 1;
            }
            _ => return false,
        }
    }
}
