//! A Go module that pins programs, and their build.
//!
//! The binaries go to `<cache>/<name>/<version>/bin`, outside `target/`, so that each version is built once per user. A lock file makes
//! parallel tests wait for one build; a binary appears by rename, whole or not at all.

use std::fs::{self, File, TryLockError};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::command::on_path;
use crate::progress::Progress;

/// A checked-in Go module that pins programs of one release.
pub struct Module {
    pub name: &'static str,
    pub go_mod: &'static str,
    /// The module whose version names the release.
    pub root: &'static str,
    /// The variables that tell the programs their version, and the version in them.
    pub version_variables: &'static [&'static str],
    /// Build tags, with commas between them.
    pub tags: &'static str,
    pub build: Build,
}

/// Where `go build` runs.
pub enum Build {
    /// In `tools/<name>`: its go.mod and go.sum pin every dependency.
    Here,
    /// In a copy of the root module, whose go.mod and go.sum pin the dependencies; for modules with `replace` lines, which count
    /// only there, and for programs that shall be what their authors release. `tools/<name>` pins the module itself.
    Copy {
        /// Writes files into the copy that the program embeds and its module lacks.
        complete: fn(&Module, &Path) -> Result<()>,
    },
}

/// A copy that lacks nothing.
pub const COPY: Build = Build::Copy { complete: |_, _| Ok(()) };

/// A program of a module.
#[derive(Clone, Copy)]
pub struct Program {
    pub module: &'static Module,
    pub name: &'static str,
    pub package: &'static str,
}

// === impl Program ===

impl Program {
    pub const fn new(module: &'static Module, name: &'static str, package: &'static str) -> Self {
        Self { module, name, package }
    }

    /// The program, from the cache or built now.
    pub fn ensure(&self) -> Result<PathBuf> {
        self.module.ensure(self.name, self.package, "")
    }

    /// Builds those that are missing, and tells how many that are.
    pub fn ensure_all(programs: &[Self]) -> Result<()> {
        let mut missing = Vec::new();
        for program in programs {
            if !program.module.folder()?.join("bin").join(program.name).is_file() {
                missing.push(program);
            }
        }
        let all = missing.len();
        for (number, program) in missing.into_iter().enumerate() {
            let count = format!("[{} of {all}] ", number + 1);
            program.module.ensure(program.name, program.package, &count)?;
        }
        Ok(())
    }
}

// === impl Module ===

impl Module {
    /// Where what is built of this version goes.
    pub fn folder(&self) -> Result<PathBuf> {
        Ok(cache()?.join(self.name).join(self.key()?))
    }

    /// Builds a program unless it is there; `count` is for whoever waits: which of how many it is.
    fn ensure(&self, program: &str, package: &str, count: &str) -> Result<PathBuf> {
        let version = self.version()?;
        let folder = self.folder()?.join("bin");
        let binary = folder.join(program);
        if binary.is_file() {
            return Ok(binary);
        }
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        let title = format!("{count}{program} {version}");
        let lock = File::create(folder.join(".lock"))?;
        if let Err(TryLockError::WouldBlock) = lock.try_lock() {
            let _waiting = Progress::start(&title, "waiting for another build of it");
            lock.lock()?;
        }
        if !binary.is_file() {
            self.build(program, package, &title, &binary)?;
        }
        Ok(binary)
    }

    fn build(&self, program: &str, package: &str, title: &str, binary: &Path) -> Result<()> {
        let go = go().with_context(|| format!("build {program}"))?;
        let progress = Progress::start(title, "downloading its source");
        let partial = binary.with_extension(format!("{}.partial", std::process::id()));
        let source = self.source(binary)?;
        progress.phase("looking at its packages");
        let mut child = Command::new(&go)
            .args(["build", "-v", "-mod=readonly", "-buildvcs=false", "-trimpath", "-tags", self.tags])
            .args(["-ldflags", &self.link_flags(self.version()?), "-gcflags", self.compiler_flags()])
            .arg("-o")
            .args([partial.as_os_str(), package.as_ref()])
            .envs(self.toolchain())
            // The compiler collects garbage less often, which saves a fifth of its time.
            .env("GOGC", "300")
            .current_dir(source.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .context("start go build")?;
        // With -v the compiler names each package as it comes to it.
        let mut last = String::new();
        for line in child.stderr.take().map(BufReader::new).into_iter().flat_map(BufRead::lines) {
            last = line?;
            progress.line(&last);
        }
        let status = child.wait()?;
        if !status.success() {
            let _ = fs::remove_file(&partial);
            bail!("go build {package} failed ({status}): {last}");
        }
        fs::rename(&partial, binary)?;
        progress.done();
        Ok(())
    }

    /// The folder to build in. A copy goes beside the binary, and away when it is dropped.
    fn source(&self, binary: &Path) -> Result<Source> {
        let Build::Copy { complete } = self.build else { return Ok(Source::Here(self.pins())) };
        let copy = tempfile::tempdir_in(binary.parent().context("no folder")?)?;
        copy_files(&self.download(self.root)?, copy.path())?;
        complete(self, copy.path())?;
        Ok(Source::Copy(copy))
    }

    /// The folder of a module that go.mod requires in Go's cache, checked against our go.sum when it is downloaded.
    pub fn download(&self, path: &str) -> Result<PathBuf> {
        let output = Command::new(go()?)
            .args(["mod", "download", "-json", path])
            .envs(self.toolchain())
            .current_dir(self.pins())
            .output()
            .context("start go mod download")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "go mod download {path}: {said}");
        let downloaded: serde_json::Value = serde_json::from_slice(&output.stdout)?;
        let folder = downloaded.get("Dir").and_then(|dir| dir.as_str());
        Ok(folder.context("go mod download names no folder")?.into())
    }

    /// The folder with go.mod and go.sum.
    pub fn pins(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../tools").join(self.name)
    }

    /// A control plane is what a newcomer waits for: inlining would take a quarter of the compiler's time. What is compared with ours
    /// is built as its authors build it.
    fn compiler_flags(&self) -> &'static str {
        if matches!(self.name, "etcd" | "kubernetes") { "all=-dwarf=false -l" } else { "all=-dwarf=false" }
    }

    fn link_flags(&self, version: &str) -> String {
        let version = version.trim_start_matches('v');
        let mut numbers = version.split('.');
        let (major, minor) = (numbers.next().unwrap_or_default(), numbers.next().unwrap_or_default());
        let set = self.version_variables.iter().map(|set| {
            let set = set.replace("{version}", version).replace("{major}", major).replace("{minor}", minor);
            format!(" -X {set}")
        });
        format!("-s -w{}", set.collect::<String>())
    }

    /// The release of Go that go.mod names, if it names one: Go fetches it as it does modules.
    fn toolchain(&self) -> Option<(&'static str, &'static str)> {
        let named = self.go_mod.lines().find_map(|line| line.strip_prefix("toolchain "));
        named.map(|release| ("GOTOOLCHAIN", release))
    }

    /// The version of `root` that go.mod requires.
    fn version(&self) -> Result<&'static str> {
        let required = self.requirements().find_map(|(path, version)| (path == self.root).then_some(version));
        required.with_context(|| format!("tools/{}/go.mod does not require {}", self.name, self.root))
    }

    /// The name of the cache folder: the version, those of modules that complete a copy, and a digest of a program of our own.
    fn key(&self) -> Result<String> {
        let mut key = self.version()?.to_owned();
        if let Ok(source) = fs::read(self.pins().join("main.go")) {
            let mut hasher = DefaultHasher::new();
            source.hash(&mut hasher);
            key.push_str(&format!("-{:016x}", hasher.finish()));
        }
        if let Build::Copy { .. } = self.build {
            let others = self.requirements().filter(|(path, _)| *path != self.root);
            key.extend(others.map(|(_, version)| format!("-{version}")));
        }
        Ok(key)
    }

    /// Paths and versions of the modules that go.mod requires.
    pub fn requirements(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.go_mod.lines().filter_map(|line| {
            let mut words = line.trim().trim_start_matches("require ").split_whitespace();
            words.next().zip(words.next().filter(|version| version.starts_with('v')))
        })
    }
}

/// The Go on the search path.
///
/// # Errors
/// When there is none.
pub fn go() -> Result<PathBuf> {
    on_path("go").context(
        "Go 1.26 or newer is not on the search path; for Kubernetes alone, E2E_KUBECONFIG can name a cluster",
    )
}

/// The folder that a program is built in.
enum Source {
    Here(PathBuf),
    Copy(TempDir),
}

impl Source {
    fn path(&self) -> &Path {
        match self {
            Self::Here(path) => path,
            Self::Copy(copy) => copy.path(),
        }
    }
}

/// Copies what is in a folder of plain files and folders into another one; not their modes, which in the module cache are read-only.
pub fn copy_files(from: &Path, to: &Path) -> Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let to = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            fs::create_dir(&to)?;
            copy_files(&entry.path(), &to)?;
        } else {
            fs::write(&to, fs::read(entry.path())?)?;
        }
    }
    Ok(())
}

/// `FERROFLUX_CACHE`, else `ferroflux` in the user's cache folder.
pub fn cache() -> Result<PathBuf> {
    let set = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    set("FERROFLUX_CACHE")
        .or_else(|| set("XDG_CACHE_HOME").map(|d| d.join("ferroflux")))
        .or_else(|| set("HOME").map(|d| d.join(".cache/ferroflux")))
        .context("no cache folder: set HOME, XDG_CACHE_HOME or FERROFLUX_CACHE")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_of_our_own_is_built_anew_when_its_source_changes() {
        let key = |name| {
            Module {
                name,
                go_mod: "module y\n\nrequire example.com/x v1.2.3\n",
                root: "example.com/x",
                version_variables: &[],
                tags: "",
                build: Build::Here,
            }
            .key()
            .unwrap_or_default()
        };
        assert_eq!(key("helm"), "v1.2.3", "there is no program of ours");
        assert!(key("helm-oracle").starts_with("v1.2.3-"));
        assert_ne!(key("helm-oracle"), key("referrers-registry"));
    }

    #[test]
    fn a_program_is_built_anew_when_what_completes_it_changes() {
        let module = |go_mod| Module {
            name: "x",
            go_mod,
            root: "example.com/x",
            version_variables: &[],
            tags: "",
            build: COPY,
        };
        let alone = module("module y\n\ngo 1.26.0\n\nrequire example.com/x v1.2.3\n");
        assert_eq!(alone.key().ok().as_deref(), Some("v1.2.3"));
        let more = module("module y\nrequire (\n\texample.com/a v0.1.0\n\texample.com/x v1.2.3\n)\n");
        assert_eq!(more.version().ok(), Some("v1.2.3"));
        assert_eq!(more.key().ok().as_deref(), Some("v1.2.3-v0.1.0"));
    }
}
