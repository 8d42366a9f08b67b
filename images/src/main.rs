//! `make images`: builds the controllers and writes an archive, a bill of materials and a provenance for each.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use images::archive::{File, Image};
use images::components::Metadata;
use images::labels::{CONTROLLERS, labels, version};
use images::platform::Platform;
use images::provenance::Provenance;
use images::{authorities, sha256};

const USAGE: &str = "usage: images [PROFILE [ARCHITECTURE]]
Builds the controllers with a profile of Cargo.toml (dist) and writes their images to images/ in the target folder.
ARCHITECTURE is amd64 or arm64; another one than that of this machine is in the names of its files.
SOURCE_URL, if set, is the address of the sources in their labels.";

/// What makes a program static. The addresses that the start has to adjust, as bits, are a megabyte less.
const STATIC_FLAGS: [&str; 2] = ["-Ctarget-feature=+crt-static", "-Clink-arg=-Wl,-z,pack-relative-relocs"];
/// Functions of the same instructions become one. For LLVM's linker, which Rust brings for amd64 alone.
const FOLD_FLAG: &str = "-Clink-arg=-Wl,--icf=all";
/// What an image may have of the profile that ships, unpacked; Flux's have 145 MB.
const MAX_BYTES: usize = 25_000_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (profile, architecture) = match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => ("dist", None),
        [profile] if !profile.starts_with('-') => (*profile, None),
        [profile, architecture] if !profile.starts_with('-') => (*profile, Some(*architecture)),
        _ => bail!("{USAGE}"),
    };
    let native = Platform::native()?;
    let platform = architecture.map_or(Ok(native), Platform::named)?;
    let is_native = platform == native;
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize()?;
    let metadata = said(cargo(&workspace).args([
        "metadata",
        "--format-version=1",
        "--locked",
        "--filter-platform",
        platform.triple,
    ]))?;
    let metadata: Metadata = serde_json::from_str(&metadata).context("read what cargo metadata says")?;
    let target = metadata.target_directory.as_path();
    let folder = target.join("images");
    fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
    let version = version();
    let mut provenance = Provenance {
        // Where the sources are to be had, for the labels.
        repository: std::env::var("SOURCE_URL").ok(),
        commit: commit(&workspace)?,
        lock: sha256(&fs::read(workspace.join("Cargo.lock")).context("read Cargo.lock")?),
        compiler: said(Command::new("rustc").args(["--version", "--verbose"]))?,
        commands: Vec::new(),
    };
    let created = said(git(&workspace).args(["log", "-1", "--format=%ct"]))?.parse()?;
    for (name, description) in CONTROLLERS {
        println!("==> {name}: cargo build, profile {profile}, {platform}");
        let commit = provenance.commit.as_deref();
        let (binary, command) = build(&workspace, target, name, profile, &platform, is_native, commit)?;
        provenance.commands = vec![command];
        let image = image(name, description, &version, created, &provenance, platform.architecture, binary);
        let written = image.write()?;
        let file = if is_native { name.to_owned() } else { format!("{name}-{}", platform.architecture) };
        let (archive, bill, statement) = (
            folder.join(format!("{file}.tar")),
            folder.join(format!("{file}.cdx.json")),
            folder.join(format!("{file}.provenance.json")),
        );
        fs::write(&archive, &written.archive).with_context(|| format!("write {}", archive.display()))?;
        fs::write(&bill, serde_json::to_vec_pretty(&metadata.bill_of_materials(name, &version)?)?)?;
        fs::write(&statement, serde_json::to_vec_pretty(&provenance.statement(name, &written.digest))?)?;
        let unpacked: usize = image.files.values().map(|file| file.content.len()).sum();
        ensure!(
            profile != "dist" || !is_native || unpacked <= MAX_BYTES,
            "the image of {name} has {unpacked} bytes, and may have {MAX_BYTES}"
        );
        println!(
            "{} ({}): {:.1} MB, {:.1} MB to transfer, {}",
            image.reference,
            archive.display(),
            megabytes(unpacked),
            megabytes(written.compressed),
            written.digest
        );
    }
    Ok(())
}

/// Builds one controller as a static binary, so that its image needs no C library. Says with what command, too. The binary tells in its
/// log what it was built from.
fn build(
    workspace: &Path,
    target: &Path,
    name: &str,
    profile: &str,
    platform: &Platform,
    is_native: bool,
    commit: Option<&str>,
) -> Result<(Vec<u8>, String)> {
    let whole_workspace = profile == "dev" && is_native;
    let cross = (!is_native).then_some(platform);
    let mut command = cargo(workspace);
    let mut arguments = Vec::new();
    if whole_workspace {
        // All of them in one build of the workspace, as `make test` has it: then only our own crates are compiled once more.
        command.env("RUSTC_WORKSPACE_WRAPPER", workspace.join("images/rustc-static"));
        command.env("STATIC_FLAGS", STATIC_FLAGS.join(" "));
        arguments.extend(["build", "--locked", "--profile", profile, "--workspace"]);
        arguments.extend(CONTROLLERS.iter().flat_map(|(name, _)| ["--bin", name]));
    } else {
        arguments.extend(["rustc", "--locked", "--profile", profile, "--package", name, "--bin", name]);
        if let Some(platform) = cross {
            prepare(platform)?;
            arguments.extend(["--target", platform.triple]);
            command.envs(platform.cross_variables());
        }
        arguments.push("--");
        arguments.extend(STATIC_FLAGS);
        if platform.architecture == "amd64" {
            arguments.push(FOLD_FLAG);
        }
    }
    command.args(&arguments);
    // Paths of this machine would make each machine's binary another one. With `dev` what `make test` has built is taken.
    if profile != "dev" {
        let home =
            std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| home + "/.cargo"))?;
        let maps = [(target, "/target"), (workspace, "/src"), (Path::new(&home), "/cargo")];
        let map = |prefix: &str| {
            let maps = maps.iter().map(|(from, to)| format!("{prefix}{}={to}", from.display()));
            maps.collect::<Vec<_>>().join(" ")
        };
        command.env("RUSTFLAGS", map("--remap-path-prefix=")).env("CFLAGS", map("-ffile-prefix-map="));
        command.envs(commit.map(|commit| ("SOURCE_REVISION", commit)));
    }
    let status = command.status().context("start cargo")?;
    ensure!(status.success(), "cargo {} failed ({status})", arguments.join(" "));
    let folder = if profile == "dev" { "debug" } else { profile };
    let binary = target.join(cross.map_or("", |platform| platform.triple)).join(folder).join(name);
    let content = fs::read(&binary).with_context(|| format!("read {}", binary.display()))?;
    let wrapper = if whole_workspace { "RUSTC_WORKSPACE_WRAPPER=images/rustc-static " } else { "" };
    Ok((content, format!("{wrapper}cargo {}", arguments.join(" "))))
}

/// Sees that there is what makes code for another machine: Rust's library, which is fetched, and a C compiler with its library.
fn prepare(platform: &Platform) -> Result<()> {
    let Platform { compiler, packages, .. } = platform;
    said(Command::new(compiler).arg("--version"))
        .with_context(|| format!("images for {platform} need {compiler} (Debian: {packages})"))?;
    said(Command::new("rustup").args(["target", "add", platform.triple]))?;
    Ok(())
}

fn image(
    name: &str,
    description: &str,
    version: &str,
    created: u64,
    provenance: &Provenance,
    architecture: &'static str,
    binary: Vec<u8>,
) -> Image {
    let labels = labels(name, description, provenance.commit.as_deref(), provenance.repository.as_deref());
    let authorities = File { content: authorities::pem().into_bytes(), mode: 0o644 };
    Image {
        reference: format!("ferroflux/{name}:{version}"),
        architecture,
        created,
        labels,
        entrypoint: format!("/{name}"),
        files: BTreeMap::from([
            (authorities::PATH.to_owned(), authorities),
            (name.to_owned(), File { content: binary, mode: 0o755 }),
        ]),
    }
}

/// The commit of the sources, if they are as it has them.
fn commit(workspace: &Path) -> Result<Option<String>> {
    let changed = said(git(workspace).args(["status", "--porcelain", "--untracked-files=no"]))?;
    if changed.is_empty() { said(git(workspace).args(["rev-parse", "HEAD"])).map(Some) } else { Ok(None) }
}

fn cargo(workspace: &Path) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.current_dir(workspace);
    command
}

fn git(workspace: &Path) -> Command {
    let mut command = Command::new("git");
    command.current_dir(workspace);
    command
}

/// What a command says, without the end of the last line.
fn said(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("start {}", command.get_program().display()))?;
    let errors = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {}", command.get_program().display(), errors.trim());
    Ok(String::from_utf8(output.stdout)?.trim_end().to_owned())
}

#[allow(clippy::cast_precision_loss)]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}
