//! What renders a release beside its chart and values: post-renderers and common metadata. The status has the digests of those that the
//! release was made with.

use api::HelmRelease;
use api::helm::conditions::{RELEASED, REMEDIATED};
use artifact::digest::{Algorithm, Digest};
use runtime::conditions::{find, is_true};

use crate::desired::{common_metadata_digest, post_renderers_digest};
use crate::object::{Settings, field, listed, status, text};

/// The digests where it is not known what a release was made with. It is none of any rendering.
const UNKNOWN: &str = "unknown";

/// The release is made with what the spec says.
pub(crate) fn note(object: &mut HelmRelease, settings: &Settings) {
    let renderers = post_renderers_digest(&object.spec.post_renderers, settings.digest);
    let metadata = common_metadata_digest(object.spec.common_metadata.as_ref(), settings.digest);
    let status = status(object);
    status.observed_post_renderers_digest = field(&renderers);
    status.observed_common_metadata_digest = field(&metadata);
}

/// The release is about to be made what an earlier revision was. Where the last upgrade has failed, the digests still are those of what
/// was before it.
pub(crate) fn note_rollback(object: &mut HelmRelease) {
    if is_true(listed(object), RELEASED) {
        let status = status(object);
        status.observed_post_renderers_digest = Some(UNKNOWN.to_owned());
        status.observed_common_metadata_digest = Some(UNKNOWN.to_owned());
    }
}

/// Why the release is not made with what the spec says; `None` if it is. A generation that is observed counts as rendered so, unless
/// what was done last has failed or was rolled back.
pub(crate) fn differs(object: &HelmRelease) -> Option<&'static str> {
    let status = object.status.as_ref()?;
    let has_succeeded = is_true(listed(object), RELEASED) && find(listed(object), REMEDIATED).is_none();
    if has_succeeded && status.observed_generation == object.metadata.generation {
        return None;
    }
    let renderers = |algorithm| post_renderers_digest(&object.spec.post_renderers, algorithm);
    if !is_digest(text(status.observed_post_renderers_digest.as_ref()), renderers) {
        return Some("postrenderers digest has changed");
    }
    let metadata = |algorithm| common_metadata_digest(object.spec.common_metadata.as_ref(), algorithm);
    (!is_digest(text(status.observed_common_metadata_digest.as_ref()), metadata))
        .then_some("common metadata digest has changed")
}

/// Whether a digest is the one that is made by its algorithm. Without anything to digest it is empty.
fn is_digest(observed: &str, of: impl Fn(Algorithm) -> String) -> bool {
    let algorithm = observed.parse::<Digest>().map(|digest| digest.algorithm());
    of(algorithm.unwrap_or_default()) == observed
}
