//! Nodes to JSON and back, with Go's number rules.

use serde_json::Value;

use crate::{Error, Node, Resolver};

impl Node {
    /// The node as JSON. Keys become strings, the last of equal keys wins for [`Resolver::KubernetesV2`] and is an error
    /// for [`Resolver::KustomizeV3`], integers stay exact up to `u64`, larger ones become floats, as in Go.
    ///
    /// # Errors
    /// A collection as key, a float that is not finite, a tag that does not fit.
    pub fn to_json(&self, resolver: Resolver) -> Result<Value, Error> {
        let _ = resolver;
        todo!()
    }
}

/// A block-style node with the entries in the order of `value`.
pub fn from_json(value: &Value) -> Node {
    let _ = value;
    todo!()
}

/// The text Go's `json.Marshal` gives: no spaces, sorted keys, `<`, `>`, `&`, U+2028 and U+2029 escaped, Go's float text.
pub fn canonical_json(value: &Value) -> String {
    let _ = value;
    todo!()
}

/// The text sigs.k8s.io/yaml's `JSONToYAML` gives: sorted keys, go-yaml v2 quoting, lines folded at 80 columns.
pub fn json_to_yaml(value: &Value) -> String {
    let _ = value;
    todo!()
}
