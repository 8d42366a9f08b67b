//! What Flux makes of kustomize: the root file is generated where it is missing, fields of a Kustomization object are laid
//! over it, files may come from anywhere in the tree, and every error is one of these.

mod decrypt;
mod generate;
mod merge;

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

pub use decrypt::{DecryptError, Decryptor, Usage};
pub use merge::{ImageOverride, Overlay, PatchOverride, SelectorOverride};

use crate::error::{Budget, Error as BuildError};
use crate::kustomization::FILE_NAMES;
use crate::meter::Meter;
use crate::tree::{Entry, FileTree, Kind, TreeError, path};
use crate::{Fetcher, LoadRestrictor, Options, Reorder, Resource};

/// A failure of Flux's layer or of the build below it, in Flux's words.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory to build is not there.
    #[error("kustomization path not found: {0}")]
    PathNotFound(String),
    /// A file that was to become a resource is none.
    #[error("failed to decode Kubernetes YAML from {path}: {cause}")]
    Decode {
        /// The file.
        path: String,
        /// Why it is none.
        cause: BuildError,
    },
    /// The root file cannot be read or changed.
    #[error("failed to generate kustomization.yaml: {0}")]
    Generate(BuildError),
    /// A component is not a directory of the tree.
    #[error("component path '{0}' must be local and relative")]
    RemoteComponent(String),
    /// A file that is encrypted cannot be decrypted, or not be found.
    #[error("error decrypting sources: {0}")]
    Decrypt(DecryptError),
    /// The build failed.
    #[error("kustomize build failed: {0}")]
    Build(BuildError),
}

impl Error {
    /// The limit that was passed, if it is one that depends on the memory there is.
    pub fn budget(&self) -> Option<Budget> {
        match self {
            Self::Decode { cause, .. } | Self::Generate(cause) | Self::Build(cause) => cause.budget(),
            Self::Decrypt(DecryptError::Limit(cause)) => cause.budget(),
            Self::PathNotFound(_) | Self::RemoteComponent(_) | Self::Decrypt(_) => None,
        }
    }
}

impl From<TreeError> for Error {
    fn from(error: TreeError) -> Self {
        Self::Generate(error.into())
    }
}

/// Whether the tree had a root file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// It had none: this is a new one.
    Created,
    /// It had one: this is it, changed.
    Unchanged,
}

/// The root file that a build uses.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    /// Its path in the tree.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Where it is from.
    pub action: Action,
}

/// Flux's choices for a build; only cache, environment, limits and cancellation are taken from `options`.
fn flux_options(options: &Options) -> Options {
    Options {
        load_restrictor: LoadRestrictor::None,
        // What Flux leaves unset, which is not the same as the default of the command: nothing is sorted, unless a file says so.
        reorder: Reorder::None,
        managed_by_label: false,
        openapi_adds_to_builtin: true,
        parsed: options.parsed.clone(),
        environment: options.environment.clone(),
        limits: options.limits.clone(),
        cancel: options.cancel.clone(),
    }
}

/// Generates or changes the root file, decrypts the files that are to be, and builds.
///
/// # Guarantees
/// - Nothing is read but from `tree` and, for bases outside of it, from `fetcher`. Without a fetcher these are refused.
/// - The same tree, overlay and options give the same bytes.
/// - It ends: by the limits of `options`, or soon after its `cancel` is set.
///
/// # Caveats
/// - It blocks, and may take long: call it where that is allowed.
///
/// # Errors
/// See [`Error`].
pub fn build(
    tree: &dyn FileTree,
    directory: &str,
    overlay: &Overlay,
    options: &Options,
    fetcher: Option<&dyn Fetcher>,
    decryptor: Option<&dyn Decryptor>,
) -> Result<Vec<Resource>, Error> {
    let manifest = manifest(tree, directory, overlay, options, &|_, _| false)?;
    let directory = path::parent(&manifest.path).to_owned();
    let mut tree =
        Overlaid { tree, files: HashMap::from([(manifest.path, manifest.text.into_bytes().into())]) };
    if let Some(decryptor) = decryptor {
        let plain = decrypt::decrypt(&tree, &directory, options, decryptor).map_err(Error::Decrypt)?;
        tree.files.extend(plain);
    }
    crate::build(&tree, &directory, &flux_options(options), fetcher).map_err(Error::Build)
}

/// The root file that [`build`] uses. `ignored` says which paths of the tree (and whether they are directories) are left out of
/// `resources`, `components` and `crds`; a controller leaves out none, since ignored files are not in an artifact.
///
/// # Errors
/// When a file that was to become a resource is none, the file that is there cannot be read, or a component is not local.
pub fn manifest(
    tree: &dyn FileTree,
    directory: &str,
    overlay: &Overlay,
    options: &Options,
    ignored: &dyn Fn(&str, bool) -> bool,
) -> Result<Manifest, Error> {
    let directory = path::join("", directory).ok_or_else(|| TreeError::Outside {
        op: "stat",
        path: directory.to_owned(),
        root: tree.display(""),
    })?;
    if tree.kind(&directory) != Kind::Directory {
        return Err(Error::PathNotFound(tree.display(&directory)));
    }
    let existing =
        FILE_NAMES.iter().map(|name| child(&directory, name)).find(|path| tree.kind(path) == Kind::File);
    let (limits, meter) = (&options.limits, Meter::new(options));
    let (path, text, action) = match existing {
        Some(path) => {
            let bytes = tree.read(&path, limits.file_bytes)?;
            let text = String::from_utf8(bytes.to_vec())
                .map_err(|_| Error::Generate(BuildError::Invalid(format!("'{path}' is not UTF-8"))))?;
            (path, Cow::Owned(text), Action::Unchanged)
        }
        None => {
            let resources = generate::resources(tree, &directory, (options, &meter), ignored)?;
            (child(&directory, "kustomization.yaml"), Cow::Owned(generate::text(&resources)), Action::Created)
        }
    };
    let locate = |entry: &str| path::join(&directory, entry);
    let kind = |entry: &str| locate(entry).map_or(Kind::Absent, |path| tree.kind(&path));
    let keep =
        |entry: &str| locate(entry).is_none_or(|path| !ignored(&path, tree.kind(&path) == Kind::Directory));
    let text = merge::merge(&text, action, overlay, &meter, keep, |entry| kind(entry) != Kind::Absent)?;
    Ok(Manifest { path, text, action })
}

fn child(directory: &str, name: &str) -> String {
    if directory.is_empty() { name.to_owned() } else { format!("{directory}/{name}") }
}

/// A tree with files laid over it.
struct Overlaid<'a> {
    tree: &'a dyn FileTree,
    /// By path.
    files: HashMap<String, Arc<[u8]>>,
}

impl FileTree for Overlaid<'_> {
    fn read(&self, path: &str, limit: usize) -> Result<Arc<[u8]>, TreeError> {
        match self.files.get(path) {
            Some(bytes) if bytes.len() > limit => {
                Err(TreeError::TooLarge { path: self.display(path), limit })
            }
            Some(bytes) => Ok(Arc::clone(bytes)),
            None => self.tree.read(path, limit),
        }
    }

    fn kind(&self, path: &str) -> Kind {
        if self.files.contains_key(path) { Kind::File } else { self.tree.kind(path) }
    }

    fn list(&self, directory: &str) -> Result<Vec<Entry>, TreeError> {
        self.tree.list(directory)
    }

    fn resolve(&self, path: &str) -> Result<String, TreeError> {
        if self.files.contains_key(path) { Ok(path.to_owned()) } else { self.tree.resolve(path) }
    }

    fn locate_absolute(&self, absolute: &str) -> Option<String> {
        self.tree.locate_absolute(absolute)
    }

    fn display(&self, path: &str) -> String {
        self.tree.display(path)
    }
}
