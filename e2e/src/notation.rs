//! Signatures as Notation makes them: flattened JWS by a certificate for signing artifacts.

use anyhow::{Result, anyhow};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use oci::{Digest, OCI_INDEX, OCI_MANIFEST};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use reqwest::StatusCode;
use serde_json::json;

use crate::registry::{Pusher, descriptor};

/// The type of manifests that hold a signature.
const ARTIFACT_TYPE: &str = "application/vnd.cncf.notary.signature";
/// The type of envelopes.
const JWS: &str = "application/jose+json";

/// A root, and a certificate of it that signs.
#[derive(Debug)]
pub struct Notation {
    root: String,
    chain: Vec<Vec<u8>>,
    key: EcdsaKeyPair,
}

impl Notation {
    /// Who signs is `C=US, ST=WA, O=<organization>`.
    pub fn new(organization: &str) -> Result<Notation> {
        let params = |common: &str| {
            let mut params = CertificateParams::default();
            let name = &mut params.distinguished_name;
            name.push(DnType::CountryName, "US");
            name.push(DnType::StateOrProvinceName, "WA");
            name.push(DnType::OrganizationName, organization);
            name.push(DnType::CommonName, common);
            params
        };
        let mut authority = params("root");
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let root_key = KeyPair::generate()?;
        let root = authority.self_signed(&root_key)?;
        let mut leaf = params("leaf");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        let key = KeyPair::generate()?;
        let certificate = leaf.signed_by(&key, &Issuer::new(authority, root_key))?;
        let chain = vec![certificate.der().to_vec(), root.der().to_vec()];
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &key.serialize_der())
            .map_err(|error| anyhow!("{error}"))?;
        Ok(Notation { root: root.pem(), chain, key })
    }

    /// The certificate of the root, PEM.
    pub fn root(&self) -> &str {
        &self.root
    }

    /// Signs a manifest.
    pub fn sign(&self, digest: &Digest, size: usize) -> Result<Vec<u8>> {
        let protected = json!({
            "alg": "ES256",
            "cty": "application/vnd.cncf.notary.payload.v1+json",
            "crit": ["io.cncf.notary.signingScheme"],
            "io.cncf.notary.signingScheme": "notary.x509",
            "io.cncf.notary.signingTime": "2026-01-01T00:00:00Z",
        });
        let target = json!({"mediaType": OCI_MANIFEST, "digest": digest.to_string(), "size": size});
        let payload = json!({"targetArtifact": target}).to_string();
        let (protected, payload) =
            (URL_SAFE_NO_PAD.encode(protected.to_string()), URL_SAFE_NO_PAD.encode(payload));
        let message = format!("{protected}.{payload}");
        let signature =
            self.key.sign(&SystemRandom::new(), message.as_bytes()).map_err(|_| anyhow!("no signature"))?;
        let chain: Vec<String> = self.chain.iter().map(|der| STANDARD.encode(der)).collect();
        let envelope = json!({
            "payload": payload,
            "protected": protected,
            "header": {"x5c": chain},
            "signature": URL_SAFE_NO_PAD.encode(signature.as_ref()),
        });
        Ok(envelope.to_string().into_bytes())
    }

    /// Signs a manifest that is in a registry, and puts the signature there.
    pub async fn attach(&self, pusher: &Pusher, digest: &Digest) -> Result<()> {
        let manifest = pusher.get(&digest.to_string()).await;
        attach(pusher, digest, JWS, &self.sign(digest, manifest.len())?).await;
        Ok(())
    }
}

/// Puts an envelope into a registry, as a signature of a manifest that is there. In one that does not list referrers, it is the only one.
pub async fn attach(pusher: &Pusher, digest: &Digest, media_type: &str, envelope: &[u8]) {
    let manifest = pusher.get(&digest.to_string()).await;
    let signature = json!({
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "artifactType": ARTIFACT_TYPE,
        "config": descriptor(ARTIFACT_TYPE, b"{}"),
        "layers": [descriptor(media_type, envelope)],
        "subject": descriptor(OCI_MANIFEST, &manifest),
    });
    let signature = signature.to_string();
    pusher.blob(b"{}").await;
    pusher.blob(envelope).await;
    let name = Digest::of(signature.as_bytes()).to_string();
    pusher.manifest(&name, OCI_MANIFEST, signature.as_bytes()).await;
    let list = pusher.client.get(format!("{}/referrers/{digest}", pusher.url)).send().await;
    if list.is_ok_and(|list| list.status() == StatusCode::OK) {
        return;
    }
    let mut referrer = descriptor(OCI_MANIFEST, signature.as_bytes());
    if let Some(referrer) = referrer.as_object_mut() {
        referrer.insert("artifactType".to_owned(), ARTIFACT_TYPE.into());
    }
    let index = json!({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [referrer]});
    let tag = format!("sha256-{}", digest.hex());
    pusher.manifest(&tag, OCI_INDEX, index.to_string().as_bytes()).await;
}

/// A trust policy for all repositories, with one trust store.
pub fn policy(level: &str, identity: &str) -> String {
    json!({"version": "1.0", "trustPolicies": [{
        "name": "all",
        "registryScopes": ["*"],
        "signatureVerification": {"level": level},
        "trustStores": ["ca:all"],
        "trustedIdentities": [identity],
    }]})
    .to_string()
}
