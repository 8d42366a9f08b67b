use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

/// A moment as Go writes it: RFC 3339, with the offset of who wrote it and as many digits as there are.
///
/// It is kept as Go writes it, so that what was read is written again unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Time(String);

impl Time {
    /// A moment, in UTC.
    pub fn new(time: Timestamp) -> Self {
        Self(time.to_string())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The moment; `None` if the text is none.
    pub fn timestamp(&self) -> Option<Timestamp> {
        self.0.parse().ok()
    }

    /// Reads a field: Helm 3 wrote an empty text for no time, and Go's zero time is none either.
    pub(crate) fn field<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Self>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        let text = text.filter(|text| !text.is_empty() && !text.starts_with("0001-01-01T00:00:00"));
        Ok(text.map(|text| Self(as_go(&text))))
    }
}

/// Go ends a fraction with its last digit that is not 0, and has a letter for UTC.
fn as_go(text: &str) -> String {
    let begin = text.find(['Z', '+']).or_else(|| text.rfind('-'));
    let (local, offset) = text.split_at(begin.unwrap_or(text.len()));
    let local = if local.contains('.') { local.trim_end_matches('0').trim_end_matches('.') } else { local };
    let offset = if matches!(offset, "+00:00" | "-00:00") { "Z" } else { offset };
    format!("{local}{offset}")
}
