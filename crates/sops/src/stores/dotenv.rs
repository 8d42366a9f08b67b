//! Lines `NAME=value`. A line break in a value is written `\n`.

use zeroize::Zeroizing;

use super::{EmitError, ParseError, plain};
use crate::limits::{Budget, Limits, shown};
use crate::metadata::MetadataError;
use crate::tree::{Branch, Comment, Item, Value};

/// How the names of metadata begin.
const METADATA_PREFIX: &str = "sops_";

pub(super) fn load(text: &str, limits: &Limits) -> Result<Branch, ParseError> {
    let mut budget = Budget::new(limits);
    let mut branch = Branch::new();
    for (index, line) in text.split('\n').enumerate().filter(|(_, line)| !line.is_empty()) {
        budget.node(1)?;
        branch.push(if let Some(comment) = line.strip_prefix('#') {
            Item::Comment(Comment { text: comment.into(), inline: false })
        } else {
            let (name, value) = line.split_once('=').ok_or(ParseError::Dotenv { line: index + 1 })?;
            Item::Entry(name.to_owned(), Value::Text(value.replace("\\n", "\n").into()))
        });
    }
    Ok(branch)
}

/// Takes the metadata out, under their names without the prefix.
pub(super) fn take_metadata(branches: &mut [Branch]) -> Result<Branch, MetadataError> {
    let mut metadata = Branch::new();
    for branch in branches.iter_mut().take(1) {
        let is_metadata =
            |item: &mut Item| matches!(item, Item::Entry(name, _) if name.starts_with(METADATA_PREFIX));
        for item in branch.extract_if(.., is_metadata) {
            if let Item::Entry(name, value) = item {
                metadata
                    .push(Item::Entry(name.strip_prefix(METADATA_PREFIX).unwrap_or(&name).to_owned(), value));
            }
        }
    }
    if metadata.is_empty() { Err(MetadataError::NotFound) } else { Ok(metadata) }
}

pub(super) fn emit(branch: &Branch) -> Result<Zeroizing<Vec<u8>>, EmitError> {
    let mut out = Zeroizing::new(Vec::new());
    for item in branch {
        match item {
            Item::Comment(comment) => {
                out.push(b'#');
                out.extend_from_slice(comment.text.bytes());
            }
            Item::Entry(name, value) => {
                let text = plain(value).ok_or_else(|| EmitError::Complex(shown(name)))?;
                out.extend_from_slice(name.as_bytes());
                out.push(b'=');
                for (index, line) in text.bytes().split(|byte| *byte == b'\n').enumerate() {
                    if index > 0 {
                        out.extend_from_slice(b"\\n");
                    }
                    out.extend_from_slice(line);
                }
            }
        }
        out.push(b'\n');
    }
    Ok(out)
}
