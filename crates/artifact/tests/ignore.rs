//! The ignore matcher against verdicts of source-controller's own (`tests/data/ignore.json`, made by running
//! `LoadIgnorePatterns`, `ReadPatterns` and the matcher of fluxcd/pkg/sourceignore over the same rules), and its bounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::Duration;

use artifact::ignore::{self, Files, IgnoreError, Limits, Matcher};
use net::Deadline;
use proptest::prelude::*;
use serde_json::Value;

fn from_spec(spec: &str) -> Matcher {
    Matcher::from_rules([], Some(spec), &Limits::default()).unwrap()
}

fn ignored(matcher: &mut Matcher, path: &str) -> bool {
    let name = path.strip_suffix('/');
    is_ignored(matcher, name.unwrap_or(path).as_bytes(), name.is_some()).unwrap()
}

fn is_ignored(matcher: &mut Matcher, path: &[u8], is_dir: bool) -> Result<bool, IgnoreError> {
    matcher.is_ignored(path, is_dir, &Deadline::new(Duration::from_secs(3600)))
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
        let mut matcher = Matcher::from_rules(files, case["spec"].as_str(), &Limits::default()).unwrap();
        let verdicts: String =
            paths.iter().map(|path| if ignored(&mut matcher, path) { '1' } else { '0' }).collect();
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
    let mut matcher = from_spec("*\n**\n/*\n.");
    for (path, verdict) in [(&b""[..], false), (b".", false), (b"x", true)] {
        assert_eq!(is_ignored(&mut matcher, path, true), Ok(verdict), "{path:?}");
    }
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
    let mut matcher = files.matcher(Some("b")).unwrap();
    assert!(
        ignored(&mut matcher, "a.md") && !ignored(&mut matcher, "x/a.md") && ignored(&mut matcher, "x/b")
    );
}

#[test]
fn pathological_globs_end() {
    // With backtracking over every star this would take longer than the universe has.
    let pattern = format!("{}b", "a*".repeat(500));
    let mut matcher = from_spec(&pattern);
    let name = "a".repeat(4000);
    assert!(!ignored(&mut matcher, &name));
    assert!(ignored(&mut matcher, &format!("{name}b")));
    let mut matcher = from_spec(&"**/a/".repeat(200));
    assert!(!ignored(&mut matcher, "a/".repeat(190).trim_end_matches('/')));
}

/// How many of the paths were judged before there were no more steps.
fn judged(files: &[(&[u8], &[u8])], spec: &str, steps: u64, path: &str) -> usize {
    let limits = Limits { steps, ..Limits::default() };
    let mut matcher = Matcher::from_rules(files.iter().copied(), Some(spec), &limits).unwrap();
    for count in 0.. {
        match is_ignored(&mut matcher, path.as_bytes(), false) {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error, IgnoreError::Steps(steps));
                return count;
            }
        }
    }
    unreachable!()
}

#[test]
fn the_work_of_all_paths_of_an_artifact_is_bounded() {
    // 10,000 patterns that each look at every byte of a name.
    let hostile = "*a*a*a*bx*\n".repeat(10_000);
    assert!(judged(&[], &hostile, 10_000_000, &"a".repeat(250)) < 5);
    // The bytes at the ends tell most names from most patterns.
    let usual = "*.md\n/docs/\ntest-*.yaml\n*_test.go\nvendor/\n".repeat(20);
    let path = "clusters/production/apps/frontend/deployment.yaml";
    assert!(judged(&[], &usual, 1_000_000, path) > 1_000_000 / 600);
    // A directory without patterns costs nothing, one that is no parent of the path neither.
    let names: Vec<String> = (0..1000).map(|n| format!("d{n}")).collect();
    let files: Vec<(&[u8], &[u8])> = names.iter().map(|n| (n.as_bytes(), &b"# none"[..])).collect();
    assert_eq!(judged(&files, "x", 1_000, path), judged(&[], "x", 1_000, path));
    let files: Vec<(&[u8], &[u8])> = names.iter().map(|n| (n.as_bytes(), &b"*.md"[..])).collect();
    assert_eq!(judged(&files, "x", 1_000, path), judged(&[], "x", 1_000, path));
}

#[test]
fn the_error_of_too_much_work_names_its_limit() {
    let text = "comparing the ignore rules with all paths exceeds the limit of 7 steps";
    assert_eq!(IgnoreError::Steps(7).to_string(), text);
}

#[test]
fn a_comparison_ends_when_nobody_waits_for_it() {
    let mut matcher = from_spec(&"*a*a*a*bx*\n".repeat(10_000));
    let deadline = Deadline::new(Duration::from_secs(3600));
    deadline.cancel();
    let judged = matcher.is_ignored("a".repeat(250).as_bytes(), false, &deadline);
    assert_eq!(judged, Err(IgnoreError::Time));
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
        let mut matcher = Matcher::from_rules(files, Some(&sub), &Limits::default()).unwrap();
        is_ignored(&mut matcher, &path, is_dir).unwrap();
        is_ignored(&mut matcher, &[b"a/", path.as_slice()].concat(), is_dir).unwrap();
    }

    #[test]
    fn a_last_pattern_that_names_the_file_decides(rules in "[ab*?!/\n]{0,40}", path in "[ab]{1,3}(/[ab]{1,3}){0,3}") {
        let (exclude, include) = (format!("{rules}\n/{path}"), format!("{rules}\n!/{path}"));
        prop_assert!(ignored(&mut from_spec(&exclude), &path));
        prop_assert!(!ignored(&mut from_spec(&include), &path));
    }
}
