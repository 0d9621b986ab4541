//! Mail that a script sends itself: `System.Net.Mail.SmtpClient` with its messages, and what Send-MailMessage shares with it.
//!
//! Takes what the script says, hands a [`Letter`] to the world. Knows neither how a message is written nor how it is sent.

use std::rc::Rc;
use std::time::Duration;

use crate::context::{Context, VariableScope};
use crate::convert;
use crate::fault::{Category, Fault};
use crate::path;
use crate::value::{ListKind, Object, Table, Value, View};
use crate::world::{Enclosure, Letter};

use super::arguments::Arguments;
use super::tool::Secret;

/// Bytes of all attachments of a letter.
const ATTACHMENTS_BYTES_MAX: usize = 64 << 20;
/// How long sending may take, as in the original.
const TIMEOUT_MS: i64 = 100_000;
const PORT: u16 = 25;

pub(super) static CLIENT: View = View { type_name: "System.Net.Mail.SmtpClient", table: &[], identity: "Host" };
pub(super) static MESSAGE: View = View { type_name: "System.Net.Mail.MailMessage", table: &[], identity: "Subject" };
static ATTACHMENT: View = View { type_name: "System.Net.Mail.Attachment", table: &[], identity: "Name" };
static ACCOUNT: View = View { type_name: "System.Net.NetworkCredential", table: &[], identity: "UserName" };

fn object(view: &'static View, properties: Vec<(&'static str, Value)>) -> Value {
    let properties = properties.into_iter().map(|(name, value)| (name.into(), value)).collect();
    Value::Object(Rc::new(Object::new(view, properties)))
}

/// What `New-Object` makes of the classes of this module; `None`: it is none of them.
pub(super) fn make(context: &mut dyn Context, full: &str, arguments: &Arguments<'_>) -> Option<Result<Value, Fault>> {
    let given = |at: usize| arguments.values.get(at).cloned().unwrap_or_default();
    let text = |at: usize| Value::text(convert::text(&given(at)));
    let addresses = |value: Value| {
        Value::list(if value.is_null() { Vec::new() } else { convert::elements(&value) }, ListKind::Growing)
    };
    Some(Ok(match full {
        "System.Net.Mail.SmtpClient" => object(
            &CLIENT,
            vec![
                ("Host", given(0)),
                ("Port", arguments.values.get(1).cloned().unwrap_or(Value::Int(PORT.into()))),
                ("EnableSsl", Value::Bool(false)),
                ("Credentials", Value::Null),
                ("UseDefaultCredentials", Value::Bool(false)),
                ("DeliveryMethod", Value::text("Network")),
                ("Timeout", Value::Int(TIMEOUT_MS)),
            ],
        ),
        "System.Net.Mail.MailMessage" => object(
            &MESSAGE,
            vec![
                ("From", given(0)),
                ("Sender", Value::Null),
                ("To", addresses(given(1))),
                ("CC", addresses(Value::Null)),
                ("Bcc", addresses(Value::Null)),
                ("ReplyTo", Value::Null),
                ("ReplyToList", addresses(Value::Null)),
                ("Subject", text(2)),
                ("Body", text(3)),
                ("IsBodyHtml", Value::Bool(false)),
                ("Priority", Value::text("Normal")),
                ("Attachments", addresses(Value::Null)),
                ("Headers", Value::Table(Rc::new(Table::default().into()))),
                ("SubjectEncoding", Value::Null),
                ("BodyEncoding", Value::Null),
                ("DeliveryNotificationOptions", Value::text("None")),
            ],
        ),
        "System.Net.Mail.Attachment" => match arguments.text(0) {
            Ok(file) => {
                // A file that is not there is told of here, as in the original.
                if let Err(error) = context.world().entry(&file).and_then(|entry| entry.ok_or_else(not_found)) {
                    return Some(Err(path::failed(&file, &error)));
                }
                object(&ATTACHMENT, vec![("Name", Value::text(path::leaf(&file))), ("Path", Value::text(&file))])
            }
            Err(fault) => return Some(Err(fault)),
        },
        "System.Net.NetworkCredential" => {
            object(&ACCOUNT, vec![("UserName", text(0)), ("Password", given(1)), ("Domain", text(2))])
        }
        _ => return None,
    }))
}

fn not_found() -> std::io::Error {
    std::io::ErrorKind::NotFound.into()
}

/// Calls a method of an object of this module; `None`: it is none, or has no such method.
pub(super) fn call(
    context: &mut dyn Context,
    object: &Object,
    lower: &str,
    arguments: &Arguments<'_>,
) -> Option<Result<Option<Value>, Fault>> {
    let is_sent = std::ptr::eq(object.view, &CLIENT) && matches!(lower, "send" | "sendmailasync");
    is_sent.then(|| send_by_client(context, object, arguments).map(|()| None))
}

fn send_by_client(context: &mut dyn Context, client: &Object, arguments: &Arguments<'_>) -> Result<(), Fault> {
    let get = |object: &Object, name: &str| object.get(name).unwrap_or_default();
    let mut letter = match arguments.values {
        [Value::Object(message)] if std::ptr::eq(message.view, &MESSAGE) => {
            let reply_to = match get(message, "ReplyTo") {
                Value::Null => addresses(&get(message, "ReplyToList")),
                one => addresses(&one),
            };
            let mut enclosures = Vec::new();
            for attachment in convert::elements(&get(message, "Attachments")) {
                let file = match &attachment {
                    Value::Object(object) => convert::text(&object.get("Path").unwrap_or_default()),
                    other => convert::text(other),
                };
                enclose(context, &mut enclosures, &file)?;
            }
            Letter {
                sender: addresses(&get(message, "From")).pop().unwrap_or_default(),
                to: addresses(&get(message, "To")),
                copies: addresses(&get(message, "CC")),
                hidden: addresses(&get(message, "Bcc")),
                reply_to,
                subject: convert::text(&get(message, "Subject")),
                body: convert::text(&get(message, "Body")),
                is_html: convert::truth(&get(message, "IsBodyHtml")),
                priority: priority(&get(message, "Priority")),
                enclosures,
                ..Letter::default()
            }
        }
        [from, to, subject, body] => Letter {
            sender: addresses(from).pop().unwrap_or_default(),
            to: addresses(to),
            subject: convert::text(subject),
            body: convert::text(body),
            ..Letter::default()
        },
        _ => {
            arguments.need(4)?;
            return Err(super::arguments::invalid("Send wants a message, or from, to, subject and body"));
        }
    };
    letter.server = convert::text(&get(client, "Host"));
    letter.port = port(&get(client, "Port"))?;
    letter.uses_tls = convert::truth(&get(client, "EnableSsl"));
    letter.account = account(&get(client, "Credentials"));
    let timeout = convert::integer(&get(client, "Timeout")).unwrap_or(TIMEOUT_MS);
    letter.timeout = Duration::from_millis(u64::try_from(timeout).unwrap_or(TIMEOUT_MS as u64));
    send(context, &letter)
}

/// Sends a letter; the server is `$PSEmailServer` where it names none.
///
/// # Errors
/// Why it was not sent.
pub fn send(context: &mut dyn Context, letter: &Letter) -> Result<(), Fault> {
    let refused = |message: &str| Err(super::arguments::invalid(message));
    let mut letter = letter.clone();
    if letter.server.trim().is_empty() {
        let server = context.variable(VariableScope::Nearest, "PSEmailServer");
        letter.server = server.as_ref().map(convert::text).unwrap_or_default();
    }
    if letter.server.trim().is_empty() {
        return refused(
            "The email cannot be sent because no SMTP server was specified. You must specify an SMTP server by using either the SmtpServer parameter or the $PSEmailServer variable.",
        );
    }
    if letter.sender.is_empty() {
        return refused("A from address must be specified.");
    }
    if letter.to.is_empty() && letter.copies.is_empty() && letter.hidden.is_empty() {
        return refused("A recipient must be specified.");
    }
    // What was written before is to be seen while the other server takes its time.
    context.show(None)?;
    context.world().submit(&letter).map_err(|why| {
        let mut fault = Fault::new(Category::InvalidOperation, why);
        fault.exception = "System.Net.Mail.SmtpException";
        fault.target = Some(letter.server.clone());
        fault
    })
}

/// Adds a file to what is enclosed.
///
/// # Errors
/// When it cannot be read, or all of them are too large.
pub fn enclose(context: &mut dyn Context, enclosures: &mut Vec<Enclosure>, file: &str) -> Result<(), Fault> {
    let before: usize = enclosures.iter().map(|enclosure| enclosure.bytes.len()).sum();
    let left = ATTACHMENTS_BYTES_MAX.saturating_sub(before);
    let bytes = context.world().read_file(file, left).map_err(|error| path::failed(file, &error))?;
    context.charge(bytes.len())?;
    enclosures.push(Enclosure { name: path::leaf(file).to_owned(), bytes });
    Ok(())
}

/// Addresses as they are written: one, several in a list, or several in one text with commas between.
pub fn addresses(value: &Value) -> Vec<String> {
    let mut all = Vec::new();
    for one in if value.is_null() { Vec::new() } else { convert::elements(value) } {
        let text = match &one {
            Value::Object(object) => {
                let (name, address) = (object.get("DisplayName"), object.get("Address"));
                let name = name.as_ref().map(convert::text).unwrap_or_default();
                match address {
                    Some(address) if name.is_empty() => convert::text(&address),
                    Some(address) => format!("\"{name}\" <{}>", convert::text(&address)),
                    None => convert::text(&one),
                }
            }
            other => convert::text(other),
        };
        all.extend(divided(&text));
    }
    all
}

/// The text divided at commas that stand neither in quotation marks nor in angle brackets.
fn divided(text: &str) -> Vec<String> {
    let (mut is_quoted, mut is_inside) = (false, false);
    let parts = text.split(|sign: char| {
        match sign {
            '"' => is_quoted = !is_quoted,
            '<' if !is_quoted => is_inside = true,
            '>' if !is_quoted => is_inside = false,
            _ => {}
        }
        matches!(sign, ',' | ';') && !is_quoted && !is_inside
    });
    parts.map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// The name and the secret of a credential, of either class.
pub fn account(value: &Value) -> Option<(String, Rc<str>)> {
    let Value::Object(object) = value else { return None };
    let part = |name: &str| object.get(name).unwrap_or_default();
    let (user, domain) = (convert::text(&part("UserName")), convert::text(&part("Domain")));
    let password = part("Password");
    let secret = match password.downcast::<Secret>() {
        Some(secret) => secret.0.clone(),
        None => Rc::from(convert::text(&password)),
    };
    let user = if domain.is_empty() { user } else { format!("{domain}\\{user}") };
    (!user.is_empty()).then_some((user, secret))
}

/// A port; the usual one where none is given.
///
/// # Errors
/// When it is none.
pub fn port(value: &Value) -> Result<u16, Fault> {
    if value.is_null() {
        return Ok(PORT);
    }
    let number = convert::integer(value)?;
    let port = u16::try_from(number).ok().filter(|port| *port > 0);
    port.ok_or_else(|| super::arguments::out_of_range(&format!("{number} is no port")))
}

/// What a priority is, where it is not the usual one.
pub fn priority(value: &Value) -> Option<&'static str> {
    let name = convert::text(value);
    ["High", "Low"].into_iter().find(|known| known.eq_ignore_ascii_case(&name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_divided_at_commas_that_mean_it() {
        for (text, expected) in [
            ("a@contoso.com", vec!["a@contoso.com"]),
            ("a@contoso.com, b@contoso.com;c@contoso.com", vec!["a@contoso.com", "b@contoso.com", "c@contoso.com"]),
            ("\"Doe, Jane\" <jane@contoso.com>", vec!["\"Doe, Jane\" <jane@contoso.com>"]),
            (" , ", vec![]),
        ] {
            assert_eq!(addresses(&Value::text(text)), expected, "{text}");
        }
        assert!(addresses(&Value::Null).is_empty());
    }

    #[test]
    fn an_account_is_read_from_either_class() {
        let plain = object(&ACCOUNT, vec![("UserName", Value::text("app")), ("Password", Value::text("x"))]);
        let domain = Value::text("CONTOSO");
        let secret = Value::foreign(Secret("y".into()));
        let named = object(&ACCOUNT, vec![("UserName", Value::text("app")), ("Password", secret), ("Domain", domain)]);
        assert_eq!(account(&plain), Some(("app".to_owned(), "x".into())));
        assert_eq!(account(&named), Some(("CONTOSO\\app".to_owned(), "y".into())));
        assert_eq!(account(&Value::Null), None);
    }
}
