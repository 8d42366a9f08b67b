//! Commits and tags, taken apart into what was signed and the signature.
//!
//! A commit carries its signature in a header, continued on lines that begin with a space; an annotated tag has it at the end
//! of its message. Signatures for other hash algorithms (`gpgsig-sha256`) are part of neither.

use std::fmt;

/// What Git calls the header with the signature of a commit.
const SIGNATURE_HEADER: &[u8] = b"gpgsig ";
/// The same for the object in a SHA-256 repository.
const SHA256_SIGNATURE_HEADER: &[u8] = b"gpgsig-sha256 ";
/// First lines of the signatures that Git looks for at the end of tags.
const ARMOR_BEGINNINGS: [&[u8]; 4] = [
    b"-----BEGIN PGP SIGNATURE-----",
    b"-----BEGIN PGP MESSAGE-----",
    b"-----BEGIN SIGNED MESSAGE-----",
    b"-----BEGIN SSH SIGNATURE-----",
];

/// What can be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A commit.
    Commit,
    /// An annotated tag.
    Tag,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Commit => "commit",
            Kind::Tag => "tag",
        })
    }
}

/// An object and its signature, which may be missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedObject {
    kind: Kind,
    payload: Vec<u8>,
    signature: String,
}

impl SignedObject {
    /// Takes a commit apart, given as it was hashed but for the type and length in front.
    pub fn commit(raw: &[u8]) -> SignedObject {
        let (payload, signature) = without_signature_headers(raw);
        SignedObject { kind: Kind::Commit, payload, signature: text(&signature) }
    }

    /// Takes an annotated tag apart.
    pub fn tag(raw: &[u8]) -> SignedObject {
        let (mut position, mut start) = (0, raw.len());
        for line in raw.split_inclusive(|b| *b == b'\n') {
            if ARMOR_BEGINNINGS.iter().any(|armor| line.starts_with(armor)) {
                start = position;
            }
            position += line.len();
        }
        let (message, signature) = raw.split_at_checked(start).unwrap_or((raw, &[]));
        let (payload, _) = without_signature_headers(message);
        SignedObject { kind: Kind::Tag, payload, signature: text(signature) }
    }

    /// What it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What was signed.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The armored signature; empty without one.
    pub fn signature(&self) -> &str {
        &self.signature
    }

    /// Whether there is something that may be a signature.
    pub fn is_signed(&self) -> bool {
        !self.signature.is_empty()
    }
}

/// The object without signature headers, and what stood in them.
fn without_signature_headers(raw: &[u8]) -> (Vec<u8>, Vec<u8>) {
    enum Part {
        Payload,
        Signature,
        Other,
    }
    let (mut payload, mut signature) = (Vec::with_capacity(raw.len()), Vec::new());
    let mut part = Part::Payload;
    let mut headers = true;
    for line in raw.split_inclusive(|b| *b == b'\n') {
        headers &= line != b"\n";
        let mut content = line;
        if !headers {
            part = Part::Payload;
        } else if let Some(continued) = line.strip_prefix(b" ") {
            if matches!(part, Part::Signature) {
                content = continued;
            }
        } else if let Some(first) = line.strip_prefix(SIGNATURE_HEADER) {
            (part, content) = (Part::Signature, first);
        } else if line.starts_with(SHA256_SIGNATURE_HEADER) {
            part = Part::Other;
        } else {
            part = Part::Payload;
        }
        match part {
            Part::Payload => payload.extend_from_slice(content),
            Part::Signature => signature.extend_from_slice(content),
            Part::Other => {}
        }
    }
    (payload, signature)
}

fn text(signature: &[u8]) -> String {
    String::from_utf8_lossy(signature).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(object: &SignedObject) -> (&str, &str) {
        (std::str::from_utf8(object.payload()).unwrap_or_default(), object.signature())
    }

    #[test]
    fn the_signature_of_a_commit_stands_in_a_header() {
        let raw = b"tree 1\nauthor a\ngpgsig -----BEGIN X-----\n \n abc\n -----END X-----\nencoding x\n\nsubject\n\n gpgsig no\ngpgsig no\n";
        assert_eq!(
            parts(&SignedObject::commit(raw)),
            (
                "tree 1\nauthor a\nencoding x\n\nsubject\n\n gpgsig no\ngpgsig no\n",
                "-----BEGIN X-----\n\nabc\n-----END X-----\n"
            )
        );
    }

    #[test]
    fn a_signature_for_another_hash_algorithm_is_no_part_of_either() {
        let raw = b"tree 1\ngpgsig-sha256 a\n b\ngpgsig c\n d\ngpgsigx e\n f\n\nm";
        assert_eq!(parts(&SignedObject::commit(raw)), ("tree 1\ngpgsigx e\n f\n\nm", "c\nd\n"));
        let raw = b"object 1\ngpgsig-sha256 a\n b\n\nm\n-----BEGIN SSH SIGNATURE-----\nc\n";
        assert_eq!(parts(&SignedObject::tag(raw)), ("object 1\n\nm\n", "-----BEGIN SSH SIGNATURE-----\nc\n"));
    }

    #[test]
    fn embedded_tags_of_a_merge_are_part_of_what_was_signed() {
        let raw = b"tree 1\nmergetag object 2\n type commit\n \n -----BEGIN PGP SIGNATURE-----\n x\ngpgsig s\n\nm\n";
        let (payload, signature) = without_signature_headers(raw);
        assert!(payload.ends_with(b" -----BEGIN PGP SIGNATURE-----\n x\n\nm\n"));
        assert_eq!(signature, b"s\n");
    }

    #[test]
    fn the_last_signature_of_a_tag_is_the_one_that_counts() {
        let armor = "-----BEGIN PGP SIGNATURE-----\na\n";
        let raw = format!("object 1\n\nquoted:\n{armor}{armor}");
        let tag = SignedObject::tag(raw.as_bytes());
        assert_eq!(parts(&tag), (format!("object 1\n\nquoted:\n{armor}").as_str(), armor));
        assert!(tag.is_signed());
    }

    #[test]
    fn objects_without_signature_have_an_empty_one() {
        for raw in [&b""[..], b"\n", b"tree 1", b"tree 1\n\nm", b"\n\n\xff\xfe"] {
            for object in [SignedObject::commit(raw), SignedObject::tag(raw)] {
                assert!(!object.is_signed());
                assert_eq!(object.payload(), raw);
            }
        }
    }
}
