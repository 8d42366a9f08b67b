//! OpenPGP signatures.
//!
//! A signature counts if a key of a ring made it, and that key may sign now. The rules are those of ProtonMail's go-crypto,
//! which Flux uses: a key that is revoked or expired *now* does not count, whatever the time of the signature. Beyond them,
//! a signature must not be older than its key (as with GnuPG), and SHA-1 values that show a collision attack are refused. SHA-1
//! itself counts, as it does for Flux: the self-signatures of many keys in use are made with it. MD5 and RIPEMD-160 do not.
//! Of the curve secp256k1 only signatures in normal form (low `s`) count, which is all that the library for it accepts.
//!
//! Where an armor holds several signatures, one that counts is enough: it signs the same payload.

mod policy;
mod ring;

use std::io::{self, Read};
use std::time::SystemTime;

use pgp::armor::{BlockType, Dearmor};
use pgp::packet::{Packet, PacketParser, Signature};

pub use self::policy::Flaw;
pub use self::ring::RingError;
use crate::Limits;
use crate::object::SignedObject;

/// Why no key accepts an OpenPGP signature.
#[derive(Debug, thiserror::Error)]
pub enum OpenPgpError {
    /// None of the rings can be read.
    #[error("unable to read armored key ring: {0}")]
    Ring(#[from] RingError),
    /// There are keys, but none accepts it; the id of one that has made it, and what is wrong.
    #[error("unable to verify payload with any of the given key rings: no matching key{}", because(.0.as_ref()))]
    NoMatch(Option<(String, Flaw)>),
}

/// Why an armored block cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ArmorError {
    /// It is malformed.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// Its first line does not say what it holds.
    #[error("armor without a type")]
    Type,
}

fn because(flaw: Option<&(String, Flaw)>) -> String {
    flaw.map(|(key, flaw)| format!(" (key {key} {flaw})")).unwrap_or_default()
}

/// Verifies with the keys of `rings`; gives the id of the primary key that signed, or whose subkey did.
pub fn verify(
    object: &SignedObject,
    rings: &[String],
    now: SystemTime,
    limits: &Limits,
) -> Result<String, OpenPgpError> {
    let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let signatures = signatures(object.signature(), limits);
    let (mut unreadable, mut attempted, mut flaw) = (None, false, None);
    for text in rings {
        let keys = match ring::read(text) {
            Ok(keys) => keys,
            Err(error) => {
                unreadable = unreadable.or(Some(error));
                continue;
            }
        };
        attempted = true;
        for (key, signature) in keys.iter().flat_map(|key| signatures.iter().map(move |s| (key, s))) {
            match policy::accepts(key, signature, object.payload(), now) {
                Some(Ok(())) => return Ok(ring::id(key)),
                Some(Err(found)) => flaw = flaw.or(Some((ring::id(key), found))),
                None => {}
            }
        }
    }
    match unreadable {
        Some(error) if !attempted => Err(OpenPgpError::Ring(error)),
        _ => Err(OpenPgpError::NoMatch(flaw)),
    }
}

/// The signature packets of the first armor; none at all if anything in it is not understood.
fn signatures(armored: &str, limits: &Limits) -> Vec<Signature> {
    let Ok((BlockType::Signature, data)) = dearmor(armored.trim(), limits.signature) else {
        return Vec::new();
    };
    let packets = PacketParser::new(data.as_slice()).take(limits.signatures + 1);
    let signatures: Option<Vec<_>> = packets
        .map(|packet| match packet {
            Ok(Packet::Signature(signature)) => Some(signature),
            _ => None,
        })
        .collect();
    signatures.filter(|list| list.len() <= limits.signatures).unwrap_or_default()
}

/// Type and bytes of an armored block.
fn dearmor(text: &str, limit: usize) -> Result<(BlockType, Vec<u8>), ArmorError> {
    let mut reader = Dearmor::new(text.as_bytes());
    let mut data = Vec::new();
    (&mut reader).take(limit as u64).read_to_end(&mut data)?;
    let kind = reader.typ.ok_or(ArmorError::Type)?;
    Ok((kind, data))
}
