//! Addresses of schemas, pointers into documents, and how both are written.

/// A token of a pointer.
pub(crate) fn escape(token: &str) -> String {
    token.replace('~', "~0").replace('/', "~1")
}

/// What an escaped token stands for.
pub(crate) fn unescape(token: &str) -> Option<String> {
    let mut out = String::with_capacity(token.len());
    let mut parts = token.split('~');
    out.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (c, rest) = match part.strip_prefix('0') {
            Some(rest) => ('~', rest),
            None => ('/', part.strip_prefix('1')?),
        };
        out.push(c);
        out.push_str(rest);
    }
    Some(out)
}

pub(crate) fn join(pointer: &str, tokens: &[&str]) -> String {
    let mut joined = pointer.to_owned();
    for token in tokens {
        joined.push('/');
        joined.push_str(&escape(token));
    }
    joined
}

/// A pointer as it is written in an address (`url.PathEscape` of each token).
pub(crate) fn encode(pointer: &str) -> String {
    let mut out = String::with_capacity(pointer.len());
    for byte in pointer.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => out.push(char::from(byte)),
            b'-' | b'_' | b'.' | b'~' | b'$' | b'&' | b'+' | b'=' | b':' | b'@' | b'/' => {
                out.push(char::from(byte))
            }
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// The address and what follows `#`.
pub(crate) fn split(text: &str) -> (&str, &str) {
    text.split_once('#').unwrap_or((text, ""))
}

/// The address, and what follows `#` without escapes.
pub(crate) fn split_fragment(text: &str) -> Result<(&str, String), String> {
    let (url, fragment) = split(text);
    let fragment = gourl::unescape(fragment, gourl::Part::Fragment)
        .map_err(|error| format!("error in parsing {}: {error}", quoted(text)))?;
    Ok((url, String::from_utf8_lossy(&fragment).into_owned()))
}

/// A place in a document, as messages show it.
pub(crate) fn address(url: &str, pointer: &str) -> String {
    format!("{url}#{}", encode(pointer))
}

/// What a reference means at a base: an address, and what follows `#`.
pub(crate) fn resolve(base: &str, reference: &str) -> Result<(String, String), String> {
    let parse = |text: &str| {
        gourl::parse(text).map_err(|error| {
            let shown = quoted(text);
            format!("error in parsing {shown}: parse {shown}: {error}")
        })
    };
    let (url, fragment) = split_fragment(reference)?;
    if url.is_empty() {
        return Ok((base.to_owned(), fragment));
    }
    Ok((parse(base)?.resolve(&parse(url)?), fragment))
}

pub(crate) fn quoted(text: &str) -> String {
    strconv::quote(text.as_bytes())
}
