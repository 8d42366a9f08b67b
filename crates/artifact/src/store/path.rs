//! Names within the store: how they are made, and how they are kept inside it.

use std::{
    fs::{self, DirBuilder},
    io,
    os::unix::fs::DirBuilderExt,
    path::{Path, PathBuf},
};

use super::{LOCK_SUFFIX, StoreError, io_error, is_bookkeeping};

/// The directory of an object's artifacts: `<kind>/<namespace>/<name>`, the kind in lower case.
pub fn artifact_dir(kind: &str, namespace: &str, name: &str) -> String {
    format!("{}/{namespace}/{name}", kind.to_lowercase())
}

/// The path of an artifact: `<kind>/<namespace>/<name>/<file>`.
pub fn artifact_path(kind: &str, namespace: &str, name: &str, file: &str) -> String {
    format!("{}/{file}", artifact_dir(kind, namespace, name))
}

/// Whether the path of an artifact is in a directory, such as that of its object.
pub(super) fn is_below(path: &str, directory: &str) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.starts_with('/'))
}

/// The address that consumers are told when `--storage-adv-addr` is not given, from `--storage-addr` and the name
/// of this host (`$HOSTNAME`, or what the system says). `None` when `storage_addr` is not `<host>:<port>`, or the
/// host's name is needed and empty.
pub fn advertised_address(storage_addr: &str, hostname: &str) -> Option<String> {
    let (host, port) = storage_addr.rsplit_once(':')?;
    let bracketed = host.starts_with('[') && host.ends_with(']');
    if host.contains(':') && !bracketed {
        return None;
    }
    match host {
        "" => Some(format!("localhost:{port}")),
        "0.0.0.0" => (!hostname.is_empty()).then(|| format!("{hostname}:{port}")),
        _ => Some(storage_addr.to_owned()),
    }
}

/// A path that is known to lie in the store: its components are plain names, and those that exist are
/// directories, not links. Nobody but the store writes there, so this stays true.
pub(super) struct StorePath {
    pub(super) relative: String,
    pub(super) absolute: PathBuf,
}

impl StorePath {
    /// `<kind>/<namespace>/<name>/<file>`.
    pub(super) fn file(root: &Path, path: &str) -> Result<Self, StoreError> {
        if is_bookkeeping(path) {
            return Err(StoreError::Path(path.to_owned()));
        }
        Self::confined(root, path, 4)
    }

    /// `<kind>/<namespace>/<name>`.
    pub(super) fn dir(root: &Path, path: &str) -> Result<Self, StoreError> {
        Self::confined(root, path, 3)
    }

    fn confined(root: &Path, path: &str, depth: usize) -> Result<Self, StoreError> {
        let invalid = || StoreError::Path(path.to_owned());
        let components: Vec<&str> = path.split('/').collect();
        let plain = |name: &&str| !matches!(*name, "" | "." | "..") && !name.contains(['\0', '\\']);
        if components.len() != depth || !components.iter().all(plain) {
            return Err(invalid());
        }
        let mut absolute = root.to_owned();
        for (at, name) in components.iter().enumerate() {
            absolute.push(name);
            let is_dir = at < 3;
            if is_dir && fs::symlink_metadata(&absolute).is_ok_and(|metadata| !metadata.is_dir()) {
                return Err(invalid());
            }
        }
        Ok(Self { relative: path.to_owned(), absolute })
    }

    /// The last component.
    pub(super) fn name(&self) -> &str {
        self.relative.rsplit('/').next().unwrap_or_default()
    }

    /// Another file of the same directory.
    pub(super) fn sibling(&self, name: &str) -> Self {
        let dir = self.relative.rsplit_once('/').map_or("", |(dir, _)| dir);
        Self { relative: format!("{dir}/{name}"), absolute: self.absolute.with_file_name(name) }
    }

    /// The names in this file's directory. A missing directory has none, and names that are no UTF-8 are not ours.
    pub(super) fn siblings(&self) -> Result<Vec<String>, StoreError> {
        let entries = match self.parent().and_then(fs::read_dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(self.error("list directory of", error)),
        };
        entries
            .filter_map(|entry| match entry {
                Ok(entry) => entry.file_name().into_string().ok().map(Ok),
                Err(error) => Some(Err(self.error("list directory of", error))),
            })
            .collect()
    }

    pub(super) fn lock(&self) -> PathBuf {
        let mut lock = self.absolute.clone().into_os_string();
        lock.push(LOCK_SUFFIX);
        lock.into()
    }

    pub(super) fn parent(&self) -> io::Result<&Path> {
        self.absolute.parent().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Creates the directories above this file.
    pub(super) fn create_parent(&self) -> Result<&Path, StoreError> {
        let created = self.parent().and_then(|parent| {
            DirBuilder::new().recursive(true).mode(0o700).create(parent)?;
            Ok(parent)
        });
        created.map_err(|source| StoreError::Directory { path: self.relative.clone(), source })
    }

    pub(super) fn error(&self, step: &'static str, source: io::Error) -> StoreError {
        io_error(step, &self.relative, source)
    }
}
