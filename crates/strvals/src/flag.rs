//! The flags of Helm's command line.

use serde_json::{Map, Value};

use crate::{
    FlagError, Limits, ReadFile, json, parse_into, parse_into_file, parse_into_json, parse_into_literal,
    parse_into_string,
};

/// A flag that assigns values.
///
/// Helm applies all of one flag before the next: value files, then in the order of this type, whatever their order on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flag {
    /// `--set-json`
    Json,
    /// `--set`
    Set,
    /// `--set-string`
    String,
    /// `--set-file`
    File,
    /// `--set-literal`
    Literal,
}

impl Flag {
    /// Assigns what one such flag says. `read` is for [`Flag::File`] alone.
    ///
    /// # Errors
    /// What Helm says. Some of the text may be assigned by then.
    pub fn apply(
        self,
        text: &str,
        values: &mut Map<String, Value>,
        read: &mut ReadFile<'_>,
        limits: &Limits,
    ) -> Result<(), FlagError> {
        match self {
            Self::Json => apply_json(text, values, limits),
            Self::Set => parse_into(text, values, limits).map_err(FlagError::Set),
            Self::String => parse_into_string(text, values, limits).map_err(FlagError::String),
            Self::File => parse_into_file(text, values, read, limits).map_err(FlagError::File),
            Self::Literal => parse_into_literal(text, values, limits).map_err(FlagError::Literal),
        }
    }
}

fn apply_json(text: &str, values: &mut Map<String, Value>, limits: &Limits) -> Result<(), FlagError> {
    let trimmed = text.trim();
    if trimmed.starts_with('{') {
        let object = json::object(trimmed, limits)
            .map_err(|cause| FlagError::JsonObject { text: text.to_owned(), cause })?;
        yaml::merge_values(values, object);
        return Ok(());
    }
    parse_into_json(text, values, limits).map_err(|cause| FlagError::Json { text: text.to_owned(), cause })
}
