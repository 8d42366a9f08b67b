//! Downloads over loopback: from the real file server, and from servers that misbehave in every way known.

use std::{
    fs,
    io::Read,
    sync::Arc,
    time::{Duration, Instant},
};

use crate::support::{Reply, Scripted, archive};
use artifact::{
    digest::{Algorithm, DigestError, Hasher},
    fetch::{FetchError, Fetcher, Options, Verified},
    server,
    store::{self, Store, StoreError},
    token::TokenFile,
    unpack::{Entry, Limits, unpack},
};
use net::Backoff;
use tokio::net::TcpListener;

fn options() -> Options {
    Options {
        retries: 0,
        backoff: Backoff { first: Duration::from_millis(5), longest: Duration::from_millis(20) },
        idle_timeout: Duration::from_secs(5),
        deadline: Duration::from_secs(20),
        ..Options::default()
    }
}

async fn fetch(options: Options, url: &str, digest: &str) -> Result<Vec<u8>, FetchError> {
    let mut verified: Verified = Fetcher::new(options).unwrap().fetch(url, digest, "a").await?;
    let mut bytes = Vec::new();
    verified.read_to_end(&mut bytes).unwrap();
    assert_eq!(verified.size(), bytes.len() as u64);
    Ok(bytes)
}

#[tokio::test]
async fn an_artifact_that_the_store_published_is_fetched_and_unpacked() {
    let root = tempfile::tempdir().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let store = Store::open(root.path(), store::Options::new("source-controller.flux-system.svc")).unwrap();
    let path = store::artifact_path("GitRepository", "ns", "app", "abc.tar.gz");
    let artifact = store
        .archive(&path, "main@sha1:abc", |archive| {
            archive.directory(b"apps").map_err(StoreError::Archive)?;
            archive.file(b"apps/a.yaml", false, 5, &mut &b"a: 1\n"[..]).map_err(StoreError::Archive)
        })
        .unwrap();
    let served = root.path().to_owned();
    tokio::spawn(async move {
        server::serve(listener, &served, None, net::ServerOptions::default(), std::future::pending()).await
    });
    let options = Options { source_controller_host: Some(address.to_string()), ..options() };
    let archive =
        Fetcher::new(options).unwrap().fetch(&artifact.url, &artifact.digest.to_string(), "a").await.unwrap();
    let mut seen = Vec::new();
    unpack(archive, &Limits::default(), &mut |entry| {
        if let Entry::File { path, content, .. } = entry {
            let mut text = String::new();
            content.read_to_string(&mut text)?;
            seen.push((path.to_vec(), text));
        }
        Ok(())
    })
    .unwrap();
    assert_eq!(seen, [(b"apps/a.yaml".to_vec(), "a: 1\n".to_owned())]);
}

#[tokio::test]
async fn passing_failures_are_tried_again() {
    let (bytes, digest) = archive("x");
    let half = Reply::Raw(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nhalf".to_vec());
    let server = Scripted::start(vec![
        Reply::status("500 Internal Server Error"),
        Reply::status("503 Service Unavailable"),
        Reply::status("429 Too Many Requests"),
        Reply::status("599 Whatever"),
        Reply::Raw(Vec::new()),
        Reply::Raw(b"not http\r\n\r\n".to_vec()),
        half,
        Reply::ok(&bytes),
    ])
    .await;
    let options = Options { retries: 7, ..options() };
    assert_eq!(fetch(options, &server.url("/a"), &digest.to_string()).await.unwrap(), bytes);
    assert_eq!(server.count(), 8);
}

#[tokio::test]
async fn retries_end_and_the_last_status_is_told() {
    let server = Scripted::start(vec![Reply::status("502 Bad Gateway")]).await;
    let (_, digest) = archive("x");
    let url = server.url("/a");
    let secret = format!("{url}?token=canary");
    let error = fetch(Options { retries: 2, ..options() }, &secret, &digest.to_string()).await.unwrap_err();
    assert_eq!(error.to_string(), format!("failed to download archive from {url} (status: 502 Bad Gateway)"));
    assert_eq!(server.count(), 3);
}

#[tokio::test]
async fn lasting_failures_are_not_tried_again() {
    let (_, digest) = archive("x");
    for status in
        ["501 Not Implemented", "403 Forbidden", "400 Bad Request", "204 No Content", "404 Not Found"]
    {
        let server = Scripted::start(vec![Reply::status(status)]).await;
        let url = server.url("/a");
        let options = Options { retries: 5, ..options() };
        let error = fetch(options, &url, &digest.to_string()).await.unwrap_err();
        if status.starts_with("404") {
            assert!(matches!(error, FetchError::NotFound));
            assert_eq!(error.to_string(), "file not found");
        } else {
            let expected = format!("failed to download archive from {url} (status: {status})");
            assert_eq!(error.to_string(), expected);
        }
        assert_eq!(server.count(), 1, "{status}");
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_error_with_its_url() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/a", listener.local_addr().unwrap());
    drop(listener);
    let (_, digest) = archive("x");
    let error = fetch(Options { retries: 2, ..options() }, &url, &digest.to_string()).await.unwrap_err();
    assert!(matches!(error, FetchError::Request { url: told, .. } if told == url));
}

#[tokio::test]
async fn the_wait_that_a_server_asks_for_is_kept() {
    let (bytes, digest) = archive("x");
    let busy = |line| Reply::with_headers(line, "retry-after: 1\r\n", b"");
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        let server = Scripted::start(vec![busy(status), Reply::ok(&bytes)]).await;
        let start = Instant::now();
        let options = Options { retries: 1, ..options() };
        assert_eq!(fetch(options, &server.url("/a"), &digest.to_string()).await.unwrap(), bytes);
        assert!(start.elapsed() >= Duration::from_secs(1));
        assert_eq!(server.count(), 2);
    }
    // A wait beyond the deadline is not begun.
    for later in ["retry-after: 3600\r\n", "retry-after: 18446744073709551615\r\n"] {
        let later = Reply::with_headers("429 Too Many Requests", later, b"");
        let server = Scripted::start(vec![later]).await;
        let options = Options { retries: 5, ..options() };
        let error = fetch(options, &server.url("/a"), &digest.to_string()).await.unwrap_err();
        assert!(matches!(error, FetchError::Status { status, .. } if status == 429));
        assert_eq!(server.count(), 1);
    }
}

#[tokio::test]
async fn content_that_does_not_match_its_digest_is_refused_once() {
    let (bytes, digest) = archive("x");
    let (_, other) = archive("y");
    let server = Scripted::start(vec![Reply::ok(&bytes)]).await;
    let options = Options { retries: 5, ..options() };
    let error = fetch(options.clone(), &server.url("/a"), &other.to_string()).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "failed to verify archive: computed digest doesn't match provided '{other}' \
             (check whether file size exceeds max download size)"
        )
    );
    assert_eq!(server.count(), 1);
    // A bare hash is SHA-256, and every algorithm fit for verification is taken.
    assert_eq!(fetch(options.clone(), &server.url("/a"), digest.hex()).await.unwrap(), bytes);
    for algorithm in [Algorithm::Sha384, Algorithm::Sha512, Algorithm::Blake3] {
        let mut hasher = Hasher::new(algorithm);
        hasher.update(&bytes);
        let digest = hasher.finish().to_string();
        assert_eq!(fetch(options.clone(), &server.url("/a"), &digest).await.unwrap(), bytes);
    }
}

#[tokio::test]
async fn a_digest_that_cannot_be_verified_is_refused_without_a_request() {
    let server = Scripted::start(vec![Reply::ok(b"x")]).await;
    let (_, digest) = archive("x");
    let upper = format!("sha256:{}", digest.hex().to_uppercase());
    for text in ["", "sha256:", "sha256:abc", "md5:abc", upper.as_str(), &format!("sha1:{}", "a".repeat(40))]
    {
        let error = fetch(options(), &server.url("/a"), text).await.unwrap_err();
        assert!(matches!(error, FetchError::Digest(_)), "{text}: {error}");
    }
    let error = fetch(options(), &server.url("/a"), "").await.unwrap_err();
    assert!(matches!(error, FetchError::Digest(DigestError::Empty)));
    assert_eq!(error.to_string(), "failed to verify archive: empty digest");
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn archives_are_read_up_to_a_size() {
    let (bytes, digest) = archive("x");
    let size = bytes.len() as u64;
    let announced = Scripted::start(vec![Reply::ok(&bytes)]).await;
    let exact = Options { max_bytes: size, ..options() };
    assert_eq!(fetch(exact, &announced.url("/a"), &digest.to_string()).await.unwrap(), bytes);

    let head = b"HTTP/1.1 200 OK\r\n\r\n".to_vec();
    let endless = Scripted::start(vec![Reply::Endless(head, vec![b'x'; 1000], Duration::ZERO)]).await;
    for server in [announced, endless] {
        let options = Options { max_bytes: size - 1, retries: 3, ..options() };
        let error = fetch(options, &server.url("/a"), &digest.to_string()).await.unwrap_err();
        assert!(matches!(error, FetchError::TooLarge(limit) if limit == size - 1), "{error}");
    }
}

#[tokio::test]
async fn large_archives_leave_memory_and_come_back_whole() {
    let text = (0..20_000).map(|n| format!("line {}\n", n * 7919)).collect::<String>();
    let (bytes, digest) = archive(&text);
    let server = Scripted::start(vec![Reply::ok(&bytes)]).await;
    let options = Options { memory_bytes: 100, ..options() };
    assert!(bytes.len() > 1000);
    assert_eq!(fetch(options, &server.url("/a"), &digest.to_string()).await.unwrap(), bytes);
}

#[tokio::test]
async fn a_server_that_falls_silent_is_given_up() {
    let (_, digest) = archive("x");
    let pause = Duration::from_secs(3600);
    for head in [&b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n12"[..], b"HTTP/1.1 200 OK\r\nx: ", b""] {
        let server = Scripted::start(vec![Reply::Endless(head.to_vec(), Vec::new(), pause)]).await;
        let options = Options { idle_timeout: Duration::from_millis(200), ..options() };
        let error = fetch(options, &server.url("/a"), &digest.to_string()).await.unwrap_err();
        assert!(matches!(&error, FetchError::Request { source, .. } if source.is_timeout()), "{error:?}");
    }
}

#[tokio::test]
async fn a_server_that_drips_is_given_up_at_the_deadline() {
    let (_, digest) = archive("x");
    let head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n".to_vec();
    let drip = Reply::Endless(head, b"x".to_vec(), Duration::from_millis(20));
    let server = Scripted::start(vec![drip]).await;
    let options = Options { retries: 9, deadline: Duration::from_millis(500), ..options() };
    let error = fetch(options, &server.url("/a"), &digest.to_string()).await.unwrap_err();
    assert!(matches!(&error, FetchError::Request { source, .. } if source.is_timeout()), "{error:?}");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn redirects_are_followed_within_one_origin_only() {
    let (bytes, digest) = archive("x");
    let to = |target: &str| Reply::with_headers("302 Found", &format!("location: {target}\r\n"), b"");
    let other = Scripted::start(vec![Reply::ok(&bytes)]).await;

    let server = Scripted::start(vec![to("/b"), Reply::ok(&bytes)]).await;
    assert_eq!(fetch(options(), &server.url("/a"), &digest.to_string()).await.unwrap(), bytes);
    assert!(server.requests()[1].starts_with("GET /b "));

    for target in
        [other.url("/a"), "http://169.254.169.254/latest".to_owned(), "file:///etc/passwd".to_owned()]
    {
        let server = Scripted::start(vec![to(&target)]).await;
        let options = Options { retries: 3, ..options() };
        let result = fetch(options, &server.url("/a"), &digest.to_string()).await;
        assert!(matches!(result, Err(FetchError::Request { .. } | FetchError::Status { .. })), "{target}");
        assert_eq!(server.count(), 1);
    }
    assert_eq!(other.count(), 0);

    let looping = Scripted::start(vec![to("/a")]).await;
    let error = fetch(options(), &looping.url("/a"), &digest.to_string()).await.unwrap_err();
    assert!(matches!(error, FetchError::Request { source, .. } if source.is_redirect()));
    assert_eq!(looping.count(), 11);
}

#[tokio::test]
async fn hosts_that_are_not_listed_get_no_request_not_even_by_a_redirect() {
    let (bytes, digest) = archive("x");
    let other = Scripted::start(vec![Reply::ok(&bytes)]).await;
    let hosts = |host: &str| Options { hosts: vec![host.parse().unwrap()], retries: 3, ..options() };
    let error = fetch(hosts("source-controller"), &other.url("/a"), &digest.to_string()).await.unwrap_err();
    assert!(matches!(error, FetchError::Host(host) if host == other.address.to_string()));
    let to = format!("location: {}\r\n", other.url("/a"));
    let listed = Scripted::start(vec![Reply::with_headers("302 Found", &to, b"")]).await;
    let result = fetch(hosts(&listed.address.to_string()), &listed.url("/a"), &digest.to_string()).await;
    assert!(matches!(result, Err(FetchError::Request { source, .. }) if source.is_redirect()));
    assert_eq!((listed.count(), other.count()), (1, 0));
    let result = fetch(hosts(&other.address.to_string()), &other.url("/a"), &digest.to_string()).await;
    assert_eq!(result.unwrap(), bytes);
}

#[tokio::test]
async fn a_token_goes_to_listed_hosts_alone_and_its_change_is_waited_for() {
    let (bytes, digest) = archive("x");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "first").unwrap();
    let token = Arc::new(TokenFile::open(&path).await.unwrap());
    fs::write(&path, "second").unwrap();
    let with = |host: &str| {
        let hosts = host.parse().into_iter().collect();
        Options { hosts, token: Some(token.clone()), retries: 1, ..options() }
    };
    let shown = |server: &Scripted| {
        let requests = server.requests();
        let header = |request: &String| {
            request.lines().find_map(|line| line.strip_prefix("authorization: ").map(str::to_owned))
        };
        requests.iter().map(header).collect::<Vec<_>>()
    };
    let second = || Some("Bearer second".to_owned());
    // The first answer is that of a server that has not read the new token yet.
    let server = Scripted::start(vec![Reply::status("401 Unauthorized"), Reply::ok(&bytes)]).await;
    let host = server.address.to_string();
    assert_eq!(fetch(with(&host), &server.url("/a"), &digest.to_string()).await.unwrap(), bytes);
    assert_eq!(shown(&server), [second(), second()]);
    let refusing = Scripted::start(vec![Reply::status("401 Unauthorized")]).await;
    let host = refusing.address.to_string();
    let error = fetch(with(&host), &refusing.url("/a"), &digest.to_string()).await.unwrap_err();
    let text = format!("failed to download archive from {} (status: 401 Unauthorized)", refusing.url("/a"));
    assert_eq!((error.to_string(), refusing.count()), (text, 2));
    // A redirect leads nowhere, so it cannot take the token along.
    let other = Scripted::start(vec![Reply::ok(&bytes)]).await;
    let to = format!("location: {}\r\n", other.url("/a"));
    let server = Scripted::start(vec![Reply::with_headers("302 Found", &to, b"")]).await;
    let host = server.address.to_string();
    assert!(fetch(with(&host), &server.url("/a"), &digest.to_string()).await.is_err());
    assert_eq!(other.count(), 0);
    // Without any hosts nobody gets it.
    let open = Scripted::start(vec![Reply::ok(&bytes)]).await;
    assert_eq!(fetch(with(""), &open.url("/a"), &digest.to_string()).await.unwrap(), bytes);
    assert_eq!(shown(&open), [None]);
}

#[tokio::test]
async fn requests_carry_nothing_private_and_bytes_are_taken_as_they_are() {
    let (bytes, digest) = archive("x");
    let reply = Reply::with_headers("200 OK", "content-encoding: gzip\r\n", &bytes);
    let server = Scripted::start(vec![reply]).await;
    assert_eq!(fetch(options(), &server.url("/a"), &digest.to_string()).await.unwrap(), bytes);
    let request = server.requests()[0].to_lowercase();
    for header in ["authorization", "cookie", "referer", "accept-encoding"] {
        assert!(!request.contains(header), "{request}");
    }
}
