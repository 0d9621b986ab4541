//! Asks next hops whether they take mail for a recipient, while its sender's session waits (`recipient_verification`).
//!
//! Takes a recipient, hands on what its next hop says of it: MAIL from the null reverse-path and RCPT, never content. What
//! that means for the peer is decided in `policy::verification`. Connections are opened as delivery opens its own, but
//! they are not counted among those: whoever asks never makes a message wait.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::{Class, Mailbox, Recipient};
use gatepost_policy::route::{self, MailSource};
use gatepost_policy::send_connector::SendConnector;
use gatepost_policy::verification::Verdict;
use tokio::sync::watch;

use crate::clock;
use crate::deliver::connection::Connection;
use crate::deliver::dial::{NoConnection, dial};
use crate::state::{Running, count};
use crate::verdicts::{ANSWER_MAX, Asked, Hop, Question, REPLY_MAX, Worker};

/// How long an open connection waits for the next question.
const IDLE: Duration = Duration::from_secs(5);

/// What the next hop says of `recipient`, or has said lately, to a session of `peer` about mail of `source`. At most [`ANSWER_MAX`] later there
/// is a verdict, and at once when the server stops.
pub async fn recipient(running: &Arc<Running>, recipient: &Mailbox, source: MailSource<'_>, peer: IpAddr) -> Verdict {
    // The way out is that of the settings in force now: a message accepted now goes that way.
    let revision = running.revision();
    let Some((connector, next_hop)) = route::way_out(&revision.settings, recipient.domain(), Some(source)) else {
        return Verdict::NoAnswer;
    };
    let hop = Hop { connector: connector.name.clone(), next_hop };
    let awaited = match running.verdicts.ask(&hop, recipient, peer, clock::now()) {
        Asked::Known(verdict) => return verdict,
        Asked::Awaited(awaited) => awaited,
        Asked::NeedsWorker(awaited) => {
            let worker = running.verdicts.begin_work(hop);
            tokio::spawn(work(running.clone(), connector.clone(), worker));
            awaited
        }
    };
    tokio::select! {
        biased;
        verdict = verdict(awaited) => verdict,
        () = running.stopped() => Verdict::NoAnswer,
    }
}

async fn verdict(mut awaited: watch::Receiver<Option<Verdict>>) -> Verdict {
    let verdict = tokio::time::timeout(ANSWER_MAX, awaited.wait_for(Option::is_some)).await;
    verdict.ok().and_then(|verdict| *verdict.ok()?).unwrap_or(Verdict::NoAnswer)
}

/// Asks one next hop until nobody wants to know more, or until the server stops.
async fn work(running: Arc<Running>, connector: Arc<SendConnector>, mut worker: Worker) {
    // A patient dialogue would still be waiting when whoever asks has given up.
    let inactivity = connector.connection_inactivity_timeout.min(REPLY_MAX);
    let connector = SendConnector { connection_inactivity_timeout: inactivity, ..(*connector).clone() };
    let connection = tokio::select! {
        biased;
        connection = ask_all(&running, &connector, &mut worker) => connection,
        () = running.stopped() => None,
    };
    // Another worker may begin while we say goodbye.
    drop(worker);
    if let Some(connection) = connection {
        connection.quit().await;
    }
}

/// Hands on the connection that is left, to say goodbye to.
async fn ask_all(running: &Arc<Running>, connector: &SendConnector, worker: &mut Worker) -> Option<Connection> {
    let mut open: Option<Connection> = None;
    loop {
        let Some(question) = worker.next(clock::now()) else {
            let is_needed = open.is_some() && tokio::time::timeout(IDLE, worker.wait()).await.is_ok();
            if !is_needed && worker.retire() {
                return open;
            }
            continue;
        };
        let asked_at = clock::now();
        let asked = ask(running, connector, &worker.hop, &mut open, &question);
        let answer = tokio::time::timeout_at(question.deadline.into(), asked).await;
        let verdict = match answer {
            Ok(Answer::Said(verdict)) => verdict,
            // The reply may come yet, and would be taken for that to the next question.
            Err(_) if !worker.ran_out(&question, asked_at, clock::now()) => {
                open = None;
                continue;
            }
            Ok(Answer::Silence) | Err(_) => {
                let now = clock::now();
                tracing::info!(
                    next_hop = %worker.hop.next_hop, recipient = %question.recipient, verdict = "silent",
                    "the next hop does not say whether it takes a recipient"
                );
                worker.answer(&question, Verdict::NoAnswer, now);
                worker.found_silent(now);
                return None;
            }
        };
        let is_used_up =
            |open: &mut Connection| open.broken || open.transactions >= connector.smtp_max_messages_per_connection;
        match open.take_if(is_used_up) {
            None => worker.answer(&question, verdict, clock::now()),
            Some(used) => {
                worker.answer_only(&question, verdict, clock::now());
                used.quit().await;
            }
        }
    }
}

/// What came of one question.
enum Answer {
    Said(Verdict),
    /// The next hop cannot be asked at all.
    Silence,
}

async fn ask(
    running: &Arc<Running>,
    connector: &SendConnector,
    hop: &Hop,
    open: &mut Option<Connection>,
    question: &Question,
) -> Answer {
    loop {
        let was_open = open.is_some();
        let connection = match open {
            Some(connection) => connection,
            None => match dial(running, &running.revision(), connector, &hop.next_hop).await {
                Ok(connection) => open.insert(connection),
                Err(
                    NoConnection::NoSuchNextHop(reply)
                    | NoConnection::Unreachable(reply)
                    | NoConnection::LogonRefused(reply),
                ) => {
                    tracing::debug!(next_hop = %hop.next_hop, %reply, "the next hop cannot be asked");
                    return Answer::Silence;
                }
            },
        };
        if question.recipient.needs_smtputf8() && !connection.takes_utf8() {
            // No message for it could be handed over there.
            return Answer::Said(Verdict::Refused);
        }
        count(&running.counters.recipients_asked);
        let reply = connection.ask(&Recipient::new(question.recipient.clone())).await;
        let is_broken = connection.broken;
        if is_broken {
            *open = None;
        }
        let Some(reply) = reply else {
            match (is_broken, was_open) {
                (false, _) => return Answer::Said(Verdict::NoAnswer),
                (true, false) => return Answer::Silence,
                // The next hop had closed it meanwhile, which is no answer: a new one may do better at once.
                (true, true) => continue,
            }
        };
        let verdict = match reply.class() {
            Class::Success => Verdict::Accepted,
            Class::Permanent => Verdict::Refused,
            _ => Verdict::NoAnswer,
        };
        tracing::info!(
            next_hop = %hop.next_hop, recipient = %question.recipient, %reply,
            verdict = match verdict {
                Verdict::Accepted => "known",
                Verdict::Refused => "unknown",
                Verdict::NoAnswer => "later",
            },
            "the next hop was asked about a recipient"
        );
        return Answer::Said(verdict);
    }
}
