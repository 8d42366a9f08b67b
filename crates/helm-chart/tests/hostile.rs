//! Charts that want more than they may have, or to be elsewhere.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

mod support;

use helm_chart::{
    Limits, LoadError, MemoryTree, load_archive, load_directory, merge_from_tree, read_directory_metadata,
    read_metadata,
};
use support::{CHART_YAML, archive, chain, gzip, member, tree};

fn refused(archive: &[u8], limits: &Limits) -> String {
    let whole = chain(&load_archive(archive, limits).unwrap_err());
    if let Err(error) = read_metadata(archive, limits) {
        assert_eq!(chain(&error), whole, "both readers say the same");
    }
    whole
}

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for (name, expected) in [
        ("app/../../etc/passwd", "chart illegally references parent directory"),
        ("app//etc/passwd", "chart illegally contains absolute paths"),
        ("app\\..\\..\\x", "chart illegally references parent directory"),
        ("app/c:/x", "chart contains illegally named files"),
        ("app", "chart illegally contains content outside the base directory: \"app\""),
    ] {
        let archive = archive(&[("app/Chart.yaml", CHART_YAML.as_bytes()), (name, b"x")]);
        assert_eq!(refused(&archive, &Limits::default()), expected, "{name}");
        assert!(read_metadata(archive.as_slice(), &Limits::default()).is_err(), "{name}");
    }
}

#[test]
fn a_link_is_an_empty_file() {
    let mut tar = tar::Builder::new(Vec::new());
    tar.append(&member("app/Chart.yaml", CHART_YAML.len() as u64, b'0'), CHART_YAML.as_bytes()).unwrap();
    let mut link = member("app/passwd", 0, b'2');
    link.set_link_name("/etc/passwd").unwrap();
    link.set_cksum();
    tar.append(&link, &b""[..]).unwrap();
    let chart = load_archive(gzip(&tar.into_inner().unwrap()).as_slice(), &Limits::default()).unwrap();
    assert_eq!(chart.files.len(), 1);
    assert!(chart.files[0].data.is_empty());
}

#[test]
fn each_limit_of_an_archive_is_hit() {
    let chart = ("app/Chart.yaml", CHART_YAML.as_bytes());
    let zeros = vec![0; 4096];
    let limits = Limits { file_bytes: 4096, bytes: 8000, files: 3, ..Limits::default() };
    let large = archive(&[chart, ("app/a", &vec![0; 4097])]);
    assert_eq!(refused(&large, &limits), "cannot load file a as file size (4097) exceeds limit (4096)");
    let bomb = archive(&[chart, ("app/a", &zeros), ("app/b", &zeros)]);
    assert_eq!(refused(&bomb, &limits), "decompressed chart is larger than the maximum size 8000");
    let many = archive(&[chart, ("app/a", b""), ("app/b", b""), ("app/c", b"")]);
    assert_eq!(refused(&many, &limits), "the chart has more than 3 files");
}

#[test]
fn an_archive_in_a_tree_has_a_limit() {
    let limits = Limits { archive_bytes: 10, ..Limits::default() };
    let mut files = MemoryTree::default();
    files.insert("a.tgz", archive(&[("app/Chart.yaml", CHART_YAML.as_bytes())]));
    let loaded = load_directory(&files, "a.tgz", &limits).unwrap_err();
    assert_eq!(chain(&loaded), "size of chart 'a.tgz' exceeds '10' bytes limit");
    let read = read_directory_metadata(&files, "a.tgz", &limits).unwrap_err();
    assert_eq!(chain(&read), chain(&loaded));
}

#[test]
fn a_hundred_thousand_files_are_too_many() {
    let mut tar = tar::Builder::new(Vec::new());
    for number in 0..100_000 {
        tar.append(&member(&format!("app/f{number}"), 0, b'0'), &b""[..]).unwrap();
    }
    let archive = gzip(&tar.into_inner().unwrap());
    assert_eq!(refused(&archive, &Limits::default()), "the chart has more than 20000 files");
}

#[test]
fn a_gigabyte_in_a_megabyte_is_not_unpacked() {
    let mut tar = Vec::from(&member("app/a", 1 << 30, b'0').as_bytes()[..]);
    tar.resize(160 << 20, 0);
    let archive = gzip(&tar);
    assert!(archive.len() < 2 << 20);
    let limits = Limits { file_bytes: 2 << 30, ..Limits::default() };
    assert_eq!(refused(&archive, &limits), "decompressed chart is larger than the maximum size 104857600");
}

/// A chart in the `charts/` of a chart in the `charts/` of a chart, as archives.
fn nested(depth: usize, ballast: &[u8]) -> Vec<u8> {
    let mut inner = archive(&[("a/Chart.yaml", CHART_YAML.as_bytes()), ("a/ballast", ballast)]);
    for _ in 0..depth {
        inner = archive(&[
            ("a/Chart.yaml", CHART_YAML.as_bytes()),
            ("a/ballast", ballast),
            ("a/charts/a.tgz", &inner),
        ]);
    }
    inner
}

#[test]
fn archives_in_archives_share_the_limits() {
    let limits = Limits { bytes: 40_000, depth: 3, ..Limits::default() };
    assert!(load_archive(nested(3, b"").as_slice(), &limits).is_ok());
    assert_eq!(refused(&nested(4, b""), &limits), "the chart has more than 3 subcharts within each other");
    // Each has half of what is allowed; packed they are small.
    let too_large = refused(&nested(2, &vec![0; 20_000]), &limits);
    assert_eq!(too_large, "decompressed chart is larger than the maximum size 40000");
}

#[test]
fn folders_in_folders_are_bounded() {
    let mut files = MemoryTree::default();
    for depth in 0..=17 {
        files.insert(&format!("{}Chart.yaml", "charts/a/".repeat(depth)), CHART_YAML);
    }
    let error = load_directory(&files, "", &Limits::default()).unwrap_err();
    assert!(
        chain(&error).ends_with(": the chart has more than 16 subcharts within each other"),
        "{}",
        chain(&error)
    );
}

#[test]
fn yaml_bombs_are_refused_wherever_they_are() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..10 {
        let before = format!("*a{},", level - 1).repeat(10);
        bomb += &format!("a{level}: &a{level} [{before}]\n");
    }
    let with_chart = archive(&[("a/Chart.yaml", format!("{CHART_YAML}{bomb}").as_bytes())]);
    assert!(
        refused(&with_chart, &Limits::default())
            .starts_with("cannot load Chart.yaml: error converting YAML to JSON: yaml: ")
    );
    let with_values = archive(&[("a/Chart.yaml", CHART_YAML.as_bytes()), ("a/values.yaml", bomb.as_bytes())]);
    let error = chain(&load_archive(with_values.as_slice(), &Limits::default()).unwrap_err());
    assert!(
        error.starts_with(
            "cannot load values.yaml: cannot unmarshal yaml document: error converting YAML to JSON: yaml: "
        ),
        "{error}"
    );
    let files = tree(&[("values.yaml", &bomb), ("deep.yaml", &"[".repeat(100_000))]);
    for file in ["values.yaml", "deep.yaml"] {
        let merged = merge_from_tree(&files, &[file.to_owned()], false, &Limits::default());
        let error = chain(&merged.unwrap_err());
        let expected =
            format!("unmarshaling values from '{file}' failed: error converting YAML to JSON: yaml: ");
        assert!(error.starts_with(&expected), "{error}");
    }
}

#[test]
fn what_is_no_archive_is_refused() {
    for bytes in [&b""[..], b"apiVersion: v2", &[0x1f, 0x8b, 8, 0], &gzip(b"x")] {
        let loaded = load_archive(bytes, &Limits::default());
        assert!(matches!(loaded, Err(LoadError::Unpack(_))), "{loaded:?}");
    }
    let empty = gzip(&[0; 1024]);
    assert!(matches!(load_archive(empty.as_slice(), &Limits::default()), Err(LoadError::NoFiles)));
    assert!(matches!(read_metadata(empty.as_slice(), &Limits::default()), Err(LoadError::NoMetadata)));
}

#[test]
fn a_tree_is_never_left() {
    let files = tree(&[("Chart.yaml", CHART_YAML), ("secret", "x: 1"), ("sub/values.yaml", "z: 2")]);
    let merged = merge_from_tree(
        &files,
        &["../../secret".to_owned(), "/sub/../sub/values.yaml".to_owned()],
        false,
        &Limits::default(),
    );
    assert_eq!(serde_json::to_string(&merged.unwrap().values).unwrap(), r#"{"x":1,"z":2}"#);
    let error =
        merge_from_tree(&files, &["../etc/passwd".to_owned()], false, &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "no values file found at path '/etc/passwd' (reference '../etc/passwd')");
}
