//! The command of the shell that does what a page is about to do, as an administrator would write it.
//!
//! Takes a command's name and its parameters as the registry takes them, hands on one line that the shell reads as the same
//! call: for the clipboard, for scripts, for the ticket.

use gatepost_manage::command::{self, Kind};
use serde_json::{Map, Value};

/// The command as a line. What it is about comes first: the identity without its parameter's name, as everybody writes it; of
/// rights on a connector, through the pipeline, as the articles have it. A password is never part of it: the shell asks for it.
pub fn command_line(name: &str, parameters: &Map<String, Value>) -> String {
    let identity = parameters.get("Identity").map(|identity| text(identity, None));
    let is_about_rights = matches!(name, "Add-ADPermission" | "Remove-ADPermission");
    let mut line = match (&identity, is_about_rights) {
        (Some(identity), true) => format!("Get-ReceiveConnector {identity} | {name}"),
        (Some(identity), false) => format!("{name} {identity}"),
        (None, _) => name.to_owned(),
    };
    // In the order of the signature, which is that of importance; JSON knows none.
    let signature = command::find(name).map(|entry| entry.signature);
    let known = signature.iter().flat_map(|signature| signature.parameters).filter_map(|parameter| {
        let (name, value) = parameters.iter().find(|(name, _)| name.eq_ignore_ascii_case(parameter.name))?;
        Some((name, value, Some(parameter.kind)))
    });
    let is_known = |name: &str| {
        let mut parameters = signature.iter().flat_map(|signature| signature.parameters);
        parameters.any(|parameter| parameter.name.eq_ignore_ascii_case(name))
    };
    let others = parameters.iter().filter(|(name, _)| !is_known(name)).map(|(name, value)| (name, value, None));
    for (name, value, kind) in known.chain(others).filter(|(name, ..)| *name != "Identity") {
        match (kind, value) {
            (Some(Kind::Switch), Value::Bool(true)) => line.push_str(&format!(" -{name}")),
            (Some(Kind::Switch), Value::Bool(false)) => line.push_str(&format!(" -{name}:$false")),
            (Some(Kind::Secret), Value::String(_)) => {
                line.push_str(&format!(" -{name} (Read-Host -AsSecureString {})", quoted(name)));
            }
            (Some(Kind::Credential), Value::Object(given)) => {
                let user = given.get("UserName").and_then(Value::as_str).unwrap_or_default();
                line.push_str(&format!(" -{name} (Get-Credential {})", quoted(user)));
            }
            _ => line.push_str(&format!(" -{name} {}", text(value, kind))),
        }
    }
    line
}

/// One value as an argument.
fn text(value: &Value, kind: Option<Kind>) -> String {
    match value {
        Value::Null => "$null".to_owned(),
        Value::Bool(true) => "$true".to_owned(),
        Value::Bool(false) => "$false".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => match kind {
            Some(Kind::Size) if is_size(text) => text.clone(),
            Some(Kind::OneOf(_) | Kind::Flags(_)) if is_plain(text) => text.clone(),
            _ => quoted(text),
        },
        Value::Array(values) if values.is_empty() => "@()".to_owned(),
        Value::Array(values) => {
            let kind = match kind {
                Some(Kind::List(of) | Kind::MultiValued(of) | Kind::Rest(of)) => Some(*of),
                other => other,
            };
            values.iter().map(|value| text(value, kind)).collect::<Vec<_>>().join(",")
        }
        Value::Object(table) => {
            let pairs = table.iter().map(|(name, value)| format!("{name}={}", text(value, kind)));
            format!("@{{{}}}", pairs.collect::<Vec<_>>().join("; "))
        }
    }
}

/// A word that means itself among arguments.
fn is_plain(text: &str) -> bool {
    !text.is_empty()
        && text.chars().all(|letter| letter.is_ascii_alphanumeric())
        && text.starts_with(|first: char| first.is_ascii_alphabetic())
}

/// A number with a suffix that the language multiplies out.
fn is_size(text: &str) -> bool {
    let digits = ["KB", "MB", "GB"].iter().find_map(|suffix| text.strip_suffix(suffix));
    digits.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit()))
}

/// Text in double quotes, as the articles write it; in single ones where something in it would mean more than itself there.
fn quoted(text: &str) -> String {
    // Quotes as word processors write them count as quotes, too.
    let means_more = |letter: char| matches!(letter, '$' | '`' | '"' | '\u{201c}' | '\u{201d}' | '\u{201e}');
    if !text.chars().any(means_more) {
        return format!("\"{text}\"");
    }
    let mut line = String::with_capacity(text.len() + 2);
    line.push('\'');
    for letter in text.chars() {
        if matches!(letter, '\'' | '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}') {
            line.push(letter);
        }
        line.push(letter);
    }
    line.push('\'');
    line
}

#[cfg(test)]
mod tests {
    use gatepost_shell::parse::parse;
    use gatepost_shell::source::Source;
    use gatepost_shell::syntax::{Argument, Expression, ExpressionKind, PipelineElement, StatementKind};
    use serde_json::json;

    use super::*;

    fn line(name: &str, parameters: Value) -> String {
        command_line(name, parameters.as_object().expect("an object"))
    }

    #[test]
    fn lines_are_what_the_articles_show() {
        for (name, parameters, expected) in [
            (
                "Add-ADPermission",
                json!({"Identity": "CRM Application", "ExtendedRights": ["ms-Exch-SMTP-Accept-Any-Recipient"],
                    "User": "NT AUTHORITY\\ANONYMOUS LOGON"}),
                "Get-ReceiveConnector \"CRM Application\" | Add-ADPermission -User \"NT AUTHORITY\\ANONYMOUS LOGON\" \
                 -ExtendedRights \"ms-Exch-SMTP-Accept-Any-Recipient\"",
            ),
            (
                "New-ReceiveConnector",
                json!({"Name": "Relay", "Usage": "Custom", "Bindings": ["0.0.0.0:25"],
                    "RemoteIPRanges": ["192.168.2.55", "192.168.2.56"]}),
                "New-ReceiveConnector -Name \"Relay\" -Usage Custom -Bindings \"0.0.0.0:25\" \
                 -RemoteIPRanges \"192.168.2.55\",\"192.168.2.56\"",
            ),
            (
                "Set-ReceiveConnector",
                json!({"Identity": "Relay", "PermissionGroups": ["ExchangeServers"], "MaxMessageSize": "50MB",
                    "AuthMechanism": ["Tls", "ExternalAuthoritative"], "Enabled": false, "Banner": null,
                    "MessageRateLimit": 5, "RemoteIPRanges": {"Add": ["10.0.0.1"]}}),
                "Set-ReceiveConnector \"Relay\" -RemoteIPRanges @{Add=\"10.0.0.1\"} -AuthMechanism \
                 Tls,ExternalAuthoritative -PermissionGroups ExchangeServers -Enabled $false -Banner $null \
                 -MaxMessageSize 50MB -MessageRateLimit 5",
            ),
            (
                "Remove-ADPermission",
                json!({"Identity": "A", "User": "bob", "ExtendedRights": ["x"], "Deny": true}),
                "Get-ReceiveConnector \"A\" | Remove-ADPermission -User \"bob\" -ExtendedRights \"x\" -Deny",
            ),
            // The shell asks for what is not shown.
            (
                "Set-SendConnector",
                json!({"Identity": "Out", "AuthenticationCredential": {"UserName": "us", "Password": "hidden"}}),
                "Set-SendConnector \"Out\" -AuthenticationCredential (Get-Credential \"us\")",
            ),
            (
                "Set-User",
                json!({"Identity": "bob", "Password": "hidden"}),
                "Set-User \"bob\" -Password (Read-Host -AsSecureString \"Password\")",
            ),
        ] {
            assert_eq!(line(name, parameters), expected);
        }
    }

    /// What the shell makes of an argument that is text.
    fn argument_text(expression: &Expression) -> Option<String> {
        match &expression.kind {
            ExpressionKind::Text(text) => Some(text.clone()),
            _ => None,
        }
    }

    #[test]
    fn every_text_reaches_the_command_as_it_is() {
        for wanted in [
            "plain",
            "two words",
            "it's",
            "say \"hello\"",
            "$env:PATH",
            "$(Remove-ReceiveConnector *)",
            "a`nb",
            "\u{2018}curly\u{2019} \u{201c}quotes\u{201d} $x",
            "semi; colon | pipe",
            "back\\slash",
            "new\nline",
            "",
            "-Force",
            "#",
            "@{x=1}",
            "ünïcödé",
            "'",
            "$'",
        ] {
            let line = line("Set-ReceiveConnector", json!({"Identity": wanted, "Comment": wanted}));
            let script = parse(&Source::new("", line.as_str())).unwrap_or_else(|errors| panic!("{line}: {errors:?}"));
            let [statement] = &script.end[..] else { panic!("{line}: not one statement") };
            let StatementKind::Pipeline(pipeline) = &statement.kind else { panic!("{line}: no pipeline") };
            let [PipelineElement::Command(call)] = &pipeline.elements[..] else { panic!("{line}: not one command") };
            let values = call.arguments.iter().filter_map(|argument| match argument {
                Argument::Value(value) => Some(argument_text(value)),
                _ => None,
            });
            let wanted = Some(wanted.to_owned());
            assert_eq!(values.collect::<Vec<_>>(), [wanted.clone(), wanted], "{line}");
        }
    }
}
