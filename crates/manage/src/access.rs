//! Who may administer: whom a request comes from, and what they may do.
//!
//! Takes what a door knows of its visitor, hands on an [`Actor`], or a refusal. What a role may do is decided by
//! `policy::role::decide`, which [`permit`] alone asks. Decides nothing about mail.

mod actor;

use gatepost_policy::role::{self, Role};

pub use actor::{Actor, Source};

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
    role::decide(actor.roles, act.role).map_err(|lacking| format!("{}: {lacking}", act.name))
}
