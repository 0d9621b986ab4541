//! Step 4 of 9 - permit: whether a sender may write to this recipient (RequireSenderAuthenticationEnabled; fact sheet
//! sections 2.7 and 4.2).
//!
//! Takes a recipient and what the message counts as, hands on yes or the refusal. Grants nothing: `relay` decides about
//! whoever passes here. What stands behind groups was looked at when the settings were read, so this is one look-up.

use gatepost_mail::{AuthAs, Mailbox};

use crate::refusal::Refusal;
use crate::settings::Settings;

/// What is asked at RCPT.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// What the message counts as: `permission::auth_as`.
    pub auth_as: AuthAs,
    /// The recipient; `<Postmaster>` was given its domain by [`Settings::recipient`].
    pub recipient: &'a Mailbox,
    /// What is declared.
    pub settings: &'a Settings,
}

/// Decides whether the recipient takes mail from this sender. Recipients that require authentication take it from inside
/// the organization only: a partner is authenticated, but outside.
///
/// A group is closed to senders outside as soon as anybody behind it is, at any depth. Exchange would deliver to the
/// others and send a report about this one, which strangers could aim at anybody: here nothing is half delivered.
/// Postmaster always works (RFC 5321 section 4.5.1).
pub fn decide(question: &Question<'_>) -> Result<(), Refusal> {
    let Question { auth_as, recipient, settings } = *question;
    if auth_as == AuthAs::Internal || settings.directory.is_postmaster(recipient, &settings.domains) {
        return Ok(());
    }
    let found = settings.directory.resolve(recipient, &settings.domains);
    match found.and_then(|found| found.closed_by()) {
        Some(_) => Err(Refusal::SenderNotAuthenticated),
        None => Ok(()),
    }
}
