//! Content for a next hop that takes seven bits only: each MIME part with more becomes quoted-printable or base64 (RFC 6152
//! section 3, RFC 2045 section 6).
//!
//! Takes content in slices, twice: [`Survey`] finds out which parts are meant, [`SevenBit`] hands on the content with these
//! parts encoded. Whoever decodes gets the bytes that were there. Everything else stays as it came: parts that have seven
//! bits already, header fields, boundaries. What cannot be changed without harm is an [`Obstacle`], not a guess: signed
//! parts above all. Bytes beyond ASCII in header fields are not content, and stay.

mod encode;
mod structure;
#[cfg(test)]
mod tests;

use encode::{Base64, QuotedPrintable};
use structure::{Entity, Piece, Transfer, Walker};

/// Parts of a message that are looked at. More than a person ever sent.
const ENTITIES_MAX: usize = 10_000;
/// Longest line of text (RFC 5321 section 4.5.3.1.6), without its end.
const LINE_BYTES_MAX: usize = 998;

/// Why content has to stay as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Obstacle {
    /// A part with eight bits is inside of one that is signed or encrypted, and must not change (RFC 1847 section 2.1).
    #[error("a signed or encrypted part of the message would be damaged")]
    Sealed,
    /// A part with eight bits says that it is encoded already, in a way that we do not know or that it does not keep to.
    #[error("a part of the message has another encoding than it says")]
    Encoding,
    /// The parts cannot be told apart, or must not be encoded.
    #[error("the structure of the message does not allow it")]
    Structure,
}

/// What becomes of one part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Nothing,
    QuotedPrintable,
    Base64,
    /// A part that has parts: they are changed, and what it says of them is not true any more.
    Container,
    /// The message itself is text without a word of MIME.
    BareText,
}

/// Which parts of a message are to be encoded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    changes: Vec<Change>,
}

impl Plan {
    /// Whether there are none: the content has seven bits as it is.
    pub fn is_empty(&self) -> bool {
        self.changes.iter().all(|change| *change == Change::Nothing)
    }
}

/// The first look at content.
pub struct Survey {
    walker: Walker,
    parts: Parts,
}

impl Default for Survey {
    fn default() -> Self {
        Survey { walker: Walker::default(), parts: Parts { entities: Vec::new(), obstacle: None } }
    }
}

struct Parts {
    entities: Vec<Surveyed>,
    obstacle: Option<Obstacle>,
}

struct Surveyed {
    entity: Entity,
    eight: EightBits,
}

impl Survey {
    /// Takes the next slice.
    pub fn push(&mut self, slice: &[u8]) {
        let Survey { walker, parts } = self;
        walker.push(slice, &mut |piece| parts.note(piece));
    }

    /// What is to be done.
    ///
    /// # Errors
    /// [`Obstacle`], when content that needs it cannot be changed.
    pub fn finish(mut self) -> Result<Plan, Obstacle> {
        let Survey { walker, parts } = &mut self;
        walker.finish(&mut |piece| parts.note(piece));
        if let Some(obstacle) = parts.obstacle {
            return Err(obstacle);
        }
        let mut changes = vec![Change::Nothing; parts.entities.len()];
        for (number, surveyed) in parts.entities.iter().enumerate() {
            if !surveyed.eight.are_there() {
                continue;
            }
            changes[number] = change(&surveyed.entity, number == 0)?;
            let mut ancestor = surveyed.entity.parent;
            while let Some(number) = ancestor {
                let container = &parts.entities[number].entity;
                if container.is_sealed {
                    return Err(Obstacle::Sealed);
                }
                changes[number] = Change::Container;
                ancestor = container.parent;
            }
        }
        Ok(Plan { changes })
    }
}

impl Parts {
    fn note(&mut self, piece: Piece<'_>) {
        match piece {
            Piece::Entity if self.entities.len() >= ENTITIES_MAX => self.obstacle = Some(Obstacle::Structure),
            Piece::Entity => self.entities.push(Surveyed { entity: Entity::default(), eight: EightBits::default() }),
            Piece::HeaderEnd(entity) => {
                if let Some(last) = self.entities.last_mut() {
                    last.entity = entity.clone();
                }
            }
            Piece::Body(bytes) => {
                if let Some(last) = self.entities.last_mut() {
                    last.eight.look(bytes);
                }
            }
            Piece::BodyEnd => {
                if let Some(last) = self.entities.last_mut() {
                    last.eight.end();
                }
            }
            // Nobody reads it, but it cannot be sent, and it may be that parts were not found.
            Piece::Between(bytes) if !bytes.is_ascii() => self.obstacle = Some(Obstacle::Structure),
            Piece::Field(_) | Piece::FieldRest(_) | Piece::Between(_) => {}
        }
    }
}

/// What a part with eight bits becomes.
fn change(entity: &Entity, is_message: bool) -> Result<Change, Obstacle> {
    match entity.transfer {
        Transfer::Encoded | Transfer::Unknown => return Err(Obstacle::Encoding),
        Transfer::None | Transfer::SevenBit | Transfer::EightBit | Transfer::Binary => {}
    }
    if is_message && !entity.is_mime {
        return Ok(Change::BareText);
    }
    match entity.media.as_str() {
        // Their parts could not be found, or they may not be encoded (RFC 2046 sections 5.1 and 5.2).
        media if media.starts_with("multipart/") || media.starts_with("message/") => Err(Obstacle::Structure),
        media if media.starts_with("text/") => Ok(Change::QuotedPrintable),
        _ => Ok(Change::Base64),
    }
}

/// Whether a part has anything that seven-bit lines cannot hold: it is looked at in slices.
#[derive(Default)]
struct EightBits {
    found: bool,
    line_bytes: usize,
    had_cr: bool,
}

impl EightBits {
    fn look(&mut self, bytes: &[u8]) {
        if self.found {
            return;
        }
        for byte in bytes {
            match byte {
                b'\n' if self.had_cr => self.line_bytes = 0,
                b'\n' | 0 | 0x80..=u8::MAX => self.found = true,
                _ if self.had_cr => self.found = true,
                b'\r' => {}
                _ => self.line_bytes += 1,
            }
            self.had_cr = *byte == b'\r';
            self.found |= self.line_bytes > LINE_BYTES_MAX;
        }
    }

    fn end(&mut self) {
        self.found |= self.had_cr;
    }

    fn are_there(&self) -> bool {
        self.found
    }
}

/// Hands on content with the parts of a plan encoded.
pub struct SevenBit {
    walker: Walker,
    writer: Writer,
}

struct Writer {
    plan: Plan,
    /// How many entities have begun.
    begun: usize,
    encoder: Encoder,
    /// Whether the field that goes by is left out.
    is_left_out: bool,
}

enum Encoder {
    None,
    QuotedPrintable(QuotedPrintable),
    Base64(Base64),
}

impl SevenBit {
    /// For the content that `plan` was made from.
    pub fn new(plan: Plan) -> SevenBit {
        let writer = Writer { plan, begun: 0, encoder: Encoder::None, is_left_out: false };
        SevenBit { walker: Walker::default(), writer }
    }

    /// Takes the next slice; calls `out` with what is to be sent.
    pub fn push(&mut self, slice: &[u8], out: &mut dyn FnMut(&[u8])) {
        let SevenBit { walker, writer } = self;
        walker.push(slice, &mut |piece| writer.write(piece, out));
    }

    /// The end of the content.
    pub fn finish(mut self, out: &mut dyn FnMut(&[u8])) {
        let SevenBit { walker, writer } = &mut self;
        walker.finish(&mut |piece| writer.write(piece, out));
    }
}

impl Writer {
    fn change(&self) -> Change {
        self.begun.checked_sub(1).and_then(|number| self.plan.changes.get(number)).copied().unwrap_or(Change::Nothing)
    }

    fn write(&mut self, piece: Piece<'_>, out: &mut dyn FnMut(&[u8])) {
        match piece {
            Piece::Entity => {
                self.begun += 1;
                self.is_left_out = false;
            }
            Piece::Field(line) => {
                let is_continued = matches!(line.first(), Some(b' ' | b'\t'));
                if !is_continued {
                    self.is_left_out = self.change() != Change::Nothing && structure::is_transfer_encoding(line);
                }
                if !self.is_left_out {
                    out(line);
                }
            }
            Piece::FieldRest(bytes) => {
                if !self.is_left_out {
                    out(bytes);
                }
            }
            Piece::HeaderEnd(_) => {
                out(match self.change() {
                    Change::Nothing => b"",
                    Change::QuotedPrintable => b"Content-Transfer-Encoding: quoted-printable\r\n",
                    Change::Base64 => b"Content-Transfer-Encoding: base64\r\n",
                    Change::Container => b"Content-Transfer-Encoding: 7bit\r\n",
                    // Nobody said which characters these are (RFC 1428 section 4).
                    Change::BareText => {
                        b"MIME-Version: 1.0\r\nContent-Type: text/plain; charset=unknown-8bit\r\n\
                          Content-Transfer-Encoding: quoted-printable\r\n"
                    }
                });
                self.encoder = match self.change() {
                    Change::QuotedPrintable | Change::BareText => Encoder::QuotedPrintable(QuotedPrintable::default()),
                    Change::Base64 => Encoder::Base64(Base64::default()),
                    Change::Nothing | Change::Container => Encoder::None,
                };
            }
            Piece::Body(bytes) => match &mut self.encoder {
                Encoder::None => out(bytes),
                Encoder::QuotedPrintable(encoder) => encoder.push(bytes, out),
                Encoder::Base64(encoder) => encoder.push(bytes, out),
            },
            Piece::BodyEnd => match std::mem::replace(&mut self.encoder, Encoder::None) {
                Encoder::None => {}
                Encoder::QuotedPrintable(encoder) => encoder.finish(out),
                Encoder::Base64(encoder) => encoder.finish(out),
            },
            Piece::Between(bytes) => out(bytes),
        }
    }
}
