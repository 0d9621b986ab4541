//! One transaction as the client sends it: writes its commands, and keeps what the peer said to each.

use std::io::Write;

use gatepost_mail::{BodyType, Mailbox, Recipient, Reply, Return, ReversePath, xtext};

use crate::extension::{Extensions, SizeOffer};

/// Most commands that are sent before the first of their replies has come. It bounds both our buffers and the peer's
/// unread replies, so that two sides that only write cannot block each other (RFC 2920 section 3.1).
const PIPELINE_COMMANDS_MAX: usize = 100;

/// What to send in one transaction.
#[derive(Clone, Copy, Debug)]
pub struct Transaction<'a> {
    /// Where reports go.
    pub reverse_path: &'a ReversePath,
    /// At least one, each with the caller's number for it.
    pub recipients: &'a [(usize, &'a Recipient)],
    /// What the content is. BINARYMIME needs a next hop that offers it together with CHUNKING.
    pub body: BodyType,
    /// The exact number of bytes that will be given to [`Client::content`](crate::Client::content).
    pub size: u64,
    /// Whether the next hop must offer SMTPUTF8.
    pub smtputf8: bool,
    /// The RET parameter.
    pub ret: Option<Return>,
    /// The ENVID parameter, xtext.
    pub envid: Option<&'a str>,
    /// Who submitted the message first, for a next hop that is to know; others are told that we do not say.
    pub originator: Option<&'a Mailbox>,
}

/// What became of one recipient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecipientResult {
    /// The caller's number for it.
    pub index: usize,
    /// The last word: the refusal at MAIL, RCPT or DATA, or the reply to the end of the content. Where the connection
    /// was lost or made no sense it is our own, and transient. If it was lost behind the end of the content the peer
    /// may have the message all the same: trying again can make a duplicate, not trying can lose it (RFC 5321 section
    /// 4.5.4.1, RFC 1047).
    pub reply: Reply,
}

/// How the content will go out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// DATA.
    Data,
    /// One BDAT of that many bytes.
    Bdat(u64),
    /// There is none: the peer is only asked about recipients.
    Nothing,
}

/// The commands of a transaction on their way.
#[derive(Debug)]
pub(super) struct Exchange {
    /// The commands that have not been sent, one line each.
    commands: Vec<u8>,
    sent_bytes: usize,
    sent: usize,
    answered: usize,
    /// How many commands there are: RSET perhaps, MAIL, RCPTs, DATA unless BDAT carries the content.
    total: usize,
    starts_with_rset: bool,
    mail_refusal: Option<Reply>,
    /// Whether DATA got its 354.
    content_is_awaited: bool,
    recipients: Vec<Slot>,
    carrier: Carrier,
}

#[derive(Debug)]
struct Slot {
    index: usize,
    /// A refusal is the last word; an acceptance waits for the end of the content, if there is any.
    last_word: Option<Reply>,
}

/// A reply's meaning for the transaction.
#[derive(Debug)]
pub(super) enum Meaning {
    /// Noted; nothing to tell.
    Noted,
    /// The reply to this RCPT.
    Recipient { index: usize, reply: Reply },
    /// A reply that no such command may get.
    Nonsense,
}

/// What is to be done once all replies to what was sent are there.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Wait for more replies.
    Wait,
    /// Send more commands.
    Send,
    /// Send the content.
    Content,
    /// The peer waits for content that nobody is to get: end it at once (RFC 2920 section 3.1).
    EmptyContent,
    /// Nothing: all recipients are refused, or the peer was only asked about them.
    Nothing,
}

impl Exchange {
    /// Writes the commands as far as the peer's extensions allow, or says why the message cannot go there.
    pub(super) fn new(
        transaction: Transaction<'_>,
        extensions: &Extensions,
        starts_with_rset: bool,
    ) -> Result<Exchange, Reply> {
        let carrier = carrier(&transaction, extensions)?;
        Ok(Exchange::carried_by(carrier, transaction, extensions, starts_with_rset))
    }

    /// Writes MAIL and RCPT, to hear what the peer says to them and no more.
    pub(super) fn asking(recipient: &Recipient, extensions: &Extensions, starts_with_rset: bool) -> Exchange {
        let transaction = Transaction {
            reverse_path: &ReversePath::Null,
            recipients: &[(0, recipient)],
            body: BodyType::SevenBit,
            size: 0,
            smtputf8: recipient.mailbox.needs_smtputf8(),
            ret: None,
            envid: None,
            originator: None,
        };
        Exchange::carried_by(Carrier::Nothing, transaction, extensions, starts_with_rset)
    }

    fn carried_by(
        carrier: Carrier,
        transaction: Transaction<'_>,
        extensions: &Extensions,
        starts_with_rset: bool,
    ) -> Exchange {
        let mut commands = Vec::new();
        if starts_with_rset {
            commands.extend_from_slice(b"RSET\r\n");
        }
        write_mail(&transaction, extensions, &mut commands);
        for (_, recipient) in transaction.recipients {
            write_rcpt(recipient, extensions, &mut commands);
        }
        if carrier == Carrier::Data {
            commands.extend_from_slice(b"DATA\r\n");
        }
        let total =
            usize::from(starts_with_rset) + 1 + transaction.recipients.len() + usize::from(carrier == Carrier::Data);
        let recipients =
            transaction.recipients.iter().map(|(index, _)| Slot { index: *index, last_word: None }).collect();
        Exchange {
            commands,
            sent_bytes: 0,
            sent: 0,
            answered: 0,
            total,
            starts_with_rset,
            mail_refusal: None,
            content_is_awaited: false,
            recipients,
            carrier,
        }
    }

    /// How the content will go out.
    pub(super) fn carrier(&self) -> Carrier {
        self.carrier
    }

    /// Moves the next commands to `out`: one, or a group where the peer takes groups.
    pub(super) fn send(&mut self, pipelining: bool, out: &mut Vec<u8>) {
        let group = if pipelining { PIPELINE_COMMANDS_MAX } else { 1 };
        let unsent = &self.commands[self.sent_bytes..];
        // Every command is one line, so the n-th line end is where n commands end.
        let count = group.min(self.total - self.sent);
        let end = memchr::memchr_iter(b'\n', unsent).take(count).last().map_or(0, |end| end + 1);
        out.extend_from_slice(&unsent[..end]);
        self.sent_bytes += end;
        self.sent += count;
    }

    /// Whether the reply awaited now is the one to DATA.
    pub(super) fn awaits_data(&self) -> bool {
        self.carrier == Carrier::Data && self.answered + 1 == self.total
    }

    /// Whether MAIL was accepted, so that the peer holds a transaction.
    pub(super) fn is_open(&self) -> bool {
        self.answered > usize::from(self.starts_with_rset) && self.mail_refusal.is_none()
    }

    /// Notes the reply to the oldest unanswered command.
    pub(super) fn take_reply(&mut self, reply: Reply) -> Meaning {
        let number = self.answered;
        self.answered += 1;
        let is_data = self.carrier == Carrier::Data && self.answered == self.total;
        let is_expected = if is_data { reply.code / 100 != 2 } else { reply.code / 100 != 3 };
        if !is_expected {
            return Meaning::Nonsense;
        }
        let after_rset = match number.checked_sub(usize::from(self.starts_with_rset)) {
            None => return Meaning::Noted,
            Some(after_rset) => after_rset,
        };
        if is_data {
            self.content_is_awaited = reply.is_positive();
            if !self.content_is_awaited {
                self.refuse_rest(&reply);
            }
            return Meaning::Noted;
        }
        let Some(slot) = after_rset.checked_sub(1).and_then(|i| self.recipients.get_mut(i)) else {
            if !reply.is_positive() {
                self.refuse_rest(&reply);
                self.mail_refusal = Some(reply);
            }
            return Meaning::Noted;
        };
        if self.mail_refusal.is_some() {
            return Meaning::Noted;
        }
        if !reply.is_positive() || self.carrier == Carrier::Nothing {
            slot.last_word = Some(reply.clone());
        }
        Meaning::Recipient { index: slot.index, reply }
    }

    /// What to do after a reply.
    pub(super) fn next(&self) -> Next {
        if self.answered < self.sent {
            return Next::Wait;
        }
        let has_recipient = self.recipients.iter().any(|slot| slot.last_word.is_none());
        if self.answered < self.total {
            // Without a recipient DATA is not worth sending.
            let is_lost = self.mail_refusal.is_some() || (self.awaits_data() && !has_recipient);
            return if is_lost { Next::Nothing } else { Next::Send };
        }
        match (has_recipient, self.content_is_awaited) {
            _ if self.carrier == Carrier::Nothing => Next::Nothing,
            (true, _) => Next::Content,
            (false, true) => Next::EmptyContent,
            (false, false) => Next::Nothing,
        }
    }

    /// Notes a reply to the end of the content as that of the first recipient that still waits for one (RFC 2033 section
    /// 4.2). Says whether others wait.
    pub(super) fn take_end_reply(&mut self, reply: &Reply) -> bool {
        let mut waiting = self.recipients.iter_mut().filter(|slot| slot.last_word.is_none());
        if let Some(slot) = waiting.next() {
            slot.last_word = Some(reply.clone());
        }
        waiting.next().is_some()
    }

    /// Gives every recipient that was not refused before this last word.
    pub(super) fn into_results(self, last_word: &Reply) -> Vec<RecipientResult> {
        self.recipients
            .into_iter()
            .map(|slot| RecipientResult {
                index: slot.index,
                reply: slot.last_word.unwrap_or_else(|| last_word.clone()),
            })
            .collect()
    }

    fn refuse_rest(&mut self, reply: &Reply) {
        for slot in &mut self.recipients {
            slot.last_word.get_or_insert_with(|| reply.clone());
        }
    }
}

/// How the content can go out, or why it cannot.
fn carrier(transaction: &Transaction<'_>, extensions: &Extensions) -> Result<Carrier, Reply> {
    if transaction.smtputf8 && !extensions.smtputf8 {
        return Err(Reply::new(550, (5, 6, 7), "The next hop does not support SMTPUTF8"));
    }
    if let SizeOffer::Limit(limit) = extensions.size
        && limit > 0
        && transaction.size > limit
    {
        return Err(Reply::new(552, (5, 3, 4), "Message size exceeds the fixed maximum of the next hop"));
    }
    match transaction.body {
        BodyType::BinaryMime if extensions.binary_mime && extensions.chunking => Ok(Carrier::Bdat(transaction.size)),
        BodyType::BinaryMime => Err(Reply::new(554, (5, 6, 3), "The next hop does not support BINARYMIME")),
        // 8-bit content goes out even to a peer without 8BITMIME, undeclared: all but museum pieces pass it on, while
        // re-encoding it would break its signatures.
        BodyType::SevenBit | BodyType::EightBitMime => Ok(Carrier::Data),
    }
}

fn write_mail(transaction: &Transaction<'_>, extensions: &Extensions, out: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = write!(out, "MAIL FROM:{}", transaction.reverse_path);
    if extensions.size != SizeOffer::Absent {
        let _ = write!(out, " SIZE={}", transaction.size);
    }
    match transaction.body {
        BodyType::BinaryMime => out.extend_from_slice(b" BODY=BINARYMIME"),
        BodyType::EightBitMime if extensions.eight_bit_mime => out.extend_from_slice(b" BODY=8BITMIME"),
        BodyType::EightBitMime | BodyType::SevenBit => {}
    }
    if transaction.smtputf8 {
        out.extend_from_slice(b" SMTPUTF8");
    }
    if extensions.dsn {
        match transaction.ret {
            Some(Return::Full) => out.extend_from_slice(b" RET=FULL"),
            Some(Return::Headers) => out.extend_from_slice(b" RET=HDRS"),
            None => {}
        }
        if let Some(envid) = transaction.envid.filter(|text| is_one_word(text)) {
            let _ = write!(out, " ENVID={envid}");
        }
    }
    // RFC 4954 section 5: whoever says nothing would leave it to the next hop to take the sender for authenticated.
    if extensions.auth {
        match transaction.originator {
            Some(mailbox) => {
                let _ = write!(out, " AUTH={}", xtext::encode(&mailbox.to_string()));
            }
            None => out.extend_from_slice(b" AUTH=<>"),
        }
    }
    out.extend_from_slice(b"\r\n");
}

fn write_rcpt(recipient: &Recipient, extensions: &Extensions, out: &mut Vec<u8>) {
    let _ = write!(out, "RCPT TO:<{}>", recipient.mailbox);
    if extensions.dsn {
        let notify = recipient.notify;
        if notify.given {
            let wishes = [(notify.success, "SUCCESS"), (notify.failure, "FAILURE"), (notify.delay, "DELAY")];
            let mut separator = " NOTIFY=";
            for (_, word) in wishes.into_iter().filter(|(is_wished, _)| *is_wished) {
                let _ = write!(out, "{separator}{word}");
                separator = ",";
            }
            if separator != "," {
                out.extend_from_slice(b" NOTIFY=NEVER");
            }
        }
        if let Some(original) = recipient.original_recipient.as_deref().filter(|text| is_one_word(text)) {
            let _ = write!(out, " ORCPT={original}");
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether a text that is a plain string to the envelope can stand in a command without becoming more than one word.
fn is_one_word(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || c.is_control())
}
