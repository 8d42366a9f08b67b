//! What servers ask for, and what they do wrong.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use git::{Auth, Cache, Connector, Error, Limits, Outcome, Reference, Remote, WalkError};
use net::{Deadline, TlsConfig};
use rcgen::{CertificateParams, date_time_ymd};
use secret::Secret;
use support::{Repository, Server, git, pki};
use tempfile::TempDir;

struct Fixture {
    server: Server,
    repository: Repository,
    cache: TempDir,
    limits: Limits,
}

fn with(server: Server) -> Fixture {
    let repository = server.repository("r");
    repository.write("f", "content");
    repository.commit("one");
    Fixture { server, repository, cache: TempDir::new().unwrap(), limits: Limits::default() }
}

fn fixture() -> Fixture {
    with(Server::start())
}

impl Fixture {
    fn remote(&self) -> Remote {
        Remote::new(&self.server.url("r")).unwrap()
    }

    fn look(&self, remote: &Remote) -> Result<Outcome, Error> {
        self.look_within(remote, &Deadline::new(Duration::from_secs(20)))
    }

    fn look_within(&self, remote: &Remote, deadline: &Deadline) -> Result<Outcome, Error> {
        let cache = Cache::new(self.cache.path().to_owned(), self.limits.clone());
        cache.checkout(&Connector::default(), remote, &Reference::default(), None, deadline)
    }

    /// The error without its `unable to clone '<url>': `.
    fn error(&self, remote: &Remote) -> String {
        let error = self.look(remote).unwrap_err().to_string();
        let prefix = format!("unable to clone '{}': ", remote.url());
        error.strip_prefix(&prefix).unwrap_or_else(|| panic!("{error}")).to_owned()
    }
}

fn basic(username: &str, password: &str) -> Auth {
    Auth::Basic { username: username.to_owned(), password: Secret::new(password) }
}

#[test]
fn basic_auth_over_plain_http_is_sent_at_once() {
    let f = fixture();
    *f.server.control.authorization.lock().unwrap() = Some("Basic bWU6cGFzcw==".to_owned());
    let anonymous = f.error(&f.remote());
    assert_eq!(anonymous, "authentication required: who are you?");
    let wrong = f.error(&f.remote().with_auth(basic("me", "wrong-secret")).unwrap());
    assert_eq!(wrong, "authentication required: who are you?");
    f.server.traffic();
    f.look(&f.remote().with_auth(basic("me", "pass")).unwrap()).unwrap();
    assert_eq!(f.server.traffic().0, ["GET info/refs", "POST git-upload-pack", "POST git-upload-pack"]);
    let in_url = Remote::new(&f.server.url("r").replace("http://", "http://me:pass@")).unwrap();
    f.look(&in_url).unwrap();
}

#[test]
fn a_bearer_token_is_a_header() {
    let f = fixture();
    *f.server.control.authorization.lock().unwrap() = Some("Bearer t0ken".to_owned());
    f.look(&f.remote().with_auth(Auth::Bearer(Secret::new("t0ken"))).unwrap()).unwrap();
    let error = f.error(&f.remote().with_auth(Auth::Bearer(Secret::new("t0ken\nX-Evil: 1"))).unwrap());
    assert_eq!(error, "invalid header field value for \"Authorization\"");
}

#[test]
fn status_codes_become_fluxs_words() {
    let f = fixture();
    let nowhere = Remote::new(&f.server.url("nope")).unwrap();
    assert!(f.error(&nowhere).starts_with("repository not found: "), "{}", f.error(&nowhere));
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let closed = Remote::new(&format!("http://127.0.0.1:{port}/r")).unwrap();
    assert!(f.error(&closed).contains("refused"), "{}", f.error(&closed));
    let unknown = Remote::new("http://does-not-exist.invalid/r").unwrap();
    assert!(f.error(&unknown).contains("dns error"), "{}", f.error(&unknown));
}

#[test]
fn a_redirect_is_followed_but_credentials_stay_at_home() {
    let (f, other) = (fixture(), with(Server::start()));
    *f.server.control.redirect.lock().unwrap() = Some(format!("http://127.0.0.1:{}", other.server.port));
    let remote = f.remote().with_auth(basic("me", "pass")).unwrap();
    f.look(&remote).unwrap();
    assert_eq!(f.server.traffic().0, ["GET info/refs"]);
    assert_eq!(other.server.traffic().0, ["GET info/refs", "POST git-upload-pack", "POST git-upload-pack"]);
    *other.server.control.authorization.lock().unwrap() = Some("Basic bWU6cGFzcw==".to_owned());
    assert!(f.error(&remote).starts_with("authentication required"));
    // To itself, for ever.
    *f.server.control.redirect.lock().unwrap() = Some(format!("http://127.0.0.1:{}", f.server.port));
    assert_eq!(f.error(&remote), "http redirect: too many redirects");
    // To another protocol.
    for scheme in ["file", "javascript"] {
        *f.server.control.redirect.lock().unwrap() = Some(format!("{scheme}:"));
        assert_eq!(f.error(&remote), format!("http redirect: unsupported scheme \"{scheme}\""));
    }
}

#[test]
fn tls_is_verified_with_the_given_authority() {
    let pki = pki(false);
    let f = with(Server::with_tls(Some(pki.server.clone())));
    let remote = Remote::new(&f.server.url("r").replace("http:", "https:")).unwrap();
    assert!(f.error(&remote).contains("certificate"), "{}", f.error(&remote));
    let tls = TlsConfig { ca_bundle: Some(pki.ca_pem.clone().into_bytes()), client: None };
    f.look(&remote.clone().with_tls(tls)).unwrap();
    let broken = b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec();
    let error = f.error(&remote.clone().with_tls(TlsConfig { ca_bundle: Some(broken), client: None }));
    assert!(error.starts_with("invalid TLS configuration"), "{error}");
    for empty in ["", "not a certificate"] {
        let tls = TlsConfig { ca_bundle: Some(empty.as_bytes().to_vec()), client: None };
        let error = f.error(&remote.clone().with_tls(tls));
        assert_eq!(error, "invalid TLS configuration: no certificates in the CA bundle");
    }
}

#[test]
fn a_certificate_of_another_time_or_name_is_refused() {
    let of = |name: &str| CertificateParams::new(vec![name.to_owned()]).unwrap();
    let (mut expired, mut early) = (of("127.0.0.1"), of("127.0.0.1"));
    (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    early.not_before = date_time_ymd(2999, 1, 1);
    for (certificate, text) in [
        (expired, "certificate expired"),
        (early, "certificate not valid yet"),
        (of("other.example"), "not valid for name"),
    ] {
        let pki = support::pki_with(false, certificate);
        let f = with(Server::with_tls(Some(pki.server.clone())));
        let tls = TlsConfig { ca_bundle: Some(pki.ca_pem.clone().into_bytes()), client: None };
        let remote = Remote::new(&f.server.url("r").replace("http:", "https:")).unwrap();
        let error = f.error(&remote.with_tls(tls));
        assert!(error.contains(text), "{error}");
    }
}

/// A server that says it can do nothing newer, in plain bytes: no library here speaks that any more.
#[test]
fn a_server_with_tls_1_1_alone_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}/app", listener.local_addr().unwrap());
    let serving = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut header = [0; 5];
        stream.read_exact(&mut header).unwrap();
        let mut hello = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
        stream.read_exact(&mut hello).unwrap();
        // ServerHello: TLS 1.1, no session, TLS_RSA_WITH_AES_128_CBC_SHA, no compression.
        let body = [&[3, 2][..], &[7; 32], &[0, 0, 0x2f, 0]].concat();
        let length = u8::try_from(body.len()).unwrap();
        let record = [&[22, 3, 2, 0, length + 4, 2, 0, 0, length][..], &body].concat();
        stream.write_all(&record).unwrap();
        let mut alert = Vec::new();
        let _ = stream.read_to_end(&mut alert);
        alert
    });
    let f = with(Server::start());
    let error = f.error(&Remote::new(&url).unwrap());
    // protocol_version, or another fatal alert: nothing was agreed upon.
    let alert = serving.join().unwrap();
    assert_eq!((alert.first(), alert.get(5)), (Some(&21), Some(&2)), "{alert:?} {error}");
    assert!(error.contains("peer"), "{error}");
}

#[test]
fn a_client_certificate_opens_a_server_that_wants_one() {
    let pki = pki(true);
    let f = with(Server::with_tls(Some(pki.server.clone())));
    let remote = Remote::new(&f.server.url("r").replace("http:", "https:")).unwrap();
    let ca_bundle = Some(pki.ca_pem.clone().into_bytes());
    f.error(&remote.clone().with_tls(TlsConfig { ca_bundle: ca_bundle.clone(), client: None }));
    let (certificate, key) = pki.client.clone();
    let client = Some((certificate.clone().into_bytes(), Secret::new(key)));
    f.look(&remote.clone().with_tls(TlsConfig { ca_bundle: ca_bundle.clone(), client })).unwrap();
    let client = Some((certificate.into_bytes(), Secret::new("nonsense-key")));
    let error = f.error(&remote.with_tls(TlsConfig { ca_bundle, client }));
    assert!(error.starts_with("invalid TLS configuration") && !error.contains("nonsense-key"), "{error}");
}

#[test]
fn an_old_server_is_understood() {
    let f = fixture();
    f.server.control.old_protocol.store(true, Ordering::Relaxed);
    for content in ["content", "changed"] {
        f.repository.write("f", content);
        let head = f.repository.commit("next");
        let Outcome::Checkout(checkout) = f.look(&f.remote()).unwrap() else { panic!() };
        assert_eq!(checkout.revision, format!("master@sha1:{head}"));
        assert_eq!(walk(&f).unwrap(), 1);
    }
    // No second list of refs, and no second look at what is known.
    assert_eq!(f.server.traffic().0.iter().filter(|r| *r == "POST git-upload-pack").count(), 2);
}

#[test]
fn an_old_server_gives_annotated_tags_whose_commit_no_branch_is_at() {
    let f = fixture();
    f.repository.run(&["tag", "-a", "-m", "annotated", "v1.0.0"]);
    let tagged = f.repository.head();
    f.repository.commit("later");
    f.repository.push_all();
    f.server.control.old_protocol.store(true, Ordering::Relaxed);
    let cache = Cache::new(f.cache.path().to_owned(), f.limits.clone());
    let reference = Reference { tag: Some("v1.0.0".to_owned()), ..Reference::default() };
    let deadline = Deadline::new(Duration::from_secs(20));
    let outcome = cache.checkout(&Connector::default(), &f.remote(), &reference, None, &deadline).unwrap();
    let Outcome::Checkout(checkout) = outcome else { panic!() };
    assert_eq!(checkout.revision, format!("v1.0.0@sha1:{tagged}"));
}

#[test]
fn a_server_that_speaks_no_git_is_an_error() {
    let f = fixture();
    for (kind, page) in [
        ("text/html; charset=utf-8", "<html>Sign in</html>"),
        // The old protocol, for which any web server will do.
        ("text/plain", "1234567890123456789012345678901234567890\trefs/heads/master\n"),
    ] {
        *f.server.control.page.lock().unwrap() = Some((kind, page));
        let expected =
            format!("the server's answer is not one of Git's smart HTTP protocol: content type {kind}");
        assert_eq!(f.error(&f.remote()), expected);
    }
    *f.server.control.page.lock().unwrap() =
        Some(("application/x-git-upload-pack-advertisement", "nonsense"));
    assert!(!f.error(&f.remote()).is_empty());
}

#[test]
fn sha256_repositories_get_a_clear_answer() {
    let f = fixture();
    let other = f.server.repository_of("r256", "sha256");
    other.write("f", "1");
    other.commit("one");
    let remote = Remote::new(&f.server.url("r256")).unwrap();
    assert_eq!(f.error(&remote), "repositories with SHA-256 objects are not supported");
}

#[test]
fn a_silent_server_ends_with_the_budget() {
    let f = fixture();
    f.server.control.silent.store(true, Ordering::Relaxed);
    let start = Instant::now();
    let error =
        f.look_within(&f.remote(), &Deadline::new(Duration::from_millis(300))).unwrap_err().to_string();
    assert!(error.ends_with("context deadline exceeded"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(5));
    let cancelled = Deadline::new(Duration::from_secs(60));
    cancelled.cancel();
    assert!(f.look_within(&f.remote(), &cancelled).is_err());
}

#[test]
fn a_wait_for_a_silent_server_can_be_cancelled() {
    let f = fixture();
    f.server.control.silent.store(true, Ordering::Relaxed);
    let deadline = Deadline::new(Duration::from_secs(3600));
    let canceller = deadline.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(300));
        canceller.cancel();
    });
    let error = f.look_within(&f.remote(), &deadline).unwrap_err().to_string();
    assert!(error.ends_with("context deadline exceeded"), "{error}");
}

#[test]
fn bytes_objects_and_refs_have_limits() {
    let mut f = fixture();
    for i in 0..20 {
        f.repository.run(&["branch", &format!("master-{i}")]);
    }
    f.repository.push_all();
    type Case = (&'static str, fn(&mut Limits));
    let cases: [Case; 4] = [
        ("100 bytes of refs", |l| l.advertised_bytes = 100),
        ("10 refs", |l| l.refs = 10),
        ("60 bytes of a pack", |l| l.pack_bytes = 60),
        ("2 objects", |l| l.pack_objects = 2),
    ];
    for (text, set) in cases {
        f.limits = Limits::default();
        set(&mut f.limits);
        assert_eq!(f.error(&f.remote()), format!("the server sent more than the limit of {text}"));
    }
    f.limits = Limits { allocation_bytes: 16, ..Limits::default() };
    assert!(f.look(&f.remote()).is_err());
    f.limits = Limits::default();
    f.look(&f.remote()).unwrap();
}

#[test]
fn a_broken_pack_is_an_error_and_leaves_nothing() {
    let f = fixture();
    let packet = |band: u8, data: &[u8]| {
        let mut line = format!("{:04x}", data.len() + 5).into_bytes();
        line.push(band);
        line.extend_from_slice(data);
        line
    };
    let pack = |tail: &[u8]| {
        let mut answer = b"000dpackfile\n".to_vec();
        answer.extend(packet(1, &[b"PACK\0\0\0\x02", tail].concat()));
        answer.extend_from_slice(b"0000");
        answer
    };
    let endless_count = pack(&[0xff, 0xff, 0xff, 0xff]);
    let truncated = pack(&[0, 0, 0, 3, 0x95, 1, 2, 3]);
    let wrong_sum = pack(&[[0u8; 4].as_slice(), &[7; 20]].concat());
    for garbage in [endless_count, truncated, wrong_sum, b"hello".to_vec(), b"0008NAK\n".to_vec(), Vec::new()]
    {
        *f.server.control.garbage.lock().unwrap() = Some(garbage);
        assert!(f.look(&f.remote()).is_err());
        for generation in std::fs::read_dir(f.cache.path().join("content")).unwrap() {
            let packs = generation.unwrap().path().join("objects/pack");
            let left: Vec<_> = std::fs::read_dir(packs).unwrap().map(|e| e.unwrap().file_name()).collect();
            assert!(left.iter().all(|n| !n.to_string_lossy().ends_with(".pack")), "{left:?}");
        }
    }
    *f.server.control.garbage.lock().unwrap() = None;
    f.look(&f.remote()).unwrap();
}

/// Puts a hand-made root tree at the head of `master`.
fn push_tree(f: &Fixture, entries: &[(&str, &[u8], &str)]) {
    let mut raw = Vec::new();
    for (mode, name, id) in entries {
        raw.extend_from_slice(format!("{mode} ").as_bytes());
        raw.extend_from_slice(name);
        raw.push(0);
        raw.extend((0..20).map(|i| u8::from_str_radix(&id[2 * i..2 * i + 2], 16).unwrap()));
    }
    let file = f.repository.work.join("../tree.bin");
    std::fs::write(&file, raw).unwrap();
    let args = ["hash-object", "-t", "tree", "-w", "--literally", file.to_str().unwrap()];
    let tree = git(&f.repository.bare, &args);
    let commit = git(&f.repository.bare, &["commit-tree", tree.trim(), "-m", "evil"]);
    git(&f.repository.bare, &["update-ref", "refs/heads/master", commit.trim()]);
}

fn walk(f: &Fixture) -> Result<usize, WalkError> {
    let Outcome::Checkout(checkout) = f.look(&f.remote()).unwrap() else { panic!() };
    let mut entries = 0;
    checkout.walk(|_| {
        entries += 1;
        Ok::<_, WalkError>(())
    })?;
    Ok(entries)
}

#[test]
fn names_that_leave_the_tree_are_refused() {
    let f = fixture();
    let blob = git(&f.repository.bare, &["rev-parse", "master:f"]).trim().to_owned();
    for evil in [".git", ".GIT", ".git ", "git~1", ".g\u{200c}it", "..", ".", "a/b", "../x"] {
        push_tree(&f, &[("100644", evil.as_bytes(), &blob)]);
        assert!(matches!(walk(&f), Err(WalkError::Name { .. })), "{evil:?}");
    }
    push_tree(&f, &[("120000", b".gitmodules", &blob)]);
    assert!(matches!(walk(&f), Err(WalkError::Name { .. })));
    push_tree(&f, &[("100644", b"same", &blob), ("100644", b"between", &blob), ("100755", b"same", &blob)]);
    assert!(matches!(walk(&f), Err(WalkError::Name { .. })));
    push_tree(
        &f,
        &[("100644", b".gitignore", &blob), ("100644", b"caf\xe9 \\ x", &blob), ("100644", b"z", &blob)],
    );
    assert_eq!(walk(&f).unwrap(), 3);
}

#[test]
fn the_bytes_read_in_one_walk_have_a_limit() {
    let mut f = fixture();
    // One blob of 7 bytes, three times.
    f.repository.write("g", "content");
    f.repository.write("h", "content");
    f.repository.commit("copies");
    let read = |f: &Fixture| {
        let Outcome::Checkout(checkout) = f.look(&f.remote()).unwrap() else { panic!() };
        checkout.walk(|mut entry| entry.read().map(drop)).map_err(|e: WalkError| e.to_string())
    };
    f.limits.tree_bytes = 21;
    assert_eq!(read(&f), Ok(()));
    assert_eq!(read(&f), Ok(()), "each walk counts for itself");
    f.limits.tree_bytes = 20;
    assert_eq!(read(&f).unwrap_err(), "the tree has more than the limit of 20 bytes of files");
    f.limits = Limits { allocation_bytes: 200, ..Limits::default() };
    f.repository.write("big", &"x".repeat(201));
    f.repository.commit("big");
    let error = f.error(&f.remote());
    assert_eq!(error, "the server sent more than the limit of 200 bytes in one object");
    // Fetched while more was allowed.
    f.limits = Limits::default();
    assert_eq!(read(&f), Ok(()));
    f.limits.allocation_bytes = 200;
    assert_eq!(read(&f).unwrap_err(), "the tree has more than the limit of 200 bytes in one object");
}

#[test]
fn trees_have_limits_in_width_and_depth() {
    let mut f = fixture();
    f.repository.write("a/b/c/d", "deep");
    f.repository.commit("deep");
    f.limits.depth = 3;
    assert_eq!(walk(&f).unwrap(), 5);
    f.limits.depth = 2;
    assert!(matches!(walk(&f), Err(WalkError::Limit { limit: 2, .. })));
    f.limits = Limits { entries: 4, ..Limits::default() };
    assert!(matches!(walk(&f), Err(WalkError::Limit { limit: 4, .. })));
    // A tree that holds itself many times over, ten levels deep: few objects, 2^40 entries.
    let blob = git(&f.repository.bare, &["rev-parse", "master:f"]).trim().to_owned();
    push_tree(&f, &[("100644", b"f", &blob)]);
    for _ in 0..40 {
        let tree = git(&f.repository.bare, &["rev-parse", "master^{tree}"]).trim().to_owned();
        push_tree(&f, &[("40000", b"a", &tree), ("40000", b"b", &tree)]);
    }
    f.limits = Limits { entries: 10_000, ..Limits::default() };
    assert!(matches!(walk(&f), Err(WalkError::Limit { limit: 10_000, .. })));
}

#[test]
fn a_pack_with_too_many_objects_is_refused_by_their_number() {
    let f = fixture();
    let announcing = |objects: u32| {
        let pack = [&b"\x01PACK\0\0\0\x02"[..], &objects.to_be_bytes(), &[0x95, 1, 2, 3]].concat();
        let packet = [format!("{:04x}", pack.len() + 4).as_bytes(), &pack].concat();
        *f.server.control.garbage.lock().unwrap() = Some([b"000dpackfile\n", &packet[..], b"0000"].concat());
        f.error(&f.remote())
    };
    let limit = Limits::default().pack_objects;
    assert_eq!(announcing(limit + 1), format!("the server sent more than the limit of {limit} objects"));
    // As many as may be have room, and then the pack is broken.
    let error = announcing(limit);
    assert!(!error.contains("limit"), "{error}");
}

#[test]
fn progress_messages_count_as_bytes_too() {
    let mut f = fixture();
    f.limits.pack_bytes = 10_000;
    let message = [b"03ed\x02".as_slice(), &[b'.'; 1000]].concat();
    *f.server.control.garbage.lock().unwrap() =
        Some([b"000dpackfile\n".to_vec(), message.repeat(100)].concat());
    assert_eq!(f.error(&f.remote()), "the server sent more than the limit of 10000 bytes of a pack");
}
