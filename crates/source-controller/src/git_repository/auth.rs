//! From `spec.url` and the Secret to a remote that can be connected to.

use std::fmt::Display;

use api::GitRepository;
use api::git_repository::GitProvider;
use git::{Auth, Remote, UrlError};
use net::{TlsConfig, redact};
use references::SecretData;

use source::failure::{Failure, reason};

use super::failure::git_failure;

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

/// Adds what a Secret holds to a remote; without one there is no data.
pub fn authenticate(remote: Remote, data: &SecretData) -> Result<Remote, Failure> {
    if remote.is_ssh() {
        let auth = key(&remote, data)?;
        return remote.with_auth(auth).map_err(git_failure);
    }
    let transport = if remote.url().starts_with("https:") { "https" } else { "http" };
    let tls = if transport == "https" { data.tls().map_err(bad_options)? } else { TlsConfig::default() };
    let remote = remote.with_tls(tls).with_auth(auth(data)).map_err(git_failure)?;
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
    for (key, value) in secret.values() {
        parts.extend([format!("secret {key}").into_bytes(), value.0.clone()]);
    }
    parts
}

fn is_foreign(provider: Option<GitProvider>) -> bool {
    provider.is_some_and(|provider| provider != GitProvider::Generic)
}

/// The key of a bearer token makes user and password of the Secret irrelevant, and an empty token is none.
fn auth(data: &SecretData) -> Auth {
    match (data.secret("bearerToken"), data.text("username"), data.secret("password")) {
        (Some(token), ..) if !token.is_empty() => Auth::Bearer(token),
        (Some(_), ..) | (None, None, None) => Auth::None,
        (None, username, password) => {
            Auth::Basic { username: username.unwrap_or_default(), password: password.unwrap_or_default() }
        }
    }
}

/// What SSH needs: the user is that of the URL, and the password is the key's.
fn key(remote: &Remote, data: &SecretData) -> Result<Auth, Failure> {
    let missing = |option: &str| bad_options(format!("invalid 'ssh' auth option: '{option}' is required"));
    if !remote.has_host() {
        return Err(missing("host"));
    }
    let identity =
        data.secret("identity").filter(|key| !key.is_empty()).ok_or_else(|| missing("identity"))?;
    let known_hosts = data.text("known_hosts").filter(|text| !text.is_empty());
    let known_hosts = known_hosts.ok_or_else(|| missing("known_hosts"))?;
    let passphrase = data.secret("password").filter(|password| !password.is_empty());
    if passphrase.is_none() && git::ssh::is_encrypted(identity.expose()) {
        let message = format!(
            "SSH identity key is encrypted but no 'password' field was provided in the secret '{}'",
            data.name()
        );
        return Err(Failure::fetch(reason::AUTHENTICATION_FAILED, message));
    }
    Ok(Auth::Key { identity, passphrase, known_hosts })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use k8s_openapi::ByteString;
    use secret::Secret;

    use super::*;
    use source::failure::Class;

    fn data(pairs: &[(&str, &str)]) -> SecretData {
        let values = pairs.iter().map(|(k, v)| ((*k).to_owned(), ByteString(v.as_bytes().to_vec())));
        SecretData::new("ns/s", values.collect())
    }

    fn with(url: &str, pairs: &[(&str, &str)]) -> Result<Remote, Failure> {
        authenticate(remote(url).unwrap(), &data(pairs))
    }

    #[test]
    fn a_secret_that_contradicts_itself_is_refused() {
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
    fn a_secret_may_hold_keys_of_other_transports() {
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
    fn a_cache_is_shared_by_those_who_are_let_in_by_the_same_means() {
        let object = |namespace: &str, url: &str| {
            let mut object = GitRepository::new("a", api::GitRepositorySpec::default());
            object.metadata.namespace = Some(namespace.into());
            object.spec.url = url.into();
            object
        };
        let (one, other) = (object("one", "https://h/r"), object("other", "https://h/r"));
        let password = data(&[("username", "u"), ("password", "p")]);
        assert_eq!(identity(&one, &SecretData::default()), identity(&other, &SecretData::default()));
        assert_eq!(identity(&one, &password), identity(&other, &password));
        assert_ne!(identity(&one, &password), identity(&one, &SecretData::default()));
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
