//! What a spec says, in the terms of those who do it.

use api::GitRepository;
use git::Reference;

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
