//! Trees that print the same with fewer nodes. Charts with alerts have tens of thousands of ``{{`{{`}}``.

use crate::node::{Command, Node, Operand, Pipe};

/// Adds a node to those before it: a constant as text, and text to the text that is there.
pub(crate) fn push(nodes: &mut Vec<Node>, node: Node) {
    match (nodes.last_mut(), as_text(node)) {
        (Some(Node::Text(_, before)), Node::Text(_, more)) => before.extend_from_slice(&more),
        (_, node) => nodes.push(node),
    }
}

/// A string becomes text. White space alone stays what it is: a template is empty that has no other text.
fn as_text(node: Node) -> Node {
    match &node {
        Node::Action(pipe) => match constant(pipe) {
            Some(text) if !text.trim_ascii().is_empty() => Node::Text(pipe.position, text.to_vec()),
            _ => node,
        },
        _ => node,
    }
}

fn constant(pipe: &Pipe) -> Option<&[u8]> {
    let ([], [Command { operands, .. }]) = (pipe.variables.as_slice(), pipe.commands.as_slice()) else {
        return None;
    };
    match operands.as_slice() {
        [Operand::String(_, text)] => Some(&text.value),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use crate::node::Node;
    use crate::parse::{Limits, parse_into};

    fn nodes(source: &str) -> (String, Vec<usize>) {
        let trees =
            parse_into("t", source.to_owned().into(), &Limits::default(), &|_| true, super::push).unwrap();
        let root = &trees.last().unwrap().root;
        let mut counts = vec![root.nodes.len()];
        for node in &root.nodes {
            if let Node::If(branch) | Node::Range(branch) | Node::With(branch) = node {
                counts.push(branch.list.nodes.len());
                counts.extend(branch.otherwise.as_ref().map(|list| list.nodes.len()));
            }
        }
        (root.to_string(), counts)
    }

    #[test]
    fn constants_are_text_and_go_on_with_what_is_beside_them() {
        assert_eq!(nodes("a {{`{{`}} $x {{\"}}\"}} b"), ("a {{ $x }} b".into(), vec![1]));
        assert_eq!(nodes("{{if .a}}x{{`y`}}{{else}}{{`z`}}{{`!`}}{{end}}").1, [1, 1, 1]);
        assert_eq!(nodes("a{{.x}}{{`b`}}").1, [3]);
    }

    #[test]
    fn what_makes_a_template_more_than_empty_stays() {
        assert_eq!(nodes("{{` `}}").1, [1]);
        assert_eq!(nodes("{{` `}}").0, "{{` `}}");
        assert_eq!(nodes("{{$x := `a`}}{{1}}{{`a` | print}}").1, [3]);
    }
}
