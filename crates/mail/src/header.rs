//! The header section of a message, read as far as a relay must know it (RFC 5322 section 2.2).
//!
//! Takes content in slices of any size, hands on one [`Header`]: sizes, counts and the few values that limits, loop
//! detection and logs need. Never changes content, never keeps more of it than [`LINE_KEPT_BYTES_MAX`] and
//! [`VALUE_KEPT_BYTES_MAX`], never judges.
//!
//! Where a header section ends is one rule, shared by all of this module: at the first empty line. Content whose first
//! line is no header field has an empty header section. Lines within the section that are no field and no
//! continuation are counted as part of it and otherwise passed over, because some readers of mail look for fields
//! beyond them.

use crate::envelope::Priority;
use crate::header_senders::{HeaderSenders, SenderField, Unreadable};
use crate::organization::{self, Brought};

/// Longest Message-ID that is reported, in bytes: the line limit of RFC 5322 section 2.1.1.
pub const MESSAGE_ID_BYTES_MAX: usize = 998;
/// How much of one line the scanner looks at. A field name must end within it.
pub const LINE_KEPT_BYTES_MAX: usize = 2048;
/// How much of one field's unfolded value the scanner keeps while it reads that field.
pub const VALUE_KEPT_BYTES_MAX: usize = 4096;

/// What a scan of the content found out about its header section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    /// Size of the header section in bytes, the empty line that ends it included. Zero if the content has none; whoever
    /// puts fields in front of such content must put an empty line behind them.
    pub size_bytes: u64,
    /// Whether `size_bytes` exceeds the limit that the scanner was given.
    pub too_large: bool,
    /// Number of Received fields: the hops so far (MaxHopCount, RFC 5321 section 6.3).
    pub received_count: u32,
    /// Number of Received fields that name the local server after `by` (MaxLocalHopCount).
    pub received_local_count: u32,
    /// Whether there is a Message-ID field, whatever its value.
    pub has_message_id: bool,
    /// Value of the first Message-ID field, trimmed, angle brackets included. `None` if there is none, or if it is
    /// empty, longer than [`MESSAGE_ID_BYTES_MAX`] or not printable ASCII.
    pub message_id: Option<String>,
    /// Unfolded value of the first Subject field, trimmed, cut to [`VALUE_KEPT_BYTES_MAX`]; `None` if there is none.
    pub subject: Option<Box<[u8]>>,
    /// How urgent it says the message is: by X-Priority, or else by Importance or Priority (RFC 2156).
    pub priority: Option<Priority>,
    /// Whether Auto-Submitted says that it answers another message by itself (RFC 3834 section 5).
    pub is_auto_replied: bool,
    /// Whether it is a report (RFC 6522), which answers by itself, too, but speaks for a server.
    pub is_report: bool,
    /// The organization headers among its fields.
    pub organization: Brought,
    /// Whether there is a Date field.
    pub has_date: bool,
    /// Whether there is a From field.
    pub has_from: bool,
    /// Whether all of the header section is ASCII; if not, the message needs SMTPUTF8 (RFC 6531).
    pub is_ascii: bool,
    /// Whom the header names as its senders; `None` if the scanner was not told to find out.
    pub senders: Option<HeaderSenders>,
}

impl Header {
    /// Whether it is what somebody's mailbox answers by itself: a notice of absence, the answer of a rule.
    pub fn is_automatic_reply(&self) -> bool {
        self.is_auto_replied && !self.is_report
    }
}

/// Watches content as it streams by; any division into slices gives the same [`Header`].
#[derive(Debug)]
pub struct Scanner {
    size_max: u64,
    local_fqdn: Box<str>,
    place: Place,
    /// Start of the line that the last slice broke off in, at most [`LINE_KEPT_BYTES_MAX`].
    line: Vec<u8>,
    /// The field that is being read, if its value is of interest.
    watched: Option<Watched>,
    /// Whether the last byte was a carriage return; kept only where senders are read.
    after_cr: bool,
    header: Header,
}

/// How far the scanner has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// On the first line: not known yet whether there is a header section.
    FirstLine,
    /// On a later line of the header section.
    Section,
    /// Behind the header section.
    Body,
}

#[derive(Debug)]
struct Watched {
    what: WatchedField,
    /// The unfolded value so far.
    value: Vec<u8>,
    /// Whether the field was longer than what was kept of it.
    truncated: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum WatchedField {
    MessageId,
    Subject,
    Received,
    AutoSubmitted,
    ContentType,
    Sender(SenderField),
}

impl Scanner {
    /// `size_max` is the limit (MaxHeaderSize) in bytes; `local_fqdn` the name that this server's own Received fields
    /// carry after `by`.
    pub fn new(size_max: u64, local_fqdn: &str) -> Scanner {
        Scanner {
            size_max,
            local_fqdn: local_fqdn.into(),
            place: Place::FirstLine,
            line: Vec::new(),
            watched: None,
            after_cr: false,
            header: Header {
                size_bytes: 0,
                too_large: false,
                received_count: 0,
                received_local_count: 0,
                has_message_id: false,
                message_id: None,
                subject: None,
                priority: None,
                is_auto_replied: false,
                is_report: false,
                organization: Brought::default(),
                has_date: false,
                has_from: false,
                is_ascii: true,
                senders: None,
            },
        }
    }

    /// The same scanner, which also reads whom the header names as its senders.
    pub fn with_senders(mut self) -> Scanner {
        self.header.senders = Some(HeaderSenders::default());
        self
    }

    /// Takes the next slice of the content. Costs nothing once the header section has ended.
    pub fn push(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while self.place != Place::Body && !rest.is_empty() {
            let line_end = memchr::memchr(b'\n', rest);
            let (piece, after) = rest.split_at(line_end.map_or(rest.len(), |i| i + 1));
            rest = after;
            self.header.size_bytes += piece.len() as u64;
            self.header.is_ascii &= piece.is_ascii();
            self.find_bare_cr(piece);
            if line_end.is_some() && self.line.is_empty() {
                self.end_line(&piece[..piece.len().min(LINE_KEPT_BYTES_MAX)], piece.len() > LINE_KEPT_BYTES_MAX);
                continue;
            }
            let room = LINE_KEPT_BYTES_MAX - self.line.len();
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if line_end.is_some() {
                let mut line = std::mem::take(&mut self.line);
                self.end_line(&line, piece.len() > room);
                // The buffer serves the next broken line.
                line.clear();
                self.line = line;
            } else if self.place == Place::FirstLine && is_no_field_start(&self.line) {
                self.end_without_section();
            }
        }
    }

    /// Whether the header section is known to exceed the limit already, so that the caller need not wait for its end.
    pub fn is_too_large(&self) -> bool {
        // What is on the first line may yet turn out to be no header section at all.
        self.place != Place::FirstLine && self.header.size_bytes > self.size_max
    }

    /// The content has ended: hands on what was found.
    pub fn finish(mut self) -> Header {
        if self.place != Place::Body && !self.line.is_empty() {
            let line = std::mem::take(&mut self.line);
            let truncated = line.len() == LINE_KEPT_BYTES_MAX;
            self.end_line(&line, truncated);
        }
        self.end_field();
        self.header.too_large = self.header.size_bytes > self.size_max;
        self.header
    }

    /// One line is complete. `line` is its start with what there is of its line end; `truncated` says that the line was
    /// longer.
    fn end_line(&mut self, line: &[u8], truncated: bool) {
        let text = without_line_end(line);
        let first = std::mem::replace(&mut self.place, Place::Section) == Place::FirstLine;
        if text.is_empty() && !truncated {
            self.end_field();
            self.place = Place::Body;
            return;
        }
        if !first && is_continuation(text) {
            self.keep(text, truncated);
            return;
        }
        self.end_field();
        match split_field(text) {
            Some((name, value)) => self.start_field(name, value, truncated),
            None if first => self.end_without_section(),
            None => {
                if let Some(senders) = &mut self.header.senders
                    && let Some(field) = SenderField::meant_by(text)
                {
                    senders.give_up(Unreadable::Name(field));
                }
            }
        }
    }

    fn start_field(&mut self, name: &[u8], value: &[u8], truncated: bool) {
        let watch = |what| Some(Watched { what, value: Vec::new(), truncated: false });
        if name.eq_ignore_ascii_case(b"Received") {
            self.header.received_count = self.header.received_count.saturating_add(1);
            self.watched = watch(WatchedField::Received);
        } else if name.eq_ignore_ascii_case(b"Message-ID") {
            if !self.header.has_message_id {
                self.watched = watch(WatchedField::MessageId);
            }
            self.header.has_message_id = true;
        } else if name.eq_ignore_ascii_case(b"Subject") {
            if self.header.subject.is_none() {
                self.watched = watch(WatchedField::Subject);
            }
        } else if name.eq_ignore_ascii_case(b"Date") {
            self.header.has_date = true;
        } else if name.eq_ignore_ascii_case(b"From") {
            self.header.has_from = true;
        } else if name.eq_ignore_ascii_case(b"Auto-Submitted") {
            self.watched = watch(WatchedField::AutoSubmitted);
        } else if name.eq_ignore_ascii_case(b"Content-Type") {
            self.watched = watch(WatchedField::ContentType);
        } else if name.eq_ignore_ascii_case(b"X-Priority") {
            self.header.priority = priority_of(value).or(self.header.priority);
        } else if name.eq_ignore_ascii_case(b"Importance") || name.eq_ignore_ascii_case(b"Priority") {
            self.header.priority = self.header.priority.or_else(|| priority_of(value));
        } else if name.first().is_some_and(|first| first.eq_ignore_ascii_case(&b'X')) {
            self.note_organization_header(name, value);
        }
        if self.header.senders.is_some()
            && let Some(field) = SenderField::parse(name)
        {
            self.watched = watch(WatchedField::Sender(field));
        }
        self.keep(value, truncated);
    }

    /// Looks for a carriage return that ends no line, in a piece that may end a line but holds no other line end.
    fn find_bare_cr(&mut self, piece: &[u8]) {
        let Some(senders) = &mut self.header.senders else { return };
        let line = piece.strip_suffix(b"\n");
        let text = line.unwrap_or(piece);
        // One at the end of the text ends the line, or is judged by the byte that comes next.
        let inner = text.strip_suffix(b"\r").unwrap_or(text);
        let was_bare = self.after_cr && !text.is_empty();
        if was_bare || memchr::memchr(b'\r', inner).is_some() {
            senders.give_up(Unreadable::CarriageReturn);
        }
        self.after_cr = line.is_none() && text.len() > inner.len();
    }

    fn note_organization_header(&mut self, name: &[u8], value: &[u8]) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let brought = &mut self.header.organization;
        if is(organization::AUTH_AS) {
            // Its one word is never folded.
            brought.auth_as.get_or_insert_with(|| organization::parse_auth_as(value).unwrap_or_default());
        } else if is(organization::ORIGINAL_ARRIVAL_TIME) {
            brought.original_arrival_time = true;
        } else if is(organization::ORIGINAL_SIZE) {
            brought.original_size = true;
        }
    }

    /// Adds one line's share to the value of the watched field.
    fn keep(&mut self, text: &[u8], truncated: bool) {
        let Some(watched) = &mut self.watched else { return };
        let room = VALUE_KEPT_BYTES_MAX - watched.value.len();
        watched.truncated |= truncated || text.len() > room;
        watched.value.extend_from_slice(&text[..text.len().min(room)]);
    }

    fn end_field(&mut self) {
        let Some(watched) = self.watched.take() else { return };
        match watched.what {
            WatchedField::Received => {
                if received_by(&watched.value).is_some_and(|host| is_same_host(host, self.local_fqdn.as_bytes())) {
                    self.header.received_local_count = self.header.received_local_count.saturating_add(1);
                }
            }
            WatchedField::MessageId => {
                self.header.message_id = (!watched.truncated).then(|| printable_message_id(&watched.value)).flatten();
            }
            WatchedField::Subject => self.header.subject = Some(watched.value.trim_ascii().into()),
            WatchedField::AutoSubmitted => {
                self.header.is_auto_replied |= begins_with_word(&watched.value, b"auto-replied");
            }
            WatchedField::ContentType => self.header.is_report |= begins_with_word(&watched.value, b"multipart/report"),
            WatchedField::Sender(field) => {
                let Some(senders) = &mut self.header.senders else { return };
                match watched.truncated {
                    true => senders.give_up(Unreadable::TooLong(field)),
                    false => senders.read(field, &watched.value),
                }
            }
        }
    }

    /// The first line is no header field: all of the content is body.
    fn end_without_section(&mut self) {
        self.header.size_bytes = 0;
        self.header.is_ascii = true;
        if let Some(senders) = &mut self.header.senders {
            *senders = HeaderSenders::default();
        }
        self.place = Place::Body;
    }
}

/// One header field of a complete header section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name as it was written, without the colon.
    pub name: &'a str,
    /// What follows the colon, folds included, without the final line end.
    pub value: &'a [u8],
}

impl Field<'_> {
    /// Whether this is the field `name`; case does not matter.
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value on one line: line ends removed, the white space of the folds kept, trimmed (RFC 5322 section 2.2.3).
    pub fn unfolded(&self) -> Vec<u8> {
        let mut value: Vec<u8> = self.value.iter().copied().filter(|b| !matches!(b, b'\r' | b'\n')).collect();
        value.truncate(value.trim_ascii_end().len());
        value.drain(..value.len() - value.trim_ascii_start().len());
        value
    }
}

/// The fields of a complete header section, in order. Ends with the section or with the slice; lines that are no field
/// are passed over.
pub fn fields(section: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = match section_len(section) {
        Some(end) => &section[..end],
        None => section,
    };
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (name_and_value, after) = split_after_field(rest);
            rest = after;
            if let Some((name, value)) = split_field(without_line_end(name_and_value)) {
                // `split_field` lets only ASCII names through.
                return Some(Field { name: std::str::from_utf8(name).ok()?, value });
            }
        }
        None
    })
}

/// Length in bytes of the header section at the start of `content`, the empty line that ends it included. `Some(0)` if
/// the first line is no header field; `None` if `content` ends before the header section does.
pub fn section_len(content: &[u8]) -> Option<usize> {
    let mut start = 0;
    while let Some(length) = memchr::memchr(b'\n', &content[start..]) {
        let line = &content[start..start + length];
        if start == 0 && !without_line_end(line).is_empty() && split_field(kept(line)).is_none() {
            return Some(0);
        }
        start += length + 1;
        if without_line_end(line).is_empty() {
            return Some(start);
        }
    }
    (start == 0 && is_no_field_start(kept(content))).then_some(0)
}

/// As much of a line as the scanner looks at, so that both find the same section.
fn priority_of(value: &[u8]) -> Option<Priority> {
    let word = value.trim_ascii().split(|byte| !byte.is_ascii_alphanumeric() && *byte != b'-').next()?;
    match word.to_ascii_lowercase().as_slice() {
        b"1" | b"2" | b"high" | b"urgent" => Some(Priority::High),
        b"3" | b"normal" => Some(Priority::Normal),
        b"4" | b"5" | b"low" | b"non-urgent" => Some(Priority::Low),
        _ => None,
    }
}

fn kept(line: &[u8]) -> &[u8] {
    &line[..line.len().min(LINE_KEPT_BYTES_MAX)]
}

/// The first line of `text` with all its continuation lines, and what follows them.
fn split_after_field(text: &[u8]) -> (&[u8], &[u8]) {
    for end in memchr::memchr_iter(b'\n', text) {
        if !is_continuation(&text[end + 1..]) {
            return text.split_at(end + 1);
        }
    }
    (text, &[])
}

fn without_line_end(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn is_continuation(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

/// Splits `name: value`. Names are printable ASCII (RFC 5322 section 2.2); white space before the colon is obsolete
/// but read (section 4.5).
pub(crate) fn split_field(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let name = line[..colon].trim_ascii_end();
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    is_name.then(|| (name, &line[colon + 1..]))
}

/// Whether no continuation of `start` could make it a header field.
pub(crate) fn is_no_field_start(start: &[u8]) -> bool {
    if memchr::memchr(b':', start).is_some() {
        return split_field(start).is_none();
    }
    let name = start.trim_ascii_end();
    // White space without a name before it; a CR may yet prove to be the empty line's.
    let blank = name.is_empty() && !start.is_empty() && start != b"\r";
    blank || !name.iter().all(u8::is_ascii_graphic) || start.len() >= LINE_KEPT_BYTES_MAX
}

/// Whether the first word of an unfolded value is this one, in either case of its letters; comments before it are passed over.
fn begins_with_word(value: &[u8], word: &[u8]) -> bool {
    let mut rest = value.trim_ascii_start();
    while rest.first() == Some(&b'(') {
        let Some(after) = after_comment(rest) else { return false };
        rest = after.trim_ascii_start();
    }
    let end = rest.iter().position(|b| b.is_ascii_whitespace() || matches!(b, b'(' | b';')).unwrap_or(rest.len());
    rest[..end].eq_ignore_ascii_case(word)
}

/// The name after `by` in the unfolded value of a Received field, comments passed over.
fn received_by(value: &[u8]) -> Option<&[u8]> {
    let mut clause = Clause::None;
    let mut rest = value;
    loop {
        rest = rest.trim_ascii_start();
        match rest.first()? {
            b'(' => {
                rest = after_comment(rest)?;
                continue;
            }
            b';' => return None,
            _ => {}
        }
        let end = rest.iter().position(|b| b.is_ascii_whitespace() || matches!(b, b'(' | b';')).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        rest = after;
        clause = match clause {
            Clause::By => return Some(word),
            // A peer may call itself `by`.
            Clause::From => Clause::None,
            Clause::None if word.eq_ignore_ascii_case(b"from") => Clause::From,
            Clause::None if word.eq_ignore_ascii_case(b"by") => Clause::By,
            Clause::None => Clause::None,
        };
    }
}

/// The clause of a Received field whose argument comes next.
enum Clause {
    None,
    From,
    By,
}

/// What follows the comment that `text` starts with; comments nest (RFC 5322 section 3.2.2). `None` if it never ends.
fn after_comment(text: &[u8]) -> Option<&[u8]> {
    let mut depth = 0_usize;
    let mut escaped = false;
    for (i, byte) in text.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'(' => depth += 1,
            b')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&text[i + 1..]);
        }
    }
    None
}

fn is_same_host(a: &[u8], b: &[u8]) -> bool {
    let [a, b] = [a, b].map(|host| host.strip_suffix(b".").unwrap_or(host));
    !a.is_empty() && a.eq_ignore_ascii_case(b)
}

fn printable_message_id(value: &[u8]) -> Option<String> {
    let value = value.trim_ascii();
    let is_printable = value.iter().all(|b| b.is_ascii_graphic() || *b == b' ');
    if value.is_empty() || value.len() > MESSAGE_ID_BYTES_MAX || !is_printable {
        return None;
    }
    String::from_utf8(value.to_vec()).ok()
}

#[cfg(test)]
mod tests;
