//! Which objects of a bucket make its artifact, and the revision that they have. Pure.

use api::Artifact;
use artifact::digest::{Algorithm, Digest, Hasher};
use artifact::ignore::{IGNORE_FILE, IgnoreError, Limits, Matcher};
use bucket::Object;
use net::Deadline;

/// The objects that make an artifact, sorted by the bytes of their keys, each key once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Index(Vec<Object>);

/// The ignore file of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoreFile {
    /// What changes with its text.
    pub etag: String,
    pub text: Vec<u8>,
}

impl Index {
    /// The objects of a list but for folders, the ignore file, and what it or `spec` leaves out. There are no other rules.
    pub fn new(
        mut listed: Vec<Object>,
        file: Option<&IgnoreFile>,
        spec: Option<&str>,
        limits: &Limits,
        deadline: &Deadline,
    ) -> Result<Index, IgnoreError> {
        let text = file.map(|file| file.text.as_slice()).unwrap_or_default();
        let mut matcher = Matcher::without_defaults(text, spec, limits)?;
        let mut is_kept = |object: &Object| {
            if object.key.ends_with('/') || object.key == IGNORE_FILE {
                return Ok(false);
            }
            matcher.is_ignored(object.key.as_bytes(), false, deadline).map(|is_ignored| !is_ignored)
        };
        let mut failed = None;
        listed.retain(|object| match (&failed, is_kept(object)) {
            (Some(_), _) => false,
            (None, Ok(is_kept)) => is_kept,
            (None, Err(error)) => {
                failed = Some(error);
                false
            }
        });
        failed.map_or_else(|| Ok(Index::of(listed)), Err)
    }

    /// The index of these objects.
    pub fn of(mut objects: Vec<Object>) -> Index {
        objects.sort_unstable_by(|a, b| a.key.cmp(&b.key));
        objects.dedup_by(|a, b| a.key == b.key);
        Index(objects)
    }

    /// The objects, in order.
    pub fn objects(&self) -> &[Object] {
        &self.0
    }

    /// The same, without the index.
    pub fn into_objects(self) -> Vec<Object> {
        self.0
    }

    /// The place of a key.
    pub fn find(&self, key: &str) -> Option<usize> {
        self.0.binary_search_by(|object| object.key.as_str().cmp(key)).ok()
    }

    /// Flux's revision: the digest of the lines `<key> <etag>`.
    pub fn revision(&self, algorithm: Algorithm) -> Digest {
        let mut hasher = Hasher::new(algorithm);
        for Object { key, etag, .. } in &self.0 {
            for part in [key.as_str(), " ", etag, "\n"] {
                hasher.update(part.as_bytes());
            }
        }
        hasher.finish()
    }

    /// Whether an artifact was made of these objects; its revision tells by which algorithm.
    pub fn is_of(&self, artifact: &Artifact) -> bool {
        let stored = artifact.revision.parse::<Digest>();
        stored.is_ok_and(|stored| self.revision(stored.algorithm()) == stored)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn object(key: &str, etag: &str) -> Object {
        Object { key: key.to_owned(), etag: etag.to_owned(), size: 1, ..Object::default() }
    }

    fn keys(listed: &[&str], file: &str, spec: Option<&str>) -> Vec<String> {
        let listed = listed.iter().map(|key| object(key, "1")).collect();
        let file = IgnoreFile { etag: "1".to_owned(), text: file.as_bytes().to_vec() };
        let deadline = Deadline::new(Duration::from_secs(60));
        let index = Index::new(listed, Some(&file), spec, &Limits::default(), &deadline).unwrap();
        index.objects().iter().map(|object| object.key.clone()).collect()
    }

    #[test]
    fn the_revision_is_that_of_flux() {
        // printf 'bar.yaml 2\nfoo.txt 1\n' | sha256sum
        let index = Index::of(vec![object("foo.txt", "1"), object("bar.yaml", "2"), object("foo.txt", "1")]);
        let text = "sha256:d1e9ab471ad244b8b5841b33f94dc39b41abe337881cc48d3d3e432b7a568200";
        assert_eq!(index.revision(Algorithm::Sha256).to_string(), text);
        let artifact =
            |algorithm| Artifact { revision: index.revision(algorithm).to_string(), ..Artifact::default() };
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512, Algorithm::Blake3] {
            assert!(index.is_of(&artifact(algorithm)), "{algorithm:?}");
        }
        let other = Index::of(vec![object("foo.txt", "1"), object("bar.yaml", "3")]);
        assert!(!other.is_of(&artifact(Algorithm::Sha256)));
        assert!(!index.is_of(&Artifact { revision: "main@sha1:abc".to_owned(), ..Artifact::default() }));
    }

    #[test]
    fn folders_the_ignore_file_and_what_it_leaves_out_are_no_part() {
        let listed = ["b.yaml", "a/", "a/x.md", "a/y.jpg", ".sourceignore", "d/.sourceignore", ".git/config"];
        let expected = [".git/config", "a/x.md", "a/y.jpg", "b.yaml", "d/.sourceignore"];
        assert_eq!(keys(&listed, "", None), expected, "there are no defaults");
        assert_eq!(keys(&listed, "*.md\n", None), [".git/config", "a/y.jpg", "b.yaml", "d/.sourceignore"]);
        assert_eq!(
            keys(&listed, "*.md\n*.yaml\n", Some("!b.yaml\n.git/\n.sourceignore\n")),
            ["a/y.jpg", "b.yaml"]
        );
    }
}
