//! The header firewall: takes header fields out of content that streams by (fact sheet section 2.9).
//!
//! Takes content in slices of any size, hands on slices: those of the caller, without the fields that [`Rules`] forbid,
//! and where wanted with one field written anew. Copies nothing but the start of a line that a slice breaks off in, and
//! the one field that is watched. Costs nothing behind the header section. Decides nothing: whoever makes the rules does.
//!
//! Fields that pass are passed byte for byte and in order. What no reader may see is judged more strictly than what
//! [`crate::header`] calls a field, because readers of mail differ and whoever smuggles a field looks for the one that
//! differs most:
//!
//! - a name is compared without whatever in it is not printable ASCII, so neither white space, control characters nor
//!   other bytes hide it, and without regard to case; a line whose colon comes on the next line is judged by its name alone;
//! - a line that is no field is judged like one, because some readers pass over such lines and others end there;
//! - a CR that stands alone begins a line for some readers. What is forbidden behind one is cut off up to the line end;
//! - the section ends at the first CRLF CRLF. Where the first empty line is written otherwise, the lines behind it are
//!   judged too, because some readers know no other line end.
//!
//! Content whose first line is no field has no header section and passes whole, as everywhere in this crate.

use std::convert::Infallible;
use std::fmt;

use crate::header::{LINE_KEPT_BYTES_MAX, is_no_field_start, split_field};
use crate::organization;

/// How much of a line is held back at most while it is not known whether it passes, in bytes.
const HELD_BYTES_MAX: usize = LINE_KEPT_BYTES_MAX;
/// Longest field that can be watched, in bytes; longer ones pass unchanged.
pub const WATCHED_BYTES_MAX: usize = 8 << 10;
/// How much of a name is compared; longer than every name that is looked for.
const NAME_BYTES_MAX: usize = 64;

const ORGANIZATION: &[u8] = b"x-ms-exchange-organization-";
const FOREST: &[u8] = b"x-ms-exchange-forest-";
const RESENT: &[u8] = b"resent-";
const RECEIVED: &[u8] = b"received";

/// Which of the fields `X-MS-Exchange-Organization-*` pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Organization {
    /// All of them.
    All,
    /// Those that stay in a mailbox: [`organization::DELIVERED`].
    Delivered,
    /// None.
    None,
}

/// Which fields pass; those of no family always do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// `X-MS-Exchange-Organization-*`.
    pub organization: Organization,
    /// Whether `X-MS-Exchange-Forest-*` pass.
    pub forest: bool,
    /// Whether Received and `Resent-*` pass.
    pub routing: bool,
}

impl Rules {
    /// Everything passes.
    pub const ALL: Rules = Rules { organization: Organization::All, forest: true, routing: true };
    /// No field of a family passes.
    pub const NONE: Rules = Rules { organization: Organization::None, forest: false, routing: false };

    /// Whether a field of this name passes.
    pub fn passes(self, name: &str) -> bool {
        let mut cleaned = Name::default();
        name.bytes().for_each(|byte| cleaned.push(byte));
        self.pass(&cleaned, NameEnd::Colon)
    }

    /// Whether no name that begins with this byte belongs to a family.
    fn are_of_no_family(first: u8) -> bool {
        first.is_ascii_graphic() && !matches!(first.to_ascii_lowercase(), b'x' | b'r')
    }

    fn pass(self, name: &Name, end: NameEnd) -> bool {
        let text = name.as_bytes();
        match text.first() {
            Some(b'x') if text.starts_with(ORGANIZATION) => match self.organization {
                Organization::All => true,
                // What looks like one of these to some readers only is none of them.
                Organization::Delivered => {
                    let is_plain = end == NameEnd::Colon && !name.has_other_bytes;
                    is_plain && organization::DELIVERED.iter().any(|kept| kept.as_bytes().eq_ignore_ascii_case(text))
                }
                Organization::None => false,
            },
            Some(b'x') if text.starts_with(FOREST) => self.forest,
            Some(b'r') if text.starts_with(RESENT) => self.routing,
            Some(b'r') if text == RECEIVED => self.routing || end == NameEnd::TooLong,
            _ => true,
        }
    }
}

/// A function that is given a whole field, with its line end, and hands on what takes its place, if anything does.
pub type Edit = Box<dyn FnMut(&[u8]) -> Option<Vec<u8>> + Send>;

/// For [`HeaderFirewall::push`] and [`HeaderFirewall::finish`]: somebody who takes everything.
pub fn infallible(mut take: impl FnMut(&[u8])) -> impl FnMut(&[u8]) -> Result<(), Infallible> {
    move |slice| {
        take(slice);
        Ok(())
    }
}

/// Filters one message's content; any division into slices gives the same.
#[derive(Debug)]
pub struct HeaderFirewall {
    rules: Rules,
    watched: Option<Watched>,
    place: Place,
    /// What of the line, or of the watched field, came in earlier slices and is not decided yet.
    held: Vec<u8>,
    /// The name at the start of this line.
    name: Name,
    /// How many bytes it has been read from.
    name_length: usize,
    /// The end of what passed last without a colon, which some reader may join with what comes next.
    carried: Option<Name>,
    /// Whether this line may be joined with that.
    continues: bool,
    /// Whether some of this line has passed.
    line_has_passed: bool,
    /// Whether a line that continues the one before goes with it.
    drops_continuation: bool,
    /// Whether the last line that passed ended with CRLF.
    after_crlf: bool,
    /// In a line that is being cut off: whether its last byte was CR.
    has_cr: bool,
    /// Whether the first empty line has passed.
    is_past_empty_line: bool,
}

struct Watched {
    names: &'static [&'static str],
    edit: Edit,
}

impl fmt::Debug for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Watched").field(&self.names).finish()
    }
}

/// Where in the content the next byte stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// On the first line: not known yet whether there is a header section.
    FirstLine,
    /// At the start of a later line.
    LineStart,
    /// Within a name: not known yet whether the line passes.
    Name,
    /// Within a line that passes.
    Passing,
    /// Behind a CR, which is held.
    AfterCr,
    /// Within a line that goes.
    Dropping,
    /// Within the rest of a line that is cut off; its line end stays.
    Cutting,
    /// Within the watched field.
    Watching,
    /// At the start of a line that may go on with the watched field.
    WatchingLineStart,
    /// Behind the header section.
    Body,
}

/// A slice of the content, and how far it has been looked at.
struct Slice<'s, F> {
    bytes: &'s [u8],
    /// Up to here it has been handed on or has gone; what stands between here and `at` passes.
    passed: usize,
    at: usize,
    out: &'s mut F,
}

impl<'s, F> Slice<'s, F> {
    fn rest(&self) -> &'s [u8] {
        &self.bytes[self.at..]
    }

    /// What comes next does not pass, or is held. What passes before it has been handed on.
    fn skip(&mut self, length: usize) {
        debug_assert_eq!(self.passed, self.at, "nothing is lost");
        self.at += length;
        self.passed = self.at;
    }

    /// Hands on what passes.
    fn pass<E>(&mut self) -> Result<(), E>
    where
        F: FnMut(&[u8]) -> Result<(), E>,
    {
        let passing = &self.bytes[self.passed..self.at];
        self.passed = self.at;
        if passing.is_empty() { Ok(()) } else { (self.out)(passing) }
    }
}

/// What ended a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NameEnd {
    Colon,
    /// The line is over and no colon came.
    LineEnd,
    /// Longer than any name that is looked for.
    TooLong,
}

/// The printable bytes of a name, in lower case.
#[derive(Clone, Copy, Debug)]
struct Name {
    bytes: [u8; NAME_BYTES_MAX],
    length: usize,
    /// Whether there were other bytes between or around them.
    has_other_bytes: bool,
}

impl Default for Name {
    fn default() -> Name {
        Name { bytes: [0; NAME_BYTES_MAX], length: 0, has_other_bytes: false }
    }
}

impl Name {
    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, byte: u8) {
        if !byte.is_ascii_graphic() {
            self.has_other_bytes = true;
        } else if let Some(place) = self.bytes.get_mut(self.length) {
            *place = byte.to_ascii_lowercase();
            self.length += 1;
        }
    }

    fn is_full(&self) -> bool {
        self.length == NAME_BYTES_MAX
    }

    /// The end of both, one behind the other.
    fn joined_with(&self, other: &Name) -> Name {
        let kept = self.length.min(NAME_BYTES_MAX - other.length);
        let mut joined = Name { has_other_bytes: true, ..Name::default() };
        for byte in self.as_bytes()[self.length - kept..].iter().chain(other.as_bytes()) {
            joined.push(*byte);
        }
        joined
    }

    /// This name from each of its bytes on: readers do not agree where lines begin.
    fn ends(&self) -> impl Iterator<Item = Name> {
        (0..self.length).map(|start| {
            let mut end = Name { has_other_bytes: true, ..Name::default() };
            self.as_bytes()[start..].iter().for_each(|byte| end.push(*byte));
            end
        })
    }
}

impl HeaderFirewall {
    /// A firewall for one message.
    pub fn new(rules: Rules) -> HeaderFirewall {
        HeaderFirewall {
            rules,
            watched: None,
            place: Place::FirstLine,
            held: Vec::new(),
            name: Name::default(),
            name_length: 0,
            carried: None,
            continues: false,
            line_has_passed: false,
            drops_continuation: false,
            after_crlf: true,
            has_cr: false,
            is_past_empty_line: false,
        }
    }

    /// Also gives each field of these names that passes to `edit`. Fields longer than [`WATCHED_BYTES_MAX`], and those with a CR
    /// that stands alone, pass as they are.
    #[must_use]
    pub fn watching(mut self, names: &'static [&'static str], edit: Edit) -> HeaderFirewall {
        self.watched = Some(Watched { names, edit });
        self
    }

    /// Whether everything that comes now passes.
    pub fn is_past_section(&self) -> bool {
        self.place == Place::Body
    }

    /// Takes the next slice, gives to `out` what passes.
    ///
    /// # Errors
    /// Those of `out`; nothing useful comes of going on then.
    pub fn push<E>(&mut self, bytes: &[u8], mut out: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        self.filter(bytes, &mut out)
    }

    /// The content has ended: gives to `out` what was held back.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish<E>(mut self, mut out: impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        match self.place {
            Place::Name if !self.passes(NameEnd::LineEnd) => Ok(()),
            Place::Watching | Place::WatchingLineStart => {
                self.end_watched(&mut out)?;
                self.finish(out)
            }
            _ => self.release(&mut out),
        }
    }

    fn filter<E>(&mut self, bytes: &[u8], out: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let mut slice = Slice { bytes, passed: 0, at: 0, out };
        while let Some(&byte) = bytes.get(slice.at) {
            match self.place {
                Place::FirstLine => self.first_line(&mut slice)?,
                Place::LineStart => self.line_start(&mut slice, byte)?,
                Place::Name => self.name(&mut slice)?,
                Place::Passing => self.passing(&mut slice)?,
                Place::AfterCr => self.after_cr(&mut slice, byte)?,
                Place::Dropping => self.dropping(&mut slice)?,
                Place::Cutting => self.cutting(&mut slice)?,
                Place::Watching => self.watching_line(&mut slice)?,
                Place::WatchingLineStart if matches!(byte, b' ' | b'\t') => self.place = Place::Watching,
                Place::WatchingLineStart => self.end_watched(slice.out)?,
                Place::Body => slice.at = bytes.len(),
            }
        }
        slice.pass()
    }

    fn first_line<E, F: FnMut(&[u8]) -> Result<(), E>>(&mut self, slice: &mut Slice<'_, F>) -> Result<(), E> {
        let room = LINE_KEPT_BYTES_MAX - self.held.len();
        let rest = &slice.rest()[..slice.rest().len().min(room)];
        let piece = &rest[..memchr::memchr2(b':', b'\n', rest).map_or(rest.len(), |length| length + 1)];
        // Most first lines come in one slice as far as they matter, and are not copied.
        if !self.held.is_empty() {
            self.held.extend_from_slice(piece);
            slice.skip(piece.len());
        }
        match FirstLine::of(if self.held.is_empty() { piece } else { &self.held }) {
            FirstLine::Unknown => {
                self.hold(piece, slice);
                return Ok(());
            }
            FirstLine::Field => {
                // From here on it is a line like all others.
                self.start_name();
                let held = std::mem::take(&mut self.held);
                return self.filter(&held, slice.out);
            }
            FirstLine::Empty { is_crlf } => self.empty_line(is_crlf),
            FirstLine::NoField => self.place = Place::Body,
        }
        if self.held.is_empty() {
            slice.at += piece.len();
        }
        self.release(slice.out)
    }

    /// Keeps the piece of the first line that comes next in `slice`, unless that has been done.
    fn hold<F>(&mut self, piece: &[u8], slice: &mut Slice<'_, F>) {
        if self.held.is_empty() {
            self.held.extend_from_slice(piece);
            slice.skip(piece.len());
        }
    }

    fn line_start<E, F: FnMut(&[u8]) -> Result<(), E>>(&mut self, slice: &mut Slice<'_, F>, byte: u8) -> Result<(), E> {
        match byte {
            b'\n' => {
                slice.at += 1;
                self.empty_line(false);
            }
            b'\r' if slice.rest().get(1) == Some(&b'\n') => {
                slice.at += 2;
                self.empty_line(true);
            }
            b'\r' => {
                // To some readers the line begins behind it, and to others it continues nothing.
                self.carried.get_or_insert_default();
                self.continues = true;
                self.hold_cr(slice)?;
            }
            b' ' | b'\t' if self.drops_continuation => {
                slice.pass()?;
                self.place = Place::Dropping;
            }
            b' ' | b'\t' if self.carried.is_none() => {
                self.line_has_passed = true;
                self.place = Place::Passing;
            }
            b' ' | b'\t' => {
                self.continues = true;
                self.start_name();
            }
            _ => {
                // For some readers a LF that stands alone ends no line.
                self.continues = !self.after_crlf;
                self.drops_continuation = false;
                match self.harmless_name(slice.rest()) {
                    Some(length) => {
                        slice.at += length;
                        self.carried = None;
                        self.line_has_passed = true;
                        self.place = Place::Passing;
                    }
                    None => self.start_name(),
                }
            }
        }
        Ok(())
    }

    /// The length of the name that a line begins with, if it passes whatever is in it: a short cut past
    /// [`HeaderFirewall::name`] for most fields. It is whole in this slice, ends with a colon, is of no family by its first
    /// byte, continues nothing, and nobody watches.
    fn harmless_name(&self, rest: &[u8]) -> Option<usize> {
        let first = *rest.first()?;
        if !Rules::are_of_no_family(first) || self.watched.is_some() || (self.continues && self.carried.is_some()) {
            return None;
        }
        let length = memchr::memchr3(b':', b'\r', b'\n', &rest[..rest.len().min(NAME_BYTES_MAX)])?;
        (rest[length] == b':').then_some(length)
    }

    fn name<E, F: FnMut(&[u8]) -> Result<(), E>>(&mut self, slice: &mut Slice<'_, F>) -> Result<(), E> {
        let rest = slice.rest();
        let mut length = 0;
        let end = loop {
            match rest.get(length) {
                None => break None,
                Some(b':') => break Some(NameEnd::Colon),
                Some(b'\r' | b'\n') => break Some(NameEnd::LineEnd),
                Some(_) if self.name.is_full() => break Some(NameEnd::TooLong),
                Some(_) if self.name_length == HELD_BYTES_MAX && !self.passes(NameEnd::LineEnd) => {
                    break Some(NameEnd::LineEnd);
                }
                Some(_) if self.name_length == HELD_BYTES_MAX => {
                    // Nobody writes that much before a name, but what came so far is no field: it passes.
                    slice.pass()?;
                    self.release(slice.out)?;
                    self.line_has_passed = true;
                }
                Some(_) => {}
            }
            self.name.push(rest[length]);
            self.name_length += 1;
            length += 1;
        };
        let is_held = self.name_length <= HELD_BYTES_MAX;
        match end {
            None if is_held => {
                slice.pass()?;
                self.held.extend_from_slice(rest);
                slice.skip(length);
            }
            None => slice.at += length,
            Some(end) if !self.passes(end) => {
                if is_held {
                    slice.pass()?;
                    slice.skip(length);
                } else {
                    slice.at += length;
                    slice.pass()?;
                }
                self.held.clear();
                self.drop_line();
            }
            Some(NameEnd::Colon) if self.is_watched() => {
                slice.pass()?;
                self.held.extend_from_slice(&rest[..length]);
                slice.skip(length);
                self.place = Place::Watching;
            }
            Some(end) => {
                self.carried = match end {
                    NameEnd::LineEnd => Some(self.joined().unwrap_or(self.name)),
                    NameEnd::Colon | NameEnd::TooLong => None,
                };
                self.release(slice.out)?;
                slice.at += length;
                self.line_has_passed = true;
                self.place = Place::Passing;
            }
        }
        Ok(())
    }

    fn passing<E, F: FnMut(&[u8]) -> Result<(), E>>(&mut self, slice: &mut Slice<'_, F>) -> Result<(), E> {
        let rest = slice.rest();
        let Some(length) = memchr::memchr2(b'\r', b'\n', rest) else {
            slice.at += rest.len();
            return Ok(());
        };
        slice.at += length;
        match (rest[length], rest.get(length + 1)) {
            (b'\n', _) => {
                slice.at += 1;
                self.end_line(false);
            }
            (_, Some(b'\n')) => {
                slice.at += 2;
                self.end_line(true);
            }
            _ => self.hold_cr(slice)?,
        }
        Ok(())
    }

    /// Keeps the CR that comes next.
    fn hold_cr<E, F: FnMut(&[u8]) -> Result<(), E>>(&mut self, slice: &mut Slice<'_, F>) -> Result<(), E> {
        slice.pass()?;
        self.held.push(b'\r');
        slice.skip(1);
        self.place = Place::AfterCr;
        Ok(())
    }

    fn after_cr<E, F: FnMut(&[u8]) -> Result<(), E>>(&mut self, slice: &mut Slice<'_, F>, byte: u8) -> Result<(), E> {
        match byte {
            b'\n' => {
                self.release(slice.out)?;
                slice.at += 1;
                if self.line_has_passed { self.end_line(true) } else { self.empty_line(true) }
            }
            b'\r' => {
                self.release(slice.out)?;
                self.line_has_passed = true;
                self.hold_cr(slice)?;
            }
            b' ' | b'\t' if self.carried.is_none() => {
                self.release(slice.out)?;
                self.line_has_passed = true;
                self.place = Place::Passing;
            }
            _ => {
                self.continues = true;
                self.start_name();
            }
        }
        Ok(())
    }

    fn dropping<E, F: FnMut(&[u8]) -> Result<(), E>>(&mut self, slice: &mut Slice<'_, F>) -> Result<(), E> {
        let rest = slice.rest();
        match memchr::memchr(b'\n', rest) {
            None => slice.skip(rest.len()),
            Some(length) => {
                slice.skip(length + 1);
                self.line_has_passed = false;
                self.place = Place::LineStart;
            }
        }
        Ok(())
    }

    fn cutting<E, F: FnMut(&[u8]) -> Result<(), E>>(&mut self, slice: &mut Slice<'_, F>) -> Result<(), E> {
        let rest = slice.rest();
        let length = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
        let has_cr = rest[..length].last().map_or(self.has_cr, |last| *last == b'\r');
        slice.skip(length);
        if length == rest.len() {
            self.has_cr = has_cr;
            return Ok(());
        }
        slice.skip(1);
        self.end_line(has_cr);
        (slice.out)(if has_cr { b"\r\n" } else { b"\n" })
    }

    fn watching_line<E, F: FnMut(&[u8]) -> Result<(), E>>(&mut self, slice: &mut Slice<'_, F>) -> Result<(), E> {
        let rest = slice.rest();
        let end = memchr::memchr(b'\n', rest);
        let length = end.map_or(rest.len(), |length| length + 1);
        if self.held.len() + length > WATCHED_BYTES_MAX {
            return self.let_watched_pass(slice.out);
        }
        self.held.extend_from_slice(&rest[..length]);
        slice.skip(length);
        if end.is_some() {
            self.place = Place::WatchingLineStart;
        }
        Ok(())
    }

    /// Whether the line whose name is known now passes: by its own name, and by the one that it may continue.
    fn passes(&self, end: NameEnd) -> bool {
        self.rules.pass(&self.name, end)
            && self.joined().is_none_or(|joined| joined.ends().all(|name| self.rules.pass(&name, end)))
    }

    /// The name on this line behind what it may be joined with.
    fn joined(&self) -> Option<Name> {
        self.carried.filter(|_| self.continues).map(|carried| carried.joined_with(&self.name))
    }

    /// Whether the field whose name is known now is the one to be watched: a plain field at the start of a line.
    fn is_watched(&self) -> bool {
        let name = &self.name;
        let is_plain =
            !name.has_other_bytes && self.joined().is_none() && !self.line_has_passed && !self.held.starts_with(b"\r");
        is_plain
            && !self.is_past_empty_line
            && self
                .watched
                .as_ref()
                .is_some_and(|watched| watched.names.iter().any(|n| n.as_bytes().eq_ignore_ascii_case(name.as_bytes())))
    }

    fn start_name(&mut self) {
        self.name = Name::default();
        self.name_length = 0;
        self.place = Place::Name;
    }

    /// The line whose name is known now goes, or what is left of it does.
    fn drop_line(&mut self) {
        self.drops_continuation = true;
        self.has_cr = false;
        self.place = if self.line_has_passed { Place::Cutting } else { Place::Dropping };
    }

    fn end_line(&mut self, is_crlf: bool) {
        self.after_crlf = is_crlf;
        self.line_has_passed = false;
        self.place = Place::LineStart;
    }

    fn empty_line(&mut self, is_crlf: bool) {
        if is_crlf && self.after_crlf {
            self.place = Place::Body;
            return;
        }
        self.is_past_empty_line = true;
        // What comes next continues no field, whatever it begins with.
        self.carried.get_or_insert_default();
        self.drops_continuation = false;
        self.end_line(is_crlf);
    }

    /// The watched field is complete.
    fn end_watched<E>(&mut self, out: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let is_plain = memchr::memchr_iter(b'\r', &self.held).all(|cr| self.held.get(cr + 1) == Some(&b'\n'));
        let edited = self.watched.as_mut().filter(|_| is_plain).and_then(|watched| (watched.edit)(&self.held));
        let Some(edited) = edited else { return self.let_watched_pass(out) };
        self.held.clear();
        self.end_line(true);
        if edited.is_empty() { Ok(()) } else { out(&edited) }
    }

    /// What is held of the watched field passes, as every field that passes.
    fn let_watched_pass<E>(&mut self, out: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        let held = std::mem::take(&mut self.held);
        self.line_has_passed = true;
        self.place = Place::Passing;
        self.filter(&held, out)
    }

    /// Hands on what is held.
    fn release<E>(&mut self, out: &mut impl FnMut(&[u8]) -> Result<(), E>) -> Result<(), E> {
        if self.held.is_empty() {
            return Ok(());
        }
        let passed = out(&self.held);
        self.held.clear();
        passed
    }
}

/// What the start of a first line, up to a colon or its end, turns out to be.
enum FirstLine {
    Unknown,
    Empty { is_crlf: bool },
    NoField,
    Field,
}

impl FirstLine {
    fn of(line: &[u8]) -> FirstLine {
        match line.last() {
            _ if line == b"\n" || line == b"\r\n" => FirstLine::Empty { is_crlf: line.len() == 2 },
            Some(b':') if split_field(line).is_some() => FirstLine::Field,
            Some(b':') => FirstLine::NoField,
            Some(b'\n') => FirstLine::NoField,
            _ if is_no_field_start(line) => FirstLine::NoField,
            _ => FirstLine::Unknown,
        }
    }
}

#[cfg(test)]
mod tests;
