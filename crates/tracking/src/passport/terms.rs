//! What a record can be found by, as hashes.
//!
//! A hash may stand for two terms; whoever searches compares the record. Hashes are on the disk: how they are made never changes.

use std::net::IpAddr;

use super::event::{Facts, PLACES_MAX, Part, Record, Verdict, What};
use super::stored;
use crate::decision::{Decision, Verdict as Outcome};
use crate::segments::{Describe, Described, PartOf};

/// Words of a subject that are terms.
const WORDS_MAX: usize = 32;

/// From this version of descriptions on a record is found by how it came out ([`Term::State`]).
pub const STATES_SINCE: u32 = 1;

/// How records of passports, and of what happened beside them, are described.
pub const DESCRIBE: Describe = Describe { record: describe, version: STATES_SINCE };
/// How decisions are.
pub const DESCRIBE_DECISION: Describe = Describe { record: describe_decision, version: STATES_SINCE };

/// How a message stands: one of its recipients does. How an attempt ended. The numbers are in hashes on disks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// A next hop or a mailbox has it.
    Delivered = 0,
    /// It waits: it is tried again, or was not tried yet.
    Deferred = 1,
    /// It was refused by a next hop for good.
    Failed = 2,
    /// It waited for too long.
    Expired = 3,
    /// An administrator took it out.
    Removed = 4,
    /// An attempt was not let in.
    Refused = 5,
    /// A peer went away, or was cut off, before its message was there.
    Abandoned = 6,
    /// It is held: poison, or damaged on the disk.
    Held = 7,
    /// It has come to its end; the spool's log, which is all that a crash left, does not say to which.
    Ended = 8,
}

impl State {
    /// How a recipient stands.
    pub fn of(verdict: Option<Verdict>) -> State {
        match verdict {
            Some(Verdict::Delivered) => State::Delivered,
            None | Some(Verdict::Deferred { .. }) => State::Deferred,
            Some(Verdict::Failed) => State::Failed,
            Some(Verdict::Expired) => State::Expired,
            Some(Verdict::Removed) => State::Removed,
            Some(Verdict::Ended) => State::Ended,
        }
    }
}

/// One term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term<'a> {
    /// A message.
    QueueId(u64),
    /// A Message-ID, without its angle brackets.
    MessageId(&'a str),
    /// A sender or recipient.
    Address(&'a str),
    /// The domain of one.
    Domain(&'a str),
    /// Where a peer came from.
    Peer(IpAddr),
    /// The first 24 bits of an IPv4 address, the first 64 of an IPv6 address.
    Near(IpAddr),
    /// The first 16 bits of an IPv4 address, the first 32 of an IPv6 address.
    Far(IpAddr),
    /// A receive or send connector.
    Connector(&'a str),
    /// A word of the subject.
    Word(&'a str),
    /// The decision that let a message in, or refused it.
    Decision(u64),
    /// A next hop to which a connection could not be opened.
    Failed(&'a str),
    /// That other settings came into force.
    Settings,
    /// Somebody of a message may stand so; that an attempt ended so. The part that says it has the term, and a later one may say
    /// otherwise. That somebody waits is told by the part that says how the message came, too, and ends with the message.
    State(State),
}

impl Term<'_> {
    /// Its hash; letters count alike in either case.
    pub fn hash(&self) -> u32 {
        match *self {
            Term::QueueId(id) => hash(0, id.to_le_bytes()),
            Term::MessageId(id) => hash(1, id.bytes()),
            Term::Address(address) => hash_text(2, address),
            Term::Domain(domain) => hash_text(3, domain),
            Term::Peer(ip) => hash(4, octets(ip)),
            Term::Near(ip) => hash(5, network(ip, 24, 64)),
            Term::Far(ip) => hash(6, network(ip, 16, 32)),
            Term::Connector(name) => hash_text(7, name),
            Term::Word(word) => hash_text(8, word),
            Term::Decision(id) => hash(9, id.to_le_bytes()),
            Term::Failed(next_hop) => hash_text(10, next_hop),
            Term::Settings => hash(11, []),
            Term::State(state) => hash(12, [state as u8]),
        }
    }
}

/// An IPv4 address as IPv6 maps it.
fn octets(ip: IpAddr) -> [u8; 16] {
    match ip.to_canonical() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
        IpAddr::V6(ip) => ip.octets(),
    }
}

/// The first bits of an address, those of either family.
pub fn network(ip: IpAddr, bits_v4: u32, bits_v6: u32) -> [u8; 16] {
    let bits = if ip.to_canonical().is_ipv4() { 96 + bits_v4 } else { bits_v6 };
    (u128::from_be_bytes(octets(ip)) & (u128::MAX << (128 - bits))).to_be_bytes()
}

fn hash_text(kind: u8, text: &str) -> u32 {
    match text.is_ascii() {
        true => hash(kind, text.bytes().map(|byte| byte.to_ascii_lowercase())),
        false => hash(kind, text.to_lowercase().bytes()),
    }
}

/// FNV-1a, its halves mixed.
fn hash(kind: u8, bytes: impl IntoIterator<Item = u8>) -> u32 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64 ^ u64::from(kind);
    for byte in bytes {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ hash >> 32).wrapping_mul(0xd6e8_feb8_6659_fd93);
    (hash >> 32) as u32
}

/// The words of a text, as they are compared.
pub fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty())
}

/// The domain of an address.
pub fn domain_of(address: &str) -> Option<&str> {
    address.rsplit_once('@').map(|(_, domain)| domain)
}

/// A Message-ID without its angle brackets.
pub fn bare(message_id: &str) -> &str {
    let id = message_id.trim();
    id.strip_prefix('<').unwrap_or(id).strip_suffix('>').unwrap_or_else(|| id.strip_prefix('<').unwrap_or(id))
}

/// Describes an encoded record.
fn describe(record: &[u8], hashes: &mut Vec<u32>) -> Option<Described> {
    let record = stored::read(record)?;
    let mut waits = None;
    each_term(&record, &mut |term| match term {
        Term::State(State::Deferred) => waits = Some(term.hash()),
        term => hashes.push(term.hash()),
    });
    let part = match &record {
        Record::Message(part) if !is_whole(&record) => {
            Some(PartOf { whole: part.queue_id, while_open: waits, is_end: part.is_last })
        }
        _ => None,
    };
    Some(Described { time_ms: time_ms(&record), part })
}

/// Describes an encoded decision.
fn describe_decision(record: &[u8], hashes: &mut Vec<u32>) -> Option<Described> {
    let decision = crate::stored::read(record)?;
    each_term_of_decision(&decision, &mut |term| hashes.push(term.hash()));
    Some(Described { time_ms: decision.time_ms, part: None })
}

/// All terms of a decision, some more than once.
pub fn each_term_of_decision(decision: &Decision, each: &mut dyn FnMut(Term<'_>)) {
    each(Term::Decision(decision.id.number()));
    let paths = decision.sender.iter().chain(&decision.refused_recipient).chain(&decision.recipients);
    paths.for_each(|path| each_address(bare(path), each));
    each_peer(decision.peer.ip(), each);
    each(Term::Connector(&decision.connector));
    match decision.verdict {
        Outcome::Refused { .. } => each(Term::State(State::Refused)),
        Outcome::Abandoned => each(Term::State(State::Abandoned)),
        Outcome::Accepted { .. } => {}
    }
}

/// Whether nothing else belongs to it.
pub fn is_whole(record: &Record) -> bool {
    match record {
        Record::Message(part) => part.facts.is_some() && part.is_last && !part.is_recovered,
        _ => true,
    }
}

/// When it was: a message when it was received, where that is known.
pub fn time_ms(record: &Record) -> u64 {
    match record {
        Record::Message(Part { facts, steps, .. }) => {
            let first = || steps.first().map_or(0, |step| step.time_ms);
            facts.as_ref().map_or_else(first, |facts| facts.time_ms)
        }
        Record::Connection(connection) => connection.time_ms,
        Record::Outbound(outbound) => outbound.time_ms,
        Record::Settings(settings) => settings.time_ms,
        Record::Pressure(pressure) => pressure.time_ms,
    }
}

/// All terms of a record, some more than once.
pub fn each_term(record: &Record, each: &mut dyn FnMut(Term<'_>)) {
    match record {
        Record::Message(part) => {
            each(Term::QueueId(part.queue_id));
            if let Some(facts) = &part.facts {
                each_fact(facts, each);
            }
            part.steps.iter().for_each(|step| each_step(&step.what, each));
            each_state(part, each);
        }
        Record::Connection(connection) => {
            each_peer(connection.peer.ip(), each);
            each(Term::Connector(&connection.connector));
        }
        Record::Outbound(outbound) => {
            each(Term::Connector(&outbound.way.connector));
            each(Term::Domain(&outbound.way.next_hop));
            if !outbound.is_opened {
                each(Term::Failed(&outbound.way.next_hop));
            }
        }
        Record::Settings(_) => each(Term::Settings),
        Record::Pressure(_) => {}
    }
}

fn each_fact(facts: &Facts, each: &mut dyn FnMut(Term<'_>)) {
    each(Term::MessageId(bare(&facts.message_id)));
    each_address(&facts.sender, each);
    facts.recipients.iter().for_each(|recipient| each_address(recipient, each));
    if let Some(peer) = facts.peer {
        each_peer(peer.ip(), each);
    }
    each(Term::Connector(&facts.connector));
    if let Some(subject) = &facts.subject {
        words(subject).take(WORDS_MAX).for_each(|word| each(Term::Word(word)));
    }
    if let Some(decision) = facts.decision {
        each(Term::Decision(decision));
    }
}

fn each_step(what: &What, each: &mut dyn FnMut(Term<'_>)) {
    match what {
        What::Recipients { addresses, .. } | What::Resolved { named: addresses } => {
            addresses.iter().for_each(|address| each_address(address, each));
        }
        What::Routed { way, .. } => each(Term::Connector(&way.connector)),
        // Nothing is tried on a way that it was not routed to.
        What::Attempt(_) | What::NoConnection { .. } => {}
        What::Report { .. } | What::Administrator { .. } | What::Held { .. } => {}
    }
}

/// Each state once.
fn each_state(part: &Part, each: &mut dyn FnMut(Term<'_>)) {
    let mut told = 0_u16;
    let mut tell = |state: State| {
        if told & 1 << state as u16 == 0 {
            told |= 1 << state as u16;
            each(Term::State(state));
        }
    };
    for step in &part.steps {
        if let What::Held { .. } = step.what {
            tell(State::Held);
        }
        let ends = step.what.outcomes().iter().filter(|outcome| !outcome.verdict.is_pending());
        ends.for_each(|outcome| tell(State::of(Some(outcome.verdict))));
    }
    // Of whom nothing else is known, the spool's log says that they have ended.
    if part.is_recovered && part.is_last {
        tell(State::Ended);
    }
    if !part.is_last && (part.facts.is_some() || has_pending(part)) {
        tell(State::Deferred);
    }
}

/// Whether a part knows a recipient and nothing of its end. Where somebody of a message waits whose beginning is kept no more, some
/// part is like that: one knows the recipient, and none its end.
fn has_pending(part: &Part) -> bool {
    let of_steps = part.steps.iter().map(|step| match &step.what {
        What::Recipients { first, addresses } => (*first as usize).saturating_add(addresses.len()),
        what => what.outcomes().iter().map(|outcome| outcome.recipient as usize + 1).max().unwrap_or(0),
    });
    let mut pending = vec![true; of_steps.fold(0, usize::max).min(PLACES_MAX)];
    let ends = part.steps.iter().flat_map(|step| step.what.outcomes()).filter(|outcome| !outcome.verdict.is_pending());
    for outcome in ends {
        if let Some(is_pending) = pending.get_mut(outcome.recipient as usize) {
            *is_pending = false;
        }
    }
    pending.contains(&true)
}

fn each_address(address: &str, each: &mut dyn FnMut(Term<'_>)) {
    if address.is_empty() {
        return;
    }
    each(Term::Address(address));
    if let Some(domain) = domain_of(address) {
        each(Term::Domain(domain));
    }
}

fn each_peer(ip: IpAddr, each: &mut dyn FnMut(Term<'_>)) {
    for term in [Term::Peer(ip), Term::Near(ip), Term::Far(ip)] {
        each(term);
    }
}

/// Whether a subject has a word that counts.
pub fn has_word(subject: &str, word: &str) -> bool {
    words(subject).take(WORDS_MAX).any(|of_subject| equal(of_subject, word))
}

/// Whether two texts are the same but for the case of letters.
pub fn equal(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
        || (!(one.is_ascii() && other.is_ascii()) && one.to_lowercase() == other.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_stay_what_they_are_on_disks() {
        let ip = |text: &str| text.parse().expect("an address");
        for (term, expected) in [
            (Term::QueueId(4711), 0xe1668274),
            (Term::Address("Ann@Contoso.com"), 0x26f55d3d),
            (Term::Domain("contoso.com"), 0x5f4126c8),
            (Term::Peer(ip("192.168.2.55")), 0x026847ca),
            (Term::State(State::Failed), 0x82561a17),
            (Term::State(State::Ended), 0x0b376454),
        ] {
            assert_eq!(term.hash(), expected, "{term:?}");
        }
    }

    #[test]
    fn case_and_brackets_do_not_count_and_kinds_do() {
        assert_eq!(Term::Address("Ann@Contoso.com").hash(), Term::Address("ann@contoso.COM").hash());
        assert_eq!(Term::Word("GRÜSSE").hash(), Term::Word("grüsse").hash());
        assert_ne!(Term::Address("contoso").hash(), Term::Domain("contoso").hash());
        assert_eq!((bare("<a@b>"), bare(" a@b"), bare("<a@b")), ("a@b", "a@b", "a@b"));
        assert!(has_word("Re: Ihre RECHNUNG, Nr. 4", "rechnung") && !has_word("Rechnungen", "Rechnung"));
        let ip = |text: &str| text.parse::<IpAddr>().expect("an address");
        assert_eq!(Term::Near(ip("192.168.2.55")).hash(), Term::Near(ip("::ffff:192.168.2.1")).hash());
        assert_ne!(Term::Near(ip("192.168.2.55")).hash(), Term::Near(ip("192.168.3.55")).hash());
        assert_eq!(Term::Far(ip("2001:db8::1")).hash(), Term::Far(ip("2001:db8:ffff::2")).hash());
    }
}
