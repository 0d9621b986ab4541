//! What a person says of a device, as the form takes it.

use gatepost_policy::public_address;
use gatepost_policy::receive_connector::RemoteRange;
use serde_json::Value;

use crate::fields::Fields;
use crate::mistake::Mistake;
use crate::text::end_of_day;

/// Whom it writes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Recipients in our own domains alone: no relay at all.
    Own,
    /// These, as patterns.
    These(Vec<String>),
    /// Anybody.
    Anywhere,
}

/// What is known of a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    pub address: String,
    pub what: String,
    pub owner: Option<String>,
    pub ticket: Option<String>,
    pub until: Option<String>,
    pub senders: Vec<String>,
    pub reach: Reach,
    pub port: u16,
}

impl Device {
    /// What a form says.
    ///
    /// # Errors
    /// All that is missing or wrong, and what to write instead.
    pub fn read(fields: &Fields) -> Result<Device, Vec<Mistake>> {
        let mut mistakes = Vec::new();
        let mut wrong = |field, said: String| mistakes.push(Mistake::at(field, said));
        let address = fields.text("address").to_owned();
        match RemoteRange::parse(&address, 0..0) {
            Ok(range) if public_address::public().overlaps(range.first, range.last) => wrong(
                "address",
                format!(
                    "{address} is public, or holds addresses that are. A public address is to log on, and is never given a right to relay."
                ),
            ),
            Ok(_) => {}
            Err(error) => wrong(
                "address",
                format!("{error}. Write the device's address, as 192.168.2.55, or a range: 192.168.2.0/24."),
            ),
        }
        let what = fields.text("what").to_owned();
        if what.is_empty() || what.chars().count() > 60 {
            wrong("what", "Say it in 1 to 60 characters, as Scanner, third floor.".to_owned());
        }
        let senders: Vec<String> = fields.list("senders").iter().map(|sender| pattern(sender)).collect();
        if senders.is_empty() {
            let said = "Write the address that the device sends from; *@contoso.com stands for all of a domain.";
            wrong("senders", said.to_owned());
        }
        let reach = match fields.text("recipients") {
            "these" => Reach::These(fields.list("domains").iter().map(|domain| pattern(domain)).collect()),
            "anywhere" => Reach::Anywhere,
            _ => Reach::Own,
        };
        if matches!(&reach, Reach::These(domains) if domains.is_empty()) {
            wrong("domains", "Write the domains or addresses that it sends to.".to_owned());
        }
        let port = fields.get("port").unwrap_or("25").parse().ok().filter(|port| *port > 0);
        if port.is_none() {
            wrong("port", "Write a number from 1 to 65535; devices use 25.".to_owned());
        }
        let (Some(port), true) = (port, mistakes.is_empty()) else { return Err(mistakes) };
        let owned = |name: &str| fields.get(name).map(str::to_owned);
        let (owner, ticket, until) = (owned("owner"), owned("ticket"), owned("until"));
        Ok(Device { address, what, owner, ticket, until, senders, reach, port })
    }

    /// Whether it is one address, and no range.
    pub fn is_one_address(&self) -> bool {
        RemoteRange::parse(&self.address, 0..0).is_ok_and(|range| range.first == range.last)
    }

    /// Whether any sender at all was asked for.
    pub fn sends_as_anyone(&self) -> bool {
        self.senders.iter().any(|sender| matches!(sender.as_str(), "*" | "*@*"))
    }

    /// Its address, the first of a range.
    pub fn first_address(&self) -> String {
        RemoteRange::parse(&self.address, 0..0).map_or_else(|_| self.address.clone(), |range| range.first.to_string())
    }

    /// What an entry for it says besides its rights.
    pub fn note(&self, mut parameters: Value) -> Value {
        for (name, value) in [("EntryOwner", &self.owner), ("Ticket", &self.ticket)] {
            if let Some(value) = value {
                parameters[name] = value.as_str().into();
            }
        }
        if let Some(until) = &self.until {
            parameters["Expires"] = end_of_day(until).into();
        }
        parameters["Comment"] = self.what.as_str().into();
        parameters
    }
}

/// A domain alone stands for every address in it.
fn pattern(text: &str) -> String {
    if text.contains('@') || text == "<>" || text.starts_with('*') { text.to_owned() } else { format!("*@{text}") }
}

/// Whether two texts are the same range.
pub fn is_same(one: &str, other: &str) -> bool {
    let bounds = |text: &str| RemoteRange::parse(text, 0..0).map(|range| (range.first, range.last)).ok();
    bounds(one).is_some_and(|one| Some(one) == bounds(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_is_said() {
        for (form, said) in [
            ("address=printer&what=x&senders=a", "address"),
            ("address=10.0.0.1&senders=a", "what"),
            ("address=10.0.0.1&what=x", "senders"),
            ("address=10.0.0.1&what=x&senders=a%40b.example&recipients=these", "domains"),
            ("address=10.0.0.1&what=x&senders=a%40b.example&port=0", "port"),
            ("recipients=these&port=x", "address what senders domains port"),
        ] {
            let mistakes = Device::read(&Fields::read(form.as_bytes())).expect_err(form);
            let fields: Vec<&str> = mistakes.iter().filter_map(|mistake| mistake.field).collect();
            assert_eq!(fields.join(" "), said, "{form}");
        }
    }

    #[test]
    fn a_public_address_is_told_to_log_on() {
        let read = |address: &str| {
            Device::read(&Fields::read(format!("address={address}&what=x&senders=a%40b.example").as_bytes()))
        };
        for address in ["8.8.8.8", "0.0.0.0/0", "10.255.255.255-11.0.0.0", "::ffff:8.8.8.8", "2a00::/16"] {
            let mistakes = read(address).expect_err(address);
            assert!(mistakes[0].said.contains("is to log on"), "{address}: {mistakes:?}");
        }
        for address in ["127.0.0.2", "10.0.0.0/8", "192.168.2.1-192.168.2.99", "fd00::1"] {
            read(address).expect(address);
        }
    }
}
