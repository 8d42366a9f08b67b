//! The part of [`runtime::preflight`] that judges ArtifactGenerators, by the functions with which a pass refuses a spec.

use ::artifact_generator::{Limits, check};
use api::{ArtifactGenerator, artifact_generator, source};
use runtime::preflight::{Preflight, PreflightError, Right};

use crate::Arguments;

/// What the service account has to be allowed, beside what all controllers are.
pub const RIGHTS: [Right; 20] = [
    ("get", artifact_generator::GROUP, "artifactgenerators"),
    ("list", artifact_generator::GROUP, "artifactgenerators"),
    ("watch", artifact_generator::GROUP, "artifactgenerators"),
    ("patch", artifact_generator::GROUP, "artifactgenerators"),
    ("patch", artifact_generator::GROUP, "artifactgenerators/status"),
    ("list", source::GROUP, "gitrepositories"),
    ("watch", source::GROUP, "gitrepositories"),
    ("list", source::GROUP, "ocirepositories"),
    ("watch", source::GROUP, "ocirepositories"),
    ("list", source::GROUP, "buckets"),
    ("watch", source::GROUP, "buckets"),
    ("list", source::GROUP, "helmcharts"),
    ("watch", source::GROUP, "helmcharts"),
    ("get", source::GROUP, "externalartifacts"),
    ("list", source::GROUP, "externalartifacts"),
    ("watch", source::GROUP, "externalartifacts"),
    ("create", source::GROUP, "externalartifacts"),
    ("patch", source::GROUP, "externalartifacts"),
    ("delete", source::GROUP, "externalartifacts"),
    ("patch", source::GROUP, "externalartifacts/status"),
];

/// Judges the ArtifactGenerators that a process with these arguments would look after.
///
/// # Errors
/// When the API server refuses or does not answer.
pub async fn look(preflight: &mut Preflight, arguments: &Arguments) -> Result<(), PreflightError> {
    preflight.look_at(|object: &ArtifactGenerator| refusals(object, arguments)).await
}

fn refusals(object: &ArtifactGenerator, arguments: &Arguments) -> Vec<String> {
    let mistake = check(object, &Limits::default()).err().map(|error| error.to_string());
    mistake.into_iter().chain(arguments.denied(object)).collect()
}
