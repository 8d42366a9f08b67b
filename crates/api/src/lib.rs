//! CRD types of the GitOps Toolkit: the wire format and nothing else.
//!
//! The types here are the single source of the CRD manifests (see [`crd`]). They are written to be read from an
//! API server that may hold objects of older versions: an unknown field is ignored, a null is the default, and a
//! value that no schema would admit (a strange duration, an unknown enum value) decodes and is judged by whoever
//! uses it. One bad object must not stop a watch.

#![expect(clippy::duplicated_attributes, reason = "printer columns of one type are no duplicates")]

pub mod artifact;
pub mod artifact_generator;
pub mod bucket;
pub mod crd;
pub mod duration;
pub mod external_artifact;
pub mod git_repository;
pub mod helm;
pub mod helm_chart;
pub mod helm_release;
pub mod helm_repository;
pub mod kustomization;
pub mod kustomize;
mod lenient;
pub mod meta;
pub mod oci_repository;
mod schema;
pub mod source;

pub use artifact::Artifact;
pub use artifact_generator::{ArtifactGenerator, ArtifactGeneratorSpec, ArtifactGeneratorStatus};
pub use bucket::{Bucket, BucketSpec, BucketStatus};
pub use duration::Duration;
pub use external_artifact::{ExternalArtifact, ExternalArtifactSpec, ExternalArtifactStatus};
pub use git_repository::{GitRepository, GitRepositorySpec, GitRepositoryStatus};
pub use helm_chart::{HelmChart, HelmChartSpec, HelmChartStatus};
pub use helm_release::{HelmRelease, HelmReleaseSpec, HelmReleaseStatus};
pub use helm_repository::{HelmRepository, HelmRepositorySpec, HelmRepositoryStatus};
pub use kustomization::{Kustomization, KustomizationSpec, KustomizationStatus};
pub use meta::{Condition, ConditionStatus, LocalObjectReference};
pub use oci_repository::{OciRepository, OciRepositorySpec, OciRepositoryStatus};
