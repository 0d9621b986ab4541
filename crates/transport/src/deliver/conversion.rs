//! A message as it goes to one next hop: in seven bits or in ASCII where the next hop takes no more.
//!
//! Takes a message and what the next hop offers, hands on what the transaction is to say, or why the message cannot go
//! there. What `policy::conversion` decides is done here; messages that need nothing done are not looked into.

use std::io;

use gatepost_mail::header_firewall::{HeaderFirewall, Rules, infallible};
use gatepost_mail::seven_bit::{Plan, SevenBit, Survey};
use gatepost_mail::{BodyType, Recipient, Reply};
use gatepost_policy::conversion::{self, NeedsUtf8, Offers, Way};
use gatepost_smtp::{Extensions, RecipientResult};
use gatepost_spool::Message;

use crate::fetch;

/// Read from the disk at once, and looked at before others have their turn.
const PIECE_BYTES: usize = 256 << 10;
/// Of a message's header section, this much is read at once.
const HEADER_PIECE_BYTES: usize = 16 << 10;

/// What goes out.
pub(super) struct Outgoing {
    /// What it is said to be.
    pub(super) body: BodyType,
    /// Whether it needs SMTPUTF8.
    pub(super) smtputf8: bool,
    /// In bytes.
    pub(super) size: u64,
    /// Which parts are encoded on the way.
    pub(super) plan: Option<Plan>,
}

/// The next hop, as far as it matters here.
pub(super) struct Peer<'a> {
    /// Its name.
    pub(super) host: &'a str,
    /// What it offers.
    pub(super) supports: &'a Extensions,
    /// What it may be sent.
    pub(super) rules: Rules,
    /// Whether 8-bit content is converted for it.
    pub(super) converts: bool,
}

/// Finds out how `message` goes to `peer`. The inner error is a reply about all recipients.
///
/// # Errors
/// When the content cannot be read.
pub(super) async fn prepare(message: &Message, peer: &Peer<'_>) -> io::Result<Result<Outgoing, Reply>> {
    let envelope = &message.envelope;
    let mut smtputf8 = envelope.smtputf8;
    if smtputf8 && !peer.supports.smtputf8 {
        if let Some(sender) = envelope.reverse_path.mailbox().filter(|mailbox| mailbox.needs_smtputf8()) {
            return Ok(Err(conversion::needs_smtputf8(peer.host, NeedsUtf8::Sender(sender))));
        }
        if !header_is_ascii(message).await? {
            return Ok(Err(conversion::needs_smtputf8(peer.host, NeedsUtf8::Header)));
        }
        smtputf8 = false;
    }
    let offers = Offers {
        eight_bit_mime: peer.supports.eight_bit_mime,
        binary_mime: peer.supports.binary_mime && peer.supports.chunking,
        smtputf8: peer.supports.smtputf8,
    };
    if conversion::decide(envelope.body, offers, peer.converts) == Way::AsItIs {
        let size = size_as_it_is(message, peer.rules).await?;
        return Ok(Ok(Outgoing { body: envelope.body, smtputf8, size, plan: None }));
    }
    let mut survey = Survey::default();
    each_slice(message, |slice| survey.push(slice)).await?;
    let plan = match survey.finish() {
        Ok(plan) => plan,
        Err(obstacle) => {
            let why = obstacle.to_string();
            return Ok(Err(conversion::impossible(peer.host, envelope.body, &why)));
        }
    };
    let mut size = 0;
    let mut converter = SevenBit::new(plan.clone());
    let mut firewall = HeaderFirewall::new(peer.rules);
    each_slice(message, |slice| {
        let mut count = |bytes: &[u8]| size += bytes.len() as u64;
        let Ok(()) = firewall.push(slice, infallible(|kept| converter.push(kept, &mut count)));
    })
    .await?;
    let mut count = |bytes: &[u8]| size += bytes.len() as u64;
    let Ok(()) = firewall.finish(infallible(|kept| converter.push(kept, &mut count)));
    converter.finish(&mut count);
    tracing::info!(
        queue_id = message.id.0,
        host = peer.host,
        "converted to seven bits for a next hop that takes no more"
    );
    Ok(Ok(Outgoing { body: BodyType::SevenBit, smtputf8, size, plan: Some(plan) }))
}

/// Of `recipients`, those that `peer` can be told; the others have their result already.
pub(super) fn tellable<'r>(
    recipients: &[(usize, &'r Recipient)],
    peer: &Peer<'_>,
) -> (Vec<(usize, &'r Recipient)>, Vec<RecipientResult>) {
    let mut refused = Vec::new();
    let mut kept = Vec::with_capacity(recipients.len());
    for (index, recipient) in recipients {
        if recipient.mailbox.needs_smtputf8() && !peer.supports.smtputf8 {
            let reply = conversion::needs_smtputf8(peer.host, NeedsUtf8::Recipient(&recipient.mailbox));
            refused.push(RecipientResult { index: *index, reply });
        } else {
            kept.push((*index, *recipient));
        }
    }
    (kept, refused)
}

/// How large a message is once the fields that its next hop may not be sent are gone, in bytes. Reads no more of it than
/// its header section.
async fn size_as_it_is(message: &Message, rules: Rules) -> io::Result<u64> {
    let (mut offset, mut kept_bytes) = (0, 0);
    let mut firewall = HeaderFirewall::new(rules);
    let mut count = infallible(|kept| kept_bytes += kept.len() as u64);
    while rules != Rules::ALL && !firewall.is_past_section() {
        let piece = fetch::piece(&message.content, offset, HEADER_PIECE_BYTES).await?;
        let piece = piece.as_ref();
        if piece.is_empty() {
            break;
        }
        offset += piece.len() as u64;
        let Ok(()) = firewall.push(piece, &mut count);
    }
    let Ok(()) = firewall.finish(count);
    Ok(message.content.len() - offset + kept_bytes)
}

async fn header_is_ascii(message: &Message) -> io::Result<bool> {
    const END: &[u8] = b"\r\n\r\n";
    let (mut offset, mut window) = (0, Vec::new());
    loop {
        let piece = fetch::piece(&message.content, offset, HEADER_PIECE_BYTES).await?;
        let piece = piece.as_ref();
        offset += piece.len() as u64;
        window.extend_from_slice(piece);
        let end = window.windows(END.len()).position(|bytes| bytes == END);
        if end.is_some() || piece.is_empty() {
            return Ok(window[..end.unwrap_or(window.len())].is_ascii());
        }
        if !window.is_ascii() {
            return Ok(false);
        }
        // The end may lie across two pieces.
        window.drain(..window.len().saturating_sub(END.len() - 1));
    }
}

async fn each_slice(message: &Message, mut look: impl FnMut(&[u8])) -> io::Result<()> {
    let mut offset = 0;
    loop {
        let piece = fetch::piece(&message.content, offset, PIECE_BYTES).await?;
        let piece = piece.as_ref();
        if piece.is_empty() {
            return Ok(());
        }
        offset += piece.len() as u64;
        for slice in piece.chunks(PIECE_BYTES) {
            look(slice);
            // Looking closely takes long enough for others to notice.
            tokio::task::yield_now().await;
        }
    }
}
