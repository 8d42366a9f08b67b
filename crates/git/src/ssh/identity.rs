//! Private keys of users.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pkcs8::EncryptedPrivateKeyInfoRef;
use ssh_key::{Kdf, PrivateKey};

/// Rounds of bcrypt that a passphrase may be stretched with. `ssh-keygen` does 16 or 24 unless told otherwise.
const MAX_BCRYPT_ROUNDS: u32 = 1_000;
/// Rounds of PBKDF2. OpenSSL does 2048.
const MAX_PBKDF2_ROUNDS: u32 = 10_000_000;

/// A private key that cannot be used. Texts that users know are those of Go's library.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IdentityError {
    /// Neither PEM nor OpenSSH's format.
    #[error("ssh: no key found")]
    Missing,
    /// A passphrase is needed and there is none.
    #[error("ssh: this private key is passphrase protected")]
    Encrypted,
    /// The passphrase is wrong.
    #[error("x509: decryption password incorrect")]
    Passphrase,
    /// PEM of before PKCS#8, encrypted with something else than AES-128, or not RSA.
    #[error(
        "ssh: an encrypted key in this old PEM format ({0}) is not supported; ssh-keygen -p -f <file> writes it anew"
    )]
    OldFormat(String),
    /// The passphrase is stretched in a way that costs more than a key may.
    #[error("ssh: deriving the key from its passphrase costs too much")]
    Cost,
    /// Something else is wrong with it.
    #[error("ssh: invalid private key: {0}")]
    Invalid(String),
}

/// What stands between `-----BEGIN …-----` and `-----END …-----`.
struct Pem<'a> {
    label: &'a str,
    /// How the body is encrypted, in the old format.
    cipher: Option<&'a str>,
    body: Vec<u8>,
}

impl Pem<'_> {
    fn parse(text: &str) -> Option<Pem<'_>> {
        let mut lines = text.lines().map(str::trim);
        let label = lines.find_map(|line| line.strip_prefix("-----BEGIN ")?.strip_suffix("-----"))?;
        let (mut cipher, mut encoded) = (None, String::new());
        for line in lines.take_while(|line| !line.starts_with("-----END ")) {
            match line.split_once(':') {
                Some(("DEK-Info", value)) => cipher = value.split(',').next().map(str::trim),
                Some(_) => {}
                None => encoded.push_str(line),
            }
        }
        Some(Pem { label, cipher, body: STANDARD.decode(encoded).ok()? })
    }

    fn is_encrypted(&self) -> bool {
        match self.label {
            "OPENSSH PRIVATE KEY" => PrivateKey::from_bytes(&self.body).is_ok_and(|key| key.is_encrypted()),
            "ENCRYPTED PRIVATE KEY" => true,
            _ => self.cipher.is_some(),
        }
    }

    /// Keys are foreign input: what it takes to open one must be bounded.
    fn check_cost(&self) -> Result<(), IdentityError> {
        let affordable = match self.label {
            "OPENSSH PRIVATE KEY" => match PrivateKey::from_bytes(&self.body) {
                Ok(key) => !matches!(key.kdf(), Kdf::Bcrypt { rounds, .. } if *rounds > MAX_BCRYPT_ROUNDS),
                Err(error) => return Err(IdentityError::Invalid(error.to_string())),
            },
            "ENCRYPTED PRIVATE KEY" => {
                let key = EncryptedPrivateKeyInfoRef::try_from(self.body.as_slice())
                    .map_err(|error| IdentityError::Invalid(error.to_string()))?;
                // scrypt takes as much memory as it likes.
                let rounds = key.encryption_algorithm.pbes2().and_then(|scheme| scheme.kdf.pbkdf2());
                rounds.is_some_and(|kdf| kdf.iteration_count <= MAX_PBKDF2_ROUNDS)
            }
            _ => true,
        };
        if affordable { Ok(()) } else { Err(IdentityError::Cost) }
    }
}

/// Whether a passphrase is needed to use this key.
pub fn is_encrypted(identity: &str) -> bool {
    Pem::parse(identity).is_some_and(|pem| pem.is_encrypted())
}

/// Reads a key. A passphrase that it does not need is ignored.
pub(crate) fn decode(identity: &str, passphrase: Option<&str>) -> Result<PrivateKey, IdentityError> {
    let pem = Pem::parse(identity).ok_or(IdentityError::Missing)?;
    let passphrase = match (pem.is_encrypted(), passphrase) {
        (false, _) => None,
        (true, None) => return Err(IdentityError::Encrypted),
        (true, given) => given,
    };
    if let Some(cipher) = pem.cipher
        && (cipher, pem.label) != ("AES-128-CBC", "RSA PRIVATE KEY")
    {
        return Err(IdentityError::OldFormat(format!("{}, {cipher}", pem.label)));
    }
    pem.check_cost()?;
    let lines: Vec<&str> = identity.lines().map(str::trim).collect();
    russh::keys::decode_secret_key(&lines.join("\n"), passphrase).map_err(|error| match passphrase {
        Some(_) => IdentityError::Passphrase,
        None => IdentityError::Invalid(error.to_string()),
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_are_no_key_are_an_error() {
        for (text, error) in [
            ("", IdentityError::Missing),
            ("ssh-ed25519 AAAA", IdentityError::Missing),
            ("PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n", IdentityError::Missing),
            (
                "-----BEGIN OPENSSH PRIVATE KEY-----\n!!!\n-----END OPENSSH PRIVATE KEY-----",
                IdentityError::Missing,
            ),
            (
                "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: DES-EDE3-CBC,00\n\nAAAA\n-----END RSA PRIVATE KEY-----",
                IdentityError::OldFormat("RSA PRIVATE KEY, DES-EDE3-CBC".into()),
            ),
            (
                "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\nAAAA\n-----END EC PRIVATE KEY-----",
                IdentityError::OldFormat("EC PRIVATE KEY, AES-128-CBC".into()),
            ),
        ] {
            assert_eq!(decode(text, Some("x")).unwrap_err(), error, "{text}");
        }
        let broken = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----";
        assert!(matches!(decode(broken, None), Err(IdentityError::Invalid(_))));
        assert!(!is_encrypted(broken) && !is_encrypted(""));
    }

    /// Made by `openssl pkcs8 -topk8` with `-scrypt`, and with `-iter 10000001`.
    #[test]
    fn opening_a_key_must_not_cost_too_much() {
        let scrypt = "MIGTME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAi39oiJ3FGligICQAACAQgCAQEwHQYJYIZIAWUDBAEqBBBBYPL6NHWYnCUAopy5K1h9BEB7galckwQdUUL9xzDDVDrOKlsd1TRgY4wbuyOEj7FraZzgXSp9n/8kzDG7p+xQVWRLVGhf15hn0xlx/Mp9/6b3";
        let pbkdf2 = "MIGdMFkGCSqGSIb3DQEFDTBMMCsGCSqGSIb3DQEFDDAeBAgmtaXNWqS+BQIEAJiWgTAMBggqhkiG9w0CCQUAMB0GCWCGSAFlAwQBKgQQlAR0Qn7pLrmsS9jXoRksxwRAsTYm09CAy0FrTgMUiNyiiEAhKhYqn4tsAujiUchVoaKqzkyAbi8/mDmL9YgQWGBlt2qtE+whR6+4ZaQnV1kmdg==";
        for body in [scrypt, pbkdf2] {
            let pem = format!(
                "-----BEGIN ENCRYPTED PRIVATE KEY-----\n{body}\n-----END ENCRYPTED PRIVATE KEY-----\n"
            );
            assert!(is_encrypted(&pem));
            assert_eq!(decode(&pem, Some("x")).unwrap_err(), IdentityError::Cost);
        }
    }
}
