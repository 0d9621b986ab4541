//! Step 4 of 9 - permit: which rights the peer holds on the receive connector that it came to
//! (fact sheet sections 2.1 to 2.4).
//!
//! Takes a connector and a principal, hands on a set of rights. Nothing is granted by default (invariant I10).

use gatepost_mail::{AuthAs, Mailbox, ReversePath};

pub use crate::access_entry::{
    Access, AccessEntry, PermissionGroup, PermissionGroups, Principal, Right, Rights, Source, Trustee,
};
use crate::receive_connector::{Mechanism, ReceiveConnector};
use crate::refusal::Refusal;

/// The rights of `principal` on `connector`: what its entries allow, without what they deny. The one function that
/// computes rights.
pub fn granted(connector: &ReceiveConnector, principal: &Principal) -> Rights {
    let (mut allowed, mut denied) = (Rights::NONE, Rights::NONE);
    for entry in connector.entries.iter().filter(|entry| entry.trustee.covers(principal)) {
        match entry.access {
            Access::Allow => allowed |= entry.rights,
            Access::Deny => denied |= entry.rights,
        }
    }
    allowed & !denied
}

/// Who a peer is from the first moment of its connection (fact sheet section 2.4).
pub fn initial_principal(connector: &ReceiveConnector) -> Principal {
    if connector.auth_mechanism.contains(Mechanism::ExternalAuthoritative) {
        Principal::ExternallySecured
    } else {
        Principal::Anonymous
    }
}

/// Whether a message may be submitted at all; asked at MAIL.
pub fn may_submit(rights: Rights, principal: &Principal) -> Result<(), Refusal> {
    match principal {
        _ if rights.contains(Right::Submit) => Ok(()),
        Principal::Anonymous => Err(Refusal::NotAuthenticated),
        _ => Err(Refusal::SubmitDenied),
    }
}

/// Whether somebody with valid credentials is let in: `rights` are those that the user would hold. Without the right
/// to submit, authentication fails as if the password were wrong (fact sheet section 2.1).
pub fn may_authenticate(rights: Rights) -> Result<(), Refusal> {
    if rights.contains(Right::Submit) { Ok(()) } else { Err(Refusal::AuthenticationFailed) }
}

/// How far who a message says it is from is trusted (fact sheet sections 2.7 and 2.8). `auth` is the AUTH parameter of
/// MAIL: a host whose word counts may say that it does not know who submitted the message (RFC 4954 section 5). It says
/// nothing about a user, who has just proven who he or she is; and some clients say so of every message.
pub fn auth_as(rights: Rights, principal: &Principal, auth: Option<&ReversePath>) -> AuthAs {
    let vouches = rights.contains(Right::AcceptAuthenticationFlag) && auth != Some(&ReversePath::Null);
    match principal {
        Principal::User(_) => AuthAs::Internal,
        _ if vouches => AuthAs::Internal,
        Principal::Partner => AuthAs::Partner,
        _ => AuthAs::Anonymous,
    }
}

/// Who submitted the message first, where the AUTH parameter of MAIL says so and counts (fact sheet section 2.11).
pub fn originator(rights: Rights, auth: Option<&ReversePath>) -> Option<&Mailbox> {
    auth.filter(|_| rights.contains(Right::AcceptAuthenticationFlag)).and_then(ReversePath::mailbox)
}
