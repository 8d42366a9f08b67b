//! YAML files merged as Helm merges values.

use serde_json::{Map, Value as Json};
use yaml::{Limits, Resolver};

/// Why two files cannot be merged.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MergeError {
    /// A file is too large.
    #[error("a file to merge exceeds the limit of {0} bytes")]
    Bytes(usize),
    /// A file is no text.
    #[error("cannot unmarshal YAML document: it is not UTF-8")]
    Encoding,
    /// A file is no YAML.
    #[error("cannot unmarshal YAML document: {0}")]
    Yaml(#[from] yaml::Error),
    /// A document holds something else than a mapping.
    #[error("cannot unmarshal YAML document: it is not a mapping")]
    NoMapping,
}

/// The text of `overlay` merged into `base`, with sorted keys. Each may have several documents, which are merged in their order.
pub(crate) fn merged(base: &[u8], overlay: &[u8], most_bytes: usize) -> Result<String, MergeError> {
    let mut values = read(base, most_bytes)?;
    yaml::merge_values(&mut values, read(overlay, most_bytes)?);
    Ok(yaml::json_to_yaml(&Json::Object(values)))
}

fn read(text: &[u8], most_bytes: usize) -> Result<Map<String, Json>, MergeError> {
    if text.len() > most_bytes {
        return Err(MergeError::Bytes(most_bytes));
    }
    let text = std::str::from_utf8(text).map_err(|_| MergeError::Encoding)?;
    let limits = Limits { bytes: most_bytes, ..Limits::default() };
    let mut values = Map::new();
    for document in yaml::parse(text, &limits)? {
        match document.to_json(Resolver::KubernetesV2)? {
            Json::Object(document) => yaml::merge_values(&mut values, document),
            Json::Null => {}
            _ => return Err(MergeError::NoMapping),
        }
    }
    Ok(values)
}
