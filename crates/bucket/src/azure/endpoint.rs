//! Where a storage account is.

use url::Url;

/// What hosts of storage accounts end with in Microsoft's clouds, after the name of the account.
const DOMAINS: [&str; 4] = [
    "blob.core.windows.net",
    "blob.core.chinacloudapi.cn",
    "blob.core.usgovcloudapi.net",
    "blob.core.cloudapi.de",
];
/// The domain of accounts whose host names a zone of DNS, too: `<account>.z<number>.blob.storage.azure.net`.
const ZONES: &str = "blob.storage.azure.net";

/// The URL of an account. A query of it, which may be a shared access signature, is part of every request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    base: Url,
    query: String,
}

/// What is no URL of an account.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to parse endpoint URL: '{0}' is not an http(s) URL of a storage account")]
pub struct EndpointError(String);

/// A host that does not tell whose it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to extract account name from endpoint: expected '{0}' to be a subdomain")]
pub struct AccountError(String);

impl Endpoint {
    /// Reads the URL of an account.
    ///
    /// # Errors
    /// For anything else.
    pub fn parse(text: &str) -> Result<Endpoint, EndpointError> {
        let url = Url::parse(text).ok().filter(|url| {
            let is_plain = url.username().is_empty() && url.password().is_none();
            matches!(url.scheme(), "http" | "https") && is_plain && url.host_str().is_some()
        });
        let mut base = url.ok_or_else(|| EndpointError(net::redact(text)))?;
        let query = base.query().unwrap_or_default().to_owned();
        base.set_query(None);
        base.set_fragment(None);
        let path = format!("{}/", base.path().trim_end_matches('/'));
        base.set_path(&path);
        Ok(Endpoint { base, query })
    }

    /// Its host, without a port.
    pub fn host(&self) -> &str {
        self.base.host_str().unwrap_or_default()
    }

    /// The name of the account: the first label of a host with more than two.
    ///
    /// # Errors
    /// For hosts that have no more.
    pub fn account(&self) -> Result<&str, AccountError> {
        let host = self.host();
        match host.split('.').collect::<Vec<_>>()[..] {
            [account, _, _, ..] => Ok(account),
            _ => Err(AccountError(host.to_owned())),
        }
    }

    /// Whether it is one of the hosts at which Microsoft has storage: whatever is sent there, no customer sees it.
    pub fn is_of_azure(&self) -> bool {
        let domain = self.base.domain().and_then(|host| host.split_once('.')).map(|(_, domain)| domain);
        let is_zone = |zone: &str| {
            let number = zone.strip_prefix('z').unwrap_or_default();
            number.len() == 2 && number.bytes().all(|byte| byte.is_ascii_digit())
        };
        let zone = domain.and_then(|domain| domain.split_once('.')).filter(|(zone, _)| is_zone(zone));
        zone.is_some_and(|(_, rest)| rest == ZONES && self.is_below(domain.unwrap_or_default()))
            || DOMAINS.iter().any(|domain| self.is_below(domain))
    }

    /// Whether its host is one label below a domain, behind TLS at the usual port.
    pub fn is_below(&self, domain: &str) -> bool {
        let is_usual = self.is_https() && self.base.port().is_none();
        let host = self.base.domain().and_then(|host| host.split_once('.'));
        is_usual
            && host.is_some_and(|(account, rest)| !account.is_empty() && rest.eq_ignore_ascii_case(domain))
    }

    pub(super) fn is_https(&self) -> bool {
        self.base.scheme() == "https"
    }

    /// Without its query, with a slash at the end.
    pub(super) fn base(&self) -> &Url {
        &self.base
    }

    pub(super) fn query(&self) -> &str {
        &self.query
    }

    /// The same without those parameters of its query that `has` names.
    pub(super) fn without(mut self, has: impl Fn(&str) -> bool) -> Endpoint {
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(self.query.as_bytes()).into_owned().collect();
        let kept = pairs.iter().filter(|(name, _)| !has(name));
        self.query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish();
        self
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_the_url_of_an_account() {
        for (text, base, query) in [
            ("https://me.blob.core.windows.net", "https://me.blob.core.windows.net/", ""),
            ("http://127.0.0.1:10000/me/", "http://127.0.0.1:10000/me/", ""),
            (
                "https://me.blob.core.windows.net/?sv=1&sig=a%2B",
                "https://me.blob.core.windows.net/",
                "sv=1&sig=a%2B",
            ),
        ] {
            let endpoint = Endpoint::parse(text).unwrap();
            assert_eq!((endpoint.base().as_str(), endpoint.query()), (base, query));
        }
        for text in
            ["", "me.blob.core.windows.net", "ftp://h", "https://me:s3cret@h", "https://h:port/?sig=s3cret"]
        {
            let error = Endpoint::parse(text).unwrap_err().to_string();
            assert!(error.starts_with("unable to parse endpoint URL: '"), "{error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn the_first_label_of_a_host_names_the_account() {
        let account = |text: &str| Endpoint::parse(text).unwrap().account().map(str::to_owned);
        assert_eq!(account("https://me.blob.core.windows.net"), Ok("me".to_owned()));
        assert_eq!(account("http://me.blob.localhost:1/x"), Ok("me".to_owned()));
        assert_eq!(account("https://blob.example"), Err(AccountError("blob.example".to_owned())));
        assert_eq!(account("https://localhost"), Err(AccountError("localhost".to_owned())));
    }

    #[test]
    fn hosts_of_azure_are_those_that_no_customer_has() {
        for (text, is_of_azure) in [
            ("https://me.blob.core.windows.net", true),
            ("https://ME.blob.core.windows.net/", true),
            ("https://me.z12.blob.storage.azure.net", true),
            ("https://me.blob.core.chinacloudapi.cn", true),
            ("https://me.blob.core.usgovcloudapi.net", true),
            ("http://me.blob.core.windows.net", false),
            ("https://me.blob.core.windows.net:8443", false),
            ("https://blob.core.windows.net", false),
            ("https://evil.me.blob.core.windows.net", false),
            ("https://me.blob.core.windows.net.evil.example", false),
            ("https://me.zz1.blob.storage.azure.net", false),
            ("https://me.cloudapp.azure.com", false),
            ("https://10.0.0.1", false),
        ] {
            assert_eq!(Endpoint::parse(text).unwrap().is_of_azure(), is_of_azure, "{text}");
        }
    }
}
