//! Charts in a registry, of which each is a repository with its versions as tags.

use ::oci::{
    BlobError, Client, Descriptor, Digest, HELM_CHART, ManifestError, Reference, Repository, TagsError,
};
use net::Deadline;
use versions::{Constraint, Version};

use crate::registry::Session;

/// The configuration that a chart's manifest has.
const CONFIG: &str = "application/vnd.cncf.helm.config.v1+json";

/// Why a chart cannot be had, in the words of Flux and Helm.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// The list of tags.
    #[error("could not get tags for \"{chart}\": could not fetch tags for \"oci://{repository}\": {source}")]
    Tags {
        /// The chart.
        chart: String,
        /// Its repository.
        repository: String,
        /// What is wrong.
        source: TagsError,
    },
    /// There is no tag that is a version.
    #[error("could not get tags for \"{0}\": unable to locate any tags in provided repository: oci://{1}")]
    NoTags(String, String),
    /// The version is no range.
    #[error(transparent)]
    Range(#[from] versions::ConstraintError),
    /// No tag is in the range.
    #[error("could not locate a version matching provided version string {0}")]
    None(String),
    /// The version cannot be a tag.
    #[error(transparent)]
    Tag(#[from] oci::TagError),
    /// The manifest.
    #[error("failed to get 'oci://{reference}': {source}")]
    Manifest {
        /// What was asked for.
        reference: String,
        /// What is wrong.
        source: Box<ManifestError>,
    },
    /// It is no chart.
    #[error(
        "failed to get 'oci://{reference}': manifest does not contain a layer with mediatype {HELM_CHART}"
    )]
    Layer {
        /// What was asked for.
        reference: String,
    },
    /// The same.
    #[error("failed to get 'oci://{reference}': could not load config with mediatype {CONFIG}")]
    Config {
        /// What was asked for.
        reference: String,
    },
    /// The archive.
    #[error("failed to get 'oci://{reference}': {source}")]
    Blob {
        /// What was asked for.
        reference: String,
        /// What is wrong.
        source: Box<BlobError>,
    },
}

/// A chart in a registry.
pub struct RegistryChart<'a> {
    /// Who asks.
    pub session: Session<'a>,
    /// Where it is.
    pub repository: &'a Repository,
}

impl RegistryChart<'_> {
    /// The version that is meant: one that is a version is taken as it is, and nobody is asked; else the highest tag in the range.
    pub async fn version(
        &mut self,
        chart: &str,
        wanted: &str,
        deadline: &Deadline,
    ) -> Result<String, RegistryError> {
        if Version::parse(wanted).is_some() {
            return Ok(wanted.to_owned());
        }
        let place = self.repository;
        let repository = || place.to_string();
        let ask = |client: Client| async move { client.tags(place, deadline).await };
        let tags = self.session.ask(deadline, TagsError::request, ask).await;
        let tags = tags.map_err(|source| RegistryError::Tags {
            chart: chart.to_owned(),
            repository: repository(),
            source,
        })?;
        let versions: Vec<String> =
            tags.iter().filter(|tag| is_version(tag)).map(|tag| tag.replace('_', "+")).collect();
        if versions.is_empty() {
            return Err(RegistryError::NoTags(chart.to_owned(), repository()));
        }
        if versions.iter().any(|version| version == wanted) {
            return Ok(wanted.to_owned());
        }
        let constraint = Constraint::parse(if wanted.is_empty() { "*" } else { wanted })?;
        let highest = constraint.highest(versions, |version| Some(version)).into_iter().next();
        highest.ok_or_else(|| RegistryError::None(wanted.to_owned()))
    }

    /// The digest that a version has now.
    pub async fn digest(&mut self, version: &str, deadline: &Deadline) -> Result<Digest, RegistryError> {
        let reference = self.reference(version)?;
        let resolved = self.session.resolve(&reference, deadline).await;
        let failed =
            |source| RegistryError::Manifest { reference: reference.to_string(), source: Box::new(source) };
        Ok(resolved.map_err(failed)?.digest)
    }

    /// A version as it is in a registry, whose tags have no `+`.
    pub fn reference(&self, version: &str) -> Result<Reference, RegistryError> {
        Ok(self.repository.tag(&version.replace('+', "_"))?)
    }

    /// The layer with the chart of a version, whose manifest has this digest.
    pub async fn layer(
        &mut self,
        version: &str,
        digest: &Digest,
        deadline: &Deadline,
    ) -> Result<Descriptor, RegistryError> {
        let reference = self.reference(version)?;
        let shown = || reference.to_string();
        let manifest = self.session.manifest(self.repository, digest, deadline).await;
        let failed = |source| RegistryError::Manifest { reference: shown(), source: Box::new(source) };
        let manifest = manifest.map_err(failed)?;
        if manifest.config.as_ref().is_none_or(|config| config.media_type != CONFIG) {
            return Err(RegistryError::Config { reference: shown() });
        }
        let layer =
            manifest.layer(Some(HELM_CHART)).map_err(|_| RegistryError::Layer { reference: shown() })?;
        Ok(layer.clone())
    }

    /// The archive, verified to its last byte.
    pub async fn archive(
        &mut self,
        version: &str,
        layer: &Descriptor,
        deadline: &Deadline,
    ) -> Result<Vec<u8>, RegistryError> {
        let place = self.repository;
        let ask = |client: Client| async move {
            let blob = client.blob(place, layer, deadline).await?;
            let mut bytes = Vec::new();
            blob.copy_to(&mut bytes).await?;
            Ok::<_, BlobError>(bytes)
        };
        let pulled = self.session.ask(deadline, BlobError::request, ask).await;
        pulled.map_err(|source| RegistryError::Blob {
            reference: format!("{}:{version}", self.repository),
            source: Box::new(source),
        })
    }
}

/// As Helm lists them: without a `v`, and with three numbers.
fn is_version(tag: &str) -> bool {
    !tag.starts_with('v') && Version::parse(&tag.replace('_', "+")).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_versions_as_helm_lists_them() {
        for (tag, expected) in [
            ("1.2.3", true),
            ("1.2.3_build.1", true),
            ("1.2.3-rc.1", true),
            ("v1.2.3", false),
            ("1.2", false),
            ("latest", false),
        ] {
            assert_eq!(is_version(tag), expected, "{tag}");
        }
    }
}
