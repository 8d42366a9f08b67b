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
use std::sync::atomic::{AtomicUsize, Ordering};

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

/// YAML nodes of all documents of a rendering, those included that aliases copy: some bytes of text can be very many.
const MOST_NODES: usize = 8_000_000;

/// Documents cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// One is no YAML, or no object.
    #[error("YAML parse error on {file}")]
    Document {
        /// The file that it is from.
        file: String,
        /// What is wrong.
        #[source]
        source: FieldError,
    },
    /// There are too many, or too large ones.
    #[error(
        "{file}: the documents that the templates make have more than {limit} YAML nodes, those of aliases included"
    )]
    Nodes {
        /// The file that there is no room for.
        file: String,
        /// The limit.
        limit: usize,
    },
    /// The caller wants it to end.
    #[error("the rendering was stopped")]
    Stopped,
}

/// Sorts the documents of rendered files, which are in the order of their names, into manifests and hooks. So many threads read them, with
/// that of the caller.
///
/// A document with a hook event that Helm does not know is neither.
///
/// # Errors
/// See [`ManifestError`].
pub fn sort<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
    threads: usize,
    is_stopped: &(dyn Fn() -> bool + Sync),
) -> Result<(Vec<Manifest>, Vec<Hook>), ManifestError> {
    let mut documents = Vec::new();
    for (file, content) in files.into_iter().filter(|(file, _)| !is_partial(file)) {
        match std::str::from_utf8(content) {
            Ok(content) => documents.extend(split(content).map(|document| (file, document, OnceLock::new()))),
            Err(_) => documents.push((file, "", OnceLock::from(Err(FieldError::NotText)))),
        }
    }
    let nodes = AtomicUsize::new(0);
    // What comes behind one that cannot be read is not asked for.
    for_each(&documents, threads, STACK_SIZE, |(_, document, head)| {
        if is_stopped() {
            return ControlFlow::Break(());
        }
        match head.get_or_init(|| Head::read(document)) {
            Ok((_, count)) if nodes.fetch_add(*count, Ordering::Relaxed) + count <= MOST_NODES => {
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break(()),
        }
    });
    let mut left = MOST_NODES;
    let (mut manifests, mut hooks) = (Vec::new(), Vec::new());
    for (file, document, head) in documents {
        if is_stopped() {
            return Err(ManifestError::Stopped);
        }
        let head = head.into_inner().unwrap_or_else(|| Head::read(document));
        let head = head.map_err(|source| ManifestError::Document { file: file.to_owned(), source });
        let (head, count) = head?;
        let too_many = || ManifestError::Nodes { file: file.to_owned(), limit: MOST_NODES };
        left = left.checked_sub(count).ok_or_else(too_many)?;
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
