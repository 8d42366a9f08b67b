//! The file server over loopback, asked by hand so that no client cleans up what is sent.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::{fs, future::pending, net::SocketAddr, os::unix::fs::symlink, path::Path, time::Duration};

use artifact::{server::serve, token::TokenFile};
use net::ServerOptions;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Long enough to be no test of speed, short enough to end a hanging test.
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    address: SocketAddr,
    _root: TempDir,
}

struct Answer {
    status: u16,
    head: String,
    body: Vec<u8>,
}

async fn server(fill: impl FnOnce(&Path)) -> Server {
    server_with(None, fill).await
}

async fn server_with(token: Option<TokenFile>, fill: impl FnOnce(&Path)) -> Server {
    let root = tempfile::tempdir().unwrap();
    fill(root.path());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let path = root.path().to_owned();
    tokio::spawn(async move { serve(listener, &path, token, ServerOptions::default(), pending()).await });
    Server { address, _root: root }
}

fn artifact_tree(root: &Path) {
    fs::create_dir_all(root.join("gitrepository/ns/app")).unwrap();
    fs::write(root.join("gitrepository/ns/app/abc.tar.gz"), "0123456789").unwrap();
    fs::write(root.join("gitrepository/ns/app/abc.tar.gz.lock"), "").unwrap();
    fs::write(root.join("gitrepository/ns/app/abc.tar.gz.Ab12Cd.tmp"), "0123").unwrap();
}

fn parse(bytes: &[u8]) -> Answer {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a whole head") + 4;
    let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head, body: bytes[end..].to_vec() }
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.head.lines().filter_map(|line| line.split_once(": "));
        headers.find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn ask(&self, method: &str, target: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = format!("{method} {target} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        let mut stream = self.connect().await;
        stream.write_all((request + "\r\n").as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.unwrap().unwrap();
        parse(&bytes)
    }

    async fn get(&self, target: &str) -> Answer {
        self.ask("GET", target, &[]).await
    }
}

const FILE: &str = "/gitrepository/ns/app/abc.tar.gz";

#[tokio::test]
async fn files_are_served_with_their_length() {
    let server = server(artifact_tree).await;
    let answer = server.get(FILE).await;
    assert_eq!((answer.status, answer.body.as_slice()), (200, &b"0123456789"[..]));
    assert_eq!(answer.header("content-length"), Some("10"));
    assert_eq!(answer.header("content-encoding"), None);
    let head = server.ask("HEAD", FILE, &[]).await;
    assert_eq!((head.status, head.header("content-length"), head.body.len()), (200, Some("10"), 0));
    assert_eq!(server.get("/gitrepository/ns/app/abc%2Etar.gz").await.body, b"0123456789");
    assert_eq!(server.get(&format!("{FILE}?query=1")).await.status, 200);
    for missing in [
        "/nothing",
        "/gitrepository/ns/app/def.tar.gz",
        &format!("{FILE}/x"),
        &format!("/{}", "n".repeat(300)),
    ] {
        assert_eq!(server.get(missing).await.status, 404, "{missing}");
    }
}

#[tokio::test]
async fn parts_of_a_file_can_be_asked_for() {
    let server = server(artifact_tree).await;
    for (range, status, body) in [
        ("bytes=2-4", 206, "234"),
        ("bytes=7-", 206, "789"),
        ("bytes=-3", 206, "789"),
        ("bytes=5-99", 206, "56789"),
        ("bytes=10-", 416, ""),
        ("bytes=4-2", 416, ""),
    ] {
        let answer = server.ask("GET", FILE, &[("range", range)]).await;
        assert_eq!(answer.status, status, "{range}");
        if status == 206 {
            assert_eq!(answer.body, body.as_bytes(), "{range}");
        }
    }
    // Many ranges must not multiply the work.
    let many = format!("bytes={}", vec!["0-9"; 500].join(","));
    let answer = server.ask("GET", FILE, &[("range", &many)]).await;
    assert!(answer.body.len() < 1000, "{}", answer.status);
}

#[tokio::test]
async fn an_unchanged_file_is_not_sent_again() {
    let server = server(artifact_tree).await;
    let answer = server.get(FILE).await;
    let (tag, date) = (answer.header("etag").unwrap(), answer.header("last-modified").unwrap());
    for (header, value, status) in [
        ("if-none-match", tag, 304),
        ("if-none-match", "\"other\"", 200),
        ("if-modified-since", date, 304),
        ("if-modified-since", "Mon, 01 Jan 2001 00:00:00 GMT", 200),
    ] {
        let answer = server.ask("GET", FILE, &[(header, value)]).await;
        assert_eq!(answer.status, status, "{header}: {value}");
        assert_eq!(answer.body.is_empty(), status == 304);
    }
}

#[tokio::test]
async fn files_outside_the_root_are_not_served() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "secret").unwrap();
    let server = server(|root| {
        artifact_tree(root);
        symlink(outside.path().join("secret"), root.join("link")).unwrap();
        symlink(outside.path(), root.join("dir")).unwrap();
        symlink("loop", root.join("loop")).unwrap();
    })
    .await;
    let secret = outside.path().join("secret");
    let up = "../".repeat(12);
    for target in [
        format!("/{up}{}", &secret.to_str().unwrap()[1..]),
        format!("/gitrepository/{up}etc/passwd"),
        "/../../etc/passwd".to_owned(),
        "/%2e%2e/%2e%2e/etc/passwd".to_owned(),
        "/..%2f..%2fetc%2fpasswd".to_owned(),
        "/gitrepository/%2e%2e%2f%2e%2e%2fetc/passwd".to_owned(),
        "/.%2e/etc/passwd".to_owned(),
        "/%252e%252e/etc/passwd".to_owned(),
        format!("/{}", secret.display()),
        "//etc/passwd".to_owned(),
        "/gitrepository//ns/app/abc.tar.gz".to_owned(),
        "/./gitrepository/ns/app/abc.tar.gz".to_owned(),
        "/gitrepository/ns/app/abc.tar.gz%00".to_owned(),
        "/gitrepository\\ns".to_owned(),
        "/%ff".to_owned(),
        "/link".to_owned(),
        "/dir/secret".to_owned(),
        "/dir/".to_owned(),
        "/loop".to_owned(),
        format!("{FILE}.lock"),
        format!("{FILE}.Ab12Cd.tmp"),
    ] {
        let answer = server.get(&target).await;
        assert!(matches!(answer.status, 400 | 404 | 500), "{target}: {}", answer.status);
        assert!(!answer.body.windows(6).any(|window| window == b"secret"), "{target}");
        assert!(!answer.body.windows(5).any(|window| window == b"root:"), "{target}");
    }
}

#[tokio::test]
async fn links_within_the_root_are_followed() {
    let server = server(|root| {
        artifact_tree(root);
        let dir = root.join("gitrepository/ns/app");
        symlink(dir.join("abc.tar.gz"), dir.join("latest.tar.gz")).unwrap();
    })
    .await;
    assert_eq!(server.get("/gitrepository/ns/app/latest.tar.gz").await.body, b"0123456789");
}

#[tokio::test]
async fn names_with_a_dot_in_front_are_private() {
    let server = server(|root| {
        artifact_tree(root);
        fs::create_dir_all(root.join(".cache/ns")).unwrap();
        fs::write(root.join(".cache/ns/pack"), "secret").unwrap();
        fs::write(root.join("gitrepository/ns/.hidden"), "secret").unwrap();
    })
    .await;
    for path in ["/.cache", "/.cache/", "/.cache/ns/pack", "/%2ecache/ns/pack", "/gitrepository/ns/.hidden"] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn the_root_answers_the_probe_and_no_directory_is_listed() {
    let server = server(artifact_tree).await;
    for method in ["GET", "HEAD"] {
        let root = server.ask(method, "/", &[]).await;
        assert_eq!((root.status, root.body.len()), (200, 0), "{method}");
    }
    for directory in ["/gitrepository", "/gitrepository/", "/gitrepository/ns", "/gitrepository/ns/app/"] {
        assert_eq!(server.get(directory).await.status, 404, "{directory}");
    }
}

#[tokio::test]
async fn files_are_for_those_alone_who_show_the_token_if_there_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    fs::write(&path, "first\n").unwrap();
    let server = server_with(Some(TokenFile::open(&path).await.unwrap()), artifact_tree).await;
    let ask = async |method: &str, target: &str, token: &str| {
        let header = format!("Bearer {token}");
        let answer = server.ask(method, target, &[("authorization", &header)]).await;
        (answer.status, answer.body)
    };
    for method in ["GET", "HEAD"] {
        for target in [FILE, "/nothing", "/gitrepository", "/../etc/passwd", "/.cache/x"] {
            let answer = server.ask(method, target, &[]).await;
            assert_eq!((answer.status, answer.header("www-authenticate")), (401, Some("Bearer")), "{target}");
            assert_eq!(ask(method, target, "second").await.0, 401, "{target}");
        }
        assert_eq!(server.ask(method, "/", &[]).await.status, 200, "the probe");
        assert_eq!(ask(method, FILE, "first").await.0, 200);
        assert_eq!(ask(method, "/nothing", "first").await.0, 404);
    }
    assert_eq!(ask("GET", FILE, "first").await.1, b"0123456789");
    // As the kubelet does it: another file under the same name.
    let next = folder.path().join("next");
    fs::write(&next, "second").unwrap();
    fs::rename(&next, &path).unwrap();
    assert_eq!(ask("GET", FILE, "first").await.0, 401);
    assert_eq!(ask("GET", FILE, "second").await, (200, b"0123456789".to_vec()));
    fs::remove_file(&path).unwrap();
    assert_eq!(ask("GET", FILE, "second").await.0, 200, "what was read last counts");
    assert_eq!(ask("GET", FILE, "").await.0, 401);
}

#[tokio::test]
async fn objects_may_be_called_like_locks() {
    let server = server(|root| {
        for object in ["app.lock", "app.tmp"] {
            let dir = root.join("gitrepository/ns").join(object);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("abc.tar.gz"), object).unwrap();
            fs::write(dir.join("abc.tar.gz.lock"), "").unwrap();
        }
    })
    .await;
    for object in ["app.lock", "app.tmp"] {
        let file = format!("/gitrepository/ns/{object}/abc.tar.gz");
        assert_eq!(server.get(&file).await.body, object.as_bytes());
        assert_eq!(server.get(&format!("{file}.lock")).await.status, 404);
        assert_eq!(server.get(&format!("{file}%2elock")).await.status, 404);
    }
}

#[tokio::test]
async fn methods_that_do_not_read_are_refused() {
    let server = server(artifact_tree).await;
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let answer = server.ask(method, FILE, &[("content-length", "0")]).await;
        assert_eq!((answer.status, answer.header("allow")), (405, Some("GET, HEAD")), "{method}");
    }
}

#[tokio::test]
async fn a_missing_root_is_an_error() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let dir = tempfile::tempdir().unwrap();
    let result =
        serve(listener, &dir.path().join("missing"), None, ServerOptions::default(), pending()).await;
    assert_eq!(result.unwrap_err().kind(), std::io::ErrorKind::NotFound);
}
