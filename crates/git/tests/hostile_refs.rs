//! Lists of refs that no Git writes: names that are none are left out, what is no list is refused, and both have an end.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::time::{Duration, Instant};

use git::{Connector, Limits, Reference, Remote, TransportError};
use net::Deadline;
use support::Server;
use support::hostile::{Answer, Hostile, line, lines, version_2};

const ID: &str = "0123456789012345678901234567890123456789";
const OTHER: &str = "9876543210987654321098765432109876543210";

/// A server of protocol 2 that answers `ls-refs` with this, or one of protocol 0 that begins with it.
fn server(version: u8, answer: Answer) -> Hostile {
    Hostile::start(move |question| match (version, question) {
        (2, "ls-refs") => answer.clone(),
        (2, _) => Answer::of("advertisement", version_2()),
        _ => Answer { head: Answer::of("advertisement", b"").head, ..answer.clone() },
    })
}

/// Names and objects of all refs.
fn refs(server: &Hostile, limits: &Limits) -> Result<Vec<(String, String)>, TransportError> {
    let (remote, deadline) = (Remote::new(&server.url()).unwrap(), Deadline::new(Duration::from_secs(60)));
    let mut session = Connector::default().connect(&remote, limits, &deadline)?;
    let refs = session.refs(&[""])?;
    Ok(refs.into_iter().map(|r| (r.name.clone(), r.target().to_string())).collect())
}

/// The answer of a server with these lines, in the words of either protocol.
fn answer(version: u8, refs: &[Vec<u8>]) -> Answer {
    let mut all = refs.to_vec();
    if version == 0 {
        let first =
            [&all.remove(0)[..], b"\0multi_ack_detailed side-band-64k shallow symref=HEAD:refs/heads/master"]
                .concat();
        all.insert(0, first);
        let service = [line("# service=git-upload-pack\n"), b"0000".to_vec()].concat();
        return Answer::of("advertisement", [service, lines(&all)].concat());
    }
    Answer::of("result", lines(&all))
}

fn named(name: impl AsRef<[u8]>) -> Vec<u8> {
    [ID.as_bytes(), b" ", name.as_ref()].concat()
}

#[test]
fn names_that_no_ref_may_have_are_left_out() {
    let long = format!("refs/heads/{}", "a".repeat(60_000));
    let bad: [&[u8]; 20] = [
        b"refs/heads/../../../etc/passwd",
        b"refs/heads/a..b",
        b"../refs/heads/master",
        b"/etc/passwd",
        b"refs/heads//a",
        b"refs/heads/",
        b"refs/heads/.a",
        b"refs/heads/a.lock",
        b"refs/heads/a.lock/b",
        b"refs/heads/a.",
        b"refs/heads/\x07",
        b"refs/heads/\x1b[31mred",
        b"refs/heads/a\x7f",
        b"refs/heads/a\0b",
        b"refs/heads/a@{1}",
        b"refs/heads/a~1",
        b"refs/heads/a:b",
        b"refs/heads/a\\b",
        b"refs/heads/caf\xe9",
        long.as_bytes(),
    ];
    for version in [0, 2] {
        let mut all = vec![named("HEAD"), named("refs/heads/master")];
        all.extend(bad.iter().map(named));
        all.push(named("refs/tags/v1"));
        let found = refs(&server(version, answer(version, &all)), &Limits::default()).unwrap();
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["HEAD", "refs/heads/master", "refs/tags/v1"], "{version}");
    }
}

#[test]
fn links_in_circles_lead_nowhere_and_two_refs_of_one_name_are_the_first() {
    let lines = [
        format!("{ID} HEAD symref-target:HEAD"),
        format!("{ID} refs/heads/a symref-target:refs/heads/b"),
        format!("{ID} refs/heads/b symref-target:refs/heads/a"),
        format!("{ID} refs/heads/c symref-target:../../etc/passwd peeled:{OTHER}"),
        "unborn refs/heads/d symref-target:refs/heads/d".to_owned(),
        format!("{ID} refs/tags/e peeled:{OTHER}"),
        format!("{OTHER} refs/heads/a"),
    ];
    let all: Vec<_> = lines.iter().map(|line| line.clone().into_bytes()).collect();
    let found = refs(&server(2, answer(2, &all)), &Limits::default()).unwrap();
    let found: Vec<_> = found.iter().map(|(name, id)| (name.as_str(), id.as_str())).collect();
    let expected = [("HEAD", ID), ("refs/heads/a", ID), ("refs/heads/b", ID), ("refs/heads/c", OTHER)];
    assert_eq!(found[..4], expected);
    assert_eq!(found[4..], [("refs/tags/e", OTHER), ("refs/heads/a", OTHER)]);
}

#[test]
fn a_malformed_ref_advertisement_is_an_error_in_few_words() {
    let bare = |text: String| text.into_bytes();
    let cases: [(u8, Vec<u8>); 19] = [
        (2, bare(format!("{} refs/heads/a", &ID[1..]))),
        (2, bare(format!("{ID}0 refs/heads/a"))),
        (2, bare(format!("{} refs/heads/a", ID.replace('0', "x")))),
        (2, bare(format!("{ID} "))),
        (2, bare(ID.to_owned())),
        (2, bare(format!("{ID} refs/tags/a peeled:"))),
        (2, bare(format!("{ID} refs/tags/a peeled:{}", &ID[2..]))),
        (2, bare(format!("{ID} refs/tags/a peeled:{ID} peeled:{ID} peeled:{ID}"))),
        (2, bare(format!("{ID} refs/tags/a colour:\u{1b}[31m{}", "red".repeat(20_000)))),
        (2, bare("unborn refs/heads/a".to_owned())),
        (2, bare(format!("unborn refs/heads/a peeled:{ID}"))),
        (2, bare(format!("ERR \u{1b}]0;title\u{7}{}", "no. ".repeat(15_000)))),
        (0, bare(format!("{} refs/heads/a", &ID[1..]))),
        (0, bare(format!("{ID} "))),
        (0, bare(format!("{ID} refs/tags/a^{{}}"))),
        (0, bare(format!("{} refs/heads/a", "z".repeat(40)))),
        (0, bare("shallow x".to_owned())),
        (0, bare(format!("ERR {}\u{1b}[2J", "x".repeat(60_000)))),
        // The ref that HEAD is said to be a link to is there, but no HEAD.
        (0, bare(format!("{ID} refs/heads/master"))),
    ];
    for (version, text) in cases {
        let error = refs(&server(version, answer(version, std::slice::from_ref(&text))), &Limits::default());
        let text = String::from_utf8_lossy(&text[..text.len().min(60)]).into_owned();
        let error = error.expect_err(&text).to_string();
        assert!(error.len() < 1100, "{text}: {} bytes", error.len());
        assert!(!error.chars().any(|c| c.is_control() && c != '\n'), "{text}: {error:?}");
    }
}

#[test]
fn a_list_of_refs_without_end_has_one() {
    for version in [0, 2] {
        let list = answer(version, &[named("HEAD")]);
        let begin = list.body[..list.body.len() - 4].to_vec();
        let endless = Answer { body: begin, ..list };
        let block: Vec<u8> = (0..1000).flat_map(|i| line(named(format!("refs/heads/{i}")))).collect();
        let limits = Limits { advertised_bytes: 1 << 20, ..Limits::default() };
        let error = refs(&server(version, endless.clone().then_for_ever(block, Duration::ZERO)), &limits);
        let expected = "the server sent more than the limit of 1048576 bytes of refs";
        assert_eq!(error.unwrap_err().to_string(), expected, "{version}");
    }
    // Before it is known which protocol it is.
    let endless = Answer::of("advertisement", line("version 2\n"));
    let server = Hostile::start(move |_| endless.clone().then_for_ever(line("colour=red\n"), Duration::ZERO));
    let limits = Limits { advertised_bytes: 100_000, ..Limits::default() };
    let expected = "the server sent more than the limit of 100000 bytes of refs";
    assert_eq!(refs(&server, &limits).unwrap_err().to_string(), expected);
}

#[test]
fn a_server_with_very_many_tags_is_read_in_time() {
    // As many as the default allows, each a version: each is parsed and compared once.
    let tags: Vec<_> = (0..300_000).map(|i| named(format!("refs/tags/v1.{i}.0-rc.{i}+b"))).collect();
    let server = server(2, answer(2, &tags));
    let begun = Instant::now();
    let dir = tempfile::TempDir::new().unwrap();
    let cache = git::Cache::new(dir.path().to_owned(), Limits::default());
    let reference = Reference { semver: Some(">=1.0.0-0".to_owned()), ..Reference::default() };
    let (remote, deadline) = (Remote::new(&server.url()).unwrap(), Deadline::new(Duration::from_secs(120)));
    let error = cache.checkout(&Connector::default(), &remote, &reference, None, &deadline).unwrap_err();
    // The highest is asked for, which this server does not give.
    assert!(!error.to_string().contains("deadline"), "{error}");
    assert_eq!(server.questions().iter().filter(|question| *question == "fetch").count(), 1, "{error}");
    assert!(begun.elapsed() < Duration::from_secs(60), "{:?}", begun.elapsed());
}

#[test]
fn a_reference_that_looks_like_an_option_or_breaks_lines_is_only_a_name() {
    let server = Server::start();
    let repository = server.repository("r");
    repository.commit("one");
    let dir = tempfile::TempDir::new().unwrap();
    let remote = Remote::new(&server.url("r")).unwrap();
    for name in
        ["-x", "--upload-pack=touch x", "a\nwant 0", "a\0b", "a b", "\"'`$(id)", "a\r\nX-Evil: 1", "../../x"]
    {
        let cache = git::Cache::new(dir.path().to_owned(), Limits::default());
        let reference = Reference { branch: Some(name.to_owned()), ..Reference::default() };
        let deadline = Deadline::new(Duration::from_secs(20));
        let error = cache.checkout(&Connector::default(), &remote, &reference, None, &deadline).unwrap_err();
        let expected = format!("couldn't find remote ref \"refs/heads/{name}\"");
        assert!(error.to_string().ends_with(&expected), "{error}");
    }
}
