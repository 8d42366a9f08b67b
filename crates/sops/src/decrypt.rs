//! The walk over a tree: every value that is encrypted is decrypted in its place, and the MAC is computed on the way.

use std::fmt::Write;

use sha2::{Digest, Sha512};
use zeroize::Zeroizing;

use crate::cipher::{Cipher, CipherError, PREFIX};
use crate::keys::DataKey;
use crate::limits::{LimitError, Limits};
use crate::metadata::Metadata;
use crate::number;
use crate::rule::{Above, Scope, Work};
use crate::tree::{Branch, Comment, Item, Value};

/// Whether a document must be as it was when it was encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MacCheck {
    /// As the command `sops -d` does it.
    Verify,
    /// As Flux does it: what is built from documents has other values than they.
    Ignore,
}

/// Why a document cannot be decrypted. No text shows what is secret.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum DecryptError {
    /// The data key cannot be used.
    #[error(transparent)]
    Key(CipherError),
    /// A value cannot be decrypted.
    #[error("could not decrypt value at '{path}': {source}")]
    Value {
        /// The keys on the way to it, with points between them.
        path: String,
        /// Why not.
        #[source]
        source: ValueError,
    },
    /// The MAC cannot be decrypted.
    #[error("Cannot decrypt MAC: {0}")]
    Mac(#[source] CipherError),
    /// It asks for too much.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// The document is not as it was.
    #[error("MAC mismatch")]
    MacMismatch,
}

/// Why a value cannot be decrypted.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum ValueError {
    /// It cannot be decrypted as what it is.
    #[error(transparent)]
    Cipher(#[from] CipherError),
    /// It should be encrypted, and is no text.
    #[error("Expected encrypted value as string, but got {0}")]
    NotText(&'static str),
    /// It is a comment where none may stand.
    #[error("a comment in place of a value")]
    Comment,
}

/// Where a MAC of encrypted values alone begins, so that it never equals one of all values: SHA-256 of `sops`.
const ONLY_ENCRYPTED: [u8; 32] = [
    0x8a, 0x3f, 0xd2, 0xad, 0x54, 0xce, 0x66, 0x52, 0x7b, 0x10, 0x34, 0xf3, 0xd1, 0x47, 0xbe, 0x0b, 0x0b,
    0x97, 0x5b, 0x3b, 0xf4, 0x4f, 0x72, 0xc6, 0xfd, 0xad, 0xec, 0x81, 0x76, 0xf2, 0x7d, 0x69,
];

/// What decides which values are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Selection {
    /// The rule of the document.
    Rule,
    /// Their look: the comments that the rule goes by are gone.
    Look,
}

/// Decrypts `branches` in place, and gives all texts and numbers that were encrypted.
pub(crate) fn decrypt(
    branches: &mut [Branch],
    metadata: &Metadata,
    selection: Selection,
    key: &DataKey,
    check: MacCheck,
    limits: &Limits,
) -> Result<Vec<Zeroizing<Vec<u8>>>, DecryptError> {
    let cipher = Cipher::new(key).map_err(DecryptError::Key)?;
    let mac = (check == MacCheck::Verify).then(Sha512::new);
    let mut walk = Walk {
        metadata,
        selection,
        cipher,
        mac,
        path: Vec::new(),
        place: ":".into(),
        limits,
        work: Work::new(limits),
        plain: Vec::new(),
    };
    if metadata.mac_only_encrypted() {
        walk.hash(&ONLY_ENCRYPTED);
    }
    for branch in branches {
        walk.branch(branch, Scope::default())?;
    }
    let Walk { cipher, mac, plain, .. } = walk;
    let Some(computed) = mac else { return Ok(plain) };
    let stored =
        cipher.decrypt(metadata.mac().as_bytes(), metadata.last_modified()).map_err(DecryptError::Mac)?;
    let computed = computed.finalize().iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02X}");
        text
    });
    if stored == Value::Text(computed.into()) { Ok(plain) } else { Err(DecryptError::MacMismatch) }
}

struct Walk<'a> {
    metadata: &'a Metadata,
    selection: Selection,
    cipher: Cipher,
    /// Only where it will be compared.
    mac: Option<Sha512>,
    /// Keys on the way; the items of a list have the place of the list.
    path: Vec<String>,
    /// The same as values are authenticated with it.
    place: String,
    limits: &'a Limits,
    work: Work<'a>,
    /// What was encrypted.
    plain: Vec<Zeroizing<Vec<u8>>>,
}

impl Walk<'_> {
    fn branch(&mut self, branch: &mut Branch, scope: Scope) -> Result<(), DecryptError> {
        let rule = self.metadata.rule();
        let mut above = Above::default();
        for item in branch {
            match item {
                Item::Comment(comment) => {
                    above = rule.comment(above, comment.text.bytes(), &mut self.work)?;
                    self.comment(comment, scope, above);
                }
                Item::Entry(key, value) => {
                    let below = rule.below(scope, above, Some(key), &mut self.work)?;
                    self.enter(key)?;
                    self.value(value, below)?;
                    if matches!(value, Value::Comment(_)) {
                        return Err(self.error(ValueError::Comment));
                    }
                    self.leave();
                    above = Above::default();
                }
            }
        }
        Ok(())
    }

    fn list(&mut self, items: &mut [Value], scope: Scope) -> Result<(), DecryptError> {
        let rule = self.metadata.rule();
        let mut above = Above::default();
        for item in items {
            if let Value::Comment(comment) = item {
                above = rule.comment(above, comment.text.bytes(), &mut self.work)?;
                self.comment(comment, scope, above);
            } else {
                // An encrypted comment of a list is a text until it is decrypted.
                let below = rule.below(scope, above, None, &mut self.work)?;
                self.value(item, below)?;
                above = Above::default();
            }
        }
        Ok(())
    }

    fn value(&mut self, value: &mut Value, scope: Scope) -> Result<(), DecryptError> {
        match value {
            Value::Null => return Ok(()),
            Value::Map(branch) => return self.branch(branch, scope),
            Value::List(items) => return self.list(items, scope),
            _ => {}
        }
        let encrypted = match (self.selection, &*value) {
            (Selection::Rule, _) => self.metadata.rule().encrypts_value(scope),
            (Selection::Look, Value::Text(text)) => text.bytes().starts_with(PREFIX.as_bytes()),
            (Selection::Look, _) => false,
        };
        if encrypted {
            let Value::Text(text) = &*value else {
                return Err(self.error(ValueError::NotText(value.go_type())));
            };
            *value =
                self.cipher.decrypt(text.bytes(), &self.place).map_err(|error| self.error(error.into()))?;
            self.keep(value);
        }
        if encrypted || !self.metadata.mac_only_encrypted() {
            self.hash_value(value);
        }
        Ok(())
    }

    /// A comment that cannot be decrypted is taken for one that never was encrypted.
    fn comment(&mut self, comment: &mut Comment, scope: Scope, above: Above) {
        if self.selection == Selection::Look || !self.metadata.rule().encrypts_comment(scope, above) {
            return;
        }
        match self.cipher.decrypt(comment.text.bytes(), &self.place) {
            // SOPS forgets that such a comment stood at the end of a line.
            Ok(Value::Comment(plain)) => *comment = plain,
            Ok(Value::Text(text)) => {
                self.hash(text.bytes());
                comment.text = text;
            }
            _ => {}
        }
    }

    fn enter(&mut self, key: &str) -> Result<(), LimitError> {
        if self.path.is_empty() {
            self.place.clear();
        }
        self.path.push(key.to_owned());
        self.place.push_str(key);
        self.place.push(':');
        Limits::check("bytes of keys on the way to a value", self.place.len(), self.limits.path_bytes)
    }

    fn leave(&mut self) {
        let key = self.path.pop().unwrap_or_default();
        self.place.truncate(self.place.len().saturating_sub(key.len() + 1));
        if self.path.is_empty() {
            // The place of a comment at the top.
            self.place.push(':');
        }
    }

    fn error(&self, source: ValueError) -> DecryptError {
        DecryptError::Value { path: self.path.join("."), source }
    }

    fn keep(&mut self, value: &Value) {
        let text = match value {
            Value::Text(text) | Value::Bytes(text) => text.bytes().to_vec(),
            Value::Time(text) => text.clone().into_bytes(),
            Value::Int(number) => number.to_string().into_bytes(),
            Value::Float(number) => number::plain_text(*number).into_bytes(),
            Value::Null | Value::Bool(_) | Value::Comment(_) | Value::List(_) | Value::Map(_) => return,
        };
        self.plain.push(Zeroizing::new(text));
    }

    fn hash(&mut self, bytes: &[u8]) {
        if let Some(mac) = &mut self.mac {
            mac.update(bytes);
        }
    }

    fn hash_value(&mut self, value: &Value) {
        match value {
            Value::Bool(value) => self.hash(if *value { b"True" } else { b"False" }),
            Value::Int(value) => self.hash(value.to_string().as_bytes()),
            Value::Float(value) => self.hash(number::plain_text(*value).as_bytes()),
            Value::Time(text) => self.hash(text.as_bytes()),
            Value::Text(text) | Value::Bytes(text) => self.hash(text.bytes()),
            Value::Null | Value::Comment(_) | Value::List(_) | Value::Map(_) => {}
        }
    }
}
