//! Paths in an artifact, as specs write them.

/// The path without empty and `.` components, and with `..` never leading above the root.
pub fn confine(path: &str) -> String {
    let mut components = Vec::new();
    for component in path.split('/') {
        match component {
            "" | "." => {}
            ".." => drop(components.pop()),
            name => components.push(name),
        }
    }
    components.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_confined_path_stays_below_the_root() {
        for (path, confined) in
            [("a/b", "a/b"), ("./a//b/", "a/b"), ("../../x", "x"), ("a/../../b", "b"), ("/", ""), ("..", "")]
        {
            assert_eq!(confine(path), confined);
        }
    }
}
