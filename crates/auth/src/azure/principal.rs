//! Applications that prove themselves with what is their own: a secret or a certificate.

use std::time::SystemTime;

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use secret::redact;
use serde_json::json;
use url::Url;

use super::{Application, AzureError, exchange, proof_by};
use crate::jwt::{Algorithm, Block, SigningKey, blocks};
use crate::{AccessToken, Http, KeyError, Secret};

/// How long an assertion is good, seconds.
const ASSERTION_LIFETIME_SECONDS: u64 = 600;

/// An application with its proof.
#[derive(Debug)]
pub struct Principal {
    /// The application.
    pub application: Application,
    /// How it proves itself.
    pub proof: Proof,
    /// Where its tokens are given.
    pub authority: Url,
}

/// A text that is no place where tokens may be given: it would get a secret in the clear.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid 'authorityHost' '{0}': it must be an https URL")]
pub struct AuthorityError(String);

/// Where the tokens of an application are given, as its owner names it.
///
/// # Errors
/// For what is no https URL.
pub fn authority_url(text: &str) -> Result<Url, AuthorityError> {
    let url = Url::parse(text).ok().filter(|url| url.scheme() == "https" && url.query().is_none());
    url.ok_or_else(|| AuthorityError(redact(text)))
}

/// How an application proves itself.
#[derive(Debug)]
pub enum Proof {
    /// A client secret.
    Secret(Secret),
    /// A client certificate.
    Certificate(Certificate),
}

/// A certificate with its key, and those that it was signed by.
#[derive(Debug)]
pub struct Certificate {
    key: SigningKey,
    /// In DER; the first one is that of the key.
    chain: Vec<Vec<u8>>,
    send_chain: bool,
}

/// A text that is no certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// Not PEM.
    #[error("the client certificate is not PEM; PKCS#12 (PFX) is not supported: convert it to PEM")]
    NotPem,
    /// A key with a password.
    #[error("encrypted private keys are not supported: store the key without a password")]
    Encrypted,
    /// No certificate.
    #[error("found no certificate")]
    NoCertificate,
    /// No key, or one that cannot be used.
    #[error("found no private key that can be used: {0}")]
    Key(#[from] KeyError),
    /// A key of another certificate.
    #[error("found no certificate of the private key")]
    Mismatch,
}

impl Certificate {
    /// Reads certificates and a private RSA key in PEM, in any order. With `send_chain` the certificates are shown to Entra,
    /// which some applications trust by their issuer.
    ///
    /// # Errors
    /// For what does not hold both, PKCS#12 and encrypted keys included.
    pub fn from_pem(pem: &str, send_chain: bool) -> Result<Certificate, CertificateError> {
        let blocks = blocks(pem);
        if blocks.is_empty() {
            return Err(CertificateError::NotPem);
        }
        if blocks.iter().any(|block| block.label == "ENCRYPTED PRIVATE KEY") || pem.contains("Proc-Type:") {
            return Err(CertificateError::Encrypted);
        }
        let is_certificate = |block: &Block| block.label == "CERTIFICATE";
        let (mut certificates, others): (Vec<_>, Vec<_>) = blocks.into_iter().partition(is_certificate);
        if certificates.is_empty() {
            return Err(CertificateError::NoCertificate);
        }
        let key = others.iter().find(|block| block.label.ends_with("PRIVATE KEY"));
        let key = SigningKey::from_block(key)?;
        // A certificate holds the bytes of its public key.
        let public = key.public();
        let of_key = |block: &Block| block.der.windows(public.len()).any(|bytes| bytes == public);
        let own = certificates.iter().position(of_key).ok_or(CertificateError::Mismatch)?;
        certificates.swap(0, own);
        Ok(Certificate { key, chain: certificates.into_iter().map(|block| block.der).collect(), send_chain })
    }

    /// The proof for `audience`, as Microsoft's page "certificate credentials" describes it.
    fn assertion(&self, client: &str, audience: &str, now: SystemTime) -> Result<Secret, KeyError> {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        let own = self.chain.first().map(Vec::as_slice).unwrap_or_default();
        let thumbprint = digest::digest(&digest::SHA256, own);
        let mut header = json!({"x5t#S256": URL_SAFE_NO_PAD.encode(thumbprint)});
        if let (true, Some(header)) = (self.send_chain, header.as_object_mut()) {
            let chain: Vec<String> = self.chain.iter().map(|der| STANDARD.encode(der)).collect();
            header.insert("x5c".to_owned(), json!(chain));
        }
        let mut id = [0; 16];
        aws_lc_rs::rand::fill(&mut id).map_err(|_| KeyError("no random bytes"))?;
        let claims = json!({
            "aud": audience,
            "iss": client,
            "sub": client,
            "jti": URL_SAFE_NO_PAD.encode(id),
            "nbf": now,
            "exp": now + ASSERTION_LIFETIME_SECONDS,
        });
        self.key.sign(Algorithm::Ps256, header, &claims)
    }
}

impl Principal {
    /// A token for what `scope` names.
    ///
    /// # Errors
    /// When Entra gives none.
    pub async fn token(&self, scope: &str, http: &Http) -> Result<AccessToken, AzureError> {
        let url = self.application.token_url(self.authority.as_str());
        match &self.proof {
            Proof::Secret(secret) => {
                exchange(&self.application, url, &[("client_secret", secret.expose())], scope, http).await
            }
            Proof::Certificate(certificate) => {
                let assertion = certificate.assertion(&self.application.client, &url, SystemTime::now())?;
                exchange(&self.application, url, &proof_by(assertion.expose()), scope, http).await
            }
        }
    }
}
