//! YAML as Helm writes and reads it: `sigs.k8s.io/yaml`, and goyaml v3 for `toYamlPretty`.

use ::yaml::{Limits, Node, Resolver, Style as NodeStyle};
use gotemplate::value::Type;
use gotemplate::{Context, Error, Exhausted, Value};
use serde_json::Value as Json;

use crate::call::{Call, LIST, MAP, Table};
use crate::convert::items;
use crate::duration::Duration;
use crate::json::{self, Failure, Style};

const ANY: Type = Type::Any;
const TEXT: Type = Type::String;

/// How deep what becomes YAML may be: what the JSON reader between takes.
const DEPTH: usize = 127;

/// What a value takes as JSON and as YAML, as long as both are there.
const BYTES_PER_VALUE: usize = 256;

/// What a byte of YAML takes while it is read, and the most nodes that it may have.
const BYTES_PER_BYTE: usize = 8;
const MOST_NODES: usize = 500_000;

pub(crate) fn add(table: &mut Table) {
    for (name, raises) in [("toYaml", false), ("mustToYaml", true)] {
        table.add(name, &[ANY], TEXT, move |call| match encode(call, call.value(0)) {
            Ok(text) => call.string(without_line_end(&text)),
            Err(Error::Function(_)) if !raises => Ok("".into()),
            Err(error) => Err(error),
        });
    }
    table.add("toYamlPretty", &[ANY], TEXT, |call| match node(call, call.value(0), 0) {
        Ok(node) => call.string(without_line_end(&::yaml::emit_indented(&[node], 2))),
        Err(Error::Function(_)) => Ok("".into()),
        Err(error) => Err(error),
    });
    table.add("fromYaml", &[TEXT], MAP, |call| {
        let (value, failure, prefix) = decode(call, call.text(0))?;
        json::as_map(call, value, failure, prefix)
    });
    table.add("fromYamlArray", &[TEXT], LIST, |call| {
        let (value, failure, prefix) = decode(call, call.text(0))?;
        let value = if matches!(value, Value::Nil) { Value::list(Vec::new()) } else { value };
        json::as_list(call, value, failure, prefix)
    });
}

fn without_line_end(text: &str) -> &str {
    text.strip_suffix('\n').unwrap_or(text)
}

/// What `toYaml` makes of a value, with the line end.
///
/// # Errors
/// What `mustToYaml` says, or the budget is used up.
pub fn to_yaml(context: &Context<'_>, value: &Value) -> Result<String, Error> {
    encode(&Call { context, values: &[] }, value)
}

fn encode(call: &Call<'_>, value: &Value) -> Result<String, Error> {
    let json = json::encode(call, value, Style::Raw).map_err(|error| match error {
        Error::Function(message) => format!("error marshaling into JSON: {message}").into(),
        error => error,
    })?;
    // The trees between are there only now, but larger than the text.
    let values = 1 + json.bytes().filter(|byte| matches!(byte, b',' | b':' | b'[' | b'{')).count();
    let trees = json.len() + values * BYTES_PER_VALUE;
    call.context.charge(trees)?;
    if json.chars().any(::yaml::is_forbidden) {
        return Err("yaml: control characters are not allowed".into());
    }
    let has_breaks = json.contains(NEXT_LINE);
    let mut json = serde_json::from_str(&json).map_err(|_| Exhausted::Nesting(DEPTH))?;
    if has_breaks {
        fold(&mut json, &mut 0)?;
    }
    let text = ::yaml::json_to_yaml(&json);
    call.context.give_back(trees);
    Ok(text)
}

/// The one line break of YAML that JSON does not escape.
const NEXT_LINE: char = '\u{85}';

/// Folds lines as the reader of YAML does to whom Go gives the JSON. A key of several lines is none. `lines` are those before.
fn fold(json: &mut Json, lines: &mut usize) -> Result<(), Error> {
    match json {
        Json::String(text) if text.contains(NEXT_LINE) => {
            *lines += text.matches(NEXT_LINE).count();
            *text = folded(text);
        }
        Json::Array(items) => items.iter_mut().try_for_each(|item| fold(item, lines))?,
        Json::Object(entries) => {
            for (key, value) in entries {
                let breaks = key.matches(NEXT_LINE).count();
                *lines += breaks;
                if breaks > 0 {
                    return Err(format!("yaml: line {lines}: did not find expected ',' or '}}'").into());
                }
                fold(value, lines)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// One break is a space, and of more the first is nothing. Spaces around them are nothing, too.
fn folded(text: &str) -> String {
    let (mut out, mut rest) = (String::with_capacity(text.len()), text);
    while let Some((before, after)) = rest.split_once(NEXT_LINE) {
        out.push_str(before.trim_end_matches(' '));
        rest = after.trim_start_matches([' ', NEXT_LINE]);
        let between = after.get(..after.len() - rest.len()).unwrap_or_default();
        match between.matches(NEXT_LINE).count() {
            0 => out.push(' '),
            more => out.extend(std::iter::repeat_n('\n', more)),
        }
    }
    out + rest
}

/// The value of the first document. What is wrong with it, and what Helm says before that.
fn decode(call: &Call<'_>, text: &[u8]) -> Result<(Value, Option<Failure>, &'static str), Error> {
    const CONVERTING: &str = "error converting YAML to JSON: ";
    const DECODING: &str = "error unmarshaling JSON: while decoding JSON: ";
    let trees = text.len().saturating_mul(BYTES_PER_BYTE);
    call.context.charge(trees)?;
    let limits = Limits { nodes: MOST_NODES, alias_nodes: MOST_NODES, ..Limits::default() };
    let json = ::yaml::parse_v2(&String::from_utf8_lossy(text), &limits).and_then(|(document, nodes)| {
        let json = document.map(|node| node.to_json(Resolver::KubernetesV2)).transpose()?;
        Ok((json.unwrap_or_default(), nodes))
    });
    call.context.give_back(trees);
    match json {
        Ok((json, nodes)) => {
            call.context.charge(nodes.saturating_mul(2 * size_of::<Value>()))?;
            // Go reads the JSON that it made: all numbers are floats.
            let (value, failure) = json::decode(call, ::yaml::canonical_json(&json).as_bytes())?;
            Ok((value, failure, DECODING))
        }
        Err(error) => Ok((Value::Nil, Some(Failure(error.to_string())), CONVERTING)),
    }
}

/// A value as goyaml v3 takes it, without JSON between.
fn node(call: &Call<'_>, value: &Value, depth: usize) -> Result<Node, Error> {
    call.descend(depth)?;
    call.context.charge(size_of::<Node>())?;
    if depth > DEPTH {
        return Err(Exhausted::Nesting(DEPTH).into());
    }
    Ok(match value {
        Value::Nil => Node::null(),
        Value::Bool(value) => Node::bool(*value),
        Value::Int(value) | Value::Int64(value) => Node::integer(*value),
        Value::Uint8(value) => Node::integer((*value).into()),
        Value::Uint64(value) => Node::plain(value.to_string()),
        Value::Float64(value) => Node::plain(::yaml::yaml_float(*value)),
        Value::Complex128(..) => return Err("cannot marshal type: complex128".into()),
        Value::String(text) => {
            call.context.charge(text.len())?;
            let text = text.to_str();
            let mut node = Node::string(&text);
            if text.contains('\n') {
                node.set_style(NodeStyle::Literal);
            }
            node
        }
        Value::Bytes(_) => {
            let items = items(value).unwrap_or_default();
            Node::sequence_of(
                items.iter().map(|item| node(call, item, depth + 1)).collect::<Result<Vec<_>, _>>()?,
            )
        }
        Value::List(list) => Node::sequence_of(
            list.iter().map(|item| node(call, item, depth + 1)).collect::<Result<Vec<_>, _>>()?,
        ),
        Value::Map(map) => {
            let entries = map.entries().into_iter();
            let entries: Vec<_> = entries.map(|(key, value)| (key.to_string(), value)).collect();
            let mut sorted: Vec<_> = entries.iter().map(|(key, value)| (key, value)).collect();
            ::yaml::sort_keys_of_v3(&mut sorted);
            let entries = sorted.into_iter().map(|(key, value)| Ok((key, node(call, value, depth + 1)?)));
            Node::mapping_of(entries.collect::<Result<Vec<_>, Error>>()?)
        }
        // As goyaml writes one, where JSON has a number.
        Value::Object(object) if value.downcast::<Duration>().is_some() => {
            Node::plain(object.text().unwrap_or_default().to_str())
        }
        Value::Object(object) => match (json::json_text(value), object.underlying()) {
            (Some(text), _) => Node::plain(text.to_str()),
            (None, Some(underlying)) => node(call, &underlying, depth + 1)?,
            (None, None) => {
                let fields = object.fields().into_iter();
                let entries =
                    fields.map(|(name, value)| Ok((name.to_lowercase(), node(call, &value, depth + 1)?)));
                Node::mapping_of(entries.collect::<Result<Vec<_>, Error>>()?)
            }
        },
    })
}
