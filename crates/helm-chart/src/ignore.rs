//! `.helmignore`: which files of a directory are not the chart's.

use glob::Glob;

/// Every file is compared with every rule.
const RULES: usize = 1000;

/// A rule that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IgnoreError {
    /// Helm has no pattern for any number of directories.
    #[error("double-star (**) syntax is not supported")]
    DoubleStar,
    /// The pattern is malformed.
    #[error("syntax error in pattern")]
    Pattern,
    /// There are too many.
    #[error("more than {RULES} rules")]
    Count,
}

/// The rules of a chart.
#[derive(Debug)]
pub(crate) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    negate: bool,
    directories_only: bool,
    /// Whether the path is compared, and not just its last part.
    whole: bool,
    /// One for each part of a path.
    parts: Vec<Glob>,
}

impl Rules {
    /// The rules of a file, and that which every chart has.
    pub(crate) fn parse(text: &[u8]) -> Result<Rules, IgnoreError> {
        let text = String::from_utf8_lossy(text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text));
        let lines = text.lines().chain(["templates/.?*"]).map(str::trim);
        let lines: Vec<&str> =
            lines.filter(|line| !line.is_empty() && !line.starts_with('#')).take(RULES + 1).collect();
        if lines.len() > RULES {
            return Err(IgnoreError::Count);
        }
        lines.into_iter().map(Rule::parse).collect::<Result<_, _>>().map(Rules)
    }

    /// Whether a file or directory is left out. A negated rule leaves out what it does not match, as in Helm.
    pub(crate) fn ignores(&self, path: &str, is_directory: bool) -> bool {
        self.0.iter().any(|rule| {
            let fits = (is_directory || !rule.directories_only) && rule.matches(path);
            fits != rule.negate
        })
    }
}

impl Rule {
    fn parse(line: &str) -> Result<Rule, IgnoreError> {
        if line.contains("**") {
            return Err(IgnoreError::DoubleStar);
        }
        let (negate, line) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
        let (directories_only, line) = line.strip_suffix('/').map_or((false, line), |rest| (true, rest));
        let whole = line.contains('/');
        let parts = line.strip_prefix('/').unwrap_or(line).split('/');
        let parts = parts.map(|part| Glob::parse(part.as_bytes()).ok_or(IgnoreError::Pattern));
        Ok(Rule { negate, directories_only, whole, parts: parts.collect::<Result<_, _>>()? })
    }

    fn matches(&self, path: &str) -> bool {
        let name = path.rsplit('/').next().unwrap_or_default();
        let path = if self.whole { path } else { name };
        let mut names = path.split('/');
        self.parts.iter().all(|part| names.next().is_some_and(|name| part.matches(name.as_bytes())))
            && names.next().is_none()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn rules_leave_out_what_helm_leaves_out() {
        for (rules, path, is_directory, expected) in [
            ("*.txt", "a.txt", false, true),
            ("*.txt", "docs/a.txt", false, true),
            ("/*.txt", "docs/a.txt", false, false),
            ("/*.txt", "a.txt", false, true),
            ("docs/*", "docs/a", false, true),
            ("docs/*", "docs/a/b", false, false),
            ("docs/", "docs", true, true),
            ("docs/", "docs", false, false),
            ("# a\n\n  a  ", "a", false, true),
            ("\u{feff}a", "a", false, true),
            ("", "templates/.git", false, true),
            ("", "templates/a", false, false),
            // Everything that is not `a`, as surprising as it is.
            ("!a", "b", false, true),
            ("!a", "a", false, false),
            ("!a/", "a", false, true),
            ("[ab]?", "ax", false, true),
        ] {
            let parsed = Rules::parse(rules.as_bytes()).unwrap();
            assert_eq!(parsed.ignores(path, is_directory), expected, "{rules:?} {path}");
        }
        assert_eq!(Rules::parse("a\n".repeat(1000).as_bytes()).unwrap_err(), IgnoreError::Count);
        assert_eq!(Rules::parse(b"a/**").unwrap_err(), IgnoreError::DoubleStar);
        assert_eq!(Rules::parse(b"[a").unwrap_err(), IgnoreError::Pattern);
    }
}
