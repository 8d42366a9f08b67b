//! Answers over HTTP that no Git server gives: each ends with few words, in time, and with credentials where they were.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use git::{Auth, Cache, Connector, Limits, Outcome, Reference, Remote};
use net::{AddressPolicy, Deadline, Denied, TlsConfig};
use secret::Secret;
use support::hostile::{Answer, Hostile, line, lines, version_2};
use support::{Server, pki};
use tempfile::TempDir;

const ID: &str = "0123456789012345678901234567890123456789";
const LONG: Duration = Duration::from_secs(60);

fn look(remote: &Remote, limits: &Limits, time: Duration) -> Result<Outcome, String> {
    let dir = TempDir::new().unwrap();
    let cache = Cache::new(dir.path().to_owned(), limits.clone());
    let (reference, deadline) = (Reference::default(), Deadline::new(time));
    let outcome = cache.checkout(&Connector::default(), remote, &reference, None, &deadline);
    outcome.map_err(|error| {
        let error = error.to_string();
        error.trim_start_matches(&format!("unable to clone '{}': ", remote.url())).to_owned()
    })
}

fn remote(server: &Hostile) -> Remote {
    let auth = Auth::Basic { username: "me".into(), password: Secret::new("pass") };
    Remote::new(&server.url()).unwrap().with_auth(auth).unwrap()
}

fn error_of(server: &Hostile) -> String {
    look(&remote(server), &Limits::default(), LONG).unwrap_err()
}

/// A server that gives this answer to this question, and good ones to those before.
fn answering(to: &'static str, answer: Answer) -> Hostile {
    Hostile::start(move |question| match question {
        _ if question == to => answer.clone(),
        "ls-refs" => Answer::of("result", lines(&[format!("{ID} refs/heads/master\n")])),
        _ => Answer::of("advertisement", version_2()),
    })
}

fn status(head: &str, body: impl Into<Vec<u8>>) -> Answer {
    Answer { head: head.to_owned(), body: body.into(), endless: None }
}

#[test]
fn packets_that_are_none_are_errors_in_few_words() {
    let bodies: Vec<Vec<u8>> = [
        &b""[..],
        b"0",
        b"000",
        b"0000",
        b"0001",
        b"0002",
        b"0003",
        b"0004",
        b"0005",
        b"00010001",
        b"00000000",
        b"0000000000000000",
        b"ffff",
        b"ffffshort",
        b"fff0\x01",
        b"-001x",
        b"+005x",
        b"zzzz",
        b"\0\0\0\0",
        b"0005\x01",
        b"0006\x01P",
        b"0006\x03\x1b",
        b"0006\x09x",
        b"000dpackfile\n0000",
        b"000dpackfile\n0001",
        b"000dpackfile\n0006\x01",
        b"000dpackfile\n0008\x01PACK",
        b"000dpackfile\n0005\xff0000",
        b"000dpackfile\n000fERR \x1b[31m\x07\0",
        b"0014acknowledgments\n0008NAK\n0000",
        b"0014acknowledgments\n0008NAK\n0001",
        b"0011shallow-info\n000cshallow\n",
        b"\xff\xfe\xfd",
        b"HTTP/1.1 200 OK\r\n\r\n",
    ]
    .iter()
    .map(|body| body.to_vec())
    .chain([line([&b"ERR \x1b]0;owned\x07\x1b[2J"[..], &[b'!'; 60_000]].concat()), line([b'x'; 65_000])])
    .chain([[line("packfile\n"), line([&b"\x03\x1b[31m"[..], &[b'!'; 60_000]].concat()).repeat(20)].concat()])
    .collect();
    for (question, kind) in [("info/refs", "advertisement"), ("ls-refs", "result"), ("fetch", "result")] {
        for body in &bodies {
            let about = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            let server = answering(question, Answer::of(kind, body.clone()));
            let error = look(&remote(&server), &Limits::default(), LONG).expect_err(&about);
            assert!(error.len() < 1200, "{question} {about:?}: {} bytes", error.len());
            assert!(server.questions().len() <= 6, "{question} {about:?}: {:?}", server.questions());
            assert!(!error.chars().any(|c| c.is_control() && c != '\n'), "{question} {about:?}: {error:?}");
        }
    }
}

#[test]
fn pages_of_errors_are_quoted_in_part_and_without_control_characters() {
    let page = [&b"\x1b[31mno\x07\r\n"[..], &[b'.'; 2 << 20]].concat();
    for question in ["info/refs", "ls-refs", "fetch"] {
        for head in
            ["401 Unauthorized", "403 Forbidden", "404 Not Found", "500 Oops", "204 No Content", "300 Choose"]
        {
            let error = error_of(&answering(question, status(head, page.clone())));
            assert!(error.len() < 1200, "{head}: {} bytes", error.len());
            assert!(!error.chars().any(|c| c.is_control() && c != '\n'), "{head}: {error:?}");
        }
    }
    let long = format!("200 OK\r\nContent-Type: {}", "x".repeat(20_000));
    assert!(error_of(&answering("info/refs", status(&long, b""))).len() < 1200);
}

#[test]
fn compressed_answers_are_not_unpacked() {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&lines(&["version 2\n"])).unwrap();
    encoder.write_all(&vec![b'0'; 64 << 20]).unwrap();
    let bomb = encoder.finish().unwrap();
    for encoding in ["gzip", "x-gzip", "deflate", "br", "zstd"] {
        for (question, kind) in [("info/refs", "advertisement"), ("ls-refs", "result"), ("fetch", "result")] {
            let plain = Answer::of(kind, bomb.clone());
            let head = format!("{}\r\nContent-Encoding: {encoding}", plain.head);
            let server = answering(question, Answer { head, ..plain });
            assert!(!error_of(&server).is_empty(), "{encoding} {question}");
            let asked =
                server.requests.lock().unwrap().iter().any(|(_, head)| head.contains("accept-encoding"));
            assert!(!asked, "{encoding}");
        }
    }
}

#[test]
fn a_server_that_wants_other_credentials_is_not_asked_again() {
    for challenge in
        ["Basic realm=\"x\"", "NTLM", "NTLM TlRMTVNTUAACAAAA", "Negotiate", "Digest nonce=\"x\"", "\"", ""]
    {
        for (question, asked) in [("info/refs", 1), ("ls-refs", 2), ("fetch", 3)] {
            let head = format!("401 Unauthorized\r\nWWW-Authenticate: {challenge}");
            let server = answering(question, status(&head, "no"));
            assert_eq!(error_of(&server), "authentication required: no");
            assert_eq!(server.questions().len(), asked, "{challenge} {question}");
        }
    }
}

/// Redirects to `location`, behind which is `tail` of what was asked for.
fn redirecting(location: String) -> Hostile {
    let tail = "/info/refs?service=git-upload-pack";
    Hostile::start(move |_| status(&format!("302 Found\r\nLocation: {location}{tail}"), b""))
}

#[test]
fn redirects_end_and_keep_credentials_at_home() {
    let other = answering("info/refs", status("404 Not Found", "nothing here"));
    // With credentials that the first server has thought of, which the second gets neither.
    let first = redirecting(other.url().replace("http://", "http://their:own@"));
    assert_eq!(error_of(&first), "repository not found: nothing here");
    let requests = other.requests.lock().unwrap().clone();
    assert_eq!(requests.len(), 1);
    assert!(!requests[0].1.to_ascii_lowercase().contains("authorization"), "{requests:?}");
    // Each time to another place, each longer than the one before.
    let elsewhere =
        Hostile::start(|_| status("302 Found\r\nLocation: /x/r/info/refs?service=git-upload-pack", b""));
    assert_eq!(error_of(&elsewhere), "http redirect: too many redirects");
    assert_eq!(elsewhere.questions().len(), 10);
    for (bad, expected) in [
        ("file:///etc/passwd", "unsupported scheme \"file\""),
        ("ftp://127.0.0.1", "unsupported scheme \"ftp\""),
        ("javascript:alert(1)", "unsupported scheme \"javascript\""),
        ("http://[::1", "failed to parse Location header \"http://[::1/info/refs\""),
    ] {
        assert_eq!(error_of(&redirecting(bad.to_owned())), format!("http redirect: {expected}"));
    }
    let long = error_of(&redirecting(format!("http://[{}", "x".repeat(20_000))));
    assert!(long.starts_with("http redirect: failed to parse") && long.len() < 1200, "{} bytes", long.len());
    // A web page answers in place of the repository, with whatever status.
    for answer in [status("200 OK", "login"), status("404 Not Found", "login")] {
        let page = Hostile::start(move |_| answer.clone());
        let login = page.url();
        let first = Hostile::start(move |_| status(&format!("302 Found\r\nLocation: {login}/login"), b""));
        let expected = "http redirect: target \"/r/login\" does not end with /info/refs";
        assert_eq!(error_of(&first), expected);
    }
    // Only the first request may be sent elsewhere.
    for question in ["ls-refs", "fetch"] {
        for head in ["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"] {
            let head = format!("{head}\r\nLocation: {}/git-upload-pack", other.url());
            let error = error_of(&answering(question, status(&head, b"")));
            let target = format!("{}/git-upload-pack", other.url());
            assert_eq!(
                error,
                format!("http redirect: redirect on non-initial request to {target}"),
                "{head}"
            );
        }
    }
    assert_eq!(other.questions().len(), 1);
}

/// Credentials of the requests so far.
fn authorizations(server: &Hostile) -> Vec<bool> {
    let requests = server.requests.lock().unwrap();
    requests.iter().map(|(_, head)| head.to_ascii_lowercase().contains("\nauthorization:")).collect()
}

#[test]
fn a_chain_of_redirects_that_comes_home_gets_no_credentials() {
    // home/r, then another server, then home/elsewhere.
    let home_url = Arc::new(Mutex::new(String::new()));
    let back = home_url.clone();
    let other = Hostile::start(move |_| {
        let home = back.lock().unwrap().clone();
        status(&format!("302 Found\r\nLocation: {home}-elsewhere/info/refs?service=git-upload-pack"), b"")
    });
    let away = format!("302 Found\r\nLocation: {}/info/refs?service=git-upload-pack", other.url());
    let asked = AtomicUsize::new(0);
    let home = Hostile::start(move |question| match (question, asked.fetch_add(1, Ordering::Relaxed)) {
        ("info/refs", 0) => status(&away, b""),
        ("info/refs", _) => Answer::of("advertisement", version_2()),
        _ => status("404 Not Found", "nothing here"),
    });
    *home_url.lock().unwrap() = home.url();
    let auth = Auth::Basic { username: "me".into(), password: Secret::new("pass") };
    let remote = Remote::new(&home.url()).unwrap().with_auth(auth).unwrap();
    let error = look(&remote, &Limits::default(), LONG).unwrap_err();
    assert_eq!(error, "repository not found: nothing here");
    assert_eq!(authorizations(&other), [false]);
    // The first request, the end of the chain, and what follows at the URL that it led to.
    assert_eq!(home.questions(), ["info/refs", "info/refs", "ls-refs"]);
    assert_eq!(authorizations(&home), [true, false, true]);
}

#[test]
fn connections_lead_to_permitted_addresses_only() {
    let no_loopback = AddressPolicy { allow_link_local: false, denied: vec![Denied::Loopback] };
    let error = |url: &str, addresses: AddressPolicy| {
        let (connector, deadline) = (Connector::within(addresses), Deadline::new(LONG));
        let session = connector.connect(&Remote::new(url).unwrap(), &Limits::default(), &deadline);
        session.err().unwrap().to_string()
    };
    let server = answering("info/refs", status("404 Not Found", "nothing here"));
    let by_name = server.url().replace("127.0.0.1", "localhost");
    for (url, host) in [(server.url(), "127.0.0.1"), (by_name, "localhost")] {
        assert_eq!(error(&url, no_loopback.clone()), format!("connections to {host} are not allowed"));
    }
    assert!(server.questions().is_empty());
    assert_eq!(error(&server.url(), AddressPolicy::default()), "repository not found: nothing here");
    let metadata = redirecting("http://169.254.169.254/r".to_owned());
    let refused = "connections to 169.254.169.254 are not allowed";
    assert_eq!(error(&metadata.url(), AddressPolicy::default()), refused);
    let [from, to] = [Denied::Loopback, "127.0.0.2/32".parse().unwrap()].map(|denied| vec![denied]);
    let elsewhere = redirecting("http://127.0.0.2:1/r".to_owned());
    let error_with = |denied| error(&elsewhere.url(), AddressPolicy { allow_link_local: true, denied });
    assert_eq!(error_with(to), "connections to 127.0.0.2 are not allowed");
    assert_eq!(error_with(from), "connections to 127.0.0.1 are not allowed");
}

#[test]
fn redirects_do_not_lead_from_https_to_http() {
    let (pki, other) = (pki(false), answering("info/refs", status("404 Not Found", "")));
    let server = Server::with_tls(Some(pki.server.clone()));
    *server.control.redirect.lock().unwrap() = Some(other.url());
    let auth = Auth::Basic { username: "me".into(), password: Secret::new("pass") };
    let tls = TlsConfig { ca_bundle: Some(pki.ca_pem.into_bytes()), client: None };
    let url = server.url("r").replace("http:", "https:");
    let remote = Remote::new(&url).unwrap().with_auth(auth).unwrap().with_tls(tls);
    let error = look(&remote, &Limits::default(), LONG).unwrap_err();
    let target = format!("{}/r/info/refs", other.url());
    let expected = format!("http redirect: changes scheme from \"https\" to \"http\": {target}");
    assert_eq!(error, expected);
    assert!(other.questions().is_empty());
}

#[test]
fn answers_that_come_byte_by_byte_end_with_their_time() {
    let slow = Duration::from_millis(40);
    for (question, kind) in [("info/refs", "advertisement"), ("ls-refs", "result"), ("fetch", "result")] {
        for (begin, byte) in [(&b""[..], &b"0"[..]), (b"ffff", b"x"), (b"000dpackfile\n", b"0006\x02.")] {
            let server = answering(question, Answer::of(kind, begin).then_for_ever(byte, slow));
            let begun = Instant::now();
            let error = look(&remote(&server), &Limits::default(), Duration::from_millis(600));
            assert!(begun.elapsed() < Duration::from_secs(20), "{question} {begin:?}: {:?}", begun.elapsed());
            let error = error.unwrap_err();
            // What is no packet is known before the time is over.
            let expected = error == "context deadline exceeded" || byte == b"0";
            assert!(expected || kind == "result", "{question} {begin:?}: {error}");
        }
    }
}

#[test]
fn a_head_without_end_ends() {
    for (pause, expected) in [(Duration::from_millis(20), "context deadline exceeded"), (Duration::ZERO, "")]
    {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/r", listener.local_addr().unwrap());
        let served = std::thread::spawn(move || -> std::io::Result<()> {
            let (mut stream, _) = listener.accept()?;
            let _ = stream.read(&mut [0; 4096])?;
            stream.write_all(b"HTTP/1.1 200 OK\r\n")?;
            loop {
                stream.write_all(b"X-Colour: red\r\n")?;
                std::thread::sleep(pause);
            }
        });
        let begun = Instant::now();
        let error =
            look(&Remote::new(&url).unwrap(), &Limits::default(), Duration::from_millis(800)).unwrap_err();
        assert!(error.contains(expected) && begun.elapsed() < Duration::from_secs(20), "{error}");
        // It was hung up on.
        assert!(served.join().unwrap().is_err());
    }
}
