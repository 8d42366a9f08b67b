//! How kustomizations name Git repositories.

use crate::tree::path;

/// A directory in a Git repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RepoSpec {
    /// As the kustomization has it.
    pub raw: String,
    /// Scheme, user and host, up to and with the separator before the repository.
    pub host: String,
    /// The repository on that host.
    pub repository: String,
    /// The directory in the repository; empty for its top.
    pub path: String,
    /// Branch, tag or commit; empty for the default branch.
    pub reference: String,
    /// Seconds to wait at most.
    pub timeout: u64,
    /// Whether submodules are wanted.
    pub submodules: bool,
}

/// A text that names no repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotARepo(String);

const DEFAULT_TIMEOUT: u64 = 27;
const SCHEMES: [&str; 4] = ["ssh://", "https://", "http://", "file://"];

impl RepoSpec {
    /// Reads all spellings kustomize knows: URLs with `//path`, `_git/`, `.git`, SCP style, `github.com/org/repo/path`,
    /// each with a query of `ref`, `version`, `timeout`, `submodules`.
    ///
    /// # Errors
    /// For anything else, such as a path of a file.
    pub fn parse(text: &str) -> Result<Self, NotARepo> {
        if text.starts_with('/') {
            return Err(NotARepo(format!("uri looks like abs path: {text}")));
        }
        let (place, query) = text.split_once('?').unwrap_or((text, ""));
        let query = Query::parse(query);
        let (host, rest) = split_host(place)?;
        let (repository, path) = split_path(&rest, host.starts_with("file://"))?;
        Ok(Self {
            raw: text.to_owned(),
            host,
            repository,
            path,
            reference: query.reference,
            timeout: query.timeout,
            submodules: query.submodules,
        })
    }

    /// What Git is asked for.
    pub fn clone_url(&self) -> String {
        format!("{}{}", self.host, self.repository)
    }
}

struct Query {
    reference: String,
    timeout: u64,
    submodules: bool,
}

impl Query {
    fn parse(text: &str) -> Self {
        let value = |wanted: &str| {
            let mut pairs = text.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(key, value)| *key == wanted && !value.is_empty())
                .map(|(_, value)| decode_percent(value))
        };
        let timeout = value("timeout").and_then(|text| seconds(&text)).unwrap_or(DEFAULT_TIMEOUT);
        let submodules =
            !matches!(value("submodules").as_deref(), Some("false" | "0" | "f" | "F" | "False" | "FALSE"));
        Self { reference: value("ref").or_else(|| value("version")).unwrap_or_default(), timeout, submodules }
    }
}

fn decode_percent(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        let hex = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        match (first, tail) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                bytes.push(hex(*high).unwrap_or_default() * 16 + hex(*low).unwrap_or_default());
                rest = after;
            }
            (b'+', _) => {
                bytes.push(b' ');
                rest = tail;
            }
            (byte, _) => {
                bytes.push(*byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A number of seconds, or one of Go's durations in whole seconds, minutes or hours.
fn seconds(text: &str) -> Option<u64> {
    let (number, unit) = match text.char_indices().last()? {
        (at, 's') => (text.get(..at)?, 1),
        (at, 'm') => (text.get(..at)?, 60),
        (at, 'h') => (text.get(..at)?, 3600),
        _ => (text, 1),
    };
    number.parse::<u64>().ok()?.checked_mul(unit).filter(|seconds| *seconds > 0)
}

fn split_host(text: &str) -> Result<(String, String), NotARepo> {
    let text = strip_prefix_any_case(text, "git::").unwrap_or(text);
    let scheme =
        SCHEMES.into_iter().find(|scheme| strip_prefix_any_case(text, scheme).is_some()).unwrap_or_default();
    let text = text.get(scheme.len()..).unwrap_or_default();
    let user = user_prefix(text);
    let text = text.get(user.len()..).unwrap_or_default();
    let github =
        ["github.com/", "github.com:"].iter().any(|host| strip_prefix_any_case(text, host).is_some());
    let scp = scheme.is_empty() && (!user.is_empty() || github);
    if scheme.is_empty() && !scp {
        return Err(NotARepo("failed to parse scheme".into()));
    }
    if scheme == "file://" {
        return Ok((scheme.to_owned(), format!("{user}{text}")));
    }
    let slash = text.find('/');
    let colon = text.find(':').filter(|at| scp && *at > 0);
    let separator = match (slash, colon) {
        (Some(slash), Some(colon)) => Some(slash.min(colon)),
        (slash, colon) => slash.or(colon),
    };
    let (host, rest) = match separator {
        Some(at) => text.split_at_checked(at + 1).unwrap_or((text, "")),
        None => (text, ""),
    };
    let host = match github {
        true if scheme == "ssh://" || !user.is_empty() => format!("{user}github.com:"),
        true => "https://github.com/".to_owned(),
        false if host.is_empty() => return Err(NotARepo("failed to parse host segment".into())),
        false => format!("{scheme}{user}{host}"),
    };
    Ok((host, rest.to_owned()))
}

fn strip_prefix_any_case<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let (head, tail) = text.split_at_checked(prefix.len())?;
    head.eq_ignore_ascii_case(prefix).then_some(tail)
}

/// `user@`, or nothing.
fn user_prefix(text: &str) -> &str {
    let Some(at) = text.find('@') else { return "" };
    let name = text.get(..at).unwrap_or_default();
    let valid = name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
    if valid { text.get(..=at).unwrap_or_default() } else { "" }
}

fn split_path(text: &str, is_file: bool) -> Result<(String, String), NotARepo> {
    let (repository, inner) = if let Some(at) = text.find("_git/") {
        let after = at + "_git/".len();
        let length = text.get(after..).and_then(|rest| rest.find('/')).unwrap_or(text.len() - after);
        text.split_at_checked(after + length).unwrap_or((text, ""))
    } else if let Some((repository, inner)) = text.split_once("//") {
        (repository, inner)
    } else if let Some(at) = text.find(".git") {
        text.split_at_checked(at + ".git".len()).unwrap_or((text, ""))
    } else if is_file {
        (text, "")
    } else {
        let slashes: Vec<usize> = text.match_indices('/').map(|(at, _)| at).collect();
        match slashes[..] {
            [] => return Err(NotARepo("failed to parse repo path segment".into())),
            [_] => (text, ""),
            [_, second, ..] => text.split_at_checked(second).unwrap_or((text, "")),
        }
    };
    if repository.is_empty() {
        return Err(NotARepo("failed to parse repo path segment".into()));
    }
    let inner = inner.strip_prefix('/').unwrap_or(inner);
    if path::clean(inner).split('/').next() == Some("..") {
        return Err(NotARepo(format!("url path exits repo: {text}")));
    }
    Ok((repository.to_owned(), inner.to_owned()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn all_spellings_name_repository_path_and_reference() {
        for (text, url, path, reference) in [
            ("https://github.com/org/repo//sub/dir?ref=v1", "https://github.com/org/repo", "sub/dir", "v1"),
            ("github.com/org/repo/sub?ref=main", "https://github.com/org/repo", "sub", "main"),
            ("git@github.com:org/repo.git//sub", "git@github.com:org/repo.git", "sub", ""),
            ("ssh://git@host.xz/path/repo.git/sub", "ssh://git@host.xz/path/repo.git", "sub", ""),
            ("git::https://host/org/repo?version=x", "https://host/org/repo", "", "x"),
            ("https://dev.azure.com/o/p/_git/repo/sub", "https://dev.azure.com/o/p/_git/repo", "sub", ""),
            ("file:///a/b/repo", "file:///a/b/repo", "", ""),
        ] {
            let spec = RepoSpec::parse(text).unwrap();
            assert_eq!(
                (spec.clone_url().as_str(), spec.path.as_str(), spec.reference.as_str()),
                (url, path, reference)
            );
        }
    }

    #[test]
    fn a_file_is_no_repository() {
        for text in
            ["deployment.yaml", "../base", "/abs/dir", "https://host/file.yaml", "https://h/o/r//../../x"]
        {
            assert!(RepoSpec::parse(text).is_err(), "{text}");
        }
    }
}
