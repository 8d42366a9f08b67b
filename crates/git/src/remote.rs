//! Where a repository is and how to be let in.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use crate::Error;
use crate::ssh::Address;
use net::{Proxy, TlsConfig, percent_decode, remove_credentials};
use secret::Secret;

/// The URL is not one that can be fetched from.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UrlError {
    /// Not a URL at all.
    #[error("{0}")]
    Invalid(#[from] url::ParseError),
    /// None of http, https and ssh.
    #[error("unsupported scheme '{0}'")]
    Scheme(String),
    /// An SSH URL whose path cannot be one of a repository.
    #[error("{0}")]
    Path(&'static str),
}

/// How to authenticate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// `Authorization: Basic`.
    Basic {
        /// The user.
        username: String,
        /// Its password, may be empty.
        password: Secret,
    },
    /// `Authorization: Bearer`.
    Bearer(Secret),
    /// SSH with a private key. The user is that of the URL, or `git`.
    Key {
        /// The private key, in OpenSSH's format or as PEM (PKCS#1, SEC1, PKCS#8).
        identity: Secret,
        /// What the key is encrypted with.
        passphrase: Option<Secret>,
        /// Keys and authorities of servers, as in OpenSSH's file of that name.
        known_hosts: String,
    },
}

/// A repository behind http, https or SSH.
///
/// Those of http(s) travel in an `Authorization` header that is sent at once and, as with Flux, over plain http too; they are
/// never sent to another host than that of the URL.
#[derive(Debug, Clone)]
pub struct Remote {
    pub(crate) url: Url,
    pub(crate) auth: Auth,
    pub(crate) tls: TlsConfig,
    pub(crate) proxy: Option<Proxy>,
}

impl Remote {
    /// Reads a URL; user and password in it are used where `auth` has none.
    pub fn new(url: &str) -> Result<Remote, UrlError> {
        let mut url = Url::parse(url)?;
        if url.scheme() == "ssh" {
            Address::new(&url)?;
            // Fails without a host, and then there is no password either.
            let _ = url.set_password(None);
            return Ok(Remote { url, auth: Auth::None, tls: TlsConfig::default(), proxy: None });
        }
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlError::Scheme(url.scheme().to_owned()));
        }
        let auth = match (percent_decode(url.username()), url.password().map(percent_decode)) {
            (user, None) if user.is_empty() => Auth::None,
            (username, password) => {
                Auth::Basic { username, password: Secret::new(password.unwrap_or_default()) }
            }
        };
        remove_credentials(&mut url);
        url.set_fragment(None);
        Ok(Remote { url, auth, tls: TlsConfig::default(), proxy: None })
    }

    /// Adds credentials. A user name given here beats the URL's; a bearer token together with a user is an error.
    pub fn with_auth(mut self, auth: Auth) -> Result<Remote, Error> {
        self.auth = match (auth, self.auth) {
            (Auth::Bearer(_), Auth::Basic { .. }) => return Err(Error::TwoAuths),
            (Auth::None, from_url) => from_url,
            (Auth::Basic { username, password }, Auth::Basic { username: user, password: pass }) => {
                Auth::Basic {
                    username: if username.is_empty() { user } else { username },
                    password: if password.is_empty() { pass } else { password },
                }
            }
            (given, _) => given,
        };
        Ok(self)
    }

    /// Forgets all credentials, those of the URL too, and uses these.
    pub fn replace_auth(mut self, auth: Auth) -> Remote {
        self.auth = auth;
        self
    }

    /// Adds TLS settings.
    pub fn with_tls(mut self, tls: TlsConfig) -> Remote {
        self.tls = tls;
        self
    }

    /// Goes through `proxy`, whatever the environment says.
    pub fn with_proxy(mut self, proxy: Proxy) -> Remote {
        self.proxy = Some(proxy);
        self
    }

    /// What it trusts.
    pub fn tls(&self) -> &TlsConfig {
        &self.tls
    }

    /// What it goes through.
    pub fn proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref()
    }

    /// Whether this is reached over SSH, where only [`Auth::Key`] counts.
    pub fn is_ssh(&self) -> bool {
        self.url.scheme() == "ssh"
    }

    /// Whether the URL names a server.
    pub fn has_host(&self) -> bool {
        self.url.host_str().is_some_and(|host| !host.is_empty())
    }

    /// The URL without password and, but for SSH, without user.
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// The host, without a port.
    pub fn host(&self) -> &str {
        self.url.host_str().unwrap_or_default()
    }

    /// Scheme, host and port: what credentials are given for.
    pub fn server(&self) -> String {
        let (scheme, host) = (self.url.scheme(), self.url.host_str().unwrap_or_default());
        format!("{scheme}://{host}:{}", self.url.port_or_known_default().unwrap_or_default())
    }

    /// Whether a password was given and nobody to whom it belongs.
    pub fn has_password_only(&self) -> bool {
        matches!(&self.auth, Auth::Basic { username, password } if username.is_empty() && !password.is_empty())
    }

    pub(crate) fn authorization(&self) -> Option<Secret> {
        match &self.auth {
            Auth::None | Auth::Key { .. } => None,
            Auth::Basic { username, password } if username.is_empty() && password.is_empty() => None,
            Auth::Basic { username, password } => {
                let pair = STANDARD.encode(format!("{username}:{}", password.expose()));
                Some(Secret::new(format!("Basic {pair}")))
            }
            Auth::Bearer(token) => Some(Secret::new(format!("Bearer {}", token.expose()))),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn basic(username: &str, password: &str) -> Auth {
        Auth::Basic { username: username.into(), password: Secret::new(password) }
    }

    #[test]
    fn user_info_of_the_url_fills_what_the_secret_lacks() {
        let remote = || Remote::new("https://me:p%40ss@example.com/r.git").unwrap();
        assert_eq!(remote().url(), "https://example.com/r.git");
        assert_eq!(remote().auth, basic("me", "p@ss"));
        assert_eq!(remote().with_auth(basic("you", "")).unwrap().auth, basic("you", "p@ss"));
        assert_eq!(remote().with_auth(basic("", "x")).unwrap().auth, basic("me", "x"));
        assert!(matches!(remote().with_auth(Auth::Bearer(Secret::new("t"))), Err(Error::TwoAuths)));
    }

    #[test]
    fn an_empty_auth_sends_no_header() {
        let plain = Remote::new("http://example.com/r").unwrap();
        assert_eq!(plain.authorization(), None);
        assert_eq!(plain.clone().with_auth(basic("", "")).unwrap().authorization(), None);
        let header = plain.with_auth(basic("a", "b")).unwrap().authorization().unwrap();
        assert_eq!(header.expose(), "Basic YTpi");
    }

    #[test]
    fn other_schemes_are_refused() {
        for url in ["file:///etc", "git://h/r", "ext::sh -c id", "git@host:path"] {
            assert!(Remote::new(url).is_err(), "{url}");
        }
    }

    #[test]
    fn a_remote_shows_no_password() {
        let remote = Remote::new("https://me:pw1234@h/r").unwrap();
        assert!(!format!("{remote:?}").contains("pw1234"));
    }
}
