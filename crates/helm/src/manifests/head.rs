use helm_chart::{FieldError, Fields, document_of_fields};
use serde_json::{Map, Value};

/// What Go calls the type of `metadata`.
const METADATA: &str =
    r#"struct { Name string "json:\"name\""; Annotations map[string]string "json:\"annotations\"" }"#;

/// What Helm reads of a document.
#[derive(Debug, Default)]
pub(super) struct Head {
    pub api_version: String,
    pub kind: String,
    pub name: String,
    pub annotations: Map<String, Value>,
}

impl Head {
    /// What a document says, and how many nodes it takes.
    pub(super) fn read(document: &str) -> Result<(Self, usize), FieldError> {
        let (document, nodes) = document_of_fields(document.as_bytes(), &yaml::Limits::default())?;
        let mut head = Self::default();
        let Some(fields) = Fields::of(&document, "util.SimpleHead")? else { return Ok((head, nodes)) };
        fields.text("apiVersion", &mut head.api_version)?;
        fields.text("kind", &mut head.kind)?;
        if let Some(metadata) = fields.child("metadata", METADATA)? {
            metadata.text("name", &mut head.name)?;
            metadata.text_map("annotations", &mut head.annotations)?;
        }
        Ok((head, nodes))
    }

    pub(super) fn annotation(&self, name: &str) -> Option<&str> {
        self.annotations.get(name).and_then(Value::as_str)
    }
}
