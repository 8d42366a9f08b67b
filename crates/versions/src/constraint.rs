//! Constraints: which versions are wanted.

use crate::Version;
use crate::version::Parts;

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
    ///
    /// # Errors
    /// For a text that is not a list of comparisons, and for numbers that do not fit.
    pub fn parse(text: &str) -> Result<Constraint, ConstraintError> {
        let groups = text.split("||").map(Group::parse).collect::<Result<_, _>>()?;
        Ok(Constraint { groups })
    }

    /// Whether `version` satisfies all comparisons of any group.
    pub fn matches(&self, version: &Version) -> bool {
        self.groups.iter().any(|group| {
            (version.pre.is_empty() || group.pre_releases)
                && group.comparisons.iter().all(|c| c.matches(version))
        })
    }

    /// The candidates of highest precedence among those that satisfy the constraint: several when they differ in build
    /// metadata only, none when no candidate satisfies it. What has no name, or one that is no version, is passed over.
    pub fn highest<T>(
        &self,
        candidates: impl IntoIterator<Item = T>,
        name: impl Fn(&T) -> Option<&str>,
    ) -> Vec<T> {
        let mut best: Option<Version> = None;
        let mut highest = Vec::new();
        for candidate in candidates {
            let version = name(&candidate).and_then(Version::parse);
            let Some(version) = version.filter(|version| self.matches(version)) else { continue };
            if best.as_ref().is_none_or(|best| version > *best) {
                best = Some(version);
                highest = vec![candidate];
            } else if best.as_ref() == Some(&version) {
                highest.push(candidate);
            }
        }
        highest
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
    fn the_highest_candidates_are_found() {
        let highest = |constraint: &str| {
            let names = ["v1.0.0", "x", "2.0.0+a", "1.9.0", "", "2.0.0+b", "2.0.0", "3.0.0-rc.1", "2.0"];
            let constraint = Constraint::parse(constraint).unwrap();
            constraint.highest(names, |name| Some(*name).filter(|name| !name.is_empty()))
        };
        assert_eq!(highest("*"), ["2.0.0+a", "2.0.0+b", "2.0.0"]);
        assert_eq!(highest("<1.9"), ["v1.0.0"]);
        assert_eq!(highest(">2.0.0-0"), ["3.0.0-rc.1"]);
        assert_eq!(highest(">3.0.0"), [""; 0]);
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
    fn malformed_constraints_are_errors() {
        for bad in ["", "abc", ">=", "1.0.0 ||", ">=1.0.0<2.0.0", "==1.0.0", "1.0.0 and 2.0.0", "1.2.3 -"] {
            assert!(matches!(Constraint::parse(bad), Err(ConstraintError::Improper(_))), "{bad:?}");
        }
        assert_eq!(Constraint::parse("").unwrap_err().to_string(), "improper constraint: \"\"");
        assert_eq!(Constraint::parse("1x.2.3").unwrap_err(), ConstraintError::Version);
    }
}
