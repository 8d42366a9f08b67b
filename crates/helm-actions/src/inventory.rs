//! The objects of a release, for those who look at a status. Nothing is done by it.

use std::collections::HashSet;

use apply::prune::Entry;
use helm::Crd;
use tokio::time::Instant;

use crate::configuration::Configuration;
use crate::resources::{self, BuildError};

/// What is known of the objects of a release.
#[derive(Debug, Default)]
pub struct Inventory {
    /// The objects, each once.
    pub entries: Vec<Entry>,
    /// Of how many it is not known whether they are in a namespace: their kinds are not served.
    pub unknown: usize,
}

impl Configuration {
    /// The objects of a manifest and of files of definitions; those without a namespace are in this one if their kind is in any.
    ///
    /// # Errors
    /// They cannot be told.
    pub async fn inventory(
        &self,
        namespace: &str,
        manifest: &str,
        definitions: &[Crd],
    ) -> Result<Inventory, BuildError> {
        let files = definitions.iter().map(|file| String::from_utf8_lossy(&file.content).into_owned());
        let texts: Vec<String> = std::iter::once(manifest.to_owned()).chain(files).collect();
        let found = resources::manifests(texts).await?;
        let (since, mut seen, mut inventory) = (Instant::now(), HashSet::new(), Inventory::default());
        for manifest in found {
            let (mut id, gvk) = (manifest.id(), manifest.gvk());
            match self.mapper.resolve_since(&gvk, since).await {
                Ok(mapped) if !mapped.namespaced => id.namespace.clear(),
                Ok(_) if id.namespace.is_empty() => namespace.clone_into(&mut id.namespace),
                Ok(_) => {}
                Err(_) => inventory.unknown += 1,
            }
            let entry = Entry { id, version: gvk.version };
            if seen.insert((entry.id.clone(), entry.version.clone())) {
                inventory.entries.push(entry);
            }
        }
        Ok(inventory)
    }
}
