//! The values of labels: names, URLs and revisions are texts that tenants and their servers write.

use std::borrow::Cow;

use prometheus::proto::MetricFamily;

/// Bytes of a label's value at most. The names of an object, of 253 bytes at most, stay whole: they tell series apart.
pub(super) const LABEL_VALUE_BYTES: usize = 512;

/// Stands in place of what was cut.
const CUT: &str = "…";

/// Cuts the values that are too long. The encoder escapes quotes, backslashes and line breaks; the text format allows all
/// other characters.
pub(super) fn limit_labels(families: &mut [MetricFamily]) {
    let labels =
        families.iter_mut().flat_map(|family| family.mut_metric()).flat_map(|metric| metric.mut_label());
    for label in labels {
        if let Cow::Owned(cut) = limited(label.value()) {
            label.set_value(cut);
        }
    }
}

fn limited(value: &str) -> Cow<'_, str> {
    if value.len() <= LABEL_VALUE_BYTES {
        return Cow::Borrowed(value);
    }
    let (kept, _) = value.split_at(value.floor_char_boundary(LABEL_VALUE_BYTES - CUT.len()));
    Cow::Owned(format!("{kept}{CUT}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_cut_between_characters() {
        let row = |value: &str| limited(value).into_owned();
        for whole in [String::new(), "a".repeat(LABEL_VALUE_BYTES), "ä".repeat(LABEL_VALUE_BYTES / 2)] {
            assert_eq!(row(&whole), whole);
        }
        assert_eq!(row(&"a".repeat(LABEL_VALUE_BYTES + 1)), "a".repeat(509) + "…");
        // Two bytes each: the 509th is the first half of a character.
        assert_eq!(row(&"ä".repeat(LABEL_VALUE_BYTES)), "ä".repeat(254) + "…");
    }
}
