//! Nodes to JSON and back, with Go's number rules.

use std::fmt::Write;

use serde_json::{Map, Number, Value as Json};

use crate::node::Value;
use crate::resolve::{Resolved, is_base60};
use crate::{Error, Kind, Limits, Node, Resolver, Style, emit, number, order, parse};

/// Go's words for a mapping that JSON cannot hold.
const UNSUPPORTED_MAP: &str = "json: unsupported type: map[interface {}]interface {}";

impl Node {
    /// The node as JSON.
    ///
    /// Integers stay exact up to `u64`; anything else numeric is a float as in Go, and one without a fraction becomes an
    /// integer again, since Go writes `1.0` as `1`.
    ///
    /// [`Resolver::KubernetesV2`] turns scalar keys into text and lets the last of equal keys win.
    /// [`Resolver::KustomizeV3`] refuses equal keys, and keys that are not strings below the top level.
    ///
    /// # Errors
    /// A key that does not fit, a float that is not finite, a tag that does not fit its text, an alias that was not expanded.
    pub fn to_json(&self, resolver: Resolver) -> Result<Json, Error> {
        Conversion { resolver, keeps_floats: false }.json(self, true, false)
    }

    /// The same, but a float stays one without a fraction, too: `sigs.k8s.io/yaml` writes it so in the place of a text.
    ///
    /// # Errors
    /// As [`Node::to_json`].
    pub fn to_json_with_floats(&self, resolver: Resolver) -> Result<Json, Error> {
        Conversion { resolver, keeps_floats: true }.json(self, true, false)
    }
}

/// From nodes to JSON.
#[derive(Clone, Copy)]
struct Conversion {
    resolver: Resolver,
    /// Whether a float without a fraction stays one.
    keeps_floats: bool,
}

impl Conversion {
    fn json(self, node: &Node, top: bool, in_flow: bool) -> Result<Json, Error> {
        let resolver = self.resolver;
        let in_flow = in_flow || node.style() == Style::Flow;
        match node.value() {
            Value::Scalar(text) if in_flow && is_quoted_in_flow(node, text, resolver) => {
                Ok(text.as_str().into())
            }
            Value::Scalar(_) => self.scalar(node),
            Value::Sequence(items) => items
                .iter()
                .map(|item| self.json(item, false, in_flow))
                .collect::<Result<_, _>>()
                .map(Json::Array),
            Value::Mapping(mapping) => {
                let mut object = Map::with_capacity(mapping.len());
                for (key, value) in mapping.entries() {
                    let value = self.json(value, false, in_flow)?;
                    let key_text = match key.scalar_text() {
                        Some(text) if in_flow && is_quoted_in_flow(key, text, resolver) => text.to_string(),
                        _ => key_to_json(key, resolver, top)?,
                    };
                    let earlier = object.insert(key_text, value);
                    if earlier.is_some() && resolver == Resolver::KustomizeV3 {
                        return Err(duplicate(mapping.entries(), key));
                    }
                }
                Ok(Json::Object(object))
            }
            Value::Alias(name) => Err(convert(node, format!("alias '{name}' was not expanded"))),
        }
    }

    fn scalar(self, node: &Node) -> Result<Json, Error> {
        Ok(match node.resolve(self.resolver)? {
            None | Some(Resolved::Null) => Json::Null,
            Some(Resolved::Bool(value)) => value.into(),
            Some(Resolved::Int(value)) => value.into(),
            Some(Resolved::Uint(value)) => value.into(),
            Some(Resolved::Float(value)) => {
                let number = match self.keeps_floats {
                    true => Number::from_f64(value),
                    false => number::json_number(value).filter(|_| value.is_finite()),
                };
                Json::Number(number.ok_or_else(|| Error::UnsupportedValue(go_float(value)))?)
            }
            Some(Resolved::Timestamp(text)) => text.into(),
            Some(Resolved::String(text))
                if self.resolver == Resolver::KustomizeV3 && node.style() == Style::Folded =>
            {
                refold(node, &text).into()
            }
            Some(Resolved::String(text)) => text.into(),
        })
    }
}

/// kyaml makes JSON by writing YAML and reading it again. In a flow collection it puts a plain text in quotes that may not stand
/// there: an empty one, and a time with its colons. What comes back is a string.
fn is_quoted_in_flow(node: &Node, text: &str, resolver: Resolver) -> bool {
    resolver == Resolver::KustomizeV3
        && node.style() == Style::Plain
        && matches!(node.tag(), "" | "!")
        && (text.is_empty() || text.contains(':'))
        && !emit::may_be_plain_in_flow(text)
}

/// kyaml makes JSON by writing YAML and reading it again, and go-yaml v3 writes a folded scalar so that one with indented
/// lines comes back with more line breaks. `kustomize build` shows it.
fn refold(node: &Node, text: &str) -> String {
    let mut alone = Node::plain(text);
    alone.set_style(node.style());
    let documents = parse(&emit::emit(&alone), &Limits::default());
    documents
        .ok()
        .and_then(|documents| Some(documents.first()?.as_str()?.to_owned()))
        .unwrap_or_else(|| text.to_owned())
}

/// How Go names a float that JSON lacks.
fn go_float(value: f64) -> &'static str {
    match value {
        f64::INFINITY => "+Inf",
        f64::NEG_INFINITY => "-Inf",
        _ => "NaN",
    }
}

/// The key's text. In kyaml an empty key comes back as the empty string from being written and read again.
fn key_to_json(key: &Node, resolver: Resolver, top: bool) -> Result<String, Error> {
    let resolved = key.resolve(resolver)?;
    Ok(match (resolver, resolved) {
        (_, Some(Resolved::String(text))) => text.into_owned(),
        (Resolver::KustomizeV3, Some(Resolved::Null))
            if key.as_str() == Some("") && matches!(key.tag(), "" | "!") =>
        {
            String::new()
        }
        (Resolver::KustomizeV3, Some(Resolved::Null)) => {
            // kyaml's merge writes such an entry twice.
            let text = key.as_str().unwrap_or_default();
            return Err(convert(key, format!("mapping key {text:?} already defined")));
        }
        (Resolver::KustomizeV3, Some(_)) if top => key.as_str().unwrap_or_default().to_owned(),
        (Resolver::KustomizeV3, _) => return Err(convert(key, UNSUPPORTED_MAP.into())),
        (Resolver::KubernetesV2, Some(Resolved::Bool(value))) => value.to_string(),
        (Resolver::KubernetesV2, Some(Resolved::Int(value))) => value.to_string(),
        (Resolver::KubernetesV2, Some(Resolved::Float(value))) => number::yaml_float32(value),
        (Resolver::KubernetesV2, None) => return Err(collection_as_key(key)),
        (Resolver::KubernetesV2, _) => return Err(convert(key, "unsupported map key".into())),
    })
}

/// go-yaml v2's words for a key that is a collection: `{{ x }}` is a mapping in a mapping. Its text goes on with all that the key consists
/// of, which is left out here unless it is names without values.
fn collection_as_key(key: &Node) -> Error {
    if let Some((inner, _)) = key.entries().iter().find(|(inner, _)| inner.kind() != Kind::Scalar) {
        return collection_as_key(inner);
    }
    let name = |(key, value): &(Node, Node)| {
        let name = key.as_str().filter(|_| value.is_null())?;
        Some(format!("{name:?}:interface {{}}(nil)"))
    };
    let names: Option<Vec<_>> = key.entries().iter().map(name).collect();
    let key = match (key.kind(), names) {
        (Kind::Sequence, _) => "[]interface {}".to_owned(),
        (_, Some(names)) => format!("map[interface {{}}]interface {{}}{{{}}}", names.join(", ")),
        (_, None) => "map[interface {}]interface {}".to_owned(),
    };
    Error::Convert { line: 0, message: format!("invalid map key: {key}") }
}

/// go-yaml v3's words for a key that occurs twice.
fn duplicate(entries: &[(Node, Node)], key: &Node) -> Error {
    let first =
        entries.iter().find(|(other, _)| other.as_str() == key.as_str()).map_or(0, |(other, _)| other.line());
    let message = format!(
        "unmarshal errors:\n  line {}: mapping key {:?} already defined at line {first}",
        key.line(),
        key.as_str().unwrap_or_default()
    );
    Error::Convert { line: 0, message }
}

fn convert(node: &Node, message: String) -> Error {
    Error::Convert { line: node.line(), message }
}

/// A block-style node with the entries in the order of `value`.
pub fn from_json(value: &Json) -> Node {
    build(value, &|text| Node::string(text), None)
}

/// The text sigs.k8s.io/yaml's `JSONToYAML` gives: keys in go-yaml's order, go-yaml v2 quoting, lines folded at 80 columns.
pub fn json_to_yaml(value: &Json) -> String {
    emit::emit_v2(&build(value, &string_of_v2, Some(|entries| order::sort_keys(entries))))
}

/// The same with keys in the order of their bytes, as Flux writes values before it takes their digest.
pub fn json_to_yaml_in_byte_order(value: &Json) -> String {
    emit::emit_v2(&build(value, &string_of_v2, Some(|entries| entries.sort_by_key(|(key, _)| *key))))
}

fn string_of_v2(text: &str) -> Node {
    let mut node = Node::plain(text);
    if Resolver::KubernetesV2.needs_quotes(text) || is_base60(text) {
        node.set_style(Style::DoubleQuoted);
    }
    if text.contains('\n') {
        node.set_style(Style::Literal);
    }
    node
}

/// Puts entries in an order.
type Sort = fn(&mut [(&String, &Json)]);

fn build(value: &Json, string: &impl Fn(&str) -> Node, sort: Option<Sort>) -> Node {
    match value {
        Json::Null => Node::null(),
        Json::Bool(value) => Node::bool(*value),
        Json::Number(number) => Node::plain(number_text(number, number::yaml_float_from_json)),
        Json::String(text) => string(text),
        Json::Array(items) => Node::sequence_of(items.iter().map(|item| build(item, string, sort))),
        Json::Object(object) => {
            let mut entries: Vec<(&String, &Json)> = object.iter().collect();
            if let Some(sort) = sort {
                sort(&mut entries);
            }
            let entries: Vec<_> =
                entries.into_iter().map(|(key, value)| (string(key), build(value, string, sort))).collect();
            Node::new(Value::Mapping(entries.into()))
        }
    }
}

/// Integers as they are, floats by `float`.
fn number_text(number: &serde_json::Number, float: impl Fn(f64) -> String) -> String {
    match number.as_f64() {
        Some(value) if number.is_f64() => float(value),
        _ => number.to_string(),
    }
}

/// The text Go's `json.Marshal` gives: no spaces, sorted keys, `<`, `>`, `&`, U+2028 and U+2029 escaped, Go's float text.
pub fn canonical_json(value: &Json) -> String {
    let mut text = String::new();
    put_json(&mut text, value, None);
    text
}

/// The text Go's `json.MarshalIndent` gives with two spaces: that of [`canonical_json`], an entry or item on each line.
pub fn indented_json(value: &Json) -> String {
    let mut text = String::new();
    put_json(&mut text, value, Some(0));
    text
}

/// `depth`: of the value, when each entry and item has a line of its own.
fn put_json(out: &mut String, value: &Json, depth: Option<usize>) {
    let inner = depth.map(|depth| depth + 1);
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Json::Number(number) => out.push_str(&number_text(number, number::json_float)),
        Json::String(text) => put_json_string(out, text),
        Json::Array(items) => {
            out.push('[');
            for (position, item) in items.iter().enumerate() {
                separate(out, position, inner);
                put_json(out, item, inner);
            }
            close(out, ']', depth.filter(|_| !items.is_empty()));
        }
        Json::Object(object) => {
            let mut entries: Vec<_> = object.iter().collect();
            entries.sort_by_key(|(key, _)| *key);
            out.push('{');
            for (position, (key, value)) in entries.into_iter().enumerate() {
                separate(out, position, inner);
                put_json_string(out, key);
                out.push_str(if depth.is_some() { ": " } else { ":" });
                put_json(out, value, inner);
            }
            close(out, '}', depth.filter(|_| !object.is_empty()));
        }
    }
}

fn separate(out: &mut String, position: usize, depth: Option<usize>) {
    if position > 0 {
        out.push(',');
    }
    put_json_line(out, depth);
}

fn close(out: &mut String, bracket: char, depth: Option<usize>) {
    put_json_line(out, depth);
    out.push(bracket);
}

fn put_json_line(out: &mut String, depth: Option<usize>) {
    if let Some(depth) = depth {
        out.push('\n');
        (0..depth).for_each(|_| out.push_str("  "));
    }
}

/// Appends a string as Go's `json.Marshal` writes it: in quotes, with `<`, `>`, `&`, U+2028 and U+2029 escaped.
pub fn put_json_string(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x08' => out.push_str("\\b"),
            '\x0C' => out.push_str("\\f"),
            '\0'..='\x1F' | '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            _ => out.push(c),
        }
    }
    out.push('"');
}
