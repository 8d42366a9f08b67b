//! Git over SSH, with a real OpenSSH server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod support;

use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use e2e::sshd::{KeyPair, SshServer, keygen, read_key, ssh_keygen, user};
use git::ssh::{Algorithms, HostKeyAlgorithms};
use git::{Auth, Cache, Connector, Error, Limits, Outcome, Reference, Remote};
use net::Deadline;
use secret::Secret;
use support::{Repository, Server};
use tempfile::TempDir;

/// A repository behind an SSH server, and a key that the server lets in.
struct Fixture {
    ssh: SshServer,
    /// Only its repositories are used.
    files: Server,
    repository: Repository,
    key: KeyPair,
    cache: TempDir,
    limits: Limits,
    algorithms: Algorithms,
    reference: Reference,
}

fn fixture(host_keys: &[&str]) -> Fixture {
    let ssh = SshServer::start(host_keys);
    let files = Server::start();
    let repository = files.repository("r.git");
    repository.write("f", "content");
    repository.commit("one");
    let key = keygen(ssh.dir.path(), "user", "ed25519", &[]);
    ssh.authorize(&key);
    ssh.configure(&["AcceptEnv GIT_PROTOCOL"]);
    Fixture {
        ssh,
        files,
        repository,
        key,
        cache: TempDir::new().unwrap(),
        limits: Limits::default(),
        algorithms: Algorithms::default(),
        reference: Reference::default(),
    }
}

impl Fixture {
    fn url(&self) -> String {
        self.ssh.url(&self.repository.bare)
    }

    fn remote(&self, known_hosts: &str) -> Remote {
        self.remote_with(&self.key.private, None, known_hosts)
    }

    fn remote_at(&self, url: &str, known_hosts: &str) -> Remote {
        self.remote_of(url, &self.key.private, None, known_hosts)
    }

    fn remote_with(&self, identity: &str, passphrase: Option<&str>, known_hosts: &str) -> Remote {
        self.remote_of(&self.url(), identity, passphrase, known_hosts)
    }

    fn remote_of(&self, url: &str, identity: &str, passphrase: Option<&str>, known_hosts: &str) -> Remote {
        let auth = Auth::Key {
            identity: Secret::new(identity),
            passphrase: passphrase.map(Secret::new),
            known_hosts: known_hosts.to_owned(),
        };
        Remote::new(url).unwrap().with_auth(auth).unwrap()
    }

    fn look(&self, remote: &Remote) -> Result<Outcome, Error> {
        self.look_within(remote, &Deadline::new(Duration::from_secs(30)))
    }

    fn look_within(&self, remote: &Remote, deadline: &Deadline) -> Result<Outcome, Error> {
        let cache = Cache::new(self.cache.path().to_owned(), self.limits.clone());
        let connector = Connector::new(self.algorithms.clone());
        cache.checkout(&connector, remote, &self.reference, None, deadline)
    }

    /// Looks, and reads the tree.
    fn fetch(&self, known_hosts: &str) -> Result<(), String> {
        self.fetch_from(&self.remote(known_hosts))
    }

    fn fetch_from(&self, remote: &Remote) -> Result<(), String> {
        let prefix = format!("unable to clone '{}': ", net::redact(remote.url()));
        let outcome = self.look(remote).map_err(|error| {
            let text = error.to_string();
            text.strip_prefix(&prefix).unwrap_or_else(|| panic!("{text}")).to_owned()
        })?;
        let Outcome::Checkout(checkout) = outcome else { panic!() };
        assert_eq!(checkout.commit.id.to_string(), self.repository.head());
        let mut content = Vec::new();
        let read = checkout.walk(|mut entry| {
            if entry.path == b"f" {
                content = entry.read()?.to_vec();
            }
            Ok::<_, git::WalkError>(())
        });
        read.unwrap();
        assert_eq!(content, std::fs::read(self.repository.work.join("f")).unwrap());
        Ok(())
    }
}

fn hashed(server: &SshServer, known_hosts: &str) -> String {
    let file = server.dir.path().join("known_hosts");
    std::fs::write(&file, known_hosts).unwrap();
    ssh_keygen(&["-q", "-H", "-f", file.to_str().unwrap()]);
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.starts_with("|1|") && !text.contains("127.0.0.1"), "{text}");
    text
}

const MISMATCH: &str = "ssh: handshake failed: knownhosts: key mismatch";
const UNKNOWN: &str = "ssh: handshake failed: knownhosts: key is unknown";
const REVOKED: &str = "ssh: handshake failed: knownhosts: key is revoked";

#[test]
fn every_type_of_host_key_is_checked() {
    for kind in ["ed25519", "ecdsa-256", "ecdsa-384", "ecdsa-521", "rsa-3072"] {
        let f = fixture(&[kind]);
        let known = f.ssh.known_hosts();
        f.fetch(&known).unwrap_or_else(|e| panic!("{kind}: {e}"));
        f.fetch(&hashed(&f.ssh, &known)).unwrap_or_else(|e| panic!("{kind}, hashed: {e}"));
        let other = keygen(f.ssh.dir.path(), "other", kind, &[]);
        assert_eq!(f.fetch(&format!("{} {}", f.ssh.host(), other.public)).unwrap_err(), MISMATCH, "{kind}");
        assert_eq!(f.fetch(&format!("example.com {}", other.public)).unwrap_err(), UNKNOWN, "{kind}");
        assert_eq!(f.fetch(&format!("127.0.0.1 {}", other.public)).unwrap_err(), UNKNOWN, "{kind}: port 22");
    }
}

#[test]
fn rsa_host_keys_sign_with_sha2_and_with_sha1_only_if_asked() {
    let mut f = fixture(&["rsa-2048"]);
    let known = f.ssh.known_hosts();
    for algorithm in ["rsa-sha2-256", "rsa-sha2-512"] {
        f.ssh.configure(&["AcceptEnv GIT_PROTOCOL", &format!("HostKeyAlgorithms {algorithm}")]);
        f.fetch(&known).unwrap_or_else(|e| panic!("{algorithm}: {e}"));
    }
    f.ssh.configure(&["AcceptEnv GIT_PROTOCOL", "HostKeyAlgorithms ssh-rsa"]);
    let error = f.fetch(&known).unwrap_err();
    assert_eq!(
        error,
        "ssh: handshake failed: ssh: no common algorithm for host key; we offered: [rsa-sha2-512 rsa-sha2-256], peer offered: [ssh-rsa]"
    );
    f.algorithms.host_keys = "ssh-rsa".parse::<HostKeyAlgorithms>().unwrap();
    f.fetch(&known).unwrap();
}

#[test]
fn the_host_key_algorithm_is_one_that_known_hosts_has() {
    let f = fixture(&["ed25519", "ecdsa-256", "rsa-2048"]);
    for key in &f.ssh.host_keys {
        f.fetch(&format!("{} {}", f.ssh.host(), key.public)).unwrap();
    }
    let several = keygen(f.ssh.dir.path(), "old", "ed25519", &[]);
    f.fetch(&format!("{} {}\n{}", f.ssh.host(), several.public, f.ssh.known_hosts())).unwrap();
    assert_eq!(f.fetch("").unwrap_err(), "invalid 'ssh' auth option: 'known_hosts' is required");
    assert_eq!(f.fetch("# nobody\n").unwrap_err(), UNKNOWN);
    let malformed = format!("{}github.com ssh-ed25519 nonsense\n", f.ssh.known_hosts());
    assert_eq!(f.fetch(&malformed).unwrap_err(), "knownhosts: line 4: invalid public key");
}

#[test]
fn revoked_keys_are_refused() {
    let f = fixture(&["ed25519"]);
    let known = format!("{}@revoked * {}", f.ssh.known_hosts(), f.ssh.host_keys[0].public);
    assert_eq!(f.fetch(&known).unwrap_err(), REVOKED);
}

#[test]
fn a_host_certificate_of_a_known_authority_is_enough() {
    for kind in ["ed25519", "rsa-2048", "ecdsa-256"] {
        let f = fixture(&[kind]);
        let dir = f.ssh.dir.path();
        let authority = keygen(dir, "ca", "ed25519", &[]);
        let host_key = f.ssh.host_keys[0].path.to_str().unwrap();
        let certificate = format!("{host_key}-cert.pub");
        f.ssh.configure(&["AcceptEnv GIT_PROTOCOL", &format!("HostCertificate {certificate}")]);
        let sign = |ca: &KeyPair, options: &[&str]| {
            let ca = ca.path.to_str().unwrap();
            ssh_keygen(&[&["-q", "-s", ca, "-I", "id"], options, &[&format!("{host_key}.pub")]].concat());
        };
        let known = format!("@cert-authority {} {}\n", f.ssh.host(), authority.public);

        sign(&authority, &["-h", "-n", "127.0.0.1,git.example.com"]);
        f.fetch(&known).unwrap_or_else(|e| panic!("{kind}: {e}"));
        assert_eq!(f.fetch(&format!("{known}@revoked * {}", authority.public)).unwrap_err(), REVOKED);
        let elsewhere = format!("@cert-authority *.example.com {}\n", authority.public);
        assert_eq!(f.fetch(&elsewhere).unwrap_err(), UNKNOWN);
        let stranger = keygen(dir, "stranger", "ed25519", &[]);
        let strangers = format!("@cert-authority {} {}\n", f.ssh.host(), stranger.public);
        assert_eq!(f.fetch(&strangers).unwrap_err(), MISMATCH);
        // A key that is listed needs no authority.
        f.fetch(&format!("{strangers}{}", f.ssh.known_hosts())).unwrap();

        let error = |options: &[&str]| {
            sign(&authority, options);
            f.fetch(&known).unwrap_err()
        };
        let principal = error(&["-h", "-n", "git.example.com"]);
        assert!(principal.contains("principal \"127.0.0.1\" not in the set"), "{principal}");
        let expired = error(&["-h", "-n", "127.0.0.1", "-V", "20200101:20200102"]);
        assert_eq!(expired, "ssh: handshake failed: ssh: cert has expired");
        let early = error(&["-h", "-n", "127.0.0.1", "-V", "20990101:20990102"]);
        assert_eq!(early, "ssh: handshake failed: ssh: cert is not yet valid");
        let option = error(&["-h", "-n", "127.0.0.1", "-O", "critical:x=y"]);
        assert_eq!(option, "ssh: handshake failed: ssh: unsupported critical option \"x\" in certificate");
        // Without a certificate the server has a key that nobody vouches for.
        f.ssh.configure(&["AcceptEnv GIT_PROTOCOL"]);
        assert_eq!(f.fetch(&known).unwrap_err(), MISMATCH);
    }
}

#[test]
fn every_key_exchange_works_and_none_in_common_is_an_error() {
    let mut f = fixture(&["ed25519"]);
    let known = f.ssh.known_hosts();
    for (kex, asked) in [
        ("curve25519-sha256", ""),
        ("curve25519-sha256@libssh.org", ""),
        ("ecdh-sha2-nistp256", ""),
        ("ecdh-sha2-nistp384", ""),
        ("ecdh-sha2-nistp521", ""),
        ("diffie-hellman-group14-sha256", ""),
        ("diffie-hellman-group16-sha512", ""),
        ("diffie-hellman-group14-sha1", "diffie-hellman-group14-sha1,curve25519-sha256"),
    ] {
        f.ssh.configure(&["AcceptEnv GIT_PROTOCOL", &format!("KexAlgorithms {kex}")]);
        f.algorithms.kex = asked.parse().unwrap();
        f.fetch(&known).unwrap_or_else(|e| panic!("{kex}: {e}"));
    }
    f.algorithms.kex = "curve25519-sha256".parse().unwrap();
    let error = f.fetch(&known).unwrap_err();
    let expected = "ssh: handshake failed: ssh: no common algorithm for key exchange; we offered: [curve25519-sha256], peer offered: [diffie-hellman-group14-sha1";
    assert!(error.starts_with(expected), "{error}");
}

#[test]
fn every_type_of_user_key_is_let_in() {
    let f = fixture(&["ed25519"]);
    let (dir, known) = (f.ssh.dir.path(), f.ssh.known_hosts());
    for kind in ["rsa-4096", "ecdsa-256", "ecdsa-384", "ecdsa-521", "ed25519"] {
        let key = keygen(dir, &format!("user-{kind}"), kind, &[]);
        f.ssh.authorize(&key);
        f.fetch_from(&f.remote_with(&key.private, None, &known)).unwrap_or_else(|e| panic!("{kind}: {e}"));
        // A password that is not needed does no harm, nor do line ends of Windows.
        let windows = key.private.replace('\n', "\r\n");
        f.fetch_from(&f.remote_with(&windows, Some("x"), &known)).unwrap_or_else(|e| panic!("{kind}: {e}"));
    }
}

#[test]
fn encrypted_keys_need_their_password() {
    let f = fixture(&["ed25519"]);
    let (dir, known) = (f.ssh.dir.path(), f.ssh.known_hosts());
    let formats: [(&str, &[&str]); 5] = [
        ("ed25519", &["-a", "4"]),
        ("rsa-2048", &["-a", "4"]),
        ("ecdsa-256", &["-m", "PKCS8"]),
        ("rsa-2048", &["-m", "PKCS8"]),
        ("rsa-2048", &["-m", "PEM"]),
    ];
    for (number, (kind, options)) in formats.into_iter().enumerate() {
        let key = keygen(dir, &format!("locked-{number}"), kind, &[options, &["-N", "pass word"]].concat());
        f.ssh.authorize(&key);
        let fetch = |passphrase| f.fetch_from(&f.remote_with(&key.private, passphrase, &known));
        assert!(git::ssh::is_encrypted(&key.private), "{kind} {options:?}");
        fetch(Some("pass word")).unwrap_or_else(|e| panic!("{kind} {options:?}: {e}"));
        let wrong = fetch(Some("wrong")).unwrap_err();
        assert_eq!(wrong, "x509: decryption password incorrect", "{kind} {options:?}");
        let none = fetch(None).unwrap_err();
        assert_eq!(none, "ssh: this private key is passphrase protected", "{kind} {options:?}");
    }
    let costly = keygen(dir, "costly", "ed25519", &["-N", "x", "-a", "4"]);
    // The rounds stand before the public key, after the salt.
    let text = costly.private.lines().filter(|l| !l.starts_with('-')).collect::<String>();
    let mut body = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, text).unwrap();
    let rounds = body.windows(4).position(|w| w == [0, 0, 0, 4]).unwrap();
    body[rounds..rounds + 4].copy_from_slice(&u32::MAX.to_be_bytes());
    let text = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, body);
    let costly = format!("-----BEGIN OPENSSH PRIVATE KEY-----\n{text}\n-----END OPENSSH PRIVATE KEY-----\n");
    let error = f.fetch_from(&f.remote_with(&costly, Some("x"), &known)).unwrap_err();
    assert_eq!(error, "ssh: deriving the key from its passphrase costs too much");
}

#[test]
fn plain_pem_keys_are_read() {
    let f = fixture(&["ed25519"]);
    let (dir, known) = (f.ssh.dir.path(), f.ssh.known_hosts());
    for (kind, format) in
        [("rsa-2048", "PEM"), ("rsa-2048", "PKCS8"), ("ecdsa-256", "PEM"), ("ecdsa-521", "PKCS8")]
    {
        let key = keygen(dir, &format!("plain-{kind}-{format}"), kind, &["-m", format]);
        f.ssh.authorize(&key);
        let remote = f.remote_with(&key.private, None, &known);
        f.fetch_from(&remote).unwrap_or_else(|e| panic!("{kind} {format}: {e}"));
    }
}

#[test]
fn a_key_that_the_server_does_not_know_is_refused() {
    let f = fixture(&["ed25519"]);
    for kind in ["ed25519", "rsa-2048"] {
        let stranger = keygen(f.ssh.dir.path(), &format!("stranger-{kind}"), kind, &[]);
        let error = f.fetch_from(&f.remote_with(&stranger.private, None, &f.ssh.known_hosts())).unwrap_err();
        assert_eq!(
            error,
            "ssh: handshake failed: ssh: unable to authenticate, attempted methods [none publickey], no supported methods remain"
        );
    }
    let error = f.fetch_from(&f.remote_with("no key", None, &f.ssh.known_hosts())).unwrap_err();
    assert_eq!(error, "ssh: no key found");
    let anonymous = Remote::new(&f.url()).unwrap();
    assert_eq!(f.fetch_from(&anonymous).unwrap_err(), "invalid 'ssh' auth option: 'identity' is required");
}

#[test]
fn protocols_0_and_1_are_understood() {
    let mut f = fixture(&["ed25519"]);
    let known = f.ssh.known_hosts();
    // Tags of the same precedence: each candidate's commit is fetched, the newest is taken.
    f.repository.commit_at("older", 1_700_000_000);
    f.repository.run(&["tag", "1.0.0+a"]);
    f.repository.commit_at("newer", 1_700_000_100);
    f.repository.run(&["tag", "-a", "-m", "annotated", "1.0.0+b"]);
    f.repository.push_all();
    let empty = f.files.repository("empty.git");
    for lines in [&["AcceptEnv GIT_PROTOCOL"][..], &[], &["SetEnv GIT_PROTOCOL=version=1"]] {
        f.ssh.configure(lines);
        f.cache = TempDir::new().unwrap();
        f.reference = Reference::default();
        f.fetch(&known).unwrap_or_else(|e| panic!("{lines:?}: {e}"));
        f.repository.write("f", &format!("{lines:?}"));
        f.repository.commit_at("next", 1_700_000_200);
        f.fetch(&known).unwrap_or_else(|e| panic!("{lines:?}, again: {e}"));
        f.cache = TempDir::new().unwrap();
        f.reference = Reference { semver: Some("*".to_owned()), ..Reference::default() };
        let Outcome::Checkout(checkout) = f.look(&f.remote(&known)).unwrap() else { panic!() };
        assert!(checkout.revision.starts_with("1.0.0+b@sha1:"), "{lines:?}: {}", checkout.revision);
        f.reference = Reference::default();
        let error = f.look(&f.remote_at(&f.ssh.url(&empty.bare), &known)).unwrap_err();
        assert_eq!(error.to_string(), "git repository is empty", "{lines:?}");
    }
}

#[test]
fn submodules_on_the_same_server_are_fetched_with_the_same_key() {
    let f = fixture(&["ed25519"]);
    let library = f.files.repository("lib.git");
    library.write("g", "library");
    let commit = library.commit("one");
    f.repository.write(".gitmodules", "[submodule \"lib\"]\n\tpath = lib\n\turl = ../lib.git\n");
    f.repository.run(&["update-index", "--add", "--cacheinfo", &format!("160000,{commit},lib")]);
    f.repository.run(&["add", ".gitmodules"]);
    f.repository.run(&["commit", "-q", "-m", "with a library"]);
    f.repository.run(&["push", "-q", "origin", "HEAD"]);
    let remote = f.remote(&f.ssh.known_hosts());
    let Outcome::Checkout(mut checkout) = f.look(&remote).unwrap() else { panic!() };
    let cache = Cache::new(f.cache.path().to_owned(), f.limits.clone());
    let deadline = Deadline::new(Duration::from_secs(30));
    cache.add_submodules(&Connector::default(), &remote, &mut checkout, &deadline).unwrap();
    let mut files = Vec::new();
    let walked = checkout.walk(|entry| {
        files.push(entry.path.to_vec());
        Ok::<_, git::WalkError>(())
    });
    walked.unwrap();
    assert!(files.contains(&b"lib/g".to_vec()), "{files:?}");
}

#[test]
fn the_user_of_the_url_logs_in() {
    let f = fixture(&["ed25519"]);
    let known = f.ssh.known_hosts();
    let nobody = f.url().replacen(&user(), "no-such-user", 1);
    let error = f.fetch_from(&f.remote_at(&nobody, &known)).unwrap_err();
    assert!(error.contains("unable to authenticate"), "{error}");
    assert!(f.ssh.log().contains("no-such-user"), "{}", f.ssh.log());
    // Whether this machine has a user of that name does not matter.
    let default = f.url().replacen(&format!("{}@", user()), "", 1);
    let _ = f.fetch_from(&f.remote_at(&default, &known));
    assert!(f.ssh.log().contains("user git"), "{}", f.ssh.log());
}

#[test]
fn paths_are_not_run_by_a_shell() {
    let f = fixture(&["ed25519"]);
    let marker = f.ssh.dir.path().join("marker");
    let evil = format!("it's!; touch {}; $(touch {0}) `touch {0}` \\ -x", marker.display());
    let evil = evil.replace('/', "%");
    let bare = f.repository.bare.with_file_name(&evil);
    std::fs::rename(&f.repository.bare, &bare).unwrap();
    let url = f.ssh.url(&bare.with_file_name(evil.replace('%', "%25")));
    f.look(&f.remote_at(&url, &f.ssh.known_hosts())).unwrap();
    assert!(!marker.exists());
}

#[test]
fn stderr_of_the_servers_program_is_shown() {
    let f = fixture(&["ed25519"]);
    let known = f.ssh.known_hosts();
    std::fs::rename(&f.repository.bare, f.repository.bare.with_extension("away")).unwrap();
    let error = f.fetch(&known).unwrap_err();
    let expected = format!("repository not found: fatal: '{}' does not appear", f.repository.bare.display());
    assert!(error.starts_with(&expected), "{error}");
    for (command, expected) in [
        ("echo no entry >&2; exit 7", "ssh: no entry (git-upload-pack: exit status 7)"),
        ("echo; echo no entry >&2; exit 7", "ssh: no entry (git-upload-pack: exit status 7)"),
        (
            "echo; printf 'error:\\nerror: Cannot find repository: a/b\\nerror:\\n' >&2; exit 1",
            "repository not found: error: Cannot find repository: a/b",
        ),
        ("exit 3", "ssh: the server ended the conversation (git-upload-pack: exit status 3)"),
        ("exit 0", "ssh: the server ended the conversation"),
        ("echo Welcome to the machine", "the server's answer is not one of Git: \"Welcome to the machine\""),
    ] {
        f.ssh.configure(&[&format!("ForceCommand {command}")]);
        assert_eq!(f.fetch(&known).unwrap_err(), expected);
    }
    f.ssh.configure(&["ForceCommand yes no | head -c 100000 >&2; exit 1"]);
    let error = f.fetch(&known).unwrap_err();
    assert!((8000..8400).contains(&error.len()), "{} bytes", error.len());
}

#[test]
fn bytes_have_limits_whatever_they_are_good_for() {
    let mut f = fixture(&["ed25519"]);
    let known = f.ssh.known_hosts();
    f.limits.advertised_bytes = 200;
    assert_eq!(f.fetch(&known).unwrap_err(), "the server sent more than the limit of 200 bytes of refs");
    f.limits.advertised_bytes = 100_000;
    f.ssh.configure(&["ForceCommand yes no >&2"]);
    assert_eq!(f.fetch(&known).unwrap_err(), "the server sent more than the limit of 100000 bytes of refs");
    let banner = f.ssh.dir.path().join("banner");
    std::fs::write(&banner, "Welcome. ".repeat(15_000)).unwrap();
    f.ssh.configure(&[&format!("Banner {}", banner.display())]);
    assert_eq!(f.fetch(&known).unwrap_err(), "the server sent more than the limit of 100000 bytes of refs");
    f.limits = Limits { pack_bytes: 60, ..Limits::default() };
    f.ssh.configure(&["AcceptEnv GIT_PROTOCOL"]);
    assert_eq!(f.fetch(&known).unwrap_err(), "the server sent more than the limit of 60 bytes of a pack");
    f.limits = Limits { pack_objects: 2, ..Limits::default() };
    assert_eq!(f.fetch(&known).unwrap_err(), "the server sent more than the limit of 2 objects");
    f.limits = Limits::default();
    f.fetch(&known).unwrap();
}

/// A server that is none: `serve` gets each connection.
fn impostor(serve: impl Fn(std::net::TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.incoming().flatten().for_each(serve));
    port
}

#[test]
fn whatever_hangs_ends_with_the_budget() {
    let f = fixture(&["ed25519"]);
    let known = f.ssh.known_hosts();
    let deadline = |remote: &Remote, what: &str| {
        let started = Instant::now();
        let error = f.look_within(remote, &Deadline::new(Duration::from_secs(2))).unwrap_err().to_string();
        assert!(error.ends_with("context deadline exceeded"), "{what}: {error}");
        assert!(started.elapsed() < Duration::from_secs(10), "{what}");
    };
    for command in ["sleep 20", "while true; do echo x >&2; sleep 0.1; done"] {
        f.ssh.configure(&[&format!("ForceCommand {command}")]);
        deadline(&f.remote(&known), command);
    }
    let silent = impostor(|stream| {
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_secs(20));
            drop(stream);
        });
    });
    let dripping = impostor(|mut stream| {
        std::thread::spawn(move || {
            while stream.write_all(b"x").is_ok() {
                std::thread::sleep(Duration::from_millis(100));
            }
        });
    });
    let greeted = impostor(|mut stream| {
        std::thread::spawn(move || {
            let _ = stream.write_all(b"SSH-2.0-x\r\n");
            std::thread::sleep(Duration::from_secs(20));
        });
    });
    for (what, port) in [("silent", silent), ("dripping", dripping), ("greeted", greeted)] {
        deadline(&f.remote_at(&format!("ssh://127.0.0.1:{port}/r"), &known), what);
    }
}

#[test]
fn a_server_that_speaks_no_ssh_is_an_error_at_once() {
    let f = fixture(&["ed25519"]);
    let ask = |port: u16| {
        let remote = f.remote_at(&format!("ssh://127.0.0.1:{port}/r"), &f.ssh.known_hosts());
        f.fetch_from(&remote).unwrap_err()
    };
    let endless = impostor(|mut stream| while stream.write_all(&[b'x'; 1000]).is_ok() {});
    assert_eq!(ask(endless), "ssh: handshake failed: invalid SSH version string");
    let lines = impostor(|mut stream| while stream.write_all(b"hello\r\n").is_ok() {});
    assert_eq!(ask(lines), "ssh: handshake failed: invalid SSH version string");
    let gone = impostor(drop);
    assert!(ask(gone).starts_with("ssh: handshake failed: "), "{}", ask(gone));
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert!(ask(closed).starts_with(&format!("dial tcp 127.0.0.1:{closed}: ")), "{}", ask(closed));
}

#[test]
fn a_wait_can_be_cancelled() {
    let f = fixture(&["ed25519"]);
    f.ssh.configure(&["ForceCommand sleep 20"]);
    let deadline = Deadline::new(Duration::from_secs(60));
    let canceller = deadline.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(1));
        canceller.cancel();
    });
    let started = Instant::now();
    f.look_within(&f.remote(&f.ssh.known_hosts()), &deadline).unwrap_err();
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn refs_and_objects_come_over_one_connection() {
    let f = fixture(&["ed25519"]);
    f.fetch(&f.ssh.known_hosts()).unwrap();
    assert_eq!(f.ssh.connections.load(Ordering::Relaxed), 1);
    let moved = read_key(f.key.path.clone());
    assert_eq!(moved.public, f.key.public);
}
