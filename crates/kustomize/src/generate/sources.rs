//! Where generated data comes from: literals, files, env files.

use std::collections::BTreeMap;

use crate::build::Build;
use crate::error::{Context, Error, Result};
use crate::kustomization::GeneratorArgs;
use crate::loader::Loader;
use crate::tree::path;

/// Keys and bytes of all sources; a key may come once.
pub(super) fn load(
    args: &GeneratorArgs,
    loader: &Loader<'_>,
    build: &mut Build<'_>,
) -> Result<BTreeMap<String, Vec<u8>>> {
    args.envs.iter().chain(&args.files).for_each(|source| build.note_reference(source));
    let mut pairs = Vec::new();
    for file in &args.envs {
        let text = loader
            .load(file, build)
            .context(|| format!("loading KV pairs: env source files: {:?}", args.envs))?;
        env_lines(&text, &build.options.environment, &mut pairs)
            .context(|| format!("loading KV pairs: env source file '{file}'"))?;
    }
    for literal in &args.literals {
        pairs.push(parse_literal(literal).context(|| "loading KV pairs: literal sources".into())?);
    }
    for source in &args.files {
        let context = || format!("loading KV pairs: file sources: {:?}", args.files);
        let (key, file) = parse_file(source).context(context)?;
        let bytes = loader.load(file, build).context(context)?;
        pairs.push((key.to_owned(), bytes.to_vec()));
    }
    let mut unique = BTreeMap::new();
    for (key, bytes) in pairs {
        if unique.insert(key.clone(), bytes).is_some() {
            return Err(Error::Invalid(format!("configmap {} illegally repeats the key `{key}`", args.name)));
        }
    }
    Ok(unique)
}

/// `key=value`; quotes around the value go.
fn parse_literal(text: &str) -> Result<(String, Vec<u8>)> {
    let invalid = || Error::Invalid(format!("invalid literal source {text}, expected key=value"));
    let (key, value) = text.split_once('=').filter(|(key, _)| !key.is_empty()).ok_or_else(invalid)?;
    let bare = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    Ok((key.to_owned(), bare.unwrap_or(value).as_bytes().to_vec()))
}

/// `path` or `key=path`; the key defaults to the file's name.
fn parse_file(text: &str) -> Result<(&str, &str)> {
    let Some((key, file)) = text.split_once('=') else { return Ok((path::base_name(text), text)) };
    // The query of a URL is no file, and may be a secret.
    if file.contains('=') || key.contains("://") {
        return Err(Error::Invalid(format!("source \"{text}\" key name or file path contains '='")));
    }
    if key.is_empty() {
        return Err(Error::Invalid(format!(
            "missing key name for file path \"{file}\" in source \"{text}\""
        )));
    }
    if file.is_empty() {
        return Err(Error::Invalid(format!("missing file path for key name \"{key}\" in source \"{text}\"")));
    }
    Ok((key, file))
}

/// Lines of `key=value`; comments and empty lines do not count. A key alone takes its value from the environment.
fn env_lines(
    bytes: &[u8],
    environment: &BTreeMap<String, String>,
    pairs: &mut Vec<(String, Vec<u8>)>,
) -> Result<()> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    for (number, line) in bytes.split(|byte| *byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let line = std::str::from_utf8(line)
            .map_err(|_| Error::Invalid(format!("line {} has invalid utf8 bytes", number + 1)))?
            .trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let of_environment = || environment.get(line).map(String::as_str).unwrap_or_default();
        let (key, value) = line.split_once('=').unwrap_or_else(|| (line, of_environment()));
        if !key.is_empty() {
            pairs.push((key.to_owned(), value.as_bytes().to_vec()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn quotes_go_only_in_pairs() {
        let value = |text: &str| String::from_utf8(parse_literal(text).unwrap().1).unwrap();
        assert_eq!(value("a=\"b=c\""), "b=c");
        assert_eq!(value("a='b\""), "'b\"");
        assert_eq!(value("a='"), "'");
        assert!(parse_literal("=b").is_err());
        assert!(parse_literal("ab").is_err());
    }

    #[test]
    fn env_files_hold_a_pair_a_line() {
        let mut pairs = Vec::new();
        let environment = [("a", "2"), ("d", "3")].map(|(key, value)| (key.to_owned(), value.to_owned()));
        let text = b"\xEF\xBB\xBFa=1\r\n  # no\n\n  b\nc=x=y\nd\n";
        env_lines(text, &environment.into(), &mut pairs).unwrap();
        let pairs: Vec<_> =
            pairs.iter().map(|(k, v)| (k.as_str(), std::str::from_utf8(v).unwrap())).collect();
        assert_eq!(pairs, [("a", "1"), ("b", ""), ("c", "x=y"), ("d", "3")]);
    }
}
