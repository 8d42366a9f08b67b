//! Which commit is wanted, and how Flux writes down which one it was.

use gix::ObjectId;
use versions::Constraint;

use crate::{Error, RemoteRef, cache::TAGS_PREFIX};

/// `spec.ref`, as it is written. What is empty counts as unset.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reference {
    /// A branch; `master` when nothing at all is set.
    pub branch: Option<String>,
    /// A tag.
    pub tag: Option<String>,
    /// A constraint over tags.
    pub semver: Option<String>,
    /// A full ref name.
    pub name: Option<String>,
    /// A commit, in full.
    pub commit: Option<String>,
}

/// What a reference selects. `commit` beats `name` beats `tag` beats `semver` beats `branch`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selector<'a> {
    /// A commit, labelled with the name if there is one, and required to belong to the branch if there is one.
    Commit {
        commit: &'a str,
        branch: Option<&'a str>,
        name: Option<&'a str>,
    },
    Name(&'a str),
    Tag(&'a str),
    Semver(&'a str),
    Branch(&'a str),
}

impl Reference {
    /// Whether what it selects can be a tag.
    pub fn can_be_tag(&self) -> bool {
        let is_tag = |name: &str| name.starts_with(TAGS_PREFIX);
        match self.selector() {
            Selector::Tag(_) | Selector::Semver(_) => true,
            Selector::Name(name) => is_tag(name),
            Selector::Commit { name, .. } => name.is_some_and(is_tag),
            Selector::Branch(_) => false,
        }
    }

    pub(crate) fn selector(&self) -> Selector<'_> {
        let [branch, tag, semver, name, commit] =
            [&self.branch, &self.tag, &self.semver, &self.name, &self.commit]
                .map(|field| field.as_deref().filter(|text| !text.is_empty()));
        match (commit, name, tag, semver) {
            (Some(commit), ..) => Selector::Commit { commit, branch, name },
            (_, Some(name), ..) => Selector::Name(name),
            (_, _, Some(tag), _) => Selector::Tag(tag),
            (_, _, _, Some(semver)) => Selector::Semver(semver),
            _ => Selector::Branch(branch.unwrap_or("master")),
        }
    }
}

/// `<label>@sha1:<hex>`, or `sha1:<hex>` without a label.
pub(crate) fn revision(label: Option<&str>, commit: &ObjectId) -> String {
    match label {
        Some(label) => format!("{label}@sha1:{commit}"),
        None => format!("sha1:{commit}"),
    }
}

/// A revision in today's form: `main/<sha>` was `main@sha1:<sha>`, `HEAD/<sha>` and `<sha>` were `sha1:<sha>`.
pub fn current_revision(revision: &str) -> String {
    if revision.contains(':') || revision.is_empty() {
        return revision.to_owned();
    }
    match revision.rsplit_once('/') {
        Some(("HEAD", hash)) => format!("sha1:{hash}"),
        Some((name, hash)) => format!("{name}@sha1:{hash}"),
        None => format!("sha1:{revision}"),
    }
}

/// The tags of highest precedence that satisfy `constraint`: several when they differ in build metadata only.
pub(crate) fn highest_tags(constraint: &str, refs: &[RemoteRef]) -> Result<Vec<RemoteRef>, Error> {
    let highest = Constraint::parse(constraint)?.highest(refs, |tag| tag.name.strip_prefix("refs/tags/"));
    if highest.is_empty() {
        return Err(Error::NoVersion(constraint.to_owned()));
    }
    Ok(highest.into_iter().cloned().collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn id(digit: char) -> ObjectId {
        ObjectId::from_hex(digit.to_string().repeat(40).as_bytes()).unwrap()
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn a_tag_is_selected_by_its_name_a_range_or_its_ref() {
        let none = Reference::default;
        for (reference, selects) in [
            (none(), false),
            (Reference { tag: some("v1"), ..none() }, true),
            (Reference { semver: some("*"), branch: some("b"), ..none() }, true),
            (Reference { name: some("refs/tags/v1"), ..none() }, true),
            (Reference { name: some("refs/heads/v1"), tag: some("v1"), ..none() }, false),
            (Reference { commit: some("c"), tag: some("v1"), ..none() }, false),
            (Reference { commit: some("c"), name: some("refs/tags/v1"), ..none() }, true),
        ] {
            assert_eq!(reference.can_be_tag(), selects, "{reference:?}");
        }
    }

    #[test]
    fn precedence_is_commit_name_tag_semver_branch() {
        let mut reference = Reference {
            branch: some("b"),
            tag: some("t"),
            semver: some("*"),
            name: some("refs/n"),
            commit: some("c"),
        };
        assert_eq!(
            reference.selector(),
            Selector::Commit { commit: "c", branch: Some("b"), name: Some("refs/n") }
        );
        reference.commit = some("");
        assert_eq!(reference.selector(), Selector::Name("refs/n"));
        reference.name = None;
        assert_eq!(reference.selector(), Selector::Tag("t"));
        reference.tag = None;
        assert_eq!(reference.selector(), Selector::Semver("*"));
        reference.semver = None;
        assert_eq!(reference.selector(), Selector::Branch("b"));
        assert_eq!(Reference::default().selector(), Selector::Branch("master"));
    }

    #[test]
    fn old_revisions_are_read_as_new_ones() {
        for (old, new) in [
            ("main/abc", "main@sha1:abc"),
            ("feature/x/abc", "feature/x@sha1:abc"),
            ("HEAD/abc", "sha1:abc"),
            ("abc", "sha1:abc"),
            ("main@sha1:abc", "main@sha1:abc"),
            ("", ""),
        ] {
            assert_eq!(current_revision(old), new);
        }
        assert_eq!(revision(Some("a/b"), &id('1')), format!("a/b@sha1:{}", "1".repeat(40)));
        assert_eq!(revision(None, &id('1')), format!("sha1:{}", "1".repeat(40)));
    }

    #[test]
    fn semver_takes_the_highest_tag() {
        let names =
            ["non-semver-tag", "v0.1.0", "0.2.0", "v0.2.1", "v1.0.0-alpha", "v1.1.0", "v2.0.0", "v2.0.0+b"];
        let refs: Vec<_> = names
            .iter()
            .map(|n| RemoteRef { name: format!("refs/tags/{n}"), object: id('a'), peeled: None })
            .collect();
        let highest = |constraint: &str| -> Vec<String> {
            highest_tags(constraint, &refs)
                .unwrap()
                .iter()
                .map(|r| r.name.replace("refs/tags/", ""))
                .collect()
        };
        assert_eq!(highest("*"), ["v2.0.0", "v2.0.0+b"]);
        assert_eq!(highest("<v0.2.1"), ["0.2.0"]);
        assert_eq!(highest(">=1.0.0-0 <1.1.0-0"), ["v1.0.0-alpha"]);
        let error = highest_tags(">=3", &refs).unwrap_err();
        assert_eq!(error.to_string(), "no match found for semver: >=3");
        let error = highest_tags("nope", &refs).unwrap_err();
        assert_eq!(error.to_string(), "semver parse error: improper constraint: \"nope\"");
    }
}
