//! Texts that are fit for messages and logs.

use percent_encoding::percent_decode_str;
use url::Url;

/// A URL without its password, which becomes `xxxxx` as in Go; of what is no URL, only what follows an `@` is shown.
pub fn redact(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) if url.password().is_some() => {
            let _ = url.set_password(Some("xxxxx"));
            url.to_string()
        }
        Ok(url) if url.has_host() => text.to_owned(),
        // `user:password@host` can be read as a URL of the scheme `user`.
        _ => match text.rsplit_once('@') {
            Some((_, tail)) => format!("***@{tail}"),
            None => text.to_owned(),
        },
    }
}

/// Where a URL leads, for labels of metrics that anybody may read: without user, password, query and fragment, since a token may
/// stand in each of them. Nothing of what is no URL of a host.
pub fn location(text: &str) -> String {
    let Ok(mut url) = Url::parse(text) else { return String::new() };
    if !url.has_host() {
        return String::new();
    }
    remove_credentials(&mut url);
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

/// Takes user and password out of a URL, so that they are neither shown nor sent. A URL without a host has none.
pub fn remove_credentials(url: &mut Url) {
    // Each fails only where there is no host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
}

/// User names and passwords as they are written in URLs; bytes that are no UTF-8 are replaced.
pub fn percent_decode(text: &str) -> String {
    percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_holds_nothing_that_may_be_a_token() {
        for (text, shown) in [
            ("https://token@h/r.git", "https://h/r.git"),
            ("https://me:pw@h/r.git?private_token=pw#pw", "https://h/r.git"),
            ("ssh://git@h:22/r", "ssh://h:22/r"),
            ("oci://h/r", "oci://h/r"),
            ("me:pw@h/r", ""),
            ("token@h", ""),
        ] {
            assert_eq!(location(text), shown);
        }
    }

    #[test]
    fn passwords_do_not_survive_redaction() {
        for (text, shown) in [
            ("https://me:pw@h/r.git", "https://me:xxxxx@h/r.git"),
            ("https://h/r.git", "https://h/r.git"),
            ("https://me:pw@h:notaport/r", "***@h:notaport/r"),
            ("me:pw@h", "***@h"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(redact(text), shown);
        }
    }

    #[test]
    fn redacted_urls_have_no_credentials() {
        for (text, left) in [
            ("https://me:pw@h:1/r?x=y#z", "https://h:1/r?x=y#z"),
            ("https://me@h/", "https://h/"),
            ("https://:pw@h/", "https://h/"),
            ("ssh://git@h/r", "ssh://h/r"),
            ("https://h/", "https://h/"),
            ("mailto:me@h", "mailto:me@h"),
        ] {
            let mut url = Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
            remove_credentials(&mut url);
            assert_eq!(url.as_str(), left);
        }
    }

    #[test]
    fn user_info_is_decoded() {
        for (text, plain) in
            [("p%40ss", "p@ss"), ("100%", "100%"), ("%zz", "%zz"), ("%ff", "\u{fffd}"), ("", "")]
        {
            assert_eq!(percent_decode(text), plain);
        }
    }
}
