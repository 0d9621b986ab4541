//! Records as CBOR with numbered fields: a later version may add fields, none is ever renumbered.

use minicbor::data::Type;
use minicbor::decode::Decoder;

use crate::passport::event::{Attempt, Facts, Part, Record, Step, What};

/// A record is not longer than this, in bytes; [`split`] sees to that.
pub const RECORD_BYTES_MAX: usize = 48 << 10;
/// Texts in one record of a message that is split; the rest is for numbers around them.
const TEXT_BYTES_MAX: usize = RECORD_BYTES_MAX / 2;
/// What an outcome or a recipient takes beside its text, at most.
const FRAME_BYTES: usize = 24;

/// Writes a record behind what is in `into`.
pub fn write(record: &Record, into: &mut Vec<u8>) {
    // Writing to a Vec cannot fail.
    let _ = minicbor::encode(record, into);
}

/// Reads a record; `None` if a newer program wrote it, or nobody did.
pub fn read(bytes: &[u8]) -> Option<Record> {
    minicbor::decode(bytes).ok()
}

/// The message of a record that tells nothing of how it came, without reading the rest of it: most parts of messages that wait
/// are such.
pub fn later_part_of(bytes: &[u8]) -> Option<u64> {
    let mut decoder = Decoder::new(bytes);
    // A variant and its fields, of which the first is the part.
    decoder.array().ok()?;
    if decoder.u32().ok()? != 0 {
        return None;
    }
    decoder.array().ok()?;
    decoder.array().ok()?;
    let queue_id = decoder.u64().ok()?;
    (decoder.datatype().ok()? == Type::Null).then_some(queue_id)
}

/// What of `facts` no envelope says, as a label for the spool's log; [`read_label`] reads it.
pub fn write_label(facts: &Facts) -> Vec<u8> {
    let mut label = Vec::with_capacity(192);
    // Writing to a Vec cannot fail.
    let _ = minicbor::encode(facts, &mut label);
    label
}

/// The facts of a label; what the envelope says is missing in them. `None` if a newer program wrote it, or nobody did.
pub fn read_label(label: &[u8]) -> Option<Facts> {
    minicbor::decode(label).ok()
}

/// Whether a part may be too long for one record.
fn is_long(part: &Part) -> bool {
    let facts = part.facts.as_deref().map_or(0, |facts| {
        let texts: usize = facts.recipients.iter().map(|text| text.len() + FRAME_BYTES).sum();
        texts + facts.subject.as_deref().map_or(0, str::len)
    });
    facts + part.steps.iter().map(step_bytes).sum::<usize>() > TEXT_BYTES_MAX
}

fn step_bytes(step: &Step) -> usize {
    let texts = |texts: &[Box<str>]| texts.iter().map(|text| text.len() + FRAME_BYTES).sum::<usize>();
    FRAME_BYTES
        + match &step.what {
            What::Recipients { addresses, .. } => texts(addresses),
            What::Resolved { named } => texts(named),
            What::Routed { recipients, way } => 5 * recipients.len() + way.next_hop.len() + way.connector.len(),
            What::Attempt(attempt) => {
                let replies: usize = attempt.outcomes.iter().map(|outcome| outcome.reply.len() + FRAME_BYTES).sum();
                replies + 256
            }
            What::Administrator { outcomes, .. } => outcomes.len() * FRAME_BYTES + 256,
            What::Report { to, .. } => to.len(),
            What::Held { reason } => reason.len(),
            What::NoConnection { reason, .. } => reason.len() + 256,
        }
}

/// A part as one or more that each fit into a record. Nearly all fit as they are.
pub fn split(part: Part) -> Vec<Part> {
    if !is_long(&part) {
        return vec![part];
    }
    let Part { queue_id, facts, steps, is_last, is_recovered } = part;
    let mut pieces = Vec::new();
    let facts = facts.map(|mut facts| {
        let kept = fitting(&facts.recipients, |text| text.len() + FRAME_BYTES);
        let mut rest = facts.recipients.split_off(kept);
        let mut first = kept;
        while !rest.is_empty() {
            let later = rest.split_off(fitting(&rest, |text| text.len() + FRAME_BYTES));
            let (begins, addresses) = (u32::try_from(first).unwrap_or(u32::MAX), std::mem::replace(&mut rest, later));
            first += addresses.len();
            pieces.push(Step { time_ms: facts.time_ms, what: What::Recipients { first: begins, addresses } });
        }
        facts
    });
    for step in steps {
        split_step(step, &mut pieces);
    }
    let mut parts = vec![Part { queue_id, facts, steps: Vec::new(), is_last: false, is_recovered }];
    // The facts fill the first part.
    let mut used = TEXT_BYTES_MAX;
    for piece in pieces {
        let bytes = step_bytes(&piece);
        if used + bytes > TEXT_BYTES_MAX {
            used = 0;
            parts.push(Part { queue_id, is_recovered, ..Part::default() });
        }
        used += bytes;
        if let Some(part) = parts.last_mut() {
            part.steps.push(piece);
        }
    }
    if parts[0].facts.is_none() && parts.len() > 1 {
        parts.remove(0);
    }
    if let Some(last) = parts.last_mut() {
        last.is_last = is_last;
    }
    parts
}

/// A step as several, each of which fits into a record.
fn split_step(step: Step, into: &mut Vec<Step>) {
    let time_ms = step.time_ms;
    match step.what {
        What::Attempt(attempt) => {
            let Attempt { way, remote, address, tls, duration_ms, mut outcomes, is_recovered } = *attempt;
            loop {
                let rest = outcomes.split_off(fitting(&outcomes, |outcome| outcome.reply.len() + FRAME_BYTES));
                let (way, remote, tls) = (way.clone(), remote.clone(), tls.clone());
                let attempt = Attempt { way, remote, address, tls, duration_ms, outcomes, is_recovered };
                into.push(Step { time_ms, what: What::Attempt(Box::new(attempt)) });
                outcomes = rest;
                if outcomes.is_empty() {
                    return;
                }
            }
        }
        What::Resolved { mut named } => loop {
            let rest = named.split_off(fitting(&named, |text| text.len() + FRAME_BYTES));
            into.push(Step { time_ms, what: What::Resolved { named } });
            named = rest;
            if named.is_empty() {
                return;
            }
        },
        What::Routed { mut recipients, way } => loop {
            let rest = recipients.split_off(recipients.len().min(TEXT_BYTES_MAX / 8));
            into.push(Step { time_ms, what: What::Routed { recipients, way: way.clone() } });
            recipients = rest;
            if recipients.is_empty() {
                return;
            }
        },
        What::Administrator { who, action, detail, mut outcomes } => loop {
            let rest = outcomes.split_off(fitting(&outcomes, |outcome| outcome.reply.len() + FRAME_BYTES));
            let (who, action, detail) = (who.clone(), action.clone(), detail.clone());
            into.push(Step { time_ms, what: What::Administrator { who, action, detail, outcomes } });
            outcomes = rest;
            if outcomes.is_empty() {
                return;
            }
        },
        what @ (What::Recipients { .. } | What::Report { .. } | What::Held { .. } | What::NoConnection { .. }) => {
            into.push(Step { time_ms, what });
        }
    }
}

/// How many of these fit into a record; at least one.
fn fitting<T>(all: &[T], bytes: impl Fn(&T) -> usize) -> usize {
    let mut sum = 0;
    let fit = all.iter().take_while(|one| {
        sum += bytes(one);
        sum <= TEXT_BYTES_MAX - 512
    });
    fit.count().max(1).min(all.len())
}

/// What is left of a message's facts when its texts would fill a record: they are cut where they are made, so this is for
/// estimates only.
pub fn estimate(facts: &Facts) -> usize {
    let texts: usize = facts.recipients.iter().map(|text| text.len() + FRAME_BYTES).sum();
    256 + texts + facts.sender.len() + facts.message_id.len() + facts.subject.as_deref().map_or(0, str::len)
}

/// About how much memory a step takes, in bytes.
pub fn estimate_step(step: &Step) -> usize {
    64 + step_bytes(step)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::passport::event::{Outcome, Tls, Verdict, Way};

    fn way() -> Way {
        Way { connector: "Internet".into(), next_hop: "example.net".into() }
    }

    fn attempt(recipients: u32, reply: &str) -> Step {
        let outcome =
            |recipient| Outcome { recipient, verdict: Verdict::Deferred { until_ms: 9 }, reply: reply.into() };
        let proof = Some("certificate verified".into());
        let tls = Some(Tls { version: "TLSv1.3".into(), cipher: "TLS_AES_128_GCM_SHA256".into(), proof });
        let address = "[2001:db8::1]:25".parse().ok();
        let outcomes = (0..recipients).map(outcome).collect();
        let attempt = Attempt {
            way: way(),
            remote: Some("mx.example.net".into()),
            address,
            tls,
            duration_ms: 12,
            outcomes,
            is_recovered: false,
        };
        Step { time_ms: 5, what: What::Attempt(Box::new(attempt)) }
    }

    fn part(recipients: u32, text: &str) -> Part {
        let address = |i: u32| format!("{text}{i}@example.net").into_boxed_str();
        let facts = Facts {
            time_ms: 4,
            message_id: "<1@example.com>".into(),
            subject: Some("Lunch today".into()),
            sender: "a@example.com".into(),
            recipients: (0..recipients).map(address).collect(),
            peer: "192.0.2.1:4711".parse().ok(),
            connector: "Relay".into(),
            ..Facts::default()
        };
        let routed = What::Routed { recipients: (0..recipients).collect(), way: way() };
        let named = What::Resolved { named: (0..recipients).map(address).collect() };
        let steps =
            vec![Step { time_ms: 4, what: named }, Step { time_ms: 4, what: routed }, attempt(recipients, text)];
        Part { queue_id: 7, facts: Some(Box::new(facts)), steps, is_last: true, is_recovered: false }
    }

    fn written(part: &Part) -> Vec<u8> {
        let mut bytes = Vec::new();
        write(&Record::Message(part.clone()), &mut bytes);
        bytes
    }

    #[test]
    fn a_message_of_the_usual_kind_is_one_record() {
        let part = part(3, "bob");
        assert_eq!(split(part.clone()), std::slice::from_ref(&part));
        assert!(written(&part).len() < 400, "{}", written(&part).len());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]
        #[test]
        fn whatever_its_size_nothing_of_a_part_is_lost_and_each_record_fits(
            recipients in 0_u32..4_000,
            text in prop_oneof!["[a-z]{0,3}", Just("x".repeat(600))],
            has_facts: bool,
        ) {
            let mut whole = part(recipients, &text);
            if !has_facts {
                whole.facts = None;
            }
            let mut addresses = Vec::new();
            let mut outcomes = Vec::new();
            let mut named = Vec::new();
            let mut routed = Vec::new();
            let parts = split(whole.clone());
            for (place, part) in parts.iter().enumerate() {
                let bytes = written(part);
                prop_assert!(bytes.len() <= RECORD_BYTES_MAX, "{} of {recipients}", bytes.len());
                prop_assert_eq!(read(&bytes), Some(Record::Message(part.clone())));
                prop_assert_eq!(part.facts.is_some(), has_facts && place == 0);
                prop_assert_eq!(later_part_of(&bytes), part.facts.is_none().then_some(part.queue_id));
                prop_assert_eq!(part.is_last, place + 1 == parts.len());
                addresses.extend(part.facts.iter().flat_map(|facts| facts.recipients.clone()));
                for step in &part.steps {
                    match &step.what {
                        What::Recipients { first, addresses: more } => {
                            prop_assert_eq!(*first as usize, addresses.len());
                            addresses.extend(more.clone());
                        }
                        What::Resolved { named: more } => named.extend(more.clone()),
                        What::Routed { recipients, .. } => routed.extend(recipients.clone()),
                        What::Attempt(attempt) => outcomes.extend(attempt.outcomes.clone()),
                        other => prop_assert!(false, "{other:?}"),
                    }
                }
            }
            prop_assert_eq!(addresses, whole.facts.map(|facts| facts.recipients).unwrap_or_default());
            prop_assert_eq!(named.len(), recipients as usize);
            prop_assert_eq!(routed, (0..recipients).collect::<Vec<_>>());
            prop_assert_eq!(outcomes.len(), recipients as usize);
        }

        #[test]
        fn damaged_bytes_are_no_panic(at in any::<prop::sample::Index>(), bits in 1_u8.., end in any::<prop::sample::Index>()) {
            let mut bytes = written(&part(2, "bob"));
            let at = at.index(bytes.len());
            bytes[at] ^= bits;
            let _ = read(&bytes);
            let _ = read(&bytes[..end.index(bytes.len())]);
        }
    }
}
