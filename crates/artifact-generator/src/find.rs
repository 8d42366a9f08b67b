//! Which paths of a tree a glob of a copy means.
//!
//! As with Flux there are two sorts: where tarballs are extracted, globs are [doublestar's](crate::doublestar); elsewhere they are
//! those of Go's `fs.Glob`, where `**` is no more than `*` and a path is compared component by component.

use glob::{Glob, Verdict};

use crate::doublestar::{Pattern, PatternError};
use crate::meter::{LimitError, Meter, within};
use crate::tree::{Directory, Tree, join, split};

/// Whether a path is a glob for copies.
pub(crate) fn is_glob(path: &str) -> bool {
    path.contains(['*', '?', '[', ']'])
}

/// The paths that `fs.Glob` gives, in its order.
pub(crate) fn fs_glob(
    tree: &Tree,
    pattern: &str,
    meter: &mut Meter<'_>,
) -> Result<Vec<Vec<u8>>, PatternError> {
    let limits = meter.limits();
    within("bytes of a glob", pattern.len() as u64, limits.glob_bytes as u64)?;
    if Glob::parse(pattern.as_bytes()).is_none() {
        return Err(PatternError::Malformed);
    }
    Ok(glob_paths(tree, pattern.as_bytes(), meter)?)
}

/// The paths that doublestar gives, but for the root: each directory before what is in it.
pub(crate) fn doublestar(
    tree: &Tree,
    pattern: &str,
    meter: &mut Meter<'_>,
) -> Result<Vec<Vec<u8>>, PatternError> {
    // Go cleans the directory of a pattern where that is the root.
    let pattern = pattern.strip_prefix("./").filter(|rest| !rest.contains('/')).unwrap_or(pattern);
    let pattern = Pattern::parse(pattern, meter.limits())?;
    let mut paths = Vec::new();
    tree.visit(&mut |path, _| {
        if pattern.matches(path, meter)? {
            paths.push(path.to_vec());
        }
        Ok::<_, LimitError>(())
    })?;
    Ok(paths)
}

fn glob_paths(tree: &Tree, pattern: &[u8], meter: &mut Meter<'_>) -> Result<Vec<Vec<u8>>, LimitError> {
    if !has_meta(pattern) {
        let there = pattern == b"." || is_clean(pattern) && tree.get(pattern).is_some();
        return Ok(if there { vec![pattern.to_vec()] } else { Vec::new() });
    }
    let (directory, file) = split(pattern);
    let mut paths = Vec::new();
    let directories = match directory {
        // A pattern with a leading slash is one of the root of the file system, and no path of a tree.
        [] if pattern.starts_with(b"/") => Vec::new(),
        [] | b"." => vec![Vec::new()],
        directory if has_meta(directory) => glob_paths(tree, directory, meter)?,
        directory if is_clean(directory) => vec![directory.to_vec()],
        _ => Vec::new(),
    };
    for directory in directories {
        let Some(entries) = tree.directory(&directory) else { continue };
        names(entries, file, meter, &mut |name| paths.push(join(&directory, name)))?;
    }
    Ok(paths)
}

fn names(
    entries: &Directory,
    pattern: &[u8],
    meter: &mut Meter<'_>,
    found: &mut dyn FnMut(&[u8]),
) -> Result<(), LimitError> {
    for name in entries.keys() {
        meter.step()?;
        if glob::matches(pattern, name, || meter.step())? == Verdict::Match {
            found(name);
        }
    }
    Ok(())
}

fn has_meta(pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| matches!(byte, b'*' | b'?' | b'[' | b'\\'))
}

/// Whether Go takes it for a path in a file system.
fn is_clean(path: &[u8]) -> bool {
    path.split(|byte| *byte == b'/').all(|component| !matches!(component, b"" | b"." | b".."))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use std::time::Duration;

    use net::Deadline;
    use serde_json::Value;

    use super::*;
    use crate::meter::Limits;
    use crate::test_tree::tree;

    /// What Go 1.26's `fs.Glob` and doublestar 4.10 answer for these patterns, over these files in a `fstest.MapFS`.
    const GO: &str = include_str!("../tests/data/globs.json");

    fn texts(paths: Result<Vec<Vec<u8>>, PatternError>) -> Option<Vec<String>> {
        match paths {
            Ok(paths) => Some(paths.into_iter().map(|path| String::from_utf8(path).unwrap()).collect()),
            Err(PatternError::Malformed) => None,
            Err(error) => panic!("{error}"),
        }
    }

    fn expected(row: &Value, field: &str) -> Option<Vec<String>> {
        let paths = row[field].as_array().map(Vec::as_slice).unwrap_or_default();
        let paths = paths.iter().map(|path| path.as_str().unwrap().to_owned());
        (!row[format!("{field}Err")].as_bool().unwrap()).then(|| paths.collect())
    }

    #[test]
    fn globs_give_what_they_give_in_go() {
        let go: Value = serde_json::from_str(GO).unwrap();
        let files: Vec<_> =
            go["files"].as_array().unwrap().iter().map(|file| file.as_str().unwrap()).collect();
        let mut tree = tree(&files.iter().map(|file| (*file, "")).collect::<Vec<_>>());
        tree.directory_at(b"empty").unwrap();
        let (limits, deadline) = (Limits::default(), Deadline::new(Duration::from_secs(60)));
        let mut meter = Meter::new(&limits, &deadline);
        let rows = go["globs"].as_array().unwrap();
        assert!(rows.len() > 50);
        for row in rows {
            let pattern = row["Pattern"].as_str().unwrap();
            let found = texts(fs_glob(&tree, pattern, &mut meter));
            assert_eq!(found, expected(row, "Fs"), "fs.Glob {pattern:?}");
            // Where tarballs are extracted a directory is nothing, and so is a pattern of directories alone; nor is a tarball
            // extracted twice.
            let is_directory = |path: &String| path == "." || tree.directory(path.as_bytes()).is_some();
            let files = |paths: Option<Vec<String>>| {
                let mut paths: Vec<_> = paths?.into_iter().filter(|path| !is_directory(path)).collect();
                paths.sort();
                paths.dedup();
                Some(paths)
            };
            let found = files(texts(doublestar(&tree, pattern, &mut meter)));
            let mut wanted = files(expected(row, "Ds"));
            if pattern == "deploy/{base,}/*" {
                // Go finds less with this one than it matches.
                wanted.as_mut().unwrap().clone_from(found.as_ref().unwrap());
            }
            assert_eq!(found, wanted, "doublestar {pattern:?}");
        }
    }

    #[test]
    fn doublestar_patterns_match_what_they_match_in_go() {
        let go: Value = serde_json::from_str(GO).unwrap();
        let (limits, deadline) = (Limits::default(), Deadline::new(Duration::from_secs(60)));
        let mut meter = Meter::new(&limits, &deadline);
        let rows = go["matches"].as_array().unwrap();
        assert!(rows.len() > 500);
        for row in rows {
            let (pattern, name) = (row["Pattern"].as_str().unwrap(), row["Name"].as_str().unwrap());
            // Go notices what is malformed only where it comes to it.
            match (row["Err"].as_bool().unwrap(), Pattern::parse(pattern, &limits)) {
                (true, parsed) => assert_eq!(parsed.err(), Some(PatternError::Malformed), "{pattern:?}"),
                // No path is empty.
                (false, Ok(parsed)) if !pattern.ends_with('/') && !name.is_empty() => {
                    let matches = parsed.matches(name.as_bytes(), &mut meter).unwrap();
                    assert_eq!(matches, row["Ok"].as_bool().unwrap(), "{pattern:?} {name:?}");
                }
                _ => {}
            }
        }
    }

    #[test]
    fn a_glob_has_limits_of_length_alternatives_and_steps() {
        let limits = Limits { steps: 1000, ..Limits::default() };
        let deadline = Deadline::new(Duration::from_secs(60));
        let mut meter = Meter::new(&limits, &deadline);
        let long = Pattern::parse(&"a".repeat(1025), &limits).unwrap_err();
        assert_eq!(long.to_string(), "the limit of 1024 bytes of a glob is exceeded");
        assert_eq!(fs_glob(&Tree::default(), &"a".repeat(1025), &mut meter).unwrap_err(), long);
        let many = Pattern::parse("{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}", &limits).unwrap_err();
        assert_eq!(many.to_string(), "the limit of 64 alternatives of a glob is exceeded");
        let deep = Pattern::parse(&"{".repeat(1000), &limits).unwrap_err();
        assert_eq!(deep, PatternError::Malformed);
        let costly = Pattern::parse("*a*a*a*a*b", &limits).unwrap();
        let mut matched = Ok(false);
        for _ in 0..100 {
            matched = matched.and(costly.matches(&[b'a'; 200], &mut meter));
        }
        let text = "the limit of 1000 steps of comparing globs with paths is exceeded";
        assert_eq!(matched.unwrap_err().to_string(), text);
    }
}
