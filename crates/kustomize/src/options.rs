//! What a caller may choose.

use std::collections::BTreeMap;

use crate::cancel::Cancel;
use crate::document;
use crate::error::Result;
use crate::meter::Meter;
use crate::parsed::ParseCache;
use crate::resource::Resource;

/// Choices of one build.
#[derive(Debug, Clone)]
pub struct Options {
    /// Which files a kustomization may load besides its bases.
    pub load_restrictor: LoadRestrictor,
    /// Order of the output when the root file has no `sortOptions`.
    pub reorder: Reorder,
    /// Adds `app.kubernetes.io/managed-by` to every resource.
    pub managed_by_label: bool,
    /// A schema given by `openapi.path` adds to the built-in one, as Flux has it, instead of replacing it.
    pub openapi_adds_to_builtin: bool,
    /// Where files of resources that other builds have parsed are found, and those of this one kept.
    pub parsed: Option<ParseCache>,
    /// What lines of env files without `=` take their values from; empty, so that nothing of a process leaks by itself.
    pub environment: BTreeMap<String, String>,
    /// Bounds on what the input may ask for.
    pub limits: Limits,
    /// Ends the build when it is no longer wanted.
    pub cancel: Cancel,
}

impl Default for Options {
    /// As `kustomize build` without flags, in an empty environment.
    fn default() -> Self {
        Self {
            load_restrictor: LoadRestrictor::RootOnly,
            reorder: Reorder::Legacy,
            managed_by_label: false,
            openapi_adds_to_builtin: true,
            parsed: None,
            environment: BTreeMap::new(),
            limits: Limits::default(),
            cancel: Cancel::default(),
        }
    }
}

impl Options {
    /// The resources of a file's text, from those that are parsed already if it is among them.
    pub(crate) fn parse_resources(&self, text: &str, meter: &Meter<'_>) -> Result<Vec<Resource>> {
        match &self.parsed {
            Some(parsed) => parsed.resources(text, meter),
            None => document::resources(text, meter),
        }
    }
}

/// Which files a kustomization may load besides its bases.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoadRestrictor {
    /// Files in or below its own directory.
    RootOnly,
    /// Any file of the tree.
    None,
}

/// Order of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reorder {
    /// Namespaces and other prerequisites first, webhooks last, the rest by group, version, kind, namespace and name.
    Legacy,
    /// The order of the inputs.
    None,
}

/// Bounds on what one build may ask for.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bases below bases. The build recurses once a level.
    pub depth: usize,
    /// Kustomization files read, each as often as it is referred to: bounds diamonds.
    pub kustomizations: u64,
    /// Resources loaded, generated ones included.
    pub resources: u64,
    /// Bytes of one file.
    pub file_bytes: usize,
    /// Bytes of all files, each as often as it is read, and of texts that are put into many resources.
    pub total_bytes: u64,
    /// Nodes of all files and patches, generated and copied ones included. A node takes about 350 bytes until its
    /// resource has been printed.
    pub nodes: u64,
    /// Repositories and files fetched from elsewhere, each as often as it is referred to.
    pub fetches: u64,
    /// Bytes of what was fetched; a repository has those of all its files.
    pub fetched_bytes: u64,
    /// Bytes of one regular expression.
    pub regex_bytes: usize,
    /// Bytes of memory of one compiled regular expression.
    pub regex_memory: usize,
    /// Bytes of one text that a regular expression is tried on.
    pub regex_text_bytes: usize,
    /// Matching of regular expressions: the states of each times the bytes of its texts, in units of 64.
    pub regex_work: u64,
    /// Name references, selections and replacements examined, in nodes.
    pub work: u64,
    /// Bounds on each YAML text; its depth also bounds what patches and replacements may build.
    pub yaml: yaml::Limits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            depth: 128,
            kustomizations: 20_000,
            resources: 200_000,
            file_bytes: 64 << 20,
            total_bytes: 128 << 20,
            nodes: 1_000_000,
            fetches: 100,
            fetched_bytes: 256 << 20,
            regex_bytes: 4 << 10,
            regex_memory: 1 << 20,
            regex_text_bytes: 64 << 10,
            regex_work: 50_000_000,
            work: 200_000_000,
            yaml: yaml::Limits::default(),
        }
    }
}
