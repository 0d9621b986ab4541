//! Who may administer by name and password.

use gatepost_policy::role::{Role, Roles};

use super::PasswordHash;
use super::fields::{Entry, write_number, write_text, write_texts};
use super::totp::TotpSecret;

/// One administrator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Administrator {
    /// The name to log on with.
    pub name: String,
    /// The password.
    pub password: PasswordHash,
    /// What they may do.
    pub roles: Roles,
    /// What their codes are made from, where the password alone is not enough.
    pub totp: Option<TotpSecret>,
    /// Since when codes are asked for, in Unix milliseconds; `None` where none are, or since before that was kept.
    pub totp_since_ms: Option<u64>,
    /// Since when, in Unix milliseconds.
    pub created_ms: u64,
}

impl Administrator {
    pub(super) fn read(entry: &mut Entry<'_, '_>) -> Option<Administrator> {
        let totp = match entry.is_given("totp") {
            true => Some(TotpSecret::parse(entry.text("totp")?)?),
            false => None,
        };
        let totp_since_ms = match entry.is_given("totp_since_ms") {
            true => Some(entry.number("totp_since_ms")?),
            false => None,
        };
        Some(Administrator {
            name: entry.text("name")?.to_owned(),
            password: PasswordHash::stored(entry.text("password")?)?,
            roles: entry.roles("roles")?,
            totp,
            totp_since_ms,
            created_ms: entry.number("created_ms")?,
        })
    }

    pub(super) fn write(&self, into: &mut String) {
        into.push_str("\n[[administrator]]\n");
        write_text(into, "name", &self.name);
        write_text(into, "password", self.password.as_str());
        write_texts(into, "roles", self.roles.iter().map(Role::name));
        if let Some(totp) = &self.totp {
            write_text(into, "totp", &totp.to_base32());
        }
        if let Some(since_ms) = self.totp_since_ms {
            write_number(into, "totp_since_ms", since_ms);
        }
        write_number(into, "created_ms", self.created_ms);
    }
}
