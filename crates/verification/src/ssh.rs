//! SSH signatures (`SSHSIG`), as `ssh-keygen -Y sign -n git` makes them.
//!
//! The signature names its key; it counts if that key stands in one of the `authorized_keys` files. RSA keys need 2048 bits and
//! SHA-2, as with OpenSSH; DSA keys never count.

use ssh_key::public::KeyData;
use ssh_key::{Algorithm, HashAlg, PublicKey, SshSig};

use crate::object::SignedObject;

/// What Git signs for; a signature made for another purpose does not count.
const SIGNATURE_NAMESPACE: &str = "git";
/// RSA keys of fewer bits are refused.
const RSA_BITS: u32 = 2048;

/// Why no key accepts an SSH signature.
#[derive(Debug, thiserror::Error)]
pub enum SshError {
    /// Not an SSH signature, though it looks like one.
    #[error("unable to unarmor SSH signature: {0}")]
    Armor(#[source] ssh_key::Error),
    /// None of the entries can be read.
    #[error("unable to parse authorized keys: unable to parse authorized key: {0}")]
    AuthorizedKeys(#[source] ssh_key::Error),
    /// There are keys, but none accepts it: the reasons, each once.
    #[error("unable to verify payload with any of the given authorized keys: no matching key{}", lines(.0))]
    NoMatch(Vec<&'static str>),
}

fn lines(reasons: &[&'static str]) -> String {
    reasons.iter().map(|reason| format!("\n{reason}")).collect()
}

/// Verifies with the keys of `files`; gives the fingerprint of the one that signed.
pub fn verify(object: &SignedObject, files: &[String]) -> Result<String, SshError> {
    let signature = SshSig::from_pem(object.signature().trim()).map_err(SshError::Armor)?;
    let (mut unreadable, mut attempted) = (None, false);
    let mut reasons = Vec::new();
    for file in files {
        let keys = match authorized_keys(file) {
            Ok(keys) => keys,
            Err(error) => {
                unreadable = unreadable.or(Some(error));
                continue;
            }
        };
        attempted = true;
        for key in keys {
            match accepts(&key, &signature, object.payload()) {
                Ok(()) => return Ok(key.fingerprint(HashAlg::Sha256).to_string()),
                Err(reason) if !reasons.contains(&reason) => reasons.push(reason),
                Err(_) => {}
            }
        }
    }
    match unreadable {
        Some(error) if !attempted => Err(SshError::AuthorizedKeys(error)),
        _ => Err(SshError::NoMatch(reasons)),
    }
}

/// The keys of an `authorized_keys` file; one bad line voids them all.
fn authorized_keys(file: &str) -> Result<Vec<PublicKey>, ssh_key::Error> {
    file.lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .map(|line| public_key(line).or_else(|error| public_key(after_options(line).ok_or(error)?)))
        .collect()
}

/// Type and key; what follows is a comment.
fn public_key(line: &str) -> Result<PublicKey, ssh_key::Error> {
    let mut words = line.split_whitespace();
    let kind = words.next().unwrap_or_default();
    let key = words.next().unwrap_or_default();
    PublicKey::from_openssh(&format!("{kind} {key}"))
}

/// What follows the options in front of a key; their values may hold spaces within quotes.
fn after_options(line: &str) -> Option<&str> {
    let (mut quoted, mut escaped) = (false, false);
    let end = line.find(|c: char| {
        let ends = c.is_whitespace() && !quoted;
        quoted ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
        ends
    })?;
    line.get(end..)
}

fn accepts(key: &PublicKey, signature: &SshSig, payload: &[u8]) -> Result<(), &'static str> {
    if key.key_data() != signature.public_key() {
        return Err("public key does not match");
    }
    if signature.namespace() != SIGNATURE_NAMESPACE {
        return Err("namespace does not match");
    }
    match (key.key_data(), signature.algorithm()) {
        (KeyData::Rsa(rsa), _) if rsa.key_size() < RSA_BITS => return Err("RSA key is too short"),
        (KeyData::Dsa(_), _) | (_, Algorithm::Dsa | Algorithm::Rsa { hash: None }) => {
            return Err("signature algorithm is too weak");
        }
        _ => {}
    }
    key.verify(SIGNATURE_NAMESPACE, payload, signature).map_err(|_| "signature did not verify")
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[test]
    fn keys_may_have_options_and_comments() {
        for line in [
            KEY.to_owned(),
            format!("  {KEY} me@host and more # x  "),
            format!("no-pty {KEY}"),
            format!("namespaces=\"git\",command=\"a \\\" b\" {}\tme", KEY.replace(' ', "\t ")),
            format!("# first\n\n{KEY}\n"),
        ] {
            assert_eq!(authorized_keys(&line).map(|keys| keys.len()).ok(), Some(1), "{line}");
        }
        assert!(authorized_keys("").is_ok_and(|keys| keys.is_empty()));
    }

    #[test]
    fn an_entry_with_a_bad_line_is_void() {
        for line in
            ["nonsense", "ssh-ed25519", "ssh-ed25519 AAAA", "\"", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAILM+"]
        {
            assert!(authorized_keys(&format!("{KEY}\n{line}\n{KEY}")).is_err(), "{line}");
        }
    }
}
