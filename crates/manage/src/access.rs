//! Who may administer: whom a request comes from, and what they may do.
//!
//! Takes what a door knows of its visitor, hands on an [`Actor`], or a refusal. What a role may do is decided by
//! `policy::role::decide`, which [`permit`] alone asks. Decides nothing about mail.

pub mod administrators;
mod record;
mod accounts;
mod pending;
mod session;
mod presented;
mod origin;
mod rate;
mod actor;
mod visitor;

use std::path::Path;
use std::sync::Arc;

use gatepost_policy::role::{self, Role};

use crate::credentials::{Secrets, SecretsError};
use crate::filter::is_like;

pub use accounts::{Accounts, Begun, ChangeError, Denied, change_file};
pub use actor::{Actor, Source};
pub use origin::{LinkFromElsewhere, decide as is_for_us};
pub use pending::{LIFETIME_MS as PENDING_LIFETIME_MS, Unconfirmed};
pub use presented::Presented;
pub use record::{ActRecord, Criteria};
pub use session::{AskedBy, Proven};
pub use visitor::Visitor;

/// Who may administer the running server, and what they did.
pub struct Access {
    /// Who may.
    pub accounts: Arc<Accounts>,
    /// What they did.
    pub record: ActRecord,
}

impl Access {
    /// Those of a data folder whose secrets were just read.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn new(data_dir: &Path, secrets: Secrets) -> Result<Access, SecretsError> {
        Ok(Access { accounts: Arc::new(Accounts::new(data_dir, secrets)?), record: ActRecord::of(data_dir) })
    }
}

/// What somebody wants to do, as far as leave for it goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Act<'a> {
    /// Verb-Noun, as the shell calls it.
    pub name: &'a str,
    /// The least that may do it.
    pub role: Role,
}

/// Whether `actor` may do this: the one question before each act, at every door.
///
/// # Errors
/// What is lacking, in a sentence for the one who asked.
pub fn permit(actor: &Actor, act: Act<'_>) -> Result<(), String> {
    role::decide(actor.roles, act.role).map_err(|lacking| format!("{}: {lacking}", act.name))?;
    if actor.commands.is_empty() || actor.commands.iter().any(|pattern| fits(pattern, act.name)) {
        return Ok(());
    }
    Err(format!("{}: this token is for {} alone", act.name, actor.commands.join(", ")))
}

/// Whether a pattern fits a name in any case; `*` stands for anything, anywhere in it.
fn fits(pattern: &str, name: &str) -> bool {
    is_like(&name.to_ascii_lowercase(), &pattern.to_ascii_lowercase())
}

#[cfg(test)]
mod tests {
    use gatepost_policy::role::Roles;

    use super::*;

    #[test]
    fn a_token_does_what_it_is_for_and_no_more_than_its_roles() {
        let act = |name| Act { name, role: Role::QueueOperator };
        for (commands, roles, name, may) in [
            (&[][..], Roles::ALL, "Suspend-Queue", true),
            (&[], Role::View.into(), "Suspend-Queue", false),
            (&["*-Queue"], Roles::ALL, "Suspend-Queue", true),
            (&["*-queue"], Role::View.into(), "Suspend-Queue", false),
            (&["Get-*", "Suspend-*"], Roles::ALL, "suspend-queue", true),
            (&["Get-*"], Roles::ALL, "Suspend-Queue", false),
        ] {
            let commands = commands.iter().map(|pattern: &&str| (*pattern).into()).collect();
            let actor = Actor { roles, commands, ..Actor::nobody(None) };
            assert_eq!(permit(&actor, act(name)).is_ok(), may, "{actor:?} {name}");
        }
    }

    #[test]
    fn stars_stand_for_anything() {
        for (pattern, name, expected) in [
            ("*", "Get-Queue", true),
            ("Get-Queue", "get-queue", true),
            ("Get-Queue", "Get-Queues", false),
            ("Get-*", "Get-", true),
            ("*Queue", "Get-QueueDigest", false),
            ("G*-*e", "Get-Queue", true),
            ("*e*e*", "Get-Queue", true),
            ("Get-Qu*ueue", "Get-Queue", false),
            ("", "Get-Queue", false),
        ] {
            assert_eq!(fits(pattern, name), expected, "{pattern} {name}");
        }
    }
}
