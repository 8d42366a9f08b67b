//! Identities of age, with files that the crate `age` has encrypted and SSH keys of `ssh-keygen`.
#![allow(clippy::unwrap_used)]

use std::process::Command;

use age::armor::{ArmoredWriter, Format};
use age::secrecy::{ExposeSecret, SecretString};
use age::x25519::Identity;
use age::{Encryptor, Recipient};
use sops::{AgeIdentities, AgeIdentitiesError};
use std::io::Write;

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

fn armored(encryptor: Encryptor, content: &[u8]) -> String {
    let mut file =
        encryptor.wrap_output(ArmoredWriter::wrap_output(Vec::new(), Format::AsciiArmor).unwrap()).unwrap();
    file.write_all(content).unwrap();
    String::from_utf8(file.finish().unwrap().finish().unwrap()).unwrap()
}

fn wrap(recipient: &dyn Recipient, content: &[u8]) -> String {
    armored(Encryptor::with_recipients(std::iter::once(recipient)).unwrap(), content)
}

fn identities(text: &str) -> AgeIdentities {
    let mut identities = AgeIdentities::default();
    identities.import(text).unwrap_or_else(|error| panic!("{error}"));
    identities
}

fn refused(identities: &AgeIdentities, wrapped: &str) -> String {
    identities.unwrap(wrapped).unwrap_err().to_string()
}

/// An SSH key pair: the private key, and the public one as a recipient.
fn ssh_key(kind: &[&str], passphrase: &str) -> (String, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    let mut command = Command::new("ssh-keygen");
    let status = command
        .args(["-q", "-N", passphrase, "-C", "a comment", "-f"])
        .arg(&file)
        .arg("-t")
        .args(kind)
        .status();
    assert!(status.unwrap().success());
    let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
    (read("key"), read("key.pub").trim().to_owned())
}

#[test]
fn keys_are_unwrapped_by_the_identity_that_they_are_for() {
    let (mine, other) = (Identity::generate(), Identity::generate());
    let text = format!(
        "# created by hand\n# public key: {}\n{}\n\n{}\r\n",
        mine.to_public(),
        mine.to_string().expose_secret(),
        Identity::generate().to_string().expose_secret()
    );
    let held = identities(&text);
    let wrapped = wrap(&mine.to_public(), KEY);
    assert_eq!(held.unwrap(&wrapped).unwrap().expose(), KEY);
    assert_eq!(
        refused(&held, &wrap(&other.to_public(), KEY)),
        "failed to create reader for decrypting sops data key with age: no identity matched any of the recipients"
    );
    assert!(!held.is_empty());
    assert!(AgeIdentities::default().is_empty());
}

#[test]
fn keys_are_unwrapped_by_ssh_keys() {
    let x25519 = Identity::generate();
    for kind in [&["ed25519"][..], &["rsa", "-b", "2048"]] {
        let (private, public) = ssh_key(kind, "");
        // Beside an identity of age, as another entry of a file.
        let held = identities(&format!("# ssh\n{private}\n{}\n", x25519.to_string().expose_secret()));
        let recipient: age::ssh::Recipient = public.parse().unwrap();
        assert_eq!(held.unwrap(&wrap(&recipient, KEY)).unwrap().expose(), KEY, "{kind:?}");
        assert!(held.unwrap(&wrap(&x25519.to_public(), KEY)).is_ok());
        let (_, stranger) = ssh_key(kind, "");
        let recipient: age::ssh::Recipient = stranger.parse().unwrap();
        assert!(
            refused(&held, &wrap(&recipient, KEY)).ends_with("no identity matched any of the recipients")
        );
    }
}

#[test]
fn identities_that_cannot_be_used_are_refused() {
    let import = |text: &str| AgeIdentities::default().import(text).unwrap_err();
    let key = Identity::generate().to_string().expose_secret().to_owned();
    assert_eq!(import("# x\nhunter2\n"), AgeIdentitiesError::Unknown(2));
    assert_eq!(import(&format!("{key}\n{}", key.replace("1", "2"))), AgeIdentitiesError::Unknown(2));
    assert_eq!(import("AGE-SECRET-KEY-1HUNTER2"), AgeIdentitiesError::Malformed(1));
    assert_eq!(import("AGE-SECRET-KEY-PQ-1HUNTER2"), AgeIdentitiesError::Malformed(1));
    assert_eq!(import("-----BEGIN OPENSSH PRIVATE KEY-----\nhunter2\n"), AgeIdentitiesError::Malformed(1));
    assert_eq!(import(&ssh_key(&["ed25519"], "passphrase").0), AgeIdentitiesError::Protected(1));
    assert_eq!(import(&ssh_key(&["ecdsa"], "").0), AgeIdentitiesError::SshType(1));
    assert_eq!(import(&format!("{key}\n").repeat(65)), AgeIdentitiesError::TooMany);
    for error in
        [AgeIdentitiesError::Unknown(1), AgeIdentitiesError::Malformed(1), AgeIdentitiesError::Protected(1)]
    {
        assert!(error.to_string().starts_with("failed to parse and add to age identities: line 1: "));
    }
}

/// They are programs of their own, which are not started; other identities are used all the same.
#[test]
fn identities_of_plugins_are_told_of() {
    let mine = Identity::generate();
    let held = identities(&format!("AGE-PLUGIN-YUBIKEY-1QQQQ\n{}\n", mine.to_string().expose_secret()));
    assert_eq!(held.unwrap(&wrap(&mine.to_public(), KEY)).unwrap().expose(), KEY);
    assert_eq!(
        refused(&held, &wrap(&Identity::generate().to_public(), KEY)),
        "failed to create reader for decrypting sops data key with age: identity did not match any of the recipients: \
         incorrect identity for recipient block; identities of plugins are not supported"
    );
}

/// Each costs its reader little: neither the work factor of a passphrase, nor recipients without end.
#[test]
fn files_that_ask_for_too_much_are_refused() {
    let mine = Identity::generate();
    let held = identities(mine.to_string().expose_secret());
    let passphrase = armored(Encryptor::with_user_passphrase(SecretString::from("x".to_owned())), KEY);
    assert!(refused(&held, &passphrase).ends_with("it is encrypted with a passphrase"));

    let others: Vec<_> = (0..100).map(|_| Identity::generate().to_public()).collect();
    let many = Encryptor::with_recipients(others.iter().map(|other| other as _)).unwrap();
    assert!(refused(&held, &armored(many, KEY)).ends_with("more than 4 recipients in one file"));

    assert!(refused(&held, &wrap(&mine.to_public(), &[0; 10_000])).ends_with("more than 256 bytes"));

    for text in ["", "text", "-----BEGIN AGE ENCRYPTED FILE-----\n", "age-encryption.org/v1\n-> X25519\n"] {
        assert!(held.unwrap(text).is_err(), "{text}");
    }
    let wrapped = wrap(&mine.to_public(), KEY);
    for cut in 0..wrapped.len() - 1 {
        assert!(held.unwrap(wrapped.get(..cut).unwrap()).is_err(), "{cut}");
    }
}
