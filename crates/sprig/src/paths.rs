//! Paths with slashes: Go's packages `path`, and `path/filepath` on Linux.

use gotemplate::value::Type;

use crate::call::Table;

const TEXT: Type = Type::String;

pub(crate) fn add(table: &mut Table) {
    for (name, name_of_os, function) in [
        ("base", "osBase", base as fn(&[u8]) -> Vec<u8>),
        ("dir", "osDir", directory),
        ("clean", "osClean", clean),
        ("ext", "osExt", |path| extension(path).to_vec()),
    ] {
        for name in [name, name_of_os] {
            table.add(name, &[TEXT], TEXT, move |call| call.string(function(call.text(0))));
        }
    }
    for name in ["isAbs", "osIsAbs"] {
        table.add(name, &[TEXT], Type::Bool, |call| Ok(call.text(0).starts_with(b"/").into()));
    }
}

/// The last element.
fn base(path: &[u8]) -> Vec<u8> {
    let Some(end) = path.iter().rposition(|byte| *byte != b'/') else {
        return if path.is_empty() { b".".to_vec() } else { b"/".to_vec() };
    };
    let path = path.get(..=end).unwrap_or_default();
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec()
}

/// What is before the last slash.
fn directory(path: &[u8]) -> Vec<u8> {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    clean(slash.and_then(|slash| path.get(..=slash)).unwrap_or_default())
}

/// From the last dot of the last element on.
fn extension(path: &[u8]) -> &[u8] {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name.iter().rposition(|byte| *byte == b'.').and_then(|dot| name.get(dot..)).unwrap_or_default()
}

/// The shortest path of the same meaning, by its text alone.
fn clean(path: &[u8]) -> Vec<u8> {
    let is_absolute = path.starts_with(b"/");
    let mut kept: Vec<&[u8]> = Vec::new();
    for element in path.split(|byte| *byte == b'/') {
        match element {
            b"" | b"." => {}
            b".." if kept.last().is_some_and(|last| *last != b"..") => {
                kept.pop();
            }
            b".." if is_absolute => {}
            element => kept.push(element),
        }
    }
    let path = kept.join(&b'/');
    match (is_absolute, path.is_empty()) {
        (true, _) => [b"/".as_slice(), &path].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => path,
    }
}
