//! Send-MailMessage, and AssembleMessage, which writes what Export-Message hands out.

use crate::command::{Call, Kind, Signature};
use crate::context::{Context, Stage, StockCommand};
use crate::convert;
use crate::fault::{Category, Fault, Severity};
use crate::member;
use crate::member::mail::{account, addresses, enclose, port, priority, send};
use crate::path;
use crate::value::Value;
use crate::world::{Enclosure, Letter};

use super::file;
use super::parameter::{ANY, SIGNATURE, VALUES, also, at, input, named, needed, piped, switch};

/// Send-MailMessage.
pub(super) const SEND: StockCommand = StockCommand {
    signature: &Signature {
        name: "Send-MailMessage",
        synopsis: "Sends a message from this machine by SMTP; nothing of it goes through the commands about the server.",
        parameters: &[
            at(0, "To", VALUES, "Recipients: a@contoso.com, or Name <a@contoso.com>."),
            also(&["sub"], at(1, "Subject", Kind::Text, "The subject.")),
            at(2, "Body", Kind::Text, "The text."),
            also(&["ComputerName"], at(3, "SmtpServer", Kind::Text, "The server; $PSEmailServer without it.")),
            needed(named("From", ANY, "The sender.")),
            named("Cc", VALUES, "Recipients of copies."),
            named("Bcc", VALUES, "Recipients whom the others do not see."),
            named("ReplyTo", VALUES, "Where answers go."),
            piped(also(&["PsPath"], named("Attachments", VALUES, "Files; they may come by the pipeline."))),
            also(&["BAH"], switch("BodyAsHtml", "The body is HTML.")),
            also(&["BE"], named("Encoding", ANY, "Taken, and of no consequence: messages are UTF-8.")),
            named("Port", ANY, "The port; 25 without it. On 465 TLS comes first."),
            switch("UseSsl", "Not without TLS, and only to a server whose certificate is good."),
            named(
                "Credential",
                Kind::Credential,
                "Who logs on. The password goes through TLS only, or to this machine.",
            ),
            named("Priority", Kind::OneOf(&["Normal", "High", "Low"]), "How urgent it says it is."),
            also(&["DNO"], named("DeliveryNotificationOption", ANY, "Taken, and of no consequence.")),
        ],
        examples: &[
            (
                "Send-MailMessage -SmtpServer mail.contoso.com -From app@contoso.com -To admin@contoso.com -Subject 'Ranges' -Body (Get-Content report.txt | Out-String)",
                "Mails a report.",
            ),
            (
                "Send-MailMessage -SmtpServer mail.contoso.com -Port 587 -UseSsl -Credential (Get-Credential) -From app@contoso.com -To z@example.net -Subject Test -Body x -Attachments a.csv",
                "Logs on, and encloses a file.",
            ),
        ],
        ..SIGNATURE
    },
    make: || Box::new(SendMail::default()),
};

#[derive(Default)]
struct SendMail {
    enclosures: Vec<Enclosure>,
}

impl Stage for SendMail {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        for attachment in call.argument("Attachments").map(convert::elements).unwrap_or_default() {
            enclose(context, &mut self.enclosures, &file::path_text(&attachment))?;
        }
        Ok(())
    }

    fn end(&mut self, context: &mut dyn Context, call: &Call<'_>) -> Result<(), Fault> {
        let value = |name: &str| call.argument(name).cloned().unwrap_or_default();
        let text = |name: &str| call.argument(name).map(convert::text).unwrap_or_default();
        let letter = Letter {
            server: text("SmtpServer"),
            port: port(&value("Port"))?,
            uses_tls: call.is_set("UseSsl"),
            account: account(&value("Credential")),
            sender: addresses(&value("From")).pop().unwrap_or_default(),
            to: addresses(&value("To")),
            copies: addresses(&value("Cc")),
            hidden: addresses(&value("Bcc")),
            reply_to: addresses(&value("ReplyTo")),
            subject: text("Subject"),
            body: text("Body"),
            is_html: call.is_set("BodyAsHtml"),
            priority: priority(&value("Priority")),
            enclosures: std::mem::take(&mut self.enclosures),
            ..Letter::default()
        };
        // As in the original the script goes on: a report that cannot be mailed is no reason to stop.
        send(context, &letter).map_err(|fault| fault.with_severity(Severity::Continuing))
    }
}

/// AssembleMessage.
pub(super) const ASSEMBLE: StockCommand = StockCommand {
    signature: &Signature {
        name: "AssembleMessage",
        synopsis: "Writes the message that Export-Message hands out into a file.",
        parameters: &[needed(at(0, "Path", Kind::Text, "The file, as C:\\Temp\\1234.eml.")), input()],
        examples: &[(
            "Export-Message 1234 | AssembleMessage -Path C:\\Temp\\1234.eml",
            "Keeps a suspended message as a file.",
        )],
        ..SIGNATURE
    },
    make: || Box::new(Assemble),
};

struct Assemble;

impl Stage for Assemble {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, input: Option<&Value>) -> Result<(), Fault> {
        let Some(message) = input.or_else(|| call.argument("InputObject")) else {
            return Err(Fault::new(
                Category::InvalidArgument,
                "AssembleMessage wants a message: Export-Message 1234 | AssembleMessage -Path 1234.eml",
            ));
        };
        let encoded = match message {
            Value::Object(object) => object.get("Base64"),
            _ => None,
        };
        let bytes = encoded.and_then(|encoded| member::unbase64(&convert::text(&encoded))).ok_or_else(|| {
            Fault::new(
                Category::InvalidArgument,
                "AssembleMessage takes what Export-Message hands out, and nothing else.",
            )
        })?;
        let file = call.argument("Path").map(convert::text).unwrap_or_default();
        context.charge(bytes.len())?;
        context.world().write_file(&file, &bytes, false).map_err(|error| path::failed(&file, &error))
    }
}
