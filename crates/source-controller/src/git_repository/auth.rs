//! From `spec.url` and the Secret to a remote that can be connected to.

use std::collections::BTreeMap;
use std::fmt::Display;

use api::GitRepository;
use api::git_repository::GitProvider;
use git::{Auth, Remote, UrlError};
use k8s_openapi::ByteString;
use net::{Proxy, TlsConfig, redact};
use secret::Secret;

use super::failure::{Failure, reason};

/// The data of the Secret that `spec.secretRef` names.
pub type SecretData = BTreeMap<String, ByteString>;

/// Reads `spec.url`.
pub fn remote(url: &str) -> Result<Remote, Failure> {
    Remote::new(url).map_err(|error| {
        let message = match &error {
            UrlError::Scheme(scheme) => {
                format!("spec.url with scheme '{scheme}' is not supported by this version")
            }
            UrlError::Invalid(_) | UrlError::Path(_) => {
                format!("failed to parse url '{}': {error}", redact(url))
            }
        };
        Failure::fetch(reason::URL_INVALID, message).stalling()
    })
}

/// Adds what the Secret named `secret` (`<namespace>/<name>`) holds to a remote; without a Secret there is no data.
pub fn authenticate(remote: Remote, secret: &str, data: &SecretData) -> Result<Remote, Failure> {
    if remote.is_ssh() {
        let auth = key(secret, &remote, data)?;
        return Ok(remote.with_auth(auth)?);
    }
    let transport = if remote.url().starts_with("https:") { "https" } else { "http" };
    let tls =
        if transport == "https" { tls(secret, data).map_err(bad_options)? } else { TlsConfig::default() };
    let remote = remote.with_tls(tls).with_auth(auth(data))?;
    if remote.has_password_only() {
        return Err(bad_options(format!(
            "invalid '{transport}' auth option: 'password' requires 'username' to be set"
        )));
    }
    Ok(remote)
}

/// What is given to authenticate with is of no use.
pub fn bad_options(why: impl Display) -> Failure {
    Failure::fetch(
        reason::AUTHENTICATION_FAILED,
        format!("failed to configure authentication options: {why}"),
    )
}

/// What sources must have in common to share an object cache: the URL, and everything that lets them in. Where that is
/// more than a Secret's content, they must be of one namespace.
pub fn identity(object: &GitRepository, secret: &SecretData) -> Vec<Vec<u8>> {
    let (spec, namespace) = (&object.spec, object.metadata.namespace.clone().unwrap_or_default());
    let mut parts = vec![spec.url.clone().into_bytes()];
    if is_foreign(spec.provider) || spec.service_account_name.is_some() {
        let account = spec.service_account_name.clone().unwrap_or_default();
        parts.push(format!("provider {:?} {namespace}/{account}", spec.provider).into_bytes());
    }
    if let Some(proxy) = &spec.proxy_secret_ref {
        parts.push(format!("proxy {namespace}/{}", proxy.name).into_bytes());
    }
    for (key, value) in secret {
        parts.extend([format!("secret {key}").into_bytes(), value.0.clone()]);
    }
    parts
}

fn is_foreign(provider: Option<GitProvider>) -> bool {
    provider.is_some_and(|provider| provider != GitProvider::Generic)
}

/// The key of a bearer token makes user and password of the Secret irrelevant, and an empty token is none.
fn auth(data: &SecretData) -> Auth {
    match (data.get("bearerToken"), data.get("username"), data.get("password")) {
        (Some(token), ..) if !token.0.is_empty() => Auth::Bearer(secret_text(token)),
        (Some(_), ..) | (None, None, None) => Auth::None,
        (None, username, password) => Auth::Basic {
            username: username.map(text).unwrap_or_default(),
            password: password.map(secret_text).unwrap_or_default(),
        },
    }
}

/// What SSH needs: the user is that of the URL, and the password is the key's.
fn key(secret: &str, remote: &Remote, data: &SecretData) -> Result<Auth, Failure> {
    let missing = |option: &str| bad_options(format!("invalid 'ssh' auth option: '{option}' is required"));
    let given = |name: &str| data.get(name).filter(|value| !value.0.is_empty());
    if !remote.has_host() {
        return Err(missing("host"));
    }
    let identity = secret_text(given("identity").ok_or_else(|| missing("identity"))?);
    let known_hosts = text(given("known_hosts").ok_or_else(|| missing("known_hosts"))?);
    let passphrase = given("password").map(secret_text);
    if passphrase.is_none() && git::ssh::is_encrypted(identity.expose()) {
        let message = format!(
            "SSH identity key is encrypted but no 'password' field was provided in the secret '{secret}'"
        );
        return Err(Failure::fetch(reason::AUTHENTICATION_FAILED, message));
    }
    Ok(Auth::Key { identity, passphrase, known_hosts })
}

/// The proxy that the Secret named `secret` (`<namespace>/<name>`) describes.
pub fn proxy(secret: &str, data: &SecretData) -> Result<Proxy, String> {
    let address = data.get("address").ok_or_else(|| format!("secret '{secret}': key 'address' not found"))?;
    if address.0.is_empty() {
        return Err(format!("secret '{secret}': proxy address is empty"));
    }
    let password = data.get("password").map(secret_text).unwrap_or_default();
    let credentials = data.get("username").map(|username| (text(username), password));
    Proxy::new(&text(address), credentials).map_err(|error| format!("secret '{secret}': {error}"))
}

fn tls(secret: &str, data: &SecretData) -> Result<TlsConfig, String> {
    let given = |key: &str| data.get(key).filter(|value| !value.0.is_empty());
    let client = match (given("tls.crt"), given("tls.key")) {
        (Some(certificate), Some(key)) => Some((certificate.0.clone(), secret_text(key))),
        (None, None) => None,
        _ => {
            return Err(format!("secret '{secret}' must have both 'tls.crt' and 'tls.key', or none of them"));
        }
    };
    Ok(TlsConfig { ca_bundle: given("ca.crt").or_else(|| given("caFile")).map(|pem| pem.0.clone()), client })
}

/// A value of a Secret as text.
pub fn text(value: &ByteString) -> String {
    String::from_utf8_lossy(&value.0).into_owned()
}

fn secret_text(value: &ByteString) -> Secret {
    Secret::new(text(value))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::failure::Class;
    use super::*;

    fn data(pairs: &[(&str, &str)]) -> SecretData {
        pairs.iter().map(|(k, v)| ((*k).to_owned(), ByteString(v.as_bytes().to_vec()))).collect()
    }

    fn with(url: &str, pairs: &[(&str, &str)]) -> Result<Remote, Failure> {
        authenticate(remote(url).unwrap(), "ns/s", &data(pairs))
    }

    #[test]
    fn what_secrets_must_not_hold() {
        for (url, pairs, reason, message) in [
            (
                "http://h/r",
                &[("password", "p")][..],
                "AuthenticationFailed",
                "failed to configure authentication options: invalid 'http' auth option: 'password' requires 'username' to be set",
            ),
            (
                "https://h/r",
                &[("tls.crt", "x")],
                "AuthenticationFailed",
                "failed to configure authentication options: secret 'ns/s' must have both 'tls.crt' and 'tls.key', or none of them",
            ),
            (
                "https://me:pw@h/r",
                &[("bearerToken", "t")],
                "GitOperationFailed",
                "failed to checkout and determine revision: basic auth and bearer token cannot be set at the same time",
            ),
        ] {
            let failure = with(url, pairs).unwrap_err();
            assert_eq!(
                (failure.reason, failure.message.as_str(), failure.class),
                (reason, message, Class::Generic)
            );
        }
    }

    #[test]
    fn what_secrets_may_hold() {
        for (url, pairs) in [
            ("http://h/r", &[][..]),
            ("http://h/r", &[("username", "u")]),
            ("http://me@h/r", &[("password", "p")]),
            ("https://h/r", &[("username", "u"), ("password", "p"), ("ca.crt", "ca"), ("caFile", "ignored")]),
            ("https://h/r", &[("bearerToken", "t"), ("username", "ignored"), ("password", "ignored")]),
            // Keys of other transports mean nothing here.
            ("http://h/r", &[("tls.crt", "x"), ("identity", "x"), ("known_hosts", "x")]),
        ] {
            with(url, pairs).unwrap();
        }
    }

    #[test]
    fn a_bearer_token_counts_before_user_and_password_even_if_it_is_empty() {
        let user = [("username", "u"), ("password", "p")];
        let with_token = |token: &'static str| auth(&data(&[&[("bearerToken", token)], &user[..]].concat()));
        assert_eq!(with_token("t"), Auth::Bearer(Secret::new("t")));
        assert_eq!(with_token(""), Auth::None);
        assert_eq!(auth(&data(&user)), Auth::Basic { username: "u".into(), password: Secret::new("p") });
    }

    #[test]
    fn a_url_that_cannot_be_used_stalls() {
        let failure = remote("https://me:secret@exa mple/r").unwrap_err();
        assert_eq!((failure.class, failure.reason), (Class::Stalling, "URLInvalid"));
        assert!(!failure.message.contains("secret"), "{failure}");
        for url in ["ssh://git@h/a%0Ab", "ssh://git@h", "ssh://git@h:port/r"] {
            let failure = remote(url).unwrap_err();
            assert_eq!((failure.class, failure.reason), (Class::Stalling, "URLInvalid"), "{url}");
        }
    }

    #[test]
    fn ssh_needs_a_host_a_key_and_known_hosts() {
        let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n";
        let option = |name: &str| {
            format!(
                "failed to configure authentication options: invalid 'ssh' auth option: '{name}' is required"
            )
        };
        for (url, pairs, message) in [
            ("ssh:///r", &[("identity", "x"), ("known_hosts", "x")][..], option("host")),
            ("ssh://h/r", &[], option("identity")),
            ("ssh://h/r", &[("identity", ""), ("known_hosts", "x")], option("identity")),
            ("ssh://h/r", &[("identity", "x"), ("username", "u"), ("password", "p")], option("known_hosts")),
            (
                "ssh://h/r",
                &[("identity", encrypted), ("known_hosts", "x")],
                "SSH identity key is encrypted but no 'password' field was provided in the secret 'ns/s'"
                    .into(),
            ),
        ] {
            let failure = with(url, pairs).unwrap_err();
            let expected = ("AuthenticationFailed", message.as_str(), Class::Generic);
            assert_eq!((failure.reason, failure.message.as_str(), failure.class), expected, "{url}");
        }
        for pairs in [
            &[("identity", "x"), ("known_hosts", "x")][..],
            &[("identity", encrypted), ("known_hosts", "x"), ("password", "p")],
            &[("identity", "x"), ("known_hosts", "x"), ("bearerToken", "t"), ("tls.crt", "x")],
        ] {
            with("ssh://me:ignored@h/r", pairs).unwrap();
        }
    }

    #[test]
    fn what_secrets_of_proxies_must_hold() {
        for (pairs, message) in [
            (&[][..], "secret 'ns/p': key 'address' not found"),
            (&[("address", "")], "secret 'ns/p': proxy address is empty"),
            (
                &[("address", "ftp://h:21")],
                "secret 'ns/p': proxy URL must use one of the supported schemes (http, https, socks5), got 'ftp'",
            ),
            (
                &[("address", "http://me:secret@h:port")],
                "secret 'ns/p': failed to parse proxy address '***@h:port': invalid port number",
            ),
        ] {
            assert_eq!(proxy("ns/p", &data(pairs)).unwrap_err(), message);
        }
        let plain = proxy("ns/p", &data(&[("address", "http://h:1"), ("password", "ignored")])).unwrap();
        assert_eq!(plain, Proxy::new("http://h:1", None).unwrap());
        let named = data(&[("address", "socks5://a:b@h:1"), ("username", "u"), ("password", "p")]);
        let expected = Proxy::new("socks5://h:1", Some(("u".into(), Secret::new("p")))).unwrap();
        assert_eq!(proxy("ns/p", &named).unwrap(), expected);
    }

    #[test]
    fn a_cache_is_shared_by_those_who_are_let_in_by_the_same_means() {
        let object = |namespace: &str, url: &str| {
            let mut object = GitRepository::new("a", api::GitRepositorySpec::default());
            object.metadata.namespace = Some(namespace.into());
            object.spec.url = url.into();
            object
        };
        let (one, other) = (object("one", "https://h/r"), object("other", "https://h/r"));
        let password = data(&[("username", "u"), ("password", "p")]);
        assert_eq!(identity(&one, &SecretData::new()), identity(&other, &SecretData::new()));
        assert_eq!(identity(&one, &password), identity(&other, &password));
        assert_ne!(identity(&one, &password), identity(&one, &SecretData::new()));
        assert_ne!(identity(&one, &password), identity(&one, &data(&[("username", "u"), ("password", "x")])));
        assert_ne!(identity(&one, &password), identity(&object("one", "https://h/q"), &password));
        // A proxy may lead to another server, and a service account is one of its namespace.
        let changes: [fn(&mut GitRepository); 2] = [
            |o| o.spec.proxy_secret_ref = Some(api::LocalObjectReference { name: "proxy".into() }),
            |o| o.spec.provider = Some(GitProvider::Azure),
        ];
        for change in changes {
            let (mut one, mut other, plain) = (one.clone(), other.clone(), one.clone());
            change(&mut one);
            change(&mut other);
            assert_ne!(identity(&one, &password), identity(&other, &password));
            assert_ne!(identity(&one, &password), identity(&plain, &password));
        }
    }
}
