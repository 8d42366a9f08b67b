//! Upper and lower case: Go's packages `strings` and `unicode`, `goutils`, and `xstrings`.

use crate::strings::characters;

/// `unicode.ToUpper`: one character for one.
fn to_upper(c: char) -> char {
    only(c.to_uppercase()).unwrap_or(c)
}

/// `unicode.ToLower`: one character for one.
fn to_lower(c: char) -> char {
    match c {
        'İ' => 'i',
        _ => only(c.to_lowercase()).unwrap_or(c),
    }
}

/// `unicode.ToTitle`: as upper case but for letters that are two.
fn to_title(c: char) -> char {
    match c {
        'Ǆ' | 'ǅ' | 'ǆ' => 'ǅ',
        'Ǉ' | 'ǈ' | 'ǉ' => 'ǈ',
        'Ǌ' | 'ǋ' | 'ǌ' => 'ǋ',
        'Ǳ' | 'ǲ' | 'ǳ' => 'ǲ',
        _ => to_upper(c),
    }
}

fn is_title(c: char) -> bool {
    matches!(c, 'ǅ' | 'ǈ' | 'ǋ' | 'ǲ')
}

fn only(mut characters: impl Iterator<Item = char>) -> Option<char> {
    let c = characters.next();
    c.filter(|_| characters.next().is_none())
}

fn map(text: &[u8], mut to: impl FnMut(char) -> char) -> String {
    characters(text).map(|(c, _)| to(c)).collect()
}

/// `strings.ToUpper`
pub(crate) fn upper(text: &[u8]) -> String {
    map(text, to_upper)
}

/// `strings.ToLower`
pub(crate) fn lower(text: &[u8]) -> String {
    map(text, to_lower)
}

/// `strings.Title`: the first letter of each word. Marks of ASCII but `_` end words, others do not.
pub(crate) fn title(text: &[u8]) -> String {
    let mut before = ' ';
    map(text, |c| {
        let ends_word = if before.is_ascii() {
            !before.is_ascii_alphanumeric() && before != '_'
        } else {
            before.is_whitespace()
        };
        before = c;
        if ends_word { to_title(c) } else { c }
    })
}

/// The first letter of each word in lower case.
pub(crate) fn untitle(text: &[u8]) -> String {
    let mut after_gap = true;
    map(text, |c| {
        let is_first = after_gap && !c.is_whitespace();
        after_gap = c.is_whitespace();
        if is_first { to_lower(c) } else { c }
    })
}

/// Upper for lower case and lower for upper; the first letter of a word becomes title case.
pub(crate) fn swap(text: &[u8]) -> String {
    let mut after_gap = true;
    map(text, |c| {
        if c.is_uppercase() || is_title(c) {
            after_gap = false;
            to_lower(c)
        } else if c.is_lowercase() {
            if std::mem::take(&mut after_gap) { to_title(c) } else { to_upper(c) }
        } else {
            after_gap = c.is_whitespace();
            c
        }
    })
}

fn is_connector(c: char) -> bool {
    c == '-' || c == '_' || c.is_whitespace()
}

/// `xstrings.ToPascalCase`: `some_words` becomes `SomeWords`. Connectors at the beginning stay, and all but one of several.
pub(crate) fn pascal(text: &[u8]) -> String {
    let mut rest = characters(text).map(|(c, _)| c);
    let mut out = String::new();
    let mut current = loop {
        match rest.next() {
            // Nothing but connectors: the last comes twice.
            None => {
                out.extend(out.chars().last());
                return out;
            }
            Some(c) if is_connector(c) => out.push(c),
            Some(c) => break c,
        }
    };
    // A word in capitals keeps its first only.
    let mut in_capitals = current.is_uppercase();
    current = to_upper(current);
    for mut c in rest {
        let before = current;
        if is_connector(c) && is_connector(before) {
            out.push(before);
        } else if is_connector(before) {
            in_capitals = c.is_uppercase();
            c = to_upper(c);
        } else {
            if in_capitals && c.is_uppercase() {
                c = to_lower(c);
            } else {
                in_capitals = false;
            }
            out.push(before);
        }
        current = c;
    }
    out.push(current);
    out
}

/// What a run of characters is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Number,
    Capitals,
    Letters,
    Connector,
    Punctuation,
    Other,
}

/// `xstrings.ToSnakeCase` and `ToKebabCase`: words in lower case with a connector between them.
pub(crate) fn joined(text: &[u8], connector: char) -> String {
    let text: Vec<char> = characters(text).map(|(c, _)| c).collect();
    let mut words = Words { rest: &text };
    let mut out = String::new();
    let Some(mut current) = words.next() else { return out };
    while !words.rest.is_empty() {
        let (kind, word) = current;
        if kind != Word::Connector {
            put(&mut out, current, connector);
        }
        let mut next = words.next();
        match kind {
            Word::Number => next = put_letters(&mut out, &mut words, next, connector),
            Word::Connector => put(&mut out, (kind, word), connector),
            Word::Punctuation => {}
            _ => match next {
                Some((Word::Number, number)) if !words.rest.is_empty() => {
                    let after = words.next();
                    if matches!(after, Some((Word::Letters, _))) {
                        // Lower case behind a number belongs to it: `http_2xx`.
                        out.push(connector);
                        put(&mut out, (Word::Number, number), connector);
                        next = put_letters(&mut out, &mut words, after, connector);
                    } else {
                        // Otherwise it belongs to what is before: `bld4_floor`.
                        put(&mut out, (Word::Number, number), connector);
                        if starts_word(after) {
                            out.push(connector);
                        }
                        next = after;
                    }
                }
                Some((Word::Number, _)) => {}
                next if starts_word(next) => out.push(connector),
                _ => {}
            },
        }
        match next {
            Some(next) => current = next,
            None => return out,
        }
    }
    put(&mut out, current, connector);
    out
}

/// Letters and numbers behind a number, which belong to it, and a connector if a word follows; what follows.
fn put_letters<'t>(
    out: &mut String,
    words: &mut Words<'t>,
    mut next: Option<(Word, &'t [char])>,
    connector: char,
) -> Option<(Word, &'t [char])> {
    while let Some(word @ (Word::Letters | Word::Number, _)) = next {
        put(out, word, connector);
        next = words.next();
    }
    if next.is_some() && starts_word(next) {
        out.push(connector);
    }
    next
}

fn starts_word(next: Option<(Word, &[char])>) -> bool {
    !matches!(next, Some((Word::Connector | Word::Punctuation, _)))
}

fn put(out: &mut String, (kind, word): (Word, &[char]), connector: char) {
    match kind {
        Word::Capitals | Word::Connector => out.extend(word.iter().map(|c| match c {
            c if is_connector(*c) => connector,
            c => to_lower(*c),
        })),
        _ => out.extend(word),
    }
}

struct Words<'t> {
    rest: &'t [char],
}

impl<'t> Words<'t> {
    fn next(&mut self) -> Option<(Word, &'t [char])> {
        let first = *self.rest.first()?;
        let run = |belongs: &dyn Fn(char) -> bool| self.rest.iter().take_while(|c| belongs(**c)).count();
        let is_small = |c: char| is_letter(c) && !c.is_uppercase();
        let (kind, length) = if is_connector(first) {
            (Word::Connector, run(&is_connector))
        } else if is_punctuation(first) {
            (Word::Punctuation, run(&is_punctuation))
        } else if first.is_uppercase() {
            let capitals = run(&char::is_uppercase);
            let small = self.rest.iter().skip(capitals).take_while(|c| is_small(**c)).count();
            match (capitals, small) {
                // The last capital begins the next word: `HTTPStatus`.
                (2.., 1..) => (Word::Capitals, capitals - 1),
                (1, small) => (Word::Capitals, 1 + small),
                _ => (Word::Capitals, capitals),
            }
        } else if is_letter(first) {
            (Word::Letters, run(&is_small))
        } else if first.is_numeric() {
            (Word::Number, run(&char::is_numeric))
        } else {
            let is_known = |c| is_connector(c) || is_letter(c) || c.is_numeric() || is_punctuation(c);
            (Word::Other, run(&|c| !is_known(c)))
        };
        let (word, rest) = self.rest.split_at(length.max(1));
        self.rest = rest;
        Some((kind, word))
    }
}

/// A letter, but none of Chinese, Japanese or Korean.
fn is_letter(c: char) -> bool {
    let is_ideograph =
        matches!(c, '\u{4e00}'..='\u{9fcc}' | '\u{3400}'..='\u{4d85}' | '\u{20000}'..='\u{2b81d}');
    c.is_alphabetic() && !is_ideograph
}

/// `unicode.IsPunct`, for ASCII and the usual marks.
fn is_punctuation(c: char) -> bool {
    match c {
        '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~' => false,
        c if c.is_ascii() => c.is_ascii_punctuation(),
        c => matches!(c, '¡' | '§' | '«' | '¶' | '·' | '»' | '¿' | '‐'..='‧' | '‰'..='⁃' | '、'..='〃'),
    }
}
