//! What the status of a GitRepository has beyond that of any source: what its artifact was made from.

mod includes;
pub mod observed;
pub mod verification;

pub use self::includes::{included, includes_changed};

use api::{Artifact, GitRepository};

/// The artifact was made from the spec as it is, and from `includes`.
pub fn stored(object: &mut GitRepository, includes: Vec<Artifact>) {
    let spec = object.spec.clone();
    let status = object.status.get_or_insert_default();
    status.included_artifacts = includes;
    status.observed_ignore = spec.ignore;
    status.observed_recurse_submodules = spec.recurse_submodules;
    status.observed_include = spec.include;
    status.observed_sparse_checkout = spec.sparse_checkout;
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::super::GitRepositories;
    use super::*;
    use api::GitRepositoryStatus;
    use jiff::Timestamp;
    use source::Upstream;
    use source::status::{End, artifact_missing, begin, end, new_revision, up_to_date};

    pub(super) const REVISION: &str = "main@sha1:1";

    pub(super) fn now() -> Timestamp {
        Timestamp::from_second(1_700_000_000).unwrap()
    }

    pub(super) fn object() -> GitRepository {
        let mut object = GitRepository::new("a", api::GitRepositorySpec::default());
        object.metadata.generation = Some(1);
        object.status =
            Some(GitRepositoryStatus { observed_generation: Some(-1), ..GitRepositoryStatus::default() });
        object
    }

    pub(super) fn artifact(revision: &str, digest: &str) -> Artifact {
        Artifact { revision: revision.into(), digest: digest.into(), ..Artifact::default() }
    }

    /// The texts of the kind.
    pub(super) fn stored_text(revision: &str) -> String {
        GitRepositories::stored_text(revision)
    }

    pub(super) fn news_text(revision: &str) -> String {
        super::super::news_text(revision)
    }

    pub(super) fn set_artifact(object: &mut GitRepository, artifact: Artifact) {
        object.status.get_or_insert_default().artifact = Some(artifact);
    }

    /// An object after a good pass.
    pub(super) fn good() -> GitRepository {
        let mut object = object();
        begin(&mut object, now());
        artifact_missing(&mut object, false, now());
        new_revision(&mut object, &news_text(REVISION), now());
        set_artifact(&mut object, artifact(REVISION, "sha256:1"));
        stored(&mut object, Vec::new());
        up_to_date(&mut object, &stored_text(REVISION), now());
        end(&mut object, &End::Success, now());
        object
    }

    /// `type=status/reason message` of each condition, in order.
    pub(super) fn shown(object: &GitRepository) -> Vec<String> {
        let list = &object.status.as_ref().unwrap().conditions;
        list.iter().map(|c| format!("{}={}/{} {}", c.type_, c.status, c.reason, c.message)).collect()
    }

    pub(super) fn observed(object: &GitRepository) -> Option<i64> {
        object.status.as_ref().unwrap().observed_generation
    }

    #[test]
    fn a_quiet_pass_leaves_the_status_as_it_was() {
        let mut object = good();
        let before = object.clone();
        let later = Timestamp::from_second(1_800_000_000).unwrap();
        assert!(!begin(&mut object, later));
        assert_eq!(observed::known_revision(&object, &[]).as_deref(), Some(REVISION));
        up_to_date(&mut object, &stored_text(REVISION), later);
        end(&mut object, &End::Success, later);
        assert_eq!(object, before);
    }
}
