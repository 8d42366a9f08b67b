use jiff::Timestamp;
use serde::{Deserialize, Deserializer};

/// A moment as Go writes it: RFC 3339, with the offset of who wrote it and as many digits as there are.
///
/// It is kept as it is written, so that what was read is written again unchanged.
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
        Ok(text.filter(|text| !text.is_empty() && !text.starts_with("0001-01-01T00:00:00")).map(Self))
    }
}
