//! YAML into Rust types by the rules of Go's `encoding/json`: keys match whatever their case, null leaves the default.

use serde::de::value::StrDeserializer;
use serde::de::{self, DeserializeOwned, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde::forward_to_deserialize_any;
use yaml::{Node, Resolved, Resolver, Value};

use crate::error::{Error, Result};
use crate::meter::Meter;

/// How exact the input must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A key that the type does not have is an error, and so is a number where a string is expected.
    Strict,
    /// Unknown keys are skipped, scalars become strings where one is expected.
    Lenient,
}

/// Reads the first document of a text. No document gives the type's value for null.
pub(crate) fn from_text<T: DeserializeOwned + Default>(
    text: &str,
    mode: Mode,
    meter: &Meter<'_>,
) -> Result<T> {
    match meter.parse(text)?.first() {
        Some(node) => from_node(node, mode),
        None => Ok(T::default()),
    }
}

/// Reads a node.
pub(crate) fn from_node<T: DeserializeOwned + Default>(node: &Node, mode: Mode) -> Result<T> {
    if node.is_null() {
        return Ok(T::default());
    }
    T::deserialize(Reader { node, mode }).map_err(|fault| Error::Invalid(fault.to_string()))
}

/// A fault with the place it was found at.
#[derive(Debug)]
struct Fault {
    line: u32,
    message: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => f.write_str(&self.message),
            line => write!(f, "line {line}: {}", self.message),
        }
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self { line: 0, message: message.to_string() }
    }
}

#[derive(Clone, Copy)]
struct Reader<'a> {
    node: &'a Node,
    mode: Mode,
}

impl<'a> Reader<'a> {
    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault { line: self.node.line(), message: message.into() }
    }

    /// Adds the place to a fault that has none.
    fn located<T>(&self, result: std::result::Result<T, Fault>) -> std::result::Result<T, Fault> {
        result.map_err(|fault| match fault.line {
            0 => Fault { line: self.node.line(), ..fault },
            _ => fault,
        })
    }

    fn resolve(&self) -> std::result::Result<Option<Resolved<'a>>, Fault> {
        self.node.resolve(Resolver::KubernetesV2).map_err(|error| self.fault(error.to_string()))
    }
}

/// Go's text of a scalar that stands where a string is expected.
fn scalar_text(scalar: &Resolved<'_>) -> String {
    match scalar {
        Resolved::Null => String::new(),
        Resolved::Bool(value) => value.to_string(),
        Resolved::Int(value) => value.to_string(),
        Resolved::Uint(value) => value.to_string(),
        Resolved::Float(value) => serde_json::Number::from_f64(*value)
            .map_or_else(String::new, |number| yaml::canonical_json(&number.into())),
        Resolved::Timestamp(text) => text.clone(),
        Resolved::String(text) => text.to_string(),
    }
}

impl<'de> de::Deserializer<'de> for Reader<'_> {
    type Error = Fault;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Fault> {
        let result = match self.node.value() {
            Value::Sequence(items) => visitor.visit_seq(Items { items: items.iter(), mode: self.mode }),
            Value::Mapping(_) => visitor.visit_map(Entries::of_map(self)),
            Value::Scalar(_) | Value::Alias(_) => match self.resolve()? {
                None | Some(Resolved::Null) => visitor.visit_unit(),
                Some(Resolved::Bool(value)) => visitor.visit_bool(value),
                Some(Resolved::Int(value)) => visitor.visit_i64(value),
                Some(Resolved::Uint(value)) => visitor.visit_u64(value),
                Some(Resolved::Float(value)) => visitor.visit_f64(value),
                Some(Resolved::Timestamp(text)) => visitor.visit_string(text),
                Some(Resolved::String(text)) => visitor.visit_str(&text),
            },
        };
        self.located(result)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Fault> {
        match self.resolve()? {
            Some(Resolved::Null) => visitor.visit_str(""),
            Some(scalar) if self.mode == Mode::Lenient => visitor.visit_string(scalar_text(&scalar)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Fault> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Fault> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Fault> {
        if self.node.is_null() {
            return visitor.visit_seq(Items { items: [].iter(), mode: self.mode });
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> std::result::Result<V::Value, Fault> {
        if self.node.is_null() {
            return visitor.visit_map(Entries::of_map(self));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> std::result::Result<V::Value, Fault> {
        if !self.node.is_mapping() && !self.node.is_null() {
            return Err(self.fault(format!("expected a mapping with any of the keys {}", fields.join(", "))));
        }
        self.located(visitor.visit_map(Entries::of_struct(self, fields)?))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> std::result::Result<V::Value, Fault> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char bytes byte_buf unit unit_struct
        tuple tuple_struct enum identifier ignored_any
    }
}

struct Items<'a> {
    items: std::slice::Iter<'a, Node>,
    mode: Mode,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Fault;

    fn next_element_seed<T: DeserializeSeed<'de>>(
        &mut self,
        seed: T,
    ) -> std::result::Result<Option<T::Value>, Fault> {
        self.items.next().map(|node| seed.deserialize(Reader { node, mode: self.mode })).transpose()
    }
}

/// What a mapping holds for the type that is read: pairs of key and value still to come.
struct Entries<'a> {
    pairs: std::vec::IntoIter<(&'a str, &'a Node)>,
    mode: Mode,
    value: Option<&'a Node>,
}

impl<'a> Entries<'a> {
    /// All entries, for a map that takes any key.
    fn of_map(reader: Reader<'a>) -> Self {
        let pairs =
            reader.node.entries().iter().map(|(key, value)| (key.as_str().unwrap_or_default(), value));
        Self { pairs: pairs.collect::<Vec<_>>().into_iter(), mode: reader.mode, value: None }
    }

    /// The entries that are fields of a struct; the last of several of one name counts, null counts as absent.
    fn of_struct(reader: Reader<'a>, fields: &'static [&'static str]) -> std::result::Result<Self, Fault> {
        let mut pairs: Vec<(&str, &Node)> = Vec::new();
        for (key, value) in reader.node.entries() {
            let text = key.as_str().unwrap_or_default();
            let known = fields
                .iter()
                .find(|field| **field == text)
                .or_else(|| fields.iter().find(|field| field.eq_ignore_ascii_case(text)));
            let Some(field) = known else {
                if reader.mode == Mode::Strict {
                    return Err(Fault {
                        line: key.line(),
                        message: format!("json: unknown field \"{text}\""),
                    });
                }
                continue;
            };
            pairs.retain(|(name, _)| name != field);
            if !value.is_null() {
                pairs.push((field, value));
            }
        }
        Ok(Self { pairs: pairs.into_iter(), mode: reader.mode, value: None })
    }
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Fault;

    fn next_key_seed<K: DeserializeSeed<'de>>(
        &mut self,
        seed: K,
    ) -> std::result::Result<Option<K::Value>, Fault> {
        let Some((key, value)) = self.pairs.next() else { return Ok(None) };
        self.value = Some(value);
        seed.deserialize(StrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> std::result::Result<V::Value, Fault> {
        match self.value.take() {
            Some(node) => seed.deserialize(Reader { node, mode: self.mode }),
            None => Err(de::Error::custom("a value was read before its key")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::collections::BTreeMap;

    use serde::Deserialize;

    use super::*;
    use crate::meter::default_meter;

    #[derive(Debug, Default, PartialEq, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Sample {
        name_prefix: String,
        count: i64,
        pairs: BTreeMap<String, String>,
        list: Vec<String>,
    }

    fn read(text: &str, mode: Mode) -> Result<Sample> {
        from_text(text, mode, &default_meter())
    }

    #[test]
    fn keys_match_whatever_their_case_and_null_is_the_default() {
        let sample = read("NamePrefix: a\ncount:\nlist: ~\n", Mode::Strict).unwrap();
        assert_eq!(sample, Sample { name_prefix: "a".into(), ..Sample::default() });
    }

    #[test]
    fn an_unknown_key_is_an_error_with_its_line_only_when_strict() {
        let error = read("count: 1\nnope: 2\n", Mode::Strict).unwrap_err();
        assert_eq!(error.to_string(), "line 2: json: unknown field \"nope\"");
        assert_eq!(read("count: 1\nnope: 2\n", Mode::Lenient).unwrap().count, 1);
    }

    #[test]
    fn the_last_of_several_equal_keys_counts() {
        assert_eq!(read("count: 1\nCount: 2\ncount: 3\n", Mode::Strict).unwrap().count, 3);
    }

    #[test]
    fn a_number_is_a_string_only_when_lenient() {
        assert!(read("pairs: {a: 1}\n", Mode::Strict).unwrap_err().to_string().contains("string"));
        let sample = read("pairs: {a: 1, b: yes, c: 1.50}\n", Mode::Lenient).unwrap();
        assert_eq!(sample.pairs.into_values().collect::<Vec<_>>(), ["1", "true", "1.5"]);
    }
}
