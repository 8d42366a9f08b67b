//! From what and how an image was made, as an in-toto statement with a [SLSA provenance](https://slsa.dev/spec/v1.0/provenance).
//! It is not signed: who publishes an image signs it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// What went into an image.
#[derive(Clone, Debug)]
pub struct Provenance {
    /// The address of the repository, if it is known.
    pub repository: Option<String>,
    /// The commit that was built; `None` outside of a repository, or if files differ from it.
    pub commit: Option<String>,
    /// The SHA-256 of `Cargo.lock`, which pins every dependency.
    pub lock: String,
    /// What `rustc --version --verbose` says.
    pub compiler: String,
    /// The commands that built it.
    pub commands: Vec<String>,
}

impl Provenance {
    /// The statement about the image with this name and `sha256:` digest.
    pub fn statement(&self, name: &str, digest: &str) -> Value {
        let mut materials = vec![json!({"name": "Cargo.lock", "digest": {"sha256": self.lock}})];
        if let Some(commit) = &self.commit {
            let mut source =
                BTreeMap::from([("name", json!("source")), ("digest", json!({"gitCommit": commit}))]);
            source
                .extend(self.repository.iter().map(|repository| ("uri", json!(format!("git+{repository}")))));
            materials.push(json!(source));
        }
        json!({
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": name, "digest": {"sha256": digest.trim_start_matches("sha256:")}}],
            "predicateType": "https://slsa.dev/provenance/v1",
            "predicate": {
                "buildDefinition": {
                    "buildType": "urn:ferroflux:make-images",
                    "externalParameters": {"commands": self.commands},
                    "internalParameters": {"compiler": self.compiler},
                    "resolvedDependencies": materials,
                },
                "runDetails": {"builder": {"id": "urn:ferroflux:images"}},
            },
        })
    }
}

#[cfg(test)]
#[allow(clippy::indexing_slicing)]
mod tests {
    use super::*;

    #[test]
    fn a_commit_is_named_only_if_it_is_what_was_built() {
        let made = |commit: Option<&str>| {
            let provenance = Provenance {
                repository: Some("https://example.org/ferroflux".into()),
                commit: commit.map(str::to_owned),
                lock: "00".into(),
                compiler: "rustc 1".into(),
                commands: vec!["cargo build".into()],
            };
            provenance.statement("source-controller", "sha256:ab")
        };
        assert_eq!(made(None)["subject"][0]["digest"]["sha256"], "ab");
        let dependencies = |made: Value| {
            made["predicate"]["buildDefinition"]["resolvedDependencies"].as_array().map(Vec::len)
        };
        assert_eq!(dependencies(made(None)), Some(1));
        assert_eq!(dependencies(made(Some("c0ffee"))), Some(2));
    }
}
