//! What would not work if this controller took over the sources of a Flux cluster: what the passes themselves would refuse, and kinds
//! that nobody would look after any more.

use api::{GitRepository, oci_repository::OciRepository, source::GROUP};
use kube::api::DynamicObject;
use runtime::preflight::{Preflight, PreflightError, Right};

use crate::oci_repository;

/// What the service account has to be allowed.
pub const RIGHTS: [Right; 10] = [
    ("list", GROUP, "gitrepositories"),
    ("watch", GROUP, "gitrepositories"),
    ("patch", GROUP, "gitrepositories"),
    ("patch", GROUP, "gitrepositories/status"),
    ("list", GROUP, "ocirepositories"),
    ("watch", GROUP, "ocirepositories"),
    ("patch", GROUP, "ocirepositories"),
    ("patch", GROUP, "ocirepositories/status"),
    ("get", "", "secrets"),
    ("create", "", "events"),
];

/// Kinds of Flux's source-controller that are not here yet, with their plurals.
const UNSERVED: [(&str, &str); 3] =
    [("Bucket", "buckets"), ("HelmRepository", "helmrepositories"), ("HelmChart", "helmcharts")];

/// Looks at the sources.
///
/// # Errors
/// When the API server does not tell.
pub async fn look(preflight: &mut Preflight) -> Result<(), PreflightError> {
    preflight.look_at::<GitRepository>(|_| Vec::new()).await?;
    preflight
        .look_at::<OciRepository>(|object| {
            oci_repository::unsupported(object).map(oci_repository::unsupported_message).collect()
        })
        .await?;
    for (kind, plural) in UNSERVED {
        preflight.look_at_unserved(GROUP, kind, plural, problem).await?;
    }
    Ok(())
}

fn problem(object: &DynamicObject) -> Option<String> {
    // Flux does nothing about these either: charts read what they say.
    let is_static = object.data.pointer("/spec/type").is_some_and(|kind| kind == "oci");
    (!is_static)
        .then(|| "the kind is not supported yet: only Flux's source-controller keeps it up to date".into())
}
