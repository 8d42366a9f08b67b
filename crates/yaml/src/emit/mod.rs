//! Nodes to text.

mod analysis;
mod comments;
mod flow;
mod scalar;
mod tree;
mod writer;

use crate::Node;
use tree::{Emitter, KYAML, Layout};

/// Columns after which go-yaml v2 folds a scalar at its next space.
const V2_WIDTH: usize = 80;

/// One document, as kyaml writes it: go-yaml v3, indentation 2, sequences not indented under their key, no line folding.
pub fn emit(node: &Node) -> String {
    emit_all(std::slice::from_ref(node))
}

/// Several documents, with a `---` line between them.
pub fn emit_all(nodes: &[Node]) -> String {
    emit_documents(nodes, KYAML)
}

/// Several documents as go-yaml v3 writes them with `SetIndent(indent)`: like [`emit_all`], but steps have `indent` columns, and
/// lists are indented under their key.
pub fn emit_indented(nodes: &[Node], indent: usize) -> String {
    emit_documents(nodes, Layout { indent: indent.max(2), compact: false, ..KYAML })
}

fn emit_documents(nodes: &[Node], layout: Layout) -> String {
    let mut emitter = Emitter::new(layout);
    for node in nodes {
        emitter.document(node);
    }
    emitter.into_text()
}

/// One document as go-yaml v2 writes it: like [`emit`], but folding long lines and escaping tabs.
pub(crate) fn emit_v2(node: &Node) -> String {
    let mut emitter = Emitter::new(Layout { width: V2_WIDTH, v2: true, ..KYAML });
    emitter.document(node);
    emitter.into_text()
}

/// Whether a text needs no quotes in a flow collection.
pub(crate) fn may_be_plain_in_flow(text: &str) -> bool {
    analysis::Analysis::of(text, false).flow_plain
}
