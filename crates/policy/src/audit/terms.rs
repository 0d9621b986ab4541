//! Under which terms a right is held: what limits the entries that give it, and what those take back that deny it at times.
//!
//! Takes the entries of a connector, hands on the terms of each right that is not held whatever comes, as values and in words: the same
//! words wherever somebody is told. Decides nothing: whether a right is held, `permission::granted` says, of the same entries.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::access_entry::{Access, AccessEntry, Principal, Right, Rights};
use crate::condition::{Condition, Patterns};
use crate::note::instant;
use crate::permission::entries_of;
use crate::receive_connector::ReceiveConnector;

/// What limits one entry: all that is given must hold, and nothing is given of an entry without limits.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Term {
    /// Patterns of senders; none: any.
    pub senders: Vec<Box<str>>,
    /// Patterns of recipients; none: any.
    pub recipients: Vec<Box<str>>,
    /// Windows of hours; none: always.
    pub hours: Vec<Box<str>>,
    /// Messages from one source in any 60 minutes.
    pub messages_per_hour: Option<NonZeroU32>,
    /// The instant from which on the entry does not count, in milliseconds since 1970 UTC.
    pub until_ms: Option<u64>,
}

/// When a right is held: while one of the terms holds under which it is given, and none under which it is taken away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Terms {
    /// Under which it is given; none: always.
    pub given: Vec<Term>,
    /// Under which it is taken away all the same.
    pub taken: Vec<Term>,
}

/// Rights that are held under the same terms.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Limited {
    /// The rights.
    pub rights: Rights,
    /// The terms.
    pub terms: Terms,
}

impl Limited {
    /// The terms of those of `rights` that `principal` holds under terms on `connector`, from `now_ms` on.
    pub(super) fn of(
        connector: &ReceiveConnector,
        principal: &Principal,
        rights: Rights,
        now_ms: u64,
    ) -> Arc<[Limited]> {
        if rights.is_empty() {
            return Arc::default();
        }
        let entries = entries_of(connector, principal, now_ms).map(|(_, entry)| entry);
        let entries: Vec<&AccessEntry> = entries.filter(|entry| !(entry.rights & rights).is_empty()).collect();
        let mut limited: Vec<Limited> = Vec::new();
        for right in rights.iter() {
            let terms = |access: Access| {
                let speaking = entries.iter().filter(|entry| entry.access == access && entry.rights.contains(right));
                speaking.map(|entry| Term::of(entry)).collect()
            };
            add(&mut limited, right, Terms::new(terms(Access::Allow), terms(Access::Deny)));
        }
        limited.into()
    }

    /// The same, but that no entry ends which gives a right; what is without terms then, is left out.
    pub(super) fn without_ends(limited: &[Limited]) -> Vec<Limited> {
        let mut without: Vec<Limited> = Vec::new();
        let rights = limited.iter().fold(Rights::NONE, |all, limited| all | limited.rights);
        // One by one, so that equal terms stand in the same order.
        for right in rights.iter() {
            let Some(terms) = Limited::terms_of(limited, right) else { continue };
            let given = terms.given.iter().map(|term| Term { until_ms: None, ..term.clone() }).collect();
            let terms = Terms::new(given, terms.taken.clone());
            if !terms.is_always() {
                add(&mut without, right, terms);
            }
        }
        without
    }

    /// The terms of a right.
    pub fn terms_of(limited: &[Limited], right: Right) -> Option<&Terms> {
        limited.iter().find(|limited| limited.rights.contains(right)).map(|limited| &limited.terms)
    }
}

/// Rights of the same terms stand together.
fn add(limited: &mut Vec<Limited>, right: Right, terms: Terms) {
    match limited.iter_mut().find(|known| known.terms == terms) {
        Some(known) => known.rights.insert(right),
        None => limited.push(Limited { rights: right.into(), terms }),
    }
}

impl Term {
    fn of(entry: &AccessEntry) -> Term {
        let until_ms = entry.note.as_ref().and_then(|note| note.expires_ms);
        let Some(condition) = entry.condition.as_deref() else { return Term { until_ms, ..Term::default() } };
        let Condition { senders, recipients, hours, messages_per_hour } = condition;
        let sorted = |patterns: &Option<Patterns>| {
            let mut texts = patterns.as_ref().map_or(Vec::new(), |patterns| patterns.texts().to_vec());
            texts.sort_unstable();
            texts.dedup();
            texts
        };
        Term {
            senders: sorted(senders),
            recipients: sorted(recipients),
            hours: hours.as_ref().map_or(Vec::new(), |hours| hours.texts().map(Box::from).collect()),
            messages_per_hour: *messages_per_hour,
            until_ms,
        }
    }

    fn is_without_limits(&self) -> bool {
        *self == Term::default()
    }

    /// All but the end.
    fn conditions(&self) -> impl Ord + use<'_> {
        (&self.senders, &self.recipients, &self.hours, self.messages_per_hour)
    }

    /// Whom and when, and how often.
    fn words(&self, named_max: usize) -> (String, Option<String>) {
        let lists = [("from", &self.senders), ("to", &self.recipients), ("during", &self.hours)];
        let lists = lists.into_iter().filter(|(_, list)| !list.is_empty());
        let words: Vec<String> = lists.map(|(verb, list)| format!("{verb} {}", listed(list, named_max))).collect();
        let often = self.messages_per_hour.map(|most| match most.get() {
            1 => "at most 1 message an hour".to_owned(),
            most => format!("at most {most} messages an hour"),
        });
        (words.join(" "), often)
    }
}

/// Alternatives; the first of them, and how many there are besides.
fn listed(list: &[Box<str>], named_max: usize) -> String {
    let more = list.len().saturating_sub(named_max);
    let mut named: Vec<String> = list.iter().take(named_max).map(|text| text.to_string()).collect();
    named.extend((more > 0).then(|| format!("{more} more")));
    let last = named.pop().unwrap_or_default();
    if named.is_empty() { last } else { format!("{} or {last}", named.join(", ")) }
}

/// Each once, in one order, and of those that differ in their end alone the last one.
fn simplified(mut terms: Vec<Term>) -> Vec<Term> {
    let end = |term: &Term| term.until_ms.unwrap_or(u64::MAX);
    terms.sort_by(|one, other| one.conditions().cmp(&other.conditions()).then_with(|| end(other).cmp(&end(one))));
    // Two quotas are more than one.
    terms.dedup_by(|next, kept| kept.messages_per_hour.is_none() && next.conditions() == kept.conditions());
    terms
}

impl Terms {
    fn new(given: Vec<Term>, taken: Vec<Term>) -> Terms {
        let is_always = given.iter().any(Term::is_without_limits);
        Terms { given: if is_always { Vec::new() } else { simplified(given) }, taken: simplified(taken) }
    }

    /// Whether there are no terms.
    pub fn is_always(&self) -> bool {
        self.given.is_empty() && self.taken.is_empty()
    }

    /// In words that stand behind what is held: `only from scanner@contoso.com to *@partner.example, until
    /// 2027-01-01T00:00:00Z`. Of each list the first `named_max` are named, the others counted.
    pub fn told(&self, named_max: usize) -> String {
        if self.is_always() {
            return "always".to_owned();
        }
        let mut text = match &self.given[..] {
            [] => String::new(),
            [one] => alone(one, named_max),
            many => {
                let more = many.len().saturating_sub(named_max);
                let mut told: Vec<String> =
                    many.iter().take(named_max).map(|term| together(term, "until", "anything ", named_max)).collect();
                told.extend((more > 0).then(|| format!("under {more} other terms")));
                format!("only {}", told.join("; or "))
            }
        };
        if !self.taken.is_empty() {
            let more = self.taken.len().saturating_sub(named_max);
            let mut told: Vec<String> =
                self.taken.iter().take(named_max).map(|term| together(term, "before", "", named_max)).collect();
            told.extend((more > 0).then(|| format!("under {more} other terms")));
            text += if text.is_empty() { "not " } else { ", but not " };
            text += &told.join(", nor ");
        }
        text
    }
}

fn alone(term: &Term, named_max: usize) -> String {
    let (whom, often) = term.words(named_max);
    let only = (!whom.is_empty()).then(|| format!("only {whom}"));
    let until = term.until_ms.map(|until_ms| format!("until {}", instant(until_ms)));
    [only, often, until].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// One of several; `all` stands for a term that has an end alone.
fn together(term: &Term, until: &str, all: &str, named_max: usize) -> String {
    let (whom, often) = term.words(named_max);
    let what = [Some(whom).filter(|whom| !whom.is_empty()), often];
    let what = what.into_iter().flatten().collect::<Vec<_>>().join(", ");
    match (what.as_str(), term.until_ms.map(instant)) {
        ("", Some(end)) => format!("{all}{until} {end}"),
        (what, Some(end)) => format!("{what} {until} {end}"),
        (what, None) => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(texts: &[&str]) -> Vec<Box<str>> {
        texts.iter().map(|text| (*text).into()).collect()
    }

    fn term(senders: &[&str], recipients: &[&str], hours: &[&str], quota: u32, until_ms: Option<u64>) -> Term {
        let messages_per_hour = NonZeroU32::new(quota);
        Term { senders: list(senders), recipients: list(recipients), hours: list(hours), messages_per_hour, until_ms }
    }

    /// 2027-01-01T00:00:00Z.
    const END: Option<u64> = Some(1_798_761_600_000);

    #[test]
    fn terms_read_as_an_administrator_would_say_them() {
        let from = |sender: &str| term(&[sender], &[], &[], 0, None);
        let office = "Mon-Fri 08:00-18:00 UTC";
        for (given, taken, expected) in [
            (vec![], vec![], "always"),
            (vec![from("a@x.example")], vec![], "only from a@x.example"),
            (
                vec![term(&["a@x.example"], &["y.example", "z.example"], &[], 0, END)],
                vec![],
                "only from a@x.example to y.example or z.example, until 2027-01-01T00:00:00Z",
            ),
            (vec![term(&[], &[], &[], 0, END)], vec![], "until 2027-01-01T00:00:00Z"),
            (vec![term(&[], &[], &[], 10, None)], vec![], "at most 10 messages an hour"),
            (
                vec![term(&["<>"], &[], &[office], 1, END)],
                vec![],
                "only from <> during Mon-Fri 08:00-18:00 UTC, at most 1 message an hour, until 2027-01-01T00:00:00Z",
            ),
            (
                vec![from("a@x.example"), term(&["b@x.example"], &[], &[], 0, END), term(&[], &[], &[], 5, END)],
                vec![],
                "only at most 5 messages an hour until 2027-01-01T00:00:00Z; or from a@x.example; or from b@x.example \
                 until 2027-01-01T00:00:00Z",
            ),
            (
                vec![from("a@x.example"), term(&[], &[], &[], 0, END)],
                vec![],
                "only anything until 2027-01-01T00:00:00Z; or from a@x.example",
            ),
            (vec![Term::default()], vec![from("ceo@x.example")], "not from ceo@x.example"),
            (
                vec![from("x.example")],
                vec![from("ceo@x.example"), term(&[], &[], &[], 0, END)],
                "only from x.example, but not before 2027-01-01T00:00:00Z, nor from ceo@x.example",
            ),
            (vec![term(&["a", "b", "c", "d", "e"], &[], &[], 0, None)], vec![], "only from a, b, c or 2 more"),
            (
                ["a", "b", "c", "d"].map(from).to_vec(),
                vec![],
                "only from a; or from b; or from c; or under 1 other terms",
            ),
        ] {
            assert_eq!(Terms::new(given, taken).told(3), expected);
        }
    }

    #[test]
    fn what_another_term_says_too_is_said_once() {
        let from = |sender: &str, until_ms| term(&[sender], &[], &[], 0, until_ms);
        let quota = || term(&["a"], &[], &[], 7, None);
        for (given, expected) in [
            (vec![from("a", END), from("a", None), from("a", Some(5))], vec![from("a", None)]),
            (vec![from("a", Some(5)), from("a", END)], vec![from("a", END)]),
            (vec![from("b", None), from("a", None)], vec![from("a", None), from("b", None)]),
            // Each of two quotas is good for as many messages.
            (vec![quota(), quota()], vec![quota(), quota()]),
            (vec![from("a", END), Term::default()], vec![]),
        ] {
            assert_eq!(Terms::new(given, Vec::new()).given, expected);
        }
    }
}
