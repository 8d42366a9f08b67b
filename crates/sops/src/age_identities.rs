//! Identities of age: X25519, post-quantum hybrid, and SSH keys without a passphrase.

use std::fmt;
use std::io::Read;

use ::age::armor::ArmoredReader;
use ::age::ssh::Identity as SshIdentity;
use ::age::{DecryptError, Decryptor, Identity, x25519};
use zeroize::Zeroizing;

use crate::age_hybrid::{self, HybridIdentity};
use crate::keys::{KeyBytes, KeyError};

/// Bytes of a data key, or a share of one: 32 or 33, and room for what others may have chosen.
const KEY_BYTES: u64 = 256;

/// Recipients in one age file. SOPS makes a file for each of its recipients; clients of age may add one that stands for nobody.
const STANZAS: usize = 4;

/// Identities in one set.
const IDENTITIES: usize = 64;

/// How identities of plugins begin, which are programs of their own.
const PLUGIN_PREFIX: &str = "AGE-PLUGIN-";

/// Private keys of age. `Debug` only counts them.
#[derive(Default)]
pub struct AgeIdentities {
    identities: Vec<Box<dyn Identity + Send + Sync>>,
    /// Some were left out, since they need a plugin.
    has_plugins: bool,
}

/// Why identities cannot be read. No text shows any of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AgeIdentitiesError {
    /// A line is neither an identity, nor empty, nor a comment.
    #[error("failed to parse and add to age identities: line {0}: unknown identity type")]
    Unknown(usize),
    /// An identity is malformed.
    #[error("failed to parse and add to age identities: line {0}: malformed identity")]
    Malformed(usize),
    /// An SSH key can only be used with its passphrase.
    #[error(
        "failed to parse and add to age identities: line {0}: the SSH key is password protected, which is unsupported"
    )]
    Protected(usize),
    /// An SSH key is neither Ed25519 nor RSA.
    #[error("failed to parse and add to age identities: line {0}: SSH keys of this type are not supported")]
    SshType(usize),
    /// There are too many.
    #[error("failed to parse and add to age identities: more than {IDENTITIES}")]
    TooMany,
}

/// Why the identities do not unwrap a key.
#[derive(Debug, thiserror::Error)]
enum UnwrapError {
    #[error("failed to create reader for decrypting sops data key with age: {0}")]
    Age(DecryptError),
    #[error(
        "failed to create reader for decrypting sops data key with age: it is encrypted with a passphrase"
    )]
    Passphrase,
    #[error(
        "failed to create reader for decrypting sops data key with age: more than {STANZAS} recipients in one file"
    )]
    Stanzas,
    #[error("failed to decrypt sops data key with age: {0}")]
    Read(#[source] std::io::Error),
    #[error("failed to decrypt sops data key with age: more than {KEY_BYTES} bytes")]
    TooLarge,
    #[error("failed to create reader for decrypting sops data key with age: {0}{1}")]
    NoMatch(&'static str, &'static str),
}

impl AgeIdentities {
    /// Adds the identities of a text, such as an entry `*.agekey` of a Secret: one on each line, or an SSH key in its lines. Empty
    /// lines and lines that begin with `#` are left out.
    ///
    /// # Errors
    /// The text holds something else; then nothing is added.
    pub fn import(&mut self, text: &str) -> Result<(), AgeIdentitiesError> {
        let mut added = AgeIdentities::default();
        let mut lines = text.lines().enumerate();
        while let Some((index, line)) = lines.next() {
            let number = index + 1;
            let line = line.trim_end();
            if line.is_empty() || line.starts_with('#') {
            } else if line.starts_with("-----BEGIN ") {
                let mut block = Zeroizing::new(format!("{line}\n"));
                for (_, line) in lines.by_ref() {
                    block.push_str(line.trim_end());
                    block.push('\n');
                    if line.starts_with("-----END ") {
                        break;
                    }
                }
                added.identities.push(ssh_identity(&block, number)?);
            } else if line.starts_with(PLUGIN_PREFIX) {
                added.has_plugins = true;
            } else if line.starts_with(age_hybrid::PREFIX) {
                let identity = HybridIdentity::parse(line);
                added.identities.push(Box::new(identity.ok_or(AgeIdentitiesError::Malformed(number))?));
            } else if line.starts_with("AGE-SECRET-KEY-1") {
                let identity = line.parse::<x25519::Identity>();
                added.identities.push(Box::new(identity.map_err(|_| AgeIdentitiesError::Malformed(number))?));
            } else {
                return Err(AgeIdentitiesError::Unknown(number));
            }
            if self.identities.len() + added.identities.len() > IDENTITIES {
                return Err(AgeIdentitiesError::TooMany);
            }
        }
        self.identities.append(&mut added.identities);
        self.has_plugins |= added.has_plugins;
        Ok(())
    }

    /// Whether there is no identity, not even one of a plugin.
    pub fn is_empty(&self) -> bool {
        self.identities.is_empty() && !self.has_plugins
    }

    /// The key that an armored age file holds.
    ///
    /// # Errors
    /// No identity fits, or the file is malformed.
    pub fn unwrap(&self, wrapped: &str) -> Result<KeyBytes, KeyError> {
        self.try_unwrap(wrapped).map_err(KeyError::new)
    }

    fn try_unwrap(&self, wrapped: &str) -> Result<KeyBytes, UnwrapError> {
        let mut file = Vec::new();
        ArmoredReader::new(wrapped.as_bytes()).read_to_end(&mut file).map_err(UnwrapError::Read)?;
        // The header is text; what follows it is bytes, in which the mark stands by chance at most.
        let stanzas = file.windows(4).filter(|window| window == b"\n-> ").count();
        if stanzas > STANZAS {
            return Err(UnwrapError::Stanzas);
        }
        let decryptor = Decryptor::new_buffered(file.as_slice()).map_err(UnwrapError::Age)?;
        if decryptor.is_scrypt() {
            return Err(UnwrapError::Passphrase);
        }
        let identities = self.identities.iter().map(|identity| &**identity as &dyn Identity);
        let reader = decryptor.decrypt(identities).map_err(|error| match error {
            DecryptError::NoMatchingKeys => {
                // Go's words.
                let problem = match self.identities.len() {
                    1 => {
                        "identity did not match any of the recipients: incorrect identity for recipient block"
                    }
                    _ => "no identity matched any of the recipients",
                };
                let left_out =
                    if self.has_plugins { "; identities of plugins are not supported" } else { "" };
                UnwrapError::NoMatch(problem, left_out)
            }
            error => UnwrapError::Age(error),
        })?;
        let mut key = Zeroizing::new(Vec::with_capacity(KEY_BYTES as usize + 1));
        reader.take(KEY_BYTES + 1).read_to_end(&mut key).map_err(UnwrapError::Read)?;
        if key.len() as u64 > KEY_BYTES {
            return Err(UnwrapError::TooLarge);
        }
        Ok(KeyBytes::new(key))
    }
}

fn ssh_identity(block: &str, line: usize) -> Result<Box<dyn Identity + Send + Sync>, AgeIdentitiesError> {
    match SshIdentity::from_buffer(block.as_bytes(), None) {
        Ok(SshIdentity::Unencrypted(key)) => Ok(Box::new(SshIdentity::Unencrypted(key))),
        Ok(SshIdentity::Encrypted(_)) => Err(AgeIdentitiesError::Protected(line)),
        Ok(SshIdentity::Unsupported(
            age::ssh::UnsupportedKey::EncryptedPem | age::ssh::UnsupportedKey::EncryptedSsh(_),
        )) => Err(AgeIdentitiesError::Protected(line)),
        Ok(SshIdentity::Unsupported(_)) => Err(AgeIdentitiesError::SshType(line)),
        Err(_) => Err(AgeIdentitiesError::Malformed(line)),
    }
}

impl fmt::Debug for AgeIdentities {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AgeIdentities").field("identities", &self.identities.len()).finish_non_exhaustive()
    }
}
