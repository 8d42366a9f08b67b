//! What every kind of the toolkit shares: references, conditions, and the names of well-known keys.

use std::fmt;

use kube::ResourceExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient::null_is_default;

/// Finalizer that each controller puts on the objects it owns. One name for all kinds.
pub const FINALIZER: &str = "finalizers.fluxcd.io";

/// Annotation whose change asks for a reconciliation now. The value is a free token, echoed to
/// `.status.lastHandledReconcileAt`.
pub const RECONCILE_REQUEST_ANNOTATION: &str = "reconcile.fluxcd.io/requestedAt";

/// Annotations of an object with this prefix are copied to the metadata of its events.
pub const EVENT_ANNOTATION_PREFIX: &str = "event.toolkit.fluxcd.io/";

/// Condition types that all kinds share.
pub mod conditions {
    /// The object is what its spec asks for.
    pub const READY: &str = "Ready";
    /// Work is going on, or a failure will be retried.
    pub const RECONCILING: &str = "Reconciling";
    /// Only a change of the object can help.
    pub const STALLED: &str = "Stalled";
}

/// Condition and event reasons that all kinds share.
pub mod reasons {
    /// A step or the whole run succeeded.
    pub const SUCCEEDED: &str = "Succeeded";
    /// A step failed and no better reason exists.
    pub const FAILED: &str = "Failed";
    /// Work is going on.
    pub const PROGRESSING: &str = "Progressing";
    /// The last attempt failed and will be retried.
    pub const PROGRESSING_WITH_RETRY: &str = "ProgressingWithRetry";
    /// A reference is forbidden by the controller's configuration.
    pub const ACCESS_DENIED: &str = "AccessDenied";
    /// A CEL expression of the spec does not compile.
    pub const INVALID_CEL_EXPRESSION: &str = "InvalidCELExpression";
    /// A directory could not be created.
    pub const DIRECTORY_CREATION_FAILED: &str = "DirectoryCreationFailed";
}

/// Whether somebody asks for a reconciliation that was not made yet. `handled` is `.status.lastHandledReconcileAt`.
pub fn is_requested(object: &impl ResourceExt, handled: Option<&String>) -> bool {
    let token = object.annotations().get(RECONCILE_REQUEST_ANNOTATION);
    token.is_some() && token != handled
}

/// Whether one `metadata.resourceVersion` is from before another. They are numbers that grow; what is none is not comparable.
pub fn is_older_version(version: &str, than: &str) -> bool {
    matches!((version.parse::<u128>(), than.parse::<u128>()), (Ok(a), Ok(b)) if a < b)
}

/// Reference to an object of a known kind in the same namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct LocalObjectReference {
    /// Name of the referent.
    pub name: String,
}

/// One aspect of an object's current state: `metav1.Condition`, with times kept as text so that an odd one decodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(!default)]
#[schemars(description = "Condition describes one aspect of the current state of this object.")]
pub struct Condition {
    /// Type of the condition, in CamelCase or in foo.example.com/CamelCase.
    #[serde(rename = "type")]
    #[schemars(extend(
        "maxLength" = 316,
        "pattern" = r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])$"
    ))]
    pub type_: String,
    /// Status of the condition, one of True, False, Unknown.
    pub status: ConditionStatus,
    /// Generation of the object that the condition was computed for.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// When the condition last changed, in RFC 3339.
    #[schemars(extend("format" = "date-time"))]
    pub last_transition_time: String,
    /// Programmatic identifier in CamelCase of why the condition last changed.
    #[schemars(extend(
        "minLength" = 1,
        "maxLength" = 1024,
        "pattern" = r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"
    ))]
    pub reason: String,
    /// Details for a human reader; may be empty.
    #[schemars(extend("maxLength" = 32768))]
    pub message: String,
}

/// Status of a [`Condition`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the three values say it")]
pub enum ConditionStatus {
    True,
    False,
    #[default]
    #[serde(other)]
    Unknown,
}

impl ConditionStatus {
    /// The text on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl fmt::Display for ConditionStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<bool> for ConditionStatus {
    fn from(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }
}

/// Access control list of the older source API. Never enforced, kept so that old manifests are accepted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AccessFrom {
    /// Namespaces that the list admits, any of them.
    #[serde(deserialize_with = "null_is_default")]
    pub namespace_selectors: Vec<NamespaceSelector>,
}

/// Selects namespaces by label. An empty map selects all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NamespaceSelector {
    /// Labels that a namespace must carry, all of them.
    #[serde(
        default,
        deserialize_with = "null_is_default",
        skip_serializing_if = "std::collections::BTreeMap::is_empty"
    )]
    pub match_labels: std::collections::BTreeMap<String, String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_counts_until_it_is_handled() {
        let mut object = crate::HelmRelease::new("app", Default::default());
        let [old, new] = ["old", "new"].map(str::to_owned);
        assert!(!is_requested(&object, None) && !is_requested(&object, Some(&old)));
        object.annotations_mut().insert(RECONCILE_REQUEST_ANNOTATION.to_owned(), new.clone());
        assert!(is_requested(&object, None) && is_requested(&object, Some(&old)));
        assert!(!is_requested(&object, Some(&new)));
    }

    #[test]
    fn versions_are_compared_as_numbers_or_not_at_all() {
        assert!(is_older_version("9", "10") && is_older_version("1", "18446744073709551616"));
        assert!(!is_older_version("10", "9") && !is_older_version("1", "1"));
        assert!(!is_older_version("", "1") && !is_older_version("x", "y"));
    }
}
