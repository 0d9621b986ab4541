//! The addresses of a recipient as Exchange lists them: `SMTP:` before the primary one, `smtp:` before the others.
//!
//! Takes those that there are and what shall become of them, hands on those that there will be.

use gatepost_mail::Mailbox;
use gatepost_policy::directory::KnownRecipient;
use serde_json::Value as Json;

use super::super::{Arguments, CommandError};

/// All addresses of a recipient.
#[derive(Clone, Debug, PartialEq)]
pub struct Addresses {
    /// The one that is shown.
    pub primary: Mailbox,
    /// The others.
    pub others: Vec<Mailbox>,
}

/// Two addresses are the same where these are.
pub fn key(address: &Mailbox) -> String {
    address.key()
}

impl Addresses {
    /// Those of a recipient.
    pub fn of(recipient: &KnownRecipient) -> Addresses {
        Addresses { primary: recipient.address.clone(), others: recipient.aliases.clone() }
    }

    /// `SMTP:bob@contoso.com`, `smtp:robert@contoso.com`.
    pub fn to_texts(&self) -> Vec<String> {
        let others = self.others.iter().map(|other| format!("smtp:{other}"));
        std::iter::once(format!("SMTP:{}", self.primary)).chain(others).collect()
    }

    /// What `-EmailAddresses` and `-PrimarySmtpAddress` make of them.
    ///
    /// # Errors
    /// [`CommandError::Wrong`].
    pub fn changed(mut self, arguments: &Arguments) -> Result<Addresses, CommandError> {
        match arguments.get("EmailAddresses") {
            None => {}
            Some(Json::Object(change)) => {
                for written in texts(change.get("Remove")) {
                    self.remove(&written)?;
                }
                for written in texts(change.get("Add")) {
                    self.add(&written)?;
                }
            }
            given => self = self.replaced(&texts(given))?,
        }
        if let Some(written) = arguments.text("PrimarySmtpAddress").filter(|text| !text.trim().is_empty()) {
            self.make_primary(address("PrimarySmtpAddress", written)?.1);
        }
        Ok(self)
    }

    fn remove(&mut self, written: &str) -> Result<(), CommandError> {
        let unwanted = key(&address("EmailAddresses", written)?.1);
        if key(&self.primary) == unwanted {
            return Err(CommandError::Wrong(format!(
                "EmailAddresses: {} is the primary address: make another one the primary first, by -PrimarySmtpAddress",
                self.primary
            )));
        }
        let before = self.others.len();
        self.others.retain(|other| key(other) != unwanted);
        if self.others.len() == before {
            let error = format!(
                "EmailAddresses: the value \"{written}\" isn't present in the collection, so it can't be removed"
            );
            return Err(CommandError::Wrong(error));
        }
        Ok(())
    }

    fn add(&mut self, written: &str) -> Result<(), CommandError> {
        let (is_primary, address) = address("EmailAddresses", written)?;
        if is_primary {
            self.make_primary(address);
            return Ok(());
        }
        if self.has(&address) {
            let error = format!("EmailAddresses: the value \"{written}\" is already present in the collection");
            return Err(CommandError::Wrong(error));
        }
        self.others.push(address);
        Ok(())
    }

    fn has(&self, address: &Mailbox) -> bool {
        let wanted = key(address);
        key(&self.primary) == wanted || self.others.iter().any(|other| key(other) == wanted)
    }

    /// The one that was the primary stays, as one of the others.
    fn make_primary(&mut self, address: Mailbox) {
        let wanted = key(&address);
        self.others.retain(|other| key(other) != wanted);
        let before = std::mem::replace(&mut self.primary, address);
        if key(&before) != wanted {
            self.others.insert(0, before);
        }
    }

    /// A whole list: the primary one is what it says to be that, else the one that is it already, else the first.
    fn replaced(self, written: &[String]) -> Result<Addresses, CommandError> {
        let read: Vec<_> = written.iter().map(|text| address("EmailAddresses", text)).collect::<Result<_, _>>()?;
        let mut said = read.iter().filter(|(is_primary, _)| *is_primary).map(|(_, address)| address);
        let primary = match (said.next(), said.next()) {
            (Some(first), Some(second)) => {
                let error =
                    format!("EmailAddresses: both {first} and {second} say SMTP:, and one address is the primary");
                return Err(CommandError::Wrong(error));
            }
            (Some(said), None) => Some(said.clone()),
            _ => {
                let is_it = |address: &&Mailbox| key(address) == key(&self.primary);
                let mut all = read.iter().map(|(_, address)| address);
                all.clone().find(is_it).or_else(|| all.next()).cloned()
            }
        };
        let primary = primary.ok_or_else(|| {
            CommandError::Wrong(
                "EmailAddresses: a recipient has one address at least: write the primary one".to_owned(),
            )
        })?;
        let mut addresses = Addresses { primary, others: Vec::new() };
        for (_, address) in read {
            if !addresses.has(&address) {
                addresses.others.push(address);
            }
        }
        Ok(addresses)
    }
}

fn texts(values: Option<&Json>) -> Vec<String> {
    values.and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).map(str::to_owned).collect()
}

/// An address, and whether `SMTP:` stands before it.
///
/// # Errors
/// [`CommandError::Wrong`]: no address, or one of another kind.
pub fn address(parameter: &str, written: &str) -> Result<(bool, Mailbox), CommandError> {
    let (kind, plain) = written.trim().split_once(':').unwrap_or(("smtp", written.trim()));
    let shown: String = written.chars().take(80).collect();
    if !kind.eq_ignore_ascii_case("smtp") {
        let error =
            format!("{parameter}: \"{}\" is no SMTP address, and there are no others here", shown.escape_debug());
        return Err(CommandError::Wrong(error));
    }
    let wrong =
        |reason| CommandError::Wrong(format!("{parameter}: \"{}\" is no address: {reason}", shown.escape_debug()));
    Ok((kind == "SMTP", Mailbox::parse(plain).map_err(wrong)?))
}

#[cfg(test)]
mod tests {
    use gatepost_shell::command::{Changes, Kind, Signature};
    use serde_json::json;

    use super::super::super::parameter::named;
    use super::*;

    static SIGNATURE: Signature = Signature {
        name: "Set-Mailbox",
        aliases: &[],
        synopsis: "Changes a mailbox.",
        parameters: &[
            named("EmailAddresses", Kind::MultiValued(&Kind::Text), "x"),
            named("PrimarySmtpAddress", Kind::Text, "x"),
        ],
        changes: Changes::Unasked,
        examples: &[],
    };

    #[test]
    fn addresses_are_added_taken_replaced_and_made_primary() {
        let before = ["SMTP:bob@a.example", "smtp:rob@a.example"];
        for (given, expected) in [
            (
                json!({"EmailAddresses": {"Add": ["smtp:b@a.example"]}}),
                Ok("SMTP:bob@a.example smtp:rob@a.example smtp:b@a.example"),
            ),
            (
                json!({"EmailAddresses": {"Add": ["b@a.example"], "Remove": ["ROB@A.example"]}}),
                Ok("SMTP:bob@a.example smtp:b@a.example"),
            ),
            (
                json!({"EmailAddresses": {"Add": ["SMTP:b@a.example"]}}),
                Ok("SMTP:b@a.example smtp:bob@a.example smtp:rob@a.example"),
            ),
            (
                json!({"EmailAddresses": ["smtp:x@a.example", "SMTP:y@a.example"]}),
                Ok("SMTP:y@a.example smtp:x@a.example"),
            ),
            (json!({"EmailAddresses": ["x@a.example", "bob@a.example"]}), Ok("SMTP:bob@a.example smtp:x@a.example")),
            (json!({"EmailAddresses": ["x@a.example", "X@a.example"]}), Ok("SMTP:x@a.example")),
            (json!({"PrimarySmtpAddress": "rob@a.example"}), Ok("SMTP:rob@a.example smtp:bob@a.example")),
            (json!({"PrimarySmtpAddress": "Bob@a.example"}), Ok("SMTP:Bob@a.example smtp:rob@a.example")),
            (
                json!({"PrimarySmtpAddress": "n@a.example", "EmailAddresses": {"Remove": ["rob@a.example"]}}),
                Ok("SMTP:n@a.example smtp:bob@a.example"),
            ),
            (json!({"EmailAddresses": {"Remove": ["bob@a.example"]}}), Err("is the primary address")),
            (json!({"EmailAddresses": {"Remove": ["x@a.example"]}}), Err("isn't present in the collection")),
            (json!({"EmailAddresses": {"Add": ["rob@a.example"]}}), Err("is already present")),
            (json!({"EmailAddresses": ["SMTP:a@a.example", "SMTP:b@a.example"]}), Err("one address is the primary")),
            (json!({"EmailAddresses": []}), Err("one address at least")),
            (json!({"EmailAddresses": ["X400:c=us"]}), Err("is no SMTP address")),
            (json!({"EmailAddresses": ["bob"]}), Err("is no address")),
        ] {
            let Json::Object(written) = given.clone() else { panic!("an object") };
            let arguments = Arguments::read(&SIGNATURE, written).expect("sound");
            let addresses = Addresses {
                primary: address("x", before[0]).expect("an address").1,
                others: vec![address("x", before[1]).expect("an address").1],
            };
            match (addresses.changed(&arguments), expected) {
                (Ok(changed), Ok(expected)) => assert_eq!(changed.to_texts().join(" "), expected, "{given}"),
                (Err(error), Err(part)) => assert!(error.to_string().contains(part), "{given}: {error}"),
                (found, _) => panic!("{given}: {found:?}"),
            }
        }
    }
}
