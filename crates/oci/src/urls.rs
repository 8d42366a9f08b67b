//! Which URLs may be asked, and how they are shown.

use std::net::{Ipv4Addr, Ipv6Addr};

use url::{Host, Url};

/// Characters of a URL that an error shows.
const SHOWN_CHARACTERS: usize = 1024;

/// Where redirects may lead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Redirects {
    /// Nowhere.
    Never,
    /// Anywhere but to addresses within the network, if they are of another host; to plain http if that was spoken before,
    /// or if so told.
    Content {
        /// Whether https may lead to http.
        plain_http: bool,
    },
}

/// Why a redirect is not followed.
pub(crate) fn refusal(first: &Url, from: &Url, to: &Url, redirects: Redirects) -> Option<&'static str> {
    let plain_http = redirects == Redirects::Content { plain_http: true } || from.scheme() == "http";
    match to.scheme() {
        "https" => {}
        "http" if plain_http => {}
        "http" => return Some("not https"),
        _ => return Some("neither http nor https"),
    }
    (to.host() != first.host() && is_internal(to)).then_some("private or link-local address")
}

/// Whether the host is an address that cannot be a public server's. What a name resolves to is not looked at.
pub(crate) fn is_internal(url: &Url) -> bool {
    let v4 = |address: Ipv4Addr| {
        let link_local_multicast = matches!(address.octets(), [224, 0, 0, _]);
        address.is_loopback()
            || address.is_private()
            || address.is_link_local()
            || address.is_unspecified()
            || link_local_multicast
    };
    let v6 = |address: Ipv6Addr| {
        let link_local_multicast = matches!(address.segments(), [0xff02, ..]);
        address.is_loopback()
            || address.is_unspecified()
            || address.is_unique_local()
            || address.is_unicast_link_local()
            || link_local_multicast
    };
    match url.host() {
        Some(Host::Ipv4(address)) => v4(address),
        Some(Host::Ipv6(address)) => v6(address) || address.to_ipv4_mapped().is_some_and(v4),
        _ => false,
    }
}

/// Scheme, host and port.
pub(crate) fn place(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    shorten(format!("{}://{}{port}", url.scheme(), url.host_str().unwrap_or_default()))
}

/// The beginning of a URL as it may be shown.
pub(crate) fn redact(url: &Url) -> String {
    shorten(net::redact(url.as_str()))
}

/// The beginning of a URL, which is ASCII.
fn shorten(mut url: String) -> String {
    if url.len() > SHOWN_CHARACTERS {
        url.truncate(SHOWN_CHARACTERS);
        url.push('…');
    }
    url
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn urls_are_shown_without_secrets_and_not_in_full_length() {
        assert_eq!(redact(&url("https://me:pw@h/b?sig=abc#f")), "https://h/b");
        assert!(redact(&url(&format!("https://h/{}?n=5", "é".repeat(3000)))).len() < 1100);
    }

    #[test]
    fn redirects_stay_out_of_the_network() {
        let (secure, plain) =
            (Redirects::Content { plain_http: false }, Redirects::Content { plain_http: true });
        let from = url("https://registry.example/v2/");
        for (to, redirects, allowed) in [
            ("https://storage.example/x?sig=1", secure, true),
            ("http://storage.example/x", secure, false),
            ("http://storage.example/x", plain, true),
            ("file:///etc/passwd", plain, false),
            ("https://169.254.169.254/latest", secure, false),
            ("https://10.0.0.1/", secure, false),
            ("https://0x7f.1/", secure, false),
            ("https://[::1]/", secure, false),
            ("https://[::ffff:10.0.0.1]/", secure, false),
            ("https://[fd00:ec2::254]/", secure, false),
            ("https://1.1.1.1/", secure, true),
        ] {
            assert_eq!(refusal(&from, &from, &url(to), redirects).is_none(), allowed, "{to}");
        }
        let local = url("http://127.0.0.1:5000/v2/");
        assert_eq!(refusal(&local, &local, &url("http://127.0.0.1:6000/"), secure), None);
    }
}
