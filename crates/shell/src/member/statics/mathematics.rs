//! `[math]`.

use crate::convert;
use crate::fault::Fault;
use crate::member::arguments::{Arguments, out_of_range};
use crate::value::Value;

/// Calls one of its functions.
pub(super) fn call(lower: &str, arguments: &Arguments<'_>) -> Option<Result<Value, Fault>> {
    let of = |function: fn(f64) -> f64| arguments.float(0).map(|number| Value::Float(function(number)));
    let are_whole = arguments.values.iter().all(|value| matches!(convert::number(value), Some(Value::Int(_))));
    let two = |whole: fn(i64, i64) -> i64, fraction: fn(f64, f64) -> f64| {
        arguments.need(2).and_then(|_| {
            Ok(if are_whole {
                Value::Int(whole(arguments.int(0)?, arguments.int(1)?))
            } else {
                Value::Float(fraction(arguments.float(0)?, arguments.float(1)?))
            })
        })
    };
    Some(match lower {
        "round" => round(arguments),
        "floor" => of(f64::floor),
        "ceiling" => of(f64::ceil),
        "truncate" => of(f64::trunc),
        "sqrt" => of(f64::sqrt),
        "exp" => of(f64::exp),
        "log10" => of(f64::log10),
        "log" => match arguments.values.len() {
            0 | 1 => of(f64::ln),
            _ => arguments.float(0).and_then(|number| Ok(Value::Float(number.log(arguments.float(1)?)))),
        },
        "sin" => of(f64::sin),
        "cos" => of(f64::cos),
        "tan" => of(f64::tan),
        "abs" if are_whole => arguments.int(0).map(|number| Value::Int(number.saturating_abs())),
        "abs" => of(f64::abs),
        "sign" => arguments.float(0).map(|number| Value::Int(if number == 0.0 { 0 } else { number.signum() as i64 })),
        "max" => two(i64::max, f64::max),
        "min" => two(i64::min, f64::min),
        "pow" => arguments.float(0).and_then(|base| Ok(Value::Float(base.powf(arguments.float(1)?)))),
        "divrem" => two(|one, other| one.checked_div(other).unwrap_or_default(), |one, other| (one / other).trunc()),
        _ => return None,
    })
}

/// Halves go to the even neighbour unless `AwayFromZero` is said.
fn round(arguments: &Arguments<'_>) -> Result<Value, Fault> {
    const PLACES_MAX: usize = 15;
    let number = arguments.float(0)?;
    let is_away = arguments.values.iter().skip(1).any(|value| match value {
        Value::Text(name) => name.eq_ignore_ascii_case("AwayFromZero"),
        _ => false,
    });
    let places = match arguments.values.get(1) {
        Some(Value::Text(name)) if convert::number::parse(name).is_none() => 0,
        Some(_) => arguments.size(1)?,
        None => 0,
    };
    if places > PLACES_MAX {
        return Err(out_of_range("Rounding digits must be between 0 and 15, inclusive"));
    }
    let factor = 10f64.powi(places as i32);
    let scaled = number * factor;
    let rounded = if is_away { scaled.round() } else { scaled.round_ties_even() };
    Ok(Value::Float(if rounded.is_finite() { rounded / factor } else { number }))
}
