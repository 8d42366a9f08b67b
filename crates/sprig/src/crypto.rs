//! Digests, passwords, encryption, keys and certificates.

mod certificates;
mod keys;
mod master_password;

use std::sync::Arc;

use aws_lc_rs::cipher::{
    AES_256, DecryptingKey, DecryptionContext, EncryptionContext, PaddedBlockEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::digest::{self, Algorithm};
use aws_lc_rs::iv::FixedLength;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gotemplate::Error;
use gotemplate::value::Type;

use crate::call::{Call, Outcome, Table};
use crate::encodings::decode_base64;
use crate::host::Host;

const TEXT: Type = Type::String;

/// The cost of bcrypt that Go's library takes by default: two to this power rounds.
const BCRYPT_COST: u32 = 10;

/// The most bytes that bcrypt reads.
const BCRYPT_LONGEST: usize = 72;

/// What a hash of bcrypt takes, in steps.
const BCRYPT_STEPS: usize = 1_000_000;

/// Of AES.
const BLOCK: usize = 16;

pub(crate) fn add(table: &mut Table, host: &Arc<dyn Host>) {
    for (name, algorithm) in [
        ("sha1sum", &digest::SHA1_FOR_LEGACY_USE_ONLY),
        ("sha256sum", &digest::SHA256),
        ("sha512sum", &digest::SHA512),
    ] {
        table.add(name, &[TEXT], TEXT, move |call| sum(call, algorithm));
    }
    table.add("adler32sum", &[TEXT], TEXT, |call| {
        call.context.step(call.text(0).len() / 64)?;
        call.string(adler32(call.text(0)).to_string())
    });
    let source = host.clone();
    table.add("bcrypt", &[TEXT], TEXT, move |call| call.string(bcrypt(call, &*source, call.text(0))?));
    let source = host.clone();
    table.add("htpasswd", &[TEXT, TEXT], TEXT, move |call| {
        let user = String::from_utf8_lossy(call.text(0));
        if user.contains(':') {
            return call.string(format!("invalid username: {user}"));
        }
        call.string(format!("{user}:{}", bcrypt(call, &*source, call.text(1))?))
    });
    let source = host.clone();
    table.add("encryptAES", &[TEXT, TEXT], TEXT, move |call| encrypt(call, &*source));
    table.add("decryptAES", &[TEXT, TEXT], TEXT, decrypt);
    master_password::add(table);
    keys::add(table);
    certificates::add(table, host);
}

fn sum(call: &Call<'_>, algorithm: &'static Algorithm) -> Outcome {
    call.context.step(call.text(0).len() / 64)?;
    let digest = digest::digest(algorithm, call.text(0));
    call.string(digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

fn adler32(bytes: &[u8]) -> u32 {
    const MODULUS: u32 = 65_521;
    let (low, high) = bytes.iter().fold((1, 0), |(low, high), byte| {
        let low = (low + u32::from(*byte)) % MODULUS;
        (low, (high + low) % MODULUS)
    });
    high << 16 | low
}

fn bcrypt(call: &Call<'_>, host: &dyn Host, password: &[u8]) -> Result<String, Error> {
    const FAILED: &str = "failed to encrypt string with bcrypt: bcrypt:";
    if password.len() > BCRYPT_LONGEST {
        return Ok(format!("{FAILED} password length exceeds {BCRYPT_LONGEST} bytes"));
    }
    call.context.step(BCRYPT_STEPS)?;
    let mut salt = [0; 16];
    host.fill(&mut salt)?;
    let hash = ::bcrypt::hash_with_salt(password, BCRYPT_COST, salt);
    let hash = hash.map_err(|error| Error::from(format!("{FAILED} {error}")))?;
    Ok(hash.format_for_version(::bcrypt::Version::TwoA))
}

/// The password is the key: cut, or filled up with zeros.
fn aes_key(password: &[u8]) -> Result<UnboundCipherKey, Error> {
    let mut key = [0; 32];
    key.iter_mut().zip(password).for_each(|(byte, of_password)| *byte = *of_password);
    UnboundCipherKey::new(&AES_256, &key).map_err(|_| "the key is bad".into())
}

fn encrypt(call: &Call<'_>, host: &dyn Host) -> Outcome {
    let mut text = call.text(1).to_vec();
    if text.is_empty() {
        return call.string("");
    }
    call.context.charge(text.len().saturating_mul(2))?;
    let mut vector = [0; BLOCK];
    host.fill(&mut vector)?;
    let failed = |_| Error::from("the encryption failed");
    let key = PaddedBlockEncryptingKey::cbc_pkcs7(aes_key(call.text(0))?).map_err(failed)?;
    key.less_safe_encrypt(&mut text, EncryptionContext::Iv128(FixedLength::from(vector))).map_err(failed)?;
    call.string(STANDARD.encode([&vector, text.as_slice()].concat()))
}

fn decrypt(call: &Call<'_>) -> Outcome {
    if call.text(1).is_empty() {
        return call.string("");
    }
    call.context.charge(call.text(1).len())?;
    let bytes = decode_base64(call.text(1))?;
    let Some((vector, text)) = bytes.split_first_chunk::<BLOCK>() else {
        return Err(format!(
            "runtime error: slice bounds out of range [:{BLOCK}] with capacity {}",
            bytes.len()
        )
        .into());
    };
    if text.len() % BLOCK != 0 {
        return Err("crypto/cipher: input not full blocks".into());
    }
    let mut text = text.to_vec();
    let failed = |_| Error::from("the decryption failed");
    let key = DecryptingKey::cbc(aes_key(call.text(0))?).map_err(failed)?;
    key.decrypt(&mut text, DecryptionContext::Iv128(FixedLength::from(*vector))).map_err(failed)?;
    // What the last byte says was added. Go looks no closer.
    let Some(padding) = text.last().copied() else {
        return Err("runtime error: index out of range [-1]".into());
    };
    let end = text.len().checked_sub(padding.into()).ok_or_else(|| {
        let end = i64::try_from(text.len()).unwrap_or_default() - i64::from(padding);
        Error::from(format!("runtime error: slice bounds out of range [:{end}]"))
    })?;
    call.string(text.get(..end).unwrap_or_default())
}
