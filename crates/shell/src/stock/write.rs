//! Write-Host and its kin, Read-Host.

use std::rc::Rc;

use crate::command::{Call, Kind, Parameter, Signature};
use crate::context::{Context, Stage, StockCommand, VariableScope};
use crate::convert::{self, time};
use crate::fault::{Category, Fault, Severity};
use crate::member;
use crate::value::Value;
use crate::world::{Colour, Progress, Stream};

use super::parameter::{ANY, REST, SIGNATURE, also, at, named, piped, switch};

const COLOURS: &[&str] = &[
    "Black",
    "DarkBlue",
    "DarkGreen",
    "DarkCyan",
    "DarkRed",
    "DarkMagenta",
    "DarkYellow",
    "Gray",
    "DarkGray",
    "Blue",
    "Green",
    "Cyan",
    "Red",
    "Magenta",
    "Yellow",
    "White",
];

fn colour(call: &Call<'_>, name: &str) -> Option<Colour> {
    const ALL: [Colour; 16] = [
        Colour::Black,
        Colour::DarkBlue,
        Colour::DarkGreen,
        Colour::DarkCyan,
        Colour::DarkRed,
        Colour::DarkMagenta,
        Colour::DarkYellow,
        Colour::Gray,
        Colour::DarkGray,
        Colour::Blue,
        Colour::Green,
        Colour::Cyan,
        Colour::Red,
        Colour::Magenta,
        Colour::Yellow,
        Colour::White,
    ];
    let text = convert::text(call.argument(name)?);
    let at = COLOURS.iter().position(|known| known.eq_ignore_ascii_case(&text))?;
    ALL.get(at).copied()
}

/// Write-Host.
pub(super) const HOST: StockCommand = StockCommand {
    signature: &Signature {
        name: "Write-Host",
        synopsis: "Writes text to the console.",
        parameters: &[
            also(&["Message", "Msg"], piped(named("Object", REST, "What is written."))),
            switch("NoNewline", "Without a line end."),
            also(&["fore"], named("ForegroundColor", Kind::OneOf(COLOURS), "The colour of the letters.")),
            also(&["back"], named("BackgroundColor", Kind::OneOf(COLOURS), "The colour behind them.")),
            named("Separator", ANY, "What stands between several."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(Host),
};

struct Host;

impl Stage for Host {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let separator = call.argument("Separator").map_or_else(|| " ".to_owned(), convert::text);
        let parts = convert::elements(call.argument("Object").unwrap_or(&Value::Null));
        let texts: Vec<String> = parts
            .iter()
            .map(|part| match part {
                Value::Time(moment) => time::cell(moment),
                other => convert::joined(other, &separator),
            })
            .collect();
        let mut text = texts.join(&separator);
        if !call.is_set("NoNewline") {
            text.push('\n');
        }
        context.write(Stream::Host, &text, (colour(call, "ForegroundColor"), colour(call, "BackgroundColor")))
    }
}

/// Write-Output.
pub(super) const OUTPUT: StockCommand = StockCommand {
    signature: &Signature {
        name: "Write-Output",
        synopsis: "Hands objects on.",
        parameters: &[
            piped(named("InputObject", REST, "The objects.")),
            switch("NoEnumerate", "A list stays one object."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(Output),
};

struct Output;

impl Stage for Output {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        if let Some(input) = input {
            return context.value(input.clone());
        }
        match call.argument("InputObject") {
            Some(list @ Value::List(_)) if call.is_set("NoEnumerate") => context.value(list.clone()),
            Some(Value::List(list)) => {
                let values = list.values.borrow().clone();
                for value in values {
                    match value {
                        Value::List(inner) => {
                            let values = inner.values.borrow().clone();
                            values.into_iter().try_for_each(|one| context.value(one))?;
                        }
                        one => context.value(one)?,
                    }
                }
                Ok(())
            }
            Some(one) => context.value(one.clone()),
            None => Ok(()),
        }
    }
}

const MESSAGE: Parameter = also(&["Msg"], piped(at(0, "Message", ANY, "The text.")));

/// Write-Warning.
pub(super) const WARNING: StockCommand = StockCommand {
    signature: &Signature { name: "Write-Warning", synopsis: "Writes a warning.", parameters: &[MESSAGE], ..SIGNATURE },
    make: || Box::new(Told(|context, text| context.warning(text))),
};

/// Write-Verbose.
pub(super) const VERBOSE: StockCommand = StockCommand {
    signature: &Signature {
        name: "Write-Verbose",
        synopsis: "Writes text that shows with -Verbose only.",
        parameters: &[MESSAGE],
        ..SIGNATURE
    },
    make: || Box::new(Told(|context, text| context.verbose(text))),
};

struct Told(fn(&mut dyn Context, &str));

impl Stage for Told {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let text = call.argument("Message").map(convert::text).unwrap_or_default();
        (self.0)(context, &text);
        Ok(())
    }
}

/// Whether a preference variable lets a stream show.
fn shows(context: &dyn Context, name: &str) -> bool {
    let preference =
        context.variable(VariableScope::Nearest, name).map(|value| convert::text(&value)).unwrap_or_default();
    matches!(preference.to_ascii_lowercase().as_str(), "continue" | "inquire" | "stop")
}

/// Write-Debug.
pub(super) const DEBUG: StockCommand = StockCommand {
    signature: &Signature {
        name: "Write-Debug",
        synopsis: "Writes text that shows when $DebugPreference says so.",
        parameters: &[MESSAGE],
        ..SIGNATURE
    },
    make: || {
        Box::new(Told(|context, text| {
            if shows(context, "DebugPreference") {
                // Where nobody reads, the next value that goes out finds it.
                let _ = context.write(Stream::Debug, &format!("DEBUG: {text}\n"), (Some(Colour::Yellow), None));
            }
        }))
    },
};

/// Write-Information.
pub(super) const INFORMATION: StockCommand = StockCommand {
    signature: &Signature {
        name: "Write-Information",
        synopsis: "Writes text that shows when $InformationPreference says so.",
        parameters: &[
            also(&["Msg", "Message"], piped(at(0, "MessageData", ANY, "The text."))),
            at(1, "Tags", ANY, "Taken, and of no consequence."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(Information),
};

struct Information;

impl Stage for Information {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        if !shows(context, "InformationPreference") {
            return Ok(());
        }
        let text = call.argument("MessageData").map(convert::text).unwrap_or_default();
        context.write(Stream::Information, &format!("{text}\n"), (None, None))
    }
}

/// Write-Error.
pub(super) const ERROR: StockCommand = StockCommand {
    signature: &Signature {
        name: "Write-Error",
        synopsis: "Writes an error, after which the script goes on.",
        parameters: &[
            also(&["Msg"], piped(at(0, "Message", ANY, "The text."))),
            named("Exception", ANY, "An exception instead of a text."),
            named("ErrorRecord", ANY, "An error record instead of a text."),
            named("Category", Kind::Text, "Its category."),
            named("ErrorId", Kind::Text, "Its name."),
            named("TargetObject", ANY, "What it is about."),
            named("RecommendedAction", Kind::Text, "Taken, and of no consequence."),
            also(&["Activity"], named("CategoryActivity", Kind::Text, "Taken, and of no consequence.")),
            also(&["Reason"], named("CategoryReason", Kind::Text, "Taken, and of no consequence.")),
            also(&["TargetName"], named("CategoryTargetName", Kind::Text, "Taken, and of no consequence.")),
            also(&["TargetType"], named("CategoryTargetType", Kind::Text, "Taken, and of no consequence.")),
        ],
        ..SIGNATURE
    },
    make: || Box::new(Error),
};

struct Error;

impl Stage for Error {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let given = ["ErrorRecord", "Exception", "Message"].iter().find_map(|name| call.argument(name)).cloned();
        let known = match &given {
            Some(Value::Fault(fault)) => Some(fault.clone()),
            Some(other) => other.downcast::<member::fault::Exception>().map(|exception| exception.0.clone()),
            None => None,
        };
        let mut fault = match known {
            Some(fault) => Fault::clone(&fault),
            None => {
                let mut fault =
                    Fault::new(Category::NotSpecified, given.map(|text| convert::text(&text)).unwrap_or_default());
                fault.exception = member::fault::WRITE_ERROR;
                fault
            }
        };
        if let Some(category) = call.argument("Category").map(convert::text) {
            fault.category = match category.to_ascii_lowercase().as_str() {
                "invalidargument" | "invaliddata" => Category::InvalidArgument,
                "objectnotfound" => Category::ObjectNotFound,
                "resourceexists" => Category::ResourceExists,
                "permissiondenied" | "securityerror" => Category::PermissionDenied,
                "invalidoperation" => Category::InvalidOperation,
                "resourceunavailable" | "connectionerror" | "openerror" | "readerror" | "writeerror" => {
                    Category::ResourceUnavailable
                }
                _ => Category::NotSpecified,
            };
        }
        if let Some(id) = call.argument("ErrorId").map(convert::text).filter(|id| !id.is_empty()) {
            fault.made.get_or_insert_default().id = Some(id.as_str().into());
        }
        if let Some(target) = call.argument("TargetObject") {
            fault.target = Some(convert::text(target));
        }
        context.error(fault.with_severity(Severity::Continuing))
    }
}

/// Write-Progress.
pub(super) const PROGRESS: StockCommand = StockCommand {
    signature: &Signature {
        name: "Write-Progress",
        synopsis: "Shows how far long work is.",
        parameters: &[
            at(0, "Activity", Kind::Text, "What is done."),
            at(1, "Status", Kind::Text, "How far."),
            at(2, "Id", ANY, "Taken, and of no consequence."),
            named("PercentComplete", ANY, "0 to 100."),
            named("SecondsRemaining", ANY, "Taken, and of no consequence."),
            named("CurrentOperation", Kind::Text, "What is being done just now."),
            named("ParentId", ANY, "Taken, and of no consequence."),
            named("SourceId", ANY, "Taken, and of no consequence."),
            switch("Completed", "It is over."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(Shown),
};

struct Shown;

impl Stage for Shown {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let text = |name: &str| call.argument(name).map(convert::text).unwrap_or_default();
        let percent = call.argument("PercentComplete").and_then(|value| convert::integer(value).ok());
        let (activity, status, now) = (text("Activity"), text("Status"), text("CurrentOperation"));
        let status = if now.is_empty() { status } else { format!("{status} {now}") };
        context.world().progress(Progress {
            activity: &activity,
            status: status.trim(),
            percent: percent.and_then(|percent| u8::try_from(percent.clamp(0, 100)).ok()),
            is_done: call.is_set("Completed"),
        });
        Ok(())
    }
}

/// Read-Host.
pub(super) const READ_HOST: StockCommand = StockCommand {
    signature: &Signature {
        name: "Read-Host",
        synopsis: "Asks for a line.",
        parameters: &[
            named("Prompt", REST, "The question."),
            switch("AsSecureString", "The answer does not show, and is handed on as a secret."),
            switch("MaskInput", "The answer does not show."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(ReadHost),
};

struct ReadHost;

impl Stage for ReadHost {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let mut prompt = call.argument("Prompt").map(convert::text).unwrap_or_default();
        if !prompt.is_empty() {
            prompt += ": ";
        }
        if !call.is_set("AsSecureString") && !call.is_set("MaskInput") {
            let answer = member::read(context, &prompt)?;
            // At the end of input the answer is empty, as in the original.
            return context.value(if answer.is_null() { Value::text("") } else { answer });
        }
        let answer = member::read_secret(context, &prompt)?;
        context.value(if call.is_set("MaskInput") {
            Value::text(&answer)
        } else {
            Value::foreign(member::Secret(Rc::from(answer.as_str())))
        })
    }
}

/// Pause.
pub(super) const PAUSE: StockCommand = StockCommand {
    signature: &Signature {
        name: "Pause",
        synopsis: "Waits for somebody who presses Enter.",
        parameters: &[],
        ..SIGNATURE
    },
    make: || Box::new(Pause),
};

struct Pause;

impl Stage for Pause {
    fn process(&mut self, context: &mut dyn Context, _call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        member::read(context, "Press Enter to continue...: ").map(|_| ())
    }
}

/// Clear-Host.
pub(super) const CLEAR_HOST: StockCommand = StockCommand {
    signature: &Signature {
        name: "Clear-Host",
        synopsis: "Clears the screen, where there is one.",
        parameters: &[],
        ..SIGNATURE
    },
    make: || Box::new(ClearHost),
};

struct ClearHost;

impl Stage for ClearHost {
    fn process(&mut self, context: &mut dyn Context, _call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        if context.world().is_interactive() {
            return context.write(Stream::Host, "\n", (None, None));
        }
        Ok(())
    }
}
