//! What `gatepost explain` says of the recipient: a mailbox, a contact or a group, and by which of its names.

use gatepost_policy::directory::{FoundBy, RecipientKind};
use gatepost_policy::explain::Addressee;
use serde::Serialize;

use crate::terminal::count;

/// What a recipient is, and whether strangers may write to it.
pub(super) fn text(addressee: &Addressee) -> String {
    let Addressee { recipient, by, end_count, closed_by } = addressee;
    let address = &recipient.address;
    let kind = match &recipient.kind {
        RecipientKind::Mailbox(_) => "a mailbox here".to_owned(),
        RecipientKind::Contact { external_address } => format!("a contact: its mail goes to {external_address}"),
        RecipientKind::Group { members } => format!(
            "a distribution group of {}, {} in the end",
            count(members.len() as u64, "member", "members"),
            count(*end_count as u64, "recipient", "recipients"),
        ),
    };
    let what = match by {
        FoundBy::Address => format!("{address}: {kind}"),
        FoundBy::Alias => format!("an alias of {address}: {kind}"),
        FoundBy::Postmaster => format!("postmaster, whose mail goes to {address}: {kind}"),
        FoundBy::CatchAll => format!("nobody; what nobody gets is caught by {address}: {kind}"),
    };
    match closed_by {
        None => what,
        Some(closed) if closed == address => format!("{what}. It takes mail from inside the organization only"),
        Some(closed) => format!("{what}. Behind it {closed} takes mail from inside the organization only"),
    }
}

/// The same for programs.
#[derive(Serialize)]
pub(super) struct Known {
    /// The primary address.
    address: String,
    /// `mailbox`, `contact` or `group`.
    kind: &'static str,
    /// Why it is the recipient: `address`, `alias`, `postmaster` or `catch_all`.
    by: &'static str,
    /// How many recipients mail to it has at its end.
    recipients: usize,
    /// The recipient that senders outside may not write to.
    #[serde(skip_serializing_if = "Option::is_none")]
    closed_by: Option<String>,
}

impl From<&Addressee> for Known {
    fn from(addressee: &Addressee) -> Known {
        Known {
            address: addressee.recipient.address.to_string(),
            kind: match addressee.recipient.kind {
                RecipientKind::Mailbox(_) => "mailbox",
                RecipientKind::Contact { .. } => "contact",
                RecipientKind::Group { .. } => "group",
            },
            by: match addressee.by {
                FoundBy::Address => "address",
                FoundBy::Alias => "alias",
                FoundBy::Postmaster => "postmaster",
                FoundBy::CatchAll => "catch_all",
            },
            recipients: addressee.end_count,
            closed_by: addressee.closed_by.as_ref().map(ToString::to_string),
        }
    }
}
