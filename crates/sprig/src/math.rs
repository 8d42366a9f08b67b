//! Numbers: `int64`, `float64`, and exact decimals.

use gotemplate::value::Type;
use gotemplate::{Error, Value};

use crate::call::{Call, Outcome, Table};
use crate::convert::{to_float64, to_int64};
use crate::decimal::Decimal;

const ANY: Type = Type::Any;
const INT: Type = Type::Int;
const INT64: Type = Type::Int64;
const FLOAT64: Type = Type::Float64;

pub(crate) fn add(table: &mut Table) {
    table.add("atoi", &[Type::String], INT, |call| Ok(Value::Int(atoi(call.text(0)))));
    table.add("int", &[ANY], INT, |call| Ok(Value::Int(to_int64(call.value(0)))));
    table.add("int64", &[ANY], INT64, |call| Ok(Value::Int64(to_int64(call.value(0)))));
    table.add("float64", &[ANY], FLOAT64, |call| Ok(to_float64(call.value(0)).into()));
    table.add("toDecimal", &[ANY], INT64, |call| {
        let text = call.context.print(call.values)?;
        let octal = std::str::from_utf8(&text).ok().and_then(|text| i64::from_str_radix(text, 8).ok());
        Ok(Value::Int64(octal.unwrap_or_default()))
    });
    integers(table);
    floats(table);
    table.add("until", &[INT], Type::Slice(&INT), |call| {
        let stop = call.int(0);
        ints(call, 0, stop, if stop < 0 { -1 } else { 1 })
    });
    table.add("untilStep", &[INT, INT, INT], Type::Slice(&INT), |call| {
        ints(call, call.int(0), call.int(1), call.int(2))
    });
    table.add_variadic("seq", &[], INT, Type::String, sequence);
}

fn integers(table: &mut Table) {
    table.add("add1", &[ANY], INT64, |call| Ok(Value::Int64(to_int64(call.value(0)).wrapping_add(1))));
    table.add_variadic("add", &[], ANY, INT64, |call| {
        Ok(Value::Int64(call.values.iter().map(to_int64).fold(0, i64::wrapping_add)))
    });
    table.add("sub", &[ANY, ANY], INT64, |call| {
        Ok(Value::Int64(to_int64(call.value(0)).wrapping_sub(to_int64(call.value(1)))))
    });
    let mut division = |name, divide: fn(i64, i64) -> i64| {
        table.add(name, &[ANY, ANY], INT64, move |call| match to_int64(call.value(1)) {
            0 => Err("runtime error: integer divide by zero".into()),
            divisor => Ok(Value::Int64(divide(to_int64(call.value(0)), divisor))),
        });
    };
    division("div", i64::wrapping_div);
    division("mod", i64::wrapping_rem);
    let mut folded = |name, fold: fn(i64, i64) -> i64| {
        table.add_variadic(name, &[ANY], ANY, INT64, move |call| {
            Ok(Value::Int64(call.values.iter().map(to_int64).reduce(fold).unwrap_or_default()))
        });
    };
    folded("mul", i64::wrapping_mul);
    folded("max", i64::max);
    folded("biggest", i64::max);
    folded("min", i64::min);
}

fn floats(table: &mut Table) {
    let mut folded = |name, fold: fn(f64, f64) -> f64| {
        table.add_variadic(name, &[ANY], ANY, FLOAT64, move |call| {
            Ok(call.values.iter().map(to_float64).reduce(fold).unwrap_or_default().into())
        });
    };
    folded("maxf", |a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) });
    folded("minf", |a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) });
    table.add("floor", &[ANY], FLOAT64, |call| Ok(to_float64(call.value(0)).floor().into()));
    table.add("ceil", &[ANY], FLOAT64, |call| Ok(to_float64(call.value(0)).ceil().into()));
    table.add_variadic("round", &[ANY, INT], FLOAT64, FLOAT64, |call| {
        let round_on = call.values.get(2).map_or(0.5, to_float64);
        Ok(round(to_float64(call.value(0)), call.int(1), round_on).into())
    });
    table.add("add1f", &[ANY], FLOAT64, |call| {
        decimals(call, &[call.value(0).clone(), Value::Int(1)], Decimal::add)
    });
    table.add_variadic("addf", &[], ANY, FLOAT64, |call| {
        decimals(call, &[&[Value::Int(0)], call.values].concat(), Decimal::add)
    });
    let mut folded = |name, fold: fn(&Decimal, &Decimal) -> Result<Decimal, Error>| {
        table.add_variadic(name, &[ANY], ANY, FLOAT64, move |call| decimals(call, call.values, fold));
    };
    folded("subf", Decimal::subtract);
    folded("mulf", Decimal::multiply);
    folded("divf", Decimal::divide);
}

/// `strconv.Atoi` without its error: decimal digits, an optional sign.
fn atoi(text: &[u8]) -> i64 {
    let text = std::str::from_utf8(text).unwrap_or_default();
    // What is too large is the largest that fits, what is no number 0.
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse() {
        Ok(value) => value,
        Err(_) if is_number && text.starts_with('-') => i64::MIN,
        Err(_) if is_number => i64::MAX,
        Err(_) => 0,
    }
}

/// sprig's own rounding: with floats, and upwards from `round_on` of the last place on.
fn round(value: f64, places: i64, round_on: f64) -> f64 {
    let power = power_of_ten(places);
    let shifted = power * value;
    let rounded = if shifted.fract() >= round_on { shifted.ceil() } else { shifted.floor() };
    rounded / power
}

/// Go's `math.Pow(10, exponent)`, which is not always the nearest float.
fn power_of_ten(exponent: i64) -> f64 {
    // Ten is 0.625 times 2 to the power of 4; mantissas are from 0.5 to 1.
    let (mut mantissa, mut exponent_of_two) = (1.0, 0_i32);
    let (mut square, mut square_exponent) = (0.625_f64, 4_i32);
    let mut rest = exponent.unsigned_abs();
    while rest != 0 {
        if square_exponent > 1 << 12 {
            exponent_of_two += square_exponent;
            break;
        }
        if rest & 1 == 1 {
            mantissa *= square;
            exponent_of_two += square_exponent;
        }
        square *= square;
        square_exponent *= 2;
        if square < 0.5 {
            square += square;
            square_exponent -= 1;
        }
        rest >>= 1;
    }
    if exponent < 0 {
        (mantissa, exponent_of_two) = (1.0 / mantissa, -exponent_of_two);
    }
    // In two steps: one alone can be out of range where the product is not.
    let half = exponent_of_two / 2;
    mantissa * 2_f64.powi(half) * 2_f64.powi(exponent_of_two - half)
}

fn decimals(
    call: &Call<'_>,
    values: &[Value],
    fold: fn(&Decimal, &Decimal) -> Result<Decimal, Error>,
) -> Outcome {
    let mut values = values.iter().map(|value| Decimal::new(to_float64(value)));
    let mut result = values.next().unwrap_or_else(|| Decimal::new(0.0))?;
    for value in values {
        // A product has the digits of both factors.
        call.context.charge(result.size())?;
        result = fold(&result, &value?)?;
    }
    Ok(result.to_float64().into())
}

/// How many integers there are from `start` to before `stop`.
fn count(start: i64, stop: i64, step: i64) -> usize {
    let (distance, step) = (i128::from(stop) - i128::from(start), i128::from(step));
    if distance.signum() * step.signum() <= 0 {
        return 0;
    }
    usize::try_from((distance.abs() + step.abs() - 1) / step.abs()).unwrap_or(usize::MAX)
}

fn range(start: i64, stop: i64, step: i64) -> impl Iterator<Item = i64> {
    std::iter::successors(Some(start), move |at| at.checked_add(step)).take(count(start, stop, step))
}

fn ints(call: &Call<'_>, start: i64, stop: i64, step: i64) -> Outcome {
    // Before they are made.
    let size = count(start, stop, step).saturating_mul(size_of::<Value>());
    call.context.charge(size)?;
    let list = range(start, stop, step).map(Value::Int).collect();
    Ok(Value::List(gotemplate::value::List::new(&INT, list)))
}

/// As the command `seq`: `LAST`, `FIRST LAST` or `FIRST STEP LAST`.
fn sequence(call: &Call<'_>) -> Outcome {
    let arguments: Vec<i64> = (0..call.values.len().min(4)).map(|index| call.int(index)).collect();
    let (first, step, last) = match *arguments.as_slice() {
        [last] => (1, if last < 1 { -1 } else { 1 }, last),
        [first, last] => (first, if last < first { -1 } else { 1 }, last),
        [first, step, last] if last >= first || step <= 0 => (first, step, last),
        _ => return call.string(""),
    };
    let stop = last.wrapping_add(if last < first { -1 } else { 1 });
    // A sign, the digits and a space are no more than 21 bytes.
    call.context.charge(count(first, stop, step).saturating_mul(21))?;
    let texts: Vec<String> = range(first, stop, step).map(|value| value.to_string()).collect();
    Ok(texts.join(" ").into())
}
