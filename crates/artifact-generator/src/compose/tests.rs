//! Copy operations as a table.

use std::time::Duration;

use artifact::unpack::unpack as unpack_archive;
use serde_json::{Value, json};

use super::*;
use crate::meter::Limits;
use crate::test_tree::{shown, tree};

fn operation(from: &str, to: &str) -> Value {
    json!({"from": format!("@a/{from}"), "to": format!("@artifact/{to}")})
}

fn with(mut operation: Value, field: &str, value: Value) -> Value {
    operation[field] = value;
    operation
}

fn composed_within(limits: &Limits, operations: &[Value], source: &Tree) -> Result<Composed, String> {
    let artifact = serde_json::from_value(json!({"name": "out", "copy": operations})).unwrap();
    let deadline = Deadline::new(Duration::from_secs(60));
    compose(&artifact, &Sources::from([("a", source)]), &mut Meter::new(limits, &deadline))
        .map_err(|error| error.to_string())
}

fn composed(operations: &[Value], source: &Tree) -> Result<Composed, String> {
    composed_within(&Limits::default(), operations, source)
}

fn files() -> Tree {
    tree(&[
        ("top.yaml", "t"),
        ("run.sh", "r"),
        ("deploy/app.yaml", "a"),
        ("deploy/README.md", "m"),
        ("deploy/base/cm.yaml", "c"),
        ("deploy/base/notes.md", "n"),
    ])
}

/// The files of what the operations give; directories are told by them.
fn given(operations: &[Value]) -> Vec<String> {
    let composed = composed(operations, &files()).unwrap();
    shown(&composed.tree).into_iter().filter(|line| !line.ends_with('/')).collect()
}

#[test]
fn files_and_directories_are_copied_as_by_cp() {
    for (from, to, expected) in [
        ("top.yaml", "", &["top.yaml t"][..]),
        ("top.yaml", "x.yaml", &["x.yaml t"]),
        ("top.yaml", "x/", &["x/top.yaml t"]),
        ("top.yaml", "x/y/z.yaml", &["x/y/z.yaml t"]),
        ("./deploy/../top.yaml", "./x/../y.yaml", &["y.yaml t"]),
        ("run.sh", "", &["run.sh* r"]),
        ("deploy/base", "", &["base/cm.yaml c", "base/notes.md n"]),
        ("deploy/base/", "x", &["x/base/cm.yaml c", "x/base/notes.md n"]),
        ("deploy/base", "x/", &["x/base/cm.yaml c", "x/base/notes.md n"]),
        (
            "deploy/*",
            "",
            &["deploy/README.md m", "deploy/app.yaml a", "deploy/base/cm.yaml c", "deploy/base/notes.md n"],
        ),
        ("deploy/**", "", &["README.md m", "app.yaml a", "base/cm.yaml c", "base/notes.md n"]),
        ("deploy/**", "x", &["x/README.md m", "x/app.yaml a", "x/base/cm.yaml c", "x/base/notes.md n"]),
        ("deploy/**/*.yaml", "", &["deploy/base/cm.yaml c"]),
        ("*/base/**", "", &["deploy/base/cm.yaml c", "deploy/base/notes.md n"]),
        ("*.yaml", "x.yaml", &["x.yaml/top.yaml t"]),
        ("deploy/app.y?ml", "", &["deploy/app.yaml a"]),
    ] {
        assert_eq!(given(&[operation(from, to)]), expected, "{from} to {to}");
    }
    let all = given(&[operation("", "")]);
    assert_eq!(all, given(&[operation("**", "")]));
    assert_eq!(all.len(), 6);
}

#[test]
fn later_copies_replace_files_and_go_into_directories_that_are_there() {
    let twice = [operation("deploy/app.yaml", "x"), operation("top.yaml", "x")];
    assert_eq!(given(&twice), ["x t"]);
    let into = [operation("deploy/app.yaml", "x/"), operation("top.yaml", "x")];
    assert_eq!(given(&into), ["x/app.yaml a", "x/top.yaml t"]);
}

#[test]
fn empty_directories_are_copied() {
    let mut source = files();
    source.directory_at(b"deploy/empty/inner").unwrap();
    let composed = composed(&[operation("deploy/empty", "")], &source).unwrap();
    assert_eq!(shown(composed.tree()), ["empty/", "empty/inner/"]);
}

#[test]
fn excluded_paths_are_left_out_by_their_paths_in_the_source_and_below_the_prefix() {
    let excluding =
        |from: &str, patterns: &[&str]| given(&[with(operation(from, ""), "exclude", json!(patterns))]);
    assert_eq!(excluding("deploy/**", &["*.md"]), ["app.yaml a", "base/cm.yaml c"]);
    assert_eq!(excluding("deploy/**", &["deploy/base"]), ["README.md m", "app.yaml a"]);
    assert_eq!(excluding("deploy/**", &["base/**"]), ["README.md m", "app.yaml a"]);
    assert_eq!(
        excluding("deploy", &["base/*.md"]),
        ["deploy/README.md m", "deploy/app.yaml a", "deploy/base/cm.yaml c"]
    );
    assert_eq!(excluding("deploy", &["**/*.md"]), ["deploy/app.yaml a", "deploy/base/cm.yaml c"]);
    assert_eq!(excluding("deploy", &["{base,app.yaml}"]), ["deploy/README.md m"]);
    assert_eq!(excluding("top.yaml", &["*.yaml"]), [""; 0], "a file that is named may be excluded");
}

#[test]
fn what_cannot_be_copied_is_named() {
    let refused = |operations: &[Value], text: &str| {
        let error = composed(operations, &files()).unwrap_err();
        let last = operations.last().unwrap();
        let begin = format!(
            "failed to apply copy operations: failed to apply copy operation from '{}' to '{}': ",
            last["from"].as_str().unwrap(),
            last["to"].as_str().unwrap()
        );
        assert_eq!(error.strip_prefix(&begin), Some(text), "{error}");
    };
    for (from, to, text) in [
        ("none", "", "source 'none' does not exist"),
        ("top.yaml/x", "", "source 'top.yaml/x' does not exist"),
        ("none/*", "", "no files match pattern 'none/*' in source 'a'"),
        ("../*", "", "no files match pattern '../*' in source 'a'"),
        ("[", "", "invalid glob pattern '[': syntax error in pattern"),
        ("../x", "", "path '../x' escapes from parent"),
        ("deploy/../../x", "", "path 'deploy/../../x' escapes from parent"),
        ("/etc/passwd", "", "path '/etc/passwd' escapes from parent"),
        ("top.yaml", "../x", "path '../x' escapes from parent"),
        ("top.yaml", "/x", "path '/x' escapes from parent"),
    ] {
        refused(&[operation(from, to)], text);
    }
    let file = operation("top.yaml", "x");
    refused(&[file.clone(), operation("top.yaml", "x/y")], "failed to copy to 'x/y': not a directory");
    let below = with(operation("top.yaml", ""), "exclude", json!(["[", "*"]));
    refused(&[below], "invalid exclude pattern '[': syntax error in pattern");
    let all = with(operation("deploy/*", ""), "exclude", json!(["**"]));
    refused(&[all], "all files matching pattern 'deploy/*' in source 'a' were excluded");
    let foreign = json!({"from": "@b/x", "to": "@artifact/"});
    refused(&[foreign], "source alias 'b' not found");
}

fn tarball(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = ArchiveWriter::new(Vec::new(), Algorithm::Sha256).unwrap();
    for (path, content) in files {
        let size = content.len() as u64;
        archive.file(path.as_bytes(), path.ends_with(".sh"), size, &mut content.as_bytes()).unwrap();
    }
    archive.finish().unwrap().1
}

fn extraction(from: &str, to: &str) -> Value {
    with(operation(from, to), "strategy", json!("Extract"))
}

fn with_tarballs() -> Tree {
    let mut source = files();
    let mut put = |path: &str, content: &[(&str, &str)]| {
        source.put(path.as_bytes(), File::new(tarball(content), false)).unwrap();
    };
    put("charts/one.tgz", &[("one/Chart.yaml", "1"), ("one/run.sh", "x")]);
    put("charts/sub/two.TAR.GZ", &[("two/Chart.yaml", "2")]);
    put("large.tgz", &[("zeros", &"0".repeat(200_000))]);
    source.put(b"broken.tgz", File::new("no tarball", false)).unwrap();
    source
}

#[test]
fn tarballs_are_extracted_and_other_files_of_a_glob_are_skipped() {
    let source = with_tarballs();
    for (from, to, expected) in [
        ("charts/one.tgz", "", &["one/Chart.yaml 1", "one/run.sh* x"][..]),
        ("charts/one.tgz", "vendor", &["vendor/one/Chart.yaml 1", "vendor/one/run.sh* x"]),
        ("charts/**", "", &["one/Chart.yaml 1", "one/run.sh* x", "two/Chart.yaml 2"]),
        ("**/*.TAR.GZ", "x/", &["x/two/Chart.yaml 2"]),
        ("deploy/**", "x", &[]),
    ] {
        let composed = composed(&[extraction(from, to)], &source).unwrap();
        let lines: Vec<_> = shown(composed.tree()).into_iter().filter(|line| !line.ends_with('/')).collect();
        assert_eq!(lines, expected, "{from} to {to}");
    }
    for (from, text) in [
        ("charts", "extract strategy is not supported for directories, got 'charts'"),
        ("top.yaml", "extract strategy requires tarball file (.tar.gz or .tgz), got 'top.yaml'"),
        ("broken.tgz", "failed to extract tarball 'broken.tgz' to '.': requires gzip-compressed body"),
    ] {
        let error = composed(&[extraction(from, "")], &source).unwrap_err();
        assert!(error.ends_with(&format!("': {text}")), "{error}");
    }
}

#[test]
fn a_tarball_that_unpacks_to_more_than_its_limit_is_refused() {
    let limits = Limits { extracted_bytes: 100_000, ..Limits::default() };
    let error = composed_within(&limits, &[extraction("large.tgz", "")], &with_tarballs()).unwrap_err();
    let text = "failed to extract tarball 'large.tgz' to '.': archive exceeds the limit of 100000 bytes after decompression";
    assert!(error.ends_with(text), "{error}");
    assert_eq!(Limits::default().extracted_bytes, 100 << 20, "as with Flux");
}

#[test]
fn yaml_files_are_merged_into_those_that_are_there() {
    let source = tree(&[
        ("base.yaml", "b: [1, 2]\na:\n  x: 1\n  z: 2\n---\nc: 1.50\n"),
        ("over.yaml", "a: {z: 3}\nb: [3]\nd: null\n"),
        ("list.yaml", "- 1\n"),
        ("text", "\u{1}"),
    ]);
    let merging = |from: &str, to: &str| with(operation(from, to), "strategy", json!("Merge"));
    let both = [operation("base.yaml", "v.yaml"), merging("over.yaml", "v.yaml")];
    let merged = composed(&both, &source).unwrap();
    assert_eq!(shown(merged.tree()), ["v.yaml a:\n  x: 1\n  z: 3\nb:\n- 3\nc: 1.5\nd: null\n"]);
    let alone = composed(&[merging("over.yaml", "v.yaml")], &source).unwrap();
    assert_eq!(
        shown(alone.tree()),
        ["v.yaml a: {z: 3}\nb: [3]\nd: null\n"],
        "there was none: copied as it is"
    );
    let error = composed(&[operation("base.yaml", "v"), merging("list.yaml", "v")], &source).unwrap_err();
    let text = "failed to merge 'list.yaml' into 'v': cannot unmarshal YAML document: it is not a mapping";
    assert!(error.ends_with(text), "{error}");
    let limits = Limits { merged_bytes: 20, ..Limits::default() };
    let error = composed_within(&limits, &both, &source).unwrap_err();
    assert!(error.ends_with("a file to merge exceeds the limit of 20 bytes"), "{error}");
}

#[test]
fn an_artifact_has_limits_of_entries_bytes_and_depth() {
    for (limits, text) in [
        (Limits { entries: 4, ..Limits::default() }, "the limit of 4 files and directories is exceeded"),
        (Limits { bytes: 3, ..Limits::default() }, "the limit of 3 bytes of files is exceeded"),
        (Limits { depth: 1, ..Limits::default() }, "the limit of 1 components of a path is exceeded"),
    ] {
        let error = composed_within(&limits, &[operation("deploy/**", "x")], &files()).unwrap_err();
        assert!(error.ends_with(text), "{error}");
    }
    let deadline = Deadline::new(Duration::from_secs(60));
    deadline.cancel();
    let artifact = serde_json::from_value(json!({"name": "out", "copy": [operation("big/*", "")]})).unwrap();
    let names: Vec<_> = (0..70_000).map(|n| format!("big/{n}")).collect();
    let source = tree(&names.iter().map(|name| (name.as_str(), "")).collect::<Vec<_>>());
    let limits = Limits::default();
    let error = compose(&artifact, &Sources::from([("a", &source)]), &mut Meter::new(&limits, &deadline));
    assert!(error.unwrap_err().to_string().ends_with(": it took too long"));
}

#[test]
fn file_name_is_the_sum_that_flux_takes() {
    let source = tree(&[("a.b", "1"), ("a/c", "2"), ("z", "")]);
    let composed = composed(&[operation("", "")], &source).unwrap();
    // By golang.org/x/mod/sumdb/dirhash and hash/adler32, which sort whole paths.
    assert_eq!(composed.file_name("out"), "3491695193.tar.gz");
    assert_ne!(composed.file_name("other"), composed.file_name("out"));
}

#[test]
fn digest_tells_paths_contents_modes_and_directories_apart() {
    let digest = |files: &[(&str, &str)]| composed(&[operation("", "")], &tree(files)).unwrap().digest();
    let of = [
        digest(&[("a", "1")]),
        digest(&[("a", "2")]),
        digest(&[("b", "1")]),
        digest(&[("a.sh", "1")]),
        digest(&[("a", "1"), ("b", "")]),
        digest(&[("a/b", "1")]),
    ];
    for (at, one) in of.iter().enumerate() {
        assert!(of.iter().skip(at + 1).all(|other| one != other), "{at}");
    }
    assert_eq!(of[0], digest(&[("a", "1")]));
}

#[test]
fn what_git_artifacts_leave_out_by_default_is_left_out() {
    let source = tree(&[
        ("a.yaml", "1"),
        ("a.zip", "2"),
        (".github/x", "3"),
        (".sourceignore", "a.yaml\n"),
        ("chart.tar.gz", "4"),
        ("sub/.sops.yaml", "5"),
        ("run.sh", "6"),
    ]);
    let composed = composed(&[operation("", "")], &source).unwrap();
    let mut archive = ArchiveWriter::new(Vec::new(), Algorithm::Sha256).unwrap();
    composed.write(&mut archive, &Deadline::new(Duration::from_secs(60))).unwrap();
    let (_, bytes) = archive.finish().unwrap();
    let mut paths = Vec::new();
    unpack_archive(&*bytes, &unpack::Limits::default(), &mut |entry| {
        paths.push(match entry {
            Entry::Directory { path } => format!("{}/", lossy(path)),
            Entry::File { path, executable, .. } => format!("{} {executable}", lossy(path)),
        });
        Ok(())
    })
    .unwrap();
    assert_eq!(paths, [".sourceignore false", "a.yaml false", "run.sh true", "sub/"]);
}
