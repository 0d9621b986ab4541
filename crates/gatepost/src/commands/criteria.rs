//! What `trace` and its export ask for: the options of the command line as a query of the API.

use gatepost_manage::trace::{TraceQuery, TraceVerdict};
use jiff::Timestamp;
use jiff::civil::{Date, DateTime, Time};
use jiff::tz::TimeZone;

use crate::cli::{TraceFilter, Verdict};
use crate::clock::now_ms;
use crate::failure::Failure;
use crate::terminal::harmless;

/// What the server is asked.
pub fn query(filter: &TraceFilter) -> Result<TraceQuery, Failure> {
    let (since_ms, until_ms) = times(filter.since.as_deref(), filter.until.as_deref())?;
    Ok(TraceQuery {
        queue_id: filter.queue_id,
        message_id: filter.message_id.clone(),
        address: address("address", filter.address.as_ref())?,
        sender: address("sender", filter.sender.as_ref())?,
        recipient: address("recipient", filter.recipient.as_ref())?,
        domain: filter.domain.clone(),
        peer: filter.peer.clone(),
        connector: filter.connector.clone(),
        verdict: filter.verdict.map(|verdict| match verdict {
            Verdict::Delivered => TraceVerdict::Delivered,
            Verdict::Deferred => TraceVerdict::Deferred,
            Verdict::Failed => TraceVerdict::Failed,
            Verdict::Expired => TraceVerdict::Expired,
            Verdict::Removed => TraceVerdict::Removed,
            Verdict::Refused => TraceVerdict::Refused,
            Verdict::Abandoned => TraceVerdict::Abandoned,
            Verdict::Held => TraceVerdict::Held,
            Verdict::Ended => TraceVerdict::Ended,
        }),
        text: filter.text.clone(),
        word: Some(filter.words.join(" ")).filter(|words| !words.is_empty()),
        decision: filter.decision.clone(),
        since_ms,
        until_ms,
        events: filter.events.then_some(true),
        limit: None,
        from: None,
    })
}

/// What `--since` and `--until` say.
pub fn times(since: Option<&str>, until: Option<&str>) -> Result<(Option<u64>, Option<u64>), Failure> {
    let now = now_ms();
    let zone = TimeZone::system();
    let time = |option: &str, text: Option<&str>| {
        let Some(text) = text else { return Ok(None) };
        moment_of(text.trim(), now, &zone).map(Some).ok_or_else(|| {
            Failure::of(format!(
                "--{option} `{}` is no time: write 90m, 2h or 7d for so long ago, today, yesterday, 08:30, 2027-01-31, \
                 '2027-01-31 09:30' or 2027-01-31T09:30:00+01:00",
                harmless(text)
            ))
        })
    };
    let (since_ms, until_ms) = (time("since", since)?, time("until", until)?);
    if since_ms.zip(until_ms).is_some_and(|(since_ms, until_ms)| since_ms >= until_ms) {
        return Err(Failure::of("--since is not before --until: nothing can lie between them"));
    }
    Ok((since_ms, until_ms))
}

/// A moment to come: in so long, or a day or a moment written whole.
pub fn end(text: &str) -> Result<u64, Failure> {
    let now = now_ms();
    let text = text.trim();
    let ahead = ago_ms(text.strip_prefix("in ").unwrap_or(text)).map(|span| now.saturating_add(span));
    let end = ahead.or_else(|| moment_of(text, now, &TimeZone::system())).filter(|end| *end > now);
    end.ok_or_else(|| {
        let shown = harmless(text);
        Failure::of(format!("`{shown}` is no time to come: write 12h or 90d, 2027-01-31 or '2027-01-31 09:30'"))
    })
}

/// A moment as a person writes it: so long ago; a day, its word or a time of day, on this machine's clock as moments are shown;
/// or what `trace` itself has printed.
fn moment_of(text: &str, now_ms: u64, zone: &TimeZone) -> Option<u64> {
    if let Some(ago_ms) = ago_ms(text) {
        return Some(now_ms.saturating_sub(ago_ms));
    }
    let now = Timestamp::from_millisecond(i64::try_from(now_ms).ok()?).ok()?.to_zoned(zone.clone());
    let of_day = |day: Date, time: Time| day.to_datetime(time).to_zoned(zone.clone()).ok().map(|then| then.timestamp());
    let midnight = Time::midnight();
    let then = match text {
        "now" => Some(now.timestamp()),
        "today" => of_day(now.date(), midnight),
        "yesterday" => of_day(now.date().yesterday().ok()?, midnight),
        // As it is shown: a blank stands before the offset.
        _ => text.replace(" +", "+").replace(" -", "-").parse::<Timestamp>().ok(),
    };
    let then = then.or_else(|| of_day(Date::strptime("%Y-%m-%d", text).ok()?, midnight));
    let then = then.or_else(|| {
        let written = ["%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M"];
        let civil = written.iter().find_map(|format| DateTime::strptime(format, text).ok())?;
        of_day(civil.date(), civil.time())
    });
    let then = then.or_else(|| {
        // The last time that it was so late.
        let time = ["%H:%M:%S", "%H:%M"].iter().find_map(|format| Time::strptime(format, text).ok())?;
        of_day(now.date(), time)
            .filter(|then| *then <= now.timestamp())
            .or_else(|| of_day(now.date().yesterday().ok()?, time))
    });
    u64::try_from(then?.as_millisecond()).ok()
}

/// `90m`, `2 days`.
fn ago_ms(text: &str) -> Option<u64> {
    let (number, unit) = text.split_at(text.find(|letter: char| !letter.is_ascii_digit())?);
    let unit_ms = match unit.trim() {
        "s" | "sec" | "second" | "seconds" => 1_000,
        "m" | "min" | "minute" | "minutes" => 60_000,
        "h" | "hour" | "hours" => 3_600_000,
        "d" | "day" | "days" => 86_400_000,
        "w" | "week" | "weeks" => 7 * 86_400_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(unit_ms)
}

/// An address as records hold it: whole, or the token of one that was erased.
fn address(option: &str, text: Option<&String>) -> Result<Option<String>, Failure> {
    let Some(text) = text else { return Ok(None) };
    let bare = text.trim_start_matches('<').trim_end_matches('>');
    let is_whole = bare.rsplit_once('@').is_some_and(|(local, domain)| !local.is_empty() && !domain.is_empty());
    let is_token = bare.starts_with("erased-");
    if is_whole || is_token || bare.eq_ignore_ascii_case("postmaster") || (option == "sender" && bare.is_empty()) {
        return Ok(Some(text.clone()));
    }
    let domain = bare.trim_start_matches('@');
    Err(Failure::of(format!(
        "--{option} `{}` is no whole address: write it as alice@contoso.com; of a whole domain, `--domain {}`",
        harmless(text),
        if domain.contains('.') { harmless(domain) } else { "contoso.com".to_owned() }
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_what_a_person_writes() {
        let zone = TimeZone::fixed(jiff::tz::offset(1));
        let at = |text: &str| u64::try_from(text.parse::<Timestamp>().unwrap().as_millisecond()).unwrap();
        let now = at("2026-11-22T09:00:00+01:00");
        for (text, expected) in [
            ("90m", Some("2026-11-22T07:30:00+01:00")),
            ("10 min", Some("2026-11-22T08:50:00+01:00")),
            ("2days", Some("2026-11-20T09:00:00+01:00")),
            ("1 week", Some("2026-11-15T09:00:00+01:00")),
            ("today", Some("2026-11-22T00:00:00+01:00")),
            ("yesterday", Some("2026-11-21T00:00:00+01:00")),
            ("2026-11-20", Some("2026-11-20T00:00:00+01:00")),
            ("2026-11-20 06:30", Some("2026-11-20T06:30:00+01:00")),
            ("2026-11-20 06:30:05 +02:00", Some("2026-11-20T06:30:05+02:00")),
            ("2026-11-20T06:30:05Z", Some("2026-11-20T06:30:05Z")),
            ("08:30", Some("2026-11-22T08:30:00+01:00")),
            ("23:30", Some("2026-11-21T23:30:00+01:00")),
            ("2", None),
            ("", None),
            ("d", None),
            ("7 lightyears", None),
            ("2026-13-01", None),
            ("99999999999999999999d", None),
        ] {
            assert_eq!(moment_of(text, now, &zone), expected.map(at), "{text}");
        }
    }
}
