//! Step 8 of 9 - deliver: how content goes to a next hop that does not offer what it needs (RFC 6152, RFC 3030, RFC 6531).
//!
//! Takes what a message is and what the next hop offers, hands on the way to send it. Whether content can be converted at
//! all, `mail::seven_bit` finds out.

use gatepost_mail::{BodyType, Mailbox, Reply};

/// What a next hop offers, as far as it matters here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// 8BITMIME.
    pub eight_bit_mime: bool,
    /// BINARYMIME together with CHUNKING: one is nothing without the other (RFC 3030 section 3).
    pub binary_mime: bool,
    /// SMTPUTF8.
    pub smtputf8: bool,
}

/// How content goes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// As it came.
    AsItIs,
    /// Each part that needs more as quoted-printable or base64.
    InSevenBits,
}

/// How content goes out that is `body`. Binary content has no other way than to be converted; 8-bit content is just sent
/// (decision 0005) unless the connector `converts`.
pub fn decide(body: BodyType, offers: Offers, converts: bool) -> Way {
    match body {
        BodyType::SevenBit => Way::AsItIs,
        BodyType::EightBitMime if offers.eight_bit_mime || !converts => Way::AsItIs,
        BodyType::BinaryMime if offers.binary_mime => Way::AsItIs,
        BodyType::EightBitMime | BodyType::BinaryMime => Way::InSevenBits,
    }
}

/// What the sender is told of content that cannot be converted: `why` it cannot.
pub fn impossible(host: &str, body: BodyType, why: &str) -> Reply {
    let missing = match body {
        BodyType::BinaryMime => "BINARYMIME with CHUNKING",
        BodyType::EightBitMime | BodyType::SevenBit => "8BITMIME",
    };
    Reply::new(554, (5, 6, 3), "")
        .with_text(format!("{host} does not offer {missing}, and the message cannot be converted for it: {why}"))
}

/// What is said of an address or a header section beyond ASCII to a host that takes ASCII alone. Domains never are beyond it:
/// they are written in their ASCII form (RFC 5890).
pub fn needs_smtputf8(host: &str, what: NeedsUtf8<'_>) -> Reply {
    let what = match what {
        NeedsUtf8::Sender(mailbox) => format!("the sender's address {mailbox}"),
        NeedsUtf8::Recipient(mailbox) => format!("the address {mailbox}"),
        NeedsUtf8::Header => "the message's header section".to_owned(),
    };
    Reply::new(550, (5, 6, 7), "").with_text(format!("{host} does not offer SMTPUTF8, and {what} is not ASCII"))
}

/// What there is beyond ASCII.
#[derive(Clone, Copy, Debug)]
pub enum NeedsUtf8<'a> {
    /// The local part of the reverse-path.
    Sender(&'a Mailbox),
    /// The local part of this recipient.
    Recipient(&'a Mailbox),
    /// A header field.
    Header,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_is_converted_only_where_it_must_be_or_the_connector_wants_it() {
        use BodyType::{BinaryMime, EightBitMime, SevenBit};
        use Way::{AsItIs, InSevenBits};
        for (body, eight_bit_mime, binary_mime, converts, expected) in [
            (SevenBit, false, false, true, AsItIs),
            (EightBitMime, true, false, true, AsItIs),
            (EightBitMime, false, false, false, AsItIs),
            (EightBitMime, false, false, true, InSevenBits),
            (BinaryMime, false, true, true, AsItIs),
            (BinaryMime, true, false, false, InSevenBits),
            (BinaryMime, false, false, false, InSevenBits),
        ] {
            let offers = Offers { eight_bit_mime, binary_mime, smtputf8: false };
            assert_eq!(decide(body, offers, converts), expected, "{body:?} {offers:?} {converts}");
        }
    }
}
