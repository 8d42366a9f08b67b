//! Key rings: armored blocks of public keys.

use pgp::armor::BlockType;
use pgp::composed::{Deserializable, SignedPublicKey, SignedSecretKey};
use pgp::types::KeyDetails;

use super::{ArmorError, dearmor};

/// Bytes of keys in one block; a Secret cannot be larger.
const RING_BYTES: usize = 4 << 20;

/// Why a key ring cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RingError {
    /// It has no armored block. The text is that of Go's library, and people search for it.
    #[error("openpgp: invalid argument: no armored data found")]
    NoArmor,
    /// An armored block cannot be read.
    #[error(transparent)]
    Armor(#[from] ArmorError),
    /// An armored block holds something else than keys.
    #[error("expected public or private key block, got: {0}")]
    Block(BlockType),
}

/// The keys of all blocks in `text`. Keys that are not understood are left out as long as one is.
pub fn read(text: &str) -> Result<Vec<SignedPublicKey>, RingError> {
    let mut unreadable = RingError::NoArmor;
    let mut keys = Vec::new();
    for block in blocks(text) {
        match read_block(block) {
            Ok(found) => keys.extend(found),
            Err(error) => unreadable = error,
        }
    }
    if keys.is_empty() { Err(unreadable) } else { Ok(keys) }
}

/// The armored blocks, each from the line that begins it.
fn blocks(text: &str) -> impl Iterator<Item = &str> {
    const BEGIN: &str = "-----BEGIN ";
    let starts = text.match_indices(BEGIN).map(|(at, _)| at);
    let ends = starts.clone().skip(1).chain([text.len()]);
    starts.zip(ends).filter_map(|(start, end)| text.get(start..end))
}

fn read_block(block: &str) -> Result<Vec<SignedPublicKey>, RingError> {
    let (kind, data) = dearmor(block, RING_BYTES)?;
    match kind {
        BlockType::PublicKey => Ok(keys(SignedPublicKey::from_bytes_many(data.as_slice()), |key| key)),
        // A secret key is not what belongs here, but it says as well who may sign.
        BlockType::PrivateKey => {
            Ok(keys(SignedSecretKey::from_bytes_many(data.as_slice()), |key| key.to_public_key()))
        }
        other => Err(RingError::Block(other)),
    }
}

fn keys<K>(
    found: pgp::errors::Result<impl Iterator<Item = pgp::errors::Result<K>>>,
    public: impl Fn(K) -> SignedPublicKey,
) -> Vec<SignedPublicKey> {
    found.into_iter().flatten().filter_map(Result::ok).map(public).collect()
}

/// The id of the primary key as Flux prints it.
pub fn id(key: &SignedPublicKey) -> String {
    key.legacy_key_id().as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
}
