//! Archives that tests make and look at.

use std::fs::File;
use std::io::{self, Seek};

use crate::archive::ArchiveWriter;
use crate::digest::Algorithm;
use crate::unpack::Entry;

/// An archive with these files in this order, and no entries for directories. Names that end in `.sh` are executable.
pub(crate) fn archive(files: &[(&str, &str)]) -> File {
    let mut archive = ArchiveWriter::new(tempfile::tempfile().unwrap(), Algorithm::Sha256).unwrap();
    for (path, content) in files {
        let size = content.len() as u64;
        archive.file(path.as_bytes(), path.ends_with(".sh"), size, &mut content.as_bytes()).unwrap();
    }
    let (_, mut file) = archive.finish().unwrap();
    file.rewind().unwrap();
    file
}

/// An entry as `directory/` or `file content`, executable files with a star.
pub(crate) fn shown(entry: Entry<'_>) -> io::Result<String> {
    Ok(match entry {
        Entry::Directory { path } => format!("{}/", String::from_utf8_lossy(path)),
        Entry::File { path, executable, content, .. } => {
            let mut text = String::new();
            content.read_to_string(&mut text)?;
            let star = if executable { "*" } else { "" };
            format!("{}{star} {text}", String::from_utf8_lossy(path))
        }
    })
}
