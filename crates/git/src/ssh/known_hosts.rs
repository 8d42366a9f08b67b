//! Which servers are known, by OpenSSH's `known_hosts`.
//!
//! Stricter than OpenSSH, and like Flux: a name without port means port 22, a line that cannot be read spoils the whole
//! text, and a revoked key is revoked for every host.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ssh_key::certificate::CertType;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, Certificate, PublicKey};

/// SSH's port.
pub(crate) const DEFAULT_PORT: u16 = 22;

/// A line that cannot be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("knownhosts: line {line}: {reason}")]
pub struct MalformedLine {
    /// Its number, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// Why a server's key is not accepted.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum HostKeyError {
    /// No line is about the host.
    #[error("knownhosts: key is unknown")]
    Unknown,
    /// The lines about the host have other keys.
    #[error("knownhosts: key mismatch")]
    Mismatch,
    /// A `@revoked` line has the key, or that of the authority.
    #[error("knownhosts: key is revoked")]
    Revoked,
    /// The certificate is not one of a host.
    #[error("ssh: certificate presented as a host key is of type user")]
    NotOfHost,
    /// The certificate is for other hosts.
    #[error("ssh: principal \"{0}\" not in the set of valid principals for given certificate")]
    Principal(String),
    /// The certificate's time has not come.
    #[error("ssh: cert is not yet valid")]
    NotYetValid,
    /// The certificate's time is over.
    #[error("ssh: cert has expired")]
    Expired,
    /// The certificate is restricted in a way that nobody here understands.
    #[error("ssh: unsupported critical option \"{0}\" in certificate")]
    CriticalOption(String),
    /// The authority did not sign this, or not safely.
    #[error("ssh: certificate signature does not verify")]
    Signature,
}

/// The lines of a `known_hosts`.
#[derive(Debug)]
pub(crate) struct KnownHosts(Vec<Line>);

#[derive(Debug)]
struct Line {
    kind: Kind,
    hosts: Hosts,
    key: KeyData,
}

#[derive(Debug, PartialEq, Eq)]
enum Kind {
    Key,
    Authority,
    Revoked,
}

#[derive(Debug)]
enum Hosts {
    /// HMAC-SHA1 of the one host.
    Hashed {
        salt: Vec<u8>,
        hash: Vec<u8>,
    },
    Patterns(Vec<Pattern>),
}

#[derive(Debug)]
struct Pattern {
    negated: bool,
    host: String,
    port: u16,
}

impl KnownHosts {
    /// Reads all lines; one that is malformed fails everything, so that no host is lost in silence.
    pub(crate) fn parse(text: &str) -> Result<KnownHosts, MalformedLine> {
        let mut lines = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            lines.push(Line::parse(line).map_err(|reason| MalformedLine { line: number, reason })?);
        }
        Ok(KnownHosts(lines))
    }

    /// Whether `key` is one of those that `host` may have.
    pub(crate) fn check(&self, host: &str, port: u16, key: &KeyData) -> Result<(), HostKeyError> {
        if self.is_revoked(key) {
            return Err(HostKeyError::Revoked);
        }
        let mut known = self.about(host, port).filter(|line| line.kind != Kind::Revoked).peekable();
        if known.peek().is_none() {
            return Err(HostKeyError::Unknown);
        }
        match known.any(|line| line.kind == Kind::Key && line.key == *key) {
            true => Ok(()),
            false => Err(HostKeyError::Mismatch),
        }
    }

    /// Whether an authority for `host` vouches for it at the time `now` (seconds since 1970). Without a known authority,
    /// the certificate is no more than its key.
    pub(crate) fn check_certificate(
        &self,
        host: &str,
        port: u16,
        certificate: &Certificate,
        now: u64,
    ) -> Result<(), HostKeyError> {
        let authority = certificate.signature_key();
        if self.is_revoked(certificate.public_key()) || self.is_revoked(authority) {
            return Err(HostKeyError::Revoked);
        }
        if !self.about(host, port).any(|line| line.kind == Kind::Authority && line.key == *authority) {
            return self.check(host, port, certificate.public_key());
        }
        if certificate.cert_type() != CertType::Host {
            return Err(HostKeyError::NotOfHost);
        }
        let principals = certificate.valid_principals();
        if !principals.is_empty() && !principals.iter().any(|name| name.eq_ignore_ascii_case(host)) {
            return Err(HostKeyError::Principal(host.to_owned()));
        }
        if let Some((option, _)) = certificate.critical_options().iter().next() {
            return Err(HostKeyError::CriticalOption(option.clone()));
        }
        if now < certificate.valid_after() {
            return Err(HostKeyError::NotYetValid);
        }
        if now >= certificate.valid_before() {
            return Err(HostKeyError::Expired);
        }
        let sha1 = certificate.signature().algorithm() == Algorithm::Rsa { hash: None };
        if sha1 || certificate.verify_signature().is_err() {
            return Err(HostKeyError::Signature);
        }
        Ok(())
    }

    /// Types of the keys that `host` may have; RSA without a hash.
    pub(crate) fn key_types(&self, host: &str, port: u16) -> Vec<Algorithm> {
        let keys = self.about(host, port).filter(|line| line.kind == Kind::Key);
        keys.map(|line| line.key.algorithm()).collect()
    }

    /// Whether `host` may have a certificate.
    pub(crate) fn has_authority(&self, host: &str, port: u16) -> bool {
        self.about(host, port).any(|line| line.kind == Kind::Authority)
    }

    fn about<'a>(&'a self, host: &'a str, port: u16) -> impl Iterator<Item = &'a Line> {
        self.0.iter().filter(move |line| line.hosts.match_host(host, port))
    }

    fn is_revoked(&self, key: &KeyData) -> bool {
        self.0.iter().any(|line| line.kind == Kind::Revoked && line.key == *key)
    }
}

impl Line {
    /// `[@marker] hosts type base64 [comment]`
    fn parse(line: &str) -> Result<Line, &'static str> {
        let mut words = line.split_ascii_whitespace().peekable();
        let kind = match words.next_if(|word| word.starts_with('@')) {
            None => Kind::Key,
            Some("@cert-authority") => Kind::Authority,
            Some("@revoked") => Kind::Revoked,
            Some(_) => return Err("unknown marker"),
        };
        let hosts = Hosts::parse(words.next().ok_or("host missing")?)?;
        let (Some(algorithm), Some(key)) = (words.next(), words.next()) else {
            return Err("key missing");
        };
        let key = PublicKey::from_openssh(&format!("{algorithm} {key}")).map_err(|_| "invalid public key")?;
        Ok(Line { kind, hosts, key: key.key_data().clone() })
    }
}

impl Hosts {
    fn parse(text: &str) -> Result<Hosts, &'static str> {
        if let Some(hashed) = text.strip_prefix('|') {
            let mut parts = hashed.split('|');
            let (Some("1"), Some(salt), Some(hash), None) =
                (parts.next(), parts.next(), parts.next(), parts.next())
            else {
                return Err("invalid hashed host");
            };
            let decode = |text| STANDARD.decode(text).map_err(|_| "invalid hashed host");
            return Ok(Hosts::Hashed { salt: decode(salt)?, hash: decode(hash)? });
        }
        text.split(',')
            .filter(|pattern| !pattern.is_empty())
            .map(Pattern::parse)
            .collect::<Result<_, _>>()
            .map(Hosts::Patterns)
    }

    fn match_host(&self, host: &str, port: u16) -> bool {
        match self {
            Hosts::Hashed { salt, hash } => {
                let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
                spellings(host, port).iter().any(|name| hmac::verify(&key, name.as_bytes(), hash).is_ok())
            }
            Hosts::Patterns(patterns) => {
                let matching = || patterns.iter().filter(|p| p.port == port && wildcard(&p.host, host));
                matching().next().is_some() && !matching().any(|pattern| pattern.negated)
            }
        }
    }
}

impl Pattern {
    fn parse(text: &str) -> Result<Pattern, &'static str> {
        let (negated, text) = match text.strip_prefix('!') {
            Some("") => return Err("negation without following hostname"),
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let port = |text: &str| text.parse().map_err(|_| "invalid port");
        let (host, port) = if let Some(rest) = text.strip_prefix('[') {
            let (host, rest) = rest.split_once(']').ok_or("missing ']' in address")?;
            match rest.strip_prefix(':') {
                Some(number) => (host, port(number)?),
                None if rest.is_empty() => (host, DEFAULT_PORT),
                None => return Err("invalid address"),
            }
        } else {
            match text.split_once(':') {
                // More colons are an IPv6 address.
                Some((host, number)) if !number.contains(':') => (host, port(number)?),
                _ => (text, DEFAULT_PORT),
            }
        };
        Ok(Pattern { negated, host: host.to_ascii_lowercase(), port })
    }
}

/// How a host is written before it is hashed. OpenSSH leaves an IPv6 address as it is, Go's library puts it into brackets.
fn spellings(host: &str, port: u16) -> Vec<String> {
    match (port, host.contains(':')) {
        (DEFAULT_PORT, false) => vec![host.to_owned()],
        (DEFAULT_PORT, true) => vec![host.to_owned(), format!("[{host}]")],
        _ => vec![format!("[{host}]:{port}")],
    }
}

/// `*` stands for anything, `?` for one character.
fn wildcard(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut p, mut t) = (0, 0);
    // Where to go on if the last star has to take one character more.
    let mut star = None;
    while let Some(&c) = text.get(t) {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(&wanted) if wanted == b'?' || wanted == c => (p, t) = (p + 1, t + 1),
            _ => match star {
                Some((at, taken)) => {
                    star = Some((at, taken + 1));
                    (p, t) = (at + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|c| *c == b'*')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const A: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHNpZ25pbmdrZXkwMDAwMDAwMDAwMDAwMDAwMDAwMDAw";
    const B: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIG90aGVya2V5MDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAw";

    fn key(text: &str) -> KeyData {
        PublicKey::from_openssh(text).unwrap().key_data().clone()
    }

    fn check(text: &str, host: &str, port: u16) -> Result<(), HostKeyError> {
        KnownHosts::parse(text).unwrap().check(host, port, &key(A))
    }

    #[test]
    fn a_host_is_known_by_name_pattern_and_port() {
        use HostKeyError::{Mismatch, Unknown};
        for (line, host, port, verdict) in [
            ("h", "h", 22, Ok(())),
            ("h", "other", 22, Err(Unknown)),
            ("h", "h", 2222, Err(Unknown)),
            ("H.Example.COM", "h.example.com", 22, Ok(())),
            ("[h]:2222", "h", 2222, Ok(())),
            ("[h]:2222", "h", 22, Err(Unknown)),
            ("[h]", "h", 22, Ok(())),
            ("h:2222", "h", 2222, Ok(())),
            ("a,b,c", "b", 22, Ok(())),
            ("*.example.com", "git.example.com", 22, Ok(())),
            ("*.example.com", "example.com", 22, Err(Unknown)),
            ("*", "h", 22, Ok(())),
            ("*", "h", 2222, Err(Unknown)),
            ("[*]:2222", "h", 2222, Ok(())),
            ("git?.example.com", "git1.example.com", 22, Ok(())),
            ("git?.example.com", "git.example.com", 22, Err(Unknown)),
            ("*.example.com,!evil.example.com", "git.example.com", 22, Ok(())),
            ("*.example.com,!evil.example.com", "evil.example.com", 22, Err(Unknown)),
            ("!evil.example.com,*.example.com", "evil.example.com", 22, Err(Unknown)),
            ("!h", "other", 22, Err(Unknown)),
            ("10.0.0.1", "10.0.0.1", 22, Ok(())),
            ("::1", "::1", 22, Ok(())),
            ("[::1]:2222", "::1", 2222, Ok(())),
            ("[::1]", "::1", 22, Ok(())),
        ] {
            assert_eq!(check(&format!("{line} {A}"), host, port), verdict, "{line} {host} {port}");
            let other = if verdict.is_ok() { Err(Mismatch) } else { verdict };
            assert_eq!(check(&format!("{line} {B}"), host, port), other, "{line} {host} {port}");
        }
    }

    #[test]
    fn hashed_hosts_are_compared_with_their_port() {
        let hash = |name: &str| {
            let salt = b"0123456789abcdefghij";
            let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, salt);
            let tag = hmac::sign(&key, name.as_bytes());
            format!("|1|{}|{} {A}", STANDARD.encode(salt), STANDARD.encode(tag.as_ref()))
        };
        assert_eq!(check(&hash("git.example.com"), "git.example.com", 22), Ok(()));
        assert_eq!(check(&hash("git.example.com"), "git.example.org", 22), Err(HostKeyError::Unknown));
        assert_eq!(check(&hash("git.example.com"), "git.example.com", 2222), Err(HostKeyError::Unknown));
        assert_eq!(check(&hash("[git.example.com]:2222"), "git.example.com", 2222), Ok(()));
        assert_eq!(check(&hash("::1"), "::1", 22), Ok(()));
        assert_eq!(check(&hash("[::1]"), "::1", 22), Ok(()));
    }

    #[test]
    fn any_of_several_keys_of_a_host_will_do() {
        assert_eq!(check(&format!("h {B}\nh {A}"), "h", 22), Ok(()));
        assert_eq!(check(&format!("h {B}\n*.example.com {A}"), "h", 22), Err(HostKeyError::Mismatch));
    }

    #[test]
    fn a_revoked_key_is_revoked_wherever_it_stands() {
        for text in [
            format!("h {A}\n@revoked * {A}"),
            format!("@revoked other {A}\nh {A}"),
            format!("@revoked h {A} comment"),
        ] {
            assert_eq!(check(&text, "h", 22), Err(HostKeyError::Revoked), "{text}");
        }
        assert_eq!(check(&format!("h {A}\n@revoked h {B}"), "h", 22), Ok(()));
    }

    #[test]
    fn the_key_of_an_authority_is_not_one_of_a_host() {
        assert_eq!(check(&format!("@cert-authority h {A}"), "h", 22), Err(HostKeyError::Mismatch));
        let known = KnownHosts::parse(&format!("@cert-authority *.x {A}\nh {A}")).unwrap();
        assert!(known.has_authority("a.x", 22) && !known.has_authority("h", 22));
        assert_eq!(known.key_types("h", 22), [Algorithm::Ed25519]);
        assert_eq!(known.key_types("a.x", 22), []);
    }

    #[test]
    fn space_and_comments_do_not_matter() {
        let text = format!("\n# h:22 SSH-2.0-x\n \t\n  h\t{}  a comment # more\r\n", A.replace(' ', "\t"));
        assert_eq!(check(&text, "h", 22), Ok(()));
        assert_eq!(KnownHosts::parse("").unwrap().check("h", 22, &key(A)), Err(HostKeyError::Unknown));
    }

    #[test]
    fn a_malformed_line_fails_everything_and_is_named() {
        for (line, reason) in [
            ("h", "key missing"),
            ("h ssh-ed25519", "key missing"),
            ("h ssh-ed25519 AAAA", "invalid public key"),
            (
                "h ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIHNpZ25pbmdrZXkwMDAwMDAwMDAwMDAwMDAwMDAwMDAw",
                "invalid public key",
            ),
            ("h 1024 37 1234567", "invalid public key"),
            ("@nonsense h ssh-ed25519 AAAA", "unknown marker"),
            ("@revoked", "host missing"),
            ("|1|x ssh-ed25519 AAAA", "invalid hashed host"),
            ("|2|eA==|eA== ssh-ed25519 AAAA", "invalid hashed host"),
            ("|1|!|eA== ssh-ed25519 AAAA", "invalid hashed host"),
            ("! ssh-ed25519 AAAA", "negation without following hostname"),
            ("[h:22 ssh-ed25519 AAAA", "missing ']' in address"),
            ("[h]22 ssh-ed25519 AAAA", "invalid address"),
            ("[h]:x ssh-ed25519 AAAA", "invalid port"),
        ] {
            let error = KnownHosts::parse(&format!("h {A}\n\n{line}\n")).unwrap_err();
            assert_eq!(error, MalformedLine { line: 3, reason }, "{line}");
        }
    }

    #[test]
    fn wildcards_match_without_going_back_for_ever() {
        for (pattern, text, matches) in [
            ("", "", true),
            ("*", "", true),
            ("a*c", "abbbc", true),
            ("a*c", "abcd", false),
            ("*a*b", "aaab", true),
            ("??", "a", false),
        ] {
            assert_eq!(wildcard(pattern, text), matches, "{pattern} {text}");
        }
        assert!(!wildcard(&"*a".repeat(500), &"a".repeat(400)));
    }
}
