//! Since when each element of the settings is there, and since when it is as it is: Exchange's WhenCreated and WhenChanged.
//!
//! Takes the history of the settings, hands on instants. An element is told from others by its name: one that is renamed
//! is a new one. What changed before the oldest revision that is looked at, is as old as that. Keeps what it learnt.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::edit::Outline;
use crate::history::History;

/// Revisions that are read at most to learn of what is new.
const REVISIONS_MAX: usize = 200;
/// Bytes of documents that are read at most for that: where documents are large, changes that lie close together count as
/// one.
const BYTES_MAX: usize = 16 << 20;

/// When something began, in milliseconds since 1970 UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Age {
    /// Since when it is there.
    pub created_ms: u64,
    /// Since when it is as it is.
    pub changed_ms: u64,
}

/// The ages of the elements of lists of tables.
#[derive(Debug, Default)]
pub struct Ages(Mutex<Learnt>);

#[derive(Debug, Default)]
struct Learnt {
    /// The revision that was read last.
    revision: u64,
    /// Its document: a revision that was withdrawn leaves its number to another.
    document: String,
    elements: Arc<HashMap<Element, Known>>,
}

/// A table's name, and an element's in lower case.
type Element = (Box<str>, Box<str>);

#[derive(Clone, Copy, Debug)]
struct Known {
    age: Age,
    /// Of its text.
    hash: u64,
}

/// What was learnt up to some revision.
#[derive(Clone, Debug)]
pub struct Snapshot(Arc<HashMap<Element, Known>>);

impl Snapshot {
    /// The age of an element.
    pub fn of(&self, table: &str, name: &str) -> Option<Age> {
        self.0.get(&(table.into(), name.to_lowercase().into_boxed_str())).map(|known| known.age)
    }
}

impl Ages {
    /// Learns of the revisions that are new in `history`, of which `in_force` is known already. May read many files: call it
    /// outside async tasks.
    pub(crate) fn learn(&self, history: MutexGuard<'_, History>, in_force: (u64, &Outline), now_ms: u64) -> Snapshot {
        // What a panic left half done is learnt again with the next revision.
        let mut learnt = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let last = history.find(learnt.revision, now_ms);
        if last.is_some_and(|last| last.document != learnt.document) {
            *learnt = Learnt::default();
        }
        let new: Vec<(u64, u64)> = history
            .revisions(now_ms)
            .filter(|revision| revision.number > learnt.revision)
            .map(|revision| (revision.number, revision.at_ms))
            .collect();
        let Some((newest, _)) = new.last().copied() else { return Snapshot(learnt.elements.clone()) };
        let outline_of = |number: u64| match in_force {
            (known, outline) if known == number => Some(outline.clone()),
            _ => history.text(number).ok().flatten().map(|text| Outline::of(&text)),
        };
        let room = (BYTES_MAX / in_force.1.bytes().max(1)).clamp(1, REVISIONS_MAX);
        let skipped = new.len().saturating_sub(room);
        let mut elements = learnt.elements.clone();
        for (number, at_ms) in new.into_iter().skip(skipped) {
            if let Some(outline) = outline_of(number) {
                elements = Arc::new(after(&elements, &outline, at_ms));
            }
        }
        learnt.revision = newest;
        learnt.document = history.find(newest, now_ms).map(|last| last.document.clone()).unwrap_or_default();
        learnt.elements = elements;
        Snapshot(learnt.elements.clone())
    }
}

/// The ages once this document is in force.
fn after(before: &HashMap<Element, Known>, outline: &Outline, at_ms: u64) -> HashMap<Element, Known> {
    let mut elements = HashMap::with_capacity(before.len());
    for section in outline.sections() {
        let mut hasher = DefaultHasher::new();
        section.text.trim().hash(&mut hasher);
        let hash = hasher.finish();
        for place in section.places.iter() {
            let Some(name) = &place.name else { continue };
            let element = (place.table.clone(), name.clone());
            let age = match before.get(&element) {
                Some(known) if known.hash == hash => known.age,
                Some(known) => Age { changed_ms: at_ms, ..known.age },
                None => Age { created_ms: at_ms, changed_ms: at_ms },
            };
            elements.insert(element, Known { age, hash });
        }
    }
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_as_old_as_its_name_and_as_new_as_its_text() {
        let documents = [
            ("[server]\n\n[[receive_connector]]\nname = \"A\"\n", 10),
            ("[server]\n\n[[receive_connector]]\nname = \"A\"\n\n[[receive_connector]]\nname = \"B\"\n", 20),
            (
                "[server]\nx = 1\n\n[[receive_connector]]\nname = \"A\"\nenabled = false\n\n[[receive_connector]]\nname = \"B\"\n",
                30,
            ),
            ("[server]\nx = 1\n\n[[receive_connector]]\nname = \"B\"\n", 40),
        ];
        let mut elements = HashMap::new();
        let mut seen = Vec::new();
        for (text, at_ms) in documents {
            elements = after(&elements, &Outline::of(text), at_ms);
            let of = |name: &str| {
                let snapshot = Snapshot(Arc::new(elements.clone()));
                snapshot.of("receive_connector", name).map(|age| (age.created_ms, age.changed_ms))
            };
            seen.push((of("a"), of("B")));
        }
        assert_eq!(
            seen,
            [
                (Some((10, 10)), None),
                (Some((10, 10)), Some((20, 20))),
                (Some((10, 30)), Some((20, 20))),
                (None, Some((20, 20))),
            ]
        );
    }
}
