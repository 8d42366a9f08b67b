//! URLs: Go's package `net/url`.

use std::net::IpAddr;

use gotemplate::value::{Map, Text, Type};
use gotemplate::{Error, Value};

use crate::call::{Call, MAP, NIL_POINTER, Table};

pub(crate) fn add(table: &mut Table) {
    table.add("urlParse", &[Type::String], MAP, |call| {
        let text = String::from_utf8_lossy(call.text(0));
        let url = parse(&text).map_err(|message| {
            let shown = strconv::quote(text.split('#').next().unwrap_or_default().as_bytes());
            Error::from(format!("unable to parse url: parse {shown}: {message}"))
        })?;
        let entries: [(&str, Value); 8] = [
            ("scheme", url.scheme.into()),
            ("hostname", hostname(&url.host).into()),
            ("host", Text::from(url.host).into()),
            ("path", Text::from(url.path).into()),
            ("query", url.query.into()),
            ("opaque", url.opaque.into()),
            ("fragment", Text::from(url.fragment).into()),
            ("userinfo", url.user.map_or_else(String::new, |user| user.to_string()).into()),
        ];
        call.entries(&Type::Any, entries.map(|(key, value)| (key.into(), value)).into())
    });
    table.add("urlJoin", &[MAP], Type::String, join);
}

/// A part of the URL, with what may stand in it as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    Path,
    Host,
    User,
    Fragment,
}

#[derive(Debug, Default)]
struct Url {
    scheme: String,
    opaque: String,
    user: Option<User>,
    host: Vec<u8>,
    path: Vec<u8>,
    query: String,
    fragment: Vec<u8>,
}

#[derive(Debug)]
struct User {
    name: Vec<u8>,
    password: Option<Vec<u8>>,
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

fn escape(text: &[u8], part: Part) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text {
        match stays(*byte, part) {
            true => escaped.push(char::from(*byte)),
            false => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

fn unescape(text: &str, part: Part) -> Result<Vec<u8>, String> {
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

fn parse(text: &str) -> Result<Url, String> {
    let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
    if text.bytes().any(|byte| byte < 0x20 || byte == 0x7f) {
        return Err("net/url: invalid control character in URL".to_owned());
    }
    let fragment = unescape(fragment, Part::Fragment)?;
    if text == "*" {
        return Ok(Url { path: b"*".to_vec(), fragment, ..Url::default() });
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

/// Without the port, and without the brackets of an address.
fn hostname(host: &[u8]) -> Text {
    let host = String::from_utf8_lossy(host);
    let colon = host.rfind(':').filter(|colon| host.get(*colon..).is_some_and(is_optional_port));
    let name = colon.and_then(|colon| host.get(..colon)).unwrap_or(&host);
    let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
    address.unwrap_or(name).into()
}

fn entry(dict: &Map, key: &str) -> Result<Vec<u8>, Error> {
    match dict.get(key.as_bytes()) {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(text.to_vec()),
        Some(Value::Nil) => Err(NIL_POINTER.into()),
        Some(other) => {
            let kind = other.kind();
            Err(format!("unable to parse {key} key, must be of type string, but {kind} found").into())
        }
    }
}

fn join(call: &Call<'_>) -> crate::call::Outcome {
    let dict = call.map(0);
    let part = |key| entry(&dict, key);
    let (scheme, host, path) = (part("scheme")?, part("host")?, part("path")?);
    let (query, opaque, fragment) = (part("query")?, part("opaque")?, part("fragment")?);
    let user = String::from_utf8_lossy(&part("userinfo")?).into_owned();
    let user = match user.is_empty() {
        true => None,
        false => {
            let url = format!("proto://{user}@host");
            let parsed = parse(&url).map_err(|message| {
                let shown = strconv::quote(url.as_bytes());
                Error::from(format!("unable to parse userinfo in dict: parse {shown}: {message}"))
            })?;
            parsed.user
        }
    };
    let mut out = Vec::new();
    if !scheme.is_empty() {
        out.extend_from_slice(&scheme);
        out.push(b':');
    }
    if opaque.is_empty() {
        let has_authority = !scheme.is_empty() || !host.is_empty() || user.is_some();
        if has_authority && (!host.is_empty() || !path.is_empty() || user.is_some()) {
            out.extend_from_slice(b"//");
            if let Some(user) = &user {
                out.extend_from_slice(format!("{user}@").as_bytes());
            }
            out.extend_from_slice(escape(&host, Part::Host).as_bytes());
        }
        let path = if path == b"*" { "*".to_owned() } else { escape(&path, Part::Path) };
        if !path.is_empty() && !path.starts_with('/') && !host.is_empty() {
            out.push(b'/');
        }
        if out.is_empty() && path.split('/').next().is_some_and(|segment| segment.contains(':')) {
            out.extend_from_slice(b"./");
        }
        out.extend_from_slice(path.as_bytes());
    } else {
        out.extend_from_slice(&opaque);
    }
    if !query.is_empty() {
        out.push(b'?');
        out.extend_from_slice(&query);
    }
    if !fragment.is_empty() {
        out.push(b'#');
        out.extend_from_slice(escape(&fragment, Part::Fragment).as_bytes());
    }
    call.string(out)
}
