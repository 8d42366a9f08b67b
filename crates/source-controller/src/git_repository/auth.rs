//! From `spec.url` and the Secret to a remote that can be connected to.

use std::collections::BTreeMap;

use api::GitRepository;
use git::{Auth, Remote, Secret, TlsConfig, UrlError, redact};
use k8s_openapi::ByteString;

use super::failure::Failure;

/// The data of the Secret that `spec.secretRef` names.
pub type SecretData = BTreeMap<String, ByteString>;

/// Reads `spec.url`.
pub fn remote(url: &str) -> Result<Remote, Failure> {
    Remote::new(url).map_err(|error| {
        let message = match &error {
            UrlError::Scheme(scheme) => {
                format!("spec.url with scheme '{scheme}' is not supported by this version")
            }
            UrlError::Invalid(_) => format!("failed to parse url '{}': {error}", redact(url)),
        };
        Failure::fetch("URLInvalid", message).stalling()
    })
}

/// Adds what the Secret named `secret` (`<namespace>/<name>`) holds to the remote of `object`.
pub fn authenticate(remote: Remote, secret: &str, data: &SecretData) -> Result<Remote, Failure> {
    if data.contains_key("githubAppID") {
        let message = format!("secretRef '{secret}' has github app data but provider is not set to github");
        return Err(Failure::fetch("InvalidProviderConfiguration", message));
    }
    let transport = if remote.url().starts_with("https:") { "https" } else { "http" };
    let bad = |text: String| {
        Failure::fetch("AuthenticationFailed", format!("failed to configure authentication options: {text}"))
    };
    let tls = if transport == "https" { tls(secret, data).map_err(bad)? } else { TlsConfig::default() };
    let remote = remote.with_tls(tls).with_auth(auth(data)).map_err(|error| checkout_failed(&error))?;
    if remote.has_password_only() {
        return Err(bad(format!(
            "invalid '{transport}' auth option: 'password' requires 'username' to be set"
        )));
    }
    Ok(remote)
}

/// Any error of the Git side, as it stands in the FetchFailed condition.
pub fn checkout_failed(error: &git::Error) -> Failure {
    match error {
        git::Error::EmptyRepository => Failure::fetch("EmptyGitRepository", error.to_string()),
        git::Error::SparseDirectory(_) => {
            // The space before the colon is upstream's.
            let message = format!("failed to sparse checkout directories : {error}");
            Failure::fetch("GitOperationFailed", message)
        }
        _ => Failure::fetch(
            "GitOperationFailed",
            format!("failed to checkout and determine revision: {error}"),
        ),
    }
}

/// A bearer token makes user and password of the Secret irrelevant.
fn auth(data: &SecretData) -> Auth {
    match (data.get("bearerToken"), data.get("username"), data.get("password")) {
        (Some(token), ..) => Auth::Bearer(secret_text(token)),
        (None, None, None) => Auth::None,
        (None, username, password) => Auth::Basic {
            username: username.map(text).unwrap_or_default(),
            password: password.map(secret_text).unwrap_or_default(),
        },
    }
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

fn text(value: &ByteString) -> String {
    String::from_utf8_lossy(&value.0).into_owned()
}

fn secret_text(value: &ByteString) -> Secret {
    Secret::new(text(value))
}

/// The first field of the spec that this version cannot honour. Saying so beats fetching something else.
pub fn unsupported(object: &GitRepository) -> Option<Failure> {
    let spec = &object.spec;
    let provider = spec.provider.is_some_and(|p| p != api::git_repository::GitProvider::Generic);
    let fields = [
        ("provider", provider),
        ("serviceAccountName", spec.service_account_name.is_some()),
        ("proxySecretRef", spec.proxy_secret_ref.is_some()),
    ];
    let (field, _) = fields.into_iter().find(|(_, used)| *used)?;
    Some(
        Failure::fetch("UnsupportedField", format!("spec.{field} is not supported by this version"))
            .stalling(),
    )
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
                &[("githubAppID", "1")],
                "InvalidProviderConfiguration",
                "secretRef 'ns/s' has github app data but provider is not set to github",
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
    fn a_url_that_cannot_be_used_stalls() {
        let failure = remote("https://me:secret@exa mple/r").unwrap_err();
        assert_eq!((failure.class, failure.reason), (Class::Stalling, "URLInvalid"));
        assert!(!failure.message.contains("secret"), "{failure}");
        let failure = remote("ssh://git@h/r").unwrap_err();
        assert_eq!(failure.message, "spec.url with scheme 'ssh' is not supported by this version");
    }

    #[test]
    fn fields_that_would_be_ignored_are_named() {
        let mut object = GitRepository::new("a", api::GitRepositorySpec::default());
        assert_eq!(unsupported(&object), None);
        object.spec.provider = Some(api::git_repository::GitProvider::Generic);
        assert_eq!(unsupported(&object), None);
        object.spec.proxy_secret_ref = Some(api::LocalObjectReference { name: "proxy".into() });
        object.spec.provider = Some(api::git_repository::GitProvider::Aws);
        let failure = unsupported(&object).unwrap();
        assert_eq!(failure.message, "spec.provider is not supported by this version");
        assert_eq!((failure.class, failure.condition), (Class::Stalling, Some("FetchFailed")));
    }
}
