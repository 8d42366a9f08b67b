//! Dictionaries. They are Go's maps: who holds one sees what others change.

use gotemplate::value::{List, Map, Text, Type};
use gotemplate::{Error, Value};

use crate::call::{Call, LIST, LIST_COST, MAP, MAP_COST, Outcome, STRINGS, Table};
use crate::merge;

const ANY: Type = Type::Any;
const TEXT: Type = Type::String;

pub(crate) fn add(table: &mut Table) {
    table.add_variadic("dict", &[], ANY, MAP, |call| {
        let mut entries = Vec::with_capacity(call.values.len() / 2);
        for pair in call.values.chunks(2) {
            let [key, value @ ..] = pair else { continue };
            entries.push((call.strval(key)?, value.first().cloned().unwrap_or_else(|| "".into())));
        }
        call.entries(&ANY, entries)
    });
    table.add("get", &[MAP, TEXT], ANY, |call| {
        let value = call.map(0).get(call.text(1));
        Ok(value.unwrap_or_else(|| "".into()))
    });
    table.add("set", &[MAP, TEXT, ANY], MAP, |call| {
        let map = call.map(0);
        call.context.insert(&map, call.text(1).into(), call.value(2).clone())?;
        Ok(Value::Map(map))
    });
    table.add("unset", &[MAP, TEXT], MAP, |call| {
        let map = call.map(0);
        map.remove(call.text(1));
        Ok(Value::Map(map))
    });
    table.add("hasKey", &[MAP, TEXT], Type::Bool, |call| Ok(call.map(0).get(call.text(1)).is_some().into()));
    table.add_variadic("pluck", &[TEXT], MAP, LIST, |call| {
        let found = (1..call.values.len()).filter_map(|index| call.map(index).get(call.text(0)));
        call.list(&ANY, found.collect())
    });
    table.add_variadic("keys", &[], MAP, STRINGS, |call| {
        let mut keys = Vec::new();
        for map in (0..call.values.len()).map(|index| call.map(index)) {
            call.context.charge(map.len() * size_of::<Text>())?;
            keys.extend(map.keys());
        }
        call.strings(keys)
    });
    table.add("values", &[MAP], LIST, |call| {
        call.list(&ANY, entries(call, 0)?.into_iter().map(|(_, value)| value).collect())
    });
    table.add_variadic("pick", &[MAP], TEXT, MAP, |call| {
        let map = call.map(0);
        let picked = (1..call.values.len()).filter_map(|index| {
            let key = call.text(index);
            Some((key.into(), map.get(key)?))
        });
        call.entries(&ANY, picked.collect())
    });
    table.add_variadic("omit", &[MAP], TEXT, MAP, |call| {
        let omitted: std::collections::HashSet<_> =
            (1..call.values.len()).map(|index| call.text(index)).collect();
        let mut kept = entries(call, 0)?;
        kept.retain(|(key, _)| !omitted.contains(&**key));
        call.entries(&ANY, kept)
    });
    for (name, overwrites) in
        [("merge", false), ("mustMerge", false), ("mergeOverwrite", true), ("mustMergeOverwrite", true)]
    {
        table.add_variadic(name, &[MAP], MAP, ANY, move |call| {
            let sources: Vec<Map> = (1..call.values.len()).map(|index| call.map(index)).collect();
            let has_content = sources.iter().any(|source| !source.is_nil());
            let target = if call.map(0).is_nil() && has_content { Map::default() } else { call.map(0) };
            for source in &sources {
                merge::merge(call, &target, source, overwrites)?;
            }
            Ok(Value::Map(target))
        });
    }
    table.add_variadic("dig", &[], ANY, ANY, dig);
    for name in ["deepCopy", "mustDeepCopy"] {
        table.add(name, &[ANY], ANY, |call| match call.value(0) {
            Value::Nil => Err("reflect: call of reflect.Value.Type on zero Value".into()),
            value => copy(call, value, 0),
        });
    }
}

fn entries(call: &Call<'_>, index: usize) -> Result<Vec<(Text, Value)>, Error> {
    let map = call.map(index);
    call.context.step(map.len())?;
    Ok(map.entries())
}

/// What Go says about a value of another type than it is taken for.
fn conversion(value: &Value, wanted: &str) -> Error {
    let found = value.go_type().map_or_else(|| "nil".to_owned(), |found| found.to_string());
    format!("interface conversion: interface {{}} is {found}, not {wanted}").into()
}

fn as_dict(value: &Value) -> Result<Map, Error> {
    match value {
        Value::Map(map) if map.go_type() == MAP => Ok(map.clone()),
        other => Err(conversion(other, "map[string]interface {}")),
    }
}

/// `dig "a" "b" DEFAULT DICT`
fn dig(call: &Call<'_>) -> Outcome {
    let [keys @ .., last_key, default, dict] = call.values else {
        return Err("dig needs at least three arguments".into());
    };
    let mut dict = as_dict(dict)?;
    let as_key = |key: &Value| match key {
        Value::String(key) => Ok(key.clone()),
        other => Err(conversion(other, "string")),
    };
    let keys = keys.iter().map(as_key).collect::<Result<Vec<_>, _>>()?;
    let last_key = as_key(last_key)?;
    for key in keys {
        match dict.get(&key) {
            None => return Ok(default.clone()),
            Some(within) => dict = as_dict(&within)?,
        }
    }
    Ok(dict.get(&last_key).unwrap_or_else(|| default.clone()))
}

fn copy(call: &Call<'_>, value: &Value, depth: usize) -> Outcome {
    call.descend(depth)?;
    match value {
        value if value.is_nil() => Ok(value.clone()),
        Value::List(list) => {
            call.context.charge(LIST_COST + size_of_val::<[Value]>(list))?;
            let items = list.iter().map(|item| copy(call, item, depth + 1)).collect::<Result<_, _>>()?;
            Ok(Value::List(List::new(list.element(), items)))
        }
        Value::Map(map) => {
            call.context.charge(MAP_COST)?;
            let entries = map.entries().into_iter();
            let entries = entries.map(|(key, value)| Ok((key, copy(call, &value, depth + 1)?)));
            call.entries(map.element(), entries.collect::<Result<_, Error>>()?)
        }
        Value::Object(object) => match object.underlying() {
            Some(underlying) => {
                let underlying = copy(call, &underlying, depth + 1)?;
                Ok(object.with_underlying(underlying).unwrap_or_else(|| value.clone()))
            }
            None => Ok(crate::semver::copied(value).unwrap_or_else(|| value.clone())),
        },
        value => Ok(value.clone()),
    }
}
