//! Artifact Registry and Container Registry: they take access tokens for passwords.

/// The user that access tokens are passwords of.
pub const REGISTRY_USERNAME: &str = "oauth2accesstoken";

/// What the host of a registry must look like, as Flux says it.
const PATTERN: &str = r"^(((.+\.)?gcr\.io)|(.+-docker\.pkg\.dev)|(docker\.s3nsregistry\.fr))$";

/// The host is none of Google's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid GCP registry: '{0}'. must match {PATTERN}")]
pub struct RegistryError(String);

/// Whether a registry may get access tokens: it is one of Google's.
///
/// # Errors
/// When it may not.
pub fn check_registry(host: &str) -> Result<(), RegistryError> {
    let lower = host.to_ascii_lowercase();
    let has_more = |suffix: &str| lower.strip_suffix(suffix).is_some_and(|rest| !rest.is_empty());
    let is_google = lower == "gcr.io"
        || has_more(".gcr.io")
        || has_more("-docker.pkg.dev")
        || lower == "docker.s3nsregistry.fr";
    if is_google { Ok(()) } else { Err(RegistryError(host.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_tokens_are_for_registries_of_google_alone() {
        for host in ["gcr.io", "eu.gcr.io", "europe-west1-docker.pkg.dev", "docker.s3nsregistry.fr"] {
            assert_eq!(check_registry(host), Ok(()), "{host}");
        }
        for host in [
            "ghcr.io",
            "evilgcr.io",
            ".gcr.io",
            "-docker.pkg.dev",
            "eu.gcr.io.evil.example",
            "gcr.io:5000",
            "pkg.dev",
            "x.docker.s3nsregistry.fr",
            "",
        ] {
            let error = check_registry(host).map_err(|error| error.to_string());
            assert_eq!(error, Err(format!("invalid GCP registry: '{host}'. must match {PATTERN}")));
        }
    }
}
