//! Distinguished names of certificates and of trusted identities, as texts (RFC 4514, as go-ldap reads them).

use std::collections::BTreeMap;
use std::fmt::{self, Display};

use crate::quote;

/// What a name must say at least: who is in which country.
const MANDATORY: [&str; 3] = ["C", "ST", "O"];
/// What go-ldap unescapes after a backslash, beside two hexadecimal digits.
const SPECIAL: &str = " \"#+,;<=>\\";

/// Why a text is no name that notation knows. The texts are notation-go's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// A value in hexadecimal digits.
    #[error(
        "unsupported distinguished name (DN) {}: notation does not support x509.subject identities containing \"=#\"",
        quote(.0)
    )]
    Encoded(String),
    /// The syntax is wrong.
    #[error(
        "parsing distinguished name (DN) {} failed with err: {syntax}. A valid DN must contain 'C', 'ST' or 'S', and 'O' RDN \
         attributes at a minimum, and follow RFC 4514 standard",
        quote(.name)
    )]
    Syntax {
        /// The name.
        name: String,
        /// What is wrong with it.
        syntax: SyntaxError,
    },
    /// Two attributes that are one part of the name.
    #[error(
        "distinguished name (DN) {} has multi-valued RDN attributes, remove multi-valued RDN attributes as they are not supported",
        quote(.0)
    )]
    MultiValued(String),
    /// An attribute twice.
    #[error(
        "distinguished name (DN) {} has duplicate RDN attribute for {}, DN can only have unique RDN attributes",
        quote(.name),
        quote(.attribute)
    )]
    Duplicate {
        /// The name.
        name: String,
        /// The attribute.
        attribute: String,
    },
    /// One of the attributes is missing that must be there.
    #[error(
        "distinguished name (DN) {} has no mandatory RDN attribute for \"{attribute}\", it must contain 'C', 'ST' or 'S', and 'O' \
         RDN attributes at a minimum",
        quote(.name)
    )]
    Mandatory {
        /// The name.
        name: String,
        /// The attribute.
        attribute: &'static str,
    },
}

/// What is wrong with the syntax of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SyntaxError {
    /// A part without `=`.
    #[error("incomplete type, value pair")]
    Incomplete,
    /// The last part has no `=`.
    #[error("DN ended with incomplete type, value pair")]
    Ended,
    /// A backslash with nothing that can be escaped.
    #[error("got corrupted escaped character")]
    Escape,
    /// Escaped bytes that are not UTF-8.
    #[error("escaped bytes are not UTF-8")]
    Encoding,
}

/// The attributes of a name: types and values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Name(BTreeMap<String, String>);

impl Name {
    /// Reads a name.
    ///
    /// # Errors
    /// When it is none, or lacks what a name must have.
    pub(crate) fn parse(text: &str) -> Result<Name, NameError> {
        let name = || text.to_owned();
        if text.contains("=#") {
            return Err(NameError::Encoded(name()));
        }
        let parts = parts(text).map_err(|syntax| NameError::Syntax { name: name(), syntax })?;
        let mut attributes = BTreeMap::<String, String>::new();
        for part in parts {
            if part.continues {
                return Err(NameError::MultiValued(name()));
            }
            let attribute = if part.attribute == "S" { "ST".to_owned() } else { part.attribute };
            let known = attributes.entry(attribute.clone()).or_default();
            if !known.is_empty() {
                return Err(NameError::Duplicate { name: name(), attribute });
            }
            *known = part.value;
        }
        let lacks = |attribute: &&str| attributes.get(*attribute).is_none_or(String::is_empty);
        match MANDATORY.into_iter().find(lacks) {
            Some(attribute) => Err(NameError::Mandatory { name: name(), attribute }),
            None => Ok(Name(attributes)),
        }
    }

    /// Whether the other name says all that this one says.
    pub(crate) fn is_subset_of(&self, other: &Name) -> bool {
        let empty = String::new();
        self.0.iter().all(|(attribute, value)| other.0.get(attribute).unwrap_or(&empty) == value)
    }
}

/// As Go's `%q` writes a map.
impl Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let attributes =
            self.0.iter().map(|(attribute, value)| format!("{}:{}", quote(attribute), quote(value)));
        write!(f, "map[{}]", attributes.collect::<Vec<_>>().join(" "))
    }
}

/// One attribute.
struct Part {
    attribute: String,
    value: String,
    /// It is one with the attribute before or behind it.
    continues: bool,
}

/// Splits a name at `,`, `;` and `+`, and its parts at `=`.
fn parts(text: &str) -> Result<Vec<Part>, SyntaxError> {
    let (mut parts, mut attribute, mut start) = (Vec::new(), String::new(), 0);
    let (mut is_escaped, mut continues) = (false, false);
    if text.trim().is_empty() {
        return Ok(parts);
    }
    let piece = |from: usize, to: usize| unescaped(text.get(from..to).unwrap_or_default());
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'=' if attribute.is_empty() => {
                attribute = piece(start, at)?;
                start = at + 1;
            }
            b',' | b'+' | b';' if attribute.is_empty() => return Err(SyntaxError::Incomplete),
            b',' | b'+' | b';' => {
                let value = piece(start, at)?;
                let joined = byte == b'+';
                parts.push(Part {
                    attribute: std::mem::take(&mut attribute),
                    value,
                    continues: continues || joined,
                });
                (start, continues) = (at + 1, joined);
            }
            _ => {}
        }
    }
    if attribute.is_empty() {
        return Err(SyntaxError::Ended);
    }
    let value = piece(start, text.len())?;
    parts.push(Part { attribute, value, continues });
    Ok(parts)
}

/// Without the blanks around it and the backslashes in it.
fn unescaped(text: &str) -> Result<String, SyntaxError> {
    let trimmed = text.trim_matches(' ');
    let ends_escaped = trimmed.ends_with('\\') && text.ends_with(' ');
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = trimmed.chars().chain(ends_escaped.then_some(' '));
    let mut buffer = [0; 4];
    while let Some(character) = rest.next() {
        let literal = match character {
            '\\' => match rest.next() {
                Some(special) if SPECIAL.contains(special) => special,
                Some(high) => {
                    bytes.push(hexadecimal(high, rest.next()).ok_or(SyntaxError::Escape)?);
                    continue;
                }
                None => return Err(SyntaxError::Escape),
            },
            character => character,
        };
        bytes.extend_from_slice(literal.encode_utf8(&mut buffer).as_bytes());
    }
    String::from_utf8(bytes).map_err(|_| SyntaxError::Encoding)
}

fn hexadecimal(high: char, low: Option<char>) -> Option<u8> {
    u8::try_from(high.to_digit(16)? * 16 + low?.to_digit(16)?).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn attributes(text: &str) -> Vec<(String, String)> {
        Name::parse(text).unwrap().0.into_iter().collect()
    }

    #[test]
    fn names_are_read_as_go_ldap_does() {
        let pair = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
        for (text, expected) in [
            ("C=US, ST=WA, O=one", [("C", "US"), ("O", "one"), ("ST", "WA")]),
            (" C = US ; S=WA;O= a\\, b ", [("C", "US"), ("O", "a, b"), ("ST", "WA")]),
            ("C=US,ST=WA,O=caf\\C3\\A9", [("C", "US"), ("O", "café"), ("ST", "WA")]),
            ("C=US,ST=WA,O=a=b\\ ", [("C", "US"), ("O", "a=b "), ("ST", "WA")]),
        ] {
            assert_eq!(attributes(text), expected.map(pair), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_of_somebody_in_a_country_is_an_error() {
        for (text, expected) in [
            ("", "has no mandatory RDN attribute for \"C\""),
            ("C=US,O=x", "has no mandatory RDN attribute for \"ST\""),
            ("C=US,ST=,O=x", "has no mandatory RDN attribute for \"ST\""),
            ("C=US,ST=WA,O=x,O=y", "has duplicate RDN attribute for \"O\""),
            ("C=US,ST=WA,S=CA,O=x", "has duplicate RDN attribute for \"ST\""),
            ("C=US,ST=WA,O=x+OU=y", "has multi-valued RDN attributes"),
            ("C=US,ST=WA,O=#616263", "notation does not support x509.subject identities containing \"=#\""),
            ("C=US,ST,O=x", "failed with err: incomplete type, value pair. A valid DN"),
            ("C=US,ST=WA,O", "failed with err: DN ended with incomplete type, value pair. A valid DN"),
            ("C=US,ST=WA,O=\\xy", "got corrupted escaped character"),
            ("C=US,ST=WA,O=\\", "got corrupted escaped character"),
            ("C=US,ST=WA,O=\\ff", "escaped bytes are not UTF-8"),
        ] {
            let error = Name::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn a_name_is_a_subset_of_one_that_says_more() {
        let name = |text| Name::parse(text).unwrap();
        let (short, long) = (name("C=US,ST=WA,O=x"), name("CN=y,O=x,ST=WA,C=US"));
        assert!(short.is_subset_of(&long) && short.is_subset_of(&short));
        assert!(!long.is_subset_of(&short));
        assert!(!name("C=US,ST=CA,O=x").is_subset_of(&long));
        assert_eq!(short.to_string(), r#"map["C":"US" "O":"x" "ST":"WA"]"#);
    }
}
