//! Names: registries, repositories, tags.
//!
//! The rules are those of go-containerregistry 0.21.6 (`pkg/name`, weak validation), which Flux 2.9 uses.

use std::fmt;
use std::net::Ipv4Addr;

use url::Url;

use crate::digest::Digest;

/// What the URL of an OCI repository begins with.
const URL_PREFIX: &str = "oci://";
/// The registry of names that have no host.
const DOCKER_HUB: &str = "index.docker.io";
/// Another name of it.
const DOCKER_HUB_ALIAS: &str = "docker.io";
/// The namespace of Docker Hub's repositories that have none.
const DOCKER_HUB_LIBRARY: &str = "library";
/// What a repository's name consists of.
const REPOSITORY_CHARACTERS: &str = "abcdefghijklmnopqrstuvwxyz0123456789_-./";
/// Most bytes of a tag (OCI distribution specification, "Pulling manifests").
const TAG_BYTES: usize = 128;
/// Characters of a refused text that an error repeats.
const SHOWN_CHARACTERS: usize = 512;

/// Why a URL does not name a repository.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It does not begin with `oci://`.
    #[error("URL must be in format 'oci://<domain>/<org>/<repo>'")]
    Scheme,
    /// Nothing follows `oci://`.
    #[error("a repository name must be specified")]
    Empty,
    /// The host is not one, or has user and password before it.
    #[error("registries must be valid RFC 3986 URI authorities: {0}")]
    Registry(String),
    /// A tag or digest follows the name.
    #[error("URL must not contain a tag; remove ':{0}'")]
    Tag(String),
    /// The name is too short or too long.
    #[error("repository must be between 2 and 255 characters in length: {0}")]
    Length(String),
    /// The name has a character that is not allowed.
    #[error("repository can only contain the characters `{REPOSITORY_CHARACTERS}`: {0}")]
    Characters(String),
    /// The name has `.` or `..` as a path segment. go-containerregistry lets these pass.
    #[error("repository must not have '.' or '..' as a path segment: {0}")]
    DotSegment(String),
}

/// A text that is not a tag: 1 to 128 letters, digits, `_`, `-` and `.`, of which `-` and `.` do not come first.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("invalid tag {0:?}")]
pub struct TagError(String);

/// Host and optional port of a registry.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Registry {
    host: String,
    /// The roots of all its URLs.
    https: Url,
    http: Url,
}

/// A repository of a registry. Its text form is `<host>[:<port>]/<name>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Repository {
    registry: Registry,
    name: String,
}

/// Which manifest of a repository is meant.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identifier {
    /// The one that a tag points at. Made by [`Repository::tag`] alone, which checks it.
    Tag(Tag),
    /// The one with this digest.
    Digest(Digest),
}

/// The name of a tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Tag(String);

/// A manifest of a repository. Its text form is `<repository>:<tag>` or `<repository>@<digest>`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Reference {
    repository: Repository,
    identifier: Identifier,
}

// === impl Registry ===

impl Registry {
    fn parse(text: &str) -> Result<Registry, UrlError> {
        let host = if text == DOCKER_HUB_ALIAS { DOCKER_HUB } else { text };
        let root = |scheme: &str| Url::parse(&format!("{scheme}://{host}/"));
        let is_authority = |url: &Url| {
            let parsed = url.host_str().unwrap_or_default();
            let (name, _) = split_port(host);
            // An address may be written in several ways, a name in only one.
            let same =
                parsed.eq_ignore_ascii_case(name) || (name.starts_with('[') && parsed.starts_with('['));
            same && url.path() == "/" && !host.contains(['@', '?', '#', '\\', '%'])
        };
        match (root("https"), root("http")) {
            (Ok(https), Ok(http)) if is_authority(&https) => {
                Ok(Registry { host: host.to_owned(), https, http })
            }
            _ => Err(UrlError::Registry(shown(&net::redact(text)))),
        }
    }

    /// Host and optional port, as in the URL; Docker Hub's is `index.docker.io`.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The host without its port.
    pub fn host_name(&self) -> &str {
        split_port(&self.host).0
    }

    /// Whether go-containerregistry speaks plain http with this registry when https fails, without being told that it is
    /// insecure: a private IPv4 address, `localhost:<port>`, a name below `.localhost`, 127.0.0.1 or ::1.
    pub fn is_local(&self) -> bool {
        let (name, port) = split_port(&self.host);
        let is_private = |address: Ipv4Addr| address.is_private() || address == Ipv4Addr::LOCALHOST;
        name.parse().is_ok_and(is_private)
            || (name == "localhost" && port.is_some())
            || name.ends_with(".localhost")
            || name == "[::1]"
    }

    pub(crate) fn https(&self) -> &Url {
        &self.https
    }

    pub(crate) fn http(&self) -> &Url {
        &self.http
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.host)
    }
}

// === impl Repository ===

impl Repository {
    /// Reads `oci://<host>[:<port>]/<name>`.
    ///
    /// What stands before the first `/` is a host if it has a `.` or `:`; otherwise the whole is a repository of Docker Hub, and
    /// one without `/` is in its namespace `library`.
    pub fn parse(url: &str) -> Result<Repository, UrlError> {
        let text = url.strip_prefix(URL_PREFIX).ok_or(UrlError::Scheme)?;
        if text.is_empty() {
            return Err(UrlError::Empty);
        }
        let (registry, name) = match text.split_once('/') {
            Some((host, name)) if host.contains(['.', ':']) => (host, name),
            _ => (DOCKER_HUB, text),
        };
        if name.contains(['?', '#']) {
            // What follows may be a secret.
            return Err(UrlError::Characters(shown(&format!("{}***", net::redact(name)))));
        }
        if let Some((_, tag)) = name.split_once(':') {
            return Err(UrlError::Tag(shown(&net::redact(tag.split(':').next().unwrap_or_default()))));
        }
        if !(2..=255).contains(&name.chars().count()) {
            return Err(UrlError::Length(shown(&net::redact(name))));
        }
        if !name.chars().all(|c| REPOSITORY_CHARACTERS.contains(c)) {
            return Err(UrlError::Characters(shown(&net::redact(name))));
        }
        if name.split('/').any(|segment| matches!(segment, "." | "..")) {
            return Err(UrlError::DotSegment(shown(name)));
        }
        let registry = Registry::parse(registry)?;
        let name = match registry.host == DOCKER_HUB && !name.contains('/') {
            true => format!("{DOCKER_HUB_LIBRARY}/{name}"),
            false => name.to_owned(),
        };
        Ok(Repository { registry, name })
    }

    /// The registry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The name within the registry.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The manifest that `tag` points at.
    pub fn tag(&self, tag: &str) -> Result<Reference, TagError> {
        let well_formed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if tag.is_empty()
            || tag.len() > TAG_BYTES
            || tag.starts_with(['-', '.'])
            || !tag.chars().all(well_formed)
        {
            return Err(TagError(shown(tag)));
        }
        Ok(Reference { repository: self.clone(), identifier: Identifier::Tag(Tag(tag.to_owned())) })
    }

    /// The manifest with this digest.
    pub fn digest(&self, digest: Digest) -> Reference {
        Reference { repository: self.clone(), identifier: Identifier::Digest(digest) }
    }

    /// What a token has to allow for reading.
    pub(crate) fn scope(&self) -> String {
        format!("repository:{}:pull", self.name)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.name)
    }
}

// === impl Reference ===

impl Reference {
    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tag or digest.
    pub fn identifier(&self) -> &Identifier {
        &self.identifier
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let separator = if matches!(self.identifier, Identifier::Tag(_)) { ':' } else { '@' };
        write!(f, "{}{separator}{}", self.repository, self.identifier)
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Identifier::Tag(tag) => f.write_str(&tag.0),
            Identifier::Digest(digest) => digest.fmt(f),
        }
    }
}

impl Tag {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Host, and port if there is one. An IPv6 address keeps its brackets.
fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    }
}

fn shown(text: &str) -> String {
    text.chars().take(SHOWN_CHARACTERS).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_repositories() {
        for (url, registry, name) in [
            ("oci://ghcr.io/stefanprodan/manifests/podinfo", "ghcr.io", "stefanprodan/manifests/podinfo"),
            ("oci://localhost:5000/xy", "localhost:5000", "xy"),
            ("oci://localhost/xy", "index.docker.io", "localhost/xy"),
            ("oci://alpine", "index.docker.io", "library/alpine"),
            ("oci://docker.io/alpine", "index.docker.io", "library/alpine"),
            ("oci://index.docker.io/alpine", "index.docker.io", "library/alpine"),
            ("oci://docker.io/grafana/loki", "index.docker.io", "grafana/loki"),
            ("oci://grafana/loki", "index.docker.io", "grafana/loki"),
            ("oci://example.com/alpine", "example.com", "alpine"),
            ("oci://Example.COM/alpine", "Example.COM", "alpine"),
            ("oci://[::1]:5000/a_b/c-d.e", "[::1]:5000", "a_b/c-d.e"),
            ("oci://10.0.0.1/a/b/", "10.0.0.1", "a/b/"),
        ] {
            let repository = Repository::parse(url).unwrap();
            assert_eq!((repository.registry().host(), repository.name()), (registry, name), "{url}");
            assert_eq!(repository.to_string(), format!("{registry}/{name}"));
        }
    }

    #[test]
    fn other_urls_are_refused() {
        let characters =
            "repository can only contain the characters `abcdefghijklmnopqrstuvwxyz0123456789_-./`";
        for (url, error) in [
            ("https://ghcr.io/a/b", "URL must be in format 'oci://<domain>/<org>/<repo>'".to_owned()),
            ("OCI://ghcr.io/a/b", "URL must be in format 'oci://<domain>/<org>/<repo>'".to_owned()),
            ("oci://", "a repository name must be specified".to_owned()),
            ("oci://ghcr.io/", "repository must be between 2 and 255 characters in length: ".to_owned()),
            ("oci://ghcr.io/a", "repository must be between 2 and 255 characters in length: a".to_owned()),
            ("oci://ghcr.io/a/b:v1", "URL must not contain a tag; remove ':v1'".to_owned()),
            ("oci://host:5000/a/b:v1", "URL must not contain a tag; remove ':v1'".to_owned()),
            ("oci://me:sec/r:et@h/a", "URL must not contain a tag; remove ':***@h/a'".to_owned()),
            ("oci://alpine:3", "URL must not contain a tag; remove ':3'".to_owned()),
            ("oci://ghcr.io/a/b@sha256:01", "URL must not contain a tag; remove ':01'".to_owned()),
            ("oci://ghcr.io/A/b", format!("{characters}: A/b")),
            ("oci://ghcr.io/a/b?x=y", format!("{characters}: a/b***")),
            (
                "oci://ghcr.io/a/../../x",
                "repository must not have '.' or '..' as a path segment: a/../../x".to_owned(),
            ),
            (
                "oci://me:hunter2@ghcr.io/a/b",
                "registries must be valid RFC 3986 URI authorities: ***@ghcr.io".to_owned(),
            ),
            (
                "oci://host:port/a/b",
                "registries must be valid RFC 3986 URI authorities: host:port".to_owned(),
            ),
            ("oci://0x7f.1/a/b", "registries must be valid RFC 3986 URI authorities: 0x7f.1".to_owned()),
            ("oci://a.b\\c/a/b", "registries must be valid RFC 3986 URI authorities: a.b\\c".to_owned()),
            ("oci://a.b?x/a/b", "registries must be valid RFC 3986 URI authorities: a.b".to_owned()),
        ] {
            assert_eq!(Repository::parse(url).unwrap_err().to_string(), error, "{url}");
        }
        let long = format!("oci://ghcr.io/{}", "a".repeat(256));
        assert!(matches!(Repository::parse(&long), Err(UrlError::Length(_))));
    }

    #[test]
    fn some_registries_are_local() {
        let is_local = |host: &str| Registry::parse(host).unwrap().is_local();
        for host in [
            "localhost:5000",
            "registry.localhost",
            "registry.localhost:5000",
            "127.0.0.1",
            "127.0.0.1:5000",
            "[::1]",
            "[::1]:5000",
            "10.1.2.3:80",
            "172.31.0.1",
            "192.168.1.1",
        ] {
            assert!(is_local(host), "{host}");
        }
        for host in [
            "localhost",
            "ghcr.io",
            "127.0.0.2",
            "172.32.0.1",
            "localhost.example.com:5000",
            "169.254.169.254",
        ] {
            assert!(!is_local(host), "{host}");
        }
    }

    #[test]
    fn tags_and_digests_make_references() {
        let repository = Repository::parse("oci://ghcr.io/a/b").unwrap();
        assert_eq!(repository.tag("v1.0_rc.1").unwrap().to_string(), "ghcr.io/a/b:v1.0_rc.1");
        let digest = Digest::of(b"");
        assert_eq!(repository.digest(digest.clone()).to_string(), format!("ghcr.io/a/b@{digest}"));
        let long = "t".repeat(129);
        for tag in ["", ".", "..", "-x", "a/b", "../x", "a?b", "a b", "é", "sha256:1", &long] {
            assert!(repository.tag(tag).is_err(), "{tag}");
        }
        assert!(repository.tag(&"t".repeat(128)).is_ok());
    }
    proptest::proptest! {
        #[test]
        fn names_stay_below_their_registry(text in "[a-z0-9A-Z./:@_\\[\\]?#%\\\\ -]{0,40}") {
            if let Ok(repository) = Repository::parse(&format!("oci://{text}")) {
                let again = Repository::parse(&format!("oci://{repository}"));
                proptest::prop_assert_eq!(again, Ok(repository.clone()));
                let mut url = repository.registry().https().clone();
                let path = format!("/v2/{}/tags/list", repository.name());
                url.set_path(&path);
                proptest::prop_assert_eq!(url.path(), path);
                proptest::prop_assert!(url.username().is_empty() && url.password().is_none());
            }
        }
    }
}
