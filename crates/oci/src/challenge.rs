//! What a registry asks for: the header `WWW-Authenticate` (RFC 9110, section 11.6.1).

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// Challenges that are read of one answer.
const MAX_CHALLENGES: usize = 16;

/// Why the header cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChallengeError {
    /// It is larger than [`Limits::challenge_bytes`](crate::Limits::challenge_bytes).
    #[error("www-authenticate of more than {0} bytes")]
    TooLarge(usize),
    /// None of its schemes is Basic or Bearer.
    #[error("unrecognized challenge: {0}")]
    Unrecognized(String),
    /// It asks for a token, and does not say where to get one.
    #[error("malformed www-authenticate, missing realm")]
    MissingRealm,
}

/// How to authenticate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Challenge {
    /// With user and password (RFC 7617).
    Basic,
    /// With a token (RFC 6750, and distribution's token authentication).
    Bearer {
        /// The URL to get the token from.
        realm: String,
        /// The service that the token is for.
        service: Option<String>,
        /// What the token has to allow.
        scope: Option<String>,
    },
}

/// A scheme and its parameters, their names in lower case.
#[derive(Debug, Default, PartialEq, Eq)]
struct Raw {
    scheme: String,
    parameters: Vec<(String, String)>,
}

impl Challenge {
    /// The first challenge that can be met, in up to `limit` bytes of headers. `None` if there is no challenge at all.
    pub(crate) fn select(headers: &HeaderMap, limit: usize) -> Result<Option<Challenge>, ChallengeError> {
        let values = || headers.get_all(WWW_AUTHENTICATE).iter();
        if values().map(|value| value.len()).sum::<usize>() > limit {
            return Err(ChallengeError::TooLarge(limit));
        }
        let raw: Vec<Raw> =
            values().filter_map(|value| value.to_str().ok()).flat_map(parse).take(MAX_CHALLENGES).collect();
        let Some(first) = raw.first() else { return Ok(None) };
        match raw.iter().find(|raw| matches!(raw.scheme.as_str(), "basic" | "bearer")) {
            None => Err(ChallengeError::Unrecognized(first.scheme.chars().take(64).collect())),
            Some(raw) if raw.scheme == "basic" => Ok(Some(Challenge::Basic)),
            Some(raw) => Ok(Some(Challenge::Bearer {
                realm: raw.get("realm").ok_or(ChallengeError::MissingRealm)?,
                service: raw.get("service"),
                scope: raw.get("scope"),
            })),
        }
    }
}

impl Raw {
    fn get(&self, name: &str) -> Option<String> {
        let found = self.parameters.iter().find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| value.clone())
    }
}

/// The challenges of one header: schemes, each with parameters between commas. What cannot be read ends the list.
fn parse(header: &str) -> Vec<Raw> {
    let mut challenges: Vec<Raw> = Vec::new();
    let mut rest = header.trim_start_matches([' ', '\t', ',']);
    while !rest.is_empty() {
        let Some((word, after)) = token(rest) else { break };
        // A word and `=` is a parameter of the last scheme, any other word a new scheme.
        match (parameter(after), challenges.last_mut()) {
            (Some((value, after)), Some(challenge)) => {
                challenge.parameters.push((word.to_ascii_lowercase(), value));
                rest = after;
            }
            (Some(_), None) => break,
            (None, _) => {
                challenges.push(Raw { scheme: word.to_ascii_lowercase(), parameters: Vec::new() });
                rest = credentials(after);
            }
        }
        rest = rest.trim_start_matches([' ', '\t', ',']);
    }
    challenges
}

/// A token of RFC 9110, and what follows.
fn token(text: &str) -> Option<(&str, &str)> {
    let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    let end = text.find(|c| !is_token(c)).unwrap_or(text.len());
    text.split_at_checked(end).filter(|(token, _)| !token.is_empty())
}

/// The value after a parameter's name, and what follows.
fn parameter(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start_matches([' ', '\t']).strip_prefix('=')?.trim_start_matches([' ', '\t']);
    let Some(quoted) = text.strip_prefix('"') else {
        return token(text).map(|(value, rest)| (value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut characters = quoted.chars();
    loop {
        match characters.next()? {
            '"' => return Some((value, characters.as_str())),
            '\\' => value.push(characters.next()?),
            other => value.push(other),
        }
    }
}

/// Skips a token68, which some schemes have in place of parameters.
fn credentials(text: &str) -> &str {
    let trimmed = text.trim_start_matches([' ', '\t']);
    let is_token68 = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
    let end = trimmed.find(|c| !is_token68(c)).unwrap_or(trimmed.len());
    let after = trimmed.get(end..).unwrap_or_default().trim_start_matches('=');
    let blank = after.trim_start_matches([' ', '\t']);
    if end > 0 && (blank.is_empty() || blank.starts_with(',')) { blank } else { text }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn select(headers: &[&str]) -> Result<Option<Challenge>, ChallengeError> {
        let mut map = HeaderMap::new();
        for header in headers {
            map.append(WWW_AUTHENTICATE, header.parse().unwrap());
        }
        Challenge::select(&map, 8192)
    }

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Challenge {
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Challenge::Bearer { realm: realm.to_owned(), service: owned(service), scope: owned(scope) }
    }

    #[test]
    fn challenges_are_read() {
        let docker = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:library/alpine:pull""#;
        let expected = bearer(
            "https://auth.docker.io/token",
            Some("registry.docker.io"),
            Some("repository:library/alpine:pull"),
        );
        let short = bearer("https://a/t", None, None);
        let comma = bearer("https://a/t?x=1,2", Some(r#"a "b" c"#), None);
        for (headers, expected) in [
            (&[docker][..], expected),
            (&["Basic realm=\"x\""], Challenge::Basic),
            (&["basic"], Challenge::Basic),
            (&["BEARER REALM=\"https://a/t\""], short.clone()),
            (&["Bearer  realm = \"https://a/t\" , service=\"\""], short.clone()),
            (&[r#"Bearer realm="https://a/t?x=1,2",service="a \"b\" c""#], comma),
            (&[r#"Negotiate, Bearer realm="https://a/t""#], short.clone()),
            (&[r#"Negotiate abc+/==, Bearer realm="https://a/t""#], short.clone()),
            (&[r#"Digest realm="x", nonce="y", Bearer realm="https://a/t", Basic realm="z""#], short.clone()),
            (&["Negotiate", r#"Bearer realm="https://a/t""#], short.clone()),
            (&[r#"Basic realm="x", Bearer realm="https://a/t""#], Challenge::Basic),
            (&[r#", , Bearer realm="https://a/t",,"#], short),
        ] {
            assert_eq!(select(headers), Ok(Some(expected)), "{headers:?}");
        }
    }

    #[test]
    fn headers_that_ask_for_nothing_known_are_errors() {
        assert_eq!(select(&[]), Ok(None));
        assert_eq!(select(&["", "  ,"]), Ok(None));
        assert_eq!(select(&["=x"]), Ok(None));
        assert_eq!(select(&["Negotiate"]).unwrap_err().to_string(), "unrecognized challenge: negotiate");
        let missing = "malformed www-authenticate, missing realm";
        for header in
            ["Bearer", "Bearer service=\"x\"", "Bearer realm=\"\"", "Bearer realm=\"x", "Bearer realm"]
        {
            assert_eq!(select(&[header]).unwrap_err().to_string(), missing, "{header}");
        }
        let long = format!("Bearer realm=\"{}\"", "x".repeat(9000));
        assert_eq!(select(&[&long]), Err(ChallengeError::TooLarge(8192)));
    }
    proptest::proptest! {
        #[test]
        fn any_header_is_read(header in "[ -~\t]{0,80}") {
            let _ = select(&[&header]);
        }

        #[test]
        fn quoted_values_are_read_as_they_were(realm in "[ -~]{1,40}", service in "[a-zA-Z0-9._-]{1,20}") {
            let quoted = realm.replace('\\', "\\\\").replace('"', "\\\"");
            let header = format!("Negotiate x==, Bearer service={service},realm=\"{quoted}\"");
            proptest::prop_assert_eq!(select(&[&header]), Ok(Some(bearer(&realm, Some(&service), None))));
        }
    }
}
