//! One message through an open connection: its commands, its content, and what the peer says to each.
//!
//! Takes a message and recipients, hands on replies. Decides nothing: what comes of them is the conclusion's business.

use std::io;
use std::time::Duration;

use gatepost_mail::header_firewall::{HeaderFirewall, infallible};
use gatepost_mail::seven_bit::SevenBit;
use gatepost_mail::{Mailbox, Recipient, Reply, rewrite};
use gatepost_policy::{limits, send_permission};
use gatepost_smtp::{RecipientResult, Transaction};
use gatepost_spool::Message;
use tokio::io::AsyncReadExt;

use super::connection::{Connection, Event, NO_CONNECTION};
use super::conversion::{self, Outgoing, Peer};
use super::stream::within;
use crate::clock;
use crate::fetch;

/// Content goes out in writes of about this many bytes.
const OUTPUT_BYTES: usize = 64 << 10;
/// Read from the disk at once: each read borrows a thread, which costs more than copying this.
const PIECE_BYTES: usize = 256 << 10;
/// How long a peer that takes no more content may take to say why.
const LAST_WORDS_MAX: Duration = Duration::from_secs(1);

/// By so much a masquerade may make the header section longer, as far as the size is declared.
const MASQUERADE_BYTES: u64 = 1024;

const CANNOT_READ: Reply = Reply::new(451, (4, 3, 0), "The message could not be read from the spool");

/// What became of a transaction.
pub enum Delivered {
    /// Every recipient has its reply.
    Replies(Vec<RecipientResult>),
    /// The connection, which had served before, was gone before the content: nothing was delivered, and a new one may do
    /// better at once.
    Stale,
}

impl Connection {
    /// Sends one message to some of its recipients.
    pub async fn deliver(&mut self, message: &Message, recipients: &[(usize, &Recipient)]) -> Delivered {
        let peer = Peer {
            host: &self.target.name,
            supports: self.client.supports(),
            rules: self.rules,
            converts: self.converts,
        };
        let all_get = |reply: Reply| {
            let result = |(index, _): &(usize, &Recipient)| RecipientResult { index: *index, reply: reply.clone() };
            Delivered::Replies(recipients.iter().map(result).collect())
        };
        let outgoing = match conversion::prepare(message, &peer).await {
            Ok(Ok(outgoing)) => outgoing,
            // The connection is as good as before: the next message may go through it.
            Ok(Err(reply)) => return all_get(reply),
            Err(error) => {
                tracing::error!(queue_id = message.id.0, %error, reply = %CANNOT_READ, "content cannot be read");
                return all_get(CANNOT_READ);
            }
        };
        if message.envelope.smtputf8 && !outgoing.smtputf8 {
            let (tellable, mut refused) = conversion::tellable(recipients, &peer);
            if !refused.is_empty() {
                if tellable.is_empty() {
                    return Delivered::Replies(refused);
                }
                let delivered = Box::pin(self.deliver_as(message, &tellable, outgoing)).await;
                if let Delivered::Replies(replies) = delivered {
                    refused.extend(replies);
                    return Delivered::Replies(refused);
                }
                return delivered;
            }
        }
        self.deliver_as(message, recipients, outgoing).await
    }

    async fn deliver_as(
        &mut self,
        message: &Message,
        recipients: &[(usize, &Recipient)],
        outgoing: Outgoing,
    ) -> Delivered {
        let Outgoing { body, smtputf8, size, plan } = outgoing;
        let mut converter = plan.map(SevenBit::new);
        let envelope = &message.envelope;
        let masquerade = self.masquerade.as_ref();
        let outside = masquerade.and_then(|masquerade| masquerade.reverse_path(&envelope.reverse_path));
        // The names that are written anew may be longer; their size is not looked for.
        let size = if masquerade.is_some() { size.saturating_add(MASQUERADE_BYTES) } else { size };
        let was_used = self.transactions > 0;
        // The peer said more than it was asked: the next reply would be taken for another's.
        let is_out_of_step = self.has_unread();
        if is_out_of_step {
            self.broken = true;
            if was_used {
                return Delivered::Stale;
            }
        }
        self.end_of_time = clock::now().checked_add(limits::attempt_time_max(size));
        self.transactions += 1;
        self.may_be_cut_short = true;
        self.client.begin(
            clock::now(),
            Transaction {
                reverse_path: outside.as_ref().unwrap_or(&envelope.reverse_path),
                recipients,
                body,
                size,
                smtputf8,
                ret: envelope.ret,
                envid: envelope.envid.as_deref(),
                originator: send_permission::originator(&self.next_hop, envelope),
            },
        );
        if is_out_of_step {
            // A new connection would be no better, so this is an attempt.
            self.client.spoken_to();
        }
        let mut replies: Option<Vec<RecipientResult>> = None;
        let mut content_has_begun = false;
        loop {
            match self.event().await {
                // An attempt that is cut short by the end of the server is none, unless the peer may have the message.
                _ if self.is_cut_short => return Delivered::Stale,
                // A reply to what has not come yet: whatever it says, it is no word about this message.
                Event::Content if self.has_unread() => {
                    self.broken = true;
                    self.client.spoken_to();
                }
                Event::Content => {
                    content_has_begun = true;
                    if let Err(error) = self.send_content(message, converter.take()).await {
                        tracing::debug!(queue_id = message.id.0, %error, "sending content failed");
                        self.client.content_cut();
                        self.hear_last_words().await;
                        self.broken = true;
                    }
                }
                Event::Finished(results) => {
                    // Peers close connections that they find idle or used enough, silently or with a 421 that we
                    // only see now. A connection that was never used before counts as an attempt; so does one that was
                    // lost behind the content, for the peer may have the message (RFC 1047).
                    if was_used && !content_has_begun && results.iter().all(|result| result.reply.code == 421) {
                        self.broken = true;
                        return Delivered::Stale;
                    }
                    replies = Some(results);
                    if self.broken {
                        break;
                    }
                }
                // The final results repeat it.
                Event::Recipient(_) => {}
                Event::Ready => break,
                Event::Failed(_) | Event::Closed | Event::StartTls => {
                    self.broken = true;
                    break;
                }
            }
        }
        let missing = || recipients.iter().map(|(index, _)| RecipientResult { index: *index, reply: NO_CONNECTION });
        Delivered::Replies(replies.unwrap_or_else(|| missing().collect()))
    }

    /// Asks whether the peer takes mail for `recipient`. `None` when it says nothing about it, which may be because it had
    /// closed the connection, as `broken` tells.
    pub async fn ask(&mut self, recipient: &Recipient) -> Option<Reply> {
        self.transactions += 1;
        self.client.ask(clock::now(), recipient);
        let mut answer = None;
        loop {
            match self.event().await {
                Event::Recipient(reply) => answer = Some(reply),
                Event::Finished(results) if answer.is_none() => {
                    let reply = results.first().map(|result| result.reply.to_string());
                    tracing::debug!(next_hop = %self.target.address, reply, "no answer about a recipient");
                }
                Event::Finished(_) if self.broken => return answer,
                Event::Finished(_) => {}
                Event::Ready => return answer,
                Event::Content | Event::Failed(_) | Event::Closed | Event::StartTls => {
                    self.broken = true;
                    return answer;
                }
            }
        }
    }

    /// What takes out of a message, and writes anew in it, what the peer may not see.
    fn firewall(&self) -> HeaderFirewall {
        let firewall = HeaderFirewall::new(self.rules);
        let Some(masquerade) = self.masquerade.clone() else { return firewall };
        let edit = move |field: &[u8]| rewrite::masquerade(field, |inside: &Mailbox| masquerade.mailbox(inside));
        firewall.watching(rewrite::SENDER_FIELDS, Box::new(edit))
    }

    async fn send_content(&mut self, message: &Message, mut converter: Option<SevenBit>) -> io::Result<()> {
        let mut offset = 0;
        let mut firewall = self.firewall();
        loop {
            let piece = match fetch::piece(&message.content, offset, PIECE_BYTES).await {
                Ok(piece) => piece,
                Err(error) => {
                    // Half a message must not look like a whole one: the connection ends without the final dot.
                    tracing::error!(queue_id = message.id.0, %error, reply = %CANNOT_READ, "content cannot be read");
                    return Err(error);
                }
            };
            let piece = piece.as_ref();
            if piece.is_empty() {
                break;
            }
            offset += piece.len() as u64;
            for part in piece.chunks(OUTPUT_BYTES) {
                let Connection { client, output, .. } = self;
                let Ok(()) = match &mut converter {
                    None => firewall.push(part, infallible(|kept| client.content(kept, output))),
                    Some(converter) => {
                        let mut send = |bytes: &[u8]| client.content(bytes, output);
                        firewall.push(part, infallible(|kept| converter.push(kept, &mut send)))
                    }
                };
                if self.output.len() >= OUTPUT_BYTES {
                    self.flush(self.left(self.block_max)).await?;
                }
            }
        }
        let Connection { client, output, .. } = self;
        let mut send = |bytes: &[u8]| client.content(bytes, output);
        match converter {
            None => {
                let Ok(()) = firewall.finish(infallible(send));
            }
            Some(mut converter) => {
                let Ok(()) = firewall.finish(infallible(|kept| converter.push(kept, &mut send)));
                converter.finish(&mut send);
            }
        }
        client.content_end(clock::now(), output);
        self.may_be_cut_short = false;
        self.flush(self.left(self.block_max)).await
    }

    /// Reads why a peer takes no more of the content, if it says so: a refusal for good is not to be tried for days.
    async fn hear_last_words(&mut self) {
        (self.start, self.end) = (0, 0);
        self.end = within(LAST_WORDS_MAX, self.stream.read(&mut self.input)).await.unwrap_or(0);
    }
}
