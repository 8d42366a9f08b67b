//! Keys that sign commits and tags, made by `gpg` and `ssh-keygen` in a folder that is thrown away.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::process::{output, temp_folder};
use crate::repository::Repository;

/// A folder with keys.
#[derive(Debug)]
pub struct Signer {
    home: TempDir,
}

impl Signer {
    /// Without a key.
    pub fn new() -> Result<Self> {
        let home = temp_folder("gpg")?;
        fs::set_permissions(home.path(), fs::Permissions::from_mode(0o700))?;
        let program = home.path().join("gpg.sh");
        fs::write(&program, format!("#!/bin/sh\nexec gpg --homedir '{}' \"$@\"\n", home.path().display()))?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        Ok(Self { home })
    }

    fn gpg(&self, args: &[&str]) -> Result<String> {
        let always = ["--batch", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "", "--homedir"];
        output(Command::new("gpg").args(always).arg(self.home.path()).args(args))
    }

    /// Makes an OpenPGP key; answers its id as Flux prints it, and its public half.
    pub fn openpgp(&self, name: &str) -> Result<(String, String)> {
        self.gpg(&["--quick-generate-key", name, "ed25519", "sign", "never"])?;
        let listed = self.gpg(&["--list-keys", "--with-colons", name])?;
        let line = listed.lines().find(|line| line.starts_with("pub:")).context("no key")?;
        let id = line.split(':').nth(4).context("no id")?.to_owned();
        Ok((id, self.gpg(&["--armor", "--export", name])?))
    }

    /// Makes an SSH key; answers its fingerprint and its public half.
    pub fn ssh(&self, name: &str) -> Result<(String, String)> {
        let file = self.ssh_file(name);
        output(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&file))?;
        let shown = output(Command::new("ssh-keygen").arg("-lf").arg(&file))?;
        let fingerprint = shown.split(' ').nth(1).context("no fingerprint")?.to_owned();
        Ok((fingerprint, fs::read_to_string(file.with_extension("pub"))?))
    }

    /// Makes an RSA key; answers its private half as PEM.
    pub fn rsa_pem(&self, name: &str) -> Result<String> {
        let file = self.ssh_file(name);
        let options = ["-q", "-t", "rsa", "-b", "2048", "-m", "PEM", "-N", "", "-f"];
        output(Command::new("ssh-keygen").args(options).arg(&file))?;
        Ok(fs::read_to_string(file)?)
    }

    fn ssh_file(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// From now on `git commit -S` and `git tag -s` in `repository` sign with the OpenPGP key `name`.
    pub fn sign_with_openpgp(&self, repository: &Repository, name: &str) -> Result<()> {
        let program = self.home.path().join("gpg.sh").display().to_string();
        repository.git(&["config", "gpg.format", "openpgp"])?;
        repository.git(&["config", "gpg.program", &program])?;
        repository.git(&["config", "user.signingkey", name]).map(drop)
    }

    /// The same with the SSH key `name`.
    pub fn sign_with_ssh(&self, repository: &Repository, name: &str) -> Result<()> {
        let file = self.ssh_file(name).display().to_string();
        repository.git(&["config", "gpg.format", "ssh"])?;
        repository.git(&["config", "user.signingkey", &file]).map(drop)
    }
}

impl Drop for Signer {
    fn drop(&mut self) {
        // gpg has started it for this home alone.
        let mut end = Command::new("gpgconf");
        let _ = end.arg("--homedir").arg(self.home.path()).args(["--kill", "gpg-agent"]).status();
    }
}
