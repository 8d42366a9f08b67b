//! Keys of OpenPGP, made by the crate `pgp`; `e2e/tests/sops` has those of GnuPG, RSA among them.
#![allow(clippy::unwrap_used)]

use pgp::composed::{
    ArmorOptions, EncryptionCaps, KeyType, MessageBuilder, SecretKeyParamsBuilder, SignedSecretKey,
    SubkeyParamsBuilder,
};
use pgp::crypto::aead::{AeadAlgorithm, ChunkSize};
use pgp::crypto::ecc_curve::ECCCurve;
use pgp::crypto::sym::SymmetricKeyAlgorithm;
use pgp::types::{CompressionAlgorithm, KeyDetails, KeyVersion};
use rand_08::thread_rng;
use sops::{PgpKeys, PgpKeysError};

const KEY: &[u8] = b"0123456789abcdef0123456789abcdef";

fn generate(
    version: KeyVersion,
    primary: KeyType,
    subkey: KeyType,
    passphrase: Option<&str>,
) -> SignedSecretKey {
    let subkey = SubkeyParamsBuilder::default()
        .version(version)
        .key_type(subkey)
        .can_encrypt(EncryptionCaps::All)
        .passphrase(passphrase.map(Into::into))
        .build()
        .unwrap();
    let mut params = SecretKeyParamsBuilder::default();
    params
        .version(version)
        .key_type(primary)
        .can_certify(true)
        .can_sign(true)
        .primary_user_id("someone <someone@example.com>".into())
        .passphrase(passphrase.map(Into::into))
        .subkey(subkey);
    params.build().unwrap().generate(thread_rng()).unwrap()
}

fn curve25519() -> SignedSecretKey {
    generate(KeyVersion::V4, KeyType::Ed25519Legacy, KeyType::ECDH(ECCCurve::Curve25519Legacy), None)
}

fn armored(key: &SignedSecretKey) -> String {
    key.to_armored_string(ArmorOptions::default()).unwrap()
}

fn wrap(key: &SignedSecretKey, content: &[u8]) -> String {
    let public = key.to_public_key();
    let subkey = public.public_subkeys.first().unwrap();
    let mut message = MessageBuilder::from_bytes("", content.to_vec())
        .seipd_v1(thread_rng(), SymmetricKeyAlgorithm::AES256);
    message.encrypt_to_key(thread_rng(), subkey).unwrap();
    message.to_armored_string(thread_rng(), ArmorOptions::default()).unwrap()
}

fn keys(text: &str) -> PgpKeys {
    let mut keys = PgpKeys::default();
    keys.import(text).unwrap_or_else(|error| panic!("{error}"));
    keys
}

#[test]
fn keys_are_unwrapped_by_the_key_that_they_are_for() {
    let p256 = generate(KeyVersion::V4, KeyType::ECDSA(ECCCurve::P256), KeyType::ECDH(ECCCurve::P256), None);
    let modern = generate(KeyVersion::V6, KeyType::Ed25519, KeyType::X25519, None);
    let all = [curve25519(), p256, modern];
    let text: String = all.iter().map(|key| format!("a comment\n{}\n", armored(key))).collect();
    let held = keys(&text);
    for key in &all {
        assert_eq!(held.unwrap(&wrap(key, KEY)).unwrap().expose(), KEY, "{:?}", key.primary_key.algorithm());
    }
    let stranger = held.unwrap(&wrap(&curve25519(), KEY)).unwrap_err();
    assert_eq!(stranger.to_string(), "failed to decrypt sops data key with pgp: no private key for it");
}

#[test]
fn messages_with_authenticated_encryption_are_read() {
    let key = generate(KeyVersion::V6, KeyType::Ed25519, KeyType::X25519, None);
    for algorithm in [AeadAlgorithm::Ocb, AeadAlgorithm::Gcm, AeadAlgorithm::Eax] {
        let public = key.to_public_key();
        let mut message = MessageBuilder::from_bytes("", KEY.to_vec()).seipd_v2(
            thread_rng(),
            SymmetricKeyAlgorithm::AES256,
            algorithm,
            ChunkSize::default(),
        );
        message.encrypt_to_key(thread_rng(), public.public_subkeys.first().unwrap()).unwrap();
        let text = message.to_armored_string(thread_rng(), ArmorOptions::default()).unwrap();
        assert_eq!(keys(&armored(&key)).unwrap(&text).unwrap().expose(), KEY, "{algorithm:?}");
    }
}

#[test]
fn keys_with_a_passphrase_are_named() {
    let key = generate(
        KeyVersion::V4,
        KeyType::Ed25519Legacy,
        KeyType::ECDH(ECCCurve::Curve25519Legacy),
        Some("passphrase"),
    );
    let held = keys(&format!("{}{}", armored(&curve25519()), armored(&key)));
    let fingerprint = key.primary_key.fingerprint().to_string().to_uppercase();
    assert_eq!(
        held.unwrap(&wrap(&key, KEY)).unwrap_err().to_string(),
        format!(
            "failed to decrypt sops data key with pgp: the private key {fingerprint} is protected by a passphrase, which is unsupported"
        )
    );
}

#[test]
fn text_without_a_private_key_is_refused() {
    let import = |text: &str| PgpKeys::default().import(text).unwrap_err();
    assert!(matches!(import(""), PgpKeysError::None));
    let public = curve25519().to_public_key().to_armored_string(ArmorOptions::default()).unwrap();
    assert!(matches!(import(&public), PgpKeysError::None));
    let text = armored(&curve25519());
    let broken = text.get(..text.len() / 2).unwrap();
    assert!(matches!(import(broken), PgpKeysError::Malformed), "{}", import(broken));
    assert!(matches!(import(&text.repeat(65)), PgpKeysError::TooMany));
    assert!(PgpKeys::default().is_empty());
    assert!(!keys(&text).is_empty());
}

#[test]
fn errors_show_nothing_of_keys_and_messages() {
    let key = curve25519();
    let text = armored(&key);
    let cut = (0..text.len()).step_by(5).filter_map(|end| text.get(..end).map(str::to_owned));
    let changed = text.replace("END PGP PRIVATE", "END PGP PRlVATE");
    for broken in cut.chain([changed]) {
        let Err(error) = PgpKeys::default().import(&broken) else { continue };
        let shown = match error {
            PgpKeysError::None => "no armored OpenPGP private key found",
            _ => "failed to read OpenPGP key: it is malformed, or of a kind that is not known",
        };
        assert_eq!(error.to_string(), shown);
        assert!(format!("{error:?}").len() < 20, "{error:?}");
    }
    let held = keys(&text);
    let wrapped = wrap(&key, KEY);
    let other = |byte: u8| if byte == b'A' { "B" } else { "A" };
    for (at, byte) in wrapped.bytes().enumerate().step_by(3).filter(|(_, byte)| byte.is_ascii_alphanumeric())
    {
        let mut broken = wrapped.clone();
        broken.replace_range(at..=at, other(byte));
        let Err(error) = held.unwrap(&broken) else { continue };
        let error = error.to_string();
        let why = error.strip_prefix("failed to decrypt sops data key with pgp: ").unwrap();
        let known =
            ["the message is malformed, or was changed", "no private key for it", "zero bytes returned"];
        assert!(known.contains(&why), "{error}");
    }
}

#[test]
fn messages_that_ask_for_too_much_are_refused() {
    let key = curve25519();
    let held = keys(&armored(&key));
    assert!(held.unwrap(&wrap(&key, &[7; 10_000])).unwrap_err().to_string().ends_with("more than 256 bytes"));
    assert!(held.unwrap(&wrap(&key, b"")).unwrap_err().to_string().ends_with("zero bytes returned"));

    // A few bytes stand for many.
    let public = key.to_public_key();
    let mut message = MessageBuilder::from_bytes("", vec![0; 5_000_000]);
    message.compression(CompressionAlgorithm::ZLIB);
    let mut message = message.seipd_v1(thread_rng(), SymmetricKeyAlgorithm::AES256);
    message.encrypt_to_key(thread_rng(), public.public_subkeys.first().unwrap()).unwrap();
    let bomb = message.to_armored_string(thread_rng(), ArmorOptions::default()).unwrap();
    assert!(bomb.len() < 20_000, "{}", bomb.len());
    assert!(held.unwrap(&bomb).unwrap_err().to_string().ends_with("more than 256 bytes"));

    for text in [
        "",
        "text",
        "-----BEGIN PGP MESSAGE-----\n",
        "-----BEGIN PGP MESSAGE-----\n\nAAAA\n-----END PGP MESSAGE-----\n",
    ] {
        assert!(held.unwrap(text).is_err(), "{text}");
    }
    let wrapped = wrap(&key, KEY);
    // The checksum of the armor is not needed.
    let end = wrapped.rfind("\n=").unwrap();
    for cut in (0..end).step_by(3) {
        assert!(held.unwrap(wrapped.get(..cut).unwrap()).is_err(), "{cut}");
    }
}
