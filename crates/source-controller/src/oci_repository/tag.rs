//! Which tag of a list a spec means.

use oci::HELM_CHART;
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

/// The highest version among `tags` that `range` allows, of those that `filter` matches anywhere. Tags of charts have `_` for the
/// `+` of a version, as Helm pushes them, which counts where `media_type` is that of charts.
pub fn highest(
    tags: Vec<String>,
    range: &str,
    filter: Option<&str>,
    media_type: Option<&str>,
) -> Result<String, TagError> {
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
    let named = |tag: String| {
        let version = if media_type == Some(HELM_CHART) { tag.replace('_', "+") } else { tag.clone() };
        (tag, version)
    };
    let highest =
        constraint.highest(tags.into_iter().filter(wanted).map(named), |(_, version)| Some(version));
    highest.into_iter().next().map(|(tag, _)| tag).ok_or_else(|| TagError::None(range.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_tag_of_the_range_is_taken_as_it_is_written() {
        let tags = ["latest", "v1.2.0", "1.10.0", "1.9.3", "2.0.0", "1.11.0-rc.1", "sha-abc", "1.2"];
        let highest = |range: &str, filter: Option<&str>| {
            highest(tags.map(str::to_owned).to_vec(), range, filter, None).map_err(|error| error.to_string())
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

    #[test]
    fn an_underscore_is_a_plus_in_tags_of_charts_alone() {
        let tags = ["6.0.0", "6.1.0_build.1", "7_0"];
        let highest = |range: &str, filter: Option<&str>, media_type: Option<&str>| {
            highest(tags.map(str::to_owned).to_vec(), range, filter, media_type).ok()
        };
        let chart = Some(HELM_CHART);
        assert_eq!(highest("6.x", None, chart).as_deref(), Some("6.1.0_build.1"), "as it is written");
        assert_eq!(highest("6.1.0", None, chart).as_deref(), Some("6.1.0_build.1"));
        for media_type in [None, Some("application/vnd.cncf.flux.content.v1.tar+gzip")] {
            assert_eq!(highest("6.x", None, media_type).as_deref(), Some("6.0.0"));
        }
        // The filter sees what the registry has.
        assert_eq!(highest("6.x", Some("_build"), chart).as_deref(), Some("6.1.0_build.1"));
        assert_eq!(highest("6.x", Some(r"\+build"), chart), None);
    }
}
