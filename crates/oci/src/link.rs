//! The next page of a list: the header `Link` (RFC 8288; OCI distribution specification, "Listing Tags").

use reqwest::header::{HeaderMap, LINK};
use url::Url;

/// Why the next page is not asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LinkError {
    /// The header does not begin with `<`.
    #[error("failed to parse link header: missing '<'")]
    Begin,
    /// The URL in it has no end.
    #[error("failed to parse link header: missing '>'")]
    End,
    /// What is between is no URL.
    #[error("failed to parse link header: {0}")]
    Url(#[from] url::ParseError),
    /// The URL has another scheme, host or port than the registry.
    #[error("pagination URL host does not match registry host")]
    Host,
}

/// The URL of the page after the one at `page`: the first link that is `rel=next` or tells no relation. It must have the origin of
/// `registry`.
pub(crate) fn next(headers: &HeaderMap, page: &Url, registry: &Url) -> Result<Option<Url>, LinkError> {
    for value in headers.get_all(LINK) {
        let mut rest = value.to_str().map_err(|_| LinkError::Begin)?.trim();
        while !rest.is_empty() {
            let (target, after) =
                rest.strip_prefix('<').ok_or(LinkError::Begin)?.split_once('>').ok_or(LinkError::End)?;
            let (parameters, others) = split_parameters(after);
            if is_next(parameters) && !target.is_empty() {
                let url = page.join(target)?;
                let same = url.origin() == registry.origin()
                    && url.username().is_empty()
                    && url.password().is_none();
                return if same { Ok(Some(url)) } else { Err(LinkError::Host) };
            }
            rest = others;
        }
    }
    Ok(None)
}

/// The parameters of one link, and the links after it.
fn split_parameters(text: &str) -> (&str, &str) {
    let mut quoted = false;
    let end = text.find(|c| {
        quoted ^= c == '"';
        c == ',' && !quoted
    });
    let (parameters, others) = end.and_then(|end| text.split_at_checked(end)).unwrap_or((text, ""));
    (parameters, others.trim_start_matches([',', ' ', '\t']))
}

fn is_next(parameters: &str) -> bool {
    let relation = parameters.split(';').find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("rel").then(|| value.trim().trim_matches('"'))
    });
    relation.is_none_or(|value| value.split_ascii_whitespace().any(|rel| rel.eq_ignore_ascii_case("next")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn follow(links: &[&str]) -> Result<Option<String>, LinkError> {
        let mut headers = HeaderMap::new();
        for link in links {
            headers.append(LINK, link.parse().unwrap());
        }
        let page = Url::parse("https://example.com:5000/v2/a/b/tags/list?n=2").unwrap();
        next(&headers, &page, &page).map(|url| url.map(String::from))
    }

    #[test]
    fn the_next_page_is_found() {
        let next = Ok(Some("https://example.com:5000/v2/a/b/tags/list?last=x&n=2".to_owned()));
        for links in [
            &[r#"</v2/a/b/tags/list?last=x&n=2>; rel="next""#][..],
            &["</v2/a/b/tags/list?last=x&n=2>; rel=next"],
            &["</v2/a/b/tags/list?last=x&n=2>"],
            &["<https://example.com:5000/v2/a/b/tags/list?last=x&n=2>;REL=\"foo Next\""],
            &[r#"</v2/p>; rel="prev"; title="a, <b>", </v2/a/b/tags/list?last=x&n=2>; rel="next""#],
            &["</v2/p>; rel=prev", "<?last=x&n=2>; rel=next"],
        ] {
            assert_eq!(follow(links), next, "{links:?}");
        }
        for links in [&[][..], &[""], &["<>; rel=next"], &["</v2/p>; rel=prev"]] {
            assert_eq!(follow(links), Ok(None), "{links:?}");
        }
    }

    #[test]
    fn links_to_elsewhere_and_broken_ones_are_errors() {
        for (link, error) in [
            ("<https://evil.example/x>; rel=next", LinkError::Host),
            ("<//evil.example/x>; rel=next", LinkError::Host),
            ("<https://example.com/x>; rel=next", LinkError::Host),
            ("<http://example.com:5000/x>; rel=next", LinkError::Host),
            ("<https://me:pw@example.com:5000/x>; rel=next", LinkError::Host),
            ("<file:///etc/passwd>; rel=next", LinkError::Host),
            ("/v2/x; rel=next", LinkError::Begin),
            ("</v2/x; rel=next", LinkError::End),
            ("<http://[>", LinkError::Url(url::ParseError::InvalidIpv6Address)),
        ] {
            assert_eq!(follow(&[link]), Err(error), "{link}");
        }
        // A page that was redirected to elsewhere.
        let mut headers = HeaderMap::new();
        headers.append(LINK, "</v2/x>; rel=next".parse().unwrap());
        let [page, registry] =
            ["https://mirror.example/v2/", "https://example.com/v2/"].map(|url| Url::parse(url).unwrap());
        assert_eq!(next(&headers, &page, &registry), Err(LinkError::Host));
    }
    proptest::proptest! {
        #[test]
        fn links_never_leave_the_registry(link in "[<>/:a-z.@?=&;,\" \\[\\]]{0,60}") {
            if let Ok(Some(url)) = follow(&[&link]) {
                proptest::prop_assert!(url.starts_with("https://example.com:5000/"), "{}", url);
            }
        }
    }
}
