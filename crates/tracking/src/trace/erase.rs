//! Takes one address out of everything that is recorded.
//!
//! Replaces it, wherever it stands in a text, by a token that nothing leads back from: random, the same in all records of one
//! erasure. What is recorded afterwards holds the address again. Knows only that records are CBOR: a text of a field that did not
//! exist yet is reached, too.

use std::fmt::Write as _;
use std::io;
use std::sync::Arc;

use minicbor::data::Type;
use minicbor::decode::Decoder;

use crate::store::Tracking;

/// What an erasure came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erased {
    /// What stands in the place of the address now.
    pub token: String,
    /// Records of passports that held it.
    pub passports: u64,
    /// Records of decisions that held it.
    pub decisions: u64,
    /// Damaged places that were removed, since nobody can say what they held.
    pub damaged: u64,
}

/// Erases an address, whatever the case of its letters. Takes seconds for each gigabyte; blocks.
///
/// # Errors
/// What the disk says. What was done until then stays done: asking again does the rest.
pub fn erase(tracking: &Tracking, address: &str) -> io::Result<Erased> {
    let token = random_token()?;
    // Where addresses are not recorded, a token of this server stands for it, which whoever knows the address can make.
    let concealed = tracking.passports.store().key().token(address);
    let change = {
        let (address, token) = (address.to_owned(), token.clone());
        move |record: &[u8]| {
            let first = without(record, &address, &token);
            without(first.as_deref().unwrap_or(record), &concealed, &token).or(first)
        }
    };
    let mut erased = Erased { token, passports: 0, decisions: 0, damaged: 0 };
    tracking.passports.flush();
    let store = tracking.passports.store();
    for segments in [store.passports(), store.others()].into_iter().flatten() {
        let rewritten = segments.rewrite(&change)?;
        erased.passports += rewritten.records;
        erased.damaged += rewritten.damaged;
    }
    let decisions = tracking.rewrite(Arc::new(change))?;
    erased.decisions = decisions.0;
    erased.damaged += decisions.1;
    Ok(erased)
}

fn random_token() -> io::Result<String> {
    let mut token = String::from("erased-");
    for byte in getrandom::u64().map_err(io::Error::other)?.to_le_bytes() {
        // Writing to a String cannot fail.
        let _ = write!(token, "{byte:02x}");
    }
    Ok(token)
}

/// The record with `token` for `address`; `None` if it does not hold it, or is no record.
fn without(record: &[u8], address: &str, token: &str) -> Option<Vec<u8>> {
    let mut changed = Vec::with_capacity(record.len());
    let mut held = false;
    let mut decoder = Decoder::new(record);
    while decoder.position() < record.len() {
        let start = decoder.position();
        let mut other = None;
        match decoder.datatype().ok()? {
            Type::String => other = replaced(decoder.str().ok()?, address, token),
            // Their heads only: what they hold follows.
            Type::Array => _ = decoder.array().ok()?,
            Type::Map => _ = decoder.map().ok()?,
            Type::Tag => _ = decoder.tag().ok()?,
            // Nothing of ours is written piecemeal.
            Type::StringIndef | Type::BytesIndef | Type::ArrayIndef | Type::MapIndef | Type::Break => return None,
            _ => decoder.skip().ok()?,
        }
        match other {
            Some(text) => {
                held = true;
                // Writing to a Vec cannot fail.
                let _ = minicbor::encode(text, &mut changed);
            }
            None => changed.extend_from_slice(&record[start..decoder.position()]),
        }
    }
    held.then_some(changed)
}

/// The text with `token` for each `address` in it that is not a part of a longer one; `None` if there is none.
fn replaced(text: &str, address: &str, token: &str) -> Option<String> {
    let (folded, wanted) = (text.to_lowercase(), address.to_lowercase());
    // Where lower case has other lengths, places in the one are not places in the other, be the sums alike or not. Then the
    // whole text goes: better too much than an address.
    let keeps_places = |c: char| c.to_lowercase().map(char::len_utf8).sum::<usize>() == c.len_utf8();
    if !text.is_ascii() && !text.chars().all(keeps_places) {
        return folded.contains(&wanted).then(|| token.to_owned());
    }
    let (mut result, mut rest, mut found) = (String::new(), 0, false);
    for (at, _) in folded.match_indices(&wanted) {
        let before = folded[..at].chars().next_back();
        let after = folded[at + wanted.len()..].chars().next();
        let goes_on = |c: char| c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~-".contains(c);
        // What ends with the address is another local part; what goes on behind it is another domain.
        if before.is_some_and(|c| c.is_alphanumeric() || "!#$%&*+/=?^_{|}-.".contains(c))
            || after.is_some_and(|c| goes_on(c) && c != '\'' && c != '`')
            || !text.is_char_boundary(at)
        {
            continue;
        }
        result.push_str(&text[rest..at]);
        result.push_str(token);
        rest = at + wanted.len();
        found = true;
    }
    result.push_str(&text[rest..]);
    found.then_some(result)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_address_goes_and_longer_ones_that_hold_it_stay() {
        let replaced = |text: &str| replaced(text, "Ann@Contoso.com", "T").unwrap_or_else(|| text.to_owned());
        for (text, expected) in [
            ("ann@contoso.com", "T"),
            ("<ANN@contoso.COM>", "<T>"),
            ("550 5.1.1 <ann@contoso.com>: no such user 'ann@contoso.com'.", "550 5.1.1 <T>: no such user 'T'."),
            ("rfc822;ann@contoso.com, ann@contoso.com", "rfc822;T, T"),
            ("joann@contoso.com", "joann@contoso.com"),
            ("jo.ann@contoso.com", "jo.ann@contoso.com"),
            ("ann@contoso.com.au", "T.au"),
            ("ann@contoso.community", "ann@contoso.community"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(replaced(text), expected, "{text}");
        }
    }

    #[test]
    fn letters_that_grow_and_shrink_in_lower_case_hide_no_address() {
        let (grows, shrinks) = ("\u{130}", "\u{212a}");
        let hidden = format!("{}ann@contoso.com {}", grows.repeat(20), shrinks.repeat(10));
        assert_eq!(hidden.len(), hidden.to_lowercase().len(), "or it is no such text");
        assert_eq!(replaced(&hidden, "ann@contoso.com", "T").as_deref(), Some("T"));
        assert_eq!(replaced(&hidden, "bob@contoso.com", "T"), None);
    }

    proptest! {
        #[test]
        fn garbage_is_no_record_and_nothing_else_changes(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(without(&bytes, "ann@contoso.com", "T").is_none());
        }
    }
}
