//! Single values: `ENC[AES256_GCM,data:…,iv:…,tag:…,type:…]`.

use aes_gcm::aead::{Aead, KeyInit, Payload, consts::U32};
use aes_gcm::{AesGcm, Nonce, aes::Aes256};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use zeroize::Zeroizing;

use crate::keys::DataKey;
use crate::timestamp;
use crate::tree::{Comment, Value};

/// How every encrypted value begins.
pub(crate) const PREFIX: &str = "ENC[AES256_GCM,";

/// Why a value cannot be decrypted. The texts are those that users know from SOPS and Flux; none shows the value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CipherError {
    /// It does not look like an encrypted value.
    #[error("Input string <redacted> does not match sops' data format")]
    Format,
    /// One of its parts is malformed.
    #[error("Error base64-decoding {0}")]
    Base64(&'static str),
    /// The initialisation vector has not the length that SOPS uses.
    #[error("iv is not 32 bytes long")]
    Nonce,
    /// Another key, another place in the document, or it was changed.
    #[error("Could not decrypt with AES_GCM: cipher: message authentication failed")]
    Authentication,
    /// The type, which is not authenticated, is none that SOPS knows.
    #[error("Unknown datatype")]
    Type,
    /// The plaintext is nothing of its type.
    #[error("failed to convert the decrypted value to its data type: <redacted>")]
    Convert,
    /// The data key has not the length that the cipher needs.
    #[error("data key is not 32 bytes long")]
    Key,
}

/// Decrypts values with one data key.
pub(crate) struct Cipher(AesGcm<Aes256, U32>);

impl Cipher {
    pub fn new(key: &DataKey) -> Result<Self, CipherError> {
        AesGcm::new_from_slice(key.expose()).map(Cipher).map_err(|_| CipherError::Key)
    }

    /// The value of an encrypted text; that of an empty one is empty. `path` is the place in the document, which is authenticated.
    pub fn decrypt(&self, text: &[u8], path: &str) -> Result<Value, CipherError> {
        if text.is_empty() {
            return Ok(Value::Text("".into()));
        }
        let text = str::from_utf8(text).map_err(|_| CipherError::Format)?;
        let parts = Parts::of(text).ok_or(CipherError::Format)?;
        let mut sealed = decode("data", parts.data)?;
        let nonce = decode("iv", parts.iv)?;
        sealed.extend(decode("tag", parts.tag)?);
        let nonce = Nonce::<U32>::try_from(nonce.as_slice()).map_err(|_| CipherError::Nonce)?;
        let plain = self
            .0
            .decrypt(&nonce, Payload { msg: &sealed, aad: path.as_bytes() })
            .map_err(|_| CipherError::Authentication)?;
        typed(Zeroizing::new(plain), parts.kind)
    }
}

fn decode(part: &'static str, text: &str) -> Result<Vec<u8>, CipherError> {
    BASE64_STANDARD.decode(text).map_err(|_| CipherError::Base64(part))
}

/// The parts of an encrypted value, still encoded.
struct Parts<'a> {
    data: &'a str,
    iv: &'a str,
    tag: &'a str,
    kind: &'a str,
}

impl<'a> Parts<'a> {
    /// SOPS looks no further than the last `]`.
    fn of(text: &'a str) -> Option<Parts<'a>> {
        let (rest, _) = text.strip_prefix(PREFIX)?.strip_prefix("data:")?.rsplit_once(']')?;
        let (data, rest) = rest.split_once(",iv:")?;
        let (iv, rest) = rest.split_once(",tag:")?;
        let (tag, kind) = rest.split_once(",type:")?;
        Some(Parts { data, iv, tag, kind })
    }
}

fn typed(plain: Zeroizing<Vec<u8>>, kind: &str) -> Result<Value, CipherError> {
    if kind == "str" {
        return Ok(Value::Text(plain.into()));
    }
    if kind == "bytes" {
        return Ok(Value::Bytes(plain.into()));
    }
    if kind == "comment" {
        return Ok(Value::Comment(Comment { text: plain.into(), inline: false }));
    }
    let text = str::from_utf8(&plain).map_err(|_| CipherError::Convert);
    let value = match kind {
        "int" => text?.parse().ok().map(Value::Int),
        "float" => float(text?).map(Value::Float),
        "bool" => boolean(text?).map(Value::Bool),
        "time" => timestamp::to_nanoseconds(text?).map(Value::Time),
        _ => return Err(CipherError::Type),
    };
    value.ok_or(CipherError::Convert)
}

/// Go's `strconv.ParseBool`; SOPS writes `True` and `False`.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Go's `strconv.ParseFloat`, which refuses what is out of range.
fn float(text: &str) -> Option<f64> {
    let value: f64 = text.parse().ok()?;
    let is_named = text.to_ascii_lowercase().contains("inf");
    (value.is_finite() || value.is_nan() || is_named).then_some(value)
}
