//! A decision as CBOR with numbered fields: a later version may add fields, none is ever renumbered.
//!
//! These are the disk's own structs. They borrow from the decision on writing and from the record on reading.

use std::net::{IpAddr, SocketAddr};

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Encode};

use crate::decision::{Certificate, Command, Decision, DecisionId, Repeats, RevisionId, Verdict};

#[derive(Debug, Encode, Decode)]
struct StoredDecision<'a> {
    #[n(0)]
    id: u64,
    #[n(1)]
    time_ms: u64,
    #[n(2)]
    revision: u64,
    #[n(3)]
    peer: StoredAddress,
    #[n(4)]
    local: StoredAddress,
    #[b(5)]
    connector: &'a str,
    #[b(6)]
    principal: &'a str,
    #[b(7)]
    user: Option<&'a str>,
    #[b(8)]
    tls_version: Option<&'a str>,
    #[b(9)]
    tls_cipher: Option<&'a str>,
    #[b(10)]
    hello: Option<&'a str>,
    #[n(11)]
    command: u8,
    #[b(12)]
    sender: Option<&'a str>,
    #[b(13)]
    refused_recipient: Option<&'a str>,
    #[b(14)]
    recipients: Vec<&'a str>,
    #[n(15)]
    recipient_count: u32,
    #[n(16)]
    size: Option<u64>,
    /// 0 abandoned, 1 accepted, 2 refused.
    #[n(17)]
    verdict: u8,
    #[n(18)]
    queue_id: Option<u64>,
    #[b(19)]
    name: Option<&'a str>,
    #[b(20)]
    reason: Option<&'a str>,
    #[b(21)]
    reply: Option<&'a str>,
    #[n(22)]
    repeats: Option<u64>,
    #[n(23)]
    until_ms: Option<u64>,
    #[b(24)]
    header_sender: Option<&'a str>,
    #[b(25)]
    certificate: Option<StoredCertificate<'a>>,
    #[b(26)]
    header_senders: Option<Vec<&'a str>>,
}

#[derive(Debug, Encode, Decode)]
struct StoredCertificate<'a> {
    #[n(0)]
    thumbprint: ByteArray<32>,
    #[b(1)]
    name: &'a str,
    #[b(2)]
    domains: Vec<&'a str>,
    #[b(3)]
    fault: Option<&'a str>,
}

/// The octets of an IPv6 address, which an IPv4 address is mapped to, and the port.
#[derive(Debug, Encode, Decode)]
struct StoredAddress {
    #[n(0)]
    ip: ByteArray<16>,
    #[n(1)]
    port: u16,
}

impl StoredAddress {
    fn of(address: SocketAddr) -> StoredAddress {
        let ip = match address.ip() {
            IpAddr::V4(ip) => ip.to_ipv6_mapped(),
            IpAddr::V6(ip) => ip,
        };
        StoredAddress { ip: ip.octets().into(), port: address.port() }
    }

    fn to_address(&self) -> SocketAddr {
        SocketAddr::new(IpAddr::from(*self.ip).to_canonical(), self.port)
    }
}

/// Writes a decision behind what is in `into`.
pub fn write(decision: &Decision, into: &mut Vec<u8>) {
    let (verdict, queue_id, name, reason, reply) = match &decision.verdict {
        Verdict::Abandoned => (0, None, None, None, None),
        Verdict::Accepted { queue_id } => (1, Some(*queue_id), None, None, None),
        Verdict::Refused { name, reason, reply } => (2, None, Some(&**name), Some(&**reason), Some(&**reply)),
    };
    let stored = StoredDecision {
        id: decision.id.number(),
        time_ms: decision.time_ms,
        revision: decision.revision.number(),
        peer: StoredAddress::of(decision.peer),
        local: StoredAddress::of(decision.local),
        connector: &decision.connector,
        principal: &decision.principal,
        user: decision.user.as_deref(),
        tls_version: decision.tls.as_ref().map(|(version, _)| &**version),
        tls_cipher: decision.tls.as_ref().map(|(_, cipher)| &**cipher),
        hello: decision.hello.as_deref(),
        command: match decision.command {
            Command::Connect => 0,
            Command::Auth => 1,
            Command::Mail => 2,
            Command::Rcpt => 3,
            Command::Content => 4,
        },
        sender: decision.sender.as_deref(),
        refused_recipient: decision.refused_recipient.as_deref(),
        recipients: decision.recipients.iter().map(|recipient| &**recipient).collect(),
        recipient_count: decision.recipient_count,
        size: decision.size,
        verdict,
        queue_id,
        name,
        reason,
        reply,
        repeats: decision.repeats.map(|repeats| repeats.count),
        until_ms: decision.repeats.map(|repeats| repeats.until_ms),
        header_sender: decision.header_sender.as_deref(),
        certificate: decision.certificate.as_deref().map(|certificate| StoredCertificate {
            thumbprint: certificate.thumbprint.into(),
            name: &certificate.name,
            domains: certificate.domains.iter().map(|domain| &**domain).collect(),
            fault: certificate.fault.as_deref(),
        }),
        header_senders: (!decision.header_senders.is_empty())
            .then(|| decision.header_senders.iter().map(|sender| &**sender).collect()),
    };
    // Writing to a Vec cannot fail.
    let _ = minicbor::encode(&stored, into);
}

/// Reads a decision; `None` if a newer program wrote it, or nobody did.
pub fn read(bytes: &[u8]) -> Option<Decision> {
    let stored: StoredDecision<'_> = minicbor::decode(bytes).ok()?;
    let owned = |text: Option<&str>| text.map(Box::from);
    Some(Decision {
        id: DecisionId::from_number(stored.id)?,
        time_ms: stored.time_ms,
        revision: RevisionId::from_number(stored.revision),
        peer: stored.peer.to_address(),
        local: stored.local.to_address(),
        connector: stored.connector.into(),
        principal: stored.principal.into(),
        user: owned(stored.user),
        tls: stored.tls_version.map(|version| (version.into(), stored.tls_cipher.unwrap_or_default().into())),
        hello: owned(stored.hello),
        command: match stored.command {
            0 => Command::Connect,
            1 => Command::Auth,
            2 => Command::Mail,
            3 => Command::Rcpt,
            4 => Command::Content,
            _ => return None,
        },
        sender: owned(stored.sender),
        header_sender: owned(stored.header_sender),
        header_senders: stored.header_senders.unwrap_or_default().into_iter().map(Box::from).collect(),
        certificate: stored.certificate.map(|certificate| {
            Box::new(Certificate {
                thumbprint: *certificate.thumbprint,
                name: certificate.name.into(),
                domains: certificate.domains.into_iter().map(Box::from).collect(),
                fault: owned(certificate.fault),
            })
        }),
        refused_recipient: owned(stored.refused_recipient),
        recipients: stored.recipients.into_iter().map(Box::from).collect(),
        recipient_count: stored.recipient_count,
        size: stored.size,
        verdict: match stored.verdict {
            0 => Verdict::Abandoned,
            1 => Verdict::Accepted { queue_id: stored.queue_id? },
            2 => Verdict::Refused {
                name: stored.name?.into(),
                reason: stored.reason.unwrap_or_default().into(),
                reply: stored.reply?.into(),
            },
            _ => return None,
        },
        repeats: match (stored.repeats, stored.until_ms) {
            (Some(count), Some(until_ms)) => Some(Repeats { count, until_ms }),
            _ => None,
        },
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decision::tests::refusal;

    fn text() -> impl Strategy<Value = Box<str>> {
        "\\PC{0,40}".prop_map(Box::from)
    }

    fn address() -> impl Strategy<Value = SocketAddr> {
        (any::<IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip.to_canonical(), port))
    }

    fn certificate() -> impl Strategy<Value = Certificate> {
        (any::<[u8; 32]>(), text(), prop::collection::vec(text(), 0..4), prop::option::of(text()))
            .prop_map(|(thumbprint, name, domains, fault)| Certificate { thumbprint, name, domains, fault })
    }

    fn verdict() -> impl Strategy<Value = Verdict> {
        prop_oneof![
            Just(Verdict::Abandoned),
            any::<u64>().prop_map(|queue_id| Verdict::Accepted { queue_id }),
            (text(), text(), text()).prop_map(|(name, reason, reply)| Verdict::Refused { name, reason, reply }),
        ]
    }

    prop_compose! {
        fn decision()(
            (number, time_ms, size, recipient_count) in (0_u64..1 << 48, any::<u64>(), any::<Option<u64>>(), any::<u32>()),
            (peer, local, connector, principal) in (address(), address(), text(), text()),
            (user, hello, sender, refused_recipient) in (
                prop::option::of(text()), prop::option::of(text()), prop::option::of(text()), prop::option::of(text()),
            ),
            tls in prop::option::of((text(), text())),
            header_sender in prop::option::of(text()),
            header_senders in prop::collection::vec(text(), 0..4),
            certificate in prop::option::of(certificate()),
            recipients in prop::collection::vec(text(), 0..16),
            command in prop::sample::select(vec![
                Command::Connect, Command::Auth, Command::Mail, Command::Rcpt, Command::Content,
            ]),
            verdict in verdict(),
            repeats in prop::option::of(any::<(u64, u64)>()),
        ) -> Decision {
            Decision {
                id: DecisionId::from_number(number).expect("48 bits"),
                revision: RevisionId::from_number(time_ms ^ 7),
                time_ms, peer, local, connector, principal, user, tls, hello, command, sender, header_sender, header_senders, refused_recipient,
                certificate: certificate.map(Box::new),
                recipients, recipient_count, size, verdict,
                repeats: repeats.map(|(count, until_ms)| Repeats { count, until_ms }),
            }
        }
    }

    proptest! {
        #[test]
        fn a_decision_is_read_as_it_was_written(decision in decision()) {
            let mut bytes = Vec::new();
            write(&decision, &mut bytes);
            prop_assert_eq!(read(&bytes), Some(decision));
        }

        #[test]
        fn damaged_bytes_are_no_panic(at in any::<prop::sample::Index>(), bits in 1_u8.., end in any::<prop::sample::Index>()) {
            let mut bytes = Vec::new();
            write(&refusal(7, "192.0.2.1:4711"), &mut bytes);
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
            let _ = read(&bytes);
            let _ = read(&bytes[..end.index(bytes.len())]);
        }
    }
}
