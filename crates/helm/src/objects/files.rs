use std::fmt::{self, Debug, Formatter};
use std::sync::{Arc, OnceLock};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gotemplate::value::{List, Map, Object, Text, Type};
use gotemplate::{Context, Error, Function, Value};
use helm_chart::{Chart, File};

use super::glob::Glob;
use crate::convert::as_table;

const BYTES: Type = Type::Slice(&Type::Uint8);

/// `.Files`: what a chart has besides templates, values and metadata.
#[derive(Clone)]
pub(crate) struct Files {
    /// The root chart, and the way to the chart whose files these are; none if they are some of them.
    source: Option<(Arc<Chart>, Arc<[usize]>)>,
    /// The files by name, made when a template first asks for more than one by its name: they can be large, and most charts do not.
    table: OnceLock<Map>,
}

impl Files {
    pub(crate) fn new(root: &Arc<Chart>, place: &[usize]) -> Self {
        Self { source: Some((root.clone(), place.into())), table: OnceLock::new() }
    }

    fn of(table: Map) -> Self {
        Self { source: None, table: table.into() }
    }

    fn source(&self) -> &[File] {
        let Some((root, place)) = &self.source else { return &[] };
        let chart = place.iter().try_fold(root.as_ref(), |chart, index| chart.dependencies.get(*index));
        chart.map(|chart| chart.files.as_slice()).unwrap_or_default()
    }

    fn table(&self) -> &Map {
        self.table.get_or_init(|| {
            let bytes = |file: &File| Value::Bytes((&*file.data).into());
            Map::new(&BYTES, self.source().iter().map(|file| (file.name.as_str(), bytes(file))))
        })
    }

    fn content(&self, name: &Text) -> Text {
        if let Some(table) = self.table.get() {
            return match table.get(name) {
                Some(Value::Bytes(content)) => content,
                _ => Text::default(),
            };
        }
        // Of two files of one name the later counts.
        let found = self.source().iter().rfind(|file| file.name.as_bytes() == &**name);
        found.map(|file| (&*file.data).into()).unwrap_or_default()
    }

    fn glob(&self, context: &Context<'_>, pattern: &Text) -> Result<Value, Error> {
        let glob = Glob::new(pattern);
        let entries = self.table().entries();
        context.charge(entries.iter().map(|(name, _)| name.len() + size_of::<(Text, Value)>()).sum())?;
        let matching = entries.into_iter().filter(|(name, _)| glob.matches(name));
        Ok(Value::object(Self::of(Map::new(&BYTES, matching))))
    }

    /// A map from base names to contents, as `toYaml` writes it: nothing if it cannot.
    fn as_yaml(&self, context: &Context<'_>, shown: fn(&Text) -> Value) -> Result<Value, Error> {
        let entries = self.table().entries();
        // Base64 makes it longer.
        context.charge(entries.iter().map(|(name, value)| 2 * (name.len() + size(value))).sum())?;
        let contents = entries.iter().map(|(name, value)| match value {
            Value::Bytes(content) => (base_name(name), shown(content)),
            _ => (base_name(name), Value::from("")),
        });
        match sprig::to_yaml(context, &Value::Map(Map::new(&Type::String, contents))) {
            Ok(text) => {
                context.charge(text.len())?;
                Ok(text.strip_suffix('\n').unwrap_or(&text).into())
            }
            Err(Error::Function(_)) => Ok("".into()),
            Err(error) => Err(error),
        }
    }

    fn lines(&self, context: &Context<'_>, name: &Text) -> Result<Value, Error> {
        let content = self.content(name);
        if content.is_empty() {
            return Ok(Value::List(List::new(&Type::String, Vec::new())));
        }
        let lines = content.strip_suffix(b"\n").unwrap_or(&content).split(|byte| *byte == b'\n');
        let count = lines.clone().count();
        context.charge(content.len() + count * size_of::<Value>())?;
        Ok(Value::List(List::new(&Type::String, lines.map(|line| Value::String(line.into())).collect())))
    }
}

/// How many there are.
impl Debug for Files {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "engine.files of {}", self.table.get().map_or(self.source().len(), Map::len))
    }
}

fn size(value: &Value) -> usize {
    match value {
        Value::Bytes(content) => content.len(),
        _ => 0,
    }
}

fn base_name(name: &[u8]) -> &[u8] {
    name.rsplit(|byte| *byte == b'/').next().unwrap_or(name)
}

impl Object for Files {
    fn go_type(&self) -> &'static str {
        "engine.files"
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::Map(self.table().clone()))
    }

    fn with_underlying(&self, underlying: Value) -> Option<Value> {
        as_table(&underlying).map(|table| Value::object(Self::of(table)))
    }

    fn method(&self, name: &str) -> Option<Function> {
        let files = self.clone();
        let of_name = |result: Type, body: fn(&Files, &Context<'_>, &Text) -> Result<Value, Error>| {
            Function::new(&[Type::String], result, move |context, arguments| match arguments {
                [Value::String(name)] => body(&files, context, name),
                // The types were checked.
                _ => Ok(Value::Nil),
            })
        };
        let files = self.clone();
        Some(match name {
            "Get" => of_name(Type::String, |files, _, name| Ok(Value::String(files.content(name)))),
            "GetBytes" => of_name(BYTES, |files, _, name| Ok(Value::Bytes(files.content(name)))),
            "Glob" => of_name(Type::Named("engine.files"), Self::glob),
            "Lines" => of_name(Type::Slice(&Type::String), Self::lines),
            "AsConfig" => Function::new(&[], Type::String, move |context, _| {
                files.as_yaml(context, |content| Value::String(content.clone()))
            }),
            "AsSecrets" => Function::new(&[], Type::String, move |context, _| {
                files.as_yaml(context, |content| STANDARD.encode(&**content).into())
            }),
            _ => return None,
        })
    }
}
