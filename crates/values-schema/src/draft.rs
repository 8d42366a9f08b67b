//! The drafts of JSON Schema.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use crate::document::{Json, read};
use crate::limits::{Limits, Meter};
use crate::pointer;

/// A draft that a schema is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Draft {
    V4,
    V6,
    V7,
    V2019,
    V2020,
}

/// Where a subschema can be within a schema.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Position {
    /// The value of a keyword.
    Value(&'static str),
    /// Each item of its value.
    Items(&'static str),
    /// Each entry of its value.
    Entries(&'static str),
}

use Position::{Entries, Items, Value};

const POSITIONS: [(Draft, &[Position]); 5] = [
    (
        Draft::V4,
        &[
            Entries("definitions"),
            Value("not"),
            Items("allOf"),
            Items("anyOf"),
            Items("oneOf"),
            Entries("properties"),
            Value("additionalProperties"),
            Entries("patternProperties"),
            Value("items"),
            Items("items"),
            Value("additionalItems"),
            Entries("dependencies"),
        ],
    ),
    (Draft::V6, &[Value("propertyNames"), Value("contains")]),
    (Draft::V7, &[Value("if"), Value("then"), Value("else")]),
    (
        Draft::V2019,
        &[
            Entries("$defs"),
            Entries("dependentSchemas"),
            Value("unevaluatedProperties"),
            Value("unevaluatedItems"),
            Value("contentSchema"),
        ],
    ),
    (Draft::V2020, &[Items("prefixItems")]),
];

impl Draft {
    pub(crate) const ALL: [Self; 5] = [Self::V4, Self::V6, Self::V7, Self::V2019, Self::V2020];

    pub(crate) fn url(self) -> &'static str {
        match self {
            Self::V4 => "http://json-schema.org/draft-04/schema",
            Self::V6 => "http://json-schema.org/draft-06/schema",
            Self::V7 => "http://json-schema.org/draft-07/schema",
            Self::V2019 => "https://json-schema.org/draft/2019-09/schema",
            Self::V2020 => "https://json-schema.org/draft/2020-12/schema",
        }
    }

    /// The draft that `$schema` names.
    pub(crate) fn of_url(url: &str) -> Option<Self> {
        let (url, fragment) = pointer::split(url);
        if !fragment.is_empty() {
            return None;
        }
        match url.strip_prefix("http://").or_else(|| url.strip_prefix("https://")).unwrap_or(url) {
            "json-schema.org/schema" | "json-schema.org/draft/2020-12/schema" => Some(Self::V2020),
            "json-schema.org/draft/2019-09/schema" => Some(Self::V2019),
            "json-schema.org/draft-07/schema" => Some(Self::V7),
            "json-schema.org/draft-06/schema" => Some(Self::V6),
            "json-schema.org/draft-04/schema" => Some(Self::V4),
            _ => None,
        }
    }

    pub(crate) fn id_keyword(self) -> &'static str {
        if self == Self::V4 { "id" } else { "$id" }
    }

    /// The `$id` of a schema, without what follows `#`; empty if there is none.
    pub(crate) fn id(self, schema: &Json) -> &str {
        // Beside a `$ref`, nothing else counts in older drafts.
        if self < Self::V2019 && schema.get("$ref").is_some() {
            return "";
        }
        schema.string(self.id_keyword()).map_or("", |id| pointer::split(id).0)
    }

    /// The subschemas of a schema and the pointers to them.
    pub(crate) fn subschemas<'j>(self, schema: &'j Json, at: &str) -> Vec<(String, &'j Json)> {
        let mut found = Vec::new();
        for (since, positions) in &POSITIONS {
            if *since > self {
                break;
            }
            for position in *positions {
                match position {
                    Value(keyword) => {
                        found.extend(schema.get(keyword).map(|value| (pointer::join(at, &[keyword]), value)));
                    }
                    Items(keyword) => {
                        let items = schema.array(keyword).unwrap_or_default().iter().enumerate();
                        found.extend(
                            items.map(|(index, item)| {
                                (pointer::join(at, &[keyword, &index.to_string()]), item)
                            }),
                        );
                    }
                    Entries(keyword) => {
                        let entries = schema.object(keyword).into_iter().flatten();
                        found.extend(
                            entries.map(|(key, value)| (pointer::join(at, &[keyword, key.as_str()]), value)),
                        );
                    }
                }
            }
        }
        found
    }

    fn vocabulary_prefix(self) -> &'static str {
        if self == Self::V2019 {
            "https://json-schema.org/draft/2019-09/vocab/"
        } else {
            "https://json-schema.org/draft/2020-12/vocab/"
        }
    }

    /// The names of all vocabularies.
    pub(crate) fn vocabularies(self) -> &'static [&'static str] {
        match self {
            Self::V4 | Self::V6 | Self::V7 => &[],
            Self::V2019 => &["core", "applicator", "validation", "meta-data", "format", "content"],
            Self::V2020 => &[
                "core",
                "applicator",
                "unevaluated",
                "validation",
                "meta-data",
                "format-annotation",
                "format-assertion",
                "content",
            ],
        }
    }

    /// The vocabularies that a metaschema of its own asks for; `None` where it does not say.
    pub(crate) fn required_vocabularies(
        self,
        url: &str,
        metaschema: &Json,
    ) -> Result<Option<Vec<&'static str>>, String> {
        let Some(vocabularies) = metaschema.object("$vocabulary").filter(|_| self >= Self::V2019) else {
            return Ok(None);
        };
        let mut names = Vec::new();
        for (vocabulary, required) in vocabularies {
            if *required != Json::Bool(true) {
                continue;
            }
            let name = vocabulary.strip_prefix(self.vocabulary_prefix());
            match self.vocabularies().iter().find(|known| Some(**known) == name) {
                Some(known) => names.push(*known),
                None => {
                    let (vocabulary, url) = (pointer::quoted(vocabulary), pointer::quoted(url));
                    return Err(format!("unsupported vocabulary {vocabulary} in {url}"));
                }
            }
        }
        if !names.contains(&"core") {
            names.push("core");
        }
        Ok(Some(names))
    }
}

/// The address below `json-schema.org` of each metaschema, and its text.
const METASCHEMAS: [(&str, &str); 19] = [
    ("draft-04/schema", include_str!("../metaschemas/draft-04/schema.json")),
    ("draft-06/schema", include_str!("../metaschemas/draft-06/schema.json")),
    ("draft-07/schema", include_str!("../metaschemas/draft-07/schema.json")),
    ("draft/2019-09/schema", include_str!("../metaschemas/draft/2019-09/schema.json")),
    ("draft/2019-09/meta/core", include_str!("../metaschemas/draft/2019-09/meta/core.json")),
    ("draft/2019-09/meta/applicator", include_str!("../metaschemas/draft/2019-09/meta/applicator.json")),
    ("draft/2019-09/meta/validation", include_str!("../metaschemas/draft/2019-09/meta/validation.json")),
    ("draft/2019-09/meta/meta-data", include_str!("../metaschemas/draft/2019-09/meta/meta-data.json")),
    ("draft/2019-09/meta/format", include_str!("../metaschemas/draft/2019-09/meta/format.json")),
    ("draft/2019-09/meta/content", include_str!("../metaschemas/draft/2019-09/meta/content.json")),
    ("draft/2020-12/schema", include_str!("../metaschemas/draft/2020-12/schema.json")),
    ("draft/2020-12/meta/core", include_str!("../metaschemas/draft/2020-12/meta/core.json")),
    ("draft/2020-12/meta/applicator", include_str!("../metaschemas/draft/2020-12/meta/applicator.json")),
    ("draft/2020-12/meta/unevaluated", include_str!("../metaschemas/draft/2020-12/meta/unevaluated.json")),
    ("draft/2020-12/meta/validation", include_str!("../metaschemas/draft/2020-12/meta/validation.json")),
    ("draft/2020-12/meta/meta-data", include_str!("../metaschemas/draft/2020-12/meta/meta-data.json")),
    (
        "draft/2020-12/meta/format-annotation",
        include_str!("../metaschemas/draft/2020-12/meta/format-annotation.json"),
    ),
    (
        "draft/2020-12/meta/format-assertion",
        include_str!("../metaschemas/draft/2020-12/meta/format-assertion.json"),
    ),
    ("draft/2020-12/meta/content", include_str!("../metaschemas/draft/2020-12/meta/content.json")),
];

static DOCUMENTS: LazyLock<BTreeMap<&'static str, Json>> = LazyLock::new(|| {
    let limits = Limits::default();
    let read = |text: &str| read(text.as_bytes(), &Meter::new(&limits)).ok();
    METASCHEMAS.iter().filter_map(|(path, text)| Some((*path, read(text)?))).collect()
});

/// The metaschema at an address.
pub(crate) fn metaschema(url: &str) -> Option<&'static Json> {
    let path = url
        .strip_prefix("http://json-schema.org/")
        .or_else(|| url.strip_prefix("https://json-schema.org/"))?;
    DOCUMENTS.get(if path == "schema" { "draft/2020-12/schema" } else { path })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_metaschemas_are_there() {
        assert_eq!(DOCUMENTS.len(), METASCHEMAS.len());
        for draft in Draft::ALL {
            assert!(metaschema(draft.url()).is_some(), "{draft:?}");
            assert_eq!(Draft::of_url(draft.url()), Some(draft));
        }
    }
}
