//! Ways into Kubernetes clusters of clouds: address, certificates and token of clusters of EKS, AKS and GKE.
//!
//! ```text
//! Settings (what a ConfigMap says) ─┐
//! credentials (crate `auth`) ───────┼─▶ eks::access │ aks::access │ gke::access ──▶ Access
//! the cloud's own description ──────┘
//! ```
//!
//! The crate knows no client of Kubernetes. Settings are written by tenants: with credentials of the controller
//! ([`Owner::Controller`]) the address has to be one that the cloud itself tells for the cluster, or whoever writes a ConfigMap
//! could have the controller's token. With those of a tenant it may be any; whoever connects then judges it.

pub mod aks;
pub mod eks;
pub mod gke;

use std::time::SystemTime;

pub use auth::Owner;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secret::Secret;
use url::Url;

/// What a ConfigMap says of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The name that the cloud has for it.
    pub cluster: String,
    /// Where its API server is; the cloud tells it otherwise.
    pub address: Option<String>,
    /// Certificates in PEM that its API server is trusted by; the cloud tells them otherwise.
    pub ca: Option<String>,
}

/// A way into a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// Of the API server, as [`server_address`] gives it.
    pub address: String,
    /// Certificates in PEM that it is trusted by.
    pub ca: Vec<u8>,
    /// What the client shows.
    pub token: Secret,
    /// When that ends.
    pub expires: SystemTime,
}

/// An address that is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// Nothing.
    #[error("empty address")]
    Empty,
    /// Not one of a server.
    #[error("failed to parse Kubernetes API server address '{0}'")]
    Invalid(String),
    /// A token would go over the network in the clear.
    #[error("the Kubernetes API server address '{0}' must use https scheme")]
    Scheme(String),
    /// The cloud tells other addresses for the cluster.
    #[error(
        "the address '{address}' is not one of cluster '{cluster}': the identity of the controller is used for the addresses of the cluster alone, name a service account to use another one"
    )]
    Foreign {
        /// The address of the settings.
        address: String,
        /// The cluster.
        cluster: String,
    },
}

/// The address of an API server as it is used: `https://<host>:<port>`, and a path if there is one. The scheme and the port may be
/// left out; user, password, query and fragment are left out of the result.
///
/// # Errors
/// For what is no address of https.
pub fn server_address(text: &str) -> Result<String, AddressError> {
    let (url, server) = read_address(text)?;
    Ok(format!("{server}{}", url.path().trim_end_matches('/')))
}

/// The form in which addresses are compared: without a path.
fn canonical_address(text: &str) -> Result<String, AddressError> {
    Ok(read_address(text)?.1)
}

fn read_address(text: &str) -> Result<(Url, String), AddressError> {
    if text.is_empty() {
        return Err(AddressError::Empty);
    }
    let full = if text.starts_with("http") { text.to_owned() } else { format!("https://{text}") };
    let shown = secret::redact(&full);
    let url = Url::parse(&full).map_err(|_| AddressError::Invalid(shown.clone()))?;
    if url.scheme() != "https" {
        return Err(AddressError::Scheme(shown));
    }
    let host = url.host_str().ok_or(AddressError::Invalid(shown))?;
    let server = format!("https://{host}:{}", url.port_or_known_default().unwrap_or(443));
    Ok((url, server))
}

/// What a cloud tells of a cluster: certificates, and all addresses of it, the one that is used by default first.
struct Description {
    addresses: Vec<String>,
    ca: Vec<u8>,
}

impl Settings {
    /// Whether the cloud has to be asked: for what is not said, and to see that an address is the cluster's own.
    fn needs_description(&self, owner: Owner) -> bool {
        owner == Owner::Controller || self.address().is_none() || self.ca().is_none()
    }

    fn address(&self) -> Option<&str> {
        self.address.as_deref().filter(|address| !address.is_empty())
    }

    fn ca(&self) -> Option<&str> {
        self.ca.as_deref().filter(|ca| !ca.is_empty())
    }

    /// Address and certificates, of the settings before those of the cloud.
    fn resolve(
        &self,
        name: &str,
        owner: Owner,
        description: Option<Description>,
    ) -> Result<(String, Vec<u8>), AddressError> {
        let Description { addresses, ca } =
            description.unwrap_or(Description { addresses: Vec::new(), ca: Vec::new() });
        let address = match self.address() {
            None => server_address(addresses.first().map(String::as_str).unwrap_or_default())?,
            Some(given) => {
                let canonical = canonical_address(given)?;
                let own = addresses.iter().any(|own| canonical_address(own).as_ref() == Ok(&canonical));
                if owner == Owner::Controller && !own {
                    return Err(AddressError::Foreign { address: canonical, cluster: name.to_owned() });
                }
                server_address(given)?
            }
        };
        Ok((address, self.ca().map_or(ca, |ca| ca.as_bytes().to_vec())))
    }
}

/// Certificates as clouds tell them.
fn decode(base64: &str) -> Option<Vec<u8>> {
    STANDARD.decode(base64).ok()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_https_and_have_a_port() {
        for (text, canonical) in [
            ("https://A.example", "https://a.example:443"),
            ("a.example:6443", "https://a.example:6443"),
            ("10.0.0.1", "https://10.0.0.1:443"),
            ("https://a.example:443/k8s/c-1/?x#y", "https://a.example:443/k8s/c-1"),
            ("https://user:pw@a.example", "https://a.example:443"),
        ] {
            assert_eq!(server_address(text).unwrap(), canonical);
        }
        assert_eq!(canonical_address("https://a.example/k8s").unwrap(), "https://a.example:443");
        assert_eq!(server_address("").unwrap_err().to_string(), "empty address");
        assert_eq!(
            server_address("http://u:pw@a.example").unwrap_err().to_string(),
            "the Kubernetes API server address 'http://a.example/' must use https scheme"
        );
        assert!(matches!(server_address("https://"), Err(AddressError::Invalid(_))));
    }

    #[test]
    fn the_controllers_token_is_for_addresses_of_the_cluster_alone() {
        let description = || {
            let addresses = vec!["https://a.example".to_owned(), "10.0.0.1".to_owned()];
            Some(Description { addresses, ca: b"of cloud".to_vec() })
        };
        let given = |address: &str| Settings { address: Some(address.to_owned()), ..Settings::default() };
        for own in ["a.example", "https://10.0.0.1:443/", "https://A.example:443"] {
            let settings = given(own);
            assert!(settings.needs_description(Owner::Controller));
            assert!(settings.resolve("c", Owner::Controller, description()).is_ok(), "{own}");
        }
        for foreign in ["evil.example", "a.example:8443", "https://a.example@evil.example"] {
            let settings = given(foreign);
            let error = settings.resolve("c", Owner::Controller, description()).unwrap_err().to_string();
            assert!(error.contains("is not one of cluster 'c': "), "{error}");
            assert!(settings.resolve("c", Owner::Controller, None).is_err());
            assert!(settings.resolve("c", Owner::Tenant, None).is_ok());
        }
        let all = Settings { ca: Some("PEM".into()), ..given("evil.example") };
        assert!(all.needs_description(Owner::Controller) && !all.needs_description(Owner::Tenant));
        assert_eq!(all.resolve("c", Owner::Tenant, None).unwrap().1, b"PEM");
        let none = Settings::default().resolve("c", Owner::Controller, description()).unwrap();
        assert_eq!(none, ("https://a.example:443".to_owned(), b"of cloud".to_vec()));
    }
}
