//! From rendered files to manifests and hooks, in the order in which they are installed.

mod head;
mod hook;
mod kinds;
mod split;

pub use hook::{Event, Hook};
pub use kinds::{INSTALL_ORDER, UNINSTALL_ORDER, sort_by_kind};
pub use split::split;

use std::ops::ControlFlow;
use std::sync::OnceLock;

use head::Head;
use helm_chart::FieldError;

use crate::threads::for_each;
use crate::tree::is_partial;

/// Bytes for a thread that reads documents, which are not nested deep.
const STACK_SIZE: usize = 8 << 20;

/// A document of a rendered file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The file, such as `chart/templates/service.yaml`.
    pub name: String,
    /// The text.
    pub content: String,
    /// Its `apiVersion`.
    pub api_version: String,
    /// Its `kind`.
    pub kind: String,
}

/// A document is no YAML, or no object.
#[derive(Debug, thiserror::Error)]
#[error("YAML parse error on {file}")]
pub struct ManifestError {
    file: String,
    #[source]
    source: FieldError,
}

/// Sorts the documents of rendered files, which are in the order of their names, into manifests and hooks. So many threads read them, with
/// that of the caller.
///
/// A document with a hook event that Helm does not know is neither.
///
/// # Errors
/// A document is no YAML, or no object.
pub fn sort<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    threads: usize,
) -> Result<(Vec<Manifest>, Vec<Hook>), ManifestError> {
    let mut documents = Vec::new();
    for (file, content) in files.into_iter().filter(|(file, _)| !is_partial(file)) {
        match std::str::from_utf8(content) {
            Ok(content) => documents.extend(split(content).map(|document| (file, document, OnceLock::new()))),
            Err(_) => documents.push((file, "", OnceLock::from(Err(FieldError::NotText)))),
        }
    }
    // What comes behind one that cannot be read is not asked for.
    for_each(&documents, threads, STACK_SIZE, |(_, document, head)| {
        match head.get_or_init(|| Head::read(document)) {
            Ok(_) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    });
    let (mut manifests, mut hooks) = (Vec::new(), Vec::new());
    for (file, document, head) in documents {
        let head = head.into_inner().unwrap_or_else(|| Head::read(document));
        let head = head.map_err(|source| ManifestError { file: file.to_owned(), source })?;
        match Hook::of(&head, file, document) {
            None => manifests.push(Manifest {
                name: file.to_owned(),
                content: document.to_owned(),
                api_version: head.api_version,
                kind: head.kind,
            }),
            Some(Some(hook)) => hooks.push(hook),
            // An event that is not known.
            Some(None) => {}
        }
    }
    sort_by_kind(&mut manifests, INSTALL_ORDER, |manifest| &manifest.kind);
    sort_by_kind(&mut hooks, INSTALL_ORDER, |hook| &hook.kind);
    Ok((manifests, hooks))
}
