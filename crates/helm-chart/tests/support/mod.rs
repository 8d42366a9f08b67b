//! Charts that tests make.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::io::Read;

use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use helm_chart::MemoryTree;

pub const CHART_YAML: &str = "apiVersion: v2\nname: app\nversion: 1.2.3\n";

/// A tree with these files.
pub fn tree(files: &[(&str, &str)]) -> MemoryTree {
    let mut tree = MemoryTree::default();
    for (path, content) in files {
        tree.insert(path, *content);
    }
    tree
}

/// An archive with these members. Names are written as they are.
pub fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, content) in members {
        tar.append(&member(name, content.len() as u64, b'0'), *content).unwrap();
    }
    gzip(&tar.into_inner().unwrap())
}

/// The header of a member, whose name is not checked.
pub fn member(name: &str, size: u64, kind: u8) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    header.set_size(size);
    header.set_mode(0o644);
    header.set_entry_type(tar::EntryType::new(kind));
    header.set_cksum();
    header
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut encoder, bytes).unwrap();
    encoder.finish().unwrap()
}

pub fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut plain).unwrap();
    plain
}

/// Names and contents of the members of an archive, in its order.
pub fn members(archive: &[u8]) -> Vec<(String, String)> {
    let plain = gunzip(archive);
    let mut tar = tar::Archive::new(plain.as_slice());
    let member = |entry: std::io::Result<tar::Entry<'_, &[u8]>>| {
        let mut entry = entry.unwrap();
        let mut content = String::new();
        entry.read_to_string(&mut content).unwrap();
        (entry.path().unwrap().display().to_string(), content)
    };
    tar.entries().unwrap().map(member).collect()
}

/// An error with all that caused it.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
