//! What a spec says, in the terms of those who do it.

use std::time::Duration;

use api::GitRepository;
use git::Reference;

/// `spec.timeout`; what is no duration, or none at all, counts as the default of 60s.
pub fn timeout(object: &GitRepository) -> Duration {
    object.spec.timeout.parse().ok().filter(|t| !t.is_zero()).unwrap_or(Duration::from_secs(60))
}

/// `spec.ref`.
pub fn reference(object: &GitRepository) -> Reference {
    let wanted = object.spec.reference.clone().unwrap_or_default();
    Reference {
        branch: wanted.branch,
        tag: wanted.tag,
        semver: wanted.semver,
        name: wanted.name,
        commit: wanted.commit,
    }
}
