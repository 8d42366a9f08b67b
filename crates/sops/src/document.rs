//! Documents: encrypted, and decrypted.

use std::fmt;

use zeroize::Zeroizing;

use crate::Format;
use crate::decrypt::{self, DecryptError, MacCheck, Selection};
use crate::keys::DataKey;
use crate::limits::Limits;
use crate::metadata::{self, Metadata};
use crate::stores::{self, EmitError, ParseError};
use crate::tree::Branch;

/// A document as it was read, still encrypted.
pub struct Document {
    branches: Vec<Branch>,
    metadata: Metadata,
    selection: Selection,
    limits: Limits,
}

impl Document {
    /// Reads an encrypted document.
    ///
    /// # Errors
    /// It is malformed, has no metadata, or asks for more than `limits` allow.
    pub fn parse(content: &[u8], format: Format, limits: &Limits) -> Result<Self, ParseError> {
        let (branches, fields) = stores::load(content, format, limits)?;
        Ok(Self::of(branches, Metadata::of(&fields, limits)?, format, limits))
    }

    /// Takes an object that was built from encrypted documents, with its metadata under `sops`.
    ///
    /// # Errors
    /// As [`Document::parse`].
    pub fn from_json(object: &serde_json::Value, limits: &Limits) -> Result<Self, ParseError> {
        let mut branches = vec![stores::from_json(object, limits)?];
        let metadata = Metadata::of(&metadata::take(&mut branches)?, limits)?;
        Ok(Self::of(branches, metadata, Format::Json, limits))
    }

    /// JSON has no comments, even if it was made of YAML that had some. Where the metadata go by comments, every text that looks
    /// encrypted is decrypted, and all else is left alone, as Flux does it since 2.10.
    fn of(branches: Vec<Branch>, metadata: Metadata, format: Format, limits: &Limits) -> Self {
        let is_by_look = format == Format::Json && metadata.rule().is_of_comments();
        let selection = if is_by_look { Selection::Look } else { Selection::Rule };
        Document { branches, metadata, selection, limits: limits.clone() }
    }

    /// What the document says about itself; [`Metadata::data_key`] gets the key for [`Document::decrypt`].
    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    /// Decrypts all values.
    ///
    /// # Errors
    /// A value is not what was encrypted with this key at its place, or `check` finds that something else was changed.
    pub fn decrypt(mut self, key: &DataKey, check: MacCheck) -> Result<Plain, DecryptError> {
        let secrets =
            decrypt::decrypt(&mut self.branches, &self.metadata, self.selection, key, check, &self.limits)?;
        Ok(Plain { branches: self.branches, secrets, limits: self.limits })
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("metadata", &self.metadata).finish_non_exhaustive()
    }
}

/// A decrypted document. `Debug` shows nothing of it.
pub struct Plain {
    branches: Vec<Branch>,
    secrets: Vec<Zeroizing<Vec<u8>>>,
    limits: Limits,
}

impl Plain {
    /// The document in a format, which need not be the one it was read in: the bytes that `sops -d` prints.
    ///
    /// # Errors
    /// The format cannot hold it, or it would have more than [`Limits::emitted_bytes`].
    pub fn emit(&self, format: Format) -> Result<Zeroizing<Vec<u8>>, EmitError> {
        stores::emit(&self.branches, format, &self.limits)
    }

    /// The texts and numbers that were encrypted: what no message may show.
    pub fn secrets(&self) -> impl Iterator<Item = &[u8]> {
        self.secrets.iter().map(|secret| secret.as_slice())
    }

    /// The (first) document as a value, whose texts are not wiped when it is dropped.
    ///
    /// # Errors
    /// A number that JSON does not have.
    pub fn into_json(self) -> Result<serde_json::Value, EmitError> {
        stores::into_json(self.branches.into_iter().next().unwrap_or_default())
    }
}

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}
