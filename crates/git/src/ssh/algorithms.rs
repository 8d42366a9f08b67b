//! Which algorithms are offered to a server.

use std::borrow::Cow;
use std::str::FromStr;

use russh::{Preferred, cipher, compression, kex};
use ssh_key::{Algorithm, EcdsaCurve, HashAlg};

use super::known_hosts::KnownHosts;

/// An algorithm that is not known, or not safe to name.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unknown algorithm '{0}'")]
pub struct UnknownAlgorithm(String);

/// Key exchange algorithms, as a comma list of their names in SSH. An empty list stands for the default.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KexAlgorithms(Vec<kex::Name>);

/// Host key algorithms, as a comma list of their names in SSH. An empty list stands for what `known_hosts` has for a host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostKeyAlgorithms {
    plain: Vec<Algorithm>,
    certificates: Vec<Algorithm>,
}

/// What the operator wants of SSH.
#[derive(Debug, Clone, Default)]
pub struct Algorithms {
    /// Key exchange.
    pub kex: KexAlgorithms,
    /// Host keys.
    pub host_keys: HostKeyAlgorithms,
}

/// Best first. Those with SHA-1 must be asked for.
const KEX: [kex::Name; 12] = [
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::ECDH_SHA2_NISTP256,
    kex::ECDH_SHA2_NISTP384,
    kex::ECDH_SHA2_NISTP521,
    kex::DH_G14_SHA256,
    kex::DH_G16_SHA512,
    kex::DH_G18_SHA512,
    kex::DH_G15_SHA512,
    kex::DH_G17_SHA512,
    kex::DH_GEX_SHA256,
];

/// Not algorithms, but stand among them.
const KEX_EXTENSIONS: [kex::Name; 2] =
    [kex::EXTENSION_SUPPORT_AS_CLIENT, kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT];

/// Those that processors have instructions for come first.
const CIPHERS: [cipher::Name; 6] = [
    cipher::AES_128_GCM,
    cipher::AES_256_GCM,
    cipher::CHACHA20_POLY1305,
    cipher::AES_128_CTR,
    cipher::AES_192_CTR,
    cipher::AES_256_CTR,
];

const KEYS: [Algorithm; 6] = [
    Algorithm::Ed25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::Rsa { hash: Some(HashAlg::Sha512) },
    Algorithm::Rsa { hash: Some(HashAlg::Sha256) },
];

fn names(list: &str) -> impl Iterator<Item = &str> {
    list.split(',').map(str::trim).filter(|name| !name.is_empty())
}

impl FromStr for KexAlgorithms {
    type Err = UnknownAlgorithm;

    fn from_str(list: &str) -> Result<Self, UnknownAlgorithm> {
        let known = |name: &&kex::Name| **name != kex::NONE;
        let find = |name: &str| {
            let found = kex::ALL_KEX_ALGORITHMS.iter().copied().filter(known).find(|k| k.as_ref() == name);
            found.copied().ok_or_else(|| UnknownAlgorithm(name.to_owned()))
        };
        names(list).map(find).collect::<Result<_, _>>().map(KexAlgorithms)
    }
}

impl FromStr for HostKeyAlgorithms {
    type Err = UnknownAlgorithm;

    fn from_str(list: &str) -> Result<Self, UnknownAlgorithm> {
        let supported = [&KEYS[..], &[Algorithm::Rsa { hash: None }]].concat();
        let mut algorithms = HostKeyAlgorithms::default();
        for name in names(list) {
            if let Some(plain) = supported.iter().find(|algorithm| algorithm.as_str() == name) {
                algorithms.plain.push(plain.clone());
            } else if let Some(kind) = supported.iter().find(|a| a.to_certificate_type() == name) {
                algorithms.certificates.push(kind.clone());
            } else {
                return Err(UnknownAlgorithm(name.to_owned()));
            }
        }
        Ok(algorithms)
    }
}

impl Algorithms {
    /// What to offer to a host. A server that could choose a type of key that we have no line for would look like an impostor.
    pub(super) fn preferred(&self, known: &KnownHosts, host: &str, port: u16) -> Preferred {
        let kex = if self.kex.0.is_empty() { &KEX[..] } else { &self.kex.0[..] };
        let (key, certificates) = if self.host_keys == HostKeyAlgorithms::default() {
            let types = known.key_types(host, port);
            let listed = |algorithm: &&Algorithm| match algorithm {
                Algorithm::Rsa { .. } => types.iter().any(|t| matches!(t, Algorithm::Rsa { .. })),
                other => types.contains(other),
            };
            let keys: Vec<_> = KEYS.iter().filter(listed).cloned().collect();
            let certificates = if known.has_authority(host, port) { KEYS.to_vec() } else { Vec::new() };
            // With nothing to go by, whatever key comes is shown to be unknown.
            (if keys.is_empty() { KEYS.to_vec() } else { keys }, certificates)
        } else {
            (self.host_keys.plain.clone(), self.host_keys.certificates.clone())
        };
        Preferred {
            kex: Cow::Owned([kex, &KEX_EXTENSIONS].concat()),
            key: Cow::Owned(key),
            host_key_certificates: Cow::Owned(certificates),
            cipher: Cow::Borrowed(&CIPHERS),
            // Packs are compressed already, and what is not unpacked cannot explode.
            compression: Cow::Borrowed(&[compression::NONE]),
            ..Preferred::DEFAULT
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const ED25519: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHNpZ25pbmdrZXkwMDAwMDAwMDAwMDAwMDAwMDAwMDAw";
    const RSA: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDCTV6TRR6FecMcoWLIX6rSrgQZDOR08F3SrK2wNe3+ZE/zUyQdxTD4t/wIzLwYSIhm3kW1ai1usxCL0FDcFKpEv2pQjtkZvqmGRl/sGXYJk9HW0Dz88YuvQCRLVbEMu4atlp8UO9GmyXKIfpYR+ZsoZ0MU/M7WGMRZCWBiAgSn+Q==";

    fn offered(known: &str, algorithms: &Algorithms) -> (Vec<String>, usize) {
        let known = KnownHosts::parse(known).unwrap();
        let preferred = algorithms.preferred(&known, "h", 22);
        let keys = preferred.key.iter().map(|a| a.as_str().to_owned()).collect();
        (keys, preferred.host_key_certificates.len())
    }

    #[test]
    fn host_key_algorithms_are_those_that_known_hosts_has_for_the_host() {
        let default = Algorithms::default();
        let only = |names: &[&str]| names.iter().map(|n| (*n).to_owned()).collect::<Vec<_>>();
        assert_eq!(offered(&format!("h {ED25519}"), &default), (only(&["ssh-ed25519"]), 0));
        assert_eq!(
            offered(&format!("h {RSA}\nx {ED25519}"), &default),
            (only(&["rsa-sha2-512", "rsa-sha2-256"]), 0)
        );
        assert_eq!(offered("", &default).0.len(), KEYS.len());
        assert_eq!(
            offered(&format!("@cert-authority h {ED25519}"), &default),
            (offered("", &default).0, KEYS.len())
        );
        let host_keys = "ssh-rsa, ecdsa-sha2-nistp256,ssh-ed25519-cert-v01@openssh.com".parse().unwrap();
        let chosen = Algorithms { host_keys, ..Algorithms::default() };
        assert_eq!(offered(&format!("h {ED25519}"), &chosen), (only(&["ssh-rsa", "ecdsa-sha2-nistp256"]), 1));
    }

    #[test]
    fn names_of_algorithms_are_checked() {
        for name in ["none", "ext-info-c", "kex-strict-c-v00@openssh.com", "diffie-hellman", "a,b"] {
            assert!(name.parse::<KexAlgorithms>().is_err(), "{name}");
        }
        for name in ["ssh-dss", "none", "ssh-ed448"] {
            assert!(name.parse::<HostKeyAlgorithms>().is_err(), "{name}");
        }
        assert_eq!("".parse(), Ok(KexAlgorithms::default()));
        let list: KexAlgorithms = "curve25519-sha256,diffie-hellman-group14-sha1".parse().unwrap();
        assert_eq!(list.0, [kex::CURVE25519, kex::DH_G14_SHA1]);
        let error = "x25519".parse::<KexAlgorithms>().unwrap_err();
        assert_eq!(error.to_string(), "unknown algorithm 'x25519'");
    }
}
