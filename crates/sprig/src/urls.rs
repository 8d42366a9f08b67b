//! URLs: Go's package `net/url`.

use gotemplate::value::{Map, Text, Type};
use gotemplate::{Error, Value};
use gourl::{Part, escape, parse};

use crate::call::{Call, MAP, NIL_POINTER, Table};

pub(crate) fn add(table: &mut Table) {
    table.add("urlParse", &[Type::String], MAP, |call| {
        let text = String::from_utf8_lossy(call.text(0));
        let url = parse(&text).map_err(|message| {
            let shown = strconv::quote(text.split('#').next().unwrap_or_default().as_bytes());
            Error::from(format!("unable to parse url: parse {shown}: {message}"))
        })?;
        let hostname = url.hostname();
        let entries: [(&str, Value); 8] = [
            ("scheme", url.scheme.into()),
            ("hostname", hostname.into()),
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
