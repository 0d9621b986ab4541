//! Who a message says it is from: the addresses of its From, Sender, Resent-From and Resent-Sender fields (RFC 5322
//! sections 3.6.2 and 3.6.6).
//!
//! Takes the values of these fields as the header is read, hands on every address with the field that names it; or, for
//! the header as a whole, that it cannot be read with certainty, and why. Never judges who may be named.

use std::fmt;

use crate::address::Mailbox;
use crate::address_list::{self, ADDRESSES_MAX};

/// A field that names a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SenderField {
    /// The author, whom every reader shows.
    From,
    /// Who sent the message, where that is not the author.
    Sender,
    /// Who sent the message again.
    ResentFrom,
    /// The same, on somebody's behalf.
    ResentSender,
}

impl SenderField {
    /// Every one of them.
    pub const ALL: [SenderField; 4] =
        [SenderField::From, SenderField::Sender, SenderField::ResentFrom, SenderField::ResentSender];

    /// The field's name as RFC 5322 writes it.
    pub const fn name(self) -> &'static str {
        match self {
            SenderField::From => "From",
            SenderField::Sender => "Sender",
            SenderField::ResentFrom => "Resent-From",
            SenderField::ResentSender => "Resent-Sender",
        }
    }

    /// The field of this name, in any case.
    pub fn parse(name: &[u8]) -> Option<SenderField> {
        SenderField::ALL.into_iter().find(|field| name.eq_ignore_ascii_case(field.name().as_bytes()))
    }

    /// The field that a line which is no header field could be to a reader less strict than we are: one that drops
    /// whatever no name may hold, or unfolds a line that breaks off within the name.
    pub(crate) fn meant_by(line: &[u8]) -> Option<SenderField> {
        let name = line.split(|byte| *byte == b':').next()?;
        let mut graphic = [0; "Resent-Sender".len()];
        let mut length = 0;
        for byte in name.iter().filter(|byte| byte.is_ascii_graphic()) {
            *graphic.get_mut(length)? = *byte;
            length += 1;
        }
        SenderField::parse(&graphic[..length])
    }
}

/// The field's name.
impl fmt::Display for SenderField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why it is not certain whom a header names as its senders.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unreadable {
    /// This field's value could be read in more than one way.
    #[error("the {0} field cannot be read with certainty: {1}")]
    Value(SenderField, address_list::Unreadable),
    /// This field is longer than what is read of it.
    #[error("the {0} field is too long")]
    TooLong(SenderField),
    /// A line is no header field, but some readers could take it for this one.
    #[error("a line looks like a {0} field and is none")]
    Name(SenderField),
    /// A carriage return without a line feed, where some readers begin a new line, and a new field.
    #[error("the header has a carriage return that ends no line")]
    CarriageReturn,
    /// More addresses than [`ADDRESSES_MAX`], or more fields.
    #[error("too many addresses are named as senders")]
    TooMany,
    /// Nobody has read the header for its senders.
    #[error("nobody has looked whom the header names")]
    NotRead,
}

/// Every sender that a header names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderSenders {
    mailboxes: Vec<Mailbox>,
    /// Each field in order, and where in `mailboxes` its addresses end.
    fields: Vec<(SenderField, usize)>,
    unreadable: Option<Unreadable>,
}

impl HeaderSenders {
    /// All addresses, in order. Nothing to go by unless [`HeaderSenders::is_readable`].
    pub fn mailboxes(&self) -> &[Mailbox] {
        &self.mailboxes
    }

    /// The fields in order, each with its addresses. Nothing to go by unless [`HeaderSenders::is_readable`].
    pub fn fields(&self) -> impl Iterator<Item = (SenderField, &[Mailbox])> {
        let mut start = 0;
        self.fields.iter().map(move |(field, end)| {
            let mailboxes = &self.mailboxes[start..*end];
            start = *end;
            (*field, mailboxes)
        })
    }

    /// Whether every reader of the message finds these senders and no others.
    pub fn is_readable(&self) -> bool {
        self.unreadable.is_none()
    }

    /// Why not, if not: the first reason in the order of the header.
    pub fn unreadable(&self) -> Option<Unreadable> {
        self.unreadable
    }

    /// Reads the unfolded value of the next field.
    pub fn read(&mut self, field: SenderField, value: &[u8]) {
        match address_list::parse(value) {
            Err(reason) => self.give_up(Unreadable::Value(field, reason)),
            Ok(named) if self.mailboxes.len() + named.len() > ADDRESSES_MAX || self.fields.len() == ADDRESSES_MAX => {
                self.give_up(Unreadable::TooMany);
            }
            Ok(named) => {
                self.mailboxes.extend(named);
                self.fields.push((field, self.mailboxes.len()));
            }
        }
    }

    /// A header that names one address, in this field.
    pub fn naming(field: SenderField, mailbox: Mailbox) -> HeaderSenders {
        HeaderSenders { mailboxes: vec![mailbox], fields: vec![(field, 1)], unreadable: None }
    }

    /// A header that names these addresses, each in its field.
    pub fn of(named: impl Iterator<Item = (SenderField, Mailbox)>) -> HeaderSenders {
        let named = named.enumerate();
        let (fields, mailboxes) = named.map(|(place, (field, mailbox))| ((field, place + 1), mailbox)).unzip();
        HeaderSenders { mailboxes, fields, unreadable: None }
    }

    /// Notes that the header cannot be read.
    pub(crate) fn give_up(&mut self, reason: Unreadable) {
        self.unreadable.get_or_insert(reason);
    }
}
