//! The files of an archive for who wants some of them, in the order in which they are there.

use std::io::{BufReader, Read};

use super::inflate::Inflated;
use super::tar_stream::{Kind, TarStream};
use super::{Limits, UnpackError, clean_path};

/// Reads an archive once, from its beginning to the last file that is wanted, and keeps nothing of it.
pub struct InOrder<R: Read> {
    stream: TarStream<BufReader<Inflated<R>>>,
    limits: Limits,
}

impl<R: Read> InOrder<R> {
    /// The files of `archive`, a `tar.gz`.
    ///
    /// # Errors
    /// For what is no gzip.
    pub fn new(archive: R, limits: &Limits) -> Result<Self, UnpackError> {
        let inflated = BufReader::with_capacity(64 * 1024, Inflated::new(archive, limits)?);
        Ok(InOrder { stream: TarStream::new(inflated, limits), limits: limits.clone() })
    }

    /// Hands the size and the content of the file at `path` to `read`; what that leaves unread is skipped. `None` if no such
    /// file comes any more.
    ///
    /// # Errors
    /// What is wrong with the archive, and what `read` says.
    pub fn file<T, E: From<UnpackError>>(
        &mut self,
        path: &[u8],
        read: impl FnOnce(u64, &mut dyn Read) -> Result<T, E>,
    ) -> Result<Option<T>, E> {
        while let Some(header) = self.stream.next_header()? {
            let is_wanted = header.kind == Kind::File && clean_path(&header.path, &self.limits)? == path;
            let mut content = self.stream.content(header.size);
            if !is_wanted {
                content.finish()?;
                continue;
            }
            return match read(header.size, &mut content) {
                Ok(done) => {
                    content.finish()?;
                    Ok(Some(done))
                }
                // A stream that broke says more than what was made of it.
                Err(error) => Err(content.failure().map_or(error, E::from)),
            };
        }
        Ok(None)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::test_archive::archive;

    #[test]
    fn files_are_found_in_order_and_only_once() {
        let files = [("a", "1"), ("b/c", "22"), ("d", "333")];
        let mut entries = InOrder::new(archive(&files), &Limits::default()).unwrap();
        let mut find = |path: &str| {
            entries.file(path.as_bytes(), |size, content| {
                let mut text = String::new();
                content.take(2).read_to_string(&mut text).unwrap();
                Ok::<_, UnpackError>((size, text))
            })
        };
        assert_eq!(find("b/c").unwrap(), Some((2, "22".to_owned())));
        assert_eq!(find("d").unwrap(), Some((3, "33".to_owned())), "what is left is skipped");
        assert_eq!(find("a").unwrap(), None);
    }
}
