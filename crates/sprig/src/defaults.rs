//! Defaults: what counts as empty is false in a condition, too.

use gotemplate::Value;
use gotemplate::value::Type;

use crate::call::Table;

const ANY: Type = Type::Any;

pub(crate) fn add(table: &mut Table) {
    table.add_variadic("default", &[ANY], ANY, ANY, |call| {
        let given = call.values.get(1).filter(|given| given.is_true());
        Ok(given.unwrap_or_else(|| call.value(0)).clone())
    });
    table.add("empty", &[ANY], Type::Bool, |call| Ok((!call.value(0).is_true()).into()));
    table.add_variadic("coalesce", &[], ANY, ANY, |call| {
        Ok(call.values.iter().find(|value| value.is_true()).cloned().unwrap_or_default())
    });
    table.add_variadic("all", &[], ANY, Type::Bool, |call| Ok(call.values.iter().all(Value::is_true).into()));
    table.add_variadic("any", &[], ANY, Type::Bool, |call| Ok(call.values.iter().any(Value::is_true).into()));
    table.add("ternary", &[ANY, ANY, Type::Bool], ANY, |call| {
        Ok(call.value(if call.bool(2) { 0 } else { 1 }).clone())
    });
    table.add("fail", &[Type::String], Type::String, |call| {
        Err(String::from_utf8_lossy(call.text(0)).into_owned().into())
    });
    table.add("getHostByName", &[Type::String], Type::String, |_| Ok("".into()));
    let four_strings = [Type::String; 4];
    table.add("lookup", &four_strings, crate::call::MAP, |call| call.entries(&ANY, Vec::new()));
}
