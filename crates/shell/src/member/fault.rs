//! Members of error records: what scripts read of `$_` in `catch`.

use std::rc::Rc;

use crate::fault::{Category, Fault, Severity};
use crate::value::{Foreign, Object, Value, View};

/// Its properties.
pub(super) const PROPERTIES: &[&str] = &[
    "Exception",
    "TargetObject",
    "CategoryInfo",
    "FullyQualifiedErrorId",
    "ErrorDetails",
    "InvocationInfo",
    "ScriptStackTrace",
];

static CATEGORY: View =
    View { type_name: "System.Management.Automation.ErrorCategoryInfo", table: &[], identity: "Text" };
static INVOCATION: View = View { type_name: "System.Management.Automation.InvocationInfo", table: &[], identity: "" };
static COMMAND: View = View { type_name: "System.Management.Automation.CmdletInfo", table: &[], identity: "Name" };

/// A property of an error record.
pub(super) fn property(fault: &Rc<Fault>, lower: &str) -> Option<Value> {
    Some(match lower {
        "exception" => Value::foreign(Exception(fault.clone())),
        "message" => Value::text(&fault.message),
        "targetobject" => fault.target.as_deref().map(Value::text).unwrap_or_default(),
        "fullyqualifiederrorid" => Value::text(error_id(fault)),
        "categoryinfo" => {
            let text = |text: &str| Value::text(text);
            let target = fault.target.clone().unwrap_or_default();
            Value::Object(Rc::new(Object::new(
                &CATEGORY,
                vec![
                    ("Category".into(), text(category(fault.category))),
                    ("Activity".into(), text(&fault.command)),
                    ("Reason".into(), text(short_exception(fault))),
                    ("TargetName".into(), text(&target)),
                    ("TargetType".into(), text(if target.is_empty() { "" } else { "String" })),
                    ("Text".into(), Value::text(category_line(fault))),
                ],
            )))
        }
        "invocationinfo" => invocation(fault),
        "scriptstacktrace" => Value::text(fault.place.as_ref().map_or_else(String::new, |(source, span)| {
            format!("at <ScriptBlock>, {}: line {}", source.name(), source.position(span.start).0)
        })),
        "errordetails" | "pipelineiterationinfo" => Value::Null,
        _ => return None,
    })
}

fn invocation(fault: &Fault) -> Value {
    let (line, column, name, text, statement) = match &fault.place {
        Some((source, span)) => {
            let (line, column) = source.position(span.start);
            let text = source.text().lines().nth(line - 1).unwrap_or_default().to_owned();
            (line, column, source.name().to_owned(), text, source.slice(*span).to_owned())
        }
        None => (0, 0, String::new(), String::new(), String::new()),
    };
    let message = format!("At {name}:{line} char:{column}\n+ {text}");
    let command = Object::new(&COMMAND, vec![("Name".into(), Value::text(&fault.command))]);
    Value::Object(Rc::new(Object::new(
        &INVOCATION,
        vec![
            ("MyCommand".into(), Value::Object(Rc::new(command))),
            ("ScriptLineNumber".into(), Value::Int(line as i64)),
            ("OffsetInLine".into(), Value::Int(column as i64)),
            ("ScriptName".into(), Value::text(name)),
            ("Line".into(), Value::text(text)),
            ("Statement".into(), Value::text(statement)),
            ("PositionMessage".into(), Value::text(message)),
            ("InvocationName".into(), Value::text(&fault.command)),
        ],
    )))
}

/// The type of the exception without its namespace.
pub fn short_exception(fault: &Fault) -> &str {
    fault.exception.rsplit('.').next().unwrap_or(fault.exception)
}

/// `Category: (target:type) [command], exception`, as the original shows it under an error.
pub fn category_line(fault: &Fault) -> String {
    let target = fault.target.as_deref().unwrap_or_default();
    let kind = if target.is_empty() { "" } else { "String" };
    format!("{}: ({target}:{kind}) [{}], {}", category(fault.category), fault.command, short_exception(fault))
}

/// What the original would name the error.
pub fn error_id(fault: &Fault) -> String {
    let name = match fault.category {
        Category::Thrown => return fault.message.clone(),
        Category::CommandNotFound => "CommandNotFoundException".to_owned(),
        Category::Parser => "ParserError".to_owned(),
        _ => short_exception(fault).trim_end_matches("Exception").to_owned(),
    };
    if fault.command.is_empty() { name } else { format!("{name},{}", fault.command) }
}

/// The name that the original has for a category.
pub fn category(category: Category) -> &'static str {
    match category {
        Category::CommandNotFound | Category::ObjectNotFound => "ObjectNotFound",
        Category::InvalidArgument => "InvalidArgument",
        Category::ResourceExists => "ResourceExists",
        Category::PermissionDenied => "PermissionDenied",
        Category::InvalidOperation => "InvalidOperation",
        Category::ResourceUnavailable => "ResourceUnavailable",
        Category::Thrown => "OperationStopped",
        Category::LimitExceeded => "LimitsExceeded",
        Category::Stopped => "OperationStopped",
        Category::Parser => "ParserError",
        Category::NotSpecified => "NotSpecified",
    }
}

/// The exception within an error record.
#[derive(Debug)]
pub struct Exception(pub Rc<Fault>);

impl Exception {
    /// An exception that a script makes by `New-Object` or `::new()`, to throw it.
    pub fn made(exception: &'static str, message: String) -> Exception {
        let mut fault = Fault::new(Category::Thrown, message).with_severity(Severity::Terminating);
        fault.exception = exception;
        Exception(Rc::new(fault))
    }
}

impl Foreign for Exception {
    fn type_name(&self) -> &str {
        self.0.exception
    }

    fn text(&self) -> String {
        format!("{}: {}", self.0.exception, self.0.message)
    }

    fn properties(&self) -> &[&'static str] {
        &["Message", "Data", "InnerException", "StackTrace", "HelpLink", "Source", "HResult"]
    }

    fn property(&self, name: &str) -> Option<Value> {
        Some(match name.to_ascii_lowercase().as_str() {
            "message" => Value::text(&self.0.message),
            "innerexception" | "helplink" | "targetsite" => Value::Null,
            "stacktrace" => property(&self.0, "scriptstacktrace")?,
            "source" => Value::text("gatepost"),
            "hresult" => Value::Int(-2_146_233_087),
            "data" => Value::table([]),
            "errorrecord" => Value::Fault(self.0.clone()),
            "itemname" | "commandname" => self.0.target.as_deref().map(Value::text).unwrap_or_default(),
            _ => return None,
        })
    }

    fn call(&self, name: &str, _arguments: &[Value]) -> Option<Result<Value, Fault>> {
        match name.to_ascii_lowercase().as_str() {
            "tostring" => Some(Ok(Value::text(self.text()))),
            "getbaseexception" => Some(Ok(Value::foreign(Exception(self.0.clone())))),
            _ => None,
        }
    }
}
