//! The ignore matcher against verdicts of source-controller's own (`tests/data/ignore.json`, made by running
//! `LoadIgnorePatterns`, `ReadPatterns` and the matcher of fluxcd/pkg/sourceignore over the same rules), and its bounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use artifact::ignore::{self, Files, IgnoreError, Limits, Matcher};
use proptest::prelude::*;
use serde_json::Value;

fn from_spec(spec: &str) -> Matcher {
    Matcher::from_rules([], Some(spec), &Limits::default()).unwrap()
}

fn ignored(matcher: &Matcher, path: &str) -> bool {
    let name = path.strip_suffix('/');
    matcher.is_ignored(name.unwrap_or(path).as_bytes(), name.is_some())
}

#[test]
fn verdicts_equal_those_of_the_original_matcher() {
    let table: Value = serde_json::from_str(include_str!("data/ignore.json")).unwrap();
    let paths: Vec<&str> =
        table["paths"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    let mut compared = 0;
    for case in table["cases"].as_array().unwrap() {
        let mut files: Vec<(&[u8], &[u8])> = case["files"]
            .as_object()
            .into_iter()
            .flatten()
            .map(|(directory, text)| (directory.as_bytes(), text.as_str().unwrap().as_bytes()))
            .collect();
        // The order in which a walk finds them must not matter.
        files.reverse();
        let matcher = Matcher::from_rules(files, case["spec"].as_str(), &Limits::default()).unwrap();
        let verdicts: String =
            paths.iter().map(|path| if ignored(&matcher, path) { '1' } else { '0' }).collect();
        let expected = case["verdicts"].as_str().unwrap();
        for ((path, ours), theirs) in paths.iter().zip(verdicts.chars()).zip(expected.chars()) {
            assert_eq!(ours, theirs, "{path:?} under {case}");
            compared += 1;
        }
    }
    assert!(compared > 50_000, "{compared}");
}

#[test]
fn the_root_is_never_ignored() {
    let matcher = from_spec("*\n**\n/*\n.");
    assert!(!matcher.is_ignored(b"", true) && !matcher.is_ignored(b".", true));
    assert!(matcher.is_ignored(b"x", true));
}

#[test]
fn rules_beyond_the_limits_are_refused() {
    let limits = Limits { patterns: 3, pattern_bytes: 5, ..Limits::default() };
    let rules = |files: &[(&'static str, &'static str)], spec| {
        let files = files.iter().map(|(directory, text)| (directory.as_bytes(), text.as_bytes()));
        Matcher::from_rules(files, spec, &limits).map(|_| ())
    };
    assert_eq!(rules(&[("", "a\n# comment\n\nb")], Some("12345")), Ok(()));
    assert_eq!(rules(&[("", "a\nb"), ("d", "c")], Some("d")), Err(IgnoreError::Patterns(3)));
    assert_eq!(rules(&[], Some("123456")), Err(IgnoreError::PatternBytes(5)));
}

#[test]
fn the_directory_of_an_ignore_file_is_known_by_its_whole_name() {
    for (path, directory) in [
        (".sourceignore", Some("")),
        ("a/b/.sourceignore", Some("a/b")),
        ("a.sourceignore", None),
        ("a/x.sourceignore", None),
        (".sourceignore/a", None),
        ("", None),
    ] {
        assert_eq!(ignore::directory(path.as_bytes()), directory.map(str::as_bytes), "{path}");
    }
}

#[test]
fn files_beyond_the_limits_are_refused_while_they_are_collected() {
    let limits = Limits { file_bytes: 4, total_bytes: 10, ..Limits::default() };
    let mut files = Files::new(&limits);
    let long = files.read(&b"a\nb\nc\nd"[..]).unwrap();
    assert_eq!(long, b"a\nb\nc", "one byte more than may be");
    assert_eq!(files.add(b"", &long), Err(IgnoreError::FileBytes(4)));
    assert_eq!(files.read(&b"*.md"[..]).unwrap(), b"*.md");
    assert_eq!(files.add(b"", b"*.md"), Ok(()));
    assert_eq!(files.add(b"x", b"!a.*"), Ok(()));
    assert_eq!(files.add(b"y", b"abc"), Err(IgnoreError::TotalBytes(10)));
    let matcher = files.matcher(Some("b")).unwrap();
    assert!(ignored(&matcher, "a.md") && !ignored(&matcher, "x/a.md") && ignored(&matcher, "x/b"));
}

#[test]
fn pathological_globs_end() {
    // With backtracking over every star this would take longer than the universe has.
    let pattern = format!("{}b", "a*".repeat(500));
    let matcher = from_spec(&pattern);
    let name = "a".repeat(4000);
    assert!(!matcher.is_ignored(name.as_bytes(), false));
    assert!(matcher.is_ignored(format!("{name}b").as_bytes(), false));
    let matcher = from_spec(&"**/a/".repeat(200));
    assert!(!matcher.is_ignored("a/".repeat(190).trim_end_matches('/').as_bytes(), false));
}

proptest! {
    #[test]
    fn any_rules_and_paths_give_an_answer(
        root in proptest::collection::vec(any::<u8>(), 0..80),
        sub in "[ab*?!/\\\\\\[\\]^\n é-]{0,40}",
        path in proptest::collection::vec(any::<u8>(), 0..40),
        is_dir: bool,
    ) {
        let files = [(&b"a"[..], sub.as_bytes()), (&b""[..], root.as_slice())];
        let matcher = Matcher::from_rules(files, Some(&sub), &Limits::default()).unwrap();
        matcher.is_ignored(&path, is_dir);
        matcher.is_ignored(&[b"a/", path.as_slice()].concat(), is_dir);
    }

    #[test]
    fn a_last_pattern_that_names_the_file_decides(rules in "[ab*?!/\n]{0,40}", path in "[ab]{1,3}(/[ab]{1,3}){0,3}") {
        let (exclude, include) = (format!("{rules}\n/{path}"), format!("{rules}\n!/{path}"));
        prop_assert!(ignored(&from_spec(&exclude), &path));
        prop_assert!(!ignored(&from_spec(&include), &path));
    }
}
