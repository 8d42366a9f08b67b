use gotemplate::Value;
use gotemplate::value::{Map, Object};

/// A table whose type in Go is called `common.Values`.
#[derive(Debug, Clone)]
pub(crate) struct CommonValues(pub Map);

impl Object for CommonValues {
    fn go_type(&self) -> &'static str {
        "common.Values"
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::Map(self.0.clone()))
    }
}
