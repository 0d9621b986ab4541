//! Tells people of alarms by mail: through our own spool, from the null reverse-path, many changes in one message.
//!
//! Each recipient goes its own way, so one whose mailbox is here hears of a route that is dead.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use gatepost_mail::{Arrival, AuthAs, BodyType, Envelope, Notify, Priority, Recipient, ReversePath, trace};
use gatepost_policy::alarm::{Alarm, Severity};
use gatepost_policy::note::instant;
use gatepost_policy::{Settings, resolve};
use gatepost_spool::CommitError;

use crate::categorize;
use crate::clock::now_ms;
use crate::passports::{self, Own};
use crate::raised::Change;
use crate::state::Running;
use gatepost_tracking::passport::event::ReportKind;

/// Longest line of what alarms say, in characters: far below what mail takes (RFC 5322 section 2.1.1).
const LINE_CHARS_MAX: usize = 400;

/// Sends what nobody has been told yet, unless a mail went out a moment ago.
pub async fn tell(running: &Arc<Running>) {
    let settings = running.revision().settings.clone();
    let limits = &settings.monitoring.alarms;
    let now = now_ms();
    let told = {
        let mut known = running.alarms.known();
        if limits.recipients.is_empty() {
            known.untold.clear();
        }
        let is_too_soon = known.last_mail_ms.is_some_and(|last_ms| {
            // A clock that was set back is no reason to be silent until it comes there again.
            last_ms <= now && Duration::from_millis(now - last_ms) < limits.mail_interval
        });
        if known.untold.is_empty() || is_too_soon {
            return;
        }
        known.last_mail_ms = Some(now);
        (std::mem::take(&mut known.untold), known.raised.clone())
    };
    let (changes, raised) = told;
    match send(running, &settings, &changes, &raised, now).await {
        Ok(()) => {}
        Err(error) => {
            tracing::warn!(%error, "a mail about alarms could not be written; it is tried again");
            let mut known = running.alarms.known();
            let newer = std::mem::take(&mut known.untold);
            known.untold = changes.into_iter().chain(newer).collect();
        }
    }
}

async fn send(
    running: &Arc<Running>,
    settings: &Settings,
    changes: &[Change],
    raised: &[Alarm],
    now: u64,
) -> Result<(), CommitError> {
    let mut staged = running.spool.stage();
    let id = staged.id();
    let content = write(settings, changes, raised, now, &format!("alarm.{id}.{now}"));
    staged.write(content.as_bytes())?;
    let recipients = settings.monitoring.alarms.recipients.iter();
    let recipients = recipients.map(|mailbox| Recipient { notify: Notify::NEVER, ..Recipient::new(mailbox.clone()) });
    let recipients = resolve::resolve(settings, recipients.collect()).recipients;
    let envelope = Envelope {
        reverse_path: ReversePath::Null,
        smtputf8: recipients.iter().any(|recipient| recipient.mailbox.needs_smtputf8()),
        recipients,
        body: if content.is_ascii() { BodyType::SevenBit } else { BodyType::EightBitMime },
        ret: None,
        envid: None,
        arrival: Arrival {
            time_ms: now,
            peer: None,
            connector: "".into(),
            principal: "".into(),
            auth_as: AuthAs::Internal,
            originator: None,
            priority: Priority::High,
            ..Arrival::default()
        },
    };
    let plan = categorize::plan(running, &running.revision(), &envelope, content.len() as u64);
    let to = envelope.recipients.first().map(|first| first.mailbox.clone());
    if let Some(to) = to {
        let own = Own { about: &[], kind: ReportKind::Notice, to: &to, content: content.as_bytes() };
        passports::commit_own(running, staged, envelope, own).await?;
    }
    categorize::enqueue(running, id, now, plan, None);
    tracing::info!(queue_id = id.0, changes = changes.len(), "a mail about alarms is on its way");
    Ok(())
}

/// The message.
fn write(settings: &Settings, changes: &[Change], raised: &[Alarm], now: u64, name: &str) -> String {
    let server = settings.server.name.as_str();
    let mut text = String::new();
    // Writing to a String cannot fail.
    let mut line = |args: std::fmt::Arguments<'_>| {
        let _ = write!(text, "{args}\r\n");
    };
    line(format_args!("From: <{}>", settings.postmaster()));
    for (place, recipient) in settings.monitoring.alarms.recipients.iter().enumerate() {
        let comma = if place + 1 < settings.monitoring.alarms.recipients.len() { "," } else { "" };
        line(format_args!("{} <{recipient}>{comma}", if place == 0 { "To:" } else { "   " }));
    }
    line(format_args!("Subject: {}", subject(server, changes)));
    line(format_args!("Date: {}", trace::date(now)));
    line(format_args!("Message-ID: <{name}@{server}>"));
    line(format_args!("Auto-Submitted: auto-generated"));
    line(format_args!("MIME-Version: 1.0"));
    line(format_args!("Content-Type: text/plain; charset=utf-8"));
    line(format_args!("Content-Transfer-Encoding: 8bit"));
    line(format_args!(""));
    for (title, is_raised) in [("Raised:", true), ("Over:", false)] {
        let mut of_kind = changes.iter().filter(|change| change.is_raised == is_raised).peekable();
        if of_kind.peek().is_none() {
            continue;
        }
        line(format_args!("{title}"));
        for Change { alarm, time_ms, .. } in of_kind {
            let object = if alarm.object.is_empty() { String::new() } else { format!(" ({})", legible(&alarm.object)) };
            line(format_args!("- {} {}{object}, {}", alarm.severity, alarm.kind.name(), instant(*time_ms)));
            line(format_args!("  {}", legible(&alarm.text)));
            if is_raised {
                line(format_args!("  What to do: {}", legible(&alarm.remedy)));
            }
        }
        line(format_args!(""));
    }
    let others = raised.iter().filter(|alarm| !changes.iter().any(|change| change.alarm.is_same(alarm)));
    for (place, alarm) in others.enumerate() {
        if place == 0 {
            line(format_args!("Still raised:"));
        }
        line(format_args!("- {} {}, since {}", alarm.severity, alarm.kind.name(), instant(alarm.since_ms)));
        line(format_args!("  {}", legible(&alarm.text)));
    }
    line(format_args!(""));
    line(format_args!("Gatepost on {server}. `gatepost status` shows how it is doing now."));
    text
}

fn subject(server: &str, changes: &[Change]) -> String {
    let raised = changes.iter().filter(|change| change.is_raised).map(|change| &change.alarm);
    let worst = raised.clone().max_by_key(|alarm| alarm.severity);
    match worst {
        None => format!("[gatepost {server}] over: {}", changes.first().map_or("", |change| change.alarm.kind.name())),
        Some(worst) => {
            let word = if worst.severity == Severity::Critical { "CRITICAL" } else { "warning" };
            let more = raised.count() - 1;
            let more = if more == 0 { String::new() } else { format!(" and {more} more") };
            format!("[gatepost {server}] {word}: {}{more}", worst.kind.name())
        }
    }
}

/// What peers and settings say, on one line of bounded length.
fn legible(text: &str) -> String {
    let text = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    text.take(LINE_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use gatepost_policy::alarm::Kind;
    use gatepost_policy::settings::{self, Defaults};

    use super::*;

    #[test]
    fn a_mail_names_what_came_what_went_and_what_stays() {
        let defaults = Defaults { host_name: "mx.contoso.com".into(), data_dir: "data".into() };
        let document = "[alarms]\nrecipients = [\"admin@contoso.com\", \"pager@example.net\"]\n";
        let settings = settings::parse(document, &defaults).expect("settings");
        let alarm = |kind: Kind, object: &str, severity, text: &str| Alarm {
            kind,
            object: object.into(),
            severity,
            since_ms: 0,
            seen_ms: 0,
            text: text.into(),
            remedy: "look".into(),
        };
        let silent = alarm(Kind::RouteSilent, "Internet", Severity::Critical, "nothing since\r\nBcc: x@example.net");
        let disk = alarm(Kind::DiskNearlyFull, "UsedDiskSpace[spool]", Severity::Warning, "at 86 %");
        let stays = alarm(Kind::OldMessage, "Internet", Severity::Warning, "waits");
        let changes = [
            Change { alarm: silent.clone(), is_raised: true, time_ms: 0 },
            Change { alarm: disk, is_raised: false, time_ms: 0 },
        ];
        let written = write(&settings, &changes, &[silent, stays], 0, "alarm.1");
        let (header, body) = written.split_once("\r\n\r\n").expect("a header section");
        assert!(header.contains("Subject: [gatepost mx.contoso.com] CRITICAL: route_silent\r\n"), "{header}");
        assert!(header.contains("To: <admin@contoso.com>,\r\n    <pager@example.net>\r\n"), "{header}");
        assert!(header.contains("From: <postmaster@mx.contoso.com>\r\n"), "{header}");
        for expected in [
            "Raised:\r\n- critical route_silent (Internet), 1970-01-01T00:00:00Z\r\n  nothing since  Bcc: x@example.net\r\n",
            "Over:\r\n- warning disk_nearly_full (UsedDiskSpace[spool])",
            "Still raised:\r\n- warning old_message, since",
        ] {
            assert!(body.contains(expected), "{expected}\n{body}");
        }
    }
}
