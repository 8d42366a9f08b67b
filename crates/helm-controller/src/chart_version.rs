//! The version of a chart whose artifact has a digest: that a tag was moved is seen in the version (Flux:
//! `mutateChartWithSourceRevision`).

use helm_chart::{MetadataError, with_build_metadata};
use versions::Version;

/// How much of a digest is put into a version.
const DIGEST_DIGITS: usize = 12;

/// Why a version cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum VersionError {
    /// The chart has no semantic version.
    #[error("invalid chart version {0}")]
    Chart(String),
    /// The tag is a version, and another one than the chart's.
    #[error("artifact revision {tag} does not match chart version {version}")]
    Mismatch {
        /// The tag, or all of a revision without one.
        tag: String,
        /// The version in Chart.yaml.
        version: String,
    },
    /// The revision has no digest, or a short one.
    #[error("invalid artifact revision {0}")]
    Revision(String),
    /// The digest has characters that no version may have.
    #[error("invalid metadata string")]
    Metadata,
}

/// A version that was made from a chart's own and a revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrackedVersion {
    /// The chart's version with the begin of the digest as build metadata: `1.2.3+0cc9a8446c95`.
    pub version: String,
    /// What is recorded as the digest: that of the revision or, if its tag is no version, all of the revision, as Flux does.
    pub digest: String,
}

/// Whether the revisions of a source have digests: those of an OCIRepository always, those of an ExternalArtifact with a colon.
pub fn has_digest(kind: &str, revision: &str) -> bool {
    kind == "OCIRepository" || kind == "ExternalArtifact" && revision.contains(':')
}

/// The version of a chart from an artifact with this revision: `<tag>@<algorithm>:<digest>` or `<algorithm>:<digest>`. Build metadata of the
/// chart's own version is replaced. With the gate DisableChartDigestTracking only the digest is used.
///
/// # Errors
/// See [`VersionError`].
pub fn tracked(chart_version: &str, revision: &str) -> Result<TrackedVersion, VersionError> {
    let own =
        Version::parse_loose(chart_version).ok_or_else(|| VersionError::Chart(chart_version.to_owned()))?;
    let parts: Vec<_> = revision.split('@').collect();
    // A tag cannot have a plus sign, so OCI clients write an underscore.
    let tag = match parts[..] {
        [whole] => whole.to_owned(),
        [tag, ..] => tag.replace('_', "+"),
        [] => String::new(),
    };
    let digest = match (Version::parse_loose(&tag), &parts[..]) {
        (None, _) => revision,
        (Some(tagged), [_, digest]) if tagged == own => digest,
        (Some(_), parts) => {
            let tag = parts.first().copied().unwrap_or_default().to_owned();
            return Err(VersionError::Mismatch { tag, version: chart_version.to_owned() });
        }
    };
    let metadata = digits(digest).ok_or_else(|| VersionError::Revision(digest.to_owned()))?;
    let version = with_build_metadata(chart_version, metadata).map_err(|error| match error {
        MetadataError::Version => VersionError::Chart(chart_version.to_owned()),
        MetadataError::Metadata => VersionError::Metadata,
    })?;
    Ok(TrackedVersion { version, digest: digest.to_owned() })
}

/// The first digits of the one digest of a revision.
fn digits(revision: &str) -> Option<&str> {
    let (_, digest) = revision.split_once(':')?;
    if digest.contains(':') { None } else { digest.get(..DIGEST_DIGITS) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:0cc9a8446c95009ef382f5eade883a67c257f77d50f84e78ecef2aac9428d1e5";

    #[test]
    fn a_version_has_the_digest_of_its_artifact() {
        for (version, tag) in
            [("1.2.3", "1.2.3"), ("1.2.3", "v1.2.3"), ("1.2.3+old", "1.2.3_other"), ("v1.2.3", "1.2.3+x")]
        {
            let made = tracked(version, &format!("{tag}@{DIGEST}"));
            let expected = TrackedVersion { version: "1.2.3+0cc9a8446c95".into(), digest: DIGEST.into() };
            assert_eq!(made, Ok(expected), "{version} {tag}");
        }
    }

    #[test]
    fn a_tag_that_is_no_version_is_not_compared() {
        let revision = format!("latest@{DIGEST}");
        for revision in [revision.as_str(), DIGEST] {
            let made = tracked("1.2.3-rc.1+a", revision);
            let expected =
                TrackedVersion { version: "1.2.3-rc.1+0cc9a8446c95".into(), digest: revision.into() };
            assert_eq!(made, Ok(expected));
        }
    }

    #[test]
    fn what_does_not_fit_is_told_as_flux_does() {
        for (version, revision, text) in [
            (
                "1.2.3",
                "1.2.4@sha256:0cc9a8446c95",
                "artifact revision 1.2.4 does not match chart version 1.2.3",
            ),
            ("1.2.3", "1.2.3", "artifact revision 1.2.3 does not match chart version 1.2.3"),
            ("1.2.3", "1.2.3@a@b", "artifact revision 1.2.3 does not match chart version 1.2.3"),
            ("latest", "1.2.3@sha256:0cc9a8446c95", "invalid chart version latest"),
            ("1.2.3", "1.2.3@sha256:short", "invalid artifact revision sha256:short"),
            ("1.2.3", "main@sha256:short", "invalid artifact revision main@sha256:short"),
            ("1.2.3", "none", "invalid artifact revision none"),
            ("1.2.3", "a:b:0cc9a8446c95", "invalid artifact revision a:b:0cc9a8446c95"),
            ("1.2.3", "sha256:0cc9_8446c95xx", "invalid metadata string"),
            ("1.2.3", "sha256:éééééééé", "invalid metadata string"),
        ] {
            let error = tracked(version, revision).err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), Some(text), "{version} {revision}");
        }
    }

    #[test]
    fn only_artifacts_of_registries_and_of_others_have_digests() {
        assert!(has_digest("OCIRepository", "1.2.3") && has_digest("ExternalArtifact", DIGEST));
        assert!(!has_digest("ExternalArtifact", "1.2.3") && !has_digest("HelmChart", DIGEST));
    }
}
