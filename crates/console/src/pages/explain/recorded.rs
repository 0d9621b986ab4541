//! What was recorded of a decision, as a page shows it.

use gatepost_manage::decision::{Certificate, Decision, Outcome};
use gatepost_manage::recomputed::{DecisionExplained, name_of};

use super::grounds::{Attempt, Grounds, narrowest};
use crate::text::{ago, counted, moment, now_ms, size};

/// A record with what the settings make of it.
pub struct Recorded {
    /// Whether it was let in.
    pub is_accepted: bool,
    /// How it ended, in one sentence.
    pub verdict: String,
    /// What is known of it.
    pub facts: Vec<(&'static str, String)>,
    /// The reply of a refusal.
    pub reply: Option<String>,
    /// The message that it let in.
    pub queue_id: Option<u64>,
    /// Where the settings of that moment decide otherwise, or that they do not.
    pub comparison: String,
    /// What they say.
    pub grounds: Option<Grounds>,
    /// What would become of it today.
    pub today: Option<String>,
    /// Whether it was refused, and would be accepted today.
    pub is_mended: bool,
    /// The narrowest entry, as the query of the page that makes it.
    pub narrowest: Option<String>,
    /// Whether the peer is of the Internet: then it is to authenticate.
    pub is_public: bool,
    /// The query of the same question for the form, to be changed and asked again.
    pub question: String,
}

impl Recorded {
    /// What `explained` says.
    pub fn of(explained: &DecisionExplained) -> Recorded {
        let decision = &explained.decision;
        let stage = name_of(decision.command);
        let verdict = match decision.verdict {
            Outcome::Accepted => "Accepted".to_owned(),
            Outcome::Refused => {
                format!("Refused at {stage}: {}", decision.reason.as_deref().unwrap_or("no reason was recorded"))
            }
            Outcome::Abandoned => format!("Given up by the peer, or cut off, after {stage}: no message came of it"),
        };
        let comparison = match &explained.recomputed {
            None => "The settings of that moment are kept no more, or cannot be read any more.".to_owned(),
            Some(then) => match &then.difference {
                None => "Asked again, the settings of that moment decide the same.".to_owned(),
                Some(difference) => format!("Asked again, the settings of that moment: {difference}."),
            },
        };
        // What is missing today is what helps.
        let latest = explained.now.as_ref().or(explained.recomputed.as_ref());
        let attempt = Attempt {
            sender: decision.sender.as_deref(),
            recipient: decision.refused_recipient.as_ref().or(decision.recipients.first()).map(String::as_str),
        };
        let is_mended =
            decision.verdict == Outcome::Refused && explained.now.as_ref().is_some_and(|now| now.explanation.accepted);
        let grounds = explained.recomputed.as_ref().map(|then| Grounds::of(&then.explanation));
        let grounds = grounds.map(|grounds| if is_mended { grounds.mended() } else { grounds });
        Recorded {
            is_accepted: decision.verdict == Outcome::Accepted,
            is_mended,
            verdict,
            facts: facts(decision),
            reply: decision.reply.clone(),
            queue_id: decision.queue_id,
            comparison,
            grounds,
            today: explained.today.as_ref().map(|today| format!("Today, {today}.")),
            narrowest: latest.and_then(|latest| narrowest(&latest.explanation, &attempt, now_ms())),
            is_public: latest.is_some_and(|latest| latest.explanation.public),
            question: question(decision),
        }
    }
}

fn facts(decision: &Decision) -> Vec<(&'static str, String)> {
    let mut facts = vec![("When", format!("{} ({})", moment(decision.time_ms), ago(decision.time_ms, now_ms())))];
    if let (Some(count), Some(until_ms)) = (decision.count, decision.until_ms) {
        let many = counted(count, "refusal", "refusals");
        let text = format!(
            "the first of {many} of this source, counted together until {}; the others may have had other reasons",
            moment(until_ms)
        );
        facts.push(("Stands for", text));
    }
    let tls = match (&decision.tls_version, &decision.tls_cipher) {
        (Some(version), cipher) => format!("{version} {}", cipher.as_deref().unwrap_or_default()),
        (None, _) => "no".to_owned(),
    };
    let tried = decision.user.clone().filter(|user| *user != decision.principal).map(|user| format!("{user} (tried)"));
    let mut recipients = decision.recipients.join(", ");
    let more = u64::from(decision.recipient_count).saturating_sub(decision.recipients.len() as u64);
    if more > 0 {
        recipients += &format!(" and {}", counted(more, "more", "more"));
    }
    let filled = |text: String| Some(text).filter(|text| !text.is_empty());
    let optional = [
        ("Peer", Some(decision.peer.to_string())),
        ("At", Some(decision.local.to_string())),
        ("Called itself", decision.hello.clone()),
        ("Principal", filled(decision.principal.clone())),
        ("Logged on as", tried),
        ("Connector", decision.connector.clone()),
        ("TLS", Some(tls)),
        ("Certificate", decision.certificate.as_ref().map(certificate)),
        ("Sender", decision.sender.clone()),
        ("Header's sender", decision.header_sender.clone()),
        ("Header names", filled(decision.header_senders.join(", "))),
        ("Refused recipient", decision.refused_recipient.clone()),
        ("Accepted for", filled(recipients)),
        ("Size", decision.size_bytes.map(size)),
        ("Settings", Some(format!("document {}", decision.revision))),
    ];
    facts.extend(optional.into_iter().filter_map(|(name, text)| Some((name, text?))));
    facts
}

/// A certificate in one line.
fn certificate(certificate: &Certificate) -> String {
    let name = certificate.name.as_deref().unwrap_or("(names that cannot be read)");
    let fault = certificate.fault.as_ref().map_or(String::new(), |fault| format!(", {fault}"));
    format!("{name}, thumbprint {}{fault}", certificate.thumbprint)
}

fn question(decision: &Decision) -> String {
    let recipient = decision.refused_recipient.as_ref().or(decision.recipients.first());
    let mut fields = crate::fields::Fields::default().with("peer", &decision.peer.ip().to_string());
    for (name, value) in [
        ("local", Some(decision.local.to_string())),
        ("sender", decision.sender.clone()),
        ("recipient", recipient.cloned()),
        ("user", decision.user.clone()),
        ("tls", decision.tls_version.as_ref().map(|_| "on".to_owned())),
    ] {
        fields = crate::fields::Fields::read(fields.as_bytes()).with(name, value.as_deref().unwrap_or_default());
    }
    fields
}
