//! `$Host`, `$Host.UI`, `$Host.UI.RawUI` and `[Console]`: the console for scripts that ask it directly.

use std::rc::Rc;

use crate::context::Context;
use crate::convert;
use crate::fault::{Category, Fault};
use crate::value::{CUSTOM, Foreign, Object, Value};
use crate::world::Stream;

use super::arguments::{Arguments, invalid};
use super::culture::Culture;
use super::version::Version;

/// The names of the colours of a console.
pub(super) const COLOURS: &[&str] = &[
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

/// `$Host`, `$Host.UI`, `$Host.UI.RawUI` and `[Console]`: the console for scripts that ask it directly.
#[derive(Debug)]
pub struct Console;

impl Foreign for Console {
    fn type_name(&self) -> &str {
        "System.Management.Automation.Internal.Host.InternalHost"
    }

    fn text(&self) -> String {
        self.type_name().to_owned()
    }

    fn properties(&self) -> &[&'static str] {
        &["Name", "Version", "CurrentCulture", "CurrentUICulture"]
    }

    fn property(&self, name: &str) -> Option<Value> {
        Some(match name.to_ascii_lowercase().as_str() {
            "name" => Value::text("ConsoleHost"),
            "version" => Value::foreign(Version([5, 1, 0, 0])),
            "currentculture" | "currentuiculture" => Value::foreign(Culture("en-US".to_owned())),
            "ui" | "rawui" => Value::foreign(Console),
            "privatedata" => Value::Object(Rc::new(Object::new(&CUSTOM, Vec::new()))),
            "foregroundcolor" => Value::text("Gray"),
            "backgroundcolor" => Value::text("Black"),
            "windowtitle" | "title" => Value::text("gatepost"),
            "keyavailable" => Value::Bool(false),
            _ => return None,
        })
    }
}

pub(super) fn call(
    context: &mut dyn Context,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Option<Result<Option<Value>, Fault>> {
    let line = || -> Result<String, Fault> {
        match arguments.values {
            [] => Ok(String::new()),
            [only] => Ok(convert::text(only)),
            // Colours before the text, or a format with values.
            [first, .., last]
                if first.downcast::<Console>().is_none()
                    && arguments.values.len() == 3
                    && matches!(first, Value::Text(name) if COLOURS.iter().any(|known| known.eq_ignore_ascii_case(name))) =>
            {
                Ok(convert::text(last))
            }
            [form, values @ ..] => convert::composite::fill(&convert::text(form), values),
        }
    };
    let mut written = |stream: Stream, end: &str| -> Result<Option<Value>, Fault> {
        let text = line()? + end;
        context.write(stream, &text, (None, None)).map(|()| None)
    };
    Some(match lower {
        "writeline" => written(Stream::Host, "\n"),
        "write" => written(Stream::Host, ""),
        "writeerrorline" => written(Stream::Error, "\n"),
        "writewarningline" => written(Stream::Warning, "\n"),
        "writeverboseline" => written(Stream::Verbose, "\n"),
        "writedebugline" => written(Stream::Debug, "\n"),
        "readline" => read(context, "").map(Some),
        "readkey" => read(context, "").map(|line| {
            let letter = convert::text(&line).chars().next().unwrap_or('\r');
            let key = vec![
                ("Character".into(), Value::Char(letter)),
                ("KeyChar".into(), Value::Char(letter)),
                ("Key".into(), Value::text(letter.to_uppercase().collect::<String>())),
                ("VirtualKeyCode".into(), Value::Int(i64::from(u32::from(letter.to_ascii_uppercase())))),
            ];
            Some(Value::Object(Rc::new(Object::new(&CUSTOM, key))))
        }),
        "promptforchoice" => choice(context, arguments).map(Some),
        "clear" | "beep" | "flushinputbuffer" | "resetcolor" | "setcursorposition" | "setshouldexit"
        | "setbuffercontents" => Ok(None),
        _ => return None,
    })
}

/// Asks for one line.
///
/// # Errors
/// [`Fault`], when nobody can be asked.
pub fn read(context: &mut dyn Context, prompt: &str) -> Result<Value, Fault> {
    context.show(None)?;
    match context.world().read_line(prompt, false) {
        Ok(Some(line)) => Ok(Value::text(line)),
        Ok(None) => Ok(Value::Null),
        Err(error) => {
            let mut fault = Fault::new(
                Category::InvalidOperation,
                format!("The script wants an answer, and nobody can be asked: {error}."),
            );
            fault.exception = "System.Management.Automation.Host.HostException";
            Err(fault)
        }
    }
}

/// Asks for a line that does not show.
///
/// # Errors
/// [`Fault`], when nobody can be asked.
pub fn read_secret(context: &mut dyn Context, prompt: &str) -> Result<String, Fault> {
    context.show(None)?;
    match context.world().read_line(prompt, true) {
        Ok(line) => Ok(line.unwrap_or_default()),
        Err(error) => {
            let mut fault = Fault::new(
                Category::InvalidOperation,
                format!("The script wants a secret, and nobody can be asked: {error}."),
            );
            fault.exception = "System.Management.Automation.Host.HostException";
            Err(fault)
        }
    }
}

/// `$Host.UI.PromptForChoice(title, question, choices, default)`: letters after `&` choose.
fn choice(context: &mut dyn Context, arguments: &Arguments<'_>) -> Result<Value, Fault> {
    const TRIES_MAX: usize = 100;
    let values = arguments.need(3)?;
    let (title, question) = (arguments.text(0)?, arguments.text(1)?);
    let labels: Vec<String> = convert::elements(&values[2])
        .iter()
        .map(|choice| match choice {
            Value::Object(object) => convert::text(&object.get("Label").unwrap_or_default()),
            other => convert::text(other),
        })
        .collect();
    if labels.is_empty() {
        return Err(invalid("PromptForChoice wants choices, as @('&Yes', '&No')"));
    }
    let default = values.get(3).and_then(|value| convert::integer(value).ok()).unwrap_or(-1);
    let key = |label: &str| match label.split_once('&').and_then(|(_, rest)| rest.chars().next()) {
        Some(letter) => letter.to_uppercase().collect::<String>(),
        None => label.to_owned(),
    };
    let plain = |label: &str| label.replace('&', "");
    let shown: Vec<String> = labels.iter().map(|label| format!("[{}] {}", key(label), plain(label))).collect();
    let mut prompt = format!("{title}\n{question}\n{}", shown.join("  "));
    if let Some(label) = usize::try_from(default).ok().and_then(|at| labels.get(at)) {
        prompt += &format!(" (default is \"{}\")", key(label));
    }
    for _ in 0..TRIES_MAX {
        context.check()?;
        let Value::Text(answer) = read(context, &format!("{prompt}: "))? else {
            break;
        };
        let answer = answer.trim();
        if answer.is_empty() && default >= 0 {
            return Ok(Value::Int(default));
        }
        let chosen = labels
            .iter()
            .position(|label| key(label).eq_ignore_ascii_case(answer) || plain(label).eq_ignore_ascii_case(answer));
        if let Some(at) = chosen {
            return Ok(Value::Int(at as i64));
        }
    }
    if default >= 0 { Ok(Value::Int(default)) } else { Err(invalid("no choice was made")) }
}
