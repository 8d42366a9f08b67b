//! JSON Web Tokens that are signed with an RSA key, and the PEM that such keys come in.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::KeyPair as _;
use aws_lc_rs::signature::{RSA_PKCS1_SHA256, RSA_PSS_SHA256, RsaEncoding, RsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::Secret;

/// A key cannot be used. The text holds nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(pub(crate) &'static str);

/// How a token is signed.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PSS with SHA-256.
    Ps256,
}

/// A private RSA key.
#[derive(Debug)]
pub(crate) struct SigningKey(RsaKeyPair);

/// One block of PEM: what stands after `BEGIN`, and its bytes.
pub(crate) struct Block {
    pub label: String,
    pub der: Vec<u8>,
}

impl SigningKey {
    /// The first block of `pem`, which has to be a key in PKCS#1 or PKCS#8.
    pub fn from_pem(pem: &str) -> Result<SigningKey, KeyError> {
        Self::from_block(blocks(pem).into_iter().next().as_ref())
    }

    /// A key in PKCS#1 or PKCS#8.
    pub fn from_block(block: Option<&Block>) -> Result<SigningKey, KeyError> {
        let key = match block.map(|block| (block.label.as_str(), &block.der)) {
            Some(("RSA PRIVATE KEY", der)) => RsaKeyPair::from_der(der),
            Some(("PRIVATE KEY", der)) => RsaKeyPair::from_pkcs8(der),
            _ => return Err(KeyError("Key must be a PEM encoded PKCS1 or PKCS8 private key")),
        };
        key.map(SigningKey).map_err(|_| KeyError("it is not an RSA key of 2048 to 8192 bits"))
    }

    /// A token with `claims`; `header` is extended by type and algorithm.
    pub fn sign(&self, algorithm: Algorithm, mut header: Value, claims: &Value) -> Result<Secret, KeyError> {
        let (name, encoding): (_, &'static dyn RsaEncoding) = match algorithm {
            Algorithm::Rs256 => ("RS256", &RSA_PKCS1_SHA256),
            Algorithm::Ps256 => ("PS256", &RSA_PSS_SHA256),
        };
        if let Some(header) = header.as_object_mut() {
            header.extend([("alg".to_owned(), json!(name)), ("typ".to_owned(), json!("JWT"))]);
        }
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", encode(&header), encode(claims));
        let mut signature = vec![0; self.0.public_modulus_len()];
        self.0
            .sign(encoding, &SystemRandom::new(), message.as_bytes(), &mut signature)
            .map_err(|_| KeyError("it does not sign"))?;
        Ok(Secret::new(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }

    /// The public half, in the form in which keys are compared.
    pub fn public(&self) -> &[u8] {
        self.0.public_key().as_ref()
    }
}

/// The blocks of a PEM text, up to the first that is none.
pub(crate) fn blocks(pem: &str) -> Vec<Block> {
    let mut lines = pem.lines().map(str::trim);
    let mut blocks = Vec::new();
    while let Some(begin) = lines.by_ref().find(|line| line.starts_with("-----BEGIN ")) {
        let label = begin.trim_start_matches("-----BEGIN ").trim_end_matches('-').to_owned();
        let body: String = lines.by_ref().take_while(|line| !line.starts_with("-----END ")).collect();
        let Ok(der) = STANDARD.decode(body) else { break };
        blocks.push(Block { label, der });
    }
    blocks
}
