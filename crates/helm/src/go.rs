//! What Go prints.

use gotemplate::{Budget, Functions, Limits, MissingKey, Run, Set, Value};

/// A value as `%t`, the verb for booleans, prints it.
pub(crate) fn shown_as_bool(value: &Value) -> String {
    const NAME: &str = "value";
    let mut set = Set::new(NAME, Functions::default(), Limits::default(), MissingKey::Zero);
    let budget = Budget { memory: 1 << 20, output: 1 << 20, ..Budget::default() };
    let run = Run::new(budget, &|| false);
    let printed = set.parse(NAME, b"{{printf `%t` .}}").map_err(|error| error.to_string());
    let printed =
        printed.and_then(|_| set.execute(&run, NAME, value.clone()).map_err(|error| error.to_string()));
    printed.map_or_else(|error| error, |text| text.to_str().into_owned())
}
