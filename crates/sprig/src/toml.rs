//! TOML in the layout of BurntSushi's encoder.

use std::borrow::Cow;
use std::ops::Range;

use ::toml::Spanned;
use ::toml::de::{DeTable, DeValue};
use ::toml::value::Datetime;
use gotemplate::value::{List, Text, Type};
use gotemplate::{Error, Value};

use crate::call::{Call, MAP, Table};
use crate::convert::items;
use crate::json::json_text;
use crate::time::Time;

const TEXT: Type = Type::String;

/// Names of the zones of what TOML calls local.
const LOCAL_DATE_TIME: &str = "datetime-local";
const LOCAL_DATE: &str = "date-local";
const LOCAL_TIME: &str = "time-local";

pub(crate) fn add(table: &mut Table) {
    for (name, raises) in [("toToml", false), ("mustToToml", true)] {
        table.add(name, &[Type::Any], TEXT, move |call| {
            if matches!(call.value(0), Value::Nil) {
                return Err("reflect: call of reflect.Value.Type on zero Value".into());
            }
            let mut encoder = Encoder { call, out: Vec::new(), charged: 0 };
            match encoder.encode(&[], call.value(0), 0) {
                Ok(()) => {
                    encoder.charge()?;
                    Ok(Value::String(encoder.out.into()))
                }
                // The text of an error takes the place of what was to be written.
                Err(Error::Function(message)) if !raises => call.string(message),
                Err(error) => Err(error),
            }
        });
    }
    table.add("fromToml", &[TEXT], MAP, |call| {
        let text = String::from_utf8_lossy(call.text(0));
        // The tree between is there only now.
        let tree = text.len().saturating_mul(4 * size_of::<Value>());
        call.context.charge(tree)?;
        let parsed = DeTable::parse(&text).map_err(|error| (error.span(), error.message().to_owned()));
        let decoded = parsed.and_then(|table| entries(table.into_inner()));
        call.context.give_back(tree - text.len() * size_of::<Value>());
        decoded.or_else(|(span, message)| {
            let before = span.and_then(|span| text.get(..span.start)).unwrap_or_default();
            let line = 1 + before.matches('\n').count();
            call.entries(&Type::Any, vec![("Error".into(), format!("toml: line {line}: {message}").into())])
        })
    });
}

/// Where a text is bad, and why.
type Fault = (Option<Range<usize>>, String);

fn entries(table: DeTable<'_>) -> Result<Value, Fault> {
    let entry =
        |(key, value): (Spanned<Cow<'_, str>>, _)| Ok((key.into_inner().into_owned(), decoded(value)?));
    Ok(Value::map(table.into_iter().map(entry).collect::<Result<Vec<_>, _>>()?))
}

fn decoded(value: Spanned<DeValue<'_>>) -> Result<Value, Fault> {
    let span = value.span();
    Ok(match value.into_inner() {
        DeValue::String(text) => text.into_owned().into(),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(value) => Value::Int64(value),
            Err(error) => return Err((Some(span), error.to_string())),
        },
        DeValue::Float(number) => match number.as_str().parse::<f64>() {
            Ok(value) => value.into(),
            Err(error) => return Err((Some(span), error.to_string())),
        },
        DeValue::Boolean(value) => value.into(),
        DeValue::Datetime(time) => Value::object(date_time(&time)),
        DeValue::Array(items) => {
            // The tables of `[[name]]` begin where their array does; within brackets nothing does.
            let are_tables = items.first().is_some_and(|first| first.span() == span);
            let element = if are_tables { &MAP } else { &Type::Any };
            Value::List(List::new(element, items.into_iter().map(decoded).collect::<Result<_, _>>()?))
        }
        DeValue::Table(table) => entries(table)?,
    })
}

/// Parts that are not there are zero. Go's reader has zones of its own for what has none.
fn date_time(value: &Datetime) -> Time {
    let (layout, zone): (&[u8], _) = match (value.date, value.time, value.offset) {
        (_, _, Some(_)) => (b"2006-01-02T15:04:05Z07:00", None),
        (Some(_), Some(_), None) => (b"2006-01-02T15:04:05", Some(LOCAL_DATE_TIME)),
        (Some(_), None, None) => (b"2006-01-02", Some(LOCAL_DATE)),
        (None, ..) => (b"15:04:05", Some(LOCAL_TIME)),
    };
    let time = crate::layout::parse(layout, value.to_string().as_bytes()).unwrap_or_else(|_| Time::zero());
    Time { zone: zone.map_or_else(|| time.zone.clone(), str::to_owned), ..time }
}

type Entries = Vec<(Text, Value)>;

struct Encoder<'c> {
    call: &'c Call<'c>,
    out: Vec<u8>,
    charged: usize,
}

/// What a value is in TOML.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Plain,
    Table,
    Tables,
}

impl Encoder<'_> {
    fn charge(&mut self) -> Result<(), Error> {
        self.call.context.charge(self.out.len() - self.charged)?;
        self.charged = self.out.len();
        Ok(())
    }

    fn write(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn shape(&self, value: &Value, depth: usize) -> Result<Shape, Error> {
        self.call.descend(depth)?;
        Ok(match value {
            value if value.is_nil() => Shape::Plain,
            Value::Map(_) => Shape::Table,
            Value::List(list) => {
                let mut all_tables = !list.is_empty();
                for item in list.iter() {
                    self.call.context.step(1)?;
                    if item.is_nil() {
                        return Err("toml: cannot encode array with nil element".into());
                    }
                    // Nothing within lists of lists is found here, too.
                    if let Value::List(_) = item {
                        self.shape(item, depth + 1)?;
                    }
                    all_tables &= table_of(item).is_some();
                }
                if all_tables { Shape::Tables } else { Shape::Plain }
            }
            Value::Complex128(..) => return Err("unsupported type: complex128".into()),
            value if table_of(value).is_some() => Shape::Table,
            _ => Shape::Plain,
        })
    }

    /// An entry, or the whole document if the key is empty.
    fn encode(&mut self, key: &[Text], value: &Value, depth: usize) -> Result<(), Error> {
        self.call.descend(depth)?;
        self.charge()?;
        match self.shape(value, depth)? {
            Shape::Plain if matches!(value, Value::Map(_)) => Ok(()),
            Shape::Plain => self.assignment(key, value, depth),
            Shape::Table => {
                if key.len() == 1 {
                    self.line_end();
                }
                if !key.is_empty() {
                    self.header(key, "[", "]");
                }
                self.table(key, table_of(value).unwrap_or_default(), depth)
            }
            Shape::Tables => {
                if key.is_empty() {
                    return Err("toml: top-level values must be Go maps or structs".into());
                }
                for item in items(value).unwrap_or_default() {
                    self.line_end();
                    self.header(key, "[[", "]]");
                    self.table(key, table_of(&item).unwrap_or_default(), depth)?;
                }
                Ok(())
            }
        }
    }

    /// Ends a line, unless nothing was written yet.
    fn line_end(&mut self) {
        if !self.out.is_empty() {
            self.out.push(b'\n');
        }
    }

    fn indent(&mut self, key: &[Text]) {
        let columns = key.len().saturating_sub(1) * 2;
        self.out.resize(self.out.len() + columns, b' ');
    }

    fn header(&mut self, key: &[Text], open: &str, close: &str) {
        self.indent(key);
        self.write(open);
        for (index, part) in key.iter().enumerate() {
            if index > 0 {
                self.out.push(b'.');
            }
            self.key(part);
        }
        self.write(close);
        self.line_end();
    }

    fn assignment(&mut self, key: &[Text], value: &Value, depth: usize) -> Result<(), Error> {
        let Some(name) = key.last() else { return self.element(value, depth) };
        self.indent(key);
        self.key(name);
        self.write(" = ");
        self.element(value, depth)?;
        self.line_end();
        Ok(())
    }

    /// Entries that are no tables come first: what follows a header belongs to it.
    fn table(&mut self, key: &[Text], entries: Entries, depth: usize) -> Result<(), Error> {
        // Each level repeats the keys above it.
        self.call.context.step(key.len())?;
        for (name, value) in self.ordered(entries, depth)?.0 {
            let key: Vec<Text> = key.iter().cloned().chain([name]).collect();
            self.encode(&key, &value, depth + 1)?;
        }
        Ok(())
    }

    /// Entries without those of `nil`, and whether a comma follows each where they stand inline.
    fn ordered(&self, entries: Entries, depth: usize) -> Result<(Entries, Vec<bool>), Error> {
        let (mut plain, mut tables) = (Vec::new(), Vec::new());
        for (key, value) in entries {
            let is_table = self.shape(&value, depth)? != Shape::Plain;
            if is_table { &mut tables } else { &mut plain }.push((key, value));
        }
        // Go counts those of `nil`, too.
        let (plains, count) = (plain.len(), plain.len() + tables.len());
        let commas = (0..count).map(|index| {
            if index < plains { index + 1 < plains || count > plains } else { index + 1 < count }
        });
        let entries = plain.into_iter().chain(tables).zip(commas);
        Ok(entries.filter(|((_, value), _)| !value.is_nil()).unzip())
    }

    fn element(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.call.descend(depth)?;
        self.charge()?;
        match value {
            Value::String(text) => self.quoted(text),
            Value::Bool(value) => self.write(if *value { "true" } else { "false" }),
            Value::Int(value) | Value::Int64(value) => self.write(&value.to_string()),
            Value::Uint8(value) => self.write(&value.to_string()),
            Value::Uint64(value) => self.write(&value.to_string()),
            Value::Float64(value) => self.write(&float(*value)),
            Value::List(_) | Value::Bytes(_) => {
                self.out.push(b'[');
                for (index, item) in items(value).unwrap_or_default().iter().enumerate() {
                    if index > 0 {
                        self.write(", ");
                    }
                    self.element(item, depth + 1)?;
                }
                self.out.push(b']');
            }
            Value::Object(object) => match (Time::of(value), json_text(value), object.underlying()) {
                (Some(time), ..) => self.out.extend(match time.zone.as_str() {
                    LOCAL_DATE_TIME => time.format(b"2006-01-02T15:04:05.999999999"),
                    LOCAL_DATE => time.format(b"2006-01-02"),
                    LOCAL_TIME => time.format(b"15:04:05.999999999"),
                    _ => time.rfc3339(),
                }),
                (None, Some(text), _) => self.quoted(&text),
                (None, None, Some(_)) if object.go_type() == "time.Duration" => {
                    self.quoted(&object.text().unwrap_or_default());
                }
                (None, None, Some(underlying)) => self.element(&underlying, depth + 1)?,
                (None, None, None) => self.inline(value, depth)?,
            },
            Value::Map(_) => self.inline(value, depth)?,
            Value::Nil | Value::Complex128(..) => {
                let kind = value.kind();
                return Err(format!("unexpected type: {kind}").into());
            }
        }
        Ok(())
    }

    fn inline(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        self.out.push(b'{');
        let (entries, commas) = self.ordered(table_of(value).unwrap_or_default(), depth)?;
        for ((key, value), has_comma) in entries.iter().zip(commas) {
            self.key(key);
            self.write(" = ");
            self.element(value, depth + 1)?;
            if has_comma {
                self.write(", ");
            }
        }
        self.out.push(b'}');
        Ok(())
    }

    fn key(&mut self, key: &[u8]) {
        let is_bare =
            !key.is_empty() && key.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'));
        if is_bare { self.out.extend_from_slice(key) } else { self.quoted(key) }
    }

    fn quoted(&mut self, text: &[u8]) {
        self.out.push(b'"');
        for byte in text {
            match byte {
                b'"' => self.write(r#"\""#),
                b'\\' => self.write(r"\\"),
                b'\x08' => self.write(r"\b"),
                b'\t' => self.write(r"\t"),
                b'\n' => self.write(r"\n"),
                b'\x0c' => self.write(r"\f"),
                b'\r' => self.write(r"\r"),
                0..=0x1f | 0x7f => self.write(&format!("\\u{byte:04x}")),
                byte => self.out.push(*byte),
            }
        }
        self.out.push(b'"');
    }
}

/// The entries of a map or a struct.
fn table_of(value: &Value) -> Option<Entries> {
    match value {
        Value::Map(map) => Some(map.entries()),
        Value::Object(object) if json_text(value).is_none() => match object.underlying() {
            Some(underlying) => table_of(&underlying),
            None => Some(object.fields().into_iter().map(|(name, value)| (name.into(), value)).collect()),
        },
        _ => None,
    }
}

fn float(value: f64) -> String {
    if value.is_nan() {
        return "nan".to_owned();
    }
    if value.is_infinite() {
        return if value < 0.0 { "-inf" } else { "inf" }.to_owned();
    }
    let text = strconv::format_float(value, 'g', None);
    if text.contains(['e', '.']) { text } else { format!("{text}.0") }
}
