//! Formats of texts (`format`).

mod address;
mod moment;
mod version;

use crate::pointer;

/// A format that is compared.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Format {
    pub(crate) name: &'static str,
    pub(crate) check: Check,
}

/// How a format is compared.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Check {
    /// By a function: what Go's library says.
    Text(fn(&str) -> Result<(), String>),
    /// As a regular expression.
    Expression,
}

const FORMATS: [(&str, Check); 19] = [
    ("regex", Check::Expression),
    ("json-pointer", Check::Text(json_pointer)),
    ("relative-json-pointer", Check::Text(relative_json_pointer)),
    ("uuid", Check::Text(uuid)),
    ("duration", Check::Text(moment::duration)),
    ("period", Check::Text(moment::period)),
    ("ipv4", Check::Text(address::ipv4)),
    ("ipv6", Check::Text(address::ipv6)),
    ("hostname", Check::Text(address::hostname)),
    ("email", Check::Text(address::email)),
    ("date", Check::Text(moment::date)),
    ("time", Check::Text(moment::time)),
    ("date-time", Check::Text(moment::date_time)),
    ("uri", Check::Text(uri)),
    ("iri", Check::Text(uri)),
    ("uri-reference", Check::Text(uri_reference)),
    ("iri-reference", Check::Text(uri_reference)),
    ("uri-template", Check::Text(uri_template)),
    ("semver", Check::Text(version::semver)),
];

/// A format by its name; those that are not known are not compared.
pub(crate) fn named(name: &str) -> Option<Format> {
    let (name, check) = FORMATS.iter().find(|(known, _)| *known == name)?;
    Some(Format { name, check: *check })
}

fn json_pointer(text: &str) -> Result<(), String> {
    if text.is_empty() {
        return Ok(());
    }
    let Some(tokens) = text.strip_prefix('/') else { return Err("not starting with /".to_owned()) };
    match tokens.split('/').all(|token| pointer::unescape(token).is_some()) {
        true => Ok(()),
        false => Err("~ must be followed by 0 or 1".to_owned()),
    }
}

fn relative_json_pointer(text: &str) -> Result<(), String> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    if digits == 0 {
        return Err("must start with non-negative integer".to_owned());
    }
    if digits > 1 && text.starts_with('0') {
        return Err("starts with zero".to_owned());
    }
    match text.get(digits..) {
        Some("#") | None => Ok(()),
        Some(rest) => json_pointer(rest),
    }
}

fn uuid(text: &str) -> Result<(), String> {
    const LENGTHS: [usize; 5] = [8, 4, 4, 4, 12];
    let groups: Vec<_> = text.split('-').collect();
    if groups.len() != LENGTHS.len() {
        return Err("must have 5 elements".to_owned());
    }
    for (index, (group, length)) in groups.iter().zip(LENGTHS).enumerate() {
        if group.len() != length {
            return Err(format!("element {} must be {length} characters long", index + 1));
        }
        if let Some(c) = group.chars().find(|c| !c.is_ascii_hexdigit()) {
            return Err(format!("non-hex character {}", strconv::quote_rune(c)));
        }
    }
    Ok(())
}

fn url(text: &str) -> Result<gourl::Url, String> {
    let url = gourl::parse(text).map_err(|error| {
        // Go shows what it was about to read: without the fragment, unless the fault is there.
        let shown = pointer::split(text).0;
        let shown = if gourl::parse(shown).is_ok() { text } else { shown };
        format!("parse {}: {error}", pointer::quoted(shown))
    })?;
    let hostname = url.hostname();
    if hostname.contains(':') {
        if !(url.host.contains(&b'[') && url.host.contains(&b']')) {
            return Err("ipv6 address not enclosed in brackets".to_owned());
        }
        address::ipv6(&hostname).map_err(|why| format!("invalid ipv6 address: {why}"))?;
    }
    Ok(url)
}

fn uri(text: &str) -> Result<(), String> {
    if url(text)?.is_absolute() { Ok(()) } else { Err("relative url".to_owned()) }
}

fn uri_reference(text: &str) -> Result<(), String> {
    if text.contains('\\') {
        return Err(r"contains \".to_owned());
    }
    url(text).map(|_| ())
}

fn uri_template(text: &str) -> Result<(), String> {
    let url = url(text)?;
    // Go keeps the text of a path only where it would escape it otherwise.
    let raw = &url.raw_path;
    let raw = if gourl::escape(&url.path, gourl::Part::Path) == *raw { "" } else { raw };
    for segment in raw.split('/') {
        let bytes = gourl::unescape(segment, gourl::Part::Path)
            .map_err(|error| format!("percent decode failed: {error}"))?;
        let mut is_open = false;
        for byte in bytes.into_iter().filter(|byte| matches!(byte, b'{' | b'}')) {
            if (byte == b'{') == is_open {
                return Err("nested curly braces".to_owned());
            }
            is_open = !is_open;
        }
        if is_open {
            return Err("no matching closing brace".to_owned());
        }
    }
    Ok(())
}
