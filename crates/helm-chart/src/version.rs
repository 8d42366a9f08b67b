//! Versions of charts that were made from something.

use versions::Version;

/// Why a version cannot be marked, in Flux's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MetadataError {
    /// It is none.
    #[error("failed to parse version from chart metadata as SemVer: invalid semantic version")]
    Version,
    /// The mark has other characters than a version may have.
    #[error("failed to set SemVer metadata on chart version: invalid metadata string")]
    Metadata,
}

/// A version with `metadata` in the place of what it has after its `+`.
///
/// # Errors
/// See [`MetadataError`].
pub fn with_build_metadata(version: &str, metadata: &str) -> Result<String, MetadataError> {
    let version = Version::parse_loose(version).ok_or(MetadataError::Version)?;
    let is_allowed = |part: &str| {
        !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    };
    if !metadata.split('.').all(is_allowed) {
        return Err(MetadataError::Metadata);
    }
    Ok(format!("{version}+{metadata}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn build_metadata_replaces_what_is_there() {
        for (version, metadata, expected) in [
            ("1.2.3", "4", Ok("1.2.3+4")),
            ("v1.2", "0cc9a8446c95.2", Ok("1.2.0+0cc9a8446c95.2")),
            ("1.2.3-rc.1+old", "x", Ok("1.2.3-rc.1+x")),
            ("latest", "x", Err(MetadataError::Version)),
            ("1.0.0", "a_b", Err(MetadataError::Metadata)),
            ("1.0.0", "a..b", Err(MetadataError::Metadata)),
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(with_build_metadata(version, metadata), expected, "{version} {metadata}");
        }
    }
}
