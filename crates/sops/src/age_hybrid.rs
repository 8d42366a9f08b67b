//! Post-quantum hybrid identities of age, `AGE-SECRET-KEY-PQ-1…`, which the crate `age` does not have.
//!
//! A file key is wrapped with HPKE (RFC 9180) in its base mode: KEM MLKEM768-X25519 (X-Wing, draft-ietf-hpke-pq), HKDF-SHA256,
//! ChaCha20-Poly1305, as the recipient type `mlkem768x25519` of <https://c2sp.org/age> says. The primitives are those of `ml-kem`,
//! `shake` and aws-lc-rs; here they are put together. `e2e/tests/sops` has files that the original has encrypted.

use age::DecryptError;
use age_core::format::{FILE_KEY_BYTES, FileKey, Stanza};
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::digest::{Context, SHA3_256};
use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use bech32::FromBase32;
use ml_kem::kem::Decapsulate;
use ml_kem::ml_kem_768::{Ciphertext, DecapsulationKey};
use shake::{ExtendableOutput, Shake256, Update, XofReader};
use zeroize::Zeroizing;

/// How such identities begin.
pub(crate) const PREFIX: &str = "AGE-SECRET-KEY-PQ-1";

/// The human-readable part, as it is decoded.
const HUMAN_READABLE: &str = "age-secret-key-pq-";

/// The type of stanzas.
const STANZA: &str = "mlkem768x25519";

/// What the keys are for.
const INFO: &[u8] = b"age-encryption.org/mlkem768x25519";

/// `HPKE`, and the numbers of KEM, KDF and AEAD.
const SUITE: &[u8] = b"HPKE\x64\x7a\x00\x01\x00\x03";

/// Ends the input of X-Wing's combiner.
const XWING_LABEL: &[u8] = br"\.//^\";

/// Bytes of a ciphertext of ML-KEM-768.
const CIPHERTEXT_BYTES: usize = 1088;

/// A private key of both kinds.
pub(crate) struct HybridIdentity {
    post_quantum: DecapsulationKey,
    curve: PrivateKey,
    curve_public: [u8; 32],
}

impl HybridIdentity {
    /// Reads the Bech32 of an identity. Nothing is told of one that is malformed.
    pub fn parse(text: &str) -> Option<Self> {
        let (human_readable, data, bech32::Variant::Bech32) = bech32::decode(text).ok()? else { return None };
        let secret = Zeroizing::new(Vec::<u8>::from_base32(&data).ok()?);
        if human_readable.to_ascii_lowercase() != HUMAN_READABLE || secret.len() != 32 {
            return None;
        }
        // The secret is the seed of both keys.
        let mut hash = Shake256::default();
        hash.update(&secret);
        let mut reader = hash.finalize_xof();
        let (mut lattice_seed, mut curve_seed) = (Zeroizing::new([0; 64]), Zeroizing::new([0; 32]));
        reader.read(&mut *lattice_seed);
        reader.read(&mut *curve_seed);
        let curve = PrivateKey::from_private_key(&X25519, &*curve_seed).ok()?;
        let curve_public = curve.compute_public_key().ok()?.as_ref().try_into().ok()?;
        Some(HybridIdentity {
            post_quantum: DecapsulationKey::from_seed((*lattice_seed).into()),
            curve,
            curve_public,
        })
    }

    /// The file key in a stanza, if the stanza is for this identity.
    fn open(&self, encapsulated: &[u8], body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (ciphertext, ephemeral) = encapsulated.split_at_checked(CIPHERTEXT_BYTES)?;
        let lattice_secret = self.post_quantum.decapsulate(&Ciphertext::try_from(ciphertext).ok()?);
        let peer = UnparsedPublicKey::new(&X25519, ephemeral);
        let shared = agree(&self.curve, peer, (), |curve_secret| {
            let mut hash = Context::new(&SHA3_256);
            for part in [lattice_secret.as_slice(), curve_secret, ephemeral, &self.curve_public, XWING_LABEL]
            {
                hash.update(part);
            }
            Ok(Zeroizing::new(hash.finish().as_ref().to_vec()))
        });
        let (key, nonce) = key_schedule(&shared.ok()?);
        let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &*key).ok()?);
        let nonce = Nonce::try_assume_unique_for_key(nonce.get(..12)?).ok()?;
        let mut plain = Zeroizing::new(body.to_vec());
        let length = key.open_in_place(nonce, Aad::empty(), &mut plain).ok()?.len();
        plain.truncate(length);
        Some(plain)
    }
}

impl age::Identity for HybridIdentity {
    fn unwrap_stanza(&self, stanza: &Stanza) -> Option<Result<FileKey, DecryptError>> {
        if stanza.tag != STANZA {
            return None;
        }
        let encapsulated = match stanza.args.as_slice() {
            [argument] => BASE64_STANDARD_NO_PAD.decode(argument).ok(),
            _ => None,
        };
        let Some(encapsulated) =
            encapsulated.filter(|_| stanza.body.len() == FILE_KEY_BYTES + CHACHA20_POLY1305.tag_len())
        else {
            return Some(Err(DecryptError::InvalidHeader));
        };
        // One for somebody else cannot be told from one that is malformed.
        let plain = self.open(&encapsulated, &stanza.body)?;
        let key: Option<&[u8; FILE_KEY_BYTES]> = plain.as_slice().try_into().ok();
        key.map(|key| Ok(FileKey::init_with_mut(|bytes| bytes.copy_from_slice(key))))
    }
}

/// Key and nonce of the first message, which has 12 bytes of the latter. RFC 9180, section 5.1, mode 0 without a pre-shared key.
fn key_schedule(shared_secret: &[u8]) -> (Zeroizing<[u8; 32]>, Zeroizing<[u8; 32]>) {
    let mut context = vec![0];
    context.extend_from_slice(&*labeled_extract(b"", b"psk_id_hash", b""));
    context.extend_from_slice(&*labeled_extract(b"", b"info_hash", INFO));
    let secret = labeled_extract(shared_secret, b"secret", b"");
    (labeled_expand(&secret, b"key", &context, 32), labeled_expand(&secret, b"base_nonce", &context, 12))
}

fn labeled_extract(salt: &[u8], label: &[u8], input: &[u8]) -> Zeroizing<[u8; 32]> {
    hmac_sha256(salt, &[b"HPKE-v1", SUITE, label, input])
}

/// One block of HKDF, which has all bytes that are asked for here.
fn labeled_expand(secret: &[u8; 32], label: &[u8], info: &[u8], length: u16) -> Zeroizing<[u8; 32]> {
    hmac_sha256(secret, &[&length.to_be_bytes(), b"HPKE-v1", SUITE, label, info, &[1]])
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; 32]> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    let mut output = Zeroizing::new([0; 32]);
    output.copy_from_slice(context.sign().as_ref());
    output
}
