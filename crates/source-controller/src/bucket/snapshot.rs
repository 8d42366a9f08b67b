//! What an artifact was made of, as it is kept beside it: the next one is made of what has not changed.
//!
//! It is trusted only if it is whole and its objects have the revision of the artifact. Without it everything is fetched.

use artifact::digest::{Algorithm, Hasher};
use bucket::Object;

use super::index::{IgnoreFile, Index};

/// Bytes that one may have.
pub const MAX_BYTES: u64 = 64 << 20;
/// What the form is called; another one is none.
const FORM: &[u8] = b"bucket 2";

/// See the head of this file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The store and the bucket: equal etags of another one say nothing.
    pub origin: String,
    /// The ignore file, if there was one.
    pub ignore: Option<IgnoreFile>,
    /// The objects.
    pub index: Index,
}

impl Snapshot {
    /// Fields, each after its length, and before them their digest.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut fields = Vec::new();
        let mut field = |bytes: &[u8]| {
            fields.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes());
            fields.extend_from_slice(bytes);
        };
        field(FORM);
        field(self.origin.as_bytes());
        match &self.ignore {
            Some(IgnoreFile { etag, text }) => [b"ignored", etag.as_bytes(), text].map(&mut field),
            None => [&b""[..]; 3].map(&mut field),
        };
        for Object { key, etag, size, unpacked, .. } in self.index.objects() {
            field(key.as_bytes());
            field(etag.as_bytes());
            field(&size.to_le_bytes());
            field(unpacked.map(u64::to_le_bytes).as_ref().map_or(&[], |bytes| bytes.as_slice()));
        }
        [digest(&fields).as_bytes(), &fields].concat()
    }

    /// `None` for what is not whole, or none of this form.
    pub fn from_bytes(bytes: &[u8]) -> Option<Snapshot> {
        let (stated, mut rest) = bytes.split_at_checked(digest(b"").len())?;
        if digest(rest).as_bytes() != stated {
            return None;
        }
        let mut field = || {
            let (length, bytes) = rest.split_first_chunk::<4>()?;
            let (field, left) = bytes.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)?;
            rest = left;
            Some(field)
        };
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        if field()? != FORM {
            return None;
        }
        let origin = text(field()?)?;
        let (has_file, etag, file) = (!field()?.is_empty(), text(field()?)?, field()?.to_vec());
        let ignore = has_file.then_some(IgnoreFile { etag, text: file });
        let mut objects = Vec::new();
        while let Some(key) = field() {
            let (etag, size) = (text(field()?)?, u64::from_le_bytes(field()?.try_into().ok()?));
            let unpacked = match field()? {
                [] => None,
                bytes => Some(u64::from_le_bytes(bytes.try_into().ok()?)),
            };
            objects.push(Object { key: text(key)?, etag, size, generation: None, unpacked });
        }
        Some(Snapshot { origin, ignore, index: Index::of(objects) })
    }
}

fn digest(bytes: &[u8]) -> String {
    let mut hasher = Hasher::new(Algorithm::Blake3);
    hasher.update(bytes);
    hasher.finish().hex().to_owned()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_snapshot_comes_back_as_it_was_and_a_damaged_one_does_not() {
        let object = |key: &str| Object {
            key: key.to_owned(),
            etag: "e \n".to_owned(),
            size: 1 << 40,
            generation: None,
            unpacked: (key == "d").then_some(1 << 50),
        };
        let file = IgnoreFile { etag: String::new(), text: b"\0\xff".to_vec() };
        for (ignore, keys) in [(None, &[][..]), (Some(file), &["a b\nc", "d"])] {
            let index = Index::of(keys.iter().map(|key| object(key)).collect());
            let snapshot = Snapshot { origin: "aws h b".to_owned(), ignore, index };
            let bytes = snapshot.to_bytes();
            assert_eq!(Snapshot::from_bytes(&bytes).unwrap(), snapshot);
            for end in 0..bytes.len() {
                assert_eq!(Snapshot::from_bytes(bytes.get(..end).unwrap()), None, "{end}");
            }
            let mut other = bytes.clone();
            *other.last_mut().unwrap() ^= 1;
            assert_eq!(Snapshot::from_bytes(&other), None);
        }
    }
}
