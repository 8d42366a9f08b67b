//! Private keys of OpenPGP, without a passphrase.

use std::fmt;
use std::io::Read;

use pgp::composed::{DecryptionOptions, Deserializable, Esk, Message, SignedSecretKey, TheRing};
use pgp::packet::PublicKeyEncryptedSessionKey;
use pgp::types::{KeyDetails, Seipdv1ReadMode};
use zeroize::Zeroizing;

use crate::keys::{KeyBytes, KeyError};

/// Bytes of a data key, or a share of one: 32 or 33, and room for what others may have chosen.
const KEY_BYTES: u64 = 256;

/// Primary keys in one set.
const KEYS: usize = 64;

/// Compressed data in compressed data; one level is what programs write.
const COMPRESSIONS: usize = 2;

/// The first line of an armored private key.
const BLOCK_BEGIN: &str = "-----BEGIN PGP PRIVATE KEY BLOCK-----";

/// Private keys of OpenPGP. `Debug` only counts them.
#[derive(Default)]
pub struct PgpKeys {
    keys: Vec<SignedSecretKey>,
}

/// Why keys cannot be read. No text shows any of them.
#[derive(Debug, thiserror::Error)]
pub enum PgpKeysError {
    /// There is no armored private key.
    #[error("no armored OpenPGP private key found")]
    None,
    /// A key is malformed, or of a kind that is not known. What the library says may quote the bytes of the key.
    #[error("failed to read OpenPGP key: it is malformed, or of a kind that is not known")]
    Malformed,
    /// There are too many.
    #[error("more than {KEYS} OpenPGP keys")]
    TooMany,
}

/// Why the keys do not unwrap a key.
#[derive(Debug, thiserror::Error)]
enum UnwrapError {
    /// What the library says may quote what was decrypted.
    #[error("failed to decrypt sops data key with pgp: the message is malformed, or was changed")]
    Malformed,
    #[error(
        "failed to decrypt sops data key with pgp: the private key {0} is protected by a passphrase, which is unsupported"
    )]
    Protected(String),
    #[error("failed to decrypt sops data key with pgp: no private key for it")]
    NoKey,
    #[error("failed to decrypt sops data key with pgp: more than {KEY_BYTES} bytes")]
    TooLarge,
    #[error("failed to decrypt sops data key with pgp: zero bytes returned")]
    Empty,
}

impl PgpKeys {
    /// Adds the private keys of a text, such as an entry `*.asc` of a Secret: armored blocks, each with one or several keys. What is
    /// not one is left out, as GnuPG leaves out keys that it does not know.
    ///
    /// # Errors
    /// Not one private key can be read; then nothing is added.
    pub fn import(&mut self, text: &str) -> Result<(), PgpKeysError> {
        let mut added = Vec::new();
        let mut is_malformed = false;
        for (start, _) in text.match_indices(BLOCK_BEGIN) {
            let block = text.get(start..).unwrap_or_default();
            let Ok((keys, _)) = SignedSecretKey::from_string_many(block) else {
                is_malformed = true;
                continue;
            };
            for key in keys {
                match key {
                    Ok(key) => added.push(key),
                    Err(_) => is_malformed = true,
                }
                if self.keys.len() + added.len() > KEYS {
                    return Err(PgpKeysError::TooMany);
                }
            }
        }
        match added.is_empty() {
            true if is_malformed => Err(PgpKeysError::Malformed),
            true => Err(PgpKeysError::None),
            false => {
                self.keys.append(&mut added);
                Ok(())
            }
        }
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The key that an armored OpenPGP message holds.
    ///
    /// Whether a key has expired or was revoked is not asked, as with GnuPG: what was encrypted for it stays readable.
    ///
    /// # Errors
    /// No private key fits, or the message is malformed.
    pub fn unwrap(&self, wrapped: &str) -> Result<KeyBytes, KeyError> {
        self.try_unwrap(wrapped).map_err(KeyError::new)
    }

    fn try_unwrap(&self, wrapped: &str) -> Result<KeyBytes, UnwrapError> {
        let (message, _) = Message::from_armor(wrapped.as_bytes()).map_err(|_| UnwrapError::Malformed)?;
        let Message::Encrypted { esk, .. } = &message else { return Err(UnwrapError::NoKey) };
        let protected = self.protected(esk);
        let read_mode = Seipdv1ReadMode::CheckFirst { max_message_size: wrapped.len() };
        let ring = TheRing {
            secret_keys: self.keys.iter().collect(),
            decrypt_options: DecryptionOptions::new().enable_gnupg_aead().set_seipdv1_read_mode(read_mode),
            ..TheRing::default()
        };
        let (mut message, _) =
            message.decrypt_the_ring(ring, true).map_err(|error| match (error, protected) {
                (pgp::errors::Error::MissingKey, Some(key)) => UnwrapError::Protected(key),
                (pgp::errors::Error::MissingKey, None) => UnwrapError::NoKey,
                _ => UnwrapError::Malformed,
            })?;
        for _ in 0..COMPRESSIONS {
            if message.is_compressed() {
                message = message.decompress().map_err(|_| UnwrapError::Malformed)?;
            }
        }
        let mut key = Zeroizing::new(Vec::with_capacity(KEY_BYTES as usize + 1));
        let read = (&mut message).take(KEY_BYTES + 1).read_to_end(&mut key);
        read.map_err(|_| UnwrapError::Malformed)?;
        match key.len() as u64 {
            0 => Err(UnwrapError::Empty),
            length if length > KEY_BYTES => Err(UnwrapError::TooLarge),
            _ => Ok(KeyBytes::new(key)),
        }
    }

    /// The fingerprint of a key that the message is for, if it cannot be used without a passphrase.
    fn protected(&self, esk: &[Esk]) -> Option<String> {
        let recipients = || {
            esk.iter().filter_map(|esk| match esk {
                Esk::PublicKeyEncryptedSessionKey(recipient) => Some(recipient),
                Esk::SymKeyEncryptedSessionKey(_) => None,
            })
        };
        self.keys.iter().find_map(|key| {
            let primary = key.primary_key.secret_params().is_encrypted()
                && is_for(recipients(), key.primary_key.public_key());
            let mut subkeys = key.secret_subkeys.iter();
            let subkey = subkeys.any(|subkey| {
                subkey.secret_params().is_encrypted() && is_for(recipients(), subkey.public_key())
            });
            (primary || subkey).then(|| key.primary_key.fingerprint().to_string().to_uppercase())
        })
    }
}

fn is_for<'a>(
    mut recipients: impl Iterator<Item = &'a PublicKeyEncryptedSessionKey>,
    key: &impl KeyDetails,
) -> bool {
    recipients.any(|recipient| recipient.match_identity(key))
}

impl fmt::Debug for PgpKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PgpKeys").field("keys", &self.keys.len()).finish()
    }
}
