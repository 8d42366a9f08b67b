//! From rendered files to manifests and hooks, in the order in which they are installed.

mod head;
mod hook;
mod kinds;
mod split;

pub use hook::{Event, Hook};
pub use kinds::{INSTALL_ORDER, UNINSTALL_ORDER, sort_by_kind};
pub use split::split;

use head::Head;

use crate::tree::is_partial;

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
    source: helm_chart::FieldError,
}

/// Sorts the documents of rendered files, which are in the order of their names, into manifests and hooks.
///
/// A document with a hook event that Helm does not know is neither.
///
/// # Errors
/// A document is no YAML, or no object.
pub fn sort<'a>(
    files: impl IntoIterator<Item = (&'a str, &'a [u8])>,
) -> Result<(Vec<Manifest>, Vec<Hook>), ManifestError> {
    let (mut manifests, mut hooks) = (Vec::new(), Vec::new());
    for (file, content) in files {
        if is_partial(file) {
            continue;
        }
        let fail = |source| ManifestError { file: file.to_owned(), source };
        let Ok(content) = std::str::from_utf8(content) else {
            return Err(fail(helm_chart::FieldError::NotText));
        };
        for document in split(content) {
            let head = Head::read(document).map_err(fail)?;
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
    }
    sort_by_kind(&mut manifests, INSTALL_ORDER, |manifest| &manifest.kind);
    sort_by_kind(&mut hooks, INSTALL_ORDER, |hook| &hook.kind);
    Ok((manifests, hooks))
}
