//! A certificate authority for one test.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use anyhow::Result;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

/// Signs server certificates; clients trust it by [`Ca::pem`].
#[derive(Debug)]
pub struct Ca {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
    /// When certificates are valid, if not for ever.
    valid: Option<(SystemTime, SystemTime)>,
}

/// How long a certificate of a short-lived authority is valid before and after now.
const SHORT: Duration = Duration::from_secs(30 * 24 * 3600);

/// A certificate and its private key, both PEM.
#[derive(Debug)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

impl Ca {
    /// A fresh authority.
    pub fn new(name: &str) -> Result<Self> {
        Self::valid(name, None)
    }

    /// One whose certificates are valid from a month ago for two months.
    pub fn short_lived(name: &str) -> Result<Self> {
        let now = SystemTime::now();
        Self::valid(name, Some((now - SHORT, now + SHORT)))
    }

    fn valid(name: &str, valid: Option<(SystemTime, SystemTime)>) -> Result<Self> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { pem, issuer: Issuer::new(params, key), valid })
    }

    /// The authority's own certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// A server certificate for host names and addresses.
    pub fn issue(&self, names: &[&str]) -> Result<Identity> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>())?;
        if let Some((from, until)) = self.valid {
            (params.not_before, params.not_after) = (from.into(), until.into());
        }
        Ok(Identity { certificate: params.signed_by(&key, &self.issuer)?.pem(), key: key.serialize_pem() })
    }

    /// TLS for a server on an address, which may stand for an Azure Key Vault; `protocols` are those that it negotiates, the best first.
    pub fn acceptor(&self, address: IpAddr, protocols: &[&str]) -> Result<TlsAcceptor> {
        let identity = self.issue(&[&address.to_string(), "localhost", "*.vault.azure.net"])?;
        let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes())?];
        let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
        let mut config =
            rustls::ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key)?;
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}
