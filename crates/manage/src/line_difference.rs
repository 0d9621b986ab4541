//! What two settings documents have in common, line by line.
//!
//! Takes two texts; hands on the steps that make one of the other, to be kept, and the same as people read it. Hashes of
//! passwords are not shown. In bounded time: of documents that have little in common, less of it may be found.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use similar::{Algorithm, DiffOp, capture_diff_slices_deadline};

/// How long is looked for what two documents have in common.
const PATIENCE: Duration = Duration::from_millis(500);
/// Lines shown around a change.
const CONTEXT: usize = 3;
/// Longest difference that is shown, in bytes.
const SHOWN_BYTES_MAX: usize = 256 << 10;

/// How one text is made of another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct LineDifference(Vec<Step>);

/// Lines end behind their line feed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Step {
    /// So many lines stay.
    Keep(usize),
    /// So many lines go.
    Drop(usize),
    /// These come.
    Add(String),
}

impl LineDifference {
    /// The difference that makes `new` of `old`.
    pub fn between(old: &str, new: &str) -> LineDifference {
        let head = head(old, new);
        let (old_rest, new_rest) = (&old[head..], &new[head..]);
        let tail = tail(old_rest, new_rest);
        let [old_middle, new_middle] = [old_rest, new_rest].map(|rest| lines(&rest[..rest.len() - tail]));
        let mut difference = LineDifference::default();
        difference.keep(count(&old[..head]));
        let deadline = Some(Instant::now() + PATIENCE);
        for part in capture_diff_slices_deadline(Algorithm::Myers, &old_middle, &new_middle, deadline) {
            match part {
                DiffOp::Equal { len, .. } => difference.keep(len),
                DiffOp::Delete { old_len, .. } => difference.drop(old_len),
                DiffOp::Insert { new_index, new_len, .. } => {
                    difference.add(&new_middle[new_index..new_index + new_len])
                }
                DiffOp::Replace { old_len, new_index, new_len, .. } => {
                    difference.drop(old_len);
                    difference.add(&new_middle[new_index..new_index + new_len]);
                }
            }
        }
        difference.keep(count(&old_rest[old_rest.len() - tail..]));
        difference
    }

    /// Makes the new text of `old`; `None` if it was made for another one.
    pub fn apply(&self, old: &str) -> Option<String> {
        let mut new = String::with_capacity(old.len());
        let mut rest = old;
        for step in &self.0 {
            match step {
                Step::Keep(count) | Step::Drop(count) => {
                    let (those, others) = rest.split_at(end_of(rest, *count)?);
                    rest = others;
                    if matches!(step, Step::Keep(_)) {
                        new.push_str(those);
                    }
                }
                Step::Add(lines) => new.push_str(lines),
            }
        }
        rest.is_empty().then_some(new)
    }

    /// The difference as `diff -u` writes it, without its first two lines; `old` is what it was made for.
    pub fn to_text(&self, old: &str) -> String {
        let mut shown = Shown::default();
        let mut old_lines = old.split_inclusive('\n');
        for (place, step) in self.0.iter().enumerate() {
            match step {
                Step::Keep(count) => {
                    let (is_first, is_last) = (place == 0, place + 1 == self.0.len());
                    let after = if is_first { 0 } else { CONTEXT };
                    let before = if is_last { 0 } else { CONTEXT };
                    for (at, line) in old_lines.by_ref().take(*count).enumerate() {
                        if at < after || at + before >= *count {
                            shown.line(' ', line);
                        } else {
                            shown.skip();
                        }
                    }
                }
                Step::Drop(count) => old_lines.by_ref().take(*count).for_each(|line| shown.line('-', line)),
                Step::Add(lines) => lines.split_inclusive('\n').for_each(|line| shown.line('+', line)),
            }
        }
        shown.finish()
    }

    fn keep(&mut self, count: usize) {
        match self.0.last_mut() {
            _ if count == 0 => {}
            Some(Step::Keep(kept)) => *kept += count,
            _ => self.0.push(Step::Keep(count)),
        }
    }

    fn drop(&mut self, count: usize) {
        self.0.push(Step::Drop(count));
    }

    fn add(&mut self, lines: &[&str]) {
        self.0.push(Step::Add(lines.concat()));
    }
}

/// A difference as it is shown, hunk by hunk.
#[derive(Default)]
struct Shown {
    text: String,
    hunk: String,
    old_line: usize,
    new_line: usize,
    /// Lines of the hunk of each document, and where they begin.
    old: (usize, usize),
    new: (usize, usize),
    not_shown: usize,
}

impl Shown {
    fn line(&mut self, sign: char, line: &str) {
        if self.hunk.is_empty() {
            (self.old, self.new) = ((self.old_line + 1, 0), (self.new_line + 1, 0));
        }
        if sign != '+' {
            self.old_line += 1;
            self.old.1 += 1;
        }
        if sign != '-' {
            self.new_line += 1;
            self.new.1 += 1;
        }
        if self.text.len() + self.hunk.len() > SHOWN_BYTES_MAX {
            self.not_shown += 1;
            return;
        }
        self.hunk.push(sign);
        self.hunk.push_str(&without_hashes(line.trim_end_matches(['\n', '\r'])));
        self.hunk.push('\n');
        if !line.ends_with('\n') {
            self.hunk.push_str("\\ No newline at end of file\n");
        }
    }

    fn skip(&mut self) {
        self.end_hunk();
        self.old_line += 1;
        self.new_line += 1;
    }

    fn end_hunk(&mut self) {
        if self.hunk.is_empty() {
            return;
        }
        let begin = |(line, count): (usize, usize)| if count == 0 { line - 1 } else { line };
        let header = format!("@@ -{},{} +{},{} @@\n", begin(self.old), self.old.1, begin(self.new), self.new.1);
        self.text.push_str(&header);
        self.text.push_str(&std::mem::take(&mut self.hunk));
    }

    fn finish(mut self) -> String {
        self.end_hunk();
        if self.not_shown > 0 {
            self.text.push_str(&format!("... {} more lines\n", self.not_shown));
        }
        self.text
    }
}

/// What stands in the place of a hash.
pub(crate) const NOT_SHOWN: &str = "(not shown)";

/// A line without the hash of a password in it.
pub(crate) fn without_hashes(line: &str) -> Cow<'_, str> {
    const BEGIN: &str = "$argon2";
    let Some(at) = line.find(BEGIN) else { return Cow::Borrowed(line) };
    let end = line[at..]
        .find(|c: char| !(c.is_ascii_alphanumeric() || "$=,+/-_".contains(c)))
        .map_or(line.len(), |end| at + end);
    Cow::Owned(format!("{}{NOT_SHOWN}{}", &line[..at], without_hashes(&line[end..])))
}

/// Bytes of the whole lines that both begin with.
fn head(one: &str, other: &str) -> usize {
    const PIECE: usize = 4096;
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let pieces = one.chunks(PIECE).zip(other.chunks(PIECE)).take_while(|(one, other)| one == other);
    let same = pieces.map(|(one, _)| one.len()).sum::<usize>();
    let same = same + one[same..].iter().zip(&other[same..]).take_while(|(one, other)| one == other).count();
    one[..same].iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1)
}

/// Bytes of the whole lines that both end with.
fn tail(one: &str, other: &str) -> usize {
    const PIECE: usize = 4096;
    let (one, other) = (one.as_bytes(), other.as_bytes());
    let pieces = one.rchunks(PIECE).zip(other.rchunks(PIECE)).take_while(|(one, other)| one == other);
    let same = pieces.map(|(one, _)| one.len()).sum::<usize>();
    let rests = (&one[..one.len() - same], &other[..other.len() - same]);
    let same = same + rests.0.iter().rev().zip(rests.1.iter().rev()).take_while(|(one, other)| one == other).count();
    // A line begins behind a line feed, or where the text does.
    let begins = |text: &[u8], at: usize| at == 0 || text[at - 1] == b'\n';
    let (one_at, other_at) = (one.len() - same, other.len() - same);
    if begins(one, one_at) && begins(other, other_at) {
        return same;
    }
    one[one_at..].iter().position(|byte| *byte == b'\n').map_or(0, |at| same - at - 1)
}

fn lines(text: &str) -> Vec<&str> {
    text.split_inclusive('\n').collect()
}

fn count(text: &str) -> usize {
    // In pieces whose count has room in a byte: that many bytes are compared at a time.
    let pieces = text.as_bytes().chunks(u8::MAX.into());
    let ends = pieces.map(|piece| usize::from(piece.iter().map(|byte| u8::from(*byte == b'\n')).sum::<u8>()));
    ends.sum::<usize>() + usize::from(!text.is_empty() && !text.ends_with('\n'))
}

/// Behind so many lines.
fn end_of(text: &str, count: usize) -> Option<usize> {
    let mut end = 0;
    for _ in 0..count {
        let rest = text.get(end..).filter(|rest| !rest.is_empty())?;
        end = rest.find('\n').map_or(text.len(), |at| end + at + 1);
    }
    Some(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_difference_reads_as_diff_writes_it() {
        let old: String = (1..=20).map(|n| format!("line {n}\n")).collect();
        let new = old.replace("line 2\n", "").replace("line 12\n", "line 12\nmore\n").replace("line 20\n", "last");
        let difference = LineDifference::between(&old, &new);
        let expected = "@@ -1,5 +1,4 @@\n line 1\n-line 2\n line 3\n line 4\n line 5\n\
                        @@ -10,6 +9,7 @@\n line 10\n line 11\n line 12\n+more\n line 13\n line 14\n line 15\n\
                        @@ -17,4 +17,4 @@\n line 17\n line 18\n line 19\n-line 20\n+last\n\\ No newline at end of file\n";
        assert_eq!(difference.to_text(&old), expected);
        assert_eq!(difference.apply(&old).as_deref(), Some(new.as_str()));
        assert_eq!(difference.apply("other\n"), None);
        assert_eq!(LineDifference::between(&old, &old).to_text(&old), "");
        assert_eq!(LineDifference::between("", "a\n").to_text(""), "@@ -0,0 +1,1 @@\n+a\n");
    }

    #[test]
    fn hashes_of_passwords_are_not_shown() {
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA+/";
        let text = format!("[[user]]\npassword = \"{hash}\" # \"{hash}\"\n");
        let shown = LineDifference::between("", &text).to_text("");
        assert!(shown.contains("password = \"(not shown)\" # \"(not shown)\"") && !shown.contains("c2FsdA"), "{shown}");
    }

    #[test]
    fn two_long_documents_with_nothing_in_common_differ_in_bounded_time() {
        let text = |sign: char| (0..60_000).map(|n| format!("{sign}{}\n", n % 7_919)).collect::<String>();
        let (old, new) = (text('a'), text('b'));
        let difference = LineDifference::between(&old, &new);
        assert_eq!(difference.apply(&old).as_deref(), Some(new.as_str()));
        assert!(difference.to_text(&old).len() < 2 * SHOWN_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn a_difference_makes_one_of_the_other(old in "([abé]{0,2}\r?\n?){0,12}", new in "([abé]{0,2}\r?\n?){0,12}") {
            let difference = LineDifference::between(&old, &new);
            prop_assert_eq!(difference.apply(&old), Some(new.clone()), "{:?}", difference);
            prop_assert_eq!(difference.to_text(&old).is_empty(), old == new);
        }
    }
}
