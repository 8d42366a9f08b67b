//! The program, keys of each kind, and what both make of a document.

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::LazyLock;

use age::secrecy::ExposeSecret;
use age::x25519::Identity;
use sops::{
    AgeIdentities, Document, Format, KeyBytes, KeyError, KeyService, Limits, MacCheck, MasterKey, PgpKeys,
};
use tempfile::TempDir;
use toolchain::command::output;

/// A key of any kind: how the program names it when it encrypts, and the private half.
#[derive(Clone)]
pub struct Key {
    /// `--age` or `--pgp`.
    pub option: &'static str,
    pub name: String,
    pub private: String,
}

/// A folder in which the program runs, with all keys.
pub struct Tool {
    program: PathBuf,
    home: TempDir,
    pub age: [Key; 2],
    /// Of the post-quantum hybrid kind.
    pub age_hybrid: [Key; 2],
    pub ssh_ed25519: Key,
    pub ssh_rsa: Key,
    /// Of Curve25519, RSA and P-256.
    pub pgp: [Key; 3],
}

/// Made once for all tests.
pub static TOOL: LazyLock<Tool> = LazyLock::new(|| {
    let toolchain::Sops { program, age_keygen } = toolchain::sops().unwrap();
    let home = e2e::process::temp_folder("sops").unwrap();
    let gnupg = home.path().join("gnupg");
    fs::create_dir(&gnupg).unwrap();
    fs::set_permissions(&gnupg, fs::Permissions::from_mode(0o700)).unwrap();
    let age = [age_key(), age_key()];
    let gpg = |args: &[&str]| {
        let always = ["--batch", "--no-tty", "--pinentry-mode", "loopback", "--passphrase", "", "--homedir"];
        output(Command::new("gpg").args(always).arg(&gnupg).args(args)).unwrap()
    };
    let pgp = [("ed25519", "cv25519"), ("rsa2048", "rsa2048"), ("nistp256", "nistp256")].map(
        |(primary, subkey)| {
            let user = format!("{primary}@example.com");
            gpg(&["--quick-generate-key", &user, primary, "cert,sign", "never"]);
            let listed = gpg(&["--list-keys", "--with-colons", &user]);
            let line = listed.lines().find(|line| line.starts_with("fpr:")).unwrap();
            let name = line.split(':').nth(9).unwrap().to_owned();
            gpg(&["--quick-add-key", &name, subkey, "encr", "never"]);
            let private = gpg(&["--armor", "--export-secret-keys", &name]);
            Key { option: "--pgp", name, private }
        },
    );
    let ssh = |kind: &[&str], name: &str| {
        let file = home.path().join(name);
        output(Command::new("ssh-keygen").args(["-q", "-N", "", "-f"]).arg(&file).arg("-t").args(kind))
            .unwrap();
        let public = fs::read_to_string(file.with_extension("pub")).unwrap();
        Key { option: "--age", name: public.trim().to_owned(), private: fs::read_to_string(&file).unwrap() }
    };
    let (ssh_ed25519, ssh_rsa) = (ssh(&["ed25519"], "id_ed25519"), ssh(&["rsa", "-b", "2048"], "id_rsa"));
    let age_hybrid = [(); 2].map(|()| {
        let private = output(Command::new(&age_keygen).arg("-pq")).unwrap();
        let name = private.lines().find_map(|line| line.strip_prefix("# public key: ")).unwrap().to_owned();
        Key { option: "--age", name, private }
    });
    fs::write(home.path().join("keys.txt"), age.each_ref().map(|key| key.private.clone()).join("\n"))
        .unwrap();
    Tool { program, home, age, age_hybrid, ssh_ed25519, ssh_rsa, pgp }
});

fn age_key() -> Key {
    let identity = Identity::generate();
    let private = identity.to_string().expose_secret().to_owned();
    Key { option: "--age", name: identity.to_public().to_string(), private }
}

/// A result of the program: what it prints, or what it complains.
pub type Said = Result<Vec<u8>, String>;

impl Tool {
    /// Runs the program with keys of its home and nothing else of this user's.
    pub fn run(&self, args: &[&str], input: &[u8]) -> Said {
        let home = self.home.path();
        let mut child = Command::new(&self.program)
            .args(args)
            .arg("/dev/stdin")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", home)
            .env("GNUPGHOME", home.join("gnupg"))
            .env("SOPS_AGE_KEY_FILE", home.join("keys.txt"))
            .env("SOPS_AGE_SSH_PRIVATE_KEY_FILE", home.join("id_ed25519"))
            .current_dir(home)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned())
        }
    }

    /// Encrypts for these keys, or as `options` say.
    pub fn encrypt(&self, format: Format, keys: &[&Key], options: &[&str], plain: &[u8]) -> Said {
        let mut args = vec!["--encrypt", "--input-type", kind(format), "--output-type", kind(format)];
        for option in ["--age", "--pgp"] {
            let names: Vec<_> =
                keys.iter().filter(|key| key.option == option).map(|key| key.name.as_str()).collect();
            if !names.is_empty() {
                args.extend([option, names.join(",").leak()]);
            }
        }
        args.extend(options);
        self.run(&args, plain)
    }

    pub fn decrypt(&self, input: Format, output: Format, encrypted: &[u8]) -> Said {
        self.run(&["--decrypt", "--input-type", kind(input), "--output-type", kind(output)], encrypted)
    }

    /// A file in the program's folder.
    pub fn write(&self, name: &str, content: &str) -> String {
        let file = self.home.path().join(name);
        fs::write(&file, content).unwrap();
        file.display().to_string()
    }
}

/// The program's name of a format.
fn kind(format: Format) -> &'static str {
    match format {
        Format::Binary => "binary",
        Format::Dotenv => "dotenv",
        Format::Ini => "ini",
        Format::Json => "json",
        Format::Yaml => "yaml",
    }
}

/// Our side: private keys in memory.
#[derive(Default)]
pub struct Held {
    age: AgeIdentities,
    pgp: PgpKeys,
}

impl Held {
    pub fn of(keys: &[&Key]) -> Held {
        let mut held = Held::default();
        for key in keys {
            match key.option {
                "--pgp" => held.pgp.import(&key.private).unwrap(),
                _ => held.age.import(&key.private).unwrap(),
            }
        }
        held
    }
}

impl KeyService for Held {
    fn unwrap(&self, key: &MasterKey) -> Result<KeyBytes, KeyError> {
        match key {
            MasterKey::Age { wrapped, .. } => self.age.unwrap(wrapped),
            MasterKey::Pgp { wrapped, .. } => self.pgp.unwrap(wrapped),
            _ => Err(KeyError::new("not at hand")),
        }
    }
}

/// What we make of a document, in one format for each of `outputs`.
pub fn ours(encrypted: &[u8], input: Format, outputs: &[Format], held: &Held) -> Result<Vec<Said>, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    let document = Document::parse(encrypted, input, &Limits::default()).map_err(|error| text(&error))?;
    let key = document.metadata().data_key(held).map_err(|error| text(&error))?;
    let plain = document.decrypt(&key, MacCheck::Verify).map_err(|error| text(&error))?;
    let emit =
        |format: &Format| plain.emit(*format).map(|bytes| bytes.to_vec()).map_err(|error| text(&error));
    Ok(outputs.iter().map(emit).collect())
}

/// Encrypts with the program, decrypts with both, and compares what they print in each of `outputs`. `what` names the case.
pub fn compare(what: &str, format: Format, outputs: &[Format], options: &[&str], plain: &[u8]) {
    let tool = &*TOOL;
    let keys = [&tool.age[0]];
    let encrypted =
        tool.encrypt(format, &keys, options, plain).unwrap_or_else(|error| panic!("{what}: {error}"));
    let ours = ours(&encrypted, format, outputs, &Held::of(&keys));
    for (index, output) in outputs.iter().enumerate() {
        let theirs = tool.decrypt(format, *output, &encrypted);
        let ours = ours.clone().and_then(|ours| ours[index].clone());
        match (&theirs, &ours) {
            (Ok(theirs), Ok(ours)) if theirs == ours => {}
            (Err(_), Err(_)) => {}
            _ => panic!(
                "{what}, {format} to {output}, {options:?}\n--- plain\n{}\n--- sops\n{}\n--- we\n{}\n--- encrypted\n{}",
                String::from_utf8_lossy(plain),
                shown(&theirs),
                shown(&ours),
                String::from_utf8_lossy(&encrypted),
            ),
        }
    }
}

fn shown(said: &Said) -> String {
    match said {
        Ok(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Err(error) => format!("error: {error}"),
    }
}
