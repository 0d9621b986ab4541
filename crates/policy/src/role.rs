//! What an administrator may do: roles, which role is part of which, and the one decision that follows.
//!
//! Takes the roles that somebody has and the one that an act needs, hands on yes, or what is lacking. Knows no acts: the
//! commands and the calls of the API name the role that they need. Why security officer and transport admin are apart
//! stands in docs/decisions.

use std::fmt;

/// One role. What each includes is [`Role::includes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Sees settings, queues, numbers: nothing of what is in messages and of who wrote to whom.
    View,
    /// Finds out what became of a message: traces, records of decisions, headers.
    HelpDesk,
    /// Suspends, resumes, retries, redirects, removes and exports what is queued.
    QueueOperator,
    /// Changes mailboxes, contacts, groups and users.
    RecipientAdmin,
    /// Changes connectors, rights, domains: everything in the settings.
    TransportAdmin,
    /// Changes who may administer, reads what administrators did, erases addresses from the records.
    SecurityOfficer,
}

impl Role {
    /// All of them, the weakest first.
    pub const ALL: [Role; 6] = [
        Role::View,
        Role::HelpDesk,
        Role::QueueOperator,
        Role::RecipientAdmin,
        Role::TransportAdmin,
        Role::SecurityOfficer,
    ];

    /// Its name in settings, commands and the API.
    pub const fn name(self) -> &'static str {
        match self {
            Role::View => "View",
            Role::HelpDesk => "HelpDesk",
            Role::QueueOperator => "QueueOperator",
            Role::RecipientAdmin => "RecipientAdmin",
            Role::TransportAdmin => "TransportAdmin",
            Role::SecurityOfficer => "SecurityOfficer",
        }
    }

    /// What its holder may do, in one sentence for a person.
    pub fn meaning(self) -> &'static str {
        match self {
            Role::View => "sees settings, queues and numbers, and nothing of who wrote to whom",
            Role::HelpDesk => "finds out what became of a message",
            Role::QueueOperator => "suspends, retries, redirects, removes and exports what is queued",
            Role::RecipientAdmin => "changes mailboxes, contacts, groups and users",
            Role::TransportAdmin => "changes connectors, rights, domains and everything else in the settings",
            Role::SecurityOfficer => "changes who may administer, and reads what administrators did",
        }
    }

    /// The role of this name, in any case.
    pub fn parse(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name().eq_ignore_ascii_case(name.trim()))
    }

    /// Every role whose acts its holder may do, itself among them.
    pub fn includes(self) -> Roles {
        let parts: &[Role] = match self {
            Role::View => &[],
            Role::HelpDesk => &[Role::View],
            Role::QueueOperator | Role::RecipientAdmin | Role::SecurityOfficer => &[Role::View, Role::HelpDesk],
            Role::TransportAdmin => &[Role::View, Role::HelpDesk, Role::QueueOperator, Role::RecipientAdmin],
        };
        parts.iter().copied().chain([self]).collect()
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Some roles.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Roles(u8);

impl Roles {
    /// None: may do nothing.
    pub const NONE: Roles = Roles(0);
    /// All: who owns the server's files.
    pub const ALL: Roles = Roles((1 << Role::ALL.len()) - 1);

    /// Whether this very role is one of them.
    pub fn contains(self, role: Role) -> bool {
        self.0 & (1 << role as u8) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The weakest first.
    pub fn iter(self) -> impl Iterator<Item = Role> {
        Role::ALL.into_iter().filter(move |role| self.contains(*role))
    }
}

impl From<Role> for Roles {
    fn from(role: Role) -> Roles {
        Roles(1 << role as u8)
    }
}

impl FromIterator<Role> for Roles {
    fn from_iter<I: IntoIterator<Item = Role>>(roles: I) -> Roles {
        Roles(roles.into_iter().fold(0, |bits, role| bits | Roles::from(role).0))
    }
}

impl fmt::Display for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, role) in self.iter().enumerate() {
            write!(f, "{}{role}", if place > 0 { ", " } else { "" })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Roles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// Why somebody may not do something. `Display` says what is lacking and what there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lacking {
    /// What the act needs.
    pub needed: Role,
    /// What they have.
    pub held: Roles,
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let enough: Roles = Role::ALL.into_iter().filter(|role| role.includes().contains(self.needed)).collect();
        match enough.iter().count() {
            1 => write!(f, "this needs the role {enough}")?,
            _ => write!(f, "this needs one of the roles {enough}")?,
        }
        match self.held.is_empty() {
            true => write!(f, "; you have none"),
            false => write!(f, "; you have {}", self.held),
        }
    }
}

/// Whether somebody with the roles `held` may do what needs the role `needed`.
///
/// # Errors
/// [`Lacking`], when none of them includes it.
pub fn decide(held: Roles, needed: Role) -> Result<(), Lacking> {
    match held.iter().any(|role| role.includes().contains(needed)) {
        true => Ok(()),
        false => Err(Lacking { needed, held }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_role_may_do_its_column_and_nothing_else() {
        use Role::*;
        for (held, may) in [
            (View, &[View][..]),
            (HelpDesk, &[View, HelpDesk]),
            (QueueOperator, &[View, HelpDesk, QueueOperator]),
            (RecipientAdmin, &[View, HelpDesk, RecipientAdmin]),
            (TransportAdmin, &[View, HelpDesk, QueueOperator, RecipientAdmin, TransportAdmin]),
            (SecurityOfficer, &[View, HelpDesk, SecurityOfficer]),
        ] {
            for needed in Role::ALL {
                assert_eq!(decide(held.into(), needed).is_ok(), may.contains(&needed), "{held} {needed}");
                assert!(decide(Roles::NONE, needed).is_err(), "who has no role may do nothing");
                assert!(decide(Roles::ALL, needed).is_ok());
            }
        }
    }

    #[test]
    fn one_who_has_two_roles_may_do_what_either_may() {
        let both: Roles = [Role::QueueOperator, Role::SecurityOfficer].into_iter().collect();
        for needed in Role::ALL {
            let either = both.iter().any(|role| decide(role.into(), needed).is_ok());
            assert_eq!(decide(both, needed).is_ok(), either, "{needed}");
        }
    }

    #[test]
    fn a_refusal_names_what_would_do_and_what_there_is() {
        for (held, needed, said) in [
            (
                Role::View.into(),
                Role::QueueOperator,
                "this needs one of the roles QueueOperator, TransportAdmin; you have View",
            ),
            (Roles::NONE, Role::SecurityOfficer, "this needs the role SecurityOfficer; you have none"),
        ] {
            assert_eq!(decide(held, needed).expect_err("refused").to_string(), said);
        }
    }

    #[test]
    fn names_are_read_in_any_case_and_each_names_one_role() {
        for role in Role::ALL {
            assert_eq!(Role::parse(&role.name().to_lowercase()), Some(role));
            assert_eq!(Role::parse(&format!(" {role} ")), Some(role));
        }
        assert_eq!(Role::parse("root"), None);
        assert_eq!(
            format!("{:?} {}", Roles::ALL, Roles::NONE),
            "{View, HelpDesk, QueueOperator, RecipientAdmin, TransportAdmin, SecurityOfficer} "
        );
    }
}
