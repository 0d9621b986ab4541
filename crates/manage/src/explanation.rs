//! An explanation in words: what to do about a refusal, why there is one, what the peer reads.

use gatepost_mail::Mailbox;
use gatepost_policy::Refusal;
use gatepost_policy::explain::{Change, Command, Explanation, Obstacle, Part, Question, Step};
use gatepost_policy::note::instant;
use gatepost_policy::permission::{Right, Rights};
use tokio::sync::Semaphore;
use tokio::task::{JoinError, spawn_blocking};

/// Explanations at a time; the next one waits. Each fix that is tried costs as much as an audit, and the threads and cores
/// are those that mail needs.
static TURNS: Semaphore = Semaphore::const_new(2);

/// Explains in a thread of its own, once it is its turn; to the end, also where nobody waits for it any more.
///
/// # Errors
/// Where it panics.
pub async fn in_turn<T: Send + 'static>(explain: impl FnOnce() -> T + Send + 'static) -> Result<T, JoinError> {
    let turn = TURNS.acquire().await;
    spawn_blocking(move || {
        let _turn = turn;
        explain()
    })
    .await
}

/// What to do, for a person. `line` tells the line of a place in the settings document.
pub fn advice(question: &Question<'_>, line: impl Fn(usize) -> usize, change: &Change) -> String {
    let names = |rights: &Rights| rights.iter().map(Right::exchange_name).collect::<Vec<_>>().join(", ");
    let peer = question.peer;
    match change {
        Change::Authenticate { user, tls, sender } => {
            let tls = if *tls { " inside TLS" } else { "" };
            let sender = sender.as_ref().map_or(String::new(), |sender| format!(" and use the sender {sender}"));
            format!("let the peer log on{tls}, for example as {user}{sender}")
        }
        Change::StartTls => "let the peer start TLS".to_owned(),
        Change::PresentCertificate(domain) => {
            format!("let the peer start TLS and present a certificate for {domain} that a trusted root has issued")
        }
        Change::SendAs(own) => match header_fields_to_change(question, own) {
            Some(fields) => {
                format!(
                    "let the peer write {own}, which is the user's own and the envelope's sender, in {fields} of the header"
                )
            }
            None => format!("let the peer use the sender {own}, which is the user's own"),
        },
        Change::ClearHeader => {
            "let the peer name its sender in the header as everybody does: From: \"Name\" <address>".to_owned()
        }
        Change::GrantSendAs { user, recipients } => {
            let recipients = recipients.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and of ");
            format!("let {user} write as that recipient: add \"{user}\" to send_as of {recipients}")
        }
        Change::AddUser(Some(name)) => format!("declare the user: gatepost user add {name}"),
        Change::AddUser(None) => "declare a user for the peer (gatepost user add), and let it log on".to_owned(),
        Change::OfferAuthentication { connector } => format!(
            "let users log on to {connector}: add Tls, BasicAuth and BasicAuthRequireTLS to auth_mechanism and \
             ExchangeUsers to permission_groups; then let the peer log on inside TLS"
        ),
        Change::OfferTls { connector } => format!("add Tls to auth_mechanism of {connector}"),
        Change::RenewEntry { connector, trustee, expired_ms, at } => format!(
            "renew the entry for {trustee} on {connector} (line {}), which expired on {}",
            line(*at),
            instant(*expired_ms)
        ),
        Change::RenewRange { connector, range, expired_ms, at } => format!(
            "renew the range {range} of {connector} (line {}), which expired on {}",
            line(*at),
            instant(*expired_ms)
        ),
        Change::WidenCondition { connector, trustee, parts, at } => {
            let names: Vec<&str> = parts.iter().map(|part| part_name(*part)).collect();
            let names = names.join(" and ");
            format!("widen {names} of the entry for {trustee} on {connector} (line {}), to take this in", line(*at))
        }
        Change::AddRange { connector } => format!("add \"{peer}\" to remote_ip_ranges of {connector}"),
        Change::NewConnector { like, trustee, rights } => format!(
            "add a connector like {like} with remote_ip_ranges = [\"{peer}\"] and one more entry: {trustee} is allowed {}",
            names(rights)
        ),
        Change::Grant { connector, trustee, rights } => {
            format!(
                "add an entry to {connector}: {trustee} is allowed {} (and take away what denies it)",
                names(rights)
            )
        }
        Change::OpenRecipients(recipients) => {
            let recipients = recipients.iter().map(ToString::to_string).collect::<Vec<_>>().join(" and for ");
            format!(
                "write require_sender_authentication = false for {recipients}: whoever may submit here without logging on \
                 may then write to it"
            )
        }
        Change::AddMailbox(address) => format!("declare the mailbox {address}, or correct the address"),
        Change::TakeReservedDomains { connector } => {
            format!("switch off reject_reserved_... and reject_single_label_recipient_domains of {connector}")
        }
        Change::RaiseSizeLimit { connector, bytes } => {
            format!("raise max_message_size of {connector} to {bytes} bytes ({})", size(*bytes))
        }
    }
}

/// The fields of the header that name others than `own`, where the envelope has that sender already.
fn header_fields_to_change(question: &Question<'_>, own: &Mailbox) -> Option<String> {
    question.reverse_path.mailbox().filter(|sender| *sender == own)?;
    let fields = question.header?.fields().filter(|(_, named)| named.iter().any(|address| address != own));
    let names: Vec<String> = fields.map(|(field, _)| field.to_string()).collect();
    (!names.is_empty()).then(|| names.join(" and "))
}

/// What a step of the dialogue is called.
pub const fn command(command: Command) -> &'static str {
    match command {
        Command::Connect => "connect",
        Command::StartTls => "STARTTLS",
        Command::Auth => "AUTH",
        Command::Mail => "MAIL",
        Command::Rcpt => "RCPT",
        Command::Content => "content",
    }
}

/// Why it is refused, and where that is not the recipient who was named, for whose sake.
pub fn reason(explanation: &Explanation) -> Option<String> {
    let obstacle = explanation.dialogue.obstacle()?;
    let addressee = explanation.addressee.as_ref();
    let closed = addressee.and_then(|addressee| Some((addressee.closed_by.as_ref()?, &addressee.recipient.address)));
    Some(match (obstacle, closed) {
        (Obstacle::Refused(Refusal::SenderNotAuthenticated), Some((closed, named))) if closed != named => {
            format!("{obstacle}: {closed}, behind {named}")
        }
        _ => obstacle.to_string(),
    })
}

/// The reply as this connector writes it.
pub fn reply(explanation: &Explanation, step: &Step) -> Option<String> {
    let enhanced = explanation.dialogue.connector.as_ref()?.enhanced_status_codes_enabled;
    let mut bytes = Vec::new();
    step.reply.as_ref()?.write(enhanced, &mut bytes);
    Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())
}

/// As it is written in settings.
pub const fn part_name(part: Part) -> &'static str {
    match part {
        Part::Senders => "senders",
        Part::Recipients => "recipients",
        Part::Hours => "hours",
    }
}

/// A size as people say it, in binary multiples like the settings: `36 MB`, `1.5 KB`.
pub fn size(bytes: u64) -> String {
    let units = ["B", "KB", "MB", "GB", "TB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 100.0 || value.fract() < 0.05 {
        format!("{value:.0} {}", units[unit])
    } else {
        format!("{value:.1} {}", units[unit])
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn two_explanations_are_made_at_a_time_also_where_callers_have_hung_up() {
        static RUNNING: AtomicUsize = AtomicUsize::new(0);
        let explain = || {
            let running = RUNNING.fetch_add(1, Ordering::SeqCst) + 1;
            std::thread::sleep(Duration::from_millis(20));
            RUNNING.fetch_sub(1, Ordering::SeqCst);
            running
        };
        for _ in 0..4 {
            let hung_up = tokio::spawn(in_turn(explain));
            tokio::time::sleep(Duration::from_millis(5)).await;
            hung_up.abort();
        }
        let asked: Vec<_> = (0..8).map(|_| tokio::spawn(in_turn(explain))).collect();
        for asked in asked {
            let running = asked.await.expect("no panic").expect("no panic");
            assert!(running <= 2, "{running} at a time");
        }
    }
}
