//! Why a chart cannot be had, as helm-controller says it (Flux: `SecureLoadChartFromURL`). It has other words than kustomize-controller,
//! whose words are those of crate `artifact`.

use artifact::cache::CacheError;
use artifact::digest::DigestError;
use artifact::fetch::FetchError;
use artifact::unpack::UnpackError;
use net::chain;

/// The text of an error.
pub fn text_of(error: &CacheError) -> String {
    match error {
        CacheError::Fetch(error) => of_download(error),
        CacheError::Unpack(error) => match &**error {
            UnpackError::Sink { source, .. } => chain(&**source),
            error => chain(error),
        },
        error @ (CacheError::Busy(_) | CacheError::Aborted) => chain(error),
    }
}

fn of_download(error: &FetchError) -> String {
    match error {
        FetchError::Digest(DigestError::Empty) => {
            "failed to parse digest '': invalid checksum digest format".to_owned()
        }
        FetchError::Digest(error) => error.to_string(),
        FetchError::Mismatch(digest) => {
            format!("integrity failure: computed digest doesn't match '{digest}'")
        }
        FetchError::Status { url, status } => {
            format!("failed to download chart from '{url}' (status: {status})")
        }
        FetchError::Request { url, source } => {
            format!("failed to download chart from '{url}': {}", chain(source))
        }
        error => chain(error),
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::Arc;

    use artifact::digest::{Algorithm, Digest, Hasher};

    use super::*;

    #[test]
    fn the_words_are_those_of_helm_controller() {
        let digest = Hasher::new(Algorithm::Sha256).finish();
        let refused = |text: &str| match Digest::parse_for_verification(text) {
            Err(error) => error,
            Ok(digest) => panic!("{digest} is taken"),
        };
        let (short, none) = (refused("sha512:00"), refused(""));
        let status = http::StatusCode::BAD_GATEWAY;
        for (error, text) in [
            (
                FetchError::Digest(none),
                "failed to parse digest '': invalid checksum digest format".to_owned(),
            ),
            (
                FetchError::Digest(short),
                "failed to parse digest 'sha512:00': invalid checksum digest length".to_owned(),
            ),
            (
                FetchError::Mismatch(digest.clone()),
                format!("integrity failure: computed digest doesn't match '{digest}'"),
            ),
            (
                FetchError::Status { url: "http://a/b".to_owned(), status },
                "failed to download chart from 'http://a/b' (status: 502 Bad Gateway)".to_owned(),
            ),
            (FetchError::TooLarge(7), "artifact is greater than the max download size of 7 bytes".to_owned()),
        ] {
            assert_eq!(text_of(&CacheError::Fetch(error.into())), text);
        }
    }

    #[test]
    fn of_an_archive_that_is_no_chart_the_loader_alone_is_heard() {
        let sink = UnpackError::Sink {
            path: "chart".to_owned(),
            source: Box::new(helm_chart::LoadError::NoChartYaml),
        };
        assert_eq!(text_of(&CacheError::Unpack(Arc::new(sink))), "Chart.yaml file is missing");
        let gzip = UnpackError::Gzip(io::Error::other("bad magic"));
        assert_eq!(text_of(&CacheError::Unpack(Arc::new(gzip))), "requires gzip-compressed body: bad magic");
    }
}
