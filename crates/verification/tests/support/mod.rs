//! Real keys, made by `gpg` and `ssh-keygen` in a directory that is thrown away, and objects that `git` has signed with them.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, SystemTime};

use tempfile::TempDir;
use verification::{Keys, Limits, SignedObject, VerifyError, verify};

pub const DAY: Duration = Duration::from_secs(24 * 3600);

/// Verifies now.
pub fn check(object: &SignedObject, keys: &[(&str, &str)]) -> Result<String, VerifyError> {
    check_at(object, keys, SystemTime::now())
}

pub fn check_at(
    object: &SignedObject,
    keys: &[(&str, &str)],
    now: SystemTime,
) -> Result<String, VerifyError> {
    let keys = Keys::new(keys.iter().map(|(name, text)| (*name, text.as_bytes())));
    verify(object, &keys, now, &Limits::default())
}

/// Runs a program to its end; what it says on failure becomes the panic.
fn run(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|e| panic!("{command:?}: {e}"));
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// A GnuPG home of its own.
pub struct Gpg {
    home: TempDir,
}

impl Gpg {
    pub fn new() -> Gpg {
        Gpg { home: TempDir::with_prefix("gpg").unwrap() }
    }

    pub fn run(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let always = ["--batch", "--yes", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", ""];
        run(Command::new("gpg").env("GNUPGHOME", self.home.path()).args(always).args(args), input).stdout
    }

    /// Makes a key and gives its fingerprint.
    pub fn key(&self, name: &str, algorithm: &str, usage: &str, expires: &str) -> String {
        self.run(&["--quick-generate-key", name, algorithm, usage, expires], b"");
        self.fingerprint(name)
    }

    pub fn fingerprint(&self, name: &str) -> String {
        let listed = String::from_utf8(self.run(&["--list-keys", "--with-colons", name], b"")).unwrap();
        let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
        line.split(':').nth(9).unwrap().to_owned()
    }

    pub fn export(&self, keys: &[&str]) -> String {
        String::from_utf8(self.run(&[&["--armor", "--export"], keys].concat(), b"")).unwrap()
    }

    /// The revocation that GnuPG keeps ready for `key`.
    pub fn revocation(&self, key: &str) -> String {
        std::fs::read_to_string(self.home.path().join(format!("openpgp-revocs.d/{key}.rev"))).unwrap()
    }

    /// A tag object, signed by `key`.
    pub fn tag(&self, key: &str, options: &[&str]) -> SignedObject {
        let payload = "object 1\ntype commit\ntag v1\n\nrelease\n";
        let args = [&["--armor", "--detach-sign", "--local-user", key], options].concat();
        let signature = String::from_utf8(self.run(&args, payload.as_bytes())).unwrap();
        SignedObject::tag(format!("{payload}{signature}").as_bytes())
    }
}

impl Drop for Gpg {
    fn drop(&mut self) {
        // GnuPG has started it for this home alone.
        let _ = Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.home.path())
            .args(["--kill", "gpg-agent"])
            .status();
    }
}

/// The id by which Flux names a key.
pub fn id(fingerprint: &str) -> String {
    fingerprint[fingerprint.len() - 16..].to_owned()
}

/// A directory with SSH keys.
pub struct Ssh {
    dir: TempDir,
}

impl Ssh {
    pub fn new() -> Ssh {
        Ssh { dir: TempDir::with_prefix("ssh").unwrap() }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Makes a key; gives its public half.
    pub fn key(&self, name: &str, options: &[&str]) -> String {
        let mut command = Command::new("ssh-keygen");
        command.args(["-q", "-N", "", "-C", "me@example.com", "-f"]).arg(self.path(name)).args(options);
        run(&mut command, b"");
        std::fs::read_to_string(self.path(&format!("{name}.pub"))).unwrap()
    }

    pub fn fingerprint(&self, name: &str) -> String {
        let output = run(Command::new("ssh-keygen").arg("-lf").arg(self.path(&format!("{name}.pub"))), b"");
        String::from_utf8(output.stdout).unwrap().split(' ').nth(1).unwrap().to_owned()
    }

    /// A tag object signed by `key`.
    pub fn tag(&self, key: &str, namespace: &str, options: &[&str]) -> SignedObject {
        let payload = "object 1\ntype commit\ntag v1\n\nrelease\n";
        let mut command = Command::new("ssh-keygen");
        command.args(["-Y", "sign", "-n", namespace, "-f"]).arg(self.path(key)).args(options);
        let signature = String::from_utf8(run(&mut command, payload.as_bytes()).stdout).unwrap();
        SignedObject::tag(format!("{payload}{signature}").as_bytes())
    }
}

/// A repository whose objects `git` signs.
pub struct Repository {
    dir: TempDir,
    home: PathBuf,
}

impl Repository {
    pub fn with_gpg(gpg: &Gpg, key: &str) -> Repository {
        let repository = Repository::init(gpg.home.path());
        repository.git(&["config", "user.signingkey", key]);
        repository
    }

    pub fn with_ssh(ssh: &Ssh, key: &str) -> Repository {
        let repository = Repository::init(ssh.dir.path());
        repository.git(&["config", "gpg.format", "ssh"]);
        repository.git(&["config", "user.signingkey", ssh.path(key).to_str().unwrap()]);
        repository
    }

    fn init(home: &Path) -> Repository {
        let repository = Repository { dir: TempDir::new().unwrap(), home: home.to_owned() };
        repository.git(&["init", "-q", "-b", "main"]);
        repository.git(&["config", "user.name", "Me"]);
        repository.git(&["config", "user.email", "me@example.com"]);
        repository
    }

    pub fn git(&self, args: &[&str]) -> Vec<u8> {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.dir.path()).args(args);
        command
            .env("GNUPGHOME", &self.home)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1");
        run(&mut command, b"").stdout
    }

    pub fn object(&self, kind: &str, name: &str) -> Vec<u8> {
        self.git(&["cat-file", kind, name])
    }
}
