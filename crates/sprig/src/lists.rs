//! Lists. Any slice will do, and what is made of one is a `[]interface {}`.

use gotemplate::value::{List, Text, Type};
use gotemplate::{Error, Value};

use crate::call::{Call, LIST, NIL_POINTER, Outcome, Table};
use crate::convert::{items, to_int64};
use crate::equal;

const ANY: Type = Type::Any;

pub(crate) fn add(table: &mut Table) {
    for name in ["list", "tuple"] {
        table.add_variadic(name, &[], ANY, LIST, |call| call.list(&ANY, call.values.to_vec()));
    }
    for name in ["append", "push", "mustAppend", "mustPush"] {
        table.add(name, &[ANY, ANY], LIST, |call| {
            let mut list = call.items(0, "push on")?;
            list.push(call.value(1).clone());
            call.list(&ANY, list)
        });
    }
    for prefix in ["", "must"] {
        let name = |name: &str| match prefix {
            "" => name.to_owned(),
            _ => format!(
                "must{}{}",
                name.get(..1).unwrap_or_default().to_uppercase(),
                name.get(1..).unwrap_or_default()
            ),
        };
        table.add(&name("prepend"), &[ANY, ANY], LIST, |call| {
            let mut list = call.items(0, "prepend on")?;
            list.insert(0, call.value(1).clone());
            call.list(&ANY, list)
        });
        table.add(&name("first"), &[ANY], ANY, |call| {
            Ok(call.items(0, "find first on")?.first().cloned().unwrap_or_default())
        });
        table.add(&name("last"), &[ANY], ANY, |call| {
            Ok(call.items(0, "find last on")?.last().cloned().unwrap_or_default())
        });
        table.add(&name("rest"), &[ANY], LIST, |call| {
            let list = call.items(0, "find rest on")?;
            if list.is_empty() {
                return Ok(LIST.zero());
            }
            call.list(&ANY, list.into_iter().skip(1).collect())
        });
        table.add(&name("initial"), &[ANY], LIST, |call| {
            let mut list = call.items(0, "find initial on")?;
            if list.pop().is_none() {
                return Ok(LIST.zero());
            }
            call.list(&ANY, list)
        });
        table.add(&name("reverse"), &[ANY], LIST, |call| {
            let mut list = call.items(0, "find reverse on")?;
            list.reverse();
            call.list(&ANY, list)
        });
        table.add(&name("compact"), &[ANY], LIST, |call| {
            let mut list = call.items(0, "compact on")?;
            list.retain(Value::is_true);
            call.list(&ANY, list)
        });
        table.add(&name("uniq"), &[ANY], LIST, |call| {
            let mut unique = Vec::new();
            for item in call.items(0, "find uniq on")? {
                if !is_in(call, &unique, &item)? {
                    unique.push(item);
                }
            }
            call.list(&ANY, unique)
        });
        table.add_variadic(&name("without"), &[ANY], ANY, LIST, |call| {
            let mut rest = Vec::new();
            for item in call.items(0, "find without on")? {
                if !is_in(call, call.rest(1), &item)? {
                    rest.push(item);
                }
            }
            call.list(&ANY, rest)
        });
        table.add(&name("has"), &[ANY, ANY], Type::Bool, |call| {
            if matches!(call.value(1), Value::Nil) {
                return Ok(false.into());
            }
            Ok(is_in(call, &call.items(1, "find has on")?, call.value(0))?.into())
        });
        table.add(&name("chunk"), &[Type::Int, ANY], Type::Slice(&LIST), chunk);
        table.add_variadic(&name("slice"), &[ANY], ANY, ANY, slice);
    }
    table.add_variadic("concat", &[], ANY, ANY, |call| {
        let mut all = Vec::new();
        for value in call.values {
            if matches!(value, Value::Nil) {
                return Err(NIL_POINTER.into());
            }
            let Some(items) = items(value) else {
                return Err(format!("Cannot concat type {} as list", value.kind()).into());
            };
            call.context.charge(size_of_val(items.as_slice()))?;
            all.extend(items);
        }
        Ok(if all.is_empty() { LIST.zero() } else { Value::List(List::new(&ANY, all)) })
    });
}

impl Call<'_> {
    /// The items of a list; what else it is, it cannot `verb` a list.
    fn items(&self, index: usize, verb: &str) -> Result<Vec<Value>, Error> {
        let value = self.value(index);
        match items(value) {
            Some(items) => {
                self.context.step(items.len() / 8)?;
                Ok(items)
            }
            None if matches!(value, Value::Nil) => Err(NIL_POINTER.into()),
            None => Err(format!("Cannot {verb} type {}", value.kind()).into()),
        }
    }
}

fn is_in(call: &Call<'_>, list: &[Value], value: &Value) -> Result<bool, Error> {
    for item in list {
        if equal::deep_equal(call, value, item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Go counts the chunks with floats, which gives odd sizes an odd meaning.
fn chunk(call: &Call<'_>) -> Outcome {
    let out_of_range = || Err("runtime error: makeslice: len out of range".into());
    let list = call.items(1, "chunk")?;
    match usize::try_from(call.int(0)) {
        Ok(size @ 1..) => {
            let chunks = list.chunks(size).map(|chunk| call.list(&ANY, chunk.to_vec()));
            call.list(&LIST, chunks.collect::<Result<_, _>>()?)
        }
        Ok(_) => out_of_range(),
        Err(_) => {
            let size = call.int(0).unsigned_abs();
            match list.as_slice() {
                [one] if size > 1 => {
                    let chunk = call.list(&ANY, vec![one.clone()])?;
                    call.list(&LIST, vec![chunk])
                }
                [_] => out_of_range(),
                [] => out_of_range(),
                list if (list.len() as u64 - 1) <= size => call.list(&LIST, Vec::new()),
                _ => out_of_range(),
            }
        }
    }
}

fn slice(call: &Call<'_>) -> Outcome {
    let value = call.value(0).underlying();
    let length = match &value {
        Value::Nil => return Err(NIL_POINTER.into()),
        Value::List(list) => list.len(),
        Value::Bytes(bytes) => bytes.len(),
        other => return Err(format!("list should be type of slice or array but {}", other.kind()).into()),
    };
    if length == 0 {
        return Ok(Value::Nil);
    }
    let bound = |index: usize, default: usize| match call.values.get(index) {
        Some(bound) => usize::try_from(to_int64(bound)).ok(),
        None => Some(default),
    };
    let range = bound(1, 0).zip(bound(2, length)).map(|(from, to)| from..to);
    let out_of_bounds = || Error::from("reflect.Value.Slice: slice index out of bounds");
    let range = range.ok_or_else(out_of_bounds)?;
    match &value {
        Value::List(list) => {
            let items = list.get(range).ok_or_else(out_of_bounds)?;
            call.list(list.element(), items.to_vec())
        }
        Value::Bytes(bytes) => {
            let bytes = bytes.get(range).ok_or_else(out_of_bounds)?;
            call.context.charge(bytes.len())?;
            Ok(Value::Bytes(Text::from(bytes)))
        }
        _ => Ok(Value::Nil),
    }
}
