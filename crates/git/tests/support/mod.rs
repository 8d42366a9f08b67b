//! A real Git server for tests: `git http-backend` behind a socket, with switches for what servers do wrong.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

pub mod hostile;
pub mod pack;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustls::pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;

/// Counters and switches of a running server.
#[derive(Default)]
pub struct Control {
    /// `Authorization` header that requests must carry.
    pub authorization: Mutex<Option<String>>,
    /// Base URL to which `info/refs` is redirected.
    pub redirect: Mutex<Option<String>>,
    /// Accept, then say nothing.
    pub silent: AtomicBool,
    /// Speak protocol 0, whatever the client asks for.
    pub old_protocol: AtomicBool,
    /// Answer `info/refs` with this content type and body.
    pub page: Mutex<Option<(&'static str, &'static str)>>,
    /// Answer fetches with this instead of a pack.
    pub garbage: Mutex<Option<Vec<u8>>>,
    pub requests: Mutex<Vec<String>>,
    pub sent: AtomicUsize,
}

pub struct Server {
    pub dir: TempDir,
    pub control: Arc<Control>,
    pub port: u16,
    stop: Arc<AtomicBool>,
}

impl Server {
    pub fn start() -> Server {
        Server::with_tls(None)
    }

    pub fn with_tls(tls: Option<Arc<rustls::ServerConfig>>) -> Server {
        let dir = TempDir::new().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (control, stop) = (Arc::new(Control::default()), Arc::new(AtomicBool::new(false)));
        let (root, shared, stopped) = (dir.path().to_owned(), control.clone(), stop.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Relaxed) {
                    return;
                }
                let (root, control, tls) = (root.clone(), shared.clone(), tls.clone());
                std::thread::spawn(move || {
                    let stream = stream.unwrap();
                    match tls {
                        Some(config) => {
                            let connection = rustls::ServerConnection::new(config).unwrap();
                            let _ = serve(&mut rustls::StreamOwned::new(connection, stream), &root, &control);
                        }
                        None => drop(serve(&mut { stream }, &root, &control)),
                    }
                });
            }
        });
        Server { dir, control, port, stop }
    }

    pub fn url(&self, repository: &str) -> String {
        format!("http://127.0.0.1:{}/{repository}", self.port)
    }

    /// Requests since the last call, as `GET info/refs` or `POST git-upload-pack`, and bytes of their answers.
    pub fn traffic(&self) -> (Vec<String>, usize) {
        let requests = std::mem::take(&mut *self.control.requests.lock().unwrap());
        (requests, self.control.sent.swap(0, Ordering::Relaxed))
    }

    /// A bare repository with one commit on `master`, and a work tree to add more.
    pub fn repository(&self, name: &str) -> Repository {
        self.repository_of(name, "sha1")
    }

    /// A repository with another kind of object ids.
    pub fn repository_of(&self, name: &str, format: &str) -> Repository {
        let bare = self.dir.path().join(name);
        let work = self.dir.path().join(format!("{name}.work"));
        let format = format!("--object-format={format}");
        git(self.dir.path(), &["init", "-q", "--bare", "-b", "master", &format, bare.to_str().unwrap()]);
        git(self.dir.path(), &["init", "-q", "-b", "master", &format, work.to_str().unwrap()]);
        let repository = Repository { work, bare };
        repository.run(&["remote", "add", "origin", repository.bare.to_str().unwrap()]);
        repository
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

pub struct Repository {
    pub work: PathBuf,
    pub bare: PathBuf,
}

impl Repository {
    pub fn run(&self, args: &[&str]) -> String {
        git(&self.work, args)
    }

    pub fn write(&self, path: &str, content: &str) {
        let path = self.work.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    /// Commits everything at `time` (seconds) and pushes the current branch; gives the commit id.
    pub fn commit_at(&self, message: &str, time: i64) -> String {
        self.run(&["add", "-A"]);
        let date = format!("{time} +0000");
        let args = ["commit", "-q", "--allow-empty", "-m", message];
        run(&self.work, &args, &[("GIT_COMMITTER_DATE", &date), ("GIT_AUTHOR_DATE", &date)]);
        self.run(&["push", "-q", "-f", "origin", "HEAD"]);
        self.head()
    }

    pub fn commit(&self, message: &str) -> String {
        self.commit_at(message, 1_700_000_000)
    }

    pub fn head(&self) -> String {
        self.run(&["rev-parse", "HEAD"]).trim().to_owned()
    }

    pub fn push_all(&self) {
        self.run(&["push", "-q", "-f", "--all", "origin"]);
        self.run(&["push", "-q", "-f", "--tags", "origin"]);
    }
}

pub fn git(dir: &Path, args: &[&str]) -> String {
    run(dir, args, &[])
}

fn run(dir: &Path, args: &[&str], env: &[(&str, &str)]) -> String {
    let output = Command::new("git")
        .current_dir(dir)
        .args(["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "protocol.file.allow=always"])
        .args(args)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("HOME", dir)
        .envs(env.iter().copied())
        .output()
        .unwrap();
    assert!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Stores an object as it is, whatever `git fsck` thinks of it; gives its id.
pub fn store(repository: &Path, kind: &str, data: &[u8]) -> String {
    let mut git = Command::new("git")
        .current_dir(repository)
        .args(["hash-object", "-t", kind, "-w", "--literally", "--stdin"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    git.stdin.take().unwrap().write_all(data).unwrap();
    let output = git.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// One request per connection.
fn serve(stream: &mut (impl Read + Write), root: &Path, control: &Control) -> std::io::Result<()> {
    let mut reader = BufReader::new(&mut *stream);
    let mut request_line = String::new();
    reader.read_line(&mut request_line)?;
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let header = |name: &str| headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str());
    let length = header("content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    drop(reader);
    if control.silent.load(Ordering::Relaxed) {
        std::thread::sleep(std::time::Duration::from_secs(30));
        return Ok(());
    }
    let mut words = request_line.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let tail =
        if path.ends_with("/info/refs") { "info/refs" } else { path.rsplit('/').next().unwrap_or_default() };
    control.requests.lock().unwrap().push(format!("{method} {tail}"));

    let wanted = control.authorization.lock().unwrap().clone();
    if wanted.is_some() && wanted.as_deref() != header("authorization") {
        return respond(
            stream,
            control,
            "401 Unauthorized",
            "WWW-Authenticate: Basic\r\n",
            b"who are you?\n",
        );
    }
    if let (Some(base), "info/refs") = (control.redirect.lock().unwrap().clone(), tail) {
        return respond(stream, control, "301 Moved", &format!("Location: {base}{path}?{query}\r\n"), b"");
    }
    if let (Some((kind, page)), "info/refs") = (*control.page.lock().unwrap(), tail) {
        let kind = format!("Content-Type: {kind}\r\n");
        return respond(stream, control, "200 OK", &kind, page.as_bytes());
    }
    let fetch = body.windows(13).any(|w| w == b"command=fetch");
    if let (Some(garbage), true) = (control.garbage.lock().unwrap().clone(), fetch) {
        return respond(
            stream,
            control,
            "200 OK",
            "Content-Type: application/x-git-upload-pack-result\r\n",
            &garbage,
        );
    }
    let protocol = match control.old_protocol.load(Ordering::Relaxed) {
        true => "",
        false => header("git-protocol").unwrap_or_default(),
    };
    let mut backend = Command::new("git")
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "1")
        .env("GIT_CONFIG_COUNT", "1")
        .env("GIT_CONFIG_KEY_0", "safe.directory")
        .env("GIT_CONFIG_VALUE_0", "*")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_TYPE", header("content-type").unwrap_or_default())
        .env("CONTENT_LENGTH", length.to_string())
        .env("HTTP_GIT_PROTOCOL", protocol)
        .env("GIT_PROTOCOL", protocol)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    // It may answer without having read everything.
    let _ = backend.stdin.take().unwrap().write_all(&body);
    let output = backend.wait_with_output()?.stdout;
    let split = output.windows(4).position(|w| w == b"\r\n\r\n").unwrap_or(0);
    let head = String::from_utf8_lossy(&output[..split]).into_owned();
    let status = head.lines().find_map(|l| l.strip_prefix("Status: ")).unwrap_or("200 OK").to_owned();
    let kind = head.lines().find(|l| l.starts_with("Content-Type")).unwrap_or_default().to_owned();
    respond(stream, control, &status, &format!("{kind}\r\n"), output.get(split + 4..).unwrap_or_default())
}

fn respond(
    stream: &mut impl Write,
    control: &Control,
    status: &str,
    headers: &str,
    body: &[u8],
) -> std::io::Result<()> {
    control.sent.fetch_add(body.len(), Ordering::Relaxed);
    write!(
        stream,
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n",
        body.len()
    )?;
    stream.write_all(body)?;
    stream.flush()
}

/// A private CA and a server certificate for 127.0.0.1; with `clients`, client certificates of that CA are required.
pub struct Pki {
    pub ca_pem: String,
    pub client: (String, String),
    pub server: Arc<rustls::ServerConfig>,
}

pub fn pki(clients: bool) -> Pki {
    let server = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    pki_with(clients, server)
}

/// The same with these contents of the server's certificate.
pub fn pki_with(clients: bool, server: rcgen::CertificateParams) -> Pki {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let server = server.signed_by(&key, &ca).unwrap();
    let client_key = KeyPair::generate().unwrap();
    let client =
        CertificateParams::new(vec!["client".to_owned()]).unwrap().signed_by(&client_key, &ca).unwrap();

    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .unwrap();
    let builder = if clients {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(ca.der().clone()).unwrap();
        let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let der = PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = builder.with_single_cert(vec![server.der().clone()], der.into()).unwrap();
    Pki { ca_pem: ca.pem(), client: (client.pem(), client_key.serialize_pem()), server: Arc::new(config) }
}
