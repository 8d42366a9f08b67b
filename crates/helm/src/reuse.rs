//! An upgrade that goes on from the values of the release before (`reuseValues` of `pkg/action/upgrade.go` of Helm).

use serde_json::{Map as JsonMap, Value as Json};

use crate::coalesce;
use crate::convert::{self, Numbers};

/// The values of a user above those of the release before. A `null` takes away what was there.
pub fn reuse_values(values: &JsonMap<String, Json>, former: &JsonMap<String, Json>) -> JsonMap<String, Json> {
    let values = convert::table(values, Numbers::AsWritten);
    coalesce::coalesce_tables(&values, &convert::table(former, Numbers::Floats));
    convert::to_json(&values)
}

/// What takes the place of the default values of a chart: those of the chart of the release before, with its values above them.
pub fn reuse_defaults(
    former: &JsonMap<String, Json>,
    former_defaults: &JsonMap<String, Json>,
) -> JsonMap<String, Json> {
    let [values, defaults] = [former, former_defaults].map(|table| convert::table(table, Numbers::Floats));
    convert::to_json(&coalesce::above_defaults(&values, &defaults))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use serde_json::json;

    use super::*;

    fn reused(values: &Json, former: &Json) -> Json {
        reuse_values(values.as_object().unwrap(), former.as_object().unwrap()).into()
    }

    #[test]
    fn new_values_go_over_former_ones_and_null_takes_them_away() {
        let former = json!({"a": {"b": 1, "c": 2}, "gone": true, "kept": "x"});
        let values = json!({"a": {"b": 3}, "gone": null, "new": 1});
        assert_eq!(reused(&values, &former), json!({"a": {"b": 3, "c": 2.0}, "kept": "x", "new": 1}));
        // What is reused again stays as it is, but for a null that has nothing to take away by now.
        let again = reused(&values, &json!({"a": {"b": 3, "c": 2}, "kept": "x", "new": 1}));
        assert_eq!(again.get("gone"), Some(&Json::Null));
        assert_eq!(reused(&values, &again), again);
    }

    #[test]
    fn former_values_go_over_the_defaults_of_the_former_chart() {
        let (former, defaults) =
            (json!({"a": null, "b": {"c": 1}}), json!({"a": 1, "b": {"d": 2}, "e": null}));
        let reused = reuse_defaults(former.as_object().unwrap(), defaults.as_object().unwrap());
        assert_eq!(Json::from(reused), json!({"b": {"c": 1.0, "d": 2.0}}));
    }
}
