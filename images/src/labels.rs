//! The labels of images, which are the [annotations](https://github.com/opencontainers/image-spec/blob/v1.1.1/annotations.md) that
//! OCI has named. `Dockerfile` has the same.

use std::collections::BTreeMap;

/// The controllers that have an image: the package, which is also the binary and the image's name, and what it is for.
pub const CONTROLLERS: [(&str, &str); 4] = [
    ("source-controller", "Fetches sources and serves them as artifacts."),
    ("kustomize-controller", "Builds kustomizations and keeps clusters equal to them."),
    ("helm-controller", "Keeps releases of Helm charts as HelmReleases say."),
    ("source-watcher", "Composes artifacts of the files of sources and serves them."),
];

/// The version that images have, as their tag has it.
#[must_use]
pub fn version() -> String {
    format!("v{}", env!("CARGO_PKG_VERSION"))
}

/// The labels of an image with this name that is for this: with the commit and the address of its sources, as far as they are known.
#[must_use]
pub fn labels(
    name: &str,
    description: &str,
    commit: Option<&str>,
    repository: Option<&str>,
) -> BTreeMap<String, String> {
    let known = [
        ("title", Some(name)),
        ("description", Some(description)),
        ("version", Some(&*version())),
        ("licenses", Some("Apache-2.0")),
        ("revision", commit),
        ("source", repository),
    ]
    .map(|(label, value)| value.map(|value| (format!("org.opencontainers.image.{label}"), value.to_owned())));
    known.into_iter().flatten().collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// The labels of each stage of `Dockerfile` that is an image, by the name of the stage.
    fn stages() -> BTreeMap<String, BTreeMap<String, String>> {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Dockerfile")).unwrap();
        let mut stages = BTreeMap::<String, BTreeMap<String, String>>::new();
        let mut current = None;
        for line in text.replace("\\\n", " ").lines() {
            if line.starts_with("FROM ") {
                current = line.strip_prefix("FROM scratch AS ").map(str::to_owned);
            }
            let (Some(stage), Some(labels)) = (&current, line.strip_prefix("LABEL ")) else { continue };
            let stage = stages.entry(stage.clone()).or_default();
            for label in labels.split("\" ") {
                let (name, value) = label.split_once("=\"").unwrap();
                stage.insert(name.trim().to_owned(), value.trim_end_matches('"').to_owned());
            }
        }
        stages
    }

    #[test]
    fn the_dockerfile_labels_images_as_the_archives_are() {
        let (commit, repository) = (Some("${SOURCE_REVISION}"), Some("${SOURCE_URL}"));
        let expected = CONTROLLERS
            .map(|(name, description)| (name.to_owned(), labels(name, description, commit, repository)));
        assert_eq!(stages(), BTreeMap::from(expected));
    }

    #[test]
    fn what_is_not_known_is_no_label() {
        let names: Vec<_> = labels("a", "b", None, None).into_keys().collect();
        let expected = ["description", "licenses", "title", "version"];
        assert_eq!(names, expected.map(|name| format!("org.opencontainers.image.{name}")));
    }
}
