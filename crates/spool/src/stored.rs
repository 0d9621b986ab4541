//! The meta parts of records as CBOR with numbered fields: a later version may add fields, none is ever renumbered.
//!
//! These are the disk's own structs. They borrow from the record on reading and from the envelope on writing.

use std::net::{IpAddr, SocketAddr};

use gatepost_mail::{
    Arrival, AuthAs, BodyType, Domain, Envelope, Mailbox, Notify, Priority, Recipient, Return, ReversePath,
};
use minicbor::bytes::ByteSlice;
use minicbor::{Decode, Encode};

use crate::message::{RecipientState, Standing, State};

/// The meta part of a message record.
#[derive(Debug, Encode, Decode)]
pub struct StoredMessage<'a> {
    /// Message number.
    #[n(0)]
    pub id: u64,
    /// The envelope.
    #[b(1)]
    pub envelope: StoredEnvelope<'a>,
    /// Recipients that are not as on arrival; empty unless the message was copied forward.
    #[b(2)]
    pub states: Vec<StoredState<'a>>,
    /// Where the content does not lie in the record (which then holds the trace fields only).
    #[n(3)]
    pub body: Option<StoredBody>,
    /// What tracking wants to hear again of how it came; means nothing to us.
    #[b(4)]
    pub label: Option<&'a ByteSlice>,
    /// How it stands as a whole, if not as on arrival; only where it was copied forward.
    #[b(20)]
    pub standing: Option<StoredStanding<'a>>,
}

/// The meta part of an outcomes record.
#[derive(Debug, Default, Encode, Decode)]
pub struct StoredOutcomes<'a> {
    /// Messages of which no recipient is pending any more, or that were refused after they were written.
    #[n(0)]
    pub ended: Vec<u64>,
    /// Recipients whose state changed in messages that go on.
    #[b(1)]
    pub changed: Vec<StoredChange<'a>>,
    /// How those among `ended` ended that were accepted. For tracking: to us an end is an end. Absent from what version
    /// 0.3.0 wrote, and left out while there is little room.
    #[b(2)]
    pub ends: Option<Vec<StoredEnd<'a>>>,
    /// Those among `ended` that were refused after they were written: their peers do not hold us to them.
    #[n(3)]
    pub refused: Option<Vec<u64>>,
    /// What the log said before this place was recorded elsewhere: a [`Mark`](crate::mark::Mark).
    #[n(4)]
    pub recorded: Option<u64>,
    /// Messages that stand otherwise than before; absent if there are none.
    #[b(20)]
    pub standings: Option<Vec<StoredStanding<'a>>>,
}

/// How a message ended.
#[derive(Debug, Encode, Decode)]
pub struct StoredEnd<'a> {
    /// Message number.
    #[n(0)]
    pub id: u64,
    /// Its recipients.
    #[b(1)]
    pub states: Vec<StoredState<'a>>,
}

/// How a message stands as a whole.
#[derive(Debug, Encode, Decode)]
pub struct StoredStanding<'a> {
    /// Message number.
    #[n(0)]
    pub id: u64,
    /// How often this changed so far: of several the one with the highest number holds, in whatever order they are read.
    #[n(1)]
    pub changes: u32,
    /// Bits: 1 suspended, 2 poison.
    #[n(2)]
    pub flags: u8,
    /// See [`Standing::crashes`].
    #[n(3)]
    pub crashes: u32,
    /// See [`Standing::redirect`].
    #[b(4)]
    pub redirect: Option<&'a str>,
    /// 0 high, 1 normal, 2 low.
    #[n(5)]
    pub priority: Option<u8>,
}

impl<'a> StoredStanding<'a> {
    /// The disk's view of a standing.
    pub fn new(id: u64, changes: u32, standing: &'a Standing) -> StoredStanding<'a> {
        StoredStanding {
            id,
            changes,
            flags: u8::from(standing.suspended) | u8::from(standing.poison) << 1,
            crashes: standing.crashes,
            redirect: standing.redirect.as_deref(),
            priority: standing.priority.map(priority_code),
        }
    }

    /// The standing in our own words.
    pub fn read(&self) -> Result<Standing, StoredError> {
        if self.flags > 0b11 {
            return Err(StoredError::Value("standing of a message"));
        }
        Ok(Standing {
            suspended: self.flags & 1 != 0,
            poison: self.flags & 2 != 0,
            crashes: self.crashes,
            redirect: self.redirect.map(Into::into),
            priority: self.priority.map(priority_from_code).transpose()?,
        })
    }
}

fn priority_code(priority: Priority) -> u8 {
    match priority {
        Priority::High => 0,
        Priority::Normal => 1,
        Priority::Low => 2,
    }
}

fn priority_from_code(code: u8) -> Result<Priority, StoredError> {
    match code {
        0 => Ok(Priority::High),
        1 => Ok(Priority::Normal),
        2 => Ok(Priority::Low),
        _ => Err(StoredError::Value("priority")),
    }
}

/// One recipient's new state.
#[derive(Debug, Encode, Decode)]
pub struct StoredChange<'a> {
    /// Message number.
    #[n(0)]
    pub id: u64,
    /// The state, whole: reading it twice changes nothing.
    #[b(1)]
    pub state: StoredState<'a>,
}

/// A body file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Encode, Decode)]
pub struct StoredBody {
    /// Its length.
    #[n(0)]
    pub bytes: u64,
    /// Its CRC-32C.
    #[n(1)]
    pub crc: u32,
}

/// One recipient's state.
#[derive(Debug, Encode, Decode)]
pub struct StoredState<'a> {
    /// Index in the envelope.
    #[n(0)]
    pub index: u32,
    /// 0 pending, 1 delivered, 2 failed, 3 removed.
    #[n(1)]
    pub state: u8,
    /// Attempts so far.
    #[n(2)]
    pub attempts: u32,
    /// The last reply.
    #[b(3)]
    pub last_reply: Option<&'a str>,
    /// Unix time in milliseconds.
    #[n(4)]
    pub last_attempt_ms: u64,
    /// Unix time in milliseconds.
    #[n(5)]
    pub next_attempt_ms: u64,
    /// See [`crate::message::RecipientState::delay_told`]; absent for no.
    #[n(20)]
    pub delay_told: Option<bool>,
}

impl<'a> StoredState<'a> {
    /// The disk's view of a recipient that has come to its end.
    pub fn of_end(index: u32, state: &'a RecipientState) -> StoredState<'a> {
        StoredState {
            index,
            state: state_code(state.state),
            attempts: state.attempts,
            last_reply: state.last_reply.as_deref(),
            last_attempt_ms: state.last_attempt_ms,
            next_attempt_ms: 0,
            delay_told: None,
        }
    }

    /// The state with its recipient.
    pub fn read(&self) -> Result<(u32, RecipientState), StoredError> {
        let state = RecipientState {
            state: state_from_code(self.state).ok_or(StoredError::Value("recipient state"))?,
            attempts: self.attempts,
            last_reply: self.last_reply.map(Into::into),
            last_attempt_ms: self.last_attempt_ms,
            next_attempt_ms: self.next_attempt_ms,
            delay_told: self.delay_told == Some(true),
        };
        Ok((self.index, state))
    }
}

/// The number that stands for a state on disk.
pub fn state_code(state: State) -> u8 {
    match state {
        State::Pending => 0,
        State::Delivered => 1,
        State::Failed => 2,
        State::Removed => 3,
    }
}

/// The state that a number stands for; `None` for one that only a newer program knows.
pub fn state_from_code(code: u8) -> Option<State> {
    match code {
        0 => Some(State::Pending),
        1 => Some(State::Delivered),
        2 => Some(State::Failed),
        3 => Some(State::Removed),
        _ => None,
    }
}

/// The envelope. The peer's address is written as its octets.
#[derive(Debug, Encode, Decode)]
pub struct StoredEnvelope<'a> {
    #[b(0)]
    reverse_path: Option<StoredMailbox<'a>>,
    #[b(1)]
    recipients: Vec<StoredRecipient<'a>>,
    #[n(2)]
    body: u8,
    #[n(3)]
    smtputf8: bool,
    #[n(4)]
    ret: Option<u8>,
    #[b(5)]
    envid: Option<&'a str>,
    #[n(6)]
    time_ms: u64,
    #[b(7)]
    peer: Option<StoredPeer<'a>>,
    #[b(8)]
    connector: &'a str,
    #[b(9)]
    principal: &'a str,
    /// 0 anonymous, 1 internal, 2 partner; absent from what version 0.1.0 wrote, which knew no difference.
    #[n(10)]
    auth_as: Option<u8>,
    #[b(11)]
    originator: Option<StoredMailbox<'a>>,
    /// 0 high, 2 low; absent for normal.
    #[n(20)]
    priority: Option<u8>,
    /// Of a report of our own: who is told if it cannot be delivered.
    #[b(25)]
    answerable: Option<StoredMailbox<'a>>,
}

#[derive(Debug, Encode, Decode)]
struct StoredMailbox<'a> {
    #[b(0)]
    local_part: &'a str,
    #[b(1)]
    domain: &'a str,
}

#[derive(Debug, Encode, Decode)]
struct StoredRecipient<'a> {
    #[b(0)]
    mailbox: StoredMailbox<'a>,
    /// Bits: 1 success, 2 failure, 4 delay, 8 given.
    #[n(1)]
    notify: u8,
    #[b(2)]
    original_recipient: Option<&'a str>,
}

#[derive(Debug, Encode, Decode)]
struct StoredPeer<'a> {
    #[b(0)]
    octets: &'a ByteSlice,
    #[n(1)]
    port: u16,
    #[n(2)]
    scope: u32,
}

/// The octets of an address, kept alive while a [`StoredEnvelope`] borrows them.
#[derive(Debug)]
pub struct Octets {
    octets: [u8; 16],
    used: usize,
}

impl Octets {
    /// Of the peer, if there is one.
    pub fn of(envelope: &Envelope) -> Octets {
        let mut octets = [0; 16];
        let used = match envelope.arrival.peer.map(|peer| peer.ip()) {
            None => 0,
            Some(IpAddr::V4(address)) => {
                octets[..4].copy_from_slice(&address.octets());
                4
            }
            Some(IpAddr::V6(address)) => {
                octets = address.octets();
                16
            }
        };
        Octets { octets, used }
    }
}

/// Why a meta part cannot be used although its checksum is right.
#[derive(Debug, thiserror::Error)]
pub enum StoredError {
    /// Not the CBOR that we write.
    #[error("it cannot be read: {0}")]
    Cbor(#[from] minicbor::decode::Error),
    /// A value that no version so far writes.
    #[error("it holds an unknown {0}")]
    Value(&'static str),
}

impl<'a> StoredEnvelope<'a> {
    /// The disk's view of an envelope.
    pub fn new(envelope: &'a Envelope, octets: &'a Octets) -> StoredEnvelope<'a> {
        let arrival = &envelope.arrival;
        StoredEnvelope {
            reverse_path: envelope.reverse_path.mailbox().map(StoredMailbox::new),
            recipients: envelope.recipients.iter().map(StoredRecipient::new).collect(),
            body: match envelope.body {
                BodyType::SevenBit => 0,
                BodyType::EightBitMime => 1,
                BodyType::BinaryMime => 2,
            },
            smtputf8: envelope.smtputf8,
            ret: envelope.ret.map(|ret| match ret {
                Return::Full => 0,
                Return::Headers => 1,
            }),
            envid: envelope.envid.as_deref(),
            time_ms: arrival.time_ms,
            peer: arrival.peer.map(|peer| StoredPeer {
                octets: (&octets.octets[..octets.used]).into(),
                port: peer.port(),
                scope: match peer {
                    SocketAddr::V4(_) => 0,
                    SocketAddr::V6(peer) => peer.scope_id(),
                },
            }),
            connector: &arrival.connector,
            principal: &arrival.principal,
            auth_as: Some(match arrival.auth_as {
                AuthAs::Anonymous => 0,
                AuthAs::Internal => 1,
                AuthAs::Partner => 2,
            }),
            originator: arrival.originator.as_ref().map(StoredMailbox::new),
            priority: Some(arrival.priority).filter(|priority| *priority != Priority::Normal).map(priority_code),
            answerable: arrival.answerable.as_deref().map(StoredMailbox::new),
        }
    }

    /// The envelope in the words of mail.
    pub fn read(&self) -> Result<Envelope, StoredError> {
        Ok(Envelope {
            reverse_path: match &self.reverse_path {
                None => ReversePath::Null,
                Some(mailbox) => ReversePath::Mailbox(mailbox.read()?),
            },
            recipients: self.recipients.iter().map(StoredRecipient::read).collect::<Result<_, _>>()?,
            body: match self.body {
                0 => BodyType::SevenBit,
                1 => BodyType::EightBitMime,
                2 => BodyType::BinaryMime,
                _ => return Err(StoredError::Value("body type")),
            },
            smtputf8: self.smtputf8,
            ret: match self.ret {
                None => None,
                Some(0) => Some(Return::Full),
                Some(1) => Some(Return::Headers),
                Some(_) => return Err(StoredError::Value("RET")),
            },
            envid: self.envid.map(Into::into),
            arrival: Arrival {
                time_ms: self.time_ms,
                peer: self.peer.as_ref().map(StoredPeer::read).transpose()?,
                connector: self.connector.into(),
                principal: self.principal.into(),
                auth_as: match self.auth_as {
                    None | Some(0) => AuthAs::Anonymous,
                    Some(1) => AuthAs::Internal,
                    Some(2) => AuthAs::Partner,
                    Some(_) => return Err(StoredError::Value("standing of the sender")),
                },
                originator: self.originator.as_ref().map(StoredMailbox::read).transpose()?,
                priority: self.priority.map(priority_from_code).transpose()?.unwrap_or_default(),
                answerable: self.answerable.as_ref().map(StoredMailbox::read).transpose()?.map(Box::new),
            },
        })
    }
}

impl<'a> StoredMailbox<'a> {
    fn new(mailbox: &'a Mailbox) -> StoredMailbox<'a> {
        StoredMailbox { local_part: mailbox.local_part(), domain: mailbox.domain().as_str() }
    }

    fn read(&self) -> Result<Mailbox, StoredError> {
        let domain = Domain::parse(self.domain).map_err(|_| StoredError::Value("domain"))?;
        Mailbox::new_long(self.local_part, domain).map_err(|_| StoredError::Value("local part"))
    }
}

impl<'a> StoredRecipient<'a> {
    fn new(recipient: &'a Recipient) -> StoredRecipient<'a> {
        let Notify { success, failure, delay, given } = recipient.notify;
        StoredRecipient {
            mailbox: StoredMailbox::new(&recipient.mailbox),
            notify: u8::from(success) | u8::from(failure) << 1 | u8::from(delay) << 2 | u8::from(given) << 3,
            original_recipient: recipient.original_recipient.as_deref(),
        }
    }

    fn read(&self) -> Result<Recipient, StoredError> {
        if self.notify > 0b1111 {
            return Err(StoredError::Value("NOTIFY"));
        }
        let bit = |bit: u8| self.notify & bit != 0;
        Ok(Recipient {
            mailbox: self.mailbox.read()?,
            notify: Notify { success: bit(1), failure: bit(2), delay: bit(4), given: bit(8) },
            original_recipient: self.original_recipient.map(Into::into),
        })
    }
}

impl StoredPeer<'_> {
    fn read(&self) -> Result<SocketAddr, StoredError> {
        let octets: &[u8] = self.octets;
        if let Ok(v4) = <[u8; 4]>::try_from(octets) {
            return Ok(SocketAddr::from((v4, self.port)));
        }
        let v6 = <[u8; 16]>::try_from(octets).map_err(|_| StoredError::Value("peer address"))?;
        Ok(SocketAddr::V6(std::net::SocketAddrV6::new(v6.into(), self.port, 0, self.scope)))
    }
}

/// Writes a meta part.
pub fn write<T: Encode<()>>(value: &T) -> Vec<u8> {
    let mut meta = Vec::with_capacity(512);
    minicbor::encode(value, &mut meta).expect("a Vec takes whatever is written");
    meta
}

/// Reads a meta part. What a newer program added behind the known fields is passed over.
pub fn read<'a, T: Decode<'a, ()>>(meta: &'a [u8]) -> Result<T, StoredError> {
    Ok(minicbor::decode(meta)?)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::record::Header;

    fn mailbox() -> impl Strategy<Value = Mailbox> {
        let local_part = prop_oneof!["[a-z]{1,8}", "\"[a-z @>]{0,8}\"", Just("用户".to_owned())];
        let literals = ["[192.0.2.1]", "[IPv6:2001:db8::1]"].map(str::to_owned);
        let domain = prop_oneof!["[a-z]{1,8}\\.example", proptest::sample::select(literals.to_vec())];
        (local_part, domain).prop_map(|(local_part, domain)| {
            Mailbox::new(&local_part, Domain::parse(&domain).expect("it is legal")).expect("it is legal")
        })
    }

    fn recipient() -> impl Strategy<Value = Recipient> {
        (mailbox(), any::<[bool; 4]>(), any::<Option<String>>()).prop_map(|(mailbox, notify, original_recipient)| {
            let [success, failure, delay, given] = notify;
            let original_recipient = original_recipient.map(Into::into);
            Recipient { mailbox, notify: Notify { success, failure, delay, given }, original_recipient }
        })
    }

    fn arrival() -> impl Strategy<Value = Arrival> {
        let peer = proptest::option::of((any::<IpAddr>(), any::<u16>()).prop_map(SocketAddr::from));
        let names = (any::<String>(), any::<String>());
        let auth_as = prop_oneof![Just(AuthAs::Anonymous), Just(AuthAs::Internal), Just(AuthAs::Partner)];
        let originator = proptest::option::of(mailbox());
        let priority = proptest::sample::select(Priority::ALL.to_vec());
        (any::<u64>(), peer, names, auth_as, originator, priority).prop_map(
            |(time_ms, peer, names, auth_as, originator, priority)| {
                let (connector, principal) = (names.0.into(), names.1.into());
                Arrival {
                    time_ms,
                    peer,
                    connector,
                    principal,
                    auth_as,
                    originator: originator.clone(),
                    priority,
                    answerable: originator.map(Box::new),
                }
            },
        )
    }

    prop_compose! {
        fn envelope()(
            reverse_path in proptest::option::of(mailbox()),
            recipients in proptest::collection::vec(recipient(), 1..5),
            body in prop_oneof![Just(BodyType::SevenBit), Just(BodyType::EightBitMime), Just(BodyType::BinaryMime)],
            smtputf8 in any::<bool>(),
            ret in proptest::option::of(prop_oneof![Just(Return::Full), Just(Return::Headers)]),
            envid in any::<Option<String>>(),
            arrival in arrival(),
        ) -> Envelope {
            let reverse_path = reverse_path.map_or(ReversePath::Null, ReversePath::Mailbox);
            Envelope { reverse_path, recipients, body, smtputf8, ret, envid: envid.map(Into::into), arrival }
        }
    }

    proptest! {
        #[test]
        fn an_envelope_is_read_as_it_was_written(id: u64, envelope in envelope()) {
            let octets = Octets::of(&envelope);
            let body = Some(StoredBody { bytes: id, crc: 7 });
            let stored =
                StoredMessage { id, envelope: StoredEnvelope::new(&envelope, &octets), states: Vec::new(), body, label: None, standing: None };
            let meta = write(&stored);
            let again: StoredMessage<'_> = read(&meta).expect("it was just written");
            prop_assert_eq!((again.id, again.body), (id, body));
            prop_assert_eq!(again.envelope.read().expect("it was just written"), envelope);
        }

        #[test]
        fn a_standing_is_read_as_it_was_written(
            flags: [bool; 2], crashes: u32, redirect: Option<String>, id: u64, changes: u32,
            priority in proptest::option::of(proptest::sample::select(Priority::ALL.to_vec())),
        ) {
            let [suspended, poison] = flags;
            let standing = Standing { suspended, poison, crashes, redirect: redirect.map(Into::into), priority };
            let standings = Some(vec![StoredStanding::new(id, changes, &standing)]);
            let meta = write(&StoredOutcomes { standings, ..StoredOutcomes::default() });
            let again: StoredOutcomes<'_> = read(&meta).expect("it was just written");
            let [one] = &again.standings.expect("there is one")[..] else { panic!("there is one") };
            prop_assert_eq!((one.id, one.changes), (id, changes));
            prop_assert_eq!(one.read().expect("it was just written"), standing);
        }

        #[test]
        fn no_bytes_make_the_readers_panic(bytes: Vec<u8>) {
            let _ = read::<StoredMessage<'_>>(&bytes).map(|message| message.envelope.read());
            let _ = read::<StoredOutcomes<'_>>(&bytes);
            let _ = Header::parse(&bytes, 0, 0);
        }

        #[test]
        fn no_change_to_an_envelope_makes_the_readers_panic(envelope in envelope(), at: usize, byte: u8) {
            let octets = Octets::of(&envelope);
            let stored = StoredEnvelope::new(&envelope, &octets);
            let mut meta = write(&StoredMessage { id: 1, envelope: stored, states: Vec::new(), body: None, label: None, standing: None });
            let at = at % meta.len();
            meta[at] = byte;
            let _ = read::<StoredMessage<'_>>(&meta).map(|message| message.envelope.read());
        }
    }

    #[test]
    fn an_envelope_of_version_0_1_0_is_read_as_anonymous() {
        #[derive(Encode)]
        struct Earlier<'a> {
            #[n(0)]
            reverse_path: Option<u8>,
            #[b(1)]
            recipients: Vec<StoredRecipient<'a>>,
            #[n(2)]
            body: u8,
            #[n(3)]
            smtputf8: bool,
            #[n(6)]
            time_ms: u64,
            #[b(8)]
            connector: &'a str,
            #[b(9)]
            principal: &'a str,
        }
        let earlier = Earlier {
            reverse_path: None,
            recipients: Vec::new(),
            body: 0,
            smtputf8: false,
            time_ms: 7,
            connector: "Relay",
            principal: "alice",
        };
        let meta = write(&earlier);
        let envelope = read::<StoredEnvelope<'_>>(&meta).expect("nothing is missing").read().expect("it is legal");
        assert_eq!(&*envelope.arrival.principal, "alice");
        assert_eq!((envelope.arrival.auth_as, envelope.arrival.originator), (AuthAs::Anonymous, None));
    }

    #[test]
    fn a_standing_that_only_a_later_version_knows_is_an_error() {
        let arrival = Arrival {
            time_ms: 1,
            peer: None,
            connector: "".into(),
            principal: "".into(),
            auth_as: AuthAs::Internal,
            ..Arrival::default()
        };
        let envelope = Envelope {
            reverse_path: ReversePath::Null,
            recipients: Vec::new(),
            body: BodyType::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
            arrival,
        };
        let octets = Octets::of(&envelope);
        let mut stored = StoredEnvelope::new(&envelope, &octets);
        stored.auth_as = Some(3);
        assert!(matches!(stored.read(), Err(StoredError::Value(_))));
    }

    #[test]
    fn fields_of_a_later_version_are_passed_over() {
        #[derive(Encode)]
        struct Later {
            #[n(0)]
            ended: Vec<u64>,
            #[n(1)]
            changed: Vec<u8>,
            #[n(9)]
            news: String,
        }
        let meta = write(&Later { ended: vec![3], changed: Vec::new(), news: "later".into() });
        assert_eq!(read::<StoredOutcomes<'_>>(&meta).expect("it is readable").ended, [3]);
    }
}
