//! The digest that tells whether values have changed.

use artifact::digest::{Algorithm, Digest, Hasher};

use serde_json::{Number, Value};

use crate::Values;

/// The digest of values: of their YAML text with all keys in the order of their bytes, or of nothing if there are none (Flux:
/// `chartutil.DigestValues`).
pub fn config_digest(algorithm: Algorithm, values: &Values) -> Digest {
    let mut hasher = Hasher::new(algorithm);
    if !values.is_empty() {
        let mut values = Value::Object(values.clone());
        make_integers(&mut values);
        hasher.update(yaml::json_to_yaml_in_byte_order(&values).as_bytes());
    }
    hasher.finish()
}

/// Floats without a fraction are written as integers, as far as those have 64 bits (sigs.k8s.io/yaml: `jsonToYAMLValue`).
fn make_integers(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if let Some(integer) = number.as_f64().filter(|_| number.is_f64()).and_then(integer) {
                *number = integer;
            }
        }
        Value::Array(items) => items.iter_mut().for_each(make_integers),
        Value::Object(entries) => entries.values_mut().for_each(make_integers),
        _ => {}
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the bounds are checked before")]
fn integer(float: f64) -> Option<Number> {
    const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;
    if float.fract() != 0.0 {
        None
    } else if (-TWO_TO_63..TWO_TO_63).contains(&float) {
        Some((float as i64).into())
    } else if (TWO_TO_63..2.0 * TWO_TO_63).contains(&float) {
        Some((float as u64).into())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn digests_are_those_of_flux_and_do_not_depend_on_order() {
        let ports = json!([{"protocol": "TCP", "port": 8080}, {"port": 9090, "protocol": "UDP"}]);
        let numeric = json!({
            "632bd80235a05f4192aefade": "value1", "632bd80ddf416cf32fd50679": "value2",
            "632bd817c559818a52307da2": "value3", "632bd82398e71231a98004b6": "value4",
        });
        for (algorithm, values, digest) in [
            (
                Algorithm::Sha256,
                json!({}),
                "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            (
                Algorithm::Sha256,
                json!({"replicas": 3, "image": {"tag": "latest", "repository": "nginx"}, "ports": ports}),
                "sha256:fcdc2b0de1581a3633ada4afee3f918f6eaa5b5ab38c3fef03d5b48d3f85d9f6",
            ),
            (
                Algorithm::Sha256,
                json!({"ports": ports, "image": {"repository": "nginx", "tag": "latest"}, "replicas": 3.0}),
                "sha256:fcdc2b0de1581a3633ada4afee3f918f6eaa5b5ab38c3fef03d5b48d3f85d9f6",
            ),
            (
                Algorithm::Sha256,
                json!({"replicas": 3, "test": numeric}),
                "sha256:8a980fcbeadd6f05818f07e8aec14070c22250ca3d96af1fcd5f93b3e85b4d70",
            ),
            (
                Algorithm::Sha512,
                json!({"foo": "bar", "baz": {"cool": "stuff"}}),
                "sha512:b5f9cd4855ca3b08afd602557f373069b1732ce2e6d52341481b0d38f1938452e9d7759ab177c66699962b592f20ceded03eea3cd405d8670578c47842e2c550",
            ),
        ] {
            let values = values.as_object().cloned().unwrap_or_default();
            assert_eq!(config_digest(algorithm, &values).to_string(), digest);
        }
    }
}
