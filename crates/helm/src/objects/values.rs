use gotemplate::value::{Map, Object, Type};
use gotemplate::{Context, Error, Function, Value};
use strconv::quote;

use crate::convert::as_table;

/// A table whose type in Go is called `common.Values`, and has methods.
#[derive(Debug, Clone)]
pub(crate) struct CommonValues(pub Map);

impl CommonValues {
    /// The table at a path of names with dots between them.
    fn table(&self, path: &str) -> Result<Map, Error> {
        path.split('.').try_fold(self.0.clone(), |table, name| {
            let found = table.get(name.as_bytes());
            let found = found.and_then(|value| as_table(&value.underlying()));
            found.ok_or_else(|| format!("{} is not a table", quote(name.as_bytes())).into())
        })
    }

    /// What is at a path, if it is no table.
    fn path_value(&self, path: &str) -> Result<Value, Error> {
        if path.is_empty() {
            return Err("YAML path cannot be empty".into());
        }
        let (parents, key) =
            path.rsplit_once('.').map_or((None, path), |(parents, key)| (Some(parents), key));
        let table = parents.map_or_else(|| Ok(self.0.clone()), |parents| self.table(parents));
        let found = table.ok().and_then(|table| table.get(key.as_bytes()));
        found
            .filter(|value| as_table(value).is_none())
            .ok_or_else(|| format!("{} is not a value", quote(key.as_bytes())).into())
    }

    fn yaml(&self, context: &Context<'_>) -> Result<Value, Error> {
        let text = sprig::to_yaml(context, &Value::Map(self.0.clone()))?;
        context.charge(text.len())?;
        Ok(text.into())
    }
}

impl Object for CommonValues {
    fn go_type(&self) -> &'static str {
        "common.Values"
    }

    fn underlying(&self) -> Option<Value> {
        Some(Value::Map(self.0.clone()))
    }

    fn with_underlying(&self, underlying: Value) -> Option<Value> {
        as_table(&underlying).map(|table| Value::object(Self(table)))
    }

    fn method(&self, name: &str) -> Option<Function> {
        const ANY: Type = Type::Any;
        let values = self.clone();
        let of_path = |result: Type, body: fn(&Self, &str) -> Result<Value, Error>| {
            let values = self.clone();
            Function::new(&[Type::String], result, move |_, arguments| match arguments {
                [Value::String(path)] => body(&values, &path.to_str()),
                // The types were checked.
                _ => Ok(Value::Nil),
            })
        };
        Some(match name {
            "AsMap" => Function::new(&[], Type::Map(&ANY), move |_, _| Ok(Value::Map(values.0.clone()))),
            "YAML" => Function::new(&[], Type::String, move |context, _| values.yaml(context)),
            "Table" => of_path(Type::Named("common.Values"), |values, path| {
                Ok(Value::object(Self(values.table(path)?)))
            }),
            "PathValue" => of_path(ANY, Self::path_value),
            _ => return None,
        })
    }
}
