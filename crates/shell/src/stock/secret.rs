//! Secrets and who knows them: Get-Credential, ConvertTo-SecureString.

use std::rc::Rc;

use crate::command::{Call, Kind, Signature};
use crate::context::{Context, Stage, StockCommand};
use crate::convert::{self};
use crate::fault::{Category, Fault};
use crate::member;
use crate::value::Value;
use crate::world::Stream;

use super::parameter::{ANY, SIGNATURE, also, at, named, needed, piped, switch};

/// Get-Credential.
pub(super) const GET_CREDENTIAL: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-Credential",
        synopsis: "Asks for a name and a password.",
        parameters: &[
            also(&["UserName"], at(0, "Credential", ANY, "The name, or a credential that is handed on.")),
            named("Message", Kind::Text, "What is said before."),
            named("Title", Kind::Text, "Taken, and of no consequence."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(GetCredential),
};

struct GetCredential;

impl Stage for GetCredential {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        if let Some(done @ Value::Object(_)) = call.argument("Credential") {
            return context.value(done.clone());
        }
        if let Some(message) = call.argument("Message").map(convert::text) {
            context.write(Stream::Host, &format!("{message}\n"), (None, None))?;
        }
        let user = match call.argument("Credential").map(convert::text) {
            Some(user) if !user.is_empty() => user,
            _ => convert::text(&member::read(context, "User: ")?),
        };
        let password = member::read_secret(context, &format!("Password for user {user}: "))?;
        context.value(member::credential(&user, Value::foreign(member::Secret(Rc::from(password.as_str())))))
    }
}

/// ConvertTo-SecureString.
pub(super) const TO_SECURE_STRING: StockCommand = StockCommand {
    signature: &Signature {
        name: "ConvertTo-SecureString",
        synopsis: "Makes a secret of text.",
        parameters: &[
            needed(piped(at(0, "String", Kind::Text, "The text."))),
            switch("AsPlainText", "The text is the secret itself; the only kind that is read here."),
            switch("Force", "Taken, and of no consequence."),
            named("Key", ANY, "Refused."),
            named("SecureKey", ANY, "Refused."),
        ],
        ..SIGNATURE
    },
    make: || Box::new(ToSecureString),
};

struct ToSecureString;

impl Stage for ToSecureString {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        if !call.is_set("AsPlainText") {
            return Err(Fault::new(
                Category::InvalidArgument,
                "ConvertTo-SecureString reads plain text only (-AsPlainText -Force): secrets that a Windows account has protected cannot be read here.",
            ));
        }
        let text = call.argument("String").map(convert::text).unwrap_or_default();
        context.value(Value::foreign(member::Secret(Rc::from(text.as_str()))))
    }
}
