//! YAML as the Go stack sees it: an ordered node tree that keeps scalar text, style and comments.
//!
//! ```text
//! let docs: Vec<Node> = yaml::parse(text, &Limits::default())?;      // one Node per document, aliases and `<<` expanded
//! let name = docs[0].get_path(&["metadata", "name"]).and_then(Node::as_str);
//! docs[0].insert("kind", Node::string("ConfigMap"));
//! let json = docs[0].to_json(Resolver::KubernetesV2)?;               // what the API server receives
//! let node = yaml::from_json(&json);
//! yaml::emit(&node)                        // go-yaml v3 with kyaml's settings: `RNode.String()`
//! yaml::json_to_yaml(&json)                // sigs.k8s.io/yaml `JSONToYAML`: what `kustomize build` prints
//! yaml::json_to_yaml_in_byte_order(&json)  // the same, sorted by bytes: what Flux takes the digest of values of
//! yaml::canonical_json(&json)              // Go's `json.Marshal`: sorted keys, HTML escapes, Go's number text
//! yaml::indented_json(&json)               // Go's `json.MarshalIndent`, with two spaces
//! ```
//!
//! A scalar stays text until it is asked for its type: [`Node::resolve`] answers for one of two [`Resolver`]s,
//! because kustomize (go-yaml v3) and the API server (go-yaml v2 behind sigs.k8s.io/yaml) read `yes` or `1:30` differently.
//!
//! # Where this differs from the Go stack
//!
//! - An error anywhere in a stream is an error of the stream; go-yaml hands out the documents before it.
//! - Anchors end with their document; go-yaml v3 lets later documents of a stream refer to them.
//! - Merge keys follow kyaml: own entries win. In go-yaml v2 what stands later wins, and so it is in [`parse_v2`].
//! - A key written `null` or `~` is refused for kustomize; kyaml writes such an entry twice and then fails on it.
//! - A block text that begins with a tab stays as it is; kyaml writes it so that it cannot be read again.
//! - `JSONToYAML` keeps U+0085 and control characters; Go's folds the former and refuses the latter.
//! - An anchor inside itself is an error; kyaml overflows its stack.
//! - Depth, size and alias copies are bounded by [`Limits`]; go-yaml bounds depth by 10,000 and aliases by a ratio alone.

mod emit;
mod error;
mod expand;
mod fields;
mod json;
mod limits;
mod mapping;
mod merge;
mod node;
mod number;
mod order;
mod parse;
mod resolve;
mod timestamp;

/// Text that counts as much as a node where [`Limits`] count nodes.
const BYTES_PER_NODE: usize = 64;

pub use emit::{emit, emit_all, emit_indented};
pub use error::Error;
pub use fields::{JsonFields, json_list, json_string};
pub use json::{
    canonical_json, from_json, indented_json, json_to_yaml, json_to_yaml_in_byte_order, put_json_string,
};
pub use limits::Limits;
pub use mapping::Mapping;
pub use merge::merge_values;
pub use node::{Comments, Kind, Node, Style, Value};
pub use number::{json_float, yaml_float, yaml_float32};
pub use order::sort_keys_of_v3;
pub use parse::{is_forbidden, parse, parse_counted, parse_unexpanded, parse_v2};
pub use resolve::{Resolved, Resolver};
