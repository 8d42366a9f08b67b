//! Where the objects of a bucket are in its artifact: from keys to paths. Pure.

use artifact::ignore::IGNORE_FILE;

use super::index::Index;

/// Directories above a file; consumers take no more.
const DEPTH: usize = 255;

/// A file of an artifact.
#[derive(Debug, PartialEq, Eq)]
pub struct Placed {
    /// Its path.
    pub path: String,
    /// The place of its object in the index; `None` is the ignore file.
    pub object: Option<usize>,
}

/// A key without a place.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// It cannot be the path of a file.
    #[error("failed to resolve path for '{0}' object: it cannot be the path of a file")]
    Path(String),
    /// What is a directory by one key is a file by another.
    #[error("failed to get '{0}' object: '{1}' is a file")]
    Conflict(String, String),
}

/// Whether a key is its path. What an artifact has at that path is its object, whatever other keys lead there.
pub fn is_path(key: &str) -> bool {
    path(key).is_some_and(|path| path == key)
}

/// The files of an artifact in its order. Of several keys with one path the one that is the path counts, else the last one.
pub fn of(index: &Index, has_ignore_file: bool) -> Result<Vec<Placed>, LayoutError> {
    let mut files = Vec::with_capacity(index.objects().len() + 1);
    if has_ignore_file {
        files.push(Placed { path: IGNORE_FILE.to_owned(), object: None });
    }
    for (at, object) in index.objects().iter().enumerate() {
        let path = path(&object.key).ok_or_else(|| LayoutError::Path(object.key.clone()))?;
        files.push(Placed { path, object: Some(at) });
    }
    let rank = |file: &Placed| {
        let object = file.object.and_then(|at| index.objects().get(at));
        (object.is_none_or(|object| object.key == file.path), file.object)
    };
    files.sort_by(|a, b| a.path.split('/').cmp(b.path.split('/')).then_with(|| rank(a).cmp(&rank(b))));
    files.reverse();
    files.dedup_by(|a, b| a.path == b.path);
    files.reverse();
    for pair in files.windows(2) {
        let [file, below] = pair else { continue };
        if below.path.strip_prefix(&file.path).is_some_and(|rest| rest.starts_with('/')) {
            return Err(LayoutError::Conflict(below.path.clone(), file.path.clone()));
        }
    }
    Ok(files)
}

/// A key as a path below the root, whatever it says: as with `securejoin`, `..` does not lead out.
fn path(key: &str) -> Option<String> {
    let mut components: Vec<&str> = Vec::new();
    for component in key.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            component => components.push(component),
        }
    }
    let is_drive = components
        .first()
        .is_some_and(|first| matches!(first.as_bytes(), [letter, b':'] if letter.is_ascii_alphabetic()));
    let is_path =
        !components.is_empty() && components.len() <= DEPTH && !key.contains(['\0', '\\']) && !is_drive;
    is_path.then(|| components.join("/"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use bucket::Object;

    use super::*;

    fn index(keys: &[&str]) -> Index {
        let object = |key: &&str| Object {
            key: (*key).to_owned(),
            etag: "1".to_owned(),
            size: 1,
            ..Object::default()
        };
        Index::of(keys.iter().map(object).collect())
    }

    fn paths(keys: &[&str]) -> Result<Vec<String>, String> {
        let placed = of(&index(keys), false).map_err(|error| error.to_string())?;
        Ok(placed.into_iter().map(|file| file.path).collect())
    }

    #[test]
    fn files_are_in_the_order_of_an_archive() {
        assert_eq!(paths(&["a.b", "a/b", "a/b-c/d", "Z"]).unwrap(), ["Z", "a/b", "a/b-c/d", "a.b"]);
        let with_file = of(&index(&["-", "a"]), true).unwrap();
        let expected = [("-", Some(0)), (".sourceignore", None), ("a", Some(1))];
        let seen: Vec<_> = with_file.iter().map(|file| (file.path.as_str(), file.object)).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn keys_lead_nowhere_else_and_the_last_one_of_a_path_counts() {
        let keys = ["../../etc/passwd", "/abs", "a//b", "c/./d", "c/../e"];
        assert_eq!(paths(&keys).unwrap(), ["a/b", "abs", "c/d", "e", "etc/passwd"]);
        let placed = of(&index(&["a//b", "a/b"]), false).unwrap();
        assert_eq!(placed, [Placed { path: "a/b".to_owned(), object: Some(1) }]);
        let placed = of(&index(&["a/-b", "a/./-b"]), false).unwrap();
        assert_eq!(placed, [Placed { path: "a/-b".to_owned(), object: Some(0) }], "the key that is the path");
        assert!(is_path("a/-b") && !is_path("a/./-b"));
        for key in ["..", "a\0b", "a\\b", "C:/x", &"a/".repeat(300)] {
            let text = format!("failed to resolve path for '{key}' object: it cannot be the path of a file");
            assert_eq!(paths(&[key]), Err(text));
        }
        assert_eq!(paths(&["a", "a.b", "a/b"]), Err("failed to get 'a/b' object: 'a' is a file".to_owned()));
    }
}
