//! Field paths as kustomize splits them.

/// Parts that a path to a field may have. Walks recurse once a part, and a created path nests as deep.
pub(crate) const MAX_PARTS: usize = 200;

/// Parts between delimiters. A backslash before a delimiter keeps it in the part; one leading delimiter does not count.
pub(crate) fn split(path: &str, delimiter: char) -> Vec<String> {
    let mut parts: Vec<String> = Vec::new();
    let mut pieces = path.split(delimiter).peekable();
    if path.starts_with(delimiter) {
        pieces.next();
    }
    for piece in pieces {
        match parts.last_mut() {
            Some(last) if last.ends_with('\\') => {
                last.pop();
                last.push(delimiter);
                last.push_str(piece);
            }
            _ => parts.push(piece.to_owned()),
        }
    }
    parts
}

/// As [`split`], but brackets hold together: `[name=a.b]` is one part, `[a.b/c]` is the key `a.b/c`.
pub(crate) fn split_bracketed(path: &str, delimiter: char) -> Vec<String> {
    let mut parts = Vec::new();
    let mut pieces = split(path, delimiter).into_iter();
    while let Some(piece) = pieces.next() {
        if !piece.starts_with('[') || piece.ends_with(']') {
            parts.push(piece);
            continue;
        }
        let mut whole = piece;
        for next in pieces.by_ref() {
            whole.push(delimiter);
            whole.push_str(&next);
            if next.ends_with(']') {
                break;
            }
        }
        if whole.contains('=') {
            parts.push(whole);
        } else {
            parts.push(whole.trim_matches(['[', ']']).to_owned());
        }
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_escaped_delimiter_stays_in_its_part() {
        assert_eq!(split(r"metadata/annotations/a.b\/c", '/'), ["metadata", "annotations", "a.b/c"]);
        assert_eq!(split("/a/b", '/'), ["a", "b"]);
        assert_eq!(split("", '/'), [""]);
    }

    #[test]
    fn brackets_hold_delimiters() {
        assert_eq!(split_bracketed("spec.[name=a.b].c", '.'), ["spec", "[name=a.b]", "c"]);
        assert_eq!(
            split_bracketed("metadata.annotations.[a.b/c]", '.'),
            ["metadata", "annotations", "a.b/c"]
        );
        assert_eq!(split_bracketed("a.[b=c]", '.'), ["a", "[b=c]"]);
    }
}
