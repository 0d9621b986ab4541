//! Lists of addresses as header fields write them (RFC 5322 section 3.4), read strictly.
//!
//! Takes the unfolded value of one field, hands on its addresses. Whoever decides by them must not be shown others than
//! the person who reads the message, and mail readers disagree about whatever is not well-formed, and about some of what
//! is. So a value that two of them could read differently is not read at all: it is [`Unreadable`], with the reason. Read
//! are display names of any words, quoted strings, encoded words (RFC 2047) and bytes beyond ASCII; plain comments;
//! groups; addresses with and without angle brackets.

use crate::address::Mailbox;
use crate::encoded_word;

/// Most addresses that are read of one list.
pub const ADDRESSES_MAX: usize = 100;

/// Why a list cannot be read with certainty. The `Display` form is a half sentence for whoever wrote it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Unreadable {
    /// A control character that is no tab.
    #[error("it holds a control character")]
    Control,
    /// A quoted string that does not end, or that not all readers end at the same place.
    #[error("its quotes are not clear")]
    Quotes,
    /// An encoded word that holds what could be an address once it is decoded.
    #[error("an encoded word in it could be taken for an address")]
    EncodedWord,
    /// A comment that does not end, or that not all readers end at the same place.
    #[error("its comments are not clear")]
    Comment,
    /// Something in the place of an address that is none, or none that all readers take for the same.
    #[error("an address in it is not well-formed")]
    Address,
    /// An address beside another without a comma, or words behind an address.
    #[error("more than one address stands where there is room for one")]
    Surplus,
    /// A group that does not end, has no name, or stands in another.
    #[error("its groups are not clear")]
    Group,
    /// Words, but no address.
    #[error("it names no address")]
    Nobody,
    /// More than [`ADDRESSES_MAX`] addresses.
    #[error("it names too many addresses")]
    TooMany,
}

/// Reads the unfolded `value` of a field: its addresses in order, none if there is nothing but white space.
pub fn parse(value: &[u8]) -> Result<Vec<Mailbox>, Unreadable> {
    if value.iter().any(|byte| byte.is_ascii_control() && *byte != b'\t') {
        return Err(Unreadable::Control);
    }
    let mut reader = Reader { value, at: 0, mailboxes: Vec::new(), escapes: false, quotes_address: false };
    reader.list()?;
    if reader.mailboxes.is_empty() && !value.trim_ascii().is_empty() {
        return Err(Unreadable::Nobody);
    }
    // Readers that know no backslash see strings end and begin elsewhere, and addresses in what was quoted.
    if reader.escapes && reader.quotes_address {
        return Err(Unreadable::Quotes);
    }
    // Nor do all readers find the addresses first and decode names then.
    let is_read = |text: &str| {
        Mailbox::parse(text).is_ok_and(|decoded| reader.mailboxes.iter().any(|read| read.is_same_mailbox(&decoded)))
    };
    if encoded_word::may_hide_address(value, is_read) {
        return Err(Unreadable::EncodedWord);
    }
    Ok(reader.mailboxes)
}

struct Reader<'a> {
    value: &'a [u8],
    at: usize,
    mailboxes: Vec<Mailbox>,
    /// Whether a quoted string has a backslash.
    escapes: bool,
    /// Whether a quoted string holds what outside of it would be an address.
    quotes_address: bool,
}

/// Something without white space in it: a part of a display name, or an address.
#[derive(Clone, Copy)]
struct Word<'a> {
    bytes: &'a [u8],
    /// Whether there is an `@` outside quotes.
    has_at: bool,
}

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.value.get(self.at).copied()
    }

    /// Passes over `byte`, if it comes next.
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn list(&mut self) -> Result<(), Unreadable> {
        loop {
            self.element(false)?;
            if self.peek().is_none() {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(Unreadable::Surplus);
            }
        }
    }

    /// One mailbox, or one group of them, or the nothing that obsolete lists may have between commas; and the white space
    /// around it.
    fn element(&mut self, in_group: bool) -> Result<(), Unreadable> {
        let mut words = Vec::new();
        loop {
            self.space_and_comments()?;
            match self.peek() {
                None | Some(b',' | b';') => {
                    return match words.as_slice() {
                        [] => Ok(()),
                        [only] => self.add(read_address(*only)?),
                        _ => Err(Unreadable::Surplus),
                    };
                }
                Some(b'<') => return self.bracketed(&words),
                Some(b':') if in_group || words.is_empty() || words.iter().any(|word: &Word<'_>| word.has_at) => {
                    return Err(Unreadable::Group);
                }
                Some(b':') => return self.group(),
                Some(_) => words.push(self.word()?),
            }
        }
    }

    /// `<address>` behind a display name of these words.
    fn bracketed(&mut self, name: &[Word<'_>]) -> Result<(), Unreadable> {
        self.take(b'<');
        self.space();
        let mailbox = read_address(self.word()?)?;
        self.space();
        if !self.take(b'>') {
            return Err(Unreadable::Address);
        }
        // Some programs repeat the address in the place of the name. Any other address there, and readers would have a
        // choice.
        let is_repeated = || match name {
            [only] => read_address(*only).is_ok_and(|repeated| repeated.is_same_mailbox(&mailbox)),
            _ => false,
        };
        if name.iter().any(|word| word.has_at) && !is_repeated() {
            return Err(Unreadable::Surplus);
        }
        self.space_and_comments()?;
        match self.peek() {
            None | Some(b',' | b';') => self.add(mailbox),
            Some(_) => Err(Unreadable::Surplus),
        }
    }

    /// What follows a group's name.
    fn group(&mut self) -> Result<(), Unreadable> {
        self.take(b':');
        let before = self.mailboxes.len();
        loop {
            self.element(true)?;
            if self.take(b';') {
                break;
            }
            if !self.take(b',') {
                return Err(Unreadable::Group);
            }
        }
        if self.mailboxes.len() == before {
            return Err(Unreadable::Nobody);
        }
        self.space_and_comments()
    }

    fn add(&mut self, mailbox: Mailbox) -> Result<(), Unreadable> {
        if self.mailboxes.len() == ADDRESSES_MAX {
            return Err(Unreadable::TooMany);
        }
        self.mailboxes.push(mailbox);
        Ok(())
    }

    fn word(&mut self) -> Result<Word<'a>, Unreadable> {
        let start = self.at;
        let mut has_at = false;
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'(' | b'<' | b'>' | b',' | b';' | b':' => break,
                b'"' => self.quoted()?,
                b')' => return Err(Unreadable::Comment),
                // Only quotes and comments know an escape.
                b'\\' => return Err(Unreadable::Quotes),
                b'@' => {
                    has_at = true;
                    self.at += 1;
                    self.address_literal()?;
                }
                _ => self.at += 1,
            }
        }
        match &self.value[start..self.at] {
            [] => Err(Unreadable::Address),
            bytes => Ok(Word { bytes, has_at }),
        }
    }

    fn quoted(&mut self) -> Result<(), Unreadable> {
        self.take(b'"');
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => return Ok(()),
                b'@' | b'<' => self.quotes_address = true,
                b'\\' => {
                    self.escapes = true;
                    self.quotes_address |= self.peek() == Some(b'@');
                    self.at += 1;
                }
                _ => {}
            }
        }
        Err(Unreadable::Quotes)
    }

    /// `[...]` behind an `@`; it may hold colons.
    fn address_literal(&mut self) -> Result<(), Unreadable> {
        if !self.take(b'[') {
            return Ok(());
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b':' | b'.')) {
            self.at += 1;
        }
        if self.take(b']') { Ok(()) } else { Err(Unreadable::Address) }
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.at += 1;
        }
    }

    fn space_and_comments(&mut self) -> Result<(), Unreadable> {
        loop {
            self.space();
            if !self.take(b'(') {
                return Ok(());
            }
            loop {
                let byte = self.peek().ok_or(Unreadable::Comment)?;
                self.at += 1;
                match byte {
                    b')' => break,
                    // Not all readers nest comments, know escapes or pass over quotes there; for those who see no comments
                    // at all there must be no address.
                    b'(' | b'\\' | b'"' | b'@' | b'<' | b'>' => return Err(Unreadable::Comment),
                    _ => {}
                }
            }
        }
    }
}

/// An address that every reader takes for the same.
fn read_address(word: Word<'_>) -> Result<Mailbox, Unreadable> {
    if !word.has_at {
        return Err(Unreadable::Address);
    }
    let text = std::str::from_utf8(word.bytes).map_err(|_| Unreadable::Address)?;
    let mailbox = Mailbox::parse(text).map_err(|_| Unreadable::Address)?;
    let local_part = mailbox.local_part();
    // Where quotes are needed, readers that do not know them find another address. An encoded word means nothing in an
    // address (RFC 2047 section 5), but some readers decode it there.
    let needs_quotes = match local_part.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inner) => {
            inner.contains([' ', '"', '\\', '@', '<', '>', '(', ')', '[', ']', ',', ';', ':']) || inner.is_empty()
        }
        None => false,
    };
    if needs_quotes || local_part.contains("=?") { Err(Unreadable::Address) } else { Ok(mailbox) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(value: &[u8]) -> Result<Vec<String>, Unreadable> {
        Ok(parse(value)?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn what_every_reader_reads_alike_is_read() {
        for (value, expected) in [
            ("alice@contoso.com", &["alice@contoso.com"][..]),
            (" Alice <alice@contoso.com>", &["alice@contoso.com"]),
            ("Alice<alice@contoso.com>", &["alice@contoso.com"]),
            ("< alice@contoso.com\t>", &["alice@contoso.com"]),
            ("Alice B. Smith <alice@CONTOSO.com>", &["alice@contoso.com"]),
            ("\"Smith, Alice\" <alice@contoso.com>", &["alice@contoso.com"]),
            ("\"ceo@contoso.com\" <alice@contoso.com>", &["alice@contoso.com"]),
            ("\"a\\\"b\" <alice@contoso.com>", &["alice@contoso.com"]),
            ("\"\" <alice@contoso.com>", &["alice@contoso.com"]),
            ("alice@contoso.com <Alice@contoso.com>", &["Alice@contoso.com"]),
            ("\"Scanner\"3rd floor <scan@contoso.com>", &["scan@contoso.com"]),
            ("[Scanner 3] <scan@contoso.com>", &["scan@contoso.com"]),
            ("=?utf-8?Q?M=C3=BCller=2C_Hans?= <hans@contoso.com>", &["hans@contoso.com"]),
            ("=?utf-8?B?aGFuc0Bjb250b3NvLmNvbQ==?= <hans@contoso.com>", &["hans@contoso.com"]),
            ("M\u{fc}ller <hans@contoso.com>", &["hans@contoso.com"]),
            ("alice@contoso.com (Smith, Alice)", &["alice@contoso.com"]),
            ("(x) Alice (y) <alice@contoso.com>(z)", &["alice@contoso.com"]),
            ("a@b.c, d@e.f ,\"g\" <g@h.i>", &["a@b.c", "d@e.f", "g@h.i"]),
            (",a@b.c,,", &["a@b.c"]),
            ("Team: a@b.c, D <d@e.f>;", &["a@b.c", "d@e.f"]),
            ("x@y.z, \"The, team\": a@b.c ;, d@e.f", &["x@y.z", "a@b.c", "d@e.f"]),
            ("a@[192.0.2.1], b@[IPv6:2001:db8::1]", &["a@[192.0.2.1]", "b@[ipv6:2001:db8::1]"]),
            ("\"alice\"@contoso.com", &["\"alice\"@contoso.com"]),
            ("\u{7528}\u{6237}@b\u{fc}cher.example", &["\u{7528}\u{6237}@xn--bcher-kva.example"]),
            ("root@localhost", &["root@localhost"]),
            ("", &[]),
            (" \t ", &[]),
        ] {
            assert_eq!(read(value.as_bytes()), Ok(expected.iter().map(|s| (*s).to_owned()).collect()), "{value}");
        }
        // A display name in a character set of its own.
        assert_eq!(read(b"M\xfcller <hans@contoso.com>"), Ok(vec!["hans@contoso.com".to_owned()]));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_not_read() {
        use Unreadable::{Address, Comment, Control, EncodedWord, Group, Nobody, Quotes, Surplus, TooMany};
        for (value, expected) in [
            ("<ceo@contoso.com> <alice@contoso.com>", Surplus),
            ("ceo@contoso.com <alice@contoso.com>", Surplus),
            ("the ceo@contoso.com <alice@contoso.com>", Surplus),
            ("alice@contoso.com Alice", Surplus),
            ("<alice@contoso.com> Alice", Surplus),
            ("<alice@contoso.com> ceo@contoso.com", Surplus),
            ("a@b.c d@e.f", Surplus),
            ("a@b.c; d@e.f", Surplus),
            ("a@b.c;", Surplus),
            ("alice @contoso.com", Surplus),
            ("alice@ contoso.com", Surplus),
            ("alice@contoso .com", Surplus),
            ("alice(x)@contoso.com", Surplus),
            ("\"alice\" @contoso.com", Surplus),
            ("Alice Smith", Surplus),
            ("alice", Address),
            ("alice@ceo@contoso.com", Address),
            ("<alice@ceo@contoso.com>", Address),
            ("<alice>", Address),
            ("<>", Address),
            ("Alice <>", Address),
            ("<alice@contoso.com", Address),
            ("<alice@contoso.com, ceo@contoso.com>", Address),
            ("<<alice@contoso.com>>", Address),
            ("alice@contoso.com>", Address),
            (">", Address),
            ("<@x.net:alice@contoso.com>", Address),
            ("<(x)alice@contoso.com>", Address),
            ("alice@contoso.com.", Address),
            ("a..b@contoso.com", Address),
            ("@contoso.com", Address),
            ("alice@", Address),
            ("a@[x", Address),
            ("\"ceo@contoso.com\"@x.net", Address),
            ("\"a b\"@x.net", Address),
            ("\"\"@x.net", Address),
            ("\"a\\b\"@x.net", Address),
            ("=?utf-8?Q?ceo=40contoso.com=00?=@x.net", Address),
            ("\"alice@contoso.com", Quotes),
            ("\"a\\", Quotes),
            ("a\"b@contoso.com", Quotes),
            ("a\\b@contoso.com", Quotes),
            ("\"a\\\" <ceo@contoso.com>, \\\"\" <alice@contoso.com>", Quotes),
            ("\"a\\\", b\" <alice@contoso.com>, \" <ceo@contoso.com>, \" <alice@contoso.com>", Quotes),
            ("=?utf-8?B?Y2VvQGNvbnRvc28uY29t?= <alice@contoso.com>", EncodedWord),
            ("=?utf-8?Q?ceo=40contoso.com=2C?= <alice@contoso.com>", EncodedWord),
            ("\"=?utf-8?Q?=22_=3Cceo=40contoso.com=3E=2C=22?=\" <alice@contoso.com>", EncodedWord),
            ("alice@contoso.com (=?utf-8?Q?=29=2C_ceo=40contoso.com?=)", EncodedWord),
            ("alice@contoso.com (a (b), ceo@contoso.com)", Comment),
            ("alice@contoso.com (a (b))", Comment),
            ("alice@contoso.com (ceo@contoso.com)", Comment),
            ("alice@contoso.com (a\\)", Comment),
            ("alice@contoso.com (\")", Comment),
            ("alice@contoso.com (a", Comment),
            ("alice@contoso.com)", Comment),
            ("Team: alice@contoso.com", Group),
            ("mailto:alice@contoso.com", Group),
            (": alice@contoso.com;", Group),
            ("ceo@contoso.com: alice@contoso.com;", Group),
            ("A: B: alice@contoso.com;;", Group),
            ("Team: a@b.c; d@e.f", Surplus),
            ("Team:;", Nobody),
            ("\"ceo@contoso.com\":;, alice@contoso.com", Nobody),
            ("(ceo)", Nobody),
            (",", Nobody),
            ("alice@contoso.com\0", Control),
            ("alice@contoso.com\rFrom: ceo@contoso.com", Control),
            ("al\u{7f}ice@contoso.com", Control),
        ] {
            assert_eq!(read(value.as_bytes()), Err(expected), "{value}");
        }
        assert_eq!(read(b"hans@b\xfccher.example"), Err(Address));
        let many = |n| vec!["a@b.c"; n].join(",");
        assert_eq!(read(many(ADDRESSES_MAX).as_bytes()).map(|read| read.len()), Ok(ADDRESSES_MAX));
        assert_eq!(read(many(ADDRESSES_MAX + 1).as_bytes()), Err(TooMany));
    }

    /// How some mail reader looks for addresses; each of these is right about much and wrong about something.
    #[derive(Clone, Copy, Debug)]
    struct NaiveReader {
        knows_escapes: bool,
        nests_comments: bool,
        knows_comments: bool,
    }

    impl NaiveReader {
        /// Whatever stands between white space, brackets and separators, outside quotes and comments, and holds an `@`.
        fn addresses(self, value: &[u8]) -> Vec<Vec<u8>> {
            let (mut found, mut word) = (Vec::new(), Vec::new());
            let mut bytes = value.iter().copied();
            let (mut quoted, mut depth) = (false, 0);
            while let Some(byte) = bytes.next() {
                match byte {
                    b'\\' if self.knows_escapes && (quoted || depth > 0) => drop(bytes.next()),
                    b'"' if depth == 0 => {
                        quoted = !quoted;
                        word.push(byte);
                    }
                    // What stands in quotes belongs to its word, but makes no address of it.
                    b'@' if quoted => {}
                    byte if quoted => word.push(byte),
                    b'(' if self.knows_comments => depth = if self.nests_comments { depth + 1 } else { 1 },
                    b')' if depth > 0 => depth -= 1,
                    _ if depth > 0 => {}
                    b' ' | b'\t' | b'<' | b'>' | b',' | b';' | b'(' | b')' => found.push(std::mem::take(&mut word)),
                    byte => word.push(byte),
                }
            }
            found.push(word);
            found.retain(|word| word.contains(&b'@'));
            found
        }
    }

    /// Values made of the pieces that matter to the grammar, in any order, and now and then well-formed.
    fn value() -> impl Strategy<Value = Vec<u8>> {
        let pieces = vec![
            "<",
            ">",
            "@",
            ",",
            ";",
            ":",
            "\"",
            "\\",
            "(",
            ")",
            "[",
            "]",
            " ",
            "\t",
            ".",
            "a",
            "ceo@contoso.com",
            "alice@x.net",
            "<alice@x.net>",
            "<ceo@contoso.com>",
            "\"q\"",
            "Team:",
            "=?utf-8?Q?",
            "?=",
            "\u{fc}",
            "\0",
            "\r",
        ];
        let piece = prop_oneof![
            20 => prop::sample::select(pieces).prop_map(|piece| piece.as_bytes().to_vec()),
            1 => prop::collection::vec(any::<u8>(), 0..3),
        ];
        prop::collection::vec(piece, 0..12).prop_map(|pieces| pieces.concat())
    }

    /// An address and one of the ways to write it in a list.
    fn written() -> impl Strategy<Value = (String, String)> {
        let address = "[a-z]{1,6}@[a-z]{1,6}\\.example";
        let name = prop_oneof![
            Just(String::new()),
            "[A-Za-z.']{1,8}( [A-Za-z\u{fc}]{1,8}){0,2}",
            "\"[A-Za-z ,;:<>@()\u{fc}]{0,12}\"",
            "\"[A-Za-z ,;:\u{fc}]{0,6}\\\\\"[A-Za-z ,;:]{0,6}\"",
            // None that hides an `@`.
            "=\\?utf-8\\?Q\\?[A-Za-z0-9_]{1,4}(=C3=[89AB][0-9A-F]){0,2}\\?=",
        ];
        let comment = prop_oneof![3 => Just(String::new()), 1 => " \\([a-zA-Z, .]{0,8}\\)"];
        (address, name, any::<bool>(), comment).prop_map(|(address, name, bare, comment)| {
            let text = match name.is_empty() && bare {
                true => format!("{address}{comment}"),
                false => format!("{name}{comment} <{address}>"),
            };
            (address, text)
        })
    }

    proptest! {
        #[test]
        fn no_reader_finds_an_address_that_is_not_read(value in value()) {
            let Ok(mailboxes) = parse(&value) else { return Ok(()) };
            for bits in 0..8_u8 {
                let [knows_escapes, nests_comments, knows_comments] = [1, 2, 4].map(|bit| bits & bit != 0);
                let reader = NaiveReader { knows_escapes, nests_comments, knows_comments };
                for found in reader.addresses(&value) {
                    let text = String::from_utf8_lossy(&found).into_owned();
                    // A group's name stands before its first address.
                    let text = text.rsplit(':').next().unwrap_or_default().to_owned();
                    let is_read = Mailbox::parse(&text)
                        .is_ok_and(|found| mailboxes.iter().any(|mailbox| mailbox.is_same_mailbox(&found)));
                    prop_assert!(is_read, "{:?} finds {} in {:?}", reader, text, String::from_utf8_lossy(&value));
                }
            }
        }

        #[test]
        fn what_programs_write_is_read(written in prop::collection::vec(written(), 1..6), group in any::<bool>()) {
            let (addresses, texts): (Vec<String>, Vec<String>) = written.into_iter().unzip();
            let list = texts.join(", ");
            let value = if group { format!("Team: {list};") } else { list };
            // Both a backslash and an address in quotes is too much.
            if read(value.as_bytes()) != Err(Unreadable::Quotes) || !value.contains('\\') {
                prop_assert_eq!(read(value.as_bytes()), Ok(addresses), "{}", value);
            }
        }

        #[test]
        fn an_address_alone_is_read_as_paths_read_it(text in "[a-z.\"@ \\[\\]:<>0-9\u{fc}]{1,12}") {
            if let Ok(read) = parse(text.as_bytes()) && let [only] = read.as_slice() {
                prop_assert!(only.domain().as_str().is_ascii());
                prop_assert_eq!(Mailbox::parse(&only.to_string()), Ok(only.clone()));
            }
        }
    }
}
