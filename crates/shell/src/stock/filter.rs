//! Where-Object and ForEach-Object.

use std::cmp::Ordering;
use std::rc::Rc;

use crate::command::{Call, Kind, Parameter, Signature};
use crate::context::{BlockScope, Context, Stage, StockCommand};
use crate::convert::{self, pattern, wildcard};
use crate::fault::{Category, Fault};
use crate::member;
use crate::syntax::ScriptBlock;
use crate::value::Value;

use super::parameter::{ANY, REST, SIGNATURE, VALUES, also, at, input, named, switch};

/// Where-Object.
pub(super) const WHERE: StockCommand = StockCommand {
    signature: &Signature {
        name: "Where-Object",
        synopsis: "Lets those objects through for which a condition holds.",
        parameters: WHERE_PARAMETERS,
        examples: &[
            (
                "Get-ReceiveConnector | Where-Object { $_.Enabled -and $_.Name -like '*Relay*' }",
                "A condition of any kind.",
            ),
            ("Get-ReceiveConnector | where Name -like '*Relay*'", "One property compared with one value."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(Where),
};

const COMPARISON: &str = "Compares the property with -Value, as the operator of that name does.";

const WHERE_PARAMETERS: &[Parameter] = &[
    also(
        &["Property"],
        at(0, "FilterScript", ANY, "A block that yields true for the objects wanted, or a property's name."),
    ),
    at(1, "Value", ANY, "What the property is compared with."),
    input(),
    also(&["IEQ"], switch("EQ", COMPARISON)),
    also(&["INE"], switch("NE", COMPARISON)),
    also(&["IGT"], switch("GT", COMPARISON)),
    also(&["IGE"], switch("GE", COMPARISON)),
    also(&["ILT"], switch("LT", COMPARISON)),
    also(&["ILE"], switch("LE", COMPARISON)),
    also(&["ILike"], switch("Like", COMPARISON)),
    also(&["INotLike"], switch("NotLike", COMPARISON)),
    also(&["IMatch"], switch("Match", COMPARISON)),
    also(&["INotMatch"], switch("NotMatch", COMPARISON)),
    also(&["IContains"], switch("Contains", COMPARISON)),
    also(&["INotContains"], switch("NotContains", COMPARISON)),
    also(&["IIn"], switch("In", COMPARISON)),
    also(&["INotIn"], switch("NotIn", COMPARISON)),
    switch("CEQ", COMPARISON),
    switch("CNE", COMPARISON),
    switch("CGT", COMPARISON),
    switch("CGE", COMPARISON),
    switch("CLT", COMPARISON),
    switch("CLE", COMPARISON),
    switch("CLike", COMPARISON),
    switch("CNotLike", COMPARISON),
    switch("CMatch", COMPARISON),
    switch("CNotMatch", COMPARISON),
    switch("CContains", COMPARISON),
    switch("CNotContains", COMPARISON),
    switch("CIn", COMPARISON),
    switch("CNotIn", COMPARISON),
    switch("Is", COMPARISON),
    switch("IsNot", COMPARISON),
    switch("Not", "Lets those through whose property is false."),
];

struct Where;

impl Stage for Where {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        let Some(input) = input.or_else(|| call.argument("InputObject")) else { return Ok(()) };
        let condition = call.argument("FilterScript").cloned().unwrap_or_default();
        let holds = match &condition {
            Value::Block(block) => {
                let yields = context.call_block(block, BlockScope::Caller, Some(input.clone()), &[])?;
                convert::truth(&convert::gathered(yields))
            }
            Value::Null => {
                return Err(Fault::new(
                    Category::InvalidArgument,
                    "Where-Object wants a condition, as { $_.Enabled } or Name -like '*x*'.",
                ));
            }
            name => {
                let found = member::property(context, input, &convert::text(name))?.unwrap_or_default();
                compared(context, call, &found)?
            }
        };
        if holds { context.value(input.clone()) } else { Ok(()) }
    }
}

fn compared(context: &mut dyn Context, call: &Call<'_>, found: &Value) -> Result<bool, Fault> {
    let wanted = call.argument("Value").cloned().unwrap_or_default();
    let chosen = call
        .arguments
        .iter()
        .filter(|(_, value)| matches!(value, Value::Bool(true)))
        .map(|(name, _)| *name)
        .find(|name| !matches!(*name, "FilterScript" | "Value" | "InputObject"));
    let Some(chosen) = chosen else {
        return Ok(match call.argument("Value") {
            // `where Name x`: the original compares for equality.
            Some(wanted) => any(found, |one| Ok(convert::equals(one, wanted, false)))?,
            None => convert::truth(found),
        });
    };
    let lower = chosen.to_ascii_lowercase();
    // A leading c asks for case, but for the c of contains.
    let (operator, is_case_sensitive) = match lower.strip_prefix('c') {
        Some(rest) if lower != "contains" => (rest, true),
        _ => (lower.as_str(), false),
    };
    let ordered =
        |holds: fn(Ordering) -> bool| any(found, |one| convert::compare(one, &wanted, is_case_sensitive).map(holds));
    let text = convert::text(&wanted);
    Ok(match operator {
        "eq" => any(found, |one| Ok(convert::equals(one, &wanted, is_case_sensitive)))?,
        "ne" => any(found, |one| Ok(!convert::equals(one, &wanted, is_case_sensitive)))?,
        "gt" => ordered(Ordering::is_gt)?,
        "ge" => ordered(Ordering::is_ge)?,
        "lt" => ordered(Ordering::is_lt)?,
        "le" => ordered(Ordering::is_le)?,
        "like" => any(found, |one| Ok(wildcard::matches(&text, &convert::text(one), is_case_sensitive)))?,
        "notlike" => any(found, |one| Ok(!wildcard::matches(&text, &convert::text(one), is_case_sensitive)))?,
        "match" | "notmatch" => {
            let regex = pattern::compile(&text, is_case_sensitive)?;
            any(found, |one| Ok(regex.is_match(&convert::text(one)) == (operator == "match")))?
        }
        "contains" | "notcontains" => {
            let has = convert::elements(found).iter().any(|one| convert::equals(one, &wanted, is_case_sensitive));
            has == (operator == "contains")
        }
        "in" | "notin" => {
            let has = convert::elements(&wanted).iter().any(|one| convert::equals(one, found, is_case_sensitive));
            has == (operator == "in")
        }
        "is" | "isnot" => {
            let Value::Type(name) = &wanted else {
                return Err(Fault::new(Category::InvalidArgument, "-Is wants a type, as [string]."));
            };
            member::is_of_type(found, name) == (operator == "is")
        }
        _ => {
            context.check()?;
            !convert::truth(found)
        }
    })
}

/// Whether one of the elements of a list holds, or the one value: operators filter a list on their left.
fn any(value: &Value, mut holds: impl FnMut(&Value) -> Result<bool, Fault>) -> Result<bool, Fault> {
    match value {
        Value::List(list) => {
            for one in list.values.borrow().iter() {
                if holds(one)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        one => holds(one),
    }
}

/// ForEach-Object.
pub(super) const FOR_EACH: StockCommand = StockCommand {
    signature: &Signature {
        name: "ForEach-Object",
        synopsis: "Runs a block for each object, or takes one of its members.",
        parameters: &[
            also(
                &["MemberName"],
                named("Process", REST, "A block that is run with each object as $_, or a member's name."),
            ),
            named("Begin", Kind::Block, "A block that is run before."),
            named("End", Kind::Block, "A block that is run after."),
            named("RemainingScripts", VALUES, "Further blocks."),
            also(&["Args"], named("ArgumentList", VALUES, "Arguments for the method.")),
            input(),
        ],
        examples: &[
            ("Get-ReceiveConnector | ForEach-Object { $_.Name.ToUpper() }", "A block."),
            ("Get-ReceiveConnector | % Name", "A property."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(ForEach::default()),
};

#[derive(Default)]
struct ForEach {
    process: Vec<Rc<ScriptBlock>>,
    end: Option<Rc<ScriptBlock>>,
    member: Option<(String, Vec<Value>)>,
}

impl Stage for ForEach {
    fn begin(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let block = |value: Option<&Value>| match value {
            Some(Value::Block(block)) => Some(block.clone()),
            _ => None,
        };
        let given = call.argument("Process").map(convert::elements).unwrap_or_default();
        let mut begin = block(call.argument("Begin"));
        self.end = block(call.argument("End"));
        match given.first() {
            Some(Value::Block(_)) | None => {
                let more = call.argument("RemainingScripts").map(convert::elements).unwrap_or_default();
                self.process = given.iter().chain(&more).filter_map(|one| block(Some(one))).collect();
                // Several blocks are those of begin, process and end, as far as these were not named.
                if self.process.len() > 1 && begin.is_none() {
                    begin = Some(self.process.remove(0));
                }
                if self.process.len() > 1 && self.end.is_none() {
                    self.end = self.process.pop();
                }
            }
            Some(name) => {
                let mut arguments = given[1..].to_vec();
                arguments.extend(call.argument("ArgumentList").map(convert::elements).unwrap_or_default());
                self.member = Some((convert::text(name), arguments));
            }
        }
        match begin {
            Some(begin) => context.pass_block(&begin, BlockScope::Caller, None, &[]),
            None => Ok(()),
        }
    }

    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        let Some(input) = input.or_else(|| call.argument("InputObject")) else {
            // Without a pipeline the block runs once.
            return self.process.iter().try_for_each(|block| context.pass_block(block, BlockScope::Caller, None, &[]));
        };
        if let Some((name, arguments)) = &self.member {
            let found = match member::property(context, input, name)? {
                Some(found) if arguments.is_empty() => Some(found),
                found => match member::call(context, input, name, arguments) {
                    Ok(yields) => yields,
                    Err(fault) => match found {
                        Some(found) => Some(found),
                        None if arguments.is_empty() && fault.message.contains("does not contain a method") => None,
                        None => return Err(fault),
                    },
                },
            };
            return match found {
                Some(Value::List(list)) => {
                    let values = list.values.borrow().clone();
                    values.into_iter().try_for_each(|one| context.value(one))
                }
                Some(found) => context.value(found),
                None => Ok(()),
            };
        }
        self.process
            .iter()
            .try_for_each(|block| context.pass_block(block, BlockScope::Caller, Some(input.clone()), &[]))
    }

    fn end(&mut self, context: &mut dyn Context, _call: &Call<'_>) -> Result<(), Fault> {
        match &self.end {
            Some(end) => context.pass_block(end, BlockScope::Caller, None, &[]),
            None => Ok(()),
        }
    }
}
