//! What the Secrets of Flux hold, with Flux's keys and error texts.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1;
use net::{Proxy, ProxyError, TlsConfig};
use secret::Secret;

/// The values of a Secret, and which Secret it is.
#[derive(Clone, Default)]
pub struct SecretData {
    /// `<namespace>/<name>`, for messages.
    name: String,
    values: BTreeMap<String, ByteString>,
}

/// What a Secret lacks.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SecretDataError {
    /// A certificate without its key, or the other way round.
    #[error("secret '{0}' must have both 'tls.crt' and 'tls.key', or none of them")]
    HalfOfPair(String),
    /// The same where only certificates are looked for.
    #[error("secret '{secret}' contains '{has}' but missing '{lacks}'")]
    HalfOfCertificates {
        /// The Secret.
        secret: String,
        /// The key that is there.
        has: &'static str,
        /// The key that is not.
        lacks: &'static str,
    },
    /// There are no certificates.
    #[error("secret '{0}' must contain either 'ca.crt' or both 'tls.crt' and 'tls.key'")]
    NoCertificates(String),
    /// There is no such key.
    #[error("secret '{secret}': key '{key}' not found")]
    Missing {
        /// The Secret.
        secret: String,
        /// The key.
        key: &'static str,
    },
    /// The address of the proxy has no letters.
    #[error("secret '{0}': proxy address is empty")]
    EmptyAddress(String),
    /// The address of the proxy is none.
    #[error("secret '{secret}': {source}")]
    Proxy {
        /// The Secret.
        secret: String,
        /// What is wrong with the address.
        source: ProxyError,
    },
}

impl std::fmt::Debug for SecretData {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let keys: Vec<&String> = self.values.keys().collect();
        f.debug_struct("SecretData").field("name", &self.name).field("keys", &keys).finish()
    }
}

impl SecretData {
    /// The values of a Secret of `namespace`.
    pub fn of(namespace: &str, name: &str, secret: v1::Secret) -> SecretData {
        SecretData { name: format!("{namespace}/{name}"), values: secret.data.unwrap_or_default() }
    }

    /// The same from its parts; `name` is `<namespace>/<name>`.
    pub fn new(name: &str, values: BTreeMap<String, ByteString>) -> SecretData {
        SecretData { name: name.to_owned(), values }
    }

    /// `<namespace>/<name>`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All keys with their values, which are secret.
    pub fn values(&self) -> &BTreeMap<String, ByteString> {
        &self.values
    }

    /// The value of a key as text; bytes that are no UTF-8 are replaced.
    pub fn text(&self, key: &str) -> Option<String> {
        self.values.get(key).map(text)
    }

    /// The same as a text that cannot be printed.
    pub fn secret(&self, key: &str) -> Option<Secret> {
        self.text(key).map(Secret::new)
    }

    /// All keys with their values as texts, which are secret.
    pub fn texts(&self) -> BTreeMap<String, String> {
        self.values.iter().map(|(key, value)| (key.clone(), text(value))).collect()
    }

    /// The bytes of a key, unless there are none.
    pub fn given(&self, key: &str) -> Option<&[u8]> {
        self.values.get(key).map(|value| value.0.as_slice()).filter(|value| !value.is_empty())
    }

    /// The trust and the client certificate for https: `ca.crt` or `caFile`, `tls.crt` with `tls.key`.
    ///
    /// # Errors
    /// For half of a pair of certificate and key.
    pub fn tls(&self) -> Result<TlsConfig, SecretDataError> {
        let client = match (self.given("tls.crt"), self.given("tls.key")) {
            (Some(certificate), Some(key)) => Some(pair(certificate, key)),
            (None, None) => None,
            _ => return Err(SecretDataError::HalfOfPair(self.name.clone())),
        };
        Ok(TlsConfig { ca_bundle: self.authority(), client })
    }

    /// What a Secret for certificates alone holds: the same, or the client certificate by its deprecated names, `certFile` with
    /// `keyFile`. A new name wins over the old one.
    ///
    /// # Errors
    /// For half of a pair, and for one without any of it.
    pub fn certificates(&self) -> Result<TlsConfig, SecretDataError> {
        let either = |name, deprecated| self.given(name).or_else(|| self.given(deprecated));
        let half =
            |has, lacks| Err(SecretDataError::HalfOfCertificates { secret: self.name.clone(), has, lacks });
        let client = match (either("tls.crt", "certFile"), either("tls.key", "keyFile")) {
            (Some(certificate), Some(key)) => Some(pair(certificate, key)),
            (None, None) => None,
            (Some(_), None) => return half("tls.crt", "tls.key"),
            (None, Some(_)) => return half("tls.key", "tls.crt"),
        };
        let ca_bundle = self.authority();
        if client.is_none() && ca_bundle.is_none() {
            return Err(SecretDataError::NoCertificates(self.name.clone()));
        }
        Ok(TlsConfig { ca_bundle, client })
    }

    fn authority(&self) -> Option<Vec<u8>> {
        self.given("ca.crt").or_else(|| self.given("caFile")).map(<[u8]>::to_vec)
    }

    /// The proxy: `address`, and `username` with `password` where it wants them.
    ///
    /// # Errors
    /// For an address that is missing or none of a proxy.
    pub fn proxy(&self) -> Result<Proxy, SecretDataError> {
        let secret = || self.name.clone();
        let missing = || SecretDataError::Missing { secret: secret(), key: "address" };
        let address = self.text("address").ok_or_else(missing)?;
        if address.is_empty() {
            return Err(SecretDataError::EmptyAddress(secret()));
        }
        let password = self.secret("password").unwrap_or_default();
        let credentials = self.text("username").map(|username| (username, password));
        Proxy::new(&address, credentials)
            .map_err(|source| SecretDataError::Proxy { secret: secret(), source })
    }
}

/// A client certificate and its key.
fn pair(certificate: &[u8], key: &[u8]) -> (Vec<u8>, Secret) {
    (certificate.to_vec(), Secret::new(String::from_utf8_lossy(key).into_owned()))
}

fn text(value: &ByteString) -> String {
    String::from_utf8_lossy(&value.0).into_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn data(pairs: &[(&str, &str)]) -> SecretData {
        let values = pairs.iter().map(|(k, v)| ((*k).to_owned(), ByteString(v.as_bytes().to_vec())));
        SecretData::new("ns/s", values.collect())
    }

    #[test]
    fn values_are_not_shown() {
        let shown = format!("{:?}", data(&[("password", "s3cret")]));
        assert!(shown.contains("password") && !shown.contains("s3cret"), "{shown}");
    }

    #[test]
    fn a_secret_for_tls_has_both_halves_of_a_pair_or_none() {
        let error = |pairs: &[(&str, &str)]| data(pairs).tls().map_err(|error| error.to_string());
        let half = "secret 'ns/s' must have both 'tls.crt' and 'tls.key', or none of them".to_owned();
        assert_eq!(error(&[("tls.crt", "x")]), Err(half.clone()));
        assert_eq!(error(&[("tls.key", "x"), ("tls.crt", "")]), Err(half));
        assert_eq!(error(&[("ca.crt", "")]), Ok(TlsConfig::default()));
        let both =
            data(&[("ca.crt", "ca"), ("caFile", "old"), ("tls.crt", "c"), ("tls.key", "k")]).tls().unwrap();
        let client = Some((b"c".to_vec(), Secret::new("k")));
        assert_eq!(both, TlsConfig { ca_bundle: Some(b"ca".to_vec()), client });
        assert_eq!(data(&[("caFile", "old")]).tls().unwrap().ca_bundle, Some(b"old".to_vec()));
    }

    #[test]
    fn a_secret_for_certificates_has_some_by_their_new_or_old_names() {
        let of = |pairs: &[(&str, &str)]| data(pairs).certificates().map_err(|error| error.to_string());
        let client = |certificate: &str, key: &str| Some((certificate.as_bytes().to_vec(), Secret::new(key)));
        let new = [("ca.crt", "ca"), ("tls.crt", "c"), ("tls.key", "k")];
        let old = [("caFile", "old-ca"), ("certFile", "old-c"), ("keyFile", "old-k")];
        let of_new = TlsConfig { ca_bundle: Some(b"ca".to_vec()), client: client("c", "k") };
        let of_old = TlsConfig { ca_bundle: Some(b"old-ca".to_vec()), client: client("old-c", "old-k") };
        assert_eq!(of(&new), Ok(of_new.clone()));
        assert_eq!(of(&old), Ok(of_old));
        assert_eq!(of(&[old, new].concat()), Ok(of_new));
        let without_ca = TlsConfig { ca_bundle: None, client: client("c", "old-k") };
        assert_eq!(of(&[("tls.crt", "c"), ("keyFile", "old-k")]), Ok(without_ca));
        for (pairs, text) in [
            (
                &[("ca.crt", "ca"), ("tls.crt", "c")][..],
                "secret 'ns/s' contains 'tls.crt' but missing 'tls.key'",
            ),
            (&[("keyFile", "k")], "secret 'ns/s' contains 'tls.key' but missing 'tls.crt'"),
            (
                &[("ca.crt", ""), ("password", "p")],
                "secret 'ns/s' must contain either 'ca.crt' or both 'tls.crt' and 'tls.key'",
            ),
        ] {
            assert_eq!(of(pairs), Err(text.to_owned()));
        }
    }

    #[test]
    fn a_secret_for_a_proxy_has_an_address() {
        for (pairs, message) in [
            (&[][..], "secret 'ns/s': key 'address' not found"),
            (&[("address", "")], "secret 'ns/s': proxy address is empty"),
            (
                &[("address", "ftp://h:21")],
                "secret 'ns/s': proxy URL must use one of the supported schemes (http, https, socks5), got 'ftp'",
            ),
            (
                &[("address", "http://me:secret@h:port")],
                "secret 'ns/s': failed to parse proxy address '***@h:port': invalid port number",
            ),
        ] {
            assert_eq!(data(pairs).proxy().unwrap_err().to_string(), message);
        }
        let plain = data(&[("address", "http://h:1"), ("password", "ignored")]).proxy().unwrap();
        assert_eq!(plain, Proxy::new("http://h:1", None).unwrap());
        let named = data(&[("address", "socks5://a:b@h:1"), ("username", "u"), ("password", "p")]);
        let expected = Proxy::new("socks5://h:1", Some(("u".into(), Secret::new("p")))).unwrap();
        assert_eq!(named.proxy().unwrap(), expected);
    }
}
