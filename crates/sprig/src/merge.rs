//! How mergo 1.0.1 merges maps.

use gotemplate::value::Map;
use gotemplate::{Error, Value};

use crate::call::Call;

/// Merges `source` into `target`: what is missing or empty there is filled in; with `overwrites` what is not empty is replaced, but
/// maps are merged. What is filled in is shared, not copied.
pub(crate) fn merge(call: &Call<'_>, target: &Map, source: &Map, overwrites: bool) -> Result<(), Error> {
    merge_at(call, target, source, overwrites, 0)
}

fn merge_at(
    call: &Call<'_>,
    target: &Map,
    source: &Map,
    overwrites: bool,
    depth: usize,
) -> Result<(), Error> {
    for (key, value) in source.entries() {
        call.descend(depth)?;
        let present = target.get(&key);
        match value.underlying() {
            Value::Nil => {
                if overwrites {
                    call.context.insert(target, key, Value::Nil)?;
                }
                continue;
            }
            Value::Map(map) => {
                if let Some(Value::Map(within)) = present.as_ref().map(Value::underlying) {
                    merge_at(call, &within, &map, overwrites, depth + 1)?;
                    if !within.is_empty() {
                        continue;
                    }
                }
            }
            _ => {}
        }
        if overwrites || present.is_none_or(|present| !present.is_true()) {
            call.context.insert(target, key, value)?;
        }
    }
    Ok(())
}
