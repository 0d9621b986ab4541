//! What `gatepost explain` says of the recipient: a mailbox, a contact or a group, and by which of its names.

use gatepost_policy::directory::{FoundBy, RecipientKind};
use gatepost_policy::explain::Addressee;

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
