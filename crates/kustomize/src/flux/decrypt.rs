//! Files that are decrypted before a build: those that generators of Secrets and patches read, in the root kustomization and
//! in all that it reaches by `resources` and `components` within the tree.

use std::collections::{HashMap, HashSet};
use std::error::Error as StdError;
use std::sync::Arc;

use super::child;
use crate::decode::{self, Mode};
use crate::error::Error as BuildError;
use crate::kustomization::{FILE_NAMES, Kustomization};
use crate::loader::is_url;
use crate::meter::Meter;
use crate::options::Options;
use crate::tree::{FileTree, Kind, TreeError, path};

/// Largest file that is looked into, in bytes; Flux's limit.
const FILE_BYTES: usize = 5 << 20;

/// Decrypts files of the tree before they are built.
pub trait Decryptor {
    /// The plain text of a file, or nothing if it is not encrypted.
    ///
    /// # Errors
    /// When it cannot be decrypted. The text must not hold what is secret.
    fn decrypt(
        &self,
        name: &str,
        usage: Usage,
        content: &[u8],
    ) -> Result<Option<Arc<[u8]>>, Box<dyn StdError + Send + Sync>>;
}

/// What a file is read for. It says, with the name, how the file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// It becomes one value of a Secret, and the name is that of the value.
    Value,
    /// Each of its lines becomes a value of a Secret.
    Env,
    /// It is a patch.
    Patch,
}

/// Why the files of a tree cannot be decrypted.
#[derive(Debug, thiserror::Error)]
pub enum DecryptError {
    /// A directory that is to be built has no kustomization file.
    #[error("no kustomization file found")]
    NoKustomization,
    /// It has several.
    #[error("found multiple kustomization files")]
    SeveralKustomizations,
    /// What has the name of a kustomization file is a directory.
    #[error("expected {0} to be a regular file")]
    NotRegular(String),
    /// A kustomization file is none.
    #[error("failed to unmarshal kustomization file from '{path}': {cause}")]
    Unmarshal {
        /// Its path in the tree.
        path: String,
        /// Why it is none.
        cause: BuildError,
    },
    /// A file that is referred to is not in the tree.
    #[error("lstat {0}: no such file or directory")]
    Absent(String),
    /// A file that is referred to is a directory.
    #[error("{0}: cannot decrypt irregular file as it has file mode type bits set")]
    Irregular(String),
    /// A file that is referred to is too large.
    #[error("{path}: cannot decrypt file with size ({bytes} bytes) exceeding limit ({FILE_BYTES})")]
    TooLarge {
        /// The file.
        path: String,
        /// How large it is.
        bytes: usize,
    },
    /// A file cannot be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// All files together are more than a build may have.
    #[error(transparent)]
    Limit(BuildError),
    /// What the decryptor says.
    #[error("{path}: {cause}")]
    Decrypt {
        /// The file.
        path: String,
        /// Why it cannot be decrypted.
        cause: Box<dyn StdError + Send + Sync>,
    },
}

/// The files below `directory` that are other ones once decrypted, by path.
pub(super) fn decrypt(
    tree: &dyn FileTree,
    directory: &str,
    options: &Options,
    decryptor: &dyn Decryptor,
) -> Result<HashMap<String, Arc<[u8]>>, DecryptError> {
    let mut walk =
        Walk { tree, meter: Meter::new(options), decryptor, seen: HashSet::new(), plain: HashMap::new() };
    let (mut pending, mut visited) = (vec![directory.to_owned()], HashSet::new());
    while let Some(directory) = pending.pop() {
        if !visited.insert(directory.clone()) {
            continue;
        }
        let file = walk.kustomization(&directory)?;
        walk.files(&directory, &file)?;
        let bases = file.resources.iter().flatten().chain(file.components.iter().flatten());
        let bases = bases.filter_map(|base| locate(&directory, base));
        // URLs, and what is not there, are for the build to tell of.
        let mut bases: Vec<_> = bases.filter(|base| tree.kind(base) == Kind::Directory).collect();
        bases.reverse();
        pending.append(&mut bases);
    }
    Ok(walk.plain)
}

/// Where a reference leads, unless out of the tree. An absolute one is taken from its root, as in Flux.
fn locate(directory: &str, reference: &str) -> Option<String> {
    path::join(if reference.starts_with('/') { "" } else { directory }, reference)
}

struct Walk<'a> {
    tree: &'a dyn FileTree,
    meter: Meter<'a>,
    decryptor: &'a dyn Decryptor,
    /// Files that were looked into. How one is written, its first reference says.
    seen: HashSet<String>,
    plain: HashMap<String, Arc<[u8]>>,
}

impl Walk<'_> {
    fn kustomization(&self, directory: &str) -> Result<Kustomization, DecryptError> {
        let mut found = None;
        for name in FILE_NAMES {
            let path = child(directory, name);
            match self.tree.kind(&path) {
                Kind::Absent => {}
                Kind::Directory => return Err(DecryptError::NotRegular(name.to_owned())),
                Kind::File if found.is_some() => return Err(DecryptError::SeveralKustomizations),
                Kind::File => found = Some(path),
            }
        }
        let path = found.ok_or(DecryptError::NoKustomization)?;
        let bytes = self.tree.read(&path, self.meter.limits.file_bytes)?;
        let counted = self.meter.count_kustomization().and_then(|()| self.meter.count_bytes(bytes.len()));
        counted.map_err(DecryptError::Limit)?;
        let parsed = match std::str::from_utf8(&bytes) {
            Ok(text) => decode::from_text(text, Mode::Lenient, &self.meter),
            Err(_) => Err(BuildError::invalid("it holds bytes that are not UTF-8")),
        };
        parsed.map_err(|cause| match cause.is_final() {
            true => DecryptError::Limit(cause),
            false => DecryptError::Unmarshal { path, cause },
        })
    }

    fn files(&mut self, directory: &str, file: &Kustomization) -> Result<(), DecryptError> {
        for generator in file.secret_generator.iter().flatten() {
            for source in &generator.files {
                let (name, path) = source.split_once('=').unwrap_or((source, source));
                self.file(directory, path, name, Usage::Value)?;
            }
            for path in &generator.envs {
                self.file(directory, path, path, Usage::Env)?;
            }
        }
        let patches = file.patches.iter().flatten().map(|patch| &patch.path);
        for path in patches.filter(|path| !path.is_empty() && !has_host(path)) {
            self.file(directory, path, path, Usage::Patch)?;
        }
        Ok(())
    }

    fn file(
        &mut self,
        directory: &str,
        reference: &str,
        name: &str,
        usage: Usage,
    ) -> Result<(), DecryptError> {
        let absent = || DecryptError::Absent(path::clean(&child(directory, reference)));
        let location = locate(directory, reference).ok_or_else(absent)?;
        let location = match self.tree.kind(&location) {
            Kind::Absent => return Err(absent()),
            Kind::Directory => return Err(DecryptError::Irregular(location)),
            Kind::File => self.tree.resolve(&location)?,
        };
        if !self.seen.insert(location.clone()) {
            return Ok(());
        }
        let content = self.tree.read(&location, self.meter.limits.file_bytes)?;
        if content.len() > FILE_BYTES {
            return Err(DecryptError::TooLarge { path: location, bytes: content.len() });
        }
        self.meter.check().map_err(DecryptError::Limit)?;
        let decrypted = self.decryptor.decrypt(name, usage, &content);
        let decrypted = decrypted.map_err(|cause| DecryptError::Decrypt { path: location.clone(), cause })?;
        if let Some(plain) = decrypted {
            self.meter.count_bytes(plain.len()).map_err(DecryptError::Limit)?;
            self.plain.insert(location, plain);
        }
        Ok(())
    }
}

/// Whether a reference is a URL as Go's `net/url` has it: a scheme and a host.
fn has_host(reference: &str) -> bool {
    is_url(reference)
        || reference.split_once("://").is_some_and(|(scheme, rest)| {
            let mut letters = scheme.chars();
            letters.next().is_some_and(|first| first.is_ascii_alphabetic())
                && letters.all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c))
                && !rest.is_empty()
                && !rest.starts_with('/')
        })
}
