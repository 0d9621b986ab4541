//! Every refusal that a decision of this crate can hand back, and the one place where refusals become words
//! (fact sheet section 3.5).

use gatepost_mail::Reply;
use gatepost_mail::header_senders::{SenderField, Unreadable};

use crate::resource::Resource;

/// Why a peer is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// The connector, or one source's share of what is left of it, is full.
    #[error("too many connections on the receive connector")]
    TooManyConnections,
    /// This source has too many connections.
    #[error("too many connections from this source")]
    TooManyConnectionsFromSource,
    /// The range that the connector heard this source by has expired while the connection was open.
    #[error("the connector no longer hears this source: its range has expired")]
    SourceExpired,
    /// What its certificate has made of the peer, it would not make of it now: its entry has expired while the connection was
    /// open.
    #[error("the certificate of this peer no longer identifies it: its [[trusted_server]] has expired")]
    IdentityExpired,
    /// TLS is required and was not started.
    #[error("TLS is required")]
    TlsRequired,
    /// An anonymous peer without the right to submit.
    #[error("anonymous peer lacks the right to submit")]
    NotAuthenticated,
    /// An authenticated peer without the right to submit.
    #[error("principal lacks the right to submit")]
    SubmitDenied,
    /// A sender of a domain that has to prove itself by a certificate, from somebody anonymous.
    #[error("the sender's domain is on tls_receive_domain_secure_list, and the peer has not proven to be it")]
    SenderDomainNotSecured,
    /// Wrong credentials, or right ones of somebody who may not submit; the peer is not told which.
    #[error("authentication failed")]
    AuthenticationFailed,
    /// An anonymous peer may not use this sender address.
    #[error("anonymous peer may not send as this sender")]
    AnonymousSendAsDenied,
    /// An authenticated peer may not use this sender address.
    #[error("principal may not send as this sender")]
    SendAsDenied,
    /// The header names a sender, in this field, that an anonymous peer may not use.
    #[error("anonymous peer may not send as who is named in the {0} field")]
    AnonymousHeaderSendAsDenied(SenderField),
    /// The header names a sender, in this field, that the principal may not use.
    #[error("principal may not send as who is named in the {0} field")]
    HeaderSendAsDenied(SenderField),
    /// It cannot be read with certainty whom the header names as its senders, and the peer may not use every address.
    #[error("senders in the header are not certain: {0}")]
    HeaderUnreadable(Unreadable),
    /// The recipient's domain is not accepted and the principal may not relay.
    #[error("recipient domain is not accepted and the principal lacks the right to relay")]
    UnableToRelay,
    /// The principal holds the right for so many messages an hour, and has used them up.
    #[error("the right is held for a number of messages an hour, and they are used up")]
    QuotaExceeded,
    /// The recipient's domain is ours and the recipient is not in it.
    #[error("no such recipient in an authoritative domain")]
    RecipientNotFound,
    /// Only senders inside the organization may write to the recipient, or to one behind it.
    #[error("recipient requires an authenticated sender")]
    SenderNotAuthenticated,
    /// What was a mailbox when the message was accepted is a group or a contact now.
    #[error("recipient became a group or a contact while the message waited")]
    RecipientReplaced,
    /// The next hop that leads to the recipient refuses it.
    #[error("the next hop refuses this recipient")]
    RecipientRefusedByNextHop,
    /// The next hop that leads to the recipient could not say whether it takes mail for it.
    #[error("the next hop does not say whether it takes this recipient")]
    RecipientNotVerified,
    /// The recipient's top-level domain is reserved, and the connector takes none such.
    #[error("recipient domain is reserved: top level")]
    ReservedTopLevelDomain,
    /// The recipient's second-level domain is reserved, and the connector takes none such.
    #[error("recipient domain is reserved: second level")]
    ReservedSecondLevelDomain,
    /// The recipient's domain has no dot, and the connector takes none such.
    #[error("recipient domain is a single label")]
    SingleLabelDomain,
    /// More messages in a short time than the connector takes from one user or address.
    #[error("message rate limit of the receive connector exceeded")]
    MessageRateExceeded,
    /// Back pressure: too much of a resource is used.
    #[error("back pressure: the level of {0} is too high")]
    InsufficientResources(Resource),
    /// More recipients than the connector takes for one message.
    #[error("too many recipients")]
    TooManyRecipients,
    /// The message is too large for the connector.
    #[error("message too large for the receive connector")]
    MessageTooLarge,
    /// The header section is too large for the connector.
    #[error("message header too large")]
    HeaderTooLarge,
    /// The message has been through too many servers, or through this one too often.
    #[error("mail loop")]
    TooManyHops,
    /// The message is too large for every send connector that leads to the recipient.
    #[error("message too large for every route")]
    MessageTooLargeForRoute,
    /// It answers by itself, and the recipient's domain is to get no such messages.
    #[error("automatic replies do not go to this remote domain")]
    AutomaticReplyDisabled,
    /// The message stayed undelivered for too long.
    #[error("message expired")]
    Expired,
}

impl Refusal {
    /// The name of each kind, that of its variant without what it holds, by [`Refusal::place`].
    pub const NAMES: [&'static str; 33] = [
        "TooManyConnections",
        "TooManyConnectionsFromSource",
        "SourceExpired",
        "IdentityExpired",
        "TlsRequired",
        "NotAuthenticated",
        "SubmitDenied",
        "SenderDomainNotSecured",
        "AuthenticationFailed",
        "AnonymousSendAsDenied",
        "SendAsDenied",
        "AnonymousHeaderSendAsDenied",
        "HeaderSendAsDenied",
        "HeaderUnreadable",
        "UnableToRelay",
        "QuotaExceeded",
        "RecipientNotFound",
        "SenderNotAuthenticated",
        "RecipientReplaced",
        "RecipientRefusedByNextHop",
        "RecipientNotVerified",
        "ReservedTopLevelDomain",
        "ReservedSecondLevelDomain",
        "SingleLabelDomain",
        "MessageRateExceeded",
        "InsufficientResources",
        "TooManyRecipients",
        "MessageTooLarge",
        "HeaderTooLarge",
        "TooManyHops",
        "MessageTooLargeForRoute",
        "Expired",
        "AutomaticReplyDisabled",
    ];

    /// A name that stays the same while words change, for records that are read years later.
    pub const fn name(self) -> &'static str {
        Refusal::NAMES[self.place()]
    }

    /// The place of its kind in [`Refusal::NAMES`], so that refusals can be counted in a table.
    pub const fn place(self) -> usize {
        match self {
            Refusal::TooManyConnections => 0,
            Refusal::TooManyConnectionsFromSource => 1,
            Refusal::SourceExpired => 2,
            Refusal::IdentityExpired => 3,
            Refusal::TlsRequired => 4,
            Refusal::NotAuthenticated => 5,
            Refusal::SubmitDenied => 6,
            Refusal::SenderDomainNotSecured => 7,
            Refusal::AuthenticationFailed => 8,
            Refusal::AnonymousSendAsDenied => 9,
            Refusal::SendAsDenied => 10,
            Refusal::AnonymousHeaderSendAsDenied(_) => 11,
            Refusal::HeaderSendAsDenied(_) => 12,
            Refusal::HeaderUnreadable(_) => 13,
            Refusal::UnableToRelay => 14,
            Refusal::QuotaExceeded => 15,
            Refusal::RecipientNotFound => 16,
            Refusal::SenderNotAuthenticated => 17,
            Refusal::RecipientReplaced => 18,
            Refusal::RecipientRefusedByNextHop => 19,
            Refusal::RecipientNotVerified => 20,
            Refusal::ReservedTopLevelDomain => 21,
            Refusal::ReservedSecondLevelDomain => 22,
            Refusal::SingleLabelDomain => 23,
            Refusal::MessageRateExceeded => 24,
            Refusal::InsufficientResources(_) => 25,
            Refusal::TooManyRecipients => 26,
            Refusal::MessageTooLarge => 27,
            Refusal::HeaderTooLarge => 28,
            Refusal::TooManyHops => 29,
            Refusal::MessageTooLargeForRoute => 30,
            Refusal::Expired => 31,
            Refusal::AutomaticReplyDisabled => 32,
        }
    }

    /// The words for the peer, or for the report to the sender.
    pub const fn reply(self) -> Reply {
        match self {
            Refusal::TooManyConnections => Reply::new(
                421,
                (4, 3, 2),
                "The maximum number of concurrent connections has exceeded a limit, closing transmission channel",
            ),
            Refusal::TooManyConnectionsFromSource => Reply::new(
                421,
                (4, 3, 2),
                "The maximum number of concurrent server connections has exceeded a per-source limit, closing transmission channel",
            ),
            Refusal::SourceExpired | Refusal::IdentityExpired => {
                Reply::new(421, (4, 3, 2), "Service not available, closing transmission channel")
            }
            Refusal::TlsRequired => Reply::new(451, (5, 7, 3), "Must issue a STARTTLS command first"),
            Refusal::NotAuthenticated => Reply::new(530, (5, 7, 1), "Client was not authenticated"),
            Refusal::SubmitDenied => {
                Reply::new(550, (5, 7, 1), "Client does not have permissions to submit to this server")
            }
            // It may be the partner's certificate that has just expired: its mail waits.
            Refusal::SenderDomainNotSecured => Reply::new(454, (4, 7, 5), "Certificate validation failure"),
            Refusal::AuthenticationFailed => Reply::new(535, (5, 7, 3), "Authentication unsuccessful"),
            Refusal::AnonymousSendAsDenied | Refusal::AnonymousHeaderSendAsDenied(_) => {
                Reply::new(550, (5, 7, 1), "Anonymous client does not have permissions to send as this sender")
            }
            Refusal::SendAsDenied | Refusal::HeaderSendAsDenied(_) => {
                Reply::new(550, (5, 7, 1), "Client does not have permissions to send as this sender")
            }
            // Whoever wrote the header can mend it, and learns nothing that it does not know.
            Refusal::HeaderUnreadable(_) => {
                Reply::new(554, (5, 6, 0), "Invalid message content; the header does not name its senders clearly")
            }
            Refusal::UnableToRelay => Reply::new(550, (5, 7, 1), "Unable to relay"),
            Refusal::QuotaExceeded => {
                Reply::new(450, (4, 7, 1), "Hourly message quota of this client is used up. Please try again later")
            }
            // Where the recipient is kept is nothing for the peer.
            Refusal::RecipientNotFound | Refusal::RecipientRefusedByNextHop => Reply::new(
                550,
                (5, 1, 10),
                "RESOLVER.ADR.RecipientNotFound; Recipient not found by SMTP address lookup",
            ),
            Refusal::SenderNotAuthenticated => {
                Reply::new(550, (5, 7, 1), "RESOLVER.RST.AuthRequired; authentication required")
            }
            Refusal::RecipientReplaced => Reply::new(
                550,
                (5, 1, 6),
                "The recipient has become a group or a contact since the message was sent; send it again",
            ),
            Refusal::RecipientNotVerified => {
                Reply::new(450, (4, 4, 1), "Recipient could not be verified. Please try again later")
            }
            Refusal::ReservedTopLevelDomain => Reply::new(550, (5, 1, 4), "Recipient address reserved by RFC 2606"),
            Refusal::ReservedSecondLevelDomain => Reply::new(550, (5, 1, 5), "Recipient address reserved by RFC 2606"),
            Refusal::SingleLabelDomain => {
                Reply::new(550, (5, 1, 6), "Recipient addresses in single label domains not accepted")
            }
            Refusal::MessageRateExceeded => {
                Reply::new(421, (4, 4, 2), "Message submission rate for this client has exceeded the configured limit")
            }
            // What is short is nothing for the peer.
            Refusal::InsufficientResources(_) => Reply::new(452, (4, 3, 1), "Insufficient system resources"),
            Refusal::TooManyRecipients => Reply::new(452, (4, 5, 3), "Too many recipients"),
            Refusal::MessageTooLarge => Reply::new(552, (5, 3, 4), "Message size exceeds fixed maximum message size"),
            Refusal::HeaderTooLarge => Reply::new(552, (5, 3, 4), "Message header size exceeds fixed maximum size"),
            Refusal::TooManyHops => Reply::new(554, (5, 4, 6), "Hop count exceeded - possible mail loop"),
            Refusal::MessageTooLargeForRoute => {
                Reply::new(550, (5, 3, 4), "ROUTING.SizeLimit; message size exceeds fixed maximum size for route")
            }
            Refusal::AutomaticReplyDisabled => {
                Reply::new(550, (5, 7, 1), "Automatic replies are not sent to this recipient")
            }
            Refusal::Expired => Reply::new(550, (4, 4, 7), "QUEUE.Expired; message expired"),
        }
    }

    /// Whether the reply is the last thing the peer hears: the connection closes after it.
    pub const fn closes(self) -> bool {
        matches!(
            self,
            Refusal::TooManyConnections
                | Refusal::TooManyConnectionsFromSource
                | Refusal::SourceExpired
                | Refusal::IdentityExpired
                | Refusal::MessageRateExceeded
        )
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;
    use std::collections::{BTreeMap, BTreeSet};

    use gatepost_mail::address_list;

    use super::*;

    /// Every refusal, with everything that it may hold.
    fn all() -> Vec<Refusal> {
        let fields = SenderField::ALL;
        let values = [
            address_list::Unreadable::Control,
            address_list::Unreadable::Quotes,
            address_list::Unreadable::EncodedWord,
            address_list::Unreadable::Address,
            address_list::Unreadable::Nobody,
        ];
        let unreadable = fields
            .iter()
            .flat_map(|field| {
                let values = values.map(|value| Unreadable::Value(*field, value));
                values.into_iter().chain([Unreadable::TooLong(*field), Unreadable::Name(*field)])
            })
            .chain([Unreadable::CarriageReturn, Unreadable::TooMany, Unreadable::NotRead]);
        let mut all = vec![
            Refusal::TooManyConnections,
            Refusal::TooManyConnectionsFromSource,
            Refusal::SourceExpired,
            Refusal::TlsRequired,
            Refusal::NotAuthenticated,
            Refusal::SubmitDenied,
            Refusal::SenderDomainNotSecured,
            Refusal::AuthenticationFailed,
            Refusal::AnonymousSendAsDenied,
            Refusal::SendAsDenied,
            Refusal::UnableToRelay,
            Refusal::QuotaExceeded,
            Refusal::RecipientNotFound,
            Refusal::SenderNotAuthenticated,
            Refusal::RecipientReplaced,
            Refusal::RecipientRefusedByNextHop,
            Refusal::RecipientNotVerified,
            Refusal::ReservedTopLevelDomain,
            Refusal::ReservedSecondLevelDomain,
            Refusal::SingleLabelDomain,
            Refusal::MessageRateExceeded,
            Refusal::TooManyRecipients,
            Refusal::MessageTooLarge,
            Refusal::HeaderTooLarge,
            Refusal::TooManyHops,
            Refusal::MessageTooLargeForRoute,
            Refusal::Expired,
            Refusal::AutomaticReplyDisabled,
            Refusal::IdentityExpired,
        ];
        all.extend(fields.map(Refusal::AnonymousHeaderSendAsDenied));
        all.extend(fields.map(Refusal::HeaderSendAsDenied));
        all.extend(unreadable.map(Refusal::HeaderUnreadable));
        all.extend(Resource::ALL.map(Refusal::InsufficientResources));
        all
    }

    #[test]
    fn no_refusal_tells_the_peer_what_is_private() {
        let all = all();
        let names: BTreeSet<&str> = all.iter().map(|refusal| refusal.name()).collect();
        assert_eq!(names.len(), Refusal::NAMES.len(), "one of them is missing in `all`");
        for refusal in &all {
            let written = format!("{refusal:?}");
            assert_eq!(written.split('(').next(), Some(refusal.name()));
        }
        let private = [
            "/",
            "\\",
            "error",
            "errno",
            "spool",
            "disk",
            "inode",
            "file",
            "memory",
            "connector",
            "principal",
            "right",
            "ms-exch",
            "mailbox",
            "user",
            "next hop",
            "setting",
            "revision",
            "entry",
            "range",
        ];
        let mut told: BTreeMap<&str, String> = BTreeMap::new();
        for refusal in all {
            let reply = refusal.reply();
            assert!(matches!(reply.text, Cow::Borrowed(_)), "{refusal:?}: nothing is put in at run time");
            let text = reply.text.to_lowercase();
            for word in private {
                assert!(!text.contains(word), "{refusal:?} says {word:?}: {reply}");
            }
            // What a refusal holds, a resource or the place of a fault, does not show.
            let before = told.entry(refusal.name()).or_insert_with(|| reply.to_string());
            assert_eq!(*before, reply.to_string(), "{refusal:?}");
        }
        // Neither does where a recipient is kept.
        assert_eq!(told["RecipientNotFound"], told["RecipientRefusedByNextHop"]);
    }

    #[test]
    fn a_name_says_nothing_of_what_the_refusal_holds() {
        for (refusal, name) in [
            (Refusal::UnableToRelay, "UnableToRelay"),
            (Refusal::HeaderSendAsDenied(SenderField::From), "HeaderSendAsDenied"),
            (Refusal::InsufficientResources(Resource::SpoolSpace), "InsufficientResources"),
        ] {
            assert_eq!(refusal.name(), name);
        }
    }
}
