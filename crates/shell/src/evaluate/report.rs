//! Errors as people see them, and which `catch` takes one.

use crate::fault::{Fault, Severity};
use crate::member::fault::{METHOD_INVOCATION, category_line, inner};
use crate::syntax::Catch;

/// Characters of a script's line that are shown under an error.
const LINE_CHARACTERS_MAX: usize = 200;

/// An error record as text: message, place, the line with a mark under it, and its category.
pub fn error_text(fault: &Fault) -> String {
    let mut text = match fault.command.is_empty() {
        true => format!("{}\n", fault.message),
        false => format!("{} : {}\n", fault.command, fault.message),
    };
    if let Some((source, span)) = &fault.place {
        let (line, column) = source.position(span.start);
        text.push_str(&format!("At {}:{line} char:{column}\n", source.name()));
        if let Some(whole) = source.text().lines().nth(line.saturating_sub(1)) {
            let indent = whole.chars().take_while(|character| character.is_whitespace()).count();
            let shown: String = whole.chars().skip(indent).take(LINE_CHARACTERS_MAX).collect();
            let length = source.slice(*span).lines().next().map_or(0, |first| first.chars().count());
            let begin = column.saturating_sub(1).saturating_sub(indent);
            let shown_length = shown.chars().count();
            let marks = length.clamp(1, shown_length.saturating_sub(begin).max(1));
            if begin <= shown_length {
                text.push_str(&format!("+ {shown}\n+ {}{}\n", " ".repeat(begin), "~".repeat(marks)));
            }
        }
    }
    text.push_str(&format!("    + CategoryInfo          : {}\n", category_line(fault)));
    text
}

/// The first of `catches` that takes an error.
pub(crate) fn catching<'a>(catches: &'a [Catch], fault: &Fault) -> Option<&'a Catch> {
    if fault.severity == Severity::Final {
        return None;
    }
    catches
        .iter()
        .find(|catch| catch.types.iter().any(|type_name| is_of(fault, &type_name.name)))
        .or_else(|| catches.iter().find(|catch| catch.types.is_empty()))
}

/// Whether an error is of a type: of that of its exception or, where a method failed, of that of what it raised.
fn is_of(fault: &Fault, wanted: &str) -> bool {
    is_exception(fault.exception, wanted)
        || fault.exception == METHOD_INVOCATION
            && inner(fault).is_some_and(|inner| is_exception(inner.exception, wanted))
}

/// Whether an exception is of a type, or of one that is derived from it. Names may lack their beginning.
fn is_exception(exception: &str, wanted: &str) -> bool {
    const BASES: [(&str, &str); 14] = [
        ("itemnotfoundexception", "sessionstateexception"),
        ("sessionstateexception", "runtimeexception"),
        ("commandnotfoundexception", "runtimeexception"),
        ("parameterbindingexception", "runtimeexception"),
        ("parameterbindingvalidationexception", "parameterbindingexception"),
        ("psinvalidcastexception", "invalidcastexception"),
        ("methodinvocationexception", "runtimeexception"),
        ("dividebyzeroexception", "arithmeticexception"),
        ("filenotfoundexception", "ioexception"),
        ("directorynotfoundexception", "ioexception"),
        ("managementobjectnotfoundexception", "localizedexception"),
        ("argumentnullexception", "argumentexception"),
        ("argumentoutofrangeexception", "argumentexception"),
        ("overflowexception", "arithmeticexception"),
    ];
    let short = |name: &str| name.rsplit('.').next().unwrap_or(name).to_ascii_lowercase();
    let wanted_short = short(wanted);
    if matches!(wanted_short.as_str(), "exception" | "systemexception") {
        return true;
    }
    let mut name = short(exception);
    // A chain of bases is shorter than their table.
    for _ in 0..BASES.len() {
        if name == wanted_short {
            return true;
        }
        match BASES.iter().find(|(derived, _)| *derived == name) {
            Some((_, base)) => name = (*base).to_owned(),
            None => return false,
        }
    }
    false
}
