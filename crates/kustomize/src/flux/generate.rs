//! A kustomization file for a directory that has none.

use yaml::Node;

use super::{Error, child};
use crate::error::Error as BuildError;
use crate::kustomization::{API_VERSION, FILE_NAMES, KIND};
use crate::meter::Meter;
use crate::options::Options;
use crate::tree::{FileTree, Kind};

/// What becomes a resource: every YAML file, and every directory that has a kustomization file of its own.
pub(super) fn resources(
    tree: &dyn FileTree,
    directory: &str,
    (options, meter): (&Options, &Meter<'_>),
    ignored: &dyn Fn(&str, bool) -> bool,
) -> Result<Vec<String>, Error> {
    let mut scan = Scan { tree, options, ignored, found: Vec::new(), meter };
    scan.directory(directory, "./", 0)?;
    Ok(scan.found)
}

struct Scan<'a> {
    tree: &'a dyn FileTree,
    options: &'a Options,
    ignored: &'a dyn Fn(&str, bool) -> bool,
    found: Vec<String>,
    meter: &'a Meter<'a>,
}

impl Scan<'_> {
    fn directory(&mut self, directory: &str, relative: &str, depth: usize) -> Result<(), Error> {
        if depth > self.options.limits.depth {
            let limit = self.options.limits.depth as u64;
            return Err(Error::Generate(BuildError::Limit { what: "directories below one another", limit }));
        }
        for entry in self.tree.list(directory)? {
            let path = child(directory, &entry.name);
            let shown = format!("{relative}{}", entry.name);
            match entry.kind {
                Kind::Directory if self.has_kustomization(&path) => self.found.push(shown),
                // A link out of the way does not lead into a circle: only what is listed here is walked.
                Kind::Directory if self.is_link(&path) => {}
                Kind::Directory => self.directory(&path, &format!("{shown}/"), depth + 1)?,
                Kind::File if (self.ignored)(&path, false) => {}
                Kind::File if entry.name.ends_with(".yaml") || entry.name.ends_with(".yml") => {
                    self.file(&path)?;
                    self.found.push(shown);
                }
                Kind::File | Kind::Absent => {}
            }
        }
        Ok(())
    }

    fn has_kustomization(&self, directory: &str) -> bool {
        FILE_NAMES.iter().any(|name| self.tree.kind(&child(directory, name)) == Kind::File)
    }

    fn is_link(&self, path: &str) -> bool {
        self.tree.resolve(path).map_or(true, |resolved| resolved != path)
    }

    /// Checks that a file holds resources.
    fn file(&mut self, path: &str) -> Result<(), Error> {
        let bytes = self.tree.read(path, self.options.limits.file_bytes)?;
        self.meter.count_bytes(bytes.len()).map_err(Error::Generate)?;
        let decode = |cause| Error::Decode { path: self.tree.display(path), cause };
        let text = std::str::from_utf8(&bytes)
            .map_err(|_| decode(BuildError::Invalid("it holds bytes that are not UTF-8".into())))?;
        self.options.parse_resources(text, self.meter).map_err(decode)?;
        Ok(())
    }
}

/// The file's text. Without resources it names a namespace, since an empty file would be refused.
pub(super) fn text(resources: &[String]) -> String {
    let mut file =
        Node::mapping_of([("apiVersion", Node::string(API_VERSION)), ("kind", Node::string(KIND))]);
    if resources.is_empty() {
        file.insert("namespace", Node::string("_placeholder"));
    } else {
        file.insert("resources", Node::sequence_of(resources.iter().map(Node::string)));
    }
    yaml::emit(&file)
}
