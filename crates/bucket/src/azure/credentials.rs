//! With what requests are let in: a token, the key of the account, or a shared access signature.

use std::fmt;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secret::Secret;
use url::Url;

use super::Endpoint;

/// See the head of this file.
#[derive(Clone, Debug, Default)]
pub enum Credentials {
    /// None: for containers that anybody may read.
    #[default]
    Anonymous,
    /// An access token of Microsoft Entra for [`super::SCOPE`].
    Token(Secret),
    /// Requests are signed.
    AccountKey(AccountKey),
    /// Every request has the signature.
    Sas(Sas),
}

/// The key of an account, and its name.
#[derive(Clone)]
pub struct AccountKey {
    account: String,
    key: Box<hmac::Key>,
}

/// A text that is no key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("decode account key: it is not base64")]
pub struct KeyError;

/// A shared access signature: what of a query lets others in.
#[derive(Clone, Debug)]
pub struct Sas(Secret);

/// A text that is no query. Nothing of it is told.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unable to parse SAS token: {0}")]
pub struct SasError(&'static str);

impl Credentials {
    /// What every query has.
    pub(super) fn query(&self) -> &str {
        match self {
            Credentials::Sas(Sas(query)) => query.expose(),
            _ => "",
        }
    }

    /// The header of a GET for `url` that has the header `if-match` and those that are `named`, which are sorted.
    pub(super) fn authorization(
        &self,
        url: &Url,
        if_match: Option<&str>,
        named: &[(&str, &str)],
    ) -> Option<Secret> {
        match self {
            Credentials::Anonymous | Credentials::Sas(_) => None,
            Credentials::Token(token) => Some(Secret::new(format!("Bearer {}", token.expose()))),
            Credentials::AccountKey(key) => Some(Secret::new(key.authorization(url, if_match, named))),
        }
    }
}

impl AccountKey {
    /// The key `key`, in base64, of an account.
    ///
    /// # Errors
    /// When it is not base64.
    pub fn new(account: &str, key: &Secret) -> Result<AccountKey, KeyError> {
        let text: String = key.expose().split_whitespace().collect();
        let bytes = STANDARD.decode(text).map_err(|_| KeyError)?;
        let key = Box::new(hmac::Key::new(hmac::HMAC_SHA256, &bytes));
        Ok(AccountKey { account: account.to_owned(), key })
    }

    fn authorization(&self, url: &Url, if_match: Option<&str>, named: &[(&str, &str)]) -> String {
        let text = text_to_sign(&self.account, url, if_match, named);
        let signature = STANDARD.encode(hmac::sign(&self.key, text.as_bytes()));
        format!("SharedKey {}:{signature}", self.account)
    }
}

impl fmt::Debug for AccountKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AccountKey").field(&self.account).finish()
    }
}

/// What is signed of a GET without a body, as Microsoft's page "Authorize with Shared Key" says.
fn text_to_sign(account: &str, url: &Url, if_match: Option<&str>, named: &[(&str, &str)]) -> String {
    let if_match = if_match.unwrap_or_default();
    // Encoding, language, length, MD5 and type of the content, the date, and the times of conditions are not there.
    let mut text = format!("GET\n\n\n\n\n\n\n\n{if_match}\n\n\n\n");
    text.extend(named.iter().map(|(name, value)| format!("{name}:{value}\n")));
    text.extend(["/", account, url.path()]);
    let mut pairs: Vec<(String, String)> =
        url.query_pairs().map(|(name, value)| (name.to_lowercase(), value.into_owned())).collect();
    pairs.sort();
    for same in pairs.chunk_by(|(a, _), (b, _)| a == b) {
        let values: Vec<&str> = same.iter().map(|(_, value)| value.as_str()).collect();
        text.extend(same.first().map(|(name, _)| format!("\n{name}:{}", values.join(","))));
    }
    text
}

impl Sas {
    /// Reads a signature, with or without a question mark before it, and gives the endpoint without what it says better.
    ///
    /// # Errors
    /// For what is no query.
    pub fn of_endpoint(endpoint: Endpoint, key: &Secret) -> Result<(Endpoint, Sas), SasError> {
        let text = key.expose().trim();
        let text = text.strip_prefix('?').unwrap_or(text);
        if text.contains(';') {
            return Err(SasError("invalid semicolon separator in query"));
        }
        let is_escape =
            |rest: &&str| rest.get(..2).is_some_and(|code| code.bytes().all(|byte| byte.is_ascii_hexdigit()));
        if !text.split('%').skip(1).all(|rest| is_escape(&rest)) {
            return Err(SasError("invalid URL escape"));
        }
        let pairs: Vec<(String, String)> =
            url::form_urlencoded::parse(text.as_bytes()).into_owned().collect();
        let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
        let endpoint = endpoint.without(|name| pairs.iter().any(|(other, _)| other == name));
        Ok((endpoint, Sas(Secret::new(query))))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const NAMED: [(&str, &str); 2] =
        [("x-ms-date", "Fri, 26 Jun 2015 23:39:12 GMT"), ("x-ms-version", "2015-02-21")];

    #[test]
    fn the_text_to_sign_is_that_of_microsofts_page() {
        let url =
            "https://myaccount.blob.core.windows.net/mycontainer?restype=container&comp=metadata&timeout=20";
        let expected = "GET\n\n\n\n\n\n\n\n\n\n\n\nx-ms-date:Fri, 26 Jun 2015 23:39:12 GMT\nx-ms-version:2015-02-21\n\
                        /myaccount/mycontainer\ncomp:metadata\nrestype:container\ntimeout:20";
        assert_eq!(text_to_sign("myaccount", &Url::parse(url).unwrap(), None, &NAMED), expected);
    }

    #[test]
    fn conditions_paths_and_repeated_parameters_are_signed() {
        let url = Url::parse("http://h/me/c/a%20b?Include=snapshots&include=metadata&b=x%2By%20z").unwrap();
        let text = text_to_sign("me", &url, Some("\"0x1\""), &[]);
        assert_eq!(
            text,
            "GET\n\n\n\n\n\n\n\n\"0x1\"\n\n\n\n/me/me/c/a%20b\nb:x+y z\ninclude:metadata,snapshots"
        );
    }

    #[test]
    fn the_signature_is_that_of_openssl() {
        // printf '%s' "$text" | openssl dgst -sha256 -mac HMAC -macopt hexkey:00010203 -binary | base64
        let key = AccountKey::new("myaccount", &Secret::new("AAEC\nAw==\n")).unwrap();
        let url =
            "https://myaccount.blob.core.windows.net/mycontainer?restype=container&comp=metadata&timeout=20";
        let header = key.authorization(&Url::parse(url).unwrap(), None, &NAMED);
        assert_eq!(header, "SharedKey myaccount:jawNdU28K/KoV3c2cxV1KVmdHgDZ7YB3cCCmJQjMR+w=");
        assert_eq!(AccountKey::new("me", &Secret::new("s3cret!")).unwrap_err(), KeyError);
        assert_eq!(format!("{key:?}"), "AccountKey(\"myaccount\")");
    }

    #[test]
    fn a_signature_wins_over_the_query_of_the_endpoint() {
        let read = |endpoint: &str, key: &str| {
            let (endpoint, sas) = Sas::of_endpoint(Endpoint::parse(endpoint).unwrap(), &Secret::new(key))?;
            Ok::<_, SasError>((endpoint.query().to_owned(), Credentials::Sas(sas).query().to_owned()))
        };
        let pair = |a: &str, b: &str| Ok((a.to_owned(), b.to_owned()));
        assert_eq!(read("https://h", "?sv=1&sig=a%2Bb%3D\n"), pair("", "sv=1&sig=a%2Bb%3D"));
        assert_eq!(read("https://h/?sv=0&x=y", "sv=1&sig=s"), pair("x=y", "sv=1&sig=s"));
        for key in ["sig=s3cret;", "sig=s3cret%", "sig=s3cret%zz", "%é"] {
            let error = read("https://h", key).unwrap_err().to_string();
            assert!(error.starts_with("unable to parse SAS token: ") && !error.contains("s3cret"), "{error}");
        }
    }
}
