//! Commits and tags as Git reads them: what leads to other objects has to be exact, all else may be anything.
//!
//! Old tools, importers and mirrors left author lines without e-mail, dates that are none and headers that nobody knows in
//! repositories that Git fetches without a word. So the rules here are those of Git's own `parse_commit_buffer` and
//! `parse_tag_buffer`, not those of `git fsck`.

use gix::ObjectId;
use gix::bstr::ByteSlice;
use gix::objs::Kind;

use crate::TransportError;
use crate::connection::{EXCERPT_BYTES, printable};

/// What is of interest in a commit object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// Its id.
    pub id: ObjectId,
    /// Its root directory.
    pub tree: ObjectId,
    /// The first line of its message, to be shown: at most 1024 bytes of it, without control characters.
    pub subject: String,
    /// When it was committed, seconds since 1970; 0 if it does not say, as in Git.
    pub committed: i64,
}

/// What makes a commit or tag unreadable.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub(crate) enum Malformed {
    #[error("bogus commit object {0}")]
    Commit(ObjectId),
    #[error("bad parents in commit {0}")]
    Parents(ObjectId),
    #[error("bogus tag object {0}")]
    Tag(ObjectId),
}

impl From<Malformed> for TransportError {
    fn from(error: Malformed) -> Self {
        TransportError::Protocol(error.to_string())
    }
}

/// A commit's tree and parents, and what follows them.
struct Links<'a> {
    tree: ObjectId,
    parents: Vec<ObjectId>,
    rest: &'a [u8],
}

impl Commit {
    pub(crate) fn parse(id: ObjectId, data: &[u8]) -> Result<Commit, Malformed> {
        let Links { tree, rest, .. } = links(id, data)?;
        // The separator may be the first thing that follows the links.
        let message = match rest.strip_prefix(b"\n") {
            Some(message) => message,
            None => rest.split_once_str(b"\n\n").map_or(&[][..], |(_, message)| message),
        };
        let subject = message.lines().next().unwrap_or_default();
        Ok(Commit { id, tree, subject: printable(subject, EXCERPT_BYTES), committed: committed(rest) })
    }
}

/// The parents of a commit.
pub(crate) fn parents(id: ObjectId, data: &[u8]) -> Result<Vec<ObjectId>, Malformed> {
    Ok(links(id, data)?.parents)
}

fn links(id: ObjectId, data: &[u8]) -> Result<Links<'_>, Malformed> {
    let (tree, mut rest) = link(data, b"tree ").flatten().ok_or(Malformed::Commit(id))?;
    // To Git, too, a commit that ends here is none.
    if rest.is_empty() {
        return Err(Malformed::Commit(id));
    }
    let mut parents = Vec::new();
    while let Some(parent) = link(rest, b"parent ") {
        let (parent, after) = parent.ok_or(Malformed::Parents(id))?;
        parents.push(parent);
        rest = after;
    }
    Ok(Links { tree, parents, rest })
}

/// The id in a line that begins with `name`, and what follows the line; `None` if it begins otherwise, `Some(None)` if
/// there is no id and nothing else in it.
fn link<'a>(data: &'a [u8], name: &[u8]) -> Option<Option<(ObjectId, &'a [u8])>> {
    let rest = data.strip_prefix(name)?;
    let line = rest.split_at_checked(gix::hash::Kind::Sha1.len_in_hex());
    Some(line.and_then(|(hex, rest)| Some((ObjectId::from_hex(hex).ok()?, rest.strip_prefix(b"\n")?))))
}

/// The time in the committer line, which Git looks for in the second line after the parents only.
fn committed(rest: &[u8]) -> i64 {
    let mut lines = rest.split(|byte| *byte == b'\n');
    let (author, committer) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    if !author.starts_with(b"author") || !committer.starts_with(b"committer") {
        return 0;
    }
    let time = committer.rsplit_once_str(b">").map(|(_, time)| time.trim_start()).unwrap_or_default();
    let digits = time.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(time.len());
    let digits = time.get(..digits).and_then(|digits| digits.to_str().ok());
    digits.and_then(|digits| digits.parse().ok()).unwrap_or_default()
}

/// What an annotated tag says of itself.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TagLinks {
    pub(crate) target: ObjectId,
    pub(crate) kind: Kind,
    /// To be shown, as a commit's subject.
    pub(crate) name: String,
}

impl TagLinks {
    pub(crate) fn parse(id: ObjectId, data: &[u8]) -> Result<TagLinks, Malformed> {
        let parse = || {
            let (target, rest) = link(data, b"object ")??;
            let (kind, rest) = rest.strip_prefix(b"type ")?.split_once_str(b"\n")?;
            let (name, _) = rest.strip_prefix(b"tag ")?.split_once_str(b"\n")?;
            Some(TagLinks {
                target,
                kind: Kind::from_bytes(kind).ok()?,
                name: printable(name, EXCERPT_BYTES),
            })
        };
        parse().ok_or(Malformed::Tag(id))
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    const TREE: &str = "4b825dc642cb6eb9a060e54bf8d69288fbee4904";
    const OTHER: &str = "E69DE29BB2D1D6434B8B29AE775AD8C2E48C5391";

    fn id(hex: &str) -> ObjectId {
        ObjectId::from_hex(hex.as_bytes()).unwrap()
    }

    fn commit(rest: &str) -> Commit {
        Commit::parse(id(TREE), format!("tree {TREE}\n{rest}").as_bytes()).unwrap()
    }

    #[test]
    fn a_subject_is_the_first_line_of_whatever_message_there_is() {
        let people = "author a <a@b> 1 +0000\ncommitter a <a@b> 1 +0000\n";
        let long = "x".repeat(3000);
        for (rest, subject) in [
            (format!("{people}\nfirst\nsecond\n"), "first"),
            (format!("{people}\nfirst"), "first"),
            (format!("{people}\n\nafter an empty one\n"), ""),
            (format!("{people}\n"), ""),
            (people.to_owned(), ""),
            ("\nno people\n".to_owned(), "no people"),
            (format!("{people}x-unknown 1\n and more\ngpgsig x\n\nfirst"), "first"),
            (format!("{people}headers without an end"), ""),
            (format!("{people}\na\x1b[2Jb\tc\0d\re\n"), "a[2Jbcde"),
            (format!("{people}\n{long}"), &long[..1024]),
        ] {
            assert_eq!(commit(&rest).subject, subject, "{rest:?}");
        }
        let latin = [format!("tree {TREE}\n{people}encoding x\n\nn").as_bytes(), b"\xe4h\n"].concat();
        assert_eq!(Commit::parse(id(TREE), &latin).unwrap().subject, "n\u{fffd}h");
    }

    #[test]
    fn a_time_that_is_none_is_the_beginning_of_time() {
        for (line, time) in [
            ("a <a@b> 1700000000 +0000", 1_700_000_000),
            ("a <a@b> 1700000000", 1_700_000_000),
            ("a <a@b>1700000000 +99999", 1_700_000_000),
            ("a <a@b> 1700000000 nowhere", 1_700_000_000),
            ("a <a>b> c> 17 +0000", 17),
            ("<> 5", 5),
            ("a <a@b> 0017 +0000", 17),
            ("a 1700000000 +0000", 0),
            ("a <a@b 1700000000 +0000", 0),
            ("a <a@b> yesterday", 0),
            ("a <a@b> -5 +0000", 0),
            ("a <a@b> 99999999999999999999999 +0000", 0),
            ("a <a@b>", 0),
            ("", 0),
        ] {
            let people = format!("author nobody\ncommitter {line}\n\nsubject\n");
            assert_eq!(commit(&people).committed, time, "{line:?}");
        }
        for rest in ["committer a <a@b> 5 +0000\n\nx", "author a\n\ncommitter a <a@b> 5 +0000\n", "x\ny\n"] {
            assert_eq!(commit(rest).committed, 0, "{rest:?}");
        }
    }

    #[test]
    fn tree_and_parents_are_exact() {
        let data = format!("tree {TREE}\nparent {TREE}\nparent {OTHER}\nauthor\nparent {TREE}\n");
        assert_eq!(parents(id(TREE), data.as_bytes()), Ok(vec![id(TREE), id(OTHER)]));
        assert_eq!(Commit::parse(id(TREE), data.as_bytes()).unwrap().tree, id(TREE));
        let short = &TREE[1..];
        for data in [
            String::new(),
            format!("tree {TREE}"),
            format!("tree {TREE}\n"),
            format!("tree {TREE} \nx"),
            format!("tree {short}\nx"),
            format!("tree {short}x\nx"),
            format!("tree  {short}\nx"),
            format!("Tree {TREE}\nx"),
            format!("\ntree {TREE}\nx"),
            format!("parent {TREE}\ntree {TREE}\nx"),
        ] {
            assert_eq!(
                Commit::parse(id(TREE), data.as_bytes()),
                Err(Malformed::Commit(id(TREE))),
                "{data:?}"
            );
        }
        for parent in [format!("parent {short}\n"), format!("parent {TREE}x\n"), format!("parent {TREE}")] {
            let data = format!("tree {TREE}\n{parent}");
            assert_eq!(parents(id(TREE), data.as_bytes()), Err(Malformed::Parents(id(TREE))), "{data:?}");
        }
    }

    #[test]
    fn a_tag_needs_object_type_and_name_and_nothing_else() {
        let head = format!("object {OTHER}\ntype commit\ntag v1\n");
        for rest in [
            "",
            "\n",
            "tagger a <a@b> 1 +0000\n\nx",
            "tagger\n",
            "tagger a\n\nx",
            "x-unknown 1\n\nx",
            "no end",
            "tagger a <a@b> 99999999999999999999 +zone\n",
        ] {
            let tag = TagLinks::parse(id(TREE), format!("{head}{rest}").as_bytes()).unwrap();
            let expected = TagLinks { target: id(OTHER), kind: Kind::Commit, name: "v1".to_owned() };
            assert_eq!(tag, expected, "{rest:?}");
        }
        for data in [
            String::new(),
            format!("object {OTHER}\n"),
            format!("object {OTHER}\ntype commit\n"),
            format!("object {OTHER}\ntype commit\ntag v1"),
            format!("object {OTHER}\ntag v1\ntype commit\n"),
            format!("object {OTHER}\ntype branch\ntag v1\n"),
            format!("object {OTHER}x\ntype commit\ntag v1\n"),
            format!("type commit\nobject {OTHER}\ntag v1\n"),
        ] {
            assert_eq!(TagLinks::parse(id(TREE), data.as_bytes()), Err(Malformed::Tag(id(TREE))), "{data:?}");
        }
    }
}
