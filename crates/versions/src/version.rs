//! Versions and their order.

use std::cmp::Ordering;
use std::fmt;

/// A version. Versions are ordered by semver's precedence; build metadata never takes part in that, so it is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Version {
    pub(crate) major: u64,
    pub(crate) minor: u64,
    pub(crate) patch: u64,
    pub(crate) pre: String,
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

    /// Reads a version of one to three parts, as Helm takes it in a chart; what is missing counts as 0.
    pub fn parse_loose(text: &str) -> Option<Version> {
        Parts::scan(text, |b| b.is_ascii_digit()).filter(|p| p.rest.is_empty())?.version()
    }

    /// The first number.
    pub fn major(&self) -> u64 {
        self.major
    }

    /// The second number.
    pub fn minor(&self) -> u64 {
        self.minor
    }

    /// The third number.
    pub fn patch(&self) -> u64 {
        self.patch
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)?;
        if self.pre.is_empty() { Ok(()) } else { write!(f, "-{}", self.pre) }
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
pub(crate) struct Parts<'a> {
    pub(crate) major: &'a str,
    pub(crate) minor: Option<&'a str>,
    pub(crate) patch: Option<&'a str>,
    pub(crate) pre: &'a str,
    pub(crate) rest: &'a str,
}

impl<'a> Parts<'a> {
    pub(crate) fn scan(text: &'a str, number: impl Fn(u8) -> bool) -> Option<Self> {
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

    pub(crate) fn version(&self) -> Option<Version> {
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

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_loose_version_may_have_fewer_parts_and_is_shown_with_three() {
        for (text, shown) in [
            ("1", "1.0.0"),
            ("v1.2", "1.2.0"),
            ("1.2-rc.1", "1.2.0-rc.1"),
            ("v1.2.3-a+b", "1.2.3-a"),
            ("01.2", "1.2.0"),
        ] {
            assert_eq!(Version::parse_loose(text).map(|v| v.to_string()).as_deref(), Some(shown), "{text}");
        }
        for bad in ["", "v", "1.", "1.2.3.4", "latest", "1.2.3-01", "1.2.x"] {
            assert_eq!(Version::parse_loose(bad), None, "{bad}");
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
}
