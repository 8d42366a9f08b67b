//! Cosign, the program, and keys that it signs artifacts with.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;
use oci::Digest;
use rcgen::{KeyPair, RsaKeySize, SignatureAlgorithm};
use tempfile::TempDir;
use toolchain::command::output;

/// How signatures are attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A bundle that refers to the artifact, as cosign does since version 3.
    Bundle,
    /// A layer behind a tag, as it did before.
    Tag,
}

/// A folder with keys.
#[derive(Debug)]
pub struct Cosign {
    program: PathBuf,
    home: TempDir,
}

impl Cosign {
    /// Without a key. Builds the program if it is not in the cache.
    pub fn new() -> Result<Cosign> {
        Ok(Cosign { program: toolchain::cosign()?, home: crate::process::temp_folder("cosign")? })
    }

    fn run(&self, args: &[&str]) -> Result<String> {
        let mut command = Command::new(&self.program);
        // It reads configurations of registries in the home folder.
        command.current_dir(self.home.path()).env("HOME", self.home.path()).env("COSIGN_PASSWORD", "");
        output(command.args(args))
    }

    /// Makes a key on P-256, as cosign does; answers its public half.
    pub fn generate(&self, name: &str) -> Result<String> {
        self.run(&["generate-key-pair", "--output-key-prefix", name])?;
        self.public(name)
    }

    /// Makes a key of another kind; answers its public half.
    pub fn import(&self, name: &str, algorithm: &'static SignatureAlgorithm) -> Result<String> {
        let key = match algorithm == &rcgen::PKCS_RSA_SHA256 {
            true => KeyPair::generate_rsa_for(algorithm, RsaKeySize::_2048)?,
            false => KeyPair::generate_for(algorithm)?,
        };
        let pem = format!("{name}.pem");
        fs::write(self.home.path().join(&pem), key.serialize_pem())?;
        self.run(&["import-key-pair", "--key", &pem, "--output-key-prefix", name])?;
        self.public(name)
    }

    fn public(&self, name: &str) -> Result<String> {
        Ok(fs::read_to_string(self.home.path().join(format!("{name}.pub")))?)
    }

    /// Signs what has this digest in the repository `team/app` of the registry at `address`, and pushes the signature there.
    pub fn sign(&self, name: &str, address: &str, digest: &Digest, form: Form) -> Result<()> {
        let (key, reference) = (format!("{name}.key"), format!("{address}/team/app@{digest}"));
        let form = format!("--new-bundle-format={}", form == Form::Bundle);
        let offline = ["--tlog-upload=false", "--use-signing-config=false", "--allow-http-registry"];
        let args = ["sign", "--yes", "--key", &key, &form, &reference];
        self.run(&[&args[..], &offline].concat()).map(drop)
    }

    /// Whether cosign accepts a signature without a key, by this trusted root, of this subject and issuer. It may ask nobody else.
    pub fn verify(
        &self,
        address: &str,
        digest: &Digest,
        form: Form,
        (root, subject, issuer): (&str, &str, &str),
    ) -> Result<()> {
        let path = self.home.path().join("trusted_root.json");
        fs::write(&path, root)?;
        let (path, reference) = (path.display().to_string(), format!("{address}/team/app@{digest}"));
        let form = format!("--new-bundle-format={}", form == Form::Bundle);
        let trust =
            ["--trusted-root", &path, "--certificate-identity", subject, "--certificate-oidc-issuer", issuer];
        let args = ["verify", "--offline", "--allow-http-registry", &form, &reference];
        self.run(&[&args[..], &trust].concat()).map(drop)
    }
}
