//! INI files, as the Go library `gopkg.in/ini.v1` reads and writes them.
//!
//! A section is a mapping. The comment above it is its first item, that above a key is the item behind it.

mod reader;

use std::collections::HashMap;

use zeroize::Zeroizing;

use super::{EmitError, ParseError, plain};
use crate::limits::{Budget, Limits};
use crate::tree::{Branch, Comment, Item, Text, Value};

/// The section of what stands before the first one. It has no header.
const DEFAULT_SECTION: &str = "DEFAULT";

/// A section; of equal keys the last value counts, in the place of the first.
struct Section<V> {
    name: String,
    comment: V,
    keys: Vec<Key<V>>,
    positions: HashMap<String, usize>,
}

struct Key<V> {
    name: String,
    value: V,
    comment: V,
}

impl<V> Section<V> {
    fn new(name: String, comment: V) -> Self {
        Section { name, comment, keys: Vec::new(), positions: HashMap::new() }
    }

    /// Sets a key's value, and answers where it is. `comment` is that of a key that was not there.
    fn set(&mut self, name: &str, value: V, comment: V) -> usize {
        if let Some(position) = self.positions.get(name).copied()
            && let Some(key) = self.keys.get_mut(position)
        {
            key.value = value;
            return position;
        }
        self.positions.insert(name.to_owned(), self.keys.len());
        self.keys.push(Key { name: name.to_owned(), value, comment });
        self.keys.len() - 1
    }
}

pub(super) fn load(text: &str, limits: &Limits) -> Result<Branch, ParseError> {
    let mut budget = Budget::new(limits);
    let mut branch = Branch::new();
    for section in reader::read(text)? {
        budget.node(1)?;
        let mut items = Branch::new();
        push_comment(&mut items, &section.comment);
        for key in section.keys {
            budget.node(2)?;
            items.push(Item::Entry(key.name, Value::Text(key.value.into())));
            push_comment(&mut items, &key.comment);
        }
        branch.push(Item::Entry(section.name, Value::Map(items)));
    }
    Ok(branch)
}

fn push_comment(items: &mut Branch, comment: &str) {
    if comment.is_empty() {
        return;
    }
    let text = match comment.as_bytes().first() {
        Some(b';') => comment.trim_start_matches([';', ' ']),
        Some(b'#') => comment.trim_start_matches(['#', ' ']),
        _ => comment,
    };
    items.push(Item::Comment(Comment { text: text.into(), inline: false }));
}

/// Line breaks of metadata are written `\n`.
pub(super) fn unescape(metadata: Branch) -> Branch {
    let unescape = |item| match item {
        Item::Entry(name, Value::Text(text)) => {
            Item::Entry(name, Value::Text(text.to_utf8().replace("\\n", "\n").into()))
        }
        other => other,
    };
    metadata.into_iter().map(unescape).collect()
}

pub(super) fn emit(branch: &Branch) -> Result<Zeroizing<Vec<u8>>, EmitError> {
    let mut sections = Vec::new();
    for item in branch {
        let Item::Entry(name, value) = item else { continue };
        let Value::Map(items) = value else { return Err(EmitError::Section) };
        sections.push(section(name, items)?);
    }
    let mut out = Zeroizing::new(Vec::new());
    let last = sections.len().saturating_sub(1);
    for (index, section) in sections.iter().enumerate() {
        put_comment(&mut out, section.comment.bytes(), false);
        if index > 0 || section.name.to_uppercase() != DEFAULT_SECTION {
            out.extend_from_slice(format!("[{}]\n", section.name).as_bytes());
        } else if section.keys.is_empty() {
            continue;
        }
        put_keys(&mut out, section);
        if index != last {
            out.push(b'\n');
        }
    }
    Ok(out)
}

fn section(name: &str, items: &Branch) -> Result<Section<Text>, EmitError> {
    let mut items = items.iter().peekable();
    let comment = match items.peek() {
        Some(Item::Comment(comment)) => comment.text.clone(),
        _ => "".into(),
    };
    if name.is_empty() {
        return Err(EmitError::Name);
    }
    let mut section = Section::new(name.to_owned(), comment);
    let mut last = None;
    for item in items {
        match item {
            Item::Comment(comment) => {
                if let Some(key) = last.and_then(|last: usize| section.keys.get_mut(last)) {
                    key.comment = comment.text.clone();
                }
            }
            Item::Entry(name, _) if name.is_empty() => return Err(EmitError::Name),
            Item::Entry(name, value) => {
                let text = plain(value).ok_or(EmitError::Section)?;
                last = Some(section.set(name, text, "".into()));
            }
        }
    }
    Ok(section)
}

fn put_keys(out: &mut Vec<u8>, section: &Section<Text>) {
    let width = section.keys.iter().map(|key| aligned_width(&key.name)).max().unwrap_or(0);
    for key in &section.keys {
        put_comment(out, key.comment.bytes(), true);
        let name = quoted_name(&key.name);
        out.extend_from_slice(name.as_bytes());
        out.resize(out.len() + width.saturating_sub(name.len()), b' ');
        out.extend_from_slice(b" = ");
        let value = key.value.bytes();
        let quote: &[u8] = if value.iter().any(|byte| matches!(byte, b'\n' | b'`')) {
            b"\"\"\""
        } else if value.iter().any(|byte| matches!(byte, b'#' | b';')) {
            b"`"
        } else if !is_trimmed(value) {
            b"\""
        } else {
            b""
        };
        for part in [quote, value, quote, b"\n"] {
            out.extend_from_slice(part);
        }
    }
}

fn has_delimiter(name: &str) -> bool {
    name.contains(['"', '=', ':'])
}

fn quoted_name(name: &str) -> String {
    if has_delimiter(name) {
        format!("`{name}`")
    } else if name.contains('`') {
        format!("\"\"\"{name}\"\"\"")
    } else {
        name.to_owned()
    }
}

fn aligned_width(name: &str) -> usize {
    quoted_name(name).len()
}

fn is_trimmed(value: &[u8]) -> bool {
    match str::from_utf8(value) {
        Ok(text) => text.trim().len() == text.len(),
        Err(_) => value.trim_ascii().len() == value.len(),
    }
}

/// The lines of a comment, each with its mark.
fn put_comment(out: &mut Vec<u8>, comment: &[u8], trim: bool) {
    if comment.is_empty() {
        return;
    }
    for line in comment.split(|byte| *byte == b'\n') {
        match line.split_first() {
            Some((mark @ (b'#' | b';'), rest)) => {
                out.extend_from_slice(&[*mark, b' ']);
                out.extend_from_slice(rest.trim_ascii());
            }
            _ => {
                out.extend_from_slice(b"; ");
                out.extend_from_slice(if trim { line.trim_ascii() } else { line });
            }
        }
        out.push(b'\n');
    }
}
