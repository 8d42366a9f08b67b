//! The tree that all formats are read into.
//!
//! As in SOPS, comments are entries of the mapping or list in which they stand, since they may be encrypted.

use std::fmt;

use zeroize::Zeroizing;

/// Text that may be secret: encrypted, decrypted, or left alone. It need not be UTF-8 once it is decrypted.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Text(Zeroizing<Vec<u8>>);

impl Text {
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Bytes that are no UTF-8 become the replacement character, one for each, as Go writes JSON.
    pub fn to_utf8(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(self.0.len()));
        for chunk in self.0.utf8_chunks() {
            text.push_str(chunk.valid());
            chunk.invalid().iter().for_each(|_| text.push(char::REPLACEMENT_CHARACTER));
        }
        text
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Self {
        Text(Zeroizing::new(bytes))
    }
}

impl From<Zeroizing<Vec<u8>>> for Text {
    fn from(bytes: Zeroizing<Vec<u8>>) -> Self {
        Text(bytes)
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        text.as_bytes().to_vec().into()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A comment without its `#`.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Comment {
    pub text: Text,
    /// It stands at the end of a line.
    pub inline: bool,
}

/// A value.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    /// RFC 3339, as Go's `time.Time` marshals it.
    Time(String),
    Text(Text),
    /// Of the type `bytes`, which SOPS decrypts and never writes.
    Bytes(Text),
    /// Only in lists.
    Comment(Comment),
    List(Vec<Value>),
    Map(Branch),
}

/// A mapping, or a whole document.
pub(crate) type Branch = Vec<Item>;

/// What stands in a mapping.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Item {
    Comment(Comment),
    Entry(String, Value),
}

impl Value {
    /// What Go calls the type of such a value, for messages.
    pub fn go_type(&self) -> &'static str {
        match self {
            Value::Null => "nil",
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Float(_) => "float64",
            Value::Time(_) => "time.Time",
            Value::Text(_) => "string",
            Value::Bytes(_) => "[]byte",
            Value::Comment(_) => "sops.Comment",
            Value::List(_) => "[]interface {}",
            Value::Map(_) => "sops.TreeBranch",
        }
    }
}
