//! What was wrong with an artifact that a former version stored. Everything here blocks.
//!
//! Former versions could give an empty file the content of the file read before it. Which files that were can only be told by
//! comparing the artifact with one of the same content that is right.

use std::collections::HashSet;
use std::fs::File;

use artifact::store::Artifact;
use artifact::unpack::{self, Entry, UnpackError, unpack};

use crate::storage::ObjectStorage;

/// Files that an event names.
const NAMED_FILES: usize = 5;

/// The files that had content although they are empty.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Correction {
    count: usize,
    /// The first of them.
    named: Vec<String>,
}

/// What was wrong with a former artifact of the same content. That it cannot be told is only worth a line in the log.
pub fn find(storage: &ObjectStorage, former: File, artifact: &Artifact) -> Option<Correction> {
    let anew = storage.store.open_file(&artifact.path).ok()?;
    Correction::between(former, anew, &unpack::Limits::default())
        .inspect_err(|error| tracing::warn!(%error, "the former artifact cannot be compared"))
        .ok()
}

impl Correction {
    /// Compares an artifact with one of the same content that is right.
    pub fn between(before: File, after: File, limits: &unpack::Limits) -> Result<Correction, UnpackError> {
        let mut empty: HashSet<Vec<u8>> = HashSet::new();
        unpack(after, limits, &mut |entry| {
            if let Entry::File { path, size: 0, .. } = entry {
                empty.insert(path.to_vec());
            }
            Ok(())
        })?;
        let mut correction = Correction::default();
        unpack(before, limits, &mut |entry| {
            match entry {
                Entry::File { path, size: 1.., .. } if empty.contains(path) => correction.add(path),
                _ => {}
            }
            Ok(())
        })?;
        Ok(correction)
    }

    fn add(&mut self, path: &[u8]) {
        self.count += 1;
        if self.named.len() < NAMED_FILES {
            self.named.push(path.escape_ascii().to_string());
        }
    }

    /// What to tell of it, if there is anything.
    pub fn message(&self, revision: &str) -> Option<String> {
        let count = self.count;
        let (files, more) = match self.count.checked_sub(self.named.len())? {
            _ if count == 0 => return None,
            0 => (self.named.join("', '"), String::new()),
            more => (self.named.join("', '"), format!(" and {more} more")),
        };
        let noun = if count == 1 { "file" } else { "files" };
        Some(format!(
            "artifact of revision '{revision}' was made anew: a former version of source-controller had stored the \
             content of other files in {count} empty {noun}: '{files}'{more}"
        ))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use artifact::archive::ArchiveWriter;
    use artifact::digest::Algorithm;

    fn archive(files: &[(&str, &str)]) -> File {
        let mut archive = ArchiveWriter::new(tempfile::tempfile().unwrap(), Algorithm::Sha256).unwrap();
        for (path, content) in files {
            let size = content.len() as u64;
            archive.file(path.as_bytes(), false, size, &mut content.as_bytes()).unwrap();
        }
        let (_, mut file) = archive.finish().unwrap();
        std::io::Seek::rewind(&mut file).unwrap();
        file
    }

    fn message(before: &[(&str, &str)], after: &[(&str, &str)]) -> Option<String> {
        let correction = Correction::between(archive(before), archive(after), &unpack::Limits::default());
        correction.unwrap().message("main@sha1:1")
    }

    #[test]
    fn a_correction_names_the_empty_files_that_had_content() {
        let after = [("a.yaml", "AAAA"), ("b.env", ""), ("c", ""), ("d\n", ""), ("e", "E"), ("f", "E")];
        assert_eq!(message(&after, &after), None);
        let before = [("a.yaml", "AAAA"), ("b.env", "AAAA"), ("c", ""), ("d\n", "x"), ("e", "E"), ("f", "E")];
        assert_eq!(
            message(&before, &after).unwrap(),
            "artifact of revision 'main@sha1:1' was made anew: a former version of source-controller had stored the \
             content of other files in 2 empty files: 'b.env', 'd\\n'"
        );
        let many = ["1", "2", "3", "4", "5", "6", "7"];
        let (wrong, right) = (many.map(|name| (name, "x")), many.map(|name| (name, "")));
        assert!(
            message(&wrong, &right).unwrap().ends_with("7 empty files: '1', '2', '3', '4', '5' and 2 more")
        );
    }
}
