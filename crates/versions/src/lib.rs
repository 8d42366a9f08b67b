//! Versions and constraints as Flux reads them: the rules of Masterminds/semver v3, not those of Cargo.
//!
//! Versions are loose (`v` prefix, leading zeros) but need three dot parts. A constraint is `||` of groups; a group is a
//! list of comparisons separated by blanks or commas. A pre-release only matches a group that names one itself.

use std::cmp::Ordering;

/// Why a constraint could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConstraintError {
    /// The text is not a list of comparisons.
    #[error("improper constraint: {0:?}")]
    Improper(String),
    /// The text has the right shape, its numbers do not.
    #[error("constraint parser error")]
    Version,
}

/// A version; build metadata is not part of it because it never takes part in a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    major: u64,
    minor: u64,
    patch: u64,
    pre: String,
}

impl Version {
    /// Reads a tag name such as `v1.2.3-rc.1+build`; `None` when it is not a version of three parts.
    pub fn parse(text: &str) -> Option<Version> {
        let parts = Parts::scan(text, |b| b.is_ascii_digit()).filter(|p| p.rest.is_empty())?;
        // The loose rule counts dots anywhere, so `1.2-rc.1` is read as 1.2.0-rc.1.
        if text.splitn(3, '.').count() != 3 {
            return None;
        }
        parts.version()
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.major, self.minor, self.patch)
            .cmp(&(other.major, other.minor, other.patch))
            .then_with(|| compare_pre(&self.pre, &other.pre))
    }
}

/// Semver's rule: none is highest, then part by part, numbers below words.
fn compare_pre(a: &str, b: &str) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let (mut left, mut right) = (a.split('.'), b.split('.'));
    loop {
        let (l, r) = match (left.next(), right.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => return Ordering::Less,
            (Some(_), None) => return Ordering::Greater,
            (Some(l), Some(r)) => (l, r),
        };
        let order = match (l.parse::<u64>(), r.parse::<u64>()) {
            (Ok(l), Ok(r)) => l.cmp(&r),
            (Ok(_), Err(_)) => Ordering::Less,
            (Err(_), Ok(_)) => Ordering::Greater,
            (Err(_), Err(_)) => l.cmp(r),
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// The pieces of a version text; which characters a number may hold is the caller's choice (constraints allow `x` and `*`).
struct Parts<'a> {
    major: &'a str,
    minor: Option<&'a str>,
    patch: Option<&'a str>,
    pre: &'a str,
    rest: &'a str,
}

impl<'a> Parts<'a> {
    fn scan(text: &'a str, number: impl Fn(u8) -> bool) -> Option<Self> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let (major, mut rest) = take(text, &number);
        if major.is_empty() {
            return None;
        }
        let mut following = [None, None];
        for slot in &mut following {
            match rest.strip_prefix('.').map(|r| take(r, &number)) {
                Some((part, after)) if !part.is_empty() => (*slot, rest) = (Some(part), after),
                _ => break,
            }
        }
        let [minor, patch] = following;
        let (pre, rest) = suffix(rest, '-');
        let (_, rest) = suffix(rest, '+');
        Some(Parts { major, minor, patch, pre, rest })
    }

    fn version(&self) -> Option<Version> {
        let number = |part: Option<&str>| part.map_or(Some(0), |p| p.parse().ok());
        // Numbers of a pre-release must not start with a zero.
        if self
            .pre
            .split('.')
            .any(|p| p.len() > 1 && p.starts_with('0') && p.bytes().all(|b| b.is_ascii_digit()))
        {
            return None;
        }
        Some(Version {
            major: number(Some(self.major))?,
            minor: number(self.minor)?,
            patch: number(self.patch)?,
            pre: self.pre.to_owned(),
        })
    }
}

fn take(text: &str, accept: impl Fn(u8) -> bool) -> (&str, &str) {
    let end = text.bytes().position(|b| !accept(b)).unwrap_or(text.len());
    text.split_at(end)
}

/// Reads `-a.b` or `+a.b`; without a well-formed one, nothing is consumed.
fn suffix(text: &str, mark: char) -> (&str, &str) {
    let Some(after) = text.strip_prefix(mark) else {
        return ("", text);
    };
    let (body, rest) = take(after, |b| b.is_ascii_alphanumeric() || b == b'-' || b == b'.');
    if body.is_empty() || body.split('.').any(str::is_empty) { ("", text) } else { (body, rest) }
}

/// A parsed constraint such as `>=1.2.0 <2.0.0 || ~3.1`.
#[derive(Debug, Clone)]
pub struct Constraint {
    groups: Vec<Group>,
}

#[derive(Debug, Clone)]
struct Group {
    comparisons: Vec<Comparison>,
    pre_releases: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterEqual,
    LessEqual,
    Tilde,
    Caret,
}

/// Longest first, so that `>=` is not read as `>`.
const OPERATORS: [(&str, Operator); 11] = [
    ("!=", Operator::NotEqual),
    (">=", Operator::GreaterEqual),
    ("=>", Operator::GreaterEqual),
    ("<=", Operator::LessEqual),
    ("=<", Operator::LessEqual),
    ("~>", Operator::Tilde),
    ("=", Operator::Equal),
    (">", Operator::Greater),
    ("<", Operator::Less),
    ("~", Operator::Tilde),
    ("^", Operator::Caret),
];

/// Which number of a comparison is the first wildcard or missing one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Open {
    Nothing,
    Patch,
    Minor,
    Major,
}

#[derive(Debug, Clone)]
struct Comparison {
    operator: Operator,
    version: Version,
    open: Open,
}

impl Constraint {
    /// Reads a constraint.
    pub fn parse(text: &str) -> Result<Constraint, ConstraintError> {
        let groups = text.split("||").map(Group::parse).collect::<Result<_, _>>()?;
        Ok(Constraint { groups })
    }

    /// Whether `version` satisfies any group.
    pub fn matches(&self, version: &Version) -> bool {
        self.groups.iter().any(|group| {
            (version.pre.is_empty() || group.pre_releases)
                && group.comparisons.iter().all(|c| c.matches(version))
        })
    }
}

impl Group {
    fn parse(text: &str) -> Result<Group, ConstraintError> {
        let improper = || ConstraintError::Improper(text.to_owned());
        let mut comparisons = Vec::new();
        let mut rest = text.trim_start();
        loop {
            let (low, after) = Comparison::parse(rest, improper)?;
            match hyphen(after) {
                // `1.2 - 2.3` is `>=1.2, <=2.3`.
                Some(upper) if low.operator == Operator::Equal => {
                    let (high, after) = Comparison::parse(upper, improper)?;
                    comparisons.push(Comparison { operator: Operator::GreaterEqual, ..low });
                    comparisons.push(Comparison { operator: Operator::LessEqual, ..high });
                    rest = after;
                }
                _ => {
                    comparisons.push(low);
                    rest = after;
                }
            }
            let trimmed = rest.trim_start();
            if trimmed.is_empty() {
                break;
            }
            rest = match trimmed.strip_prefix(',') {
                Some(next) => next.trim_start(),
                None if trimmed.len() < rest.len() => trimmed,
                None => return Err(improper()),
            };
        }
        let pre_releases = comparisons.iter().any(|c| !c.version.pre.is_empty());
        Ok(Group { comparisons, pre_releases })
    }
}

/// What follows a hyphen that stands between blanks.
fn hyphen(text: &str) -> Option<&str> {
    let after = text.trim_start();
    let upper = (after.len() < text.len()).then(|| after.strip_prefix('-'))??;
    upper.starts_with(char::is_whitespace).then(|| upper.trim_start())
}

impl Comparison {
    fn parse(
        text: &str,
        improper: impl Fn() -> ConstraintError,
    ) -> Result<(Comparison, &str), ConstraintError> {
        let (operator, after) = OPERATORS
            .iter()
            .find_map(|(sign, operator)| Some((*operator, text.strip_prefix(sign)?)))
            .unwrap_or((Operator::Equal, text));
        let wild = |b: u8| b.is_ascii_digit() || matches!(b, b'x' | b'X' | b'*');
        let mut parts = Parts::scan(after.trim_start(), wild).ok_or_else(improper)?;
        let is_open = |part: Option<&str>| part.is_none_or(|p| matches!(p, "x" | "X" | "*"));
        let open = if is_open(Some(parts.major)) {
            (parts.major, parts.minor, parts.patch) = ("0", None, None);
            Open::Major
        } else if is_open(parts.minor) {
            (parts.minor, parts.patch) = (None, None);
            Open::Minor
        } else if is_open(parts.patch) {
            parts.patch = None;
            Open::Patch
        } else {
            Open::Nothing
        };
        let version = parts.version().ok_or(ConstraintError::Version)?;
        Ok((Comparison { operator, version, open }, parts.rest))
    }

    fn matches(&self, v: &Version) -> bool {
        let c = &self.version;
        match self.operator {
            Operator::Equal if self.open == Open::Nothing => v == c,
            Operator::Equal | Operator::Tilde => self.tilde(v),
            Operator::NotEqual => match self.open {
                Open::Nothing | Open::Major => v != c,
                Open::Minor => v.major != c.major,
                Open::Patch => v.major != c.major || v.minor != c.minor || v.pre != c.pre,
            },
            Operator::Greater => match self.open {
                Open::Nothing | Open::Major => v > c,
                Open::Minor => v.major > c.major,
                Open::Patch => (v.major, v.minor) > (c.major, c.minor),
            },
            Operator::Less => v < c,
            Operator::GreaterEqual => v >= c,
            Operator::LessEqual => match self.open {
                Open::Nothing => v <= c,
                Open::Minor => v.major <= c.major,
                Open::Patch | Open::Major => (v.major, v.minor) <= (c.major, c.minor),
            },
            Operator::Caret => self.caret(v),
        }
    }

    fn tilde(&self, v: &Version) -> bool {
        let c = &self.version;
        if v < c {
            return false;
        }
        // `~0.0.0` and `*` accept everything from there on.
        let anything =
            (c.major, c.minor, c.patch) == (0, 0, 0) && matches!(self.open, Open::Nothing | Open::Major);
        anything || (v.major == c.major && (v.minor == c.minor || self.open == Open::Minor))
    }

    /// The leftmost number that is not zero stays.
    fn caret(&self, v: &Version) -> bool {
        let c = &self.version;
        if v < c {
            return false;
        }
        if c.major > 0 || self.open == Open::Minor {
            return v.major == c.major;
        }
        if v.major > 0 {
            return false;
        }
        if c.minor > 0 || self.open == Open::Patch {
            return v.minor == c.minor;
        }
        v.minor == 0 && v.patch == c.patch
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn matches(constraint: &str, version: &str) -> bool {
        Constraint::parse(constraint).unwrap().matches(&Version::parse(version).unwrap())
    }

    #[test]
    fn versions_are_loose_but_have_three_parts() {
        for good in
            ["1.2.3", "v1.2.3", "v2025.02.03-rc.1", "1.2.3+build.5", "1.2.3-a-b.c", "01.02.03", "1.2-rc.1.0"]
        {
            assert!(Version::parse(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "v",
            "1",
            "v1.2",
            "1.2.3.4",
            "a.b.c",
            "1.2.3-",
            "1.2.3-01",
            "1.2.3-a..b",
            "release-1.2.3",
            "1.2.x",
            "1.2.99999999999999999999",
        ] {
            assert!(Version::parse(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn versions_are_ordered_by_precedence() {
        let ordered = [
            "1.0.0-1",
            "1.0.0-2",
            "1.0.0-11",
            "1.0.0-alpha",
            "1.0.0-alpha.1",
            "1.0.0-alpha.beta",
            "1.0.0-rc.1",
            "1.0.0",
            "1.0.1",
            "1.1.0",
            "2.0.0",
        ];
        for pair in ordered.windows(2) {
            let [low, high] = pair else { unreachable!() };
            assert!(Version::parse(low) < Version::parse(high), "{low} < {high}");
        }
        assert_eq!(Version::parse("v1.0.0+a"), Version::parse("1.0.0+b"));
    }

    #[test]
    fn constraints_follow_the_masterminds_rules() {
        let table: &[(&str, &[&str], &[&str])] = &[
            ("*", &["0.0.1", "1.2.3"], &["1.0.0-alpha"]),
            ("1.2.3", &["1.2.3", "v1.2.3+x"], &["1.2.4", "1.2.3-rc.1"]),
            ("=1.2", &["1.2.0", "1.2.9"], &["1.3.0", "1.1.9"]),
            ("1.x", &["1.0.0", "1.9.9"], &["2.0.0", "0.9.9"]),
            ("!=1.2.3", &["1.2.4"], &["1.2.3"]),
            ("!=1.x", &["2.0.0"], &["1.5.0"]),
            ("!=1.2.x", &["1.3.0"], &["1.2.7"]),
            (">1", &["2.0.0"], &["1.9.9"]),
            (">1.1", &["1.2.0", "2.0.0"], &["1.1.9"]),
            (">1.1.0", &["1.1.1"], &["1.1.0"]),
            ("<v0.2.1", &["0.2.0", "0.1.0"], &["0.2.1"]),
            ("<=1.2", &["1.2.9", "1.0.0"], &["1.3.0"]),
            ("<=1", &["1.9.9"], &["2.0.0"]),
            ("=>1.0.0", &["1.0.0"], &["0.9.9"]),
            ("=<1.0.0", &["1.0.0"], &["1.0.1"]),
            (">=1.0.0-0 <1.1.0-0", &["1.0.0-alpha", "1.0.0"], &["1.1.0", "0.9.0"]),
            (">= 1.0.0, < 2.0.0", &["1.5.0"], &["2.0.0"]),
            (">=1.0.0,<2.0.0", &["1.5.0"], &["2.0.0"]),
            ("1.2.3 1.2.3", &["1.2.3"], &["1.2.4"]),
            ("~1.2.3", &["1.2.3", "1.2.9"], &["1.3.0", "1.2.2"]),
            ("~>1.2", &["1.2.0", "1.2.9"], &["1.3.0"]),
            ("~1", &["1.9.0"], &["2.0.0"]),
            ("~0.0.0", &["5.0.0"], &[]),
            ("^1.2.3", &["1.9.0"], &["2.0.0", "1.2.2"]),
            ("^0.2.3", &["0.2.9"], &["0.3.0"]),
            ("^0.2", &["0.2.0"], &["0.3.0"]),
            ("^0.0.3", &["0.0.3"], &["0.0.4"]),
            ("^0.0", &["0.0.9"], &["0.1.0"]),
            ("^0", &["0.9.0"], &["1.0.0"]),
            ("^*", &["0.0.0"], &["0.1.0", "7.0.0"]),
            ("1.2 - 2.3.4", &["1.2.0", "2.3.4"], &["2.3.5", "1.1.9"]),
            ("1.0.0 - 1.5.0 || >=3", &["1.2.0", "3.0.0"], &["2.0.0"]),
            ("<1.0.0 || >=2.0.0", &["0.1.0", "2.0.0"], &["1.0.0"]),
            ("^1.0.0-0", &["1.2.0-rc.1"], &["2.0.0"]),
        ];
        for (constraint, yes, no) in table {
            for version in *yes {
                assert!(matches(constraint, version), "{constraint} should take {version}");
            }
            for version in *no {
                assert!(!matches(constraint, version), "{constraint} should refuse {version}");
            }
        }
    }

    #[test]
    fn what_is_no_constraint_is_an_error() {
        for bad in ["", "abc", ">=", "1.0.0 ||", ">=1.0.0<2.0.0", "==1.0.0", "1.0.0 and 2.0.0", "1.2.3 -"] {
            assert!(matches!(Constraint::parse(bad), Err(ConstraintError::Improper(_))), "{bad:?}");
        }
        assert_eq!(Constraint::parse("").unwrap_err().to_string(), "improper constraint: \"\"");
        assert_eq!(Constraint::parse("1x.2.3").unwrap_err(), ConstraintError::Version);
    }
}
