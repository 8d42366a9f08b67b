//! A token server: distribution's token authentication (`docs/content/spec/auth`), for one user.

use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use e2e::pki::Ca;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivatePkcs8KeyDer};

use super::hostile::{Answer, Hostile};

/// What the user looks like in a header.
const ALLOWED: &str = "Basic bWU6aHVudGVyMg==";

/// Signs tokens.
#[derive(Clone)]
pub struct Signer {
    certificate: String,
    key: Vec<u8>,
}

impl Signer {
    /// A signer, and the certificate that a registry has to trust.
    pub fn new() -> (Signer, String) {
        let ca = Ca::new("tokens").unwrap();
        let identity = ca.issue(&["tokens"]).unwrap();
        let certificate = CertificateDer::from_pem_slice(identity.certificate.as_bytes()).unwrap();
        let key = PrivatePkcs8KeyDer::from_pem_slice(identity.key.as_bytes()).unwrap();
        let certificate = STANDARD.encode(&certificate);
        (Signer { certificate, key: key.secret_pkcs8_der().to_vec() }, ca.pem().to_owned())
    }

    /// A token for `team/app`, valid for five minutes.
    pub fn token(&self, actions: &[&str]) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let header = serde_json::json!({"alg": "ES256", "typ": "JWT", "x5c": [self.certificate]});
        let claims = serde_json::json!({
            "iss": "issuer", "sub": "me", "aud": "registry", "jti": "1",
            "iat": now, "nbf": now, "exp": now + 300,
            "access": [{"type": "repository", "name": "team/app", "actions": actions}],
        });
        let encoded = |json: serde_json::Value| URL_SAFE_NO_PAD.encode(json.to_string());
        let signed = format!("{}.{}", encoded(header), encoded(claims));
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &self.key).unwrap();
        let signature = key.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// A server that gives the user tokens that last so many seconds, and nobody else.
    pub fn serve(&self, expires_in: u64) -> Hostile {
        let signer = self.clone();
        Hostile::start(move |question| match question.authorization() {
            Some(ALLOWED)
                if question.line.contains("scope=repository%3Ateam%2Fapp%3Apull&service=registry") =>
            {
                let token = serde_json::json!({"token": signer.token(&["pull"]), "expires_in": expires_in});
                Answer::ok(token.to_string())
            }
            _ => Answer::status(401).body(r#"{"errors":[{"code":"UNAUTHORIZED","message":"unknown user"}]}"#),
        })
    }
}
