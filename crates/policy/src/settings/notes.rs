//! Reads what stands beside a range or an entry: `owner`, `ticket`, `comment`, `expires`.

use jiff::Timestamp;
use toml::de::DeValue;

use super::reader::{Fields, Wrong, shown};
use super::values;
use crate::note::Note;

/// The four keys; `None` where none of them is there.
pub(super) fn read(fields: &mut Fields<'_, '_, '_>) -> Option<Box<Note>> {
    let note = Note {
        owner: fields.optional("owner", values::mailbox),
        ticket: fields.optional("ticket", ticket),
        comment: fields.optional("comment", |value| values::comment(value).map(Into::into)),
        expires_ms: fields.optional("expires", instant),
    };
    (note != Note::default()).then(|| note.into())
}

fn ticket(value: &DeValue<'_>) -> Result<Box<str>, Wrong> {
    let name = values::name(value);
    name.map(Into::into)
        .map_err(|wrong| Wrong { message: wrong.message.replace("is no name", "is no ticket"), ..wrong })
}

/// An instant as RFC 3339 writes it, with its offset, in milliseconds since 1970 UTC: a TOML date-time or a text. One before
/// 1970 is 1970.
fn instant(value: &DeValue<'_>) -> Result<u64, Wrong> {
    const REMEDY: &str = "write date, time and offset from UTC: 2027-01-31T00:00:00+01:00, or with Z for UTC";
    let text = match value {
        DeValue::Datetime(written) => written.to_string(),
        DeValue::String(text) => text.trim().to_owned(),
        _ => return Err(values::wrong_type("a date with a time", value, REMEDY)),
    };
    if let Ok(instant) = text.parse::<Timestamp>() {
        return Ok(instant.as_millisecond().try_into().unwrap_or(0));
    }
    let lacks_offset = text.parse::<jiff::civil::DateTime>().is_ok();
    let why = if lacks_offset { "does not say in which time zone" } else { "is no date with a time" };
    Err(Wrong::new(format!("`{}` {why}", shown(&text)), REMEDY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instant_has_an_offset() {
        for (text, expected) in [
            ("2027-01-31T00:00:00+01:00", Some(1_801_350_000_000)),
            ("2027-01-30T23:00:00Z", Some(1_801_350_000_000)),
            ("2027-01-30 23:00:00z", Some(1_801_350_000_000)),
            ("2027-01-30T23:00:00.5Z", Some(1_801_350_000_500)),
            ("1969-07-20T20:17:40Z", Some(0)),
            ("2027-01-31T00:00:00", None),
            ("2027-01-31", None),
            ("2027-02-30T00:00:00Z", None),
            ("00:00:00", None),
            ("tomorrow", None),
            ("", None),
        ] {
            assert_eq!(instant(&DeValue::String(text.into())).ok(), expected, "{text}");
        }
    }
}
