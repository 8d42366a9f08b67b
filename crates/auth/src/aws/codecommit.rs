//! CodeCommit over https: user and password are made of a signature (AWS Signature Version 4) over the URL.

use std::time::SystemTime;

use url::Url;

use super::Credentials;
use super::signature::{Signer, timestamp};
use crate::Secret;

const SIGNED_SERVICE: &str = "codecommit";

/// A repository of CodeCommit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repository {
    host: String,
    path: String,
    region: String,
}

/// The URL is not one of CodeCommit.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum UrlError {
    /// Plain http, or ssh.
    #[error("AWS CodeCommit authentication requires an HTTPS Git URL")]
    Scheme,
    /// Another host.
    #[error("invalid AWS CodeCommit Git URL: {0}")]
    Host(String),
}

/// A user and a password, good for some minutes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Access key and session token.
    pub username: Secret,
    /// Time and signature.
    pub password: Secret,
}

impl Repository {
    /// Reads the URL: `https://git-codecommit[-fips].<region>.amazonaws.com[.cn]/…`.
    pub fn new(url: &Url) -> Result<Repository, UrlError> {
        if url.scheme() != "https" {
            return Err(UrlError::Scheme);
        }
        let name = url.host_str().unwrap_or_default();
        let host = match url.port() {
            Some(port) => format!("{name}:{port}"),
            None => name.to_owned(),
        };
        let rest = name.strip_prefix("git-codecommit.").or_else(|| name.strip_prefix("git-codecommit-fips."));
        let region = rest
            .and_then(|rest| {
                rest.strip_suffix(".amazonaws.com").or_else(|| rest.strip_suffix(".amazonaws.com.cn"))
            })
            .filter(|region| !region.is_empty() && !region.contains('.'));
        let region = region.ok_or_else(|| UrlError::Host(host.clone()))?.to_owned();
        Ok(Repository { host, path: url.path().to_owned(), region })
    }

    /// Where it is.
    pub fn region(&self) -> &str {
        &self.region
    }

    /// Signs for `credentials`, at the time `now`.
    pub fn login(&self, credentials: &Credentials, now: SystemTime) -> Login {
        let time = timestamp(now);
        // Only the host is signed, there is no payload, and the time has no zone.
        let time = time.trim_end_matches('Z');
        let request = format!("GIT\n{}\n\nhost:{}\n\nhost\n", self.path, self.host);
        let signer = Signer { credentials, region: &self.region, service: SIGNED_SERVICE };
        let signature = signer.signature(time, &request);
        let username = match &credentials.session_token {
            Some(token) => format!("{}%{}", credentials.access_key, token.expose()),
            None => credentials.access_key.clone(),
        };
        Login { username: Secret::new(username), password: Secret::new(format!("{time}Z{signature}")) }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn repository(url: &str) -> Result<Repository, UrlError> {
        Repository::new(&Url::parse(url).unwrap())
    }

    #[test]
    fn urls_of_other_services_than_codecommit_are_not_signed() {
        for (url, region) in [
            ("https://git-codecommit.us-east-1.amazonaws.com/v1/repos/a", "us-east-1"),
            ("https://git-codecommit-fips.us-gov-west-1.amazonaws.com/v1/repos/a", "us-gov-west-1"),
            ("https://git-codecommit.cn-north-1.amazonaws.com.cn/v1/repos/a", "cn-north-1"),
        ] {
            assert_eq!(repository(url).unwrap().region(), region);
        }
        assert_eq!(
            repository("https://example.com/a").unwrap_err().to_string(),
            "invalid AWS CodeCommit Git URL: example.com"
        );
        for url in [
            "https://git-codecommit.us-east-1.amazonaws.com.evil.com/a",
            "https://git-codecommit.amazonaws.com/a",
            "https://git-codecommit.a.b.amazonaws.com/a",
            "https://codecommit.us-east-1.amazonaws.com/a",
        ] {
            assert!(matches!(repository(url), Err(UrlError::Host(_))), "{url}");
        }
        assert_eq!(repository("http://git-codecommit.us-east-1.amazonaws.com/a"), Err(UrlError::Scheme));
    }

    #[test]
    fn the_signature_is_that_of_the_rules() {
        // Computed apart from this code, with Python's hmac and hashlib.
        let credentials = Credentials {
            access_key: "AKIDEXAMPLE".into(),
            secret_key: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
            session_token: Some(Secret::new("token/+=")),
            expires: SystemTime::UNIX_EPOCH,
        };
        let repository = repository("https://git-codecommit.us-east-1.amazonaws.com/v1/repos/app").unwrap();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let login = repository.login(&credentials, now);
        assert_eq!(login.username.expose(), "AKIDEXAMPLE%token/+=");
        assert_eq!(
            login.password.expose(),
            "20231114T221320Z889c44ab407f81bf4ed0fa9307d52e4b09fc6d649896060ea8cb7ed139782fa7"
        );
        assert!(!format!("{login:?} {credentials:?}").contains("token/"));
    }
}
