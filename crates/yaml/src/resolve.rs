//! Which type a scalar has.

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use crate::{Error, Style, number, timestamp};

/// Whose rules decide a scalar's type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resolver {
    /// sigs.k8s.io/yaml over go-yaml v2, before the API server: `yes`, `on`, `y` are booleans, dates are strings.
    KubernetesV2,
    /// go-yaml v3 inside kustomize: `yes` is a string, `2020-01-01` a timestamp.
    KustomizeV3,
}

/// A scalar's type and value.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub enum Resolved<'a> {
    Null,
    Bool(bool),
    Int(i64),
    /// Above `i64::MAX`.
    Uint(u64),
    Float(f64),
    /// RFC 3339 text as Go's `time.Time` marshals it.
    Timestamp(String),
    String(Cow<'a, str>),
}

impl Resolved<'_> {
    fn tag(&self) -> &'static str {
        match self {
            Resolved::Null => "!!null",
            Resolved::Bool(_) => "!!bool",
            Resolved::Int(_) | Resolved::Uint(_) => "!!int",
            Resolved::Float(_) => "!!float",
            Resolved::Timestamp(_) => "!!timestamp",
            Resolved::String(_) => "!!str",
        }
    }
}

impl Resolver {
    /// The type of a scalar by tag, style and text, in this order.
    pub(crate) fn resolve<'a>(self, text: &'a str, style: Style, tag: &str) -> Result<Resolved<'a>, Error> {
        match tag {
            // The bare `!` made a string before go-yaml v3 began to ignore it.
            "!" if self == Self::KubernetesV2 => Ok(Resolved::String(text.into())),
            "" | "!" if style != Style::Plain => Ok(Resolved::String(text.into())),
            "" | "!" => Ok(match self.resolve_plain(text) {
                Resolved::Timestamp(_) if self == Self::KubernetesV2 => Resolved::String(text.into()),
                resolved => resolved,
            }),
            "!!bool" | "!!int" | "!!float" | "!!null" | "!!timestamp" => self.resolve_tagged(text, tag),
            "!!binary" => decode_base64(text).map(|decoded| Resolved::String(decoded.into())),
            _ => Ok(Resolved::String(text.into())),
        }
    }

    /// True when the plain text would not read back as a string.
    pub(crate) fn needs_quotes(self, text: &str) -> bool {
        !matches!(self.resolve_plain(text), Resolved::String(_))
    }

    /// The tag of a plain text.
    pub(crate) fn tag_of(self, text: &str) -> &'static str {
        self.resolve_plain(text).tag()
    }

    fn resolve_tagged<'a>(self, text: &'a str, tag: &str) -> Result<Resolved<'a>, Error> {
        let resolved = match self.resolve_plain(text) {
            // Only an explicit timestamp tag lets digits be tried as a date.
            Resolved::Timestamp(_) if tag != "!!timestamp" => Resolved::String(text.into()),
            Resolved::Int(value) if tag == "!!float" => Resolved::Float(value as f64),
            resolved => resolved,
        };
        if resolved.tag() == tag {
            return Ok(match resolved {
                Resolved::Timestamp(_) if self == Self::KubernetesV2 => Resolved::String(text.into()),
                resolved => resolved,
            });
        }
        let message = format!("cannot decode {} `{text}` as a {tag}", resolved.tag());
        Err(Error::Convert { line: 0, message })
    }

    fn resolve_plain(self, text: &str) -> Resolved<'_> {
        let string = || Resolved::String(text.into());
        match text.as_bytes().first() {
            None => Resolved::Null,
            Some(b'~' | b'n' | b'N' | b't' | b'T' | b'f' | b'F' | b'y' | b'Y' | b'o' | b'O') => {
                self.resolve_word(text).unwrap_or_else(string)
            }
            Some(b'.') => match text {
                ".nan" | ".NaN" | ".NAN" => Resolved::Float(f64::NAN),
                ".inf" | ".Inf" | ".INF" => Resolved::Float(f64::INFINITY),
                _ => number::parse_float(text).map_or_else(string, Resolved::Float),
            },
            Some(b'+' | b'-' | b'0'..=b'9') => match text {
                "+.inf" | "+.Inf" | "+.INF" => Resolved::Float(f64::INFINITY),
                "-.inf" | "-.Inf" | "-.INF" => Resolved::Float(f64::NEG_INFINITY),
                _ => self.resolve_number(text).unwrap_or_else(string),
            },
            Some(_) => string(),
        }
    }

    fn resolve_word(self, text: &str) -> Option<Resolved<'static>> {
        match text {
            "~" | "null" | "Null" | "NULL" => Some(Resolved::Null),
            "true" | "True" | "TRUE" => Some(Resolved::Bool(true)),
            "false" | "False" | "FALSE" => Some(Resolved::Bool(false)),
            _ if self == Self::KubernetesV2 => old_bool(text).map(Resolved::Bool),
            _ => None,
        }
    }

    fn resolve_number(self, text: &str) -> Option<Resolved<'static>> {
        if let Some(timestamp) = timestamp::parse(text) {
            return Some(Resolved::Timestamp(timestamp));
        }
        let digits: Cow<'_, str> =
            if text.contains('_') { text.replace('_', "").into() } else { text.into() };
        if let Some(value) = strconv::parse_int(&digits) {
            return Some(Resolved::Int(value));
        }
        if let Some(value) = strconv::parse_uint(&digits) {
            return Some(Resolved::Uint(value));
        }
        if let Some(value) = number::parse_yaml_float(&digits) {
            return Some(Resolved::Float(value));
        }
        number::parse_odd_int(&digits, self == Self::KustomizeV3).map(Resolved::Int)
    }
}

/// The booleans of YAML 1.1 that 1.2 dropped.
fn old_bool(text: &str) -> Option<bool> {
    match text {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

/// True for text that a YAML 1.1 reader could take for a boolean or a base 60 number; go-yaml quotes both.
pub(crate) fn is_old_notation(text: &str) -> bool {
    old_bool(text).is_some() || is_base60(text)
}

/// `[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?`
pub(crate) fn is_base60(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let Some((first, rest)) = unsigned.split_once(':') else { return false };
    let (parts, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    first.starts_with(|c: char| c.is_ascii_digit())
        && digits(first)
        && digits(fraction)
        && parts.split(':').all(|part| match part.as_bytes() {
            [unit] => unit.is_ascii_digit(),
            [b'0'..=b'5', unit] => unit.is_ascii_digit(),
            _ => false,
        })
}

fn decode_base64(text: &str) -> Result<String, Error> {
    let engine = GeneralPurpose::new(
        &base64::alphabet::STANDARD,
        GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
    );
    let compact: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
    let bytes = engine.decode(compact).map_err(|_| Error::Convert {
        line: 0,
        message: "!!binary value contains invalid base64 data".into(),
    })?;
    // As Go writes JSON: one replacement character for each byte that is no text.
    let mut decoded = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        decoded.push_str(chunk.valid());
        chunk.invalid().iter().for_each(|_| decoded.push(char::REPLACEMENT_CHARACTER));
    }
    Ok(decoded)
}
