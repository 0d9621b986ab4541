//! Where a session stands between commands, and which command may come there. Every 503 is from here.

use gatepost_mail::{BodyType, Reply};

use super::command::Command;
use super::content::LineReader;

const BAD_SEQUENCE: Reply = Reply::new(503, (5, 5, 1), "Bad sequence of commands");
const SEND_HELLO: Reply = Reply::new(503, (5, 5, 2), "Send hello first");
const NEED_MAIL: Reply = Reply::new(503, (5, 5, 2), "Need mail command");
const NEED_RCPT: Reply = Reply::new(503, (5, 5, 2), "Need rcpt command");

/// What has been said so far.
#[derive(Debug)]
pub(super) enum Phase {
    /// No EHLO or HELO since the connection or TLS started.
    Fresh,
    /// Ready for MAIL.
    Ready,
    /// Ready for MAIL, and the caller refused the last one or its content: what the peer has pipelined behind it is out
    /// of order by no fault of its own.
    Refused,
    /// MAIL was accepted.
    Transaction(Transaction),
    /// A chunk was taken and it was not the last.
    Chunks(ChunkedContent),
}

/// MAIL was accepted.
#[derive(Debug)]
pub(super) struct Transaction {
    pub(super) body: BodyType,
    pub(super) smtputf8: bool,
    pub(super) recipients: u32,
    /// Whether the caller refused a recipient.
    pub(super) has_refusal: bool,
}

/// Content that comes in chunks. BINARYMIME has no lines to read.
#[derive(Debug)]
pub(super) struct ChunkedContent {
    pub(super) lines: Option<LineReader>,
}

/// No to a command.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) reply: Reply,
    /// Whether that is the peer's error. It is not where the caller decided, nor where the peer pipelines and could not
    /// know yet that the caller refused what the command needs.
    pub(super) is_error: bool,
}

impl Phase {
    pub(super) fn has_transaction(&self) -> bool {
        matches!(self, Phase::Transaction(_) | Phase::Chunks(_))
    }

    /// What is wrong with this command here, if anything is.
    pub(super) fn out_of_order(&self, command: &Command<'_>, is_authenticated: bool) -> Option<Refusal> {
        let error = |reply| Some(Refusal { reply, is_error: true });
        match (command, self) {
            (
                Command::Hello { .. } | Command::Help | Command::Noop | Command::Rset | Command::Quit | Command::Expn,
                _,
            ) => None,
            (_, Phase::Fresh) => error(SEND_HELLO),
            // RFC 4954 section 4: once, and not in a transaction.
            (Command::Auth { .. }, _) if is_authenticated => error(BAD_SEQUENCE),
            (Command::Mail { .. } | Command::Auth { .. }, Phase::Transaction(_) | Phase::Chunks(_)) => {
                error(BAD_SEQUENCE)
            }
            (Command::Rcpt { .. } | Command::Data, Phase::Chunks(_)) => error(BAD_SEQUENCE),
            (Command::Rcpt { .. } | Command::Data | Command::Bdat { .. }, Phase::Ready) => error(NEED_MAIL),
            (Command::Rcpt { .. } | Command::Data | Command::Bdat { .. }, Phase::Refused) => {
                Some(Refusal { reply: NEED_MAIL, is_error: false })
            }
            (
                Command::Data | Command::Bdat { .. },
                Phase::Transaction(Transaction { recipients: 0, has_refusal, .. }),
            ) => Some(Refusal { reply: NEED_RCPT, is_error: !has_refusal }),
            // RFC 3030 section 3: BINARYMIME cannot be sent with DATA.
            (Command::Data, Phase::Transaction(Transaction { body: BodyType::BinaryMime, .. })) => error(BAD_SEQUENCE),
            _ => None,
        }
    }
}
