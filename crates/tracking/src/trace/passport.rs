//! The parts of one message, joined.

use crate::passport::event::{Attempt, Facts, Outcome, PLACES_MAX, Part, Step, Verdict, Way, What};

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
        let log_says_end = recovered.iter().any(|part| part.is_last);
        for part in recovered {
            passport.is_ended |= part.is_last;
            passport.facts = passport.facts.take().or(part.facts);
            for mut step in part.steps {
                if !passport.tells(&step) {
                    passport.say_recovered(&mut step);
                    passport.steps.push(step);
                }
            }
        }
        passport.steps.sort_by_key(|step| step.time_ms);
        passport.steps.dedup();
        if log_says_end {
            passport.add_unknown_ends();
        }
        passport
    }

    /// The log says nothing of the way; the last one that the recipients were routed to is it.
    fn say_recovered(&self, step: &mut Step) {
        let What::Attempt(attempt) = &mut step.what else { return };
        attempt.is_recovered = true;
        let Some(first) = attempt.outcomes.first().filter(|_| attempt.way.next_hop.is_empty()) else { return };
        let routed = self.steps.iter().rev().find_map(|known| match &known.what {
            What::Routed { recipients, way } if recipients.contains(&first.recipient) => Some(way),
            _ => None,
        });
        if let Some(way) = routed {
            attempt.way.clone_from(way);
        }
    }

    /// The spool's log says that the message has ended. How, it may not say: on a full disk it says no more.
    fn add_unknown_ends(&mut self) {
        let standings = self.standings().into_iter().zip(0_u32..);
        let is_open = |standing: &Standing<'_>| standing.verdict.is_none_or(Verdict::is_pending);
        let outcomes: Vec<Outcome> = standings
            .filter(|(standing, _)| is_open(standing))
            .map(|(_, recipient)| Outcome { recipient, verdict: Verdict::Ended, reply: Box::default() })
            .collect();
        if !outcomes.is_empty() {
            let time_ms = self.steps.last().map_or(self.time_ms(), |step| step.time_ms);
            let way = Way { connector: "".into(), next_hop: "".into() };
            let is_recovered = true;
            let attempt =
                Attempt { way, remote: None, address: None, tls: None, duration_ms: 0, outcomes, is_recovered };
            self.steps.push(Step { time_ms, what: What::Attempt(Box::new(attempt)) });
        }
    }

    /// Whether anything is known but that it ended: of a message that was refused, the log may say so once more.
    pub fn says_something(&self) -> bool {
        self.facts.is_some() || !self.steps.is_empty()
    }

    /// Whether what a step from the spool's log says is known already: the log knows outcomes, and less of them.
    fn tells(&self, recovered: &Step) -> bool {
        let ended = |wanted: &Outcome| {
            self.steps.iter().flat_map(|step| step.what.outcomes()).any(|known| {
                known.recipient == wanted.recipient
                    && (known.verdict == wanted.verdict
                        || !known.verdict.is_pending() && wanted.verdict == Verdict::Ended)
            })
        };
        match recovered.what.outcomes() {
            [] => self.steps.iter().any(|step| step.what == recovered.what),
            of_log => of_log.iter().all(ended),
        }
    }

    /// When it was received, or what of it is known first.
    pub fn time_ms(&self) -> u64 {
        let first = self.steps.first().map_or(0, |step| step.time_ms);
        self.facts.as_ref().map_or(first, |facts| facts.time_ms)
    }

    /// When something of it was recorded last.
    pub fn last_ms(&self) -> u64 {
        self.steps.iter().map(|step| step.time_ms).fold(self.time_ms(), u64::max)
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
            for outcome in step.what.outcomes() {
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

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(time_ms: u64, recipient: u32, verdict: Verdict) -> Step {
        let way = Way { connector: "Out".into(), next_hop: "example.net".into() };
        let outcomes = vec![Outcome { recipient, verdict, reply: "said".into() }];
        let attempt =
            Attempt { way, remote: None, address: None, tls: None, duration_ms: 1, outcomes, is_recovered: false };
        Step { time_ms, what: What::Attempt(Box::new(attempt)) }
    }

    #[test]
    fn the_log_ends_what_it_says_no_more_of_and_changes_nothing_that_is_known() {
        let recipients = ["a@x.net", "b@x.net", "c@x.net"].map(Box::from).into();
        let facts = Some(Box::new(Facts { time_ms: 1, recipients, ..Facts::default() }));
        let steps = vec![attempt(2, 0, Verdict::Delivered), attempt(3, 1, Verdict::Deferred { until_ms: 9 })];
        let noted = Part { queue_id: 7, facts, steps, ..Part::default() };
        let end = Part { queue_id: 7, is_last: true, is_recovered: true, ..Part::default() };
        let passport = Passport::join(7, vec![noted.clone(), end.clone(), end]);
        let standings: Vec<_> = passport.standings().iter().map(|one| (one.verdict, one.time_ms)).collect();
        let ended = (Some(Verdict::Ended), 3);
        assert_eq!((passport.is_ended, standings), (true, vec![(Some(Verdict::Delivered), 2), ended, ended]));
        // Those who noted it would have said how.
        let end = Part { queue_id: 7, is_last: true, ..Part::default() };
        assert_eq!(Passport::join(7, vec![noted.clone(), end]).steps, noted.steps);
    }

    #[test]
    fn what_the_log_tells_says_so_and_has_the_way_that_is_known() {
        let recipients = ["a@x.net", "b@x.net"].map(Box::from).into();
        let facts = Some(Box::new(Facts { time_ms: 1, recipients, ..Facts::default() }));
        let way = Way { connector: "Out".into(), next_hop: "x.net".into() };
        let routed = Step { time_ms: 1, what: What::Routed { recipients: vec![0, 1], way: way.clone() } };
        let noted =
            Part { queue_id: 7, facts, steps: vec![routed, attempt(2, 0, Verdict::Delivered)], ..Part::default() };
        let mut of_log = attempt(5, 1, Verdict::Failed);
        if let What::Attempt(attempt) = &mut of_log.what {
            attempt.way = Way { connector: "".into(), next_hop: "".into() };
        }
        let of_log = Part { queue_id: 7, steps: vec![of_log], is_last: true, is_recovered: true, ..Part::default() };
        let passport = Passport::join(7, vec![noted, of_log.clone(), of_log]);
        let attempts = passport.steps.iter().filter_map(|step| match &step.what {
            What::Attempt(attempt) => Some((attempt.is_recovered, &*attempt.way.connector)),
            _ => None,
        });
        assert_eq!(attempts.collect::<Vec<_>>(), [(false, "Out"), (true, "Out")]);
    }

    #[test]
    fn an_end_alone_says_nothing() {
        let end = Part { queue_id: 7, is_last: true, is_recovered: true, ..Part::default() };
        assert!(!Passport::join(7, vec![end]).says_something());
    }
}
