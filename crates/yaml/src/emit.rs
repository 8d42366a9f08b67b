//! Nodes to text.

use crate::Node;

/// One document, as kyaml writes it (go-yaml v3, indentation 2, sequences not indented under their key, no line folding).
pub fn emit(node: &Node) -> String {
    emit_all(std::slice::from_ref(node))
}

/// Several documents, separated by `---` lines.
pub fn emit_all(nodes: &[Node]) -> String {
    let _ = nodes;
    todo!()
}
