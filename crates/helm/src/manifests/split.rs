/// The documents of a text, without those that are blank. A line that begins with `---` ends one, whatever comes behind it; that
/// belongs to the next. White space before a document is cut, what is behind it stays.
pub fn split(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = Some(text.trim_start());
    let mut is_line = true;
    std::iter::from_fn(move || {
        loop {
            let (document, after) = cut(rest?, is_line);
            rest = after;
            is_line = false;
            let document = document.trim_start();
            if !document.is_empty() {
                return Some(document);
            }
        }
    })
}

/// What is before the first separator, and what behind it. The text begins with a line, or within one.
fn cut(text: &str, mut is_line: bool) -> (&str, Option<&str>) {
    const SEPARATOR: &str = "---";
    let mut from = 0;
    loop {
        let here = text.get(from..).unwrap_or_default();
        if let Some(after) = here.strip_prefix(SEPARATOR).filter(|_| is_line) {
            let before = text.get(..from).unwrap_or_default();
            return (before, Some(after.trim_start_matches([' ', '\t'])));
        }
        is_line = true;
        match memchr::memchr(b'\n', here.as_bytes()) {
            Some(line) => from += line + 1,
            None => return (text, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_split_as_by_helm() {
        for (text, expected) in [
            ("", vec![]),
            ("---\n---\n \n", vec![]),
            ("a: 1\n---\nb: 2\n", vec!["a: 1\n", "b: 2\n"]),
            ("\n\n---a: 1\n", vec!["a: 1\n"]),
            ("a: 1\n---  \t b: 2\n", vec!["a: 1\n", "b: 2\n"]),
            ("a: 1\n----\nb: 2", vec!["a: 1\n", "-\nb: 2"]),
            ("a: |\n  ---\n", vec!["a: |\n  ---\n"]),
            ("a: 1\n--- # c\n\n\n  b: 2\n\n", vec!["a: 1\n", "# c\n\n\n  b: 2\n\n"]),
            ("a: 1\r\n---\r\nb: 2", vec!["a: 1\r\n", "b: 2"]),
            ("--- ---\na", vec!["---\na"]),
        ] {
            assert_eq!(split(text).collect::<Vec<_>>(), expected, "{text:?}");
        }
    }
}
