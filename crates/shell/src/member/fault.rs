//! Members of error records: what scripts read of `$_` in `catch`.

use std::rc::Rc;

use crate::convert;
use crate::fault::{Category, Fault, Held, Made, Severity};
use crate::value::{Foreign, Object, Value, View};

/// What the original raises when a method fails: the error itself is within.
pub const METHOD_INVOCATION: &str = "System.Management.Automation.MethodInvocationException";

/// What Write-Error raises.
pub const WRITE_ERROR: &str = "Microsoft.PowerShell.Commands.WriteErrorException";

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
        "targetobject" => target(fault).unwrap_or_default(),
        "fullyqualifiederrorid" => Value::text(error_id(fault)),
        "categoryinfo" => {
            let text = |text: &str| Value::text(text);
            let about = fault.target.clone().unwrap_or_default();
            Value::Object(Rc::new(Object::new(
                &CATEGORY,
                vec![
                    ("Category".into(), text(category(fault))),
                    ("Activity".into(), text(&fault.command)),
                    ("Reason".into(), text(short_exception(fault))),
                    ("TargetName".into(), text(&about)),
                    ("TargetType".into(), text(&target_type(fault))),
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

fn made_by(fault: &Fault) -> Option<&Made> {
    fault.made.as_deref()
}

/// What the error was about: the object that a script gave, or a text.
fn target(fault: &Fault) -> Option<Value> {
    let object = made_by(fault).and_then(|made| made.object.as_ref()?.get::<Value>());
    object.map(|object| Value::clone(&object)).or_else(|| fault.target.as_deref().map(Value::text))
}

/// The error that led to this one.
pub fn inner(fault: &Fault) -> Option<Rc<Fault>> {
    made_by(fault).and_then(|made| made.inner.as_ref()?.get())
}

/// The type of that without its namespace; empty where there is nothing.
fn target_type(fault: &Fault) -> String {
    let of = target(fault).map(|value| convert::type_name(&value));
    of.map(|of| of.rsplit('.').next().unwrap_or(&of).to_owned()).unwrap_or_default()
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
    let kind = target_type(fault);
    format!("{}: ({target}:{kind}) [{}], {}", category(fault), fault.command, short_exception(fault))
}

/// What the original would name the error.
pub fn error_id(fault: &Fault) -> String {
    let name = match (made_by(fault).and_then(|made| made.id.as_deref()), fault.category) {
        (Some(id), _) => id.to_owned(),
        (None, Category::Thrown) => return fault.message.clone(),
        (None, Category::CommandNotFound) => "CommandNotFoundException".to_owned(),
        (None, Category::Parser) => "ParserError".to_owned(),
        (None, _) => short_exception(fault).trim_end_matches("Exception").to_owned(),
    };
    // What a script writes itself goes by the name that it gives.
    let is_written = fault.exception == WRITE_ERROR;
    let name =
        if is_written && made_by(fault).is_none_or(|made| made.id.is_none()) { WRITE_ERROR.to_owned() } else { name };
    if fault.command.is_empty() || is_written { name } else { format!("{name},{}", fault.command) }
}

/// The name that the original has for an error's category.
pub fn category(fault: &Fault) -> &'static str {
    if let Some(name) = made_by(fault).and_then(|made| made.category) {
        return name;
    }
    match fault.category {
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

/// The names of categories that scripts give to errors of their own.
pub(super) const CATEGORIES: &[&str] = &[
    "NotSpecified",
    "OpenError",
    "CloseError",
    "DeviceError",
    "DeadlockDetected",
    "InvalidArgument",
    "InvalidData",
    "InvalidOperation",
    "InvalidResult",
    "InvalidType",
    "MetadataError",
    "NotImplemented",
    "NotInstalled",
    "ObjectNotFound",
    "OperationStopped",
    "OperationTimeout",
    "SyntaxError",
    "ParserError",
    "PermissionDenied",
    "ResourceBusy",
    "ResourceExists",
    "ResourceUnavailable",
    "ReadError",
    "WriteError",
    "FromStdErr",
    "SecurityError",
    "ProtocolError",
    "ConnectionError",
    "AuthenticationError",
    "LimitsExceeded",
    "QuotaExceeded",
    "NotEnabled",
];

/// An error record that a script makes of an exception, an id, a category and what it is about.
pub fn made(exception: &Value, id: &str, category: &str, about: Value) -> Fault {
    let mut fault = match exception.downcast::<Exception>() {
        Some(exception) => Fault::clone(&exception.0),
        None => Fault::new(Category::NotSpecified, convert::text(exception)),
    };
    fault.category = Category::NotSpecified;
    let made = fault.made.get_or_insert_default();
    made.id = (!id.is_empty()).then(|| id.into());
    made.category = CATEGORIES.iter().find(|known| known.eq_ignore_ascii_case(category)).copied();
    about_object(fault, about)
}

/// The same error, about this.
pub fn about_object(mut fault: Fault, about: Value) -> Fault {
    if about.is_null() {
        return fault;
    }
    fault.target = Some(convert::text(&about));
    fault.made.get_or_insert_default().object = Some(Held::new(Rc::new(about)));
    fault
}

/// The exception within an error record.
#[derive(Debug)]
pub struct Exception(pub Rc<Fault>);

impl Exception {
    /// An exception that a script makes by `New-Object` or `::new()`, to throw it; `inner` led to it.
    pub fn made(exception: &'static str, message: String, inner: Option<&Value>) -> Exception {
        let mut fault = Fault::new(Category::Thrown, message).with_severity(Severity::Terminating);
        fault.exception = exception;
        let inner = match inner {
            Some(Value::Fault(fault)) => Some(Held::new(fault.clone())),
            Some(other) => other.downcast::<Exception>().map(|exception| Held::new(exception.0.clone())),
            None => None,
        };
        if inner.is_some() {
            fault.made.get_or_insert_default().inner = inner;
        }
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
            "innerexception" => match inner(&self.0) {
                Some(inner) => Value::foreign(Exception(inner)),
                None => Value::Null,
            },
            "helplink" | "targetsite" => Value::Null,
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
            "getbaseexception" => {
                let mut first = self.0.clone();
                while let Some(inner) = inner(&first) {
                    first = inner;
                }
                Some(Ok(Value::foreign(Exception(first))))
            }
            _ => None,
        }
    }
}
