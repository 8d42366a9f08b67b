//! Versions by the rules of Masterminds/semver.

use gotemplate::value::{Object, Text, Type};
use gotemplate::{Error, Function, Value};
use versions::Constraint;

use crate::call::Table;

const TEXT: Type = Type::String;
const VERSION: Type = Type::Named("*semver.Version");

/// The most bytes of a version.
const LONGEST: usize = 256;

pub(crate) fn add(table: &mut Table) {
    table.add("semver", &[TEXT], VERSION, |call| Ok(Value::object(Version::parse(call.text(0))?)));
    table.add("semverCompare", &[TEXT, TEXT], Type::Bool, |call| {
        let text = String::from_utf8_lossy(call.text(0));
        call.context.step(text.len())?;
        let constraint = Constraint::parse(&text).map_err(|error| Error::from(error.to_string()))?;
        Ok(constraint.matches(&Version::parse(call.text(1))?.version).into())
    });
}

/// What `semver` gives.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    version: versions::Version,
    pre_release: String,
    metadata: String,
    original: String,
    is_pointer: bool,
}

/// The copy of a version has none of its numbers: Go's library copies exported fields, and there are none.
pub(crate) fn copied(value: &Value) -> Option<Value> {
    let version: &Version = value.downcast()?;
    let zero = Version::parse(b"0.0.0").ok()?;
    Some(Value::object(Version { original: String::new(), is_pointer: version.is_pointer, ..zero }))
}

impl Version {
    fn parse(text: &[u8]) -> Result<Self, Error> {
        if text.len() > LONGEST {
            return Err(format!("version string is too long (max {LONGEST} bytes)").into());
        }
        let original = String::from_utf8_lossy(text).into_owned();
        let (before, metadata) = original.split_once('+').unwrap_or((&original, ""));
        let (core, pre_release) = before.split_once('-').unwrap_or((before, ""));
        let version = versions::Version::parse_loose(&original).ok_or_else(|| {
            // What a pre-release must not have is told, anything else is not.
            let has_leading_zero = |part: &str| {
                part.len() > 1 && part.starts_with('0') && part.bytes().all(|byte| byte.is_ascii_digit())
            };
            let is_else_good = versions::Version::parse_loose(core).is_some();
            match is_else_good && pre_release.split('.').any(has_leading_zero) {
                true => "version segment starts with 0",
                false => "invalid semantic version",
            }
        })?;
        Ok(Self {
            version,
            pre_release: pre_release.to_owned(),
            metadata: metadata.to_owned(),
            original: original.clone(),
            is_pointer: true,
        })
    }

    fn numbers(&self) -> [u64; 3] {
        [self.version.major(), self.version.minor(), self.version.patch()]
    }

    fn increased(&self, numbers: [u64; 3]) -> Self {
        let [major, minor, patch] = numbers;
        let text = format!("{major}.{minor}.{patch}");
        let prefix = if self.original.starts_with('v') { "v" } else { "" };
        Self {
            version: versions::Version::parse_loose(&text).unwrap_or_else(|| self.version.clone()),
            pre_release: String::new(),
            metadata: String::new(),
            original: format!("{prefix}{text}"),
            is_pointer: false,
        }
    }
}

impl Object for Version {
    fn go_type(&self) -> &'static str {
        if self.is_pointer { "*semver.Version" } else { "semver.Version" }
    }

    fn text(&self) -> Option<Text> {
        let metadata = if self.metadata.is_empty() { "" } else { "+" };
        Some(format!("{}{metadata}{}", self.version, self.metadata).into())
    }

    fn all_fields(&self) -> Vec<(&'static str, Value)> {
        let [major, minor, patch] = self.numbers().map(Value::Uint64);
        let [pre, metadata, original] =
            [&self.pre_release, &self.metadata, &self.original].map(|text| text.as_str().into());
        vec![
            ("major", major),
            ("minor", minor),
            ("patch", patch),
            ("pre", pre),
            ("metadata", metadata),
            ("original", original),
        ]
    }

    fn method(&self, name: &str) -> Option<Function> {
        let constant = |result: Type, value: Value| Function::new(&[], result, move |_, _| Ok(value.clone()));
        let [major, minor, patch] = self.numbers();
        let increased =
            |numbers| constant(Type::Named("semver.Version"), Value::object(self.increased(numbers)));
        let compare = |result: Type, to: fn(std::cmp::Ordering) -> Value| {
            let own = self.version.clone();
            Function::new(&[VERSION], result, move |_, values| {
                let other = values.first().and_then(Value::downcast::<Self>);
                Ok(to(own.cmp(&other.ok_or(crate::call::NIL_POINTER)?.version)))
            })
        };
        Some(match name {
            "Major" => constant(Type::Uint64, Value::Uint64(major)),
            "Minor" => constant(Type::Uint64, Value::Uint64(minor)),
            "Patch" => constant(Type::Uint64, Value::Uint64(patch)),
            "Prerelease" => constant(TEXT, self.pre_release.as_str().into()),
            "Metadata" => constant(TEXT, self.metadata.as_str().into()),
            "Original" => constant(TEXT, self.original.as_str().into()),
            "String" => constant(TEXT, self.text().unwrap_or_default().into()),
            "IncMajor" => increased([major.wrapping_add(1), 0, 0]),
            "IncMinor" => increased([major, minor.wrapping_add(1), 0]),
            // A pre-release comes before the version that it is of.
            "IncPatch" if self.pre_release.is_empty() => increased([major, minor, patch.wrapping_add(1)]),
            "IncPatch" => increased([major, minor, patch]),
            "Compare" => compare(Type::Int, |order| Value::Int(order as i64)),
            "Equal" => compare(Type::Bool, |order| order.is_eq().into()),
            "LessThan" => compare(Type::Bool, |order| order.is_lt().into()),
            "LessThanEqual" => compare(Type::Bool, |order| order.is_le().into()),
            "GreaterThan" => compare(Type::Bool, |order| order.is_gt().into()),
            "GreaterThanEqual" => compare(Type::Bool, |order| order.is_ge().into()),
            _ => return None,
        })
    }
}
