//! The parts of a message as they go by (RFC 2046 section 5): header sections, bodies, and what is between them.
//!
//! Takes content in slices, calls back with pieces, in order and without a gap: all pieces together are the content. Holds a
//! line at most, and never more than [`HELD_BYTES_MAX`] of it.

/// A longer line is no boundary and no field that matters, and goes by in pieces.
const HELD_BYTES_MAX: usize = 1_024;
/// Of the fields that say what a part is, so much is read.
const FIELD_BYTES_MAX: usize = 8 << 10;
/// Parts within parts. What is deeper is a body.
const DEPTH_MAX: usize = 32;

/// A piece of content.
pub(super) enum Piece<'a> {
    /// A part begins, with its header section. The message itself is the first.
    Entity,
    /// A line of its header section, with its end.
    Field(&'a [u8]),
    /// More of such a line, if it is long.
    FieldRest(&'a [u8]),
    /// Its header section is over; the empty line follows as something between, if there is one.
    HeaderEnd(&'a Entity),
    /// Bytes of its body, if it has no parts itself.
    Body(&'a [u8]),
    /// Its body is over.
    BodyEnd,
    /// Empty lines behind header sections, boundaries, and what stands before and behind all parts.
    Between(&'a [u8]),
}

/// What a part says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entity {
    /// The part that it is in.
    pub(super) parent: Option<usize>,
    /// Media type and subtype, lower case.
    pub(super) media: String,
    /// Its Content-Transfer-Encoding.
    pub(super) transfer: Transfer,
    /// Whether it says anything that MIME says.
    pub(super) is_mime: bool,
    /// Whether it is signed or encrypted: nothing in it may change.
    pub(super) is_sealed: bool,
}

/// A Content-Transfer-Encoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Transfer {
    #[default]
    None,
    SevenBit,
    EightBit,
    Binary,
    /// Quoted-printable or base64.
    Encoded,
    Unknown,
}

#[derive(Default)]
pub(super) struct Walker {
    /// A line without its end, or the beginning of one.
    held: Vec<u8>,
    /// The rest of a long line goes by.
    in_long_line: bool,
    /// The line end before a boundary belongs to that (RFC 2046 section 5.1.1), so it waits for the next line.
    owes_line_end: bool,
    state: State,
    entities: usize,
    /// The multiparts that we are in, outermost first.
    open: Vec<Multipart>,
    fields: Fields,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum State {
    #[default]
    Start,
    Header,
    Body,
    /// Before the first part of the innermost multipart, or behind its last one.
    Outside,
}

struct Multipart {
    entity: usize,
    boundary: Vec<u8>,
    /// Parts without a type are messages (RFC 2046 section 5.1.5).
    is_digest: bool,
}

/// What is gathered of a header section.
#[derive(Default)]
struct Fields {
    /// The field that goes by, if it matters.
    current: Option<Vec<u8>>,
    content_type: Option<Vec<u8>>,
    transfer_encoding: Option<Vec<u8>>,
    is_mime: bool,
}

impl Walker {
    pub(super) fn push(&mut self, mut slice: &[u8], out: &mut dyn FnMut(Piece<'_>)) {
        if self.state == State::Start {
            self.begin_entity(out);
        }
        while !slice.is_empty() {
            let end = memchr::memchr(b'\n', slice).map(|at| at + 1);
            let (line, rest) = slice.split_at(end.unwrap_or(slice.len()));
            slice = rest;
            let is_whole = end.is_some() && (line.ends_with(b"\r\n") || line == b"\n" && self.held.ends_with(b"\r"));
            if !self.in_long_line && self.held.is_empty() && is_whole {
                self.line(line, out);
                continue;
            }
            self.held.extend_from_slice(line);
            if is_whole {
                let line = std::mem::take(&mut self.held);
                if std::mem::take(&mut self.in_long_line) {
                    self.rest_of_line(&line, out);
                } else {
                    self.line(&line, out);
                }
                self.held = line;
                self.held.clear();
            } else if self.held.len() > HELD_BYTES_MAX {
                // A CR may be half of a line end.
                let keep = usize::from(self.held.ends_with(b"\r"));
                let line = std::mem::take(&mut self.held);
                let (now, later) = line.split_at(line.len() - keep);
                if std::mem::replace(&mut self.in_long_line, true) {
                    self.rest_of_line(now, out);
                } else {
                    self.line(now, out);
                }
                self.held.extend_from_slice(later);
            }
        }
    }

    pub(super) fn finish(&mut self, out: &mut dyn FnMut(Piece<'_>)) {
        if self.state == State::Start {
            self.begin_entity(out);
        }
        let line = std::mem::take(&mut self.held);
        if !line.is_empty() {
            if std::mem::take(&mut self.in_long_line) {
                self.rest_of_line(&line, out);
            } else {
                self.line(&line, out);
            }
        }
        // No boundary has come for it.
        self.pay_line_end(out, self.state == State::Body);
        self.end_entity(out);
    }

    /// A line with its end, or the beginning of a long one.
    fn line(&mut self, line: &[u8], out: &mut dyn FnMut(Piece<'_>)) {
        if let Some((depth, is_last)) = self.boundary(line) {
            self.end_entity(out);
            self.pay_line_end(out, false);
            out(Piece::Between(line));
            self.open.truncate(depth + usize::from(!is_last));
            match is_last {
                true => self.state = State::Outside,
                false => self.begin_entity(out),
            }
            return;
        }
        self.pay_line_end(out, self.state == State::Body);
        match self.state {
            State::Header if line == b"\r\n" => self.end_header(Some(line), out),
            State::Header if is_field_line(line) => {
                self.fields.note(line);
                out(Piece::Field(line));
            }
            // A header section that ends without an empty line: what follows is body.
            State::Header => {
                self.end_header(None, out);
                self.line(line, out);
            }
            _ => self.text(line, out),
        }
    }

    fn rest_of_line(&mut self, line: &[u8], out: &mut dyn FnMut(Piece<'_>)) {
        match self.state {
            State::Header => {
                self.fields.note_more(line);
                out(Piece::FieldRest(line));
            }
            _ => self.text(line, out),
        }
    }

    fn text(&mut self, line: &[u8], out: &mut dyn FnMut(Piece<'_>)) {
        let is_in_multipart = !self.open.is_empty();
        let kept = match line.strip_suffix(b"\r\n") {
            Some(kept) if is_in_multipart => {
                self.owes_line_end = true;
                kept
            }
            _ => line,
        };
        if !kept.is_empty() {
            out(if self.state == State::Body { Piece::Body(kept) } else { Piece::Between(kept) });
        }
    }

    fn pay_line_end(&mut self, out: &mut dyn FnMut(Piece<'_>), is_body: bool) {
        if std::mem::take(&mut self.owes_line_end) {
            out(if is_body { Piece::Body(b"\r\n") } else { Piece::Between(b"\r\n") });
        }
    }

    fn begin_entity(&mut self, out: &mut dyn FnMut(Piece<'_>)) {
        self.state = State::Header;
        self.entities += 1;
        self.fields = Fields::default();
        out(Piece::Entity);
    }

    /// A part is over, wherever it is.
    fn end_entity(&mut self, out: &mut dyn FnMut(Piece<'_>)) {
        if self.state == State::Header {
            self.end_header(None, out);
        }
        if self.state == State::Body {
            out(Piece::BodyEnd);
        }
        self.state = State::Outside;
    }

    fn end_header(&mut self, empty_line: Option<&[u8]>, out: &mut dyn FnMut(Piece<'_>)) {
        let fields = std::mem::take(&mut self.fields).done();
        let number = self.entities - 1;
        let parent = self.open.last().map(|multipart| multipart.entity);
        let is_in_digest = self.open.last().is_some_and(|multipart| multipart.is_digest);
        let (media, boundary) = match &fields.content_type {
            Some(value) => content_type(value),
            None if is_in_digest => ("message/rfc822".to_owned(), None),
            None => ("text/plain".to_owned(), None),
        };
        let transfer = fields.transfer_encoding.as_deref().map_or(Transfer::None, transfer_encoding);
        let is_sealed = matches!(media.as_str(), "multipart/signed" | "multipart/encrypted");
        let entity = Entity { parent, media, transfer, is_mime: fields.is_mime, is_sealed };
        out(Piece::HeaderEnd(&entity));
        if let Some(line) = empty_line {
            out(Piece::Between(line));
        }
        let may_have_parts = transfer != Transfer::Encoded && transfer != Transfer::Unknown;
        let has_room = self.open.len() < DEPTH_MAX;
        match (entity.media.as_str(), boundary) {
            (media, Some(boundary)) if media.starts_with("multipart/") && may_have_parts && has_room => {
                let is_digest = media == "multipart/digest";
                self.open.push(Multipart { entity: number, boundary, is_digest });
                self.state = State::Outside;
            }
            // What it holds is a message. It has no boundary of its own: it ends where it does.
            ("message/rfc822" | "message/news" | "message/global", _) if may_have_parts && has_room => {
                let boundary = Vec::new();
                self.open.push(Multipart { entity: number, boundary, is_digest: false });
                self.begin_entity(out);
            }
            _ => self.state = State::Body,
        }
    }

    /// Whether a line is a boundary of one of the multiparts that we are in: its place among them, and whether it is the
    /// last one.
    fn boundary(&self, line: &[u8]) -> Option<(usize, bool)> {
        let rest = line.strip_prefix(b"--")?;
        let rest = rest.strip_suffix(b"\r\n").unwrap_or(rest).trim_ascii_end();
        self.open.iter().enumerate().rev().find_map(|(depth, multipart)| {
            // An empty one is that of a message within the message, which has none.
            let behind = rest.strip_prefix(multipart.boundary.as_slice()).filter(|_| !multipart.boundary.is_empty())?;
            match behind {
                b"" => Some((depth, false)),
                b"--" => Some((depth, true)),
                _ => None,
            }
        })
    }
}

impl Fields {
    fn note(&mut self, line: &[u8]) {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return self.note_more(line);
        }
        self.end_field();
        let is = |name: &str| is_named(line, name);
        if is("MIME-Version") || is("Content-Type") || is("Content-Transfer-Encoding") {
            self.is_mime = true;
            self.current = Some(line.to_vec());
        }
    }

    fn note_more(&mut self, line: &[u8]) {
        if let Some(current) = self.current.as_mut().filter(|current| current.len() < FIELD_BYTES_MAX) {
            current.extend_from_slice(line);
        }
    }

    fn end_field(&mut self) {
        let Some(field) = self.current.take() else { return };
        let colon = memchr::memchr(b':', &field).map_or(field.len(), |at| at + 1);
        let value = field[colon..].to_vec();
        // The first of a kind counts.
        if is_named(&field, "Content-Type") {
            self.content_type.get_or_insert(value);
        } else if is_named(&field, "Content-Transfer-Encoding") {
            self.transfer_encoding.get_or_insert(value);
        }
    }

    fn done(mut self) -> Fields {
        self.end_field();
        self
    }
}

/// Whether a line begins the field that says how a part is encoded.
pub(super) fn is_transfer_encoding(line: &[u8]) -> bool {
    is_named(line, "Content-Transfer-Encoding")
}

fn is_named(line: &[u8], name: &str) -> bool {
    let Some((start, rest)) = line.split_at_checked(name.len()) else { return false };
    start.eq_ignore_ascii_case(name.as_bytes()) && rest.trim_ascii_start().first() == Some(&b':')
}

/// A field, or a line that continues one.
fn is_field_line(line: &[u8]) -> bool {
    match line.first() {
        Some(b' ' | b'\t') => true,
        _ => memchr::memchr(b':', line).is_some_and(|colon| {
            let name = line[..colon].trim_ascii_end();
            !name.is_empty() && name.iter().all(u8::is_ascii_graphic)
        }),
    }
}

fn transfer_encoding(value: &[u8]) -> Transfer {
    let words = words(value);
    match words.first().map(String::as_str) {
        None => Transfer::None,
        Some("7bit") => Transfer::SevenBit,
        Some("8bit") => Transfer::EightBit,
        Some("binary") => Transfer::Binary,
        Some("quoted-printable" | "base64") => Transfer::Encoded,
        Some(_) => Transfer::Unknown,
    }
}

/// Media type, lower case, and boundary.
fn content_type(value: &[u8]) -> (String, Option<Vec<u8>>) {
    let text = without_comments(value);
    let mut parameters = split_unquoted(&text, b';').into_iter();
    let media: Vec<u8> =
        parameters.next().unwrap_or_default().iter().filter(|b| !b.is_ascii_whitespace()).copied().collect();
    let boundary = parameters.find_map(|parameter| {
        let equals = memchr::memchr(b'=', &parameter)?;
        let (name, value) = (&parameter[..equals], parameter[equals + 1..].trim_ascii());
        name.trim_ascii().eq_ignore_ascii_case(b"boundary").then(|| unquoted(value))
    });
    let boundary = boundary.filter(|boundary| !boundary.is_empty());
    (String::from_utf8_lossy(&media).to_ascii_lowercase(), boundary)
}

fn words(value: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(&without_comments(value)).to_ascii_lowercase();
    text.split_ascii_whitespace().map(str::to_owned).collect()
}

/// A value without its line ends and its comments (RFC 5322 section 3.2.2), quoted strings left alone.
fn without_comments(value: &[u8]) -> Vec<u8> {
    let (mut kept, mut depth, mut in_quotes, mut is_escaped) = (Vec::with_capacity(value.len()), 0_usize, false, false);
    for byte in value.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')) {
        let was_escaped = std::mem::replace(&mut is_escaped, false);
        match byte {
            b'\\' if !was_escaped && (in_quotes || depth > 0) => is_escaped = true,
            b'"' if !was_escaped && depth == 0 => in_quotes = !in_quotes,
            b'(' if !was_escaped && !in_quotes => depth += 1,
            b')' if !was_escaped && !in_quotes && depth > 0 => {
                depth -= 1;
                continue;
            }
            _ => {}
        }
        if depth == 0 {
            kept.push(*byte);
        }
    }
    kept
}

fn split_unquoted(text: &[u8], separator: u8) -> Vec<Vec<u8>> {
    let (mut parts, mut in_quotes, mut is_escaped) = (vec![Vec::new()], false, false);
    for byte in text {
        let escapes = in_quotes && *byte == b'\\' && !is_escaped;
        let was_escaped = std::mem::replace(&mut is_escaped, escapes);
        if *byte == b'"' && !was_escaped {
            in_quotes = !in_quotes;
        }
        match parts.last_mut() {
            Some(part) if *byte != separator || in_quotes => part.push(*byte),
            _ => parts.push(Vec::new()),
        }
    }
    parts
}

fn unquoted(value: &[u8]) -> Vec<u8> {
    let Some(inner) = value.strip_prefix(b"\"") else {
        return value.split(u8::is_ascii_whitespace).next().unwrap_or_default().to_vec();
    };
    let inner = inner.strip_suffix(b"\"").unwrap_or(inner);
    let (mut text, mut is_escaped) = (Vec::with_capacity(inner.len()), false);
    for byte in inner {
        if *byte == b'\\' && !is_escaped {
            is_escaped = true;
            continue;
        }
        is_escaped = false;
        text.push(*byte);
    }
    text
}
