//! Keys that a key service has wrapped: AWS KMS, Google Cloud KMS, Azure Key Vault, and the transit engine of Vault and OpenBao.
//!
//! ```text
//! what a document says of its key ──▶ aws::Key   ┐            ┌─▶ the cloud's own host
//!                                     gcp::Key   ├─ decrypt ──┤
//!                                     azure::Key │            └─▶ the host that the document names
//!                                     vault::Key ┘
//! credentials of whoever decrypts ───▶ (crate `auth`)
//! ```
//!
//! Whoever wrote the document may be hostile, so what it names is checked before anything is sent: a name never becomes another
//! request or another host, answers and times are bounded, no redirect is followed, and hosts that are chosen by it may not be where
//! only this process can reach. **Credentials of the controller go to no host that a document names**, unless its name shows
//! that it is the cloud's own, or the operator named it: see [`Owner`]. No error holds a key, a token or an answer's content.

mod fields;

pub mod aws;
pub mod azure;
pub mod gcp;
pub mod vault;

use std::fmt;
use std::time::Duration;

pub use auth::Owner;
use auth::{Environment, FileError, Http};
use base64::Engine;
use base64::engine::GeneralPurpose;
use net::{AddressPolicy, ClientError, TlsConfig};
use zeroize::Zeroizing;

pub use fields::FieldsError;

/// A key that was unwrapped: it is overwritten when it is dropped, and cannot be printed.
#[derive(Clone)]
pub struct DataKey(Zeroizing<Vec<u8>>);

impl DataKey {
    /// The bytes; never format them.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }

    /// The bytes that a service wrote in `alphabet`; nothing if it did not.
    fn decode(alphabet: &GeneralPurpose, text: &str) -> Option<DataKey> {
        alphabet.decode(text).ok().map(|bytes| DataKey(Zeroizing::new(bytes)))
    }
}

impl fmt::Debug for DataKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// Limits of each request to a key service.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How long it may take, with its answer.
    pub timeout: Duration,
    /// Bytes of an answer.
    pub answer_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { timeout: Duration::from_secs(15), answer_bytes: 1 << 20 }
    }
}

/// Why key services cannot be asked at all.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// No client with this trust.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The file of certificates cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
}

/// The key services, and the ways to them.
#[derive(Clone, Debug)]
pub struct KeyServices {
    /// To hosts of clouds.
    pub clouds: Http,
    /// To hosts that documents and Secrets name: [`Http::within`] an address policy, and with the trust of [`vault::tls`].
    pub tenants: Http,
    /// What the operator says: endpoints, and the Vault whose token this process has.
    pub environment: Environment,
}

impl KeyServices {
    /// Ways to clouds, and to hosts of tenants where `addresses` permits them; both by the proxy of the environment, if any.
    ///
    /// # Errors
    /// For certificates in `environment` that cannot be used.
    pub async fn new(
        environment: Environment,
        addresses: AddressPolicy,
        limits: &Limits,
    ) -> Result<KeyServices, SetupError> {
        let builder =
            |tls: &TlsConfig| net::client::builder(tls, None).map(|client| client.timeout(limits.timeout));
        let clouds = builder(&TlsConfig::default())?.build().map_err(ClientError::tls)?;
        let tenants = builder(&vault::tls(&environment).await?)?;
        Ok(KeyServices {
            clouds: Http::new(clouds, limits.answer_bytes),
            tenants: Http::within(tenants, limits.answer_bytes, addresses)?,
            environment,
        })
    }
}
