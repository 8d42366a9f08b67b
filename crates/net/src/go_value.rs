//! JSON values in texts that must read as those of Go programs.

use std::fmt;

use serde_json::Value;

/// A value as Go's `%v` prints what JSON is decoded to.
pub struct GoValue<'a>(pub &'a Value);

impl fmt::Display for GoValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("<nil>"),
            Value::String(text) => f.write_str(text),
            Value::Array(values) => {
                let values: Vec<String> = values.iter().map(|value| GoValue(value).to_string()).collect();
                write!(f, "[{}]", values.join(" "))
            }
            Value::Object(members) => {
                let mut members: Vec<_> = members.iter().collect();
                members.sort_by_key(|(name, _)| name.as_str());
                let members: Vec<String> =
                    members.iter().map(|(name, value)| format!("{name}:{}", GoValue(value))).collect();
                write!(f, "map[{}]", members.join(" "))
            }
            other => fmt::Display::fmt(other, f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_go_value_has_no_quotes_and_sorted_keys() {
        let value = json!({"b": [1, "x y", null], "a": {"d": true, "c": 1.5}});
        assert_eq!(GoValue(&value).to_string(), "map[a:map[c:1.5 d:true] b:[1 x y <nil>]]");
    }
}
