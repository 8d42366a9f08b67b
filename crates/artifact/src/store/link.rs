//! The link by which the current artifact of an object is found without its name.

use std::{fs, os::unix::fs::symlink};

use super::{Store, StoreError, TEMP_SUFFIX, path::StorePath};

impl Store {
    /// Makes `name`, beside an artifact, a link to it; gives the URL of the link. Whoever reads finds the former artifact or
    /// this one.
    ///
    /// # Errors
    /// When the link cannot be written.
    pub fn link(&self, artifact: &str, name: &str) -> Result<String, StoreError> {
        let artifact = StorePath::file(&self.root, artifact)?;
        let link = artifact.sibling(name);
        let is_there = fs::read_link(&link.absolute).is_ok_and(|target| *target == *artifact.name());
        if !is_there {
            let temp = tempfile::Builder::new()
                .prefix(&format!("{name}."))
                .suffix(TEMP_SUFFIX)
                .make_in(link.create_parent()?, |path| symlink(artifact.name(), path))
                .map_err(|error| link.error("create", error))?;
            temp.persist(&link.absolute).map_err(|error| link.error("rename to", error.error))?;
        }
        Ok(self.url(&link.relative))
    }
}
