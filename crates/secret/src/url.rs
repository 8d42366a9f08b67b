//! URLs as they may be shown.

use url::Url;

/// A URL as it may be shown: without user, password, query and fragment, each of which may be a secret. Of what is no URL, only
/// what follows an `@` is shown.
pub fn redact(text: &str) -> String {
    match Url::parse(text) {
        Ok(mut url) if url.has_host() => {
            let is_plain = url.username().is_empty() && url.password().is_none();
            if is_plain && url.query().is_none() && url.fragment().is_none() {
                return text.to_owned();
            }
            remove_credentials(&mut url);
            url.set_query(None);
            url.set_fragment(None);
            url.into()
        }
        // `user:password@host` can be read as a URL of the scheme `user`.
        _ => {
            let (place, rest) = text.split_at(text.find(['?', '#']).unwrap_or(text.len()));
            match place.rsplit_once('@') {
                // What looks like a query may be the end of a password.
                _ if rest.contains('@') => "***".to_owned(),
                Some((_, tail)) => format!("***@{tail}"),
                None => place.to_owned(),
            }
        }
    }
}

/// Takes user and password out of a URL, so that they are neither shown nor sent. A URL without a host has none.
pub fn remove_credentials(url: &mut Url) {
    // Each fails only where there is no host.
    let _ = url.set_username("");
    let _ = url.set_password(None);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_part_of_a_url_that_may_be_secret_is_shown() {
        for (text, shown) in [
            ("https://me:pw@h/r.git", "https://h/r.git"),
            ("https://token@h/r.git", "https://h/r.git"),
            ("https://h/r.git?private_token=pw#pw", "https://h/r.git"),
            ("https:/me:pw@h/r?pw", "https://h/r"),
            ("ssh://git:pw@h:22/r", "ssh://h:22/r"),
            ("oci://me:pw@h/r:1", "oci://h/r:1"),
            ("https://h/r.git", "https://h/r.git"),
            ("https://h", "https://h"),
            ("https://me:pw@h:notaport/r", "***@h:notaport/r"),
            ("git@h:org/r?ref=pw", "***@h:org/r"),
            ("me:pw@h", "***@h"),
            ("me:p?w@h/r", "***"),
            ("me:p@w?pw@h/r", "***"),
            ("h/r?token=pw", "h/r"),
            ("nonsense", "nonsense"),
        ] {
            assert_eq!(redact(text), shown, "{text}");
        }
    }

    #[test]
    fn credentials_are_removed_from_urls() {
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
}
