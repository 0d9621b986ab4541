//! Operators on values. Pure: takes values, hands on a value; what needs the session (`-match` with `$Matches`, `-is`) only
//! passes through here.

use crate::convert::{self, composite, pattern, time, wildcard};
use crate::fault::{Category, Fault};
use crate::syntax::{BinaryOperator, UnaryOperator};
use crate::value::{Table, TimeSpan, Value};

/// How large results may become.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// Values in a list.
    pub list_length: usize,
    /// Bytes in a text.
    pub text_bytes: usize,
}

/// `operator value`.
pub(crate) fn unary(operator: UnaryOperator, value: &Value) -> Result<Value, Fault> {
    Ok(match operator {
        UnaryOperator::Not => Value::Bool(!convert::truth(value)),
        UnaryOperator::Negate => match value {
            Value::Span(span) => Value::Span(TimeSpan { ticks: span.ticks.saturating_neg() }),
            value => match number(value)? {
                Value::Int(number) => number.checked_neg().map_or(Value::Float(-(number as f64)), Value::Int),
                other => Value::Float(-convert::as_float(&other)),
            },
        },
        UnaryOperator::Plus => number(value)?,
        UnaryOperator::BitwiseNot => Value::Int(!convert::integer(value)?),
        UnaryOperator::Join => Value::text(join(value, "")),
        UnaryOperator::Split => Value::array(
            convert::elements(value)
                .iter()
                .flat_map(|one| convert::text(one).split_whitespace().map(Value::text).collect::<Vec<Value>>())
                .collect(),
        ),
    })
}

/// `left operator right`, for all that need only their values. `-match` has a function of its own, too ([`matches`]).
pub(crate) fn binary(
    operator: BinaryOperator,
    is_case_sensitive: bool,
    left: &Value,
    right: &Value,
    bounds: Bounds,
) -> Result<Value, Fault> {
    use BinaryOperator as Op;
    match operator {
        Op::Add => add(left, right, bounds),
        Op::Subtract => subtract(left, right),
        Op::Multiply => multiply(left, right, bounds),
        Op::Divide => divide(left, right),
        Op::Remainder => remainder(left, right),
        Op::Range => range(left, right, bounds),
        Op::Format => composite::fill(&convert::text(left), &many(right)).map(Value::text),
        Op::Eq | Op::Ne | Op::Gt | Op::Ge | Op::Lt | Op::Le => {
            filtered(left, |one| compare(operator, is_case_sensitive, one, right))
        }
        Op::Like | Op::NotLike => {
            let wanted = convert::text(right);
            filtered(left, |one| {
                Ok(wildcard::matches(&wanted, &convert::text(one), is_case_sensitive) == (operator == Op::Like))
            })
        }
        Op::Match | Op::NotMatch => {
            let regex = pattern::compile(&convert::text(right), is_case_sensitive)?;
            filtered(left, |one| Ok(regex.is_match(&convert::text(one)) == (operator == Op::Match)))
        }
        Op::Contains | Op::NotContains => {
            let found = many(left).iter().any(|one| convert::equals(one, right, is_case_sensitive));
            Ok(Value::Bool(found == (operator == Op::Contains)))
        }
        Op::In | Op::NotIn => {
            let found = many(right).iter().any(|one| convert::equals(left, one, is_case_sensitive));
            Ok(Value::Bool(found == (operator == Op::In)))
        }
        Op::Replace => replace(left, right, is_case_sensitive, bounds),
        Op::Split => split(left, right, is_case_sensitive),
        Op::Join => Ok(Value::text(join(left, &convert::text(right)))),
        Op::Xor => Ok(Value::Bool(convert::truth(left) != convert::truth(right))),
        Op::And => Ok(Value::Bool(convert::truth(left) && convert::truth(right))),
        Op::Or => Ok(Value::Bool(convert::truth(left) || convert::truth(right))),
        Op::BitwiseAnd => Ok(Value::Int(convert::integer(left)? & convert::integer(right)?)),
        Op::BitwiseOr => Ok(Value::Int(convert::integer(left)? | convert::integer(right)?)),
        Op::BitwiseXor => Ok(Value::Int(convert::integer(left)? ^ convert::integer(right)?)),
        // The number of places counts within 64, as in the original.
        Op::ShiftLeft => Ok(Value::Int(convert::integer(left)?.wrapping_shl((convert::integer(right)? & 63) as u32))),
        Op::ShiftRight => Ok(Value::Int(convert::integer(left)?.wrapping_shr((convert::integer(right)? & 63) as u32))),
        Op::Is | Op::IsNot | Op::As => Err(Fault::new(
            Category::InvalidOperation,
            "The right side of -is, -isnot and -as is a type: write [string], not its name alone.",
        )),
    }
}

/// The values of a list, or the one value, `$null` included: what the operators walk over.
fn many(value: &Value) -> Vec<Value> {
    match value {
        Value::List(list) => list.values.borrow().clone(),
        Value::Foreign(foreign) => foreign.elements().unwrap_or_else(|| vec![value.clone()]),
        other => vec![other.clone()],
    }
}

/// A list on the left is filtered, a single value is judged.
fn filtered(left: &Value, mut test: impl FnMut(&Value) -> Result<bool, Fault>) -> Result<Value, Fault> {
    match left {
        Value::List(list) => {
            let mut kept = Vec::new();
            for value in list.values.borrow().clone() {
                if test(&value)? {
                    kept.push(value);
                }
            }
            Ok(Value::array(kept))
        }
        one => test(one).map(Value::Bool),
    }
}

fn compare(operator: BinaryOperator, is_case_sensitive: bool, left: &Value, right: &Value) -> Result<bool, Fault> {
    use BinaryOperator as Op;
    if matches!(operator, Op::Eq | Op::Ne) {
        return Ok(convert::equals(left, right, is_case_sensitive) == (operator == Op::Eq));
    }
    let order = convert::compare(left, right, is_case_sensitive)?;
    Ok(match operator {
        Op::Gt => order.is_gt(),
        Op::Ge => order.is_ge(),
        Op::Lt => order.is_lt(),
        _ => order.is_le(),
    })
}

/// A value as a number.
fn number(value: &Value) -> Result<Value, Fault> {
    convert::number(value).ok_or_else(|| convert::cannot_convert(value, "System.Int32", None))
}

fn no_operator(name: &str, value: &Value) -> Fault {
    Fault::new(
        Category::InvalidOperation,
        format!(
            "Method invocation failed because [{}] does not contain a method named '{name}'.",
            convert::type_name(value)
        ),
    )
}

/// Two numbers through `whole` (`None`: it does not fit) or `fraction`.
fn arithmetic(
    left: &Value,
    right: &Value,
    whole: impl Fn(i64, i64) -> Option<i64>,
    fraction: impl Fn(f64, f64) -> f64,
) -> Result<Value, Fault> {
    let (left, right) = (number(left)?, number(right)?);
    if let (Value::Int(left), Value::Int(right)) = (&left, &right)
        && let Some(result) = whole(*left, *right)
    {
        return Ok(Value::Int(result));
    }
    Ok(Value::Float(fraction(convert::as_float(&left), convert::as_float(&right))))
}

fn add(left: &Value, right: &Value, bounds: Bounds) -> Result<Value, Fault> {
    match (left, right) {
        (Value::Null, right) => Ok(right.clone()),
        (Value::List(list), right) => {
            let mut values = list.values.borrow().clone();
            match right {
                Value::List(more) => values.extend(more.values.borrow().iter().cloned()),
                one => values.push(one.clone()),
            }
            too_long(values.len(), bounds)?;
            Ok(Value::array(values))
        }
        (Value::Text(_) | Value::Char(_), right) => {
            let mut text = convert::text(left);
            text.push_str(&convert::text(right));
            too_large(text.len(), bounds)?;
            Ok(Value::text(text))
        }
        (Value::Table(one), Value::Table(other)) => {
            let mut sum = Table::new(one.borrow().entries().iter().cloned());
            sum.is_ordered = one.borrow().is_ordered;
            for (key, value) in other.borrow().entries() {
                if sum.has(key) {
                    return Err(Fault::new(
                        Category::InvalidOperation,
                        format!("Item has already been added. Key in dictionary: '{}'", convert::text(key)),
                    ));
                }
                sum.set(key.clone(), value.clone());
            }
            Ok(Value::Table(std::rc::Rc::new(std::cell::RefCell::new(sum))))
        }
        (Value::Table(_), _) => {
            Err(Fault::new(Category::InvalidOperation, "A hash table can only be added to another hash table."))
        }
        (Value::Time(moment), Value::Span(span)) => time::after(moment, *span).map(Value::Time),
        (Value::Time(moment), right) => time::after(moment, span(right)?).map(Value::Time),
        (Value::Span(one), right) => spans(*one, span(right)?, i64::checked_add),
        (Value::Foreign(foreign), right) if foreign.number().is_none() => {
            let text = foreign.text() + &convert::text(right);
            too_large(text.len(), bounds)?;
            Ok(Value::text(text))
        }
        (Value::Int(_) | Value::Float(_) | Value::Bool(_) | Value::Foreign(_), right) => match right {
            // A number and a list: the original has no such sum either.
            Value::List(list) if list.values.borrow().len() != 1 => Err(no_operator("op_Addition", right)),
            right => arithmetic(left, right, i64::checked_add, |one, other| one + other),
        },
        _ => Err(no_operator("op_Addition", left)),
    }
}

fn subtract(left: &Value, right: &Value) -> Result<Value, Fault> {
    match (left, right) {
        (Value::Time(later), Value::Time(earlier)) => Ok(Value::Span(time::between(later, earlier))),
        (Value::Time(later), Value::Text(text)) => match time::parse(text, later) {
            Some(earlier) => Ok(Value::Span(time::between(later, &earlier))),
            None => negated(span(right)?).and_then(|span| time::after(later, span)).map(Value::Time),
        },
        (Value::Time(moment), right) => {
            negated(span(right)?).and_then(|span| time::after(moment, span)).map(Value::Time)
        }
        (Value::Span(one), right) => spans(*one, span(right)?, i64::checked_sub),
        (Value::List(_) | Value::Table(_) | Value::Object(_) | Value::Block(_), _) => {
            Err(no_operator("op_Subtraction", left))
        }
        _ => arithmetic(left, right, i64::checked_sub, |one, other| one - other),
    }
}

fn span(value: &Value) -> Result<TimeSpan, Fault> {
    match value {
        Value::Span(span) => Some(*span),
        Value::Int(ticks) => Some(TimeSpan { ticks: *ticks }),
        Value::Text(text) => time::parse_span(text),
        _ => None,
    }
    .ok_or_else(|| convert::cannot_convert(value, "System.TimeSpan", None))
}

fn spans(one: TimeSpan, other: TimeSpan, with: fn(i64, i64) -> Option<i64>) -> Result<Value, Fault> {
    with(one.ticks, other.ticks).map(|ticks| Value::Span(TimeSpan { ticks })).ok_or_else(time::out_of_range)
}

fn negated(span: TimeSpan) -> Result<TimeSpan, Fault> {
    span.ticks.checked_neg().map(|ticks| TimeSpan { ticks }).ok_or_else(time::out_of_range)
}

fn multiply(left: &Value, right: &Value, bounds: Bounds) -> Result<Value, Fault> {
    let times = |length: usize, most: usize, what: &str| {
        let times = usize::try_from(convert::integer(right)?.max(0)).unwrap_or(usize::MAX);
        match length.saturating_mul(times) <= most {
            true => Ok(times),
            false => Err(super::flow::limit(format!("The product is a {what} larger than {most}."))),
        }
    };
    match left {
        Value::Null => Ok(Value::Null),
        Value::Text(text) => Ok(Value::text(text.repeat(times(text.len(), bounds.text_bytes, "text")?))),
        Value::List(list) => {
            let values = list.values.borrow();
            let times = times(values.len(), bounds.list_length, "list")?;
            Ok(Value::array(values.iter().cloned().cycle().take(values.len() * times).collect()))
        }
        Value::Span(span) => {
            Ok(Value::Span(TimeSpan { ticks: (span.ticks as f64 * convert::as_float(&number(right)?)) as i64 }))
        }
        Value::Table(_) | Value::Object(_) | Value::Block(_) => Err(no_operator("op_Multiply", left)),
        _ => arithmetic(left, right, i64::checked_mul, |one, other| one * other),
    }
}

fn by_zero() -> Fault {
    let mut fault = Fault::new(Category::InvalidOperation, "Attempted to divide by zero.");
    fault.exception = "System.DivideByZeroException";
    fault
}

fn divide(left: &Value, right: &Value) -> Result<Value, Fault> {
    if let (Value::Span(one), Value::Span(other)) = (left, right) {
        return match other.ticks {
            0 => Err(by_zero()),
            ticks => Ok(Value::Float(one.ticks as f64 / ticks as f64)),
        };
    }
    if matches!(left, Value::List(_) | Value::Table(_) | Value::Object(_) | Value::Block(_)) {
        return Err(no_operator("op_Division", left));
    }
    let (left, right) = (number(left)?, number(right)?);
    match (&left, &right) {
        (Value::Int(_), Value::Int(0)) => Err(by_zero()),
        (Value::Int(left), Value::Int(right)) if left.checked_rem(*right) == Some(0) => Ok(Value::Int(left / right)),
        _ => Ok(Value::Float(convert::as_float(&left) / convert::as_float(&right))),
    }
}

fn remainder(left: &Value, right: &Value) -> Result<Value, Fault> {
    let (left, right) = (number(left)?, number(right)?);
    match (&left, &right) {
        (Value::Int(_), Value::Int(0)) => Err(by_zero()),
        (Value::Int(left), Value::Int(right)) => Ok(Value::Int(left.wrapping_rem(*right))),
        _ => Ok(Value::Float(convert::as_float(&left) % convert::as_float(&right))),
    }
}

fn range(left: &Value, right: &Value, bounds: Bounds) -> Result<Value, Fault> {
    let (first, last) = (convert::integer(left)?, convert::integer(right)?);
    let length = first.abs_diff(last).saturating_add(1);
    too_long(usize::try_from(length).unwrap_or(usize::MAX), bounds)?;
    Ok(Value::array(match first <= last {
        true => (first..=last).map(Value::Int).collect(),
        false => (last..=first).rev().map(Value::Int).collect(),
    }))
}

fn too_long(length: usize, bounds: Bounds) -> Result<(), Fault> {
    match length > bounds.list_length {
        true => Err(super::flow::limit(format!("A list of more than {} values is not made.", bounds.list_length))),
        false => Ok(()),
    }
}

fn too_large(bytes: usize, bounds: Bounds) -> Result<(), Fault> {
    match bytes > bounds.text_bytes {
        true => Err(super::flow::limit(format!("A text of more than {} MB is not made.", bounds.text_bytes >> 20))),
        false => Ok(()),
    }
}

fn join(value: &Value, separator: &str) -> String {
    let texts: Vec<String> = convert::elements(value).iter().map(convert::text).collect();
    texts.join(separator)
}

fn replace(left: &Value, right: &Value, is_case_sensitive: bool, bounds: Bounds) -> Result<Value, Fault> {
    let arguments = many(right);
    let [wanted, rest @ ..] = arguments.as_slice() else {
        return Err(Fault::new(
            Category::InvalidArgument,
            "-replace needs a pattern: 'text' -replace 'pattern', 'new'",
        ));
    };
    if rest.len() > 1 {
        return Err(Fault::new(
            Category::InvalidArgument,
            format!("-replace has a pattern and a replacement on its right, not {} values.", arguments.len()),
        ));
    }
    let regex = pattern::compile(&convert::text(wanted), is_case_sensitive)?;
    let replacement = rest.first().map(convert::text).unwrap_or_default();
    let one = |value: &Value| -> Result<Value, Fault> {
        let text = convert::text(value);
        // At worst every place of the text takes the replacement.
        too_large(regex.find_iter(&text).count().saturating_mul(replacement.len()).saturating_add(text.len()), bounds)?;
        Ok(Value::text(pattern::replace(&regex, &text, &replacement)))
    };
    match left {
        Value::List(list) => {
            let values = list.values.borrow().clone();
            values.iter().map(one).collect::<Result<_, _>>().map(Value::array)
        }
        value => one(value),
    }
}

fn split(left: &Value, right: &Value, is_case_sensitive: bool) -> Result<Value, Fault> {
    let arguments = many(right);
    let wanted = arguments.first().map(convert::text).unwrap_or_default();
    let most = match arguments.get(1) {
        Some(most) => usize::try_from(convert::integer(most)?.max(0)).unwrap_or(usize::MAX),
        None => 0,
    };
    let is_simple =
        arguments.get(2).is_some_and(|option| convert::text(option).to_ascii_lowercase().contains("simplematch"));
    let regex = match is_simple {
        true => pattern::compile(&regex::escape(&wanted), is_case_sensitive)?,
        false => pattern::compile(&wanted, is_case_sensitive)?,
    };
    let mut parts = Vec::new();
    for one in convert::elements(left) {
        let text = convert::text(&one);
        let mut begin = 0;
        let mut taken = 1;
        for captures in regex.captures_iter(&text) {
            if most > 0 && taken >= most {
                break;
            }
            let Some(separator) = captures.get(0) else { continue };
            // A pattern that matches nothing splits between characters, not before the first and after the last.
            if separator.is_empty() && (separator.start() == 0 || separator.end() == text.len()) {
                continue;
            }
            parts.push(Value::text(&text[begin..separator.start()]));
            parts.extend(captures.iter().skip(1).flatten().map(|group| Value::text(group.as_str())));
            begin = separator.end();
            taken += 1;
        }
        parts.push(Value::text(&text[begin..]));
    }
    Ok(Value::array(parts))
}

/// `text -match pattern` for a single text: the table for `$Matches`, or `None` where it does not match.
pub(crate) fn matches(text: &str, wanted: &str, is_case_sensitive: bool) -> Result<Option<Table>, Fault> {
    let regex = pattern::compile(wanted, is_case_sensitive)?;
    let Some(captures) = regex.captures(text) else { return Ok(None) };
    let mut table = Table::default();
    // Groups without a name are counted by themselves, as .NET counts them.
    let mut number = 0;
    for (at, name) in regex.capture_names().enumerate() {
        let key = match name {
            Some(name) => Value::text(name),
            None => {
                number += 1;
                Value::Int(number - 1)
            }
        };
        if let Some(group) = captures.get(at) {
            table.set(key, Value::text(group.as_str()));
        }
    }
    Ok(Some(table))
}

/// `object[index]`; `None`: it cannot be indexed.
pub(crate) fn index(object: &Value, index: &Value) -> Result<Option<Value>, Fault> {
    if let Value::List(indexes) = index
        && !matches!(object, Value::Table(_))
    {
        let indexes = indexes.values.borrow().clone();
        let mut found = Vec::new();
        for one in &indexes {
            match self::index(object, one)? {
                None => return Ok(None),
                Some(Value::Null) => {}
                Some(value) => found.push(value),
            }
        }
        return Ok(Some(Value::array(found)));
    }
    Ok(Some(match object {
        Value::List(list) => {
            let values = list.values.borrow();
            place(index, values.len())?.and_then(|at| values.get(at).cloned()).unwrap_or_default()
        }
        Value::Text(text) => {
            let length = if text.is_ascii() { text.len() } else { text.encode_utf16().count() };
            match place(index, length)? {
                Some(at) if text.is_ascii() => {
                    text.as_bytes().get(at).map_or(Value::Null, |&byte| Value::Char(byte.into()))
                }
                Some(at) => text.chars().nth(at).map_or(Value::Null, Value::Char),
                None => Value::Null,
            }
        }
        Value::Table(table) => match index {
            Value::List(keys) => {
                let keys = keys.values.borrow().clone();
                Value::array(keys.iter().map(|key| entry(&table.borrow(), key)).collect())
            }
            key => entry(&table.borrow(), key),
        },
        Value::Object(object) => match index {
            Value::Text(name) => object.get(name).unwrap_or_default(),
            other => return alone(&Value::Object(object.clone()), other).map(Some),
        },
        Value::Foreign(foreign) => match (foreign.at(index), foreign.elements()) {
            (Some(found), _) => found,
            (None, Some(values)) => {
                place(index, values.len())?.and_then(|at| values.get(at).cloned()).unwrap_or_default()
            }
            (None, None) => return alone(object, index).map(Some),
        },
        Value::Null => return Ok(None),
        other => return alone(other, index).map(Some),
    }))
}

/// A single value is a list of itself, for `[0]` and `[-1]`.
fn alone(value: &Value, index: &Value) -> Result<Value, Fault> {
    Ok(match place(index, 1)? {
        Some(0) => value.clone(),
        _ => Value::Null,
    })
}

/// A place counted from 0, or from the end by negative numbers. `None`: outside.
pub(crate) fn place(index: &Value, length: usize) -> Result<Option<usize>, Fault> {
    let at = convert::integer(index)?;
    Ok(match at < 0 {
        true => usize::try_from(at.unsigned_abs()).ok().and_then(|back| length.checked_sub(back)),
        false => usize::try_from(at).ok().filter(|at| *at < length),
    })
}

/// The value under a key; an ordered table is a list, too.
pub(crate) fn entry(table: &Table, key: &Value) -> Value {
    let by_place = || match (table.is_ordered, key) {
        (true, Value::Int(at)) => {
            usize::try_from(*at).ok().and_then(|at| table.entries().get(at)).map(|(_, value)| value.clone())
        }
        _ => None,
    };
    table.get(key).or_else(by_place).unwrap_or_default()
}
