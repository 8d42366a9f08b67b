//! Whether the artifact in the status is what the spec asks for, whatever the upstream says.

use api::{Artifact, ConditionStatus, GitRepository, GitRepositoryStatus};
use runtime::conditions;

use source::failure::condition::ARTIFACT_IN_STORAGE;

use super::verification;

/// Whether the stored artifact was made from other settings than those in the spec, so that an unmoved upstream does
/// not make it current.
pub fn config_changed(object: &GitRepository, includes: &[Artifact]) -> bool {
    let (spec, none) = (&object.spec, GitRepositoryStatus::default());
    let status = object.status.as_ref().unwrap_or(&none);
    let same =
        |(one, other): (&Artifact, &Artifact)| one.revision == other.revision && one.digest == other.digest;
    spec.ignore != status.observed_ignore
        || spec.recurse_submodules != status.observed_recurse_submodules
        || spec.include != status.observed_include
        || includes.len() != status.included_artifacts.len()
        || !includes.iter().zip(&status.included_artifacts).all(same)
        || spec.sparse_checkout != status.observed_sparse_checkout
        || verification::required(object)
}

/// The revision that an upstream must have for nothing to be done.
///
/// A commit that the spec names is no answer of the upstream: the artifact must have been made from this very spec,
/// which may name another upstream by now.
pub fn known_revision(object: &GitRepository, includes: &[Artifact]) -> Option<String> {
    let status = object.status.as_ref()?;
    let stored = conditions::find(&status.conditions, ARTIFACT_IN_STORAGE)?;
    let named = object.spec.reference.as_ref().is_some_and(|r| r.commit.is_some());
    let trusted = stored.status == ConditionStatus::True
        && (!named || stored.observed_generation == object.metadata.generation)
        && verification::stands(object)
        && !config_changed(object, includes);
    status.artifact.as_ref().filter(|_| trusted).map(|artifact| artifact.revision.clone())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
mod tests {
    use super::super::stored;
    use super::super::tests::{REVISION, artifact, good, now, stored_text};
    use super::*;
    use api::git_repository::{GitRepositoryInclude, GitRepositoryRef};
    use source::status::{begin, up_to_date};

    #[test]
    fn a_named_commit_is_known_only_to_the_spec_that_it_was_stored_for() {
        let mut object = good();
        let reference = GitRepositoryRef { commit: Some("1".into()), ..GitRepositoryRef::default() };
        object.spec.reference = Some(reference);
        assert!(known_revision(&object, &[]).is_some());
        object.metadata.generation = Some(2);
        assert_eq!(known_revision(&object, &[]), None, "the URL may be another");
        begin(&mut object, now());
        up_to_date(&mut object, &stored_text(REVISION), now());
        assert!(known_revision(&object, &[]).is_some());
        object.metadata.generation = Some(3);
        object.spec.reference = None;
        assert!(known_revision(&object, &[]).is_some(), "the upstream is asked where the branch is");
    }

    #[test]
    fn an_unmoved_upstream_counts_only_for_the_settings_it_was_built_with() {
        assert!(known_revision(&good(), &[]).is_some());
        let changes: [fn(&mut GitRepository); 6] = [
            |o| o.spec.ignore = Some(String::new()),
            |o| o.spec.recurse_submodules = true,
            |o| o.spec.include = vec![api::git_repository::GitRepositoryInclude::default()],
            |o| o.spec.sparse_checkout = vec!["./a".into()],
            |o| o.status.as_mut().unwrap().artifact = None,
            |o| o.status.as_mut().unwrap().conditions.clear(),
        ];
        for change in changes {
            let mut object = good();
            change(&mut object);
            assert_eq!(known_revision(&object, &[]), None);
        }
    }

    #[test]
    fn an_artifact_is_made_anew_when_its_content_settings_changed() {
        let include = |name: &str, from: &str, to: &str| GitRepositoryInclude {
            repository: api::LocalObjectReference { name: name.into() },
            from_path: from.into(),
            to_path: to.into(),
        };
        let a = || include("a", "b/c", "d");
        let one = || artifact("main@sha1:a", "sha256:a");
        type Case = (&'static str, fn(&mut GitRepository), Vec<Artifact>, bool);
        let cases: [Case; 14] = [
            ("nothing", |_| (), vec![one()], false),
            ("ignore", |o| o.spec.ignore = Some("x".into()), vec![one()], true),
            ("an empty ignore", |o| o.spec.ignore = Some(String::new()), vec![one()], true),
            ("submodules", |o| o.spec.recurse_submodules = true, vec![one()], true),
            ("another sparse directory", |o| o.spec.sparse_checkout.push("z".into()), vec![one()], true),
            ("case of a sparse directory", |o| o.spec.sparse_checkout[0] = "X/y".into(), vec![one()], true),
            ("a sparse directory with ./", |o| o.spec.sparse_checkout[0] = "./x/y".into(), vec![one()], true),
            ("order of sparse directories", |o| o.spec.sparse_checkout.reverse(), vec![one()], true),
            ("included revision", |_| (), vec![artifact("main@sha1:b", "sha256:a")], true),
            ("included digest", |_| (), vec![artifact("main@sha1:a", "sha256:b")], true),
            ("number of artifacts", |o| o.spec.include.clear(), vec![], true),
            ("repository", |o| o.spec.include[0].repository.name = "b".into(), vec![one()], true),
            ("fromPath", |o| o.spec.include[0].from_path = "b".into(), vec![one()], true),
            ("toPath", |o| o.spec.include[0].to_path = String::new(), vec![one()], true),
        ];
        for (what, change, includes, changed) in cases {
            let mut object = good();
            object.spec.include = vec![a()];
            object.spec.sparse_checkout = vec!["x/y".into(), "w".into()];
            stored(&mut object, vec![one()]);
            change(&mut object);
            assert_eq!(config_changed(&object, &includes), changed, "{what}");
            assert_eq!(known_revision(&object, &includes).is_none(), changed, "{what}");
        }
    }
}
