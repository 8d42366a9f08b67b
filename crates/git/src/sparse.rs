//! Which files of a tree are wanted, as Flux's sparse checkout decides it.

/// Prefixes of paths. It is text that is compared: `app` takes `apple/x` and `app.yaml` too.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Selection {
    /// Without any, everything is wanted.
    prefixes: Vec<String>,
}

impl Selection {
    /// From the directories as they are written; `./` before them means nothing.
    pub(crate) fn new(directories: &[String]) -> Selection {
        let plain = |dir: &String| dir.strip_prefix("./").unwrap_or(dir).to_owned();
        Selection { prefixes: directories.iter().map(plain).collect() }
    }

    /// The paths that must be there; an empty one is the root.
    pub(crate) fn places(&self) -> impl Iterator<Item = &str> {
        self.prefixes.iter().map(|prefix| if prefix == "." { "" } else { prefix.trim_end_matches('/') })
    }

    /// Whether a file is wanted, or a directory could hold one that is.
    pub(crate) fn admits(&self, path: &[u8], is_directory: bool) -> bool {
        let wanted = |prefix: &String| {
            let prefix = prefix.as_bytes();
            if !is_directory {
                return path.starts_with(prefix);
            }
            // Compared as `path/`: one of the two goes on where the other ends.
            match prefix.strip_prefix(path) {
                Some(rest) => rest.is_empty() || rest.starts_with(b"/"),
                None => path.starts_with(prefix),
            }
        };
        self.prefixes.is_empty() || self.prefixes.iter().any(wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_prefixes_decide() {
        for (directories, path, is_directory, admitted) in [
            (&[][..], "x", false, true),
            (&["app"], "app/x", false, true),
            (&["app"], "apple/x", false, true),
            (&["app"], "app.yaml", false, true),
            (&["app"], "root.yaml", false, false),
            (&["app"], "App/x", false, false),
            (&["app/"], "app", true, true),
            (&["app/"], "apple", true, false),
            (&["app"], "apple", true, true),
            (&["./a/b"], "a", true, true),
            (&["./a/b"], "a/b", true, true),
            (&["./a/b"], "a/c", true, false),
            (&["./a/b"], "a/f", false, false),
            (&["../x"], "x", true, false),
            (&["../x"], "x/f", false, false),
            (&["a", "b"], "b/f", false, true),
            (&["."], ".github/f", false, true),
            (&["./"], "anything", false, true),
        ] {
            let directories: Vec<String> = directories.iter().map(|d| (*d).to_owned()).collect();
            let selection = Selection::new(&directories);
            assert_eq!(selection.admits(path.as_bytes(), is_directory), admitted, "{directories:?} {path}");
        }
    }

    #[test]
    fn a_directory_must_be_there_however_it_is_written() {
        let given = ["a", "./a/b", "a/", ".", "./", "../a", ".."].map(str::to_owned);
        let selection = Selection::new(&given);
        let places: Vec<&str> = selection.places().collect();
        assert_eq!(places, ["a", "a/b", "a", "", "", "../a", ".."]);
    }
}
