//! Things that wait, one line for each source, and sources have turns: whoever brings many waits for them alone.
//!
//! Takes things and the source that each is from, hands them out one at a time. Bounds nothing: who calls counts first.

use std::collections::VecDeque;
use std::net::IpAddr;

/// Everything that waits.
pub struct Turns<T> {
    /// The source whose turn is next stands first. None is without a thing.
    lines: VecDeque<(IpAddr, VecDeque<T>)>,
}

impl<T> Default for Turns<T> {
    fn default() -> Self {
        Turns { lines: VecDeque::new() }
    }
}

impl<T> Turns<T> {
    /// How many wait in all.
    pub fn len(&self) -> usize {
        self.lines.iter().map(|(_, line)| line.len()).sum()
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// How many of a source wait.
    pub fn len_of(&self, source: IpAddr) -> usize {
        self.lines.iter().find(|(other, _)| *other == source).map_or(0, |(_, line)| line.len())
    }

    /// Puts one at the end of its source's line.
    pub fn push(&mut self, source: IpAddr, thing: T) {
        match self.lines.iter_mut().find(|(other, _)| *other == source) {
            Some((_, line)) => line.push_back(thing),
            None => self.lines.push_back((source, VecDeque::from([thing]))),
        }
    }

    /// The oldest one of the source whose turn it is. After that it is everybody else's.
    pub fn pop(&mut self) -> Option<T> {
        let (source, mut line) = self.lines.pop_front()?;
        let thing = line.pop_front();
        if !line.is_empty() {
            self.lines.push_back((source, line));
        }
        thing
    }

    /// Everything, in no order that matters.
    pub fn into_all(self) -> impl Iterator<Item = T> {
        self.lines.into_iter().flat_map(|(_, line)| line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_have_turns_and_each_gets_its_own_in_order() {
        let mut turns = Turns::default();
        let [many, two, one] = [1, 2, 3].map(|n| IpAddr::from([192, 168, 2, n]));
        for name in ["a1", "a2", "a3", "a4"] {
            turns.push(many, name);
        }
        turns.push(two, "b1");
        turns.push(two, "b2");
        assert_eq!([turns.len(), turns.len_of(many), turns.len_of(two), turns.len_of(one)], [6, 4, 2, 0]);
        assert_eq!([turns.pop(), turns.pop()], [Some("a1"), Some("b1")]);
        // Whoever comes late waits for no more than one of each.
        turns.push(one, "c1");
        let rest: Vec<_> = std::iter::from_fn(|| turns.pop()).collect();
        assert_eq!(rest, ["a2", "b2", "c1", "a3", "a4"]);
        assert!(turns.is_empty());
    }
}
