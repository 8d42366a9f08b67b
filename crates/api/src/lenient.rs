//! Serde helpers that decode as Go does: null is the zero value, and zero values are left out on the way back.

use serde::{Deserialize, Deserializer};

/// Decodes null as the type's default. Used with `#[serde(default)]`, which alone covers only an absent field.
pub(crate) fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::<T>::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// Whether a boolean is at its zero value, for `skip_serializing_if`.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
pub(crate) fn is_false(value: &bool) -> bool {
    !value
}
