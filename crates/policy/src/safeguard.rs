//! What no settings may do, whoever wrote them: open a relay to strangers without saying why, or break what the
//! administrator asserted.
//!
//! Takes the text of a document, hands on settings that are safe to put in force, or every problem. All that load
//! settings load them here: at start, on reload, and to be checked. It decides nothing about peers: what they may do is
//! `audit`'s answer, which asks the deciding functions (invariant I12).

use crate::audit::Survey;
use crate::settings::{self, Collector, Defaults, Kept, Problem, Settings};

mod accepted_risk;
mod assertions;
mod expiry;

/// Reads a settings document as [`settings::parse`] does, and refuses it too where strangers may relay or count as
/// internal on a connector without `accept_risk`, or where an `[[assert]]` is broken. What has expired by `now_ms` is worth a
/// warning.
pub fn load(text: &str, defaults: &Defaults, now_ms: u64) -> Result<Settings, Vec<Problem>> {
    check(text, settings::parse(text, defaults)?, now_ms)
}

/// The same for a document of which most was read before; see [`settings::parse_again`].
pub fn load_again(
    text: &str,
    defaults: &Defaults,
    now_ms: u64,
    (before, before_text): (&Settings, &str),
    kept: &[Kept],
) -> Result<Settings, Vec<Problem>> {
    match settings::parse_again(text, defaults, before, before_text, kept) {
        Some(settings) => check(text, settings, now_ms),
        None => load(text, defaults, now_ms),
    }
}

fn check(text: &str, mut settings: Settings, now_ms: u64) -> Result<Settings, Vec<Problem>> {
    let has_expired = expiry::is_there(&settings, now_ms);
    let is_to_be_surveyed = accepted_risk::may_open(&settings, now_ms) || !settings.assertions.is_empty();
    if !has_expired && !is_to_be_surveyed {
        return Ok(settings);
    }
    let mut collector = Collector::new(text);
    expiry::check(&settings, now_ms, &mut collector);
    if is_to_be_surveyed {
        let survey = Survey::of(&settings, now_ms);
        accepted_risk::check(&settings, &survey, &mut collector);
        assertions::check(&settings, &survey, &mut collector);
    }
    let (found, failed) = collector.finish();
    let mut problems = std::mem::take(&mut settings.warnings);
    problems.extend(found);
    problems.sort_by_key(|problem| (problem.span.start, problem.span.end));
    if failed {
        return Err(problems);
    }
    settings.warnings = problems;
    Ok(settings)
}
