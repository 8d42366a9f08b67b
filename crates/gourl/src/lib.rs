//! URLs as Go's package `net/url` reads them, with its words for what is wrong, and resolves them.

#![forbid(unsafe_code)]

use std::net::IpAddr;

/// A part of the URL, with what may stand in it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The path.
    Path,
    /// The host, with its port.
    Host,
    /// The name or the password of a user.
    User,
    /// What follows `#`.
    Fragment,
}

/// A URL in its parts. What is escaped in the text is not here, but for `opaque`, `raw_path` and `query`.
#[derive(Debug, Clone, Default)]
pub struct Url {
    /// In small letters.
    pub scheme: String,
    /// What follows a scheme, if that is no `/`.
    pub opaque: String,
    /// Before an `@`.
    pub user: Option<User>,
    /// With the port.
    pub host: Vec<u8>,
    /// The path.
    pub path: Vec<u8>,
    /// The path as it is in the text.
    pub raw_path: String,
    /// What follows `?`.
    pub query: String,
    /// What follows `#`.
    pub fragment: Vec<u8>,
}

/// Who asks.
#[derive(Clone)]
pub struct User {
    name: Vec<u8>,
    password: Option<Vec<u8>>,
}

/// Shows no password.
impl std::fmt::Debug for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("User").finish_non_exhaustive()
    }
}

impl std::fmt::Display for User {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&escape(&self.name, Part::User))?;
        match &self.password {
            Some(password) => write!(f, ":{}", escape(password, Part::User)),
            None => Ok(()),
        }
    }
}

fn stays(byte: u8, part: Part) -> bool {
    match byte {
        b'-' | b'_' | b'.' | b'~' => true,
        byte if byte.is_ascii_alphanumeric() => true,
        b'$' | b'&' | b'+' | b',' | b';' | b'=' => true,
        b'!' | b'(' | b')' | b'*' => matches!(part, Part::Host | Part::Fragment),
        b'\'' | b'[' | b']' | b'<' | b'>' | b'"' => part == Part::Host,
        b':' => part != Part::User,
        b'/' | b'@' => matches!(part, Part::Path | Part::Fragment),
        b'?' => part == Part::Fragment,
        _ => false,
    }
}

/// Escapes what may not stand in a part as it is.
pub fn escape(text: &[u8], part: Part) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text {
        match stays(*byte, part) {
            true => escaped.push(char::from(*byte)),
            false => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// The bytes that a part stands for.
///
/// # Errors
/// What Go says is wrong with it.
pub fn unescape(text: &str, part: Part) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'%' {
            if part == Part::Host && byte.is_ascii() && !stays(*byte, part) {
                let shown = strconv::quote(&[*byte]);
                return Err(format!("invalid character {shown} in host name"));
            }
            bytes.push(*byte);
            continue;
        }
        let invalid =
            |escape: &[u8]| format!("invalid URL escape {}", strconv::quote(&[b"%", escape].concat()));
        let digit = |byte: u8| char::from(byte).to_digit(16);
        let [high, low, after @ ..] = rest else { return Err(invalid(rest)) };
        let Some((first, second)) = digit(*high).zip(digit(*low)) else {
            return Err(invalid(&[*high, *low]));
        };
        // In a host only what is not ASCII is escaped.
        if part == Part::Host && first < 8 && [*high, *low] != *b"25" {
            return Err(invalid(&[*high, *low]));
        }
        bytes.push(u8::try_from(first * 16 + second).unwrap_or_default());
        rest = after;
    }
    Ok(bytes)
}

/// Reads a URL (`url.Parse`).
///
/// # Errors
/// What Go says is wrong with it, without the words `parse "URL": ` that it puts before.
pub fn parse(text: &str) -> Result<Url, String> {
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    let fragment = unescape(fragment, Part::Fragment)?;
    if text == "*" {
        let raw_path = "*".to_owned();
        return Ok(Url { path: b"*".to_vec(), raw_path, fragment, ..Url::default() });
    }
    let (scheme, rest) = split_scheme(text)?;
    let scheme = scheme.to_ascii_lowercase();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut url = Url { scheme, query: query.to_owned(), fragment, ..Url::default() };
    if !rest.starts_with('/') {
        if !url.scheme.is_empty() {
            url.opaque = rest.to_owned();
            return Ok(url);
        }
        if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
            return Err("first path segment in URL cannot contain colon".to_owned());
        }
    }
    let mut path = rest;
    let has_authority = !url.scheme.is_empty() || !rest.starts_with("///");
    if let Some(authority) = rest.strip_prefix("//").filter(|_| has_authority) {
        let end = authority.find('/').unwrap_or(authority.len());
        let (authority, after) = authority.split_at(end);
        path = after;
        let (user, host) = match authority.rsplit_once('@') {
            Some((user, host)) => (Some(user), host),
            None => (None, authority),
        };
        url.host = parse_host(&url.scheme, host)?;
        url.user = user.map(parse_user).transpose()?;
    }
    url.path = unescape(path, Part::Path)?;
    url.raw_path = path.to_owned();
    Ok(url)
}

/// The scheme, if there is one, and what follows.
fn split_scheme(text: &str) -> Result<(&str, &str), String> {
    for (index, byte) in text.bytes().enumerate() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' => {}
            b'0'..=b'9' | b'+' | b'-' | b'.' if index > 0 => {}
            b':' if index == 0 => return Err("missing protocol scheme".to_owned()),
            b':' => return Ok(text.split_once(':').unwrap_or(("", text))),
            _ => break,
        }
    }
    Ok(("", text))
}

fn parse_user(text: &str) -> Result<User, String> {
    let is_valid = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    if !text.chars().all(is_valid) {
        return Err("net/url: invalid userinfo".to_owned());
    }
    let (name, password) = match text.split_once(':') {
        Some((name, password)) => (name, Some(password)),
        None => (text, None),
    };
    let password = password.map(|password| unescape(password, Part::User)).transpose()?;
    Ok(User { name: unescape(name, Part::User)?, password })
}

fn is_optional_port(text: &str) -> bool {
    text.is_empty()
        || text.strip_prefix(':').is_some_and(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

fn parse_host(scheme: &str, host: &str) -> Result<Vec<u8>, String> {
    let bad_port = |port: &str| Err(format!("invalid port {} after host", strconv::quote(port.as_bytes())));
    match host.rfind('[') {
        Some(0) => {
            let Some((address, port)) = host.strip_prefix('[').and_then(|rest| rest.rsplit_once(']')) else {
                return Err("missing ']' in host".to_owned());
            };
            if !is_optional_port(port) {
                return bad_port(port);
            }
            let (address, zone) = match address.find("%25") {
                Some(at) => address.split_at(at),
                None => (address, ""),
            };
            let address = unescape(address, Part::Host)?;
            let parsed =
                std::str::from_utf8(&address).ok().and_then(|address| address.parse::<IpAddr>().ok());
            match parsed {
                Some(IpAddr::V6(_)) => {}
                Some(IpAddr::V4(_)) => return Err("invalid IP-literal".to_owned()),
                None => {
                    let shown = strconv::quote(&address);
                    return Err(format!("invalid host: ParseAddr({shown}): unable to parse IP"));
                }
            }
            let zone = unescape(zone, Part::Path)?;
            Ok([b"[".as_slice(), &address, &zone, b"]", port.as_bytes()].concat())
        }
        Some(_) => Err("invalid IP-literal".to_owned()),
        None => {
            // Some databases have several hosts there; with HTTP one colon is all.
            let colon = if matches!(scheme, "http" | "https") { host.find(':') } else { host.rfind(':') };
            let port = colon.and_then(|colon| host.get(colon..)).unwrap_or_default();
            if !is_optional_port(port) {
                return bad_port(port);
            }
            unescape(host, Part::Host)
        }
    }
}

impl Url {
    /// Whether it has a scheme.
    pub fn is_absolute(&self) -> bool {
        !self.scheme.is_empty()
    }

    /// The host without the port, and without the brackets of an address.
    pub fn hostname(&self) -> String {
        let host = String::from_utf8_lossy(&self.host);
        let colon = host.rfind(':').filter(|colon| host.get(*colon..).is_some_and(is_optional_port));
        let name = colon.and_then(|colon| host.get(..colon)).unwrap_or(&host);
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        address.unwrap_or(name).to_owned()
    }

    /// What a reference means where this URL is the base (`ResolveReference`), as a text without a fragment. A base that has no path
    /// keeps what it has in its place, unless the reference is absolute.
    pub fn resolve(&self, reference: &Self) -> String {
        if reference.is_absolute() || !reference.host.is_empty() || reference.user.is_some() {
            let scheme = if reference.is_absolute() { &reference.scheme } else { &self.scheme };
            return text(scheme, reference, &resolved_path(&reference.raw_path, ""), &reference.query);
        }
        let has_path = !reference.raw_path.is_empty();
        let query = if has_path || !reference.query.is_empty() { &reference.query } else { &self.query };
        text(&self.scheme, self, &resolved_path(&self.raw_path, &reference.raw_path), query)
    }
}

/// A URL with the authority or the opaque part of `of`.
fn text(scheme: &str, of: &Url, path: &str, query: &str) -> String {
    let mut out = String::new();
    if !scheme.is_empty() {
        out.push_str(scheme);
        out.push(':');
    }
    if of.opaque.is_empty() {
        let has_authority = !scheme.is_empty() || !of.host.is_empty() || of.user.is_some();
        if has_authority && (!of.host.is_empty() || !path.is_empty() || of.user.is_some()) {
            out.push_str("//");
            if let Some(user) = &of.user {
                out.push_str(&format!("{user}@"));
            }
            out.push_str(&escape(&of.host, Part::Host));
        }
        if !path.is_empty() && !path.starts_with('/') && !of.host.is_empty() {
            out.push('/');
        }
        out.push_str(path);
    } else {
        out.push_str(&of.opaque);
    }
    if !query.is_empty() {
        out.push('?');
        out.push_str(query);
    }
    out
}

/// A path from a base, without `.` and `..`.
fn resolved_path(base: &str, reference: &str) -> String {
    let full = match reference {
        "" => base.to_owned(),
        absolute if absolute.starts_with('/') => absolute.to_owned(),
        relative => {
            let folder = base.rfind('/').and_then(|slash| base.get(..=slash)).unwrap_or_default();
            format!("{folder}{relative}")
        }
    };
    if full.is_empty() {
        return full;
    }
    let mut kept: Vec<&str> = Vec::new();
    let mut last = "";
    for segment in full.strip_prefix('/').unwrap_or(&full).split('/') {
        last = segment;
        match segment {
            "." => {}
            ".." => {
                kept.pop();
            }
            segment => kept.push(segment),
        }
    }
    let end = if matches!(last, "." | "..") { "/" } else { "" };
    let joined = format!("/{}{end}", kept.join("/"));
    match joined.strip_prefix("//") {
        Some(rest) => format!("/{rest}"),
        None => joined,
    }
}

#[cfg(test)]
mod tests;
