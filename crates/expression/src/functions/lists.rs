//! Lists, maps, sets and optional values.

use std::rc::Rc;

use super::{Gives, Overload, giving, global, member, mismatch};
use crate::{
    evaluate::{Failure, Meter, Outcome},
    value::{
        List,
        Type::{self, Bool, Bytes, Dyn, Int, List as ListType, Map, String as Text},
        Value,
    },
};

pub(super) fn named(name: &str) -> Option<&'static [Overload]> {
    use Type::Optional;
    Some(match name {
        "size" => {
            const {
                &[
                    global(&[Text], Int, size),
                    global(&[Bytes], Int, size),
                    global(&[ListType], Int, size),
                    global(&[Map], Int, size),
                    member(&[Text], Int, size),
                    member(&[Bytes], Int, size),
                    member(&[ListType], Int, size),
                    member(&[Map], Int, size),
                ]
            }
        }
        "@in" => const { &[global(&[Dyn, ListType], Bool, within), global(&[Dyn, Map], Bool, within)] },
        "first" => {
            const { &[giving(member(&[ListType], Optional, |m, v| end(m, v, true)), Gives::OptionalElement)] }
        }
        "last" => {
            const { &[giving(member(&[ListType], Optional, |m, v| end(m, v, false)), Gives::OptionalElement)] }
        }
        "sets.contains" => const { &[global(&[ListType, ListType], Bool, contains)] },
        "sets.equivalent" => const { &[global(&[ListType, ListType], Bool, equivalent)] },
        "sets.intersects" => const { &[global(&[ListType, ListType], Bool, intersects)] },
        "optional.none" => const { &[global(&[], Optional, |_, _| Ok(Value::Optional(None)))] },
        "optional.of" => const { &[giving(global(&[Dyn], Optional, some), Gives::OptionalSame)] },
        "optional.ofNonZeroValue" => {
            const { &[giving(global(&[Dyn], Optional, some_unless_zero), Gives::OptionalSame)] }
        }
        "optional.unwrap" => const { &[global(&[ListType], ListType, unwrap)] },
        "unwrapOpt" => const { &[member(&[ListType], ListType, unwrap)] },
        "hasValue" => const { &[member(&[Optional], Bool, has_value)] },
        "value" => const { &[giving(member(&[Optional], Dyn, value), Gives::Element)] },
        "or" => const { &[giving(member(&[Optional, Optional], Optional, second), Gives::Same)] },
        "orValue" => const { &[giving(member(&[Optional, Dyn], Dyn, second), Gives::Element)] },
        _ => return None,
    })
}

fn size<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let size = match values {
        [Value::String(text)] => {
            meter.text(text.len())?;
            text.chars().count()
        }
        [Value::Bytes(bytes)] => bytes.len(),
        [Value::List(list)] => list.len(),
        [Value::Map(map)] => map.len(),
        _ => return mismatch(),
    };
    Ok(Value::Int(i64::try_from(size).unwrap_or(i64::MAX)))
}

fn has<'a>(list: &List<'a>, wanted: &Value<'a>, meter: &mut Meter) -> Result<bool, Failure> {
    for item in list.iter() {
        if item.equals(wanted, meter)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn within<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(Value::Bool(match values {
        [wanted, Value::List(list)] => has(list, wanted, meter)?,
        [wanted, Value::Map(map)] => map.get(wanted, meter)?.is_some(),
        _ => return mismatch(),
    }))
}

fn end<'a>(_: &mut Meter, values: &[Value<'a>], first: bool) -> Outcome<'a> {
    let [Value::List(list)] = values else { return mismatch() };
    let index = if first { Some(0) } else { list.len().checked_sub(1) };
    Ok(Value::Optional(index.and_then(|index| list.get(index)).map(Rc::new)))
}

/// Whether the first list has all elements of the second.
fn covers<'a>(a: &List<'a>, b: &List<'a>, meter: &mut Meter) -> Result<bool, Failure> {
    for item in b.iter() {
        if !has(a, &item, meter)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn contains<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(a), Value::List(b)] = values else { return mismatch() };
    Ok(Value::Bool(covers(a, b, meter)?))
}

fn equivalent<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(a), Value::List(b)] = values else { return mismatch() };
    Ok(Value::Bool(covers(a, b, meter)? && covers(b, a, meter)?))
}

fn intersects<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(a), Value::List(b)] = values else { return mismatch() };
    for item in b.iter() {
        if has(a, &item, meter)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn some<'a>(_: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [value] = values else { return mismatch() };
    Ok(Value::Optional(Some(Rc::new(value.clone()))))
}

fn some_unless_zero<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let zero = match values {
        [Value::Null | Value::Bool(false) | Value::Int(0) | Value::Uint(0)] => true,
        [Value::Double(n)] => *n == 0.0,
        [Value::String(text)] => text.is_empty(),
        [Value::Bytes(bytes)] => bytes.is_empty(),
        [Value::List(list)] => list.len() == 0,
        [Value::Map(map)] => map.len() == 0,
        [Value::Duration(d)] => d.is_zero(),
        _ => false,
    };
    if zero { Ok(Value::Optional(None)) } else { some(meter, values) }
}

fn unwrap<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::List(list)] = values else { return mismatch() };
    meter.charge(list.len() as u64)?;
    let mut items = Vec::new();
    for item in list.iter() {
        match item {
            Value::Optional(inner) => items.extend(inner.map(|inner| Value::clone(&inner))),
            _ => return mismatch(),
        }
    }
    Ok(Value::list(items))
}

fn has_value<'a>(_: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Optional(inner)] = values else { return mismatch() };
    Ok(Value::Bool(inner.is_some()))
}

fn value<'a>(_: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Optional(inner)] = values else { return mismatch() };
    let inner = inner.as_ref().ok_or_else(|| Failure::error("optional.none() dereference"))?;
    Ok(Value::clone(inner))
}

/// A first argument that has a value is the result before the second is looked at.
fn second<'a>(_: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    values.get(1).cloned().map_or_else(mismatch, Ok)
}
