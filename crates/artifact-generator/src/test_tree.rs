//! Trees that tests make and look at.

use crate::tree::{File, Node, Tree};

/// A tree with these files; names that end in `.sh` are executable.
pub(crate) fn tree(files: &[(&str, &str)]) -> Tree {
    let mut tree = Tree::default();
    for (path, content) in files {
        let file = File::new(content.as_bytes().to_vec(), path.ends_with(".sh"));
        tree.put(path.as_bytes(), file).unwrap();
    }
    tree
}

/// All nodes, as `directory/` or `file content`, executable files with a star.
pub(crate) fn shown(tree: &Tree) -> Vec<String> {
    let mut lines = Vec::new();
    tree.visit(&mut |path, node| {
        let path = String::from_utf8_lossy(path);
        lines.push(match node {
            Node::Directory(_) => format!("{path}/"),
            Node::File(File { content, executable, .. }) => {
                let star = if *executable { "*" } else { "" };
                format!("{path}{star} {}", String::from_utf8_lossy(content))
            }
        });
        Ok::<_, ()>(())
    })
    .unwrap();
    lines
}
