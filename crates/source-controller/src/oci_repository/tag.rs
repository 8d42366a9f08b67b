//! Which tag of a list a spec means.

use regex::RegexBuilder;
use versions::{Constraint, ConstraintError};

/// Bytes that a filter may take once it is compiled.
const FILTER_BYTES: usize = 1 << 20;

/// Why no tag is meant.
#[derive(Debug, thiserror::Error)]
pub enum TagError {
    /// `semverFilter` is no regular expression.
    #[error("error parsing regexp: {0}")]
    Filter(String),
    /// `semver` is no range.
    #[error("semver '{range}' parse error: {source}")]
    Range {
        /// The range as it is written.
        range: String,
        /// What is wrong with it.
        source: ConstraintError,
    },
    /// No tag is in the range.
    #[error("no match found for semver: {0}")]
    None(String),
}

/// The highest version among `tags` that `range` allows, of those that `filter` matches anywhere.
pub fn highest(tags: Vec<String>, range: &str, filter: Option<&str>) -> Result<String, TagError> {
    let constraint =
        Constraint::parse(range).map_err(|source| TagError::Range { range: range.to_owned(), source })?;
    let filter = match filter.filter(|filter| !filter.is_empty()) {
        Some(filter) => {
            let filter = RegexBuilder::new(filter).size_limit(FILTER_BYTES).build();
            Some(filter.map_err(|error| TagError::Filter(error.to_string()))?)
        }
        None => None,
    };
    let wanted = |tag: &String| filter.as_ref().is_none_or(|filter| filter.is_match(tag));
    let highest = constraint.highest(tags.into_iter().filter(wanted), |tag| Some(tag));
    highest.into_iter().next().ok_or_else(|| TagError::None(range.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_tag_of_the_range_is_taken_as_it_is_written() {
        let tags = ["latest", "v1.2.0", "1.10.0", "1.9.3", "2.0.0", "1.11.0-rc.1", "sha-abc", "1.2"];
        let highest = |range: &str, filter: Option<&str>| {
            highest(tags.map(str::to_owned).to_vec(), range, filter).map_err(|error| error.to_string())
        };
        let found = |tag: &str| Ok(tag.to_owned());
        assert_eq!(highest("1.x", None), found("1.10.0"));
        assert_eq!(highest(">=1.0.0-0 <2", None), found("1.11.0-rc.1"));
        assert_eq!(highest("*", None), found("2.0.0"));
        assert_eq!(highest(">=1.0.0-0", Some(".*-rc.*")), found("1.11.0-rc.1"));
        assert_eq!(highest("1.x", Some("^v")), found("v1.2.0"));
        assert_eq!(highest("3.x", None), Err("no match found for semver: 3.x".to_owned()));
        assert_eq!(highest("1.x", Some("^none$")), Err("no match found for semver: 1.x".to_owned()));
        assert!(highest("one", None).is_err_and(|text| text.starts_with("semver 'one' parse error: ")));
        assert!(highest("1.x", Some("(")).is_err_and(|text| text.starts_with("error parsing regexp: ")));
        assert!(highest("1.x", Some("a{1000}{1000}")).is_err(), "a filter has a limit");
    }
}
