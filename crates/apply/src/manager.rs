//! Who applies.

/// The controller that applies objects, and what it marks them with. Each controller has one, as a constant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Manager {
    /// Field manager of everything it applies.
    pub field_manager: &'static str,
    /// Group prefix of its labels and annotations: the owner's `name` and `namespace`, and the keys of [`crate::policy`].
    pub group: &'static str,
}

impl Manager {
    /// A label or annotation of the group.
    pub(crate) fn key(&self, name: &str) -> String {
        format!("{}/{name}", self.group)
    }
}

#[cfg(test)]
pub(crate) const TEST_MANAGER: Manager =
    Manager { field_manager: "kustomize-controller", group: "kustomize.toolkit.fluxcd.io" };
