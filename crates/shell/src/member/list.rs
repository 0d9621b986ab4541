//! Members of lists.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::rc::Rc;

use crate::context::{BlockScope, Context};
use crate::convert;
use crate::fault::{Category, Fault};
use crate::value::{List, ListKind, Value};

use super::arguments::{Arguments, out_of_range};

/// Their methods.
pub(super) const METHODS: &[&str] = &[
    "Add",
    "AddRange",
    "Insert",
    "Remove",
    "RemoveAt",
    "RemoveRange",
    "Clear",
    "Contains",
    "IndexOf",
    "LastIndexOf",
    "Sort",
    "Reverse",
    "ToArray",
    "GetRange",
    "GetEnumerator",
    "Where",
    "ForEach",
    "Exists",
    "Find",
    "FindAll",
    "FindIndex",
    "RemoveAll",
    "TrueForAll",
    "Enqueue",
    "Dequeue",
    "Push",
    "Pop",
    "Peek",
    "Get",
    "Set",
    "GetValue",
    "SetValue",
    "Clone",
    "Equals",
    "ToString",
    "GetType",
];

/// A list of these values, for the members that single values have too.
pub(super) fn of(values: Vec<Value>) -> Rc<List> {
    Rc::new(List { values: RefCell::new(values), kind: ListKind::Array })
}

/// A property of the list itself; those of its elements are not looked for here.
pub(super) fn property(list: &List, lower: &str) -> Option<Value> {
    let count = || Value::Int(list.values.borrow().len() as i64);
    Some(match lower {
        "count" | "length" | "longlength" | "capacity" => count(),
        "rank" => Value::Int(1),
        "isfixedsize" => Value::Bool(list.kind == ListKind::Array),
        "isreadonly" | "issynchronized" => Value::Bool(false),
        "changed" if list.kind == ListKind::MultiValued => Value::Bool(false),
        _ => return None,
    })
}

/// Calls a method of the list itself.
pub(super) fn call(
    context: &mut dyn Context,
    list: &Rc<List>,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Option<Result<Option<Value>, Fault>> {
    Some(match lower {
        "add" => growing(list).and_then(|()| add(context, list, arguments)),
        "addrange" => growing(list).and_then(|()| {
            let more = convert::elements(&arguments.need(1)?[0]);
            context.charge(more.len() * size_of::<Value>())?;
            list.values.borrow_mut().extend(more);
            Ok(None)
        }),
        "unionwith" => growing(list).and_then(|()| {
            for one in convert::elements(&arguments.need(1)?[0]) {
                context.check()?;
                if !convert::contains(list, &one, true) {
                    list.values.borrow_mut().push(one);
                }
            }
            Ok(None)
        }),
        "insert" | "insertrange" => growing(list).and_then(|()| {
            let at = arguments.size(0)?;
            let one = arguments.need(2)?[1].clone();
            if at > list.values.borrow().len() {
                return Err(out_of_range("Index must be within the bounds of the List"));
            }
            let more = if lower == "insert" { vec![one] } else { convert::elements(&one) };
            context.charge(more.len() * size_of::<Value>())?;
            list.values.borrow_mut().splice(at..at, more);
            Ok(None)
        }),
        "remove" => growing(list).and_then(|()| {
            let wanted = &arguments.need(1)?[0];
            let found = list.values.borrow().iter().position(|one| convert::equals(one, wanted, true));
            if let Some(at) = found {
                list.values.borrow_mut().remove(at);
            }
            Ok((list.kind == ListKind::Set).then_some(Value::Bool(found.is_some())))
        }),
        "removeat" | "removerange" => growing(list).and_then(|()| {
            let at = arguments.size(0)?;
            let count = if lower == "removeat" { 1 } else { arguments.size(1)? };
            let mut values = list.values.borrow_mut();
            match at.checked_add(count).filter(|end| *end <= values.len()) {
                Some(end) => drop(values.drain(at..end)),
                None => return Err(out_of_range("Index was out of range")),
            }
            Ok(None)
        }),
        "clear" => growing(list).map(|()| {
            list.values.borrow_mut().clear();
            None
        }),
        "contains" => arguments.need(1).map(|values| {
            // Text in a list of .NET is compared with case; what commands made is not.
            let is_case_sensitive = list.kind != ListKind::MultiValued;
            Some(Value::Bool(convert::contains(list, &values[0], is_case_sensitive)))
        }),
        "indexof" | "lastindexof" => arguments.need(1).map(|wanted| {
            let values = list.values.borrow();
            let is_same = |one: &Value| convert::equals(one, &wanted[0], list.kind != ListKind::MultiValued);
            let found =
                if lower == "indexof" { values.iter().position(is_same) } else { values.iter().rposition(is_same) };
            Some(Value::Int(found.map_or(-1, |at| at as i64)))
        }),
        "sort" => {
            let mut values = list.values.borrow_mut();
            let mut wrong = None;
            values.sort_by(|one, other| {
                convert::compare(one, other, false).unwrap_or_else(|fault| {
                    wrong.get_or_insert(fault);
                    Ordering::Equal
                })
            });
            wrong.map_or(Ok(None), Err)
        }
        "reverse" => {
            list.values.borrow_mut().reverse();
            Ok(None)
        }
        "toarray" | "clone" | "getenumerator" | "tolist" => {
            let values = list.values.borrow().clone();
            let kind = if lower == "clone" { list.kind } else { ListKind::Array };
            context.charge(values.len() * size_of::<Value>()).map(|()| Some(Value::list(values, kind)))
        }
        "getrange" => arguments.size(0).and_then(|at| {
            let end = at.saturating_add(arguments.size(1)?);
            let values = list.values.borrow();
            let range = values.get(at..end).ok_or_else(|| out_of_range("Offset and length were out of bounds"))?;
            Ok(Some(Value::list(range.to_vec(), ListKind::Growing)))
        }),
        "get" | "getvalue" | "item" | "get_item" => arguments.size(0).and_then(|at| {
            let found = list.values.borrow().get(at).cloned();
            found.map(Some).ok_or_else(|| out_of_range("Index was outside the bounds of the array"))
        }),
        "set" | "set_item" | "setvalue" => arguments.need(2).and_then(|values| {
            let (at, new) =
                if lower == "setvalue" { (arguments.size(1)?, &values[0]) } else { (arguments.size(0)?, &values[1]) };
            match list.values.borrow_mut().get_mut(at) {
                Some(old) => *old = new.clone(),
                None => return Err(out_of_range("Index was outside the bounds of the array")),
            }
            Ok(None)
        }),
        "exists" | "find" | "findall" | "findindex" | "removeall" | "trueforall" => {
            searched(context, list, lower, arguments)
        }
        "enqueue" => growing(list).and_then(|()| {
            context.charge(size_of::<Value>())?;
            list.values.borrow_mut().push(arguments.need(1)?[0].clone());
            Ok(None)
        }),
        // A stack is walked from its top.
        "push" => growing(list).and_then(|()| {
            context.charge(size_of::<Value>())?;
            list.values.borrow_mut().insert(0, arguments.need(1)?[0].clone());
            Ok(None)
        }),
        "dequeue" | "pop" | "peek" => growing(list).and_then(|()| {
            let mut values = list.values.borrow_mut();
            match values.first().cloned() {
                Some(first) => {
                    if lower != "peek" {
                        values.remove(0);
                    }
                    Ok(Some(first))
                }
                None => {
                    let mut fault = super::arguments::invalid("The collection is empty.");
                    fault.exception = "System.InvalidOperationException";
                    Err(fault)
                }
            }
        }),
        "where" => filter(context, list, arguments),
        "foreach" => each(context, list, arguments),
        _ => return None,
    })
}

fn growing(list: &List) -> Result<(), Fault> {
    if list.kind != ListKind::Array {
        return Ok(());
    }
    let mut fault = Fault::new(
        Category::InvalidArgument,
        "Collection was of a fixed size. Use += to make a longer array, or [System.Collections.ArrayList].",
    );
    fault.exception = "System.NotSupportedException";
    Err(fault)
}

fn add(context: &mut dyn Context, list: &List, arguments: &Arguments<'_>) -> Result<Option<Value>, Fault> {
    let one = arguments.need(1)?[0].clone();
    context.charge(size_of::<Value>())?;
    let yields = match list.kind {
        ListKind::Set if convert::contains(list, &one, true) => return Ok(Some(Value::Bool(false))),
        ListKind::Set => Some(Value::Bool(true)),
        ListKind::MultiValued if convert::contains(list, &one, false) => {
            return Err(super::arguments::invalid(format!(
                "The value \"{}\" is already present in the collection.",
                convert::text(&one)
            )));
        }
        // ArrayList yields the place, which nobody wants: scripts hide it by [void].
        _ => None,
    };
    list.values.borrow_mut().push(one);
    Ok(yields)
}

/// The methods of `List` that ask a block of each value: it has the value as `$_` and as its first argument.
fn searched(
    context: &mut dyn Context,
    list: &List,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Result<Option<Value>, Fault> {
    let Some(Value::Block(block)) = arguments.values.first() else {
        return Err(super::arguments::invalid(format!(
            "{} wants a script block, as .{}({{ $args[0].Enabled }})",
            arguments.method, arguments.method
        )));
    };
    let values = list.values.borrow().clone();
    let mut held = Vec::with_capacity(values.len());
    for value in &values {
        let yields = context.call_block(block, BlockScope::Own, Some(value.clone()), std::slice::from_ref(value))?;
        held.push(convert::truth(&convert::gathered(yields)));
        // Of those that ask for the first one the rest is not asked.
        if *held.last().unwrap_or(&false) && matches!(lower, "exists" | "find" | "findindex") {
            break;
        }
    }
    let first = held.iter().position(|holds| *holds);
    Ok(Some(match lower {
        "exists" => Value::Bool(first.is_some()),
        "find" => first.map(|at| values[at].clone()).unwrap_or_default(),
        "findindex" => Value::Int(first.map_or(-1, |at| at as i64)),
        "trueforall" => Value::Bool(held.iter().all(|holds| *holds)),
        "findall" => {
            let found = values.into_iter().zip(&held).filter(|(_, holds)| **holds).map(|(value, _)| value);
            Value::list(found.collect(), ListKind::Growing)
        }
        _ => {
            growing(list)?;
            let kept: Vec<Value> =
                values.into_iter().zip(&held).filter(|(_, holds)| !**holds).map(|(value, _)| value).collect();
            let removed = held.len() - kept.len();
            *list.values.borrow_mut() = kept;
            Value::Int(removed as i64)
        }
    }))
}

/// `.Where({ }, mode, count)`.
fn filter(context: &mut dyn Context, list: &List, arguments: &Arguments<'_>) -> Result<Option<Value>, Fault> {
    let Value::Block(block) = &arguments.need(1)?[0] else {
        return Err(super::arguments::invalid("Where wants a script block, as .Where({ $_.Enabled })"));
    };
    let mode = arguments.values.get(1).map(convert::text).unwrap_or_default().to_ascii_lowercase();
    let most = match arguments.values.get(2) {
        Some(_) => arguments.size(2)?,
        None if mode == "first" || mode == "last" => 1,
        None => usize::MAX,
    };
    let (mut yes, mut no) = (Vec::new(), Vec::new());
    let values = list.values.borrow().clone();
    for value in values {
        let holds = context.call_block(block, BlockScope::Own, Some(value.clone()), &[])?;
        if convert::truth(&convert::gathered(holds)) {
            yes.push(value)
        } else {
            no.push(value)
        }
        if mode == "first" && yes.len() == most {
            break;
        }
    }
    Ok(Some(match mode.as_str() {
        "split" => Value::array(vec![Value::array(yes), Value::array(no)]),
        "last" => Value::list(yes.split_off(yes.len().saturating_sub(most)), ListKind::Growing),
        _ => {
            yes.truncate(most);
            Value::list(yes, ListKind::Growing)
        }
    }))
}

/// `.ForEach({ })`, `.ForEach('Name')`, `.ForEach('Method', argument)`.
fn each(context: &mut dyn Context, list: &List, arguments: &Arguments<'_>) -> Result<Option<Value>, Fault> {
    let what = arguments.need(1)?[0].clone();
    let mut yields = Vec::new();
    let values = list.values.borrow().clone();
    for value in values {
        match &what {
            Value::Block(block) => {
                yields.extend(context.call_block(block, BlockScope::Own, Some(value), &arguments.values[1..])?);
            }
            Value::Type(name) => yields.push(super::cast(context, name, &value)?),
            name => {
                let name = convert::text(name);
                match super::property(context, &value, &name)? {
                    Some(found) => yields.push(found),
                    None => yields.extend(super::call(context, &value, &name, &arguments.values[1..])?),
                }
            }
        }
        context.charge(size_of::<Value>())?;
    }
    Ok(Some(Value::list(yields, ListKind::Growing)))
}
