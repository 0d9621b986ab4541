//! The parts of one message, joined.

use crate::passport::event::{Facts, Outcome, Part, Step, Verdict, What};

/// A message's passport as far as it is recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct Passport {
    /// Its queue id.
    pub queue_id: u64,
    /// How it came; `None` if that is kept no more.
    pub facts: Option<Box<Facts>>,
    /// What was done, in the order of time.
    pub steps: Vec<Step>,
    /// Whether none of its recipients is pending any more.
    pub is_ended: bool,
}

/// How one recipient stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Standing<'a> {
    /// Its address; empty where that is kept no more.
    pub address: &'a str,
    /// Its last outcome; `None`: nobody was asked yet.
    pub verdict: Option<Verdict>,
    /// What was answered then.
    pub reply: &'a str,
    /// When, Unix time in milliseconds.
    pub time_ms: u64,
}

impl Passport {
    /// Joins the parts of one message, in the order in which they were recorded.
    pub fn join(queue_id: u64, parts: Vec<Part>) -> Passport {
        let mut passport = Passport { queue_id, facts: None, steps: Vec::new(), is_ended: false };
        let (recovered, noted): (Vec<Part>, Vec<Part>) = parts.into_iter().partition(|part| part.is_recovered);
        for part in noted {
            passport.is_ended |= part.is_last;
            passport.facts = part.facts.or(passport.facts.take());
            passport.steps.extend(part.steps);
        }
        for part in recovered {
            passport.is_ended |= part.is_last;
            passport.facts = passport.facts.take().or(part.facts);
            for step in part.steps {
                if !passport.tells(&step) {
                    passport.steps.push(step);
                }
            }
        }
        passport.steps.sort_by_key(|step| step.time_ms);
        passport.steps.dedup();
        passport
    }

    /// Whether what a step from the spool's log says is known already: the log knows outcomes, and less of them.
    fn tells(&self, recovered: &Step) -> bool {
        let ended = |wanted: &Outcome| {
            self.steps.iter().flat_map(|step| outcomes(&step.what)).any(|known| {
                known.recipient == wanted.recipient
                    && (known.verdict == wanted.verdict
                        || !known.verdict.is_pending() && wanted.verdict == Verdict::Ended)
            })
        };
        match outcomes(&recovered.what) {
            [] => self.steps.iter().any(|step| step.what == recovered.what),
            of_log => of_log.iter().all(ended),
        }
    }

    /// When it was received, or what of it is known first.
    pub fn time_ms(&self) -> u64 {
        let first = self.steps.first().map_or(0, |step| step.time_ms);
        self.facts.as_ref().map_or(first, |facts| facts.time_ms)
    }

    /// Its recipients in the order of their places.
    pub fn recipients(&self) -> Vec<&str> {
        let mut recipients: Vec<&str> =
            self.facts.iter().flat_map(|facts| &facts.recipients).map(|address| &**address).collect();
        for step in &self.steps {
            let What::Recipients { first, addresses } = &step.what else { continue };
            // What claims a far place is damaged; places beyond those recorded have no address.
            for (place, address) in (*first as usize..).zip(addresses).take(PLACES_MAX) {
                if place < PLACES_MAX {
                    recipients.resize(recipients.len().max(place + 1), "");
                    recipients[place] = address;
                }
            }
        }
        recipients
    }

    /// How each recipient stands.
    pub fn standings(&self) -> Vec<Standing<'_>> {
        let mut standings: Vec<Standing<'_>> = self
            .recipients()
            .into_iter()
            .map(|address| Standing { address, verdict: None, reply: "", time_ms: self.time_ms() })
            .collect();
        for step in &self.steps {
            for outcome in outcomes(&step.what) {
                let place = outcome.recipient as usize;
                if place >= standings.len() && place < PLACES_MAX {
                    standings.resize(place + 1, Standing { address: "", verdict: None, reply: "", time_ms: 0 });
                }
                // Nothing comes after an end but where a crash undid it, and then there is another: what stands behind it is
                // from a clock that was set back. And the spool's log may know less of an end.
                let is_end = !outcome.verdict.is_pending() && outcome.verdict != Verdict::Ended;
                if let Some(standing) = standings.get_mut(place)
                    && standing.verdict.is_none_or(|before| before.is_pending() || is_end)
                {
                    *standing = Standing {
                        verdict: Some(outcome.verdict),
                        reply: &outcome.reply,
                        time_ms: step.time_ms,
                        ..*standing
                    };
                }
            }
        }
        standings
    }
}

/// More recipients than any message has.
const PLACES_MAX: usize = 1 << 17;

/// What a step says of recipients.
pub fn outcomes(what: &What) -> &[Outcome] {
    match what {
        What::Attempt(attempt) => &attempt.outcomes,
        What::Administrator { outcomes, .. } => outcomes,
        _ => &[],
    }
}
