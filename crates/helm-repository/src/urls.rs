//! URLs of repositories and of charts.

use url::Url;

/// A URL cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UrlError(#[from] url::ParseError);

/// The URL of a repository as Flux compares and uses it: one slash at the end, none in a registry.
///
/// # Errors
/// When it is none.
pub fn normalize(text: &str) -> Result<Url, UrlError> {
    let mut url = Url::parse(text)?;
    let path = url.path().trim_end_matches('/').to_owned();
    url.set_path(&if url.scheme() == "oci" { path } else { format!("{path}/") });
    Ok(url)
}

/// Where the index of a repository is. The query stays.
pub fn index_url(repository: &Url) -> Url {
    let mut url = repository.clone();
    url.set_path(&format!("{}/index.yaml", url.path().trim_end_matches('/')));
    url
}

/// Where a chart is that the index names by an absolute URL or by one relative to the repository, whose query then counts.
///
/// # Errors
/// When it is none.
pub fn resolve(repository: &Url, reference: &str) -> Result<Url, UrlError> {
    match Url::parse(reference) {
        Ok(url) => return Ok(url),
        Err(url::ParseError::RelativeUrlWithoutBase) => {}
        Err(error) => return Err(error.into()),
    }
    let mut base = repository.clone();
    base.set_path(&format!("{}/", base.path().trim_end_matches('/')));
    let mut url = base.join(reference)?;
    url.set_query(repository.query());
    Ok(url)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn urls_of_repositories_have_one_slash_at_their_end() {
        for (text, normalized, index) in [
            ("https://h", "https://h/", "https://h/index.yaml"),
            ("https://h/a//", "https://h/a/", "https://h/a/index.yaml"),
            ("http://h:80/a?x=1", "http://h/a/?x=1", "http://h/a/index.yaml?x=1"),
            ("oci://h/a/", "oci://h/a", "oci://h/a/index.yaml"),
        ] {
            let url = normalize(text).unwrap();
            assert_eq!((url.as_str(), index_url(&url).as_str()), (normalized, index));
        }
        assert!(normalize("h/a").is_err());
    }

    #[test]
    fn charts_are_relative_to_the_repository() {
        for (base, reference, expected) in [
            ("https://h/a/", "c-1.tgz", "https://h/a/c-1.tgz"),
            ("https://h/a", "charts/c-1.tgz", "https://h/a/charts/c-1.tgz"),
            ("https://h/a/?k=v", "c-1.tgz", "https://h/a/c-1.tgz?k=v"),
            ("https://h/a/", "/c-1.tgz", "https://h/c-1.tgz"),
            ("https://h/a/", "https://other/c.tgz?x=1", "https://other/c.tgz?x=1"),
        ] {
            assert_eq!(resolve(&normalize(base).unwrap(), reference).unwrap().as_str(), expected);
        }
        assert!(resolve(&normalize("https://h").unwrap(), "https://[").is_err());
    }
}
