//! A real OpenSSH server for tests: one `sshd -i` for each connection, so that nothing outlives the test.
//!
//! The user of the tests logs in, nothing of the machine's own configuration is read or written.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs::{self, File};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tempfile::TempDir;

/// A key pair as `ssh-keygen` writes it.
#[derive(Debug)]
pub struct KeyPair {
    /// The file of the private key.
    pub path: PathBuf,
    /// Its content.
    pub private: String,
    /// `<type> <base64>`
    pub public: String,
}

/// Makes a key. `kind` is a type and, after a dash, bits.
pub fn keygen(dir: &Path, name: &str, kind: &str, options: &[&str]) -> KeyPair {
    let path = dir.join(name);
    let (kind, bits) = kind.split_once('-').unwrap_or((kind, ""));
    let mut args = vec!["-q", "-t", kind, "-f", path.to_str().unwrap()];
    if !bits.is_empty() {
        args.extend(["-b", bits]);
    }
    if !options.contains(&"-N") {
        args.extend(["-N", ""]);
    }
    ssh_keygen(&[&args, options].concat());
    read_key(path)
}

/// Reads the key pair whose private key is at `path`.
pub fn read_key(path: PathBuf) -> KeyPair {
    let public = fs::read_to_string(path.with_extension("pub")).unwrap();
    let public = public.split(' ').take(2).collect::<Vec<_>>().join(" ").trim().to_owned();
    KeyPair { private: fs::read_to_string(&path).unwrap(), path, public }
}

/// Runs `ssh-keygen`.
pub fn ssh_keygen(args: &[&str]) {
    let output = Command::new("ssh-keygen").args(args).stdin(Stdio::null()).output();
    let output = output.expect("ssh-keygen is needed (Debian: openssh-client)");
    assert!(output.status.success(), "ssh-keygen {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// A running server; takes no more connections when dropped.
#[derive(Debug)]
pub struct SshServer {
    /// Its configuration, host keys and log.
    pub dir: TempDir,
    address: Ipv4Addr,
    /// On its address.
    pub port: u16,
    /// One of each kind that it was started with.
    pub host_keys: Vec<KeyPair>,
    /// Connections so far.
    pub connections: Arc<AtomicUsize>,
    /// Connections whose server process has not ended.
    pub open: Arc<AtomicUsize>,
    stop: Arc<AtomicBool>,
}

impl SshServer {
    /// A server with a host key of each of these kinds.
    pub fn start(kinds: &[&str]) -> SshServer {
        SshServer::start_at(Ipv4Addr::LOCALHOST, kinds)
    }

    /// The same at another address than the loopback one.
    pub fn start_at(address: Ipv4Addr, kinds: &[&str]) -> SshServer {
        let dir = TempDir::new().unwrap();
        let name = |kind: &&str| keygen(dir.path(), &format!("host-{kind}"), kind, &[]);
        let host_keys: Vec<_> = kinds.iter().map(name).collect();
        let listener = TcpListener::bind((address, 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = SshServer {
            dir,
            address,
            port,
            host_keys,
            connections: Arc::default(),
            open: Arc::default(),
            stop: Arc::default(),
        };
        server.configure(&[]);
        fs::write(server.dir.path().join("authorized_keys"), "").unwrap();
        prepare_sshd();
        server.serve(listener);
        server
    }

    /// Adds lines to the configuration, instead of those that were added before.
    pub fn configure(&self, lines: &[&str]) {
        let dir = self.dir.path().display();
        let mut text = String::new();
        for key in &self.host_keys {
            text.push_str(&format!("HostKey {}\n", key.path.display()));
        }
        text.push_str(&format!("AuthorizedKeysFile {dir}/authorized_keys\nPidFile none\n"));
        text.push_str("StrictModes no\nUsePAM no\nPasswordAuthentication no\nPermitRootLogin yes\n");
        text.push_str("LogLevel VERBOSE\n");
        for line in lines {
            text.push_str(&format!("{line}\n"));
        }
        fs::write(self.dir.path().join("sshd_config"), text).unwrap();
    }

    /// Lets the owner of `key` in, and nobody else.
    pub fn authorize(&self, key: &KeyPair) {
        fs::write(self.dir.path().join("authorized_keys"), format!("{}\n", key.public)).unwrap();
    }

    /// The URL of a repository that is a directory of this machine.
    pub fn url(&self, repository: &Path) -> String {
        format!("ssh://{}@{}:{}{}", user(), self.address, self.port, repository.display())
    }

    /// The host as it stands in `known_hosts`.
    pub fn host(&self) -> String {
        format!("[{}]:{}", self.address, self.port)
    }

    /// What a client that trusts the server has in `known_hosts`.
    pub fn known_hosts(&self) -> String {
        self.host_keys.iter().map(|key| format!("{} {}\n", self.host(), key.public)).collect()
    }

    /// What the server logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.dir.path().join("log")).unwrap_or_default()
    }

    fn serve(&self, listener: TcpListener) {
        let (dir, stop) = (self.dir.path().to_owned(), self.stop.clone());
        let (connections, open) = (self.connections.clone(), self.open.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                connections.fetch_add(1, Ordering::Relaxed);
                open.fetch_add(1, Ordering::Relaxed);
                let mut server = sshd(&dir, stream.unwrap());
                let open = open.clone();
                std::thread::spawn(move || {
                    let _ = server.wait();
                    open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
    }
}

impl Drop for SshServer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect((self.address, self.port));
    }
}

fn sshd(dir: &Path, stream: TcpStream) -> std::process::Child {
    let log = File::options().create(true).append(true).open(dir.join("log")).unwrap();
    Command::new("/usr/sbin/sshd")
        .arg("-i")
        .arg("-e")
        .arg("-f")
        .arg(dir.join("sshd_config"))
        .stdin(OwnedFd::from(stream.try_clone().unwrap()))
        .stdout(OwnedFd::from(stream))
        .stderr(log)
        .spawn()
        .unwrap()
}

/// Makes what sshd wants of the machine, or says what is missing.
fn prepare_sshd() {
    assert!(Path::new("/usr/sbin/sshd").exists(), "sshd is needed (Debian: openssh-server)");
    let output = Command::new("/usr/sbin/sshd").arg("-t").stdin(Stdio::null()).output().unwrap();
    if String::from_utf8_lossy(&output.stderr).contains("rivilege separation directory") {
        fs::create_dir_all("/run/sshd").expect("sshd needs the directory /run/sshd, which root can make");
    }
}

/// Who runs the tests.
pub fn user() -> String {
    let output = Command::new("id").arg("-un").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
