//! SOPS, the program, and keys for it.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use toolchain::command::output;

/// A key that documents are encrypted for, and the private half that a Secret holds.
#[derive(Clone, Debug)]
pub struct Key {
    /// `--age` or `--pgp`.
    option: &'static str,
    /// What the program calls it.
    pub recipient: String,
    /// The suffix of an entry with it in a Secret.
    suffix: &'static str,
    private: String,
    /// Where the program finds the public half.
    gnupg: Option<std::sync::Arc<tempfile::TempDir>>,
}

impl Key {
    /// A new key of age.
    pub fn age() -> Key {
        let identity = Identity::generate();
        let private = identity.to_string().expose_secret().to_owned();
        let recipient = identity.to_public().to_string();
        Key { option: "--age", recipient, suffix: "agekey", private, gnupg: None }
    }

    /// A new key of age that withstands quantum computers.
    pub fn age_post_quantum() -> Result<Key> {
        let keygen = toolchain::sops()?.age_keygen;
        let private = output(Command::new(&keygen).arg("-pq"))?;
        let file = crate::process::temp_folder("age")?;
        let path = file.path().join("key");
        fs::write(&path, &private)?;
        let recipient = output(Command::new(&keygen).arg("-y").arg(&path))?.trim().to_owned();
        Ok(Key { option: "--age", recipient, suffix: "agekey", private, gnupg: None })
    }

    /// A new SSH key, with which age encrypts, too.
    pub fn ssh() -> Result<Key> {
        let folder = crate::process::temp_folder("ssh")?;
        let pair = crate::sshd::keygen(folder.path(), "key", "ed25519", &[]);
        Ok(Key {
            option: "--age",
            recipient: pair.public,
            suffix: "agekey",
            private: pair.private,
            gnupg: None,
        })
    }

    /// A new key of OpenPGP.
    pub fn pgp() -> Result<Key> {
        let folder = crate::process::temp_folder("gnupg")?;
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700))?;
        let gpg = |args: &[&str]| {
            let always =
                ["--batch", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "", "--homedir"];
            output(Command::new("gpg").args(always).arg(folder.path()).args(args))
        };
        let user = "test@example.com";
        gpg(&["--quick-generate-key", user, "ed25519", "cert,sign", "never"])?;
        let listed = gpg(&["--list-keys", "--with-colons", user])?;
        let line = listed.lines().find(|line| line.starts_with("fpr:")).context("a fingerprint")?;
        let recipient = line.split(':').nth(9).context("a fingerprint")?.to_owned();
        gpg(&["--quick-add-key", &recipient, "cv25519", "encr", "never"])?;
        let private = gpg(&["--armor", "--export-secret-keys", &recipient])?;
        Ok(Key { option: "--pgp", recipient, suffix: "asc", private, gnupg: Some(folder.into()) })
    }

    /// A Secret with the private half, and the label by which changes are noticed.
    pub fn secret(&self, name: &str) -> Value {
        secret_of(name, &[self])
    }

    /// What the program makes of a text in one of its formats: `yaml`, `json`, `dotenv`, `ini` or `binary`.
    pub fn encrypt(&self, format: &str, options: &[&str], plain: &str) -> Result<String> {
        let home = self.gnupg.as_ref().map(|folder| ("GNUPGHOME", folder.path().display().to_string()));
        let environment: Vec<_> = home.iter().map(|(name, value)| (*name, value.as_str())).collect();
        let recipient = [self.option, self.recipient.as_str()];
        encrypt(format, &[&recipient, options].concat(), &environment, plain)
    }

    /// A manifest of a Secret, its text values encrypted.
    pub fn manifest(&self, name: &str, value: &str) -> Result<String> {
        let plain = format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\nstringData:\n  value: \"{value}\"\n"
        );
        self.encrypt("yaml", &["--encrypted-regex", "^(data|stringData)$"], &plain)
    }
}

/// A Secret with the private halves of several keys, and the label by which changes are noticed.
pub fn secret_of(name: &str, keys: &[&Key]) -> Value {
    let entry = |(number, key): (usize, &&Key)| {
        let number = if number == 0 { String::new() } else { number.to_string() };
        (format!("key{number}.{}", key.suffix), Value::from(&*key.private))
    };
    let entries: serde_json::Map<_, _> = keys.iter().enumerate().map(entry).collect();
    json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name, "labels": {"reconcile.fluxcd.io/watch": "Enabled"}},
        "stringData": entries,
    })
}

/// A manifest of a Secret for groups of recipients of age, of which so many are needed.
pub fn manifest_for_groups(groups: &[&[&Key]], threshold: usize, name: &str, value: &str) -> Result<String> {
    let recipients =
        |keys: &&[&Key]| json!({"age": keys.iter().map(|key| &key.recipient).collect::<Vec<_>>()});
    let rule = json!({
        "encrypted_regex": "^stringData$", "shamir_threshold": threshold,
        "key_groups": groups.iter().map(recipients).collect::<Vec<_>>(),
    });
    let folder = crate::process::temp_folder("sops")?;
    let config = folder.path().join("config.yaml");
    fs::write(&config, json!({"creation_rules": [rule]}).to_string())?;
    let plain =
        format!("apiVersion: v1\nkind: Secret\nmetadata:\n  name: {name}\nstringData:\n  value: {value}\n");
    encrypt("yaml", &["--config", config.to_str().context("no path")?], &[], &plain)
}

/// What the program makes of a text in one of its formats, for the keys of these options.
pub fn encrypt(format: &str, options: &[&str], environment: &[(&str, &str)], plain: &str) -> Result<String> {
    let mut command = Command::new(toolchain::sops()?.program);
    command.args(["--encrypt", "--input-type", format, "--output-type", format]);
    command.args(options).arg("/dev/stdin").envs(environment.iter().copied()).current_dir(Path::new("/"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn()?;
    child.stdin.take().context("its input")?.write_all(plain.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "sops: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}
