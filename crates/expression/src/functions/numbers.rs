//! Arithmetic, equality and order. Overflow is an error.

use std::cmp::Ordering;

use super::{Gives, Overload, giving, global, mismatch};
use crate::{
    evaluate::{Failure, Meter, Outcome},
    value::{
        Type::{self, Bool, Bytes, Double, Duration, Dyn, Int, List, String as Text, Timestamp, Uint},
        Value,
    },
};

pub(super) fn named(name: &str) -> Option<&'static [Overload]> {
    Some(match name {
        "_+_" => {
            const {
                &[
                    global(&[Int, Int], Int, add),
                    global(&[Uint, Uint], Uint, add),
                    global(&[Double, Double], Double, add),
                    global(&[Text, Text], Text, join),
                    global(&[Bytes, Bytes], Bytes, join),
                    giving(global(&[List, List], List, join), Gives::Same),
                    global(&[Timestamp, Duration], Timestamp, add_times),
                    global(&[Duration, Timestamp], Timestamp, add_times),
                    global(&[Duration, Duration], Duration, add_times),
                ]
            }
        }
        "_-_" => {
            const {
                &[
                    global(&[Int, Int], Int, subtract),
                    global(&[Uint, Uint], Uint, subtract),
                    global(&[Double, Double], Double, subtract),
                    global(&[Timestamp, Timestamp], Duration, subtract_times),
                    global(&[Timestamp, Duration], Timestamp, subtract_times),
                    global(&[Duration, Duration], Duration, subtract_times),
                ]
            }
        }
        "_*_" => {
            const {
                &[
                    global(&[Int, Int], Int, multiply),
                    global(&[Uint, Uint], Uint, multiply),
                    global(&[Double, Double], Double, multiply),
                ]
            }
        }
        "_/_" => {
            const {
                &[
                    global(&[Int, Int], Int, divide),
                    global(&[Uint, Uint], Uint, divide),
                    global(&[Double, Double], Double, divide),
                ]
            }
        }
        "_%_" => const { &[global(&[Int, Int], Int, modulo), global(&[Uint, Uint], Uint, modulo)] },
        "-_" => const { &[global(&[Int], Int, negate), global(&[Double], Double, negate)] },
        "!_" => const { &[global(&[Bool], Bool, not)] },
        "_==_" => const { &[global(&[Dyn, Dyn], Bool, |m, v| equal(m, v, true))] },
        "_!=_" => const { &[global(&[Dyn, Dyn], Bool, |m, v| equal(m, v, false))] },
        "_<_" => const { &[global(&[Dyn, Dyn], Bool, |m, v| compare(m, v, |o| o == Ordering::Less))] },
        "_<=_" => const { &[global(&[Dyn, Dyn], Bool, |m, v| compare(m, v, |o| o != Ordering::Greater))] },
        "_>_" => const { &[global(&[Dyn, Dyn], Bool, |m, v| compare(m, v, |o| o == Ordering::Greater))] },
        "_>=_" => const { &[global(&[Dyn, Dyn], Bool, |m, v| compare(m, v, |o| o != Ordering::Less))] },
        _ => return None,
    })
}

/// Whether values of these types have an order between them.
pub(crate) fn ordered(a: Type, b: Type) -> bool {
    let number = |t| matches!(t, Int | Uint | Double);
    let any = |t| t == Dyn;
    any(a)
        || any(b)
        || number(a) && number(b)
        || a == b && matches!(a, Bool | Text | Bytes | Timestamp | Duration)
}

fn overflow() -> Failure {
    Failure::error("return error for overflow")
}

fn add<'a>(_: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(match values {
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_add(*b).ok_or_else(overflow)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a.checked_add(*b).ok_or_else(overflow)?),
        [Value::Double(a), Value::Double(b)] => Value::Double(a + b),
        _ => return mismatch(),
    })
}

fn subtract<'a>(_: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(match values {
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_sub(*b).ok_or_else(overflow)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a.checked_sub(*b).ok_or_else(overflow)?),
        [Value::Double(a), Value::Double(b)] => Value::Double(a - b),
        _ => return mismatch(),
    })
}

fn multiply<'a>(_: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(match values {
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_mul(*b).ok_or_else(overflow)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a.checked_mul(*b).ok_or_else(overflow)?),
        [Value::Double(a), Value::Double(b)] => Value::Double(a * b),
        _ => return mismatch(),
    })
}

fn divide<'a>(_: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(match values {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => {
            return Err(Failure::error("division by zero"));
        }
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_div(*b).ok_or_else(overflow)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a.checked_div(*b).ok_or_else(overflow)?),
        [Value::Double(a), Value::Double(b)] => Value::Double(a / b),
        _ => return mismatch(),
    })
}

fn modulo<'a>(_: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(match values {
        [Value::Int(_), Value::Int(0)] | [Value::Uint(_), Value::Uint(0)] => {
            return Err(Failure::error("modulus by zero"));
        }
        [Value::Int(a), Value::Int(b)] => Value::Int(a.checked_rem(*b).ok_or_else(overflow)?),
        [Value::Uint(a), Value::Uint(b)] => Value::Uint(a.checked_rem(*b).ok_or_else(overflow)?),
        _ => return mismatch(),
    })
}

fn negate<'a>(_: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(match values {
        [Value::Int(a)] => Value::Int(a.checked_neg().ok_or_else(overflow)?),
        [Value::Double(a)] => Value::Double(-a),
        _ => return mismatch(),
    })
}

fn not<'a>(_: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Bool(value)] = values else { return mismatch() };
    Ok(Value::Bool(!value))
}

fn equal<'a>(meter: &mut Meter, values: &[Value<'a>], wanted: bool) -> Outcome<'a> {
    let [a, b] = values else { return mismatch() };
    Ok(Value::Bool(a.equals(b, meter)? == wanted))
}

fn compare<'a>(meter: &mut Meter, values: &[Value<'a>], wanted: fn(Ordering) -> bool) -> Outcome<'a> {
    let [a, b] = values else { return mismatch() };
    match a.order(b, meter)? {
        Some(order) => Ok(Value::Bool(order.is_some_and(wanted))),
        None => mismatch(),
    }
}

fn join<'a>(meter: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(match values {
        [Value::String(a), Value::String(b)] => {
            meter.text(a.len() + b.len())?;
            Value::text([&**a, &**b].concat())
        }
        [Value::Bytes(a), Value::Bytes(b)] => {
            meter.text(a.len() + b.len())?;
            Value::Bytes([&**a, &**b].concat().into())
        }
        [Value::List(a), Value::List(b)] => {
            meter.charge((a.len() + b.len()) as u64)?;
            Value::list(a.iter().chain(b.iter()).collect())
        }
        _ => return mismatch(),
    })
}

fn add_times<'a>(_: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(match values {
        [Value::Timestamp(t), Value::Duration(d)] | [Value::Duration(d), Value::Timestamp(t)] => {
            Value::Timestamp(t.checked_add(*d).map_err(|_| overflow())?)
        }
        [Value::Duration(a), Value::Duration(b)] => Value::Duration(a.checked_add(*b).ok_or_else(overflow)?),
        _ => return mismatch(),
    })
}

fn subtract_times<'a>(_: &mut Meter, values: &[Value<'a>]) -> Outcome<'a> {
    Ok(match values {
        [Value::Timestamp(a), Value::Timestamp(b)] => Value::Duration(a.duration_since(*b)),
        [Value::Timestamp(t), Value::Duration(d)] => {
            Value::Timestamp(t.checked_sub(*d).map_err(|_| overflow())?)
        }
        [Value::Duration(a), Value::Duration(b)] => Value::Duration(a.checked_sub(*b).ok_or_else(overflow)?),
        _ => return mismatch(),
    })
}
