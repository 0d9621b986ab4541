//! What status codes mean to a person who has never heard of them (RFC 3463; the codes of the fact sheet's NDR table).
//!
//! Takes the codes of a reply, hands on plain words: why, and what to do about it. The words are about the message, not
//! about who is to blame, and never repeat a code.

use crate::status::Status;

/// Why a message with this enhanced status code and reply code did not go through, in one or two plain sentences. The
/// class digit does not matter: a full mailbox is a full mailbox, whether the server tried again or not.
pub fn explain(status: Status, code: u16) -> &'static str {
    find(status, code).cause
}

/// What the sender can do about it, in one or two plain sentences.
pub fn advise(status: Status, code: u16) -> &'static str {
    find(status, code).advice
}

struct Explanation {
    subject: u16,
    detail: u16,
    cause: &'static str,
    advice: &'static str,
}

/// The exact code first, then what its subject says in general; a code that says nothing (`x.0.0`) leaves the reply
/// code to go by.
fn find(status: Status, code: u16) -> &'static Explanation {
    let exact = |subject, detail| EXPLANATIONS.iter().find(|e| e.subject == subject && e.detail == detail);
    let (subject, detail) = match (status.subject, status.detail, code) {
        // Replies without an enhanced code that servers use for one thing nearly always.
        (0, 0, 450 | 550 | 553) => (1, 1),
        (0, 0, 552) => (2, 2),
        (0, 0, 421 | 451 | 452) => (3, 2),
        (0, 0, 530 | 535) => (7, 1),
        // Exchange Online says so of addresses and domains that it does not take mail for; without such a refusal the code
        // means that nobody answered.
        (4, 1, 550) => (1, 10),
        (subject, detail, _) => (subject, detail),
    };
    exact(subject, detail).or_else(|| exact(subject, 0)).unwrap_or(&UNKNOWN)
}

const UNKNOWN: Explanation = Explanation {
    subject: 0,
    detail: 0,
    cause: "The message was refused, and the server gave no reason that could be put in plain words.",
    advice: "Read the server's own words below, or show this report to your administrator.",
};

const fn words(subject: u16, detail: u16, cause: &'static str, advice: &'static str) -> Explanation {
    Explanation { subject, detail, cause, advice }
}

const CHECK_ADDRESS: &str = "Check the address for spelling mistakes and send the message again. If it is correct, ask the recipient by other means.";
const TRY_LATER: &str = "Send the message again later. If that fails as well, show this report to your administrator.";
const TELL_ADMINISTRATOR: &str = "Show this report to your administrator.";
const TELL_RECIPIENT: &str = "Tell the recipient by other means, so that their administrator can look into it.";
const ASK_GROUP_OWNER: &str = "Ask whoever looks after the group to let you write to it.";
const MAKE_SMALLER: &str = "Send it without attachments or in several parts, or share the files in another way.";

const EXPLANATIONS: &[Explanation] = &[
    words(1, 0, "There is something wrong with the recipient's or the sender's address.", CHECK_ADDRESS),
    words(1, 1, "The recipient's address does not exist.", CHECK_ADDRESS),
    words(1, 2, "The domain of the recipient's address does not exist or takes no mail.", CHECK_ADDRESS),
    words(1, 3, "The recipient's address is not well-formed.", CHECK_ADDRESS),
    words(1, 4, "The recipient's address means more than one mailbox, or one that cannot exist.", CHECK_ADDRESS),
    words(1, 5, "The recipient's address means more than one mailbox, or one that cannot exist.", CHECK_ADDRESS),
    words(1, 6, "The recipient's mailbox has moved, and no new address is known.", CHECK_ADDRESS),
    words(
        1,
        7,
        "The sender's address is not well-formed or not known.",
        "Check the sender's address that your program or device is set to use.",
    ),
    words(1, 8, "Mail from the sender's address is not accepted.", TELL_ADMINISTRATOR),
    words(1, 10, "The recipient's address does not exist, or its domain takes no mail.", CHECK_ADDRESS),
    words(2, 0, "The recipient's mailbox could not take the message.", TELL_RECIPIENT),
    words(2, 1, "The recipient's mailbox is switched off or takes no messages.", TELL_RECIPIENT),
    words(
        2,
        2,
        "The recipient's mailbox is full.",
        "Tell the recipient by other means, and send the message again once there is room.",
    ),
    words(2, 3, "The message is larger than the recipient may receive.", MAKE_SMALLER),
    words(2, 4, "The recipient is a group whose members could not be found.", TELL_RECIPIENT),
    words(3, 0, "The recipient's mail system could not take the message.", TRY_LATER),
    words(3, 1, "The recipient's mail system has run out of space.", TRY_LATER),
    words(3, 2, "The recipient's mail system was not taking messages.", TRY_LATER),
    words(3, 3, "The recipient's mail system lacks something that this message needs.", TELL_ADMINISTRATOR),
    words(3, 4, "The message is larger than the recipient's mail system accepts.", MAKE_SMALLER),
    words(3, 5, "A mail system on the way is not set up correctly.", TELL_ADMINISTRATOR),
    words(4, 0, "The message could not be brought to the recipient's mail system.", TRY_LATER),
    words(4, 1, "The recipient's mail system did not answer.", TRY_LATER),
    words(4, 2, "The connection to the recipient's mail system broke off.", TRY_LATER),
    words(4, 3, "The directory that says where the recipient's mail system is could not be asked.", TRY_LATER),
    words(4, 4, "No mail system was found for the recipient's domain.", CHECK_ADDRESS),
    words(4, 5, "A mail system on the way was too busy.", TRY_LATER),
    words(4, 6, "The message went round in circles between mail systems.", TELL_ADMINISTRATOR),
    words(
        4,
        7,
        "The message was tried for as long as it may wait, and the recipient's mail system did not take it.",
        TRY_LATER,
    ),
    words(4, 14, "The message went round in circles between mail systems.", TELL_ADMINISTRATOR),
    words(5, 0, "The mail systems did not understand each other.", TELL_ADMINISTRATOR),
    words(
        5,
        3,
        "The message has more recipients than the recipient's mail system accepts at once.",
        "Send it again to fewer recipients at a time.",
    ),
    words(6, 0, "The content of the message is in a form that could not be handed on.", TELL_ADMINISTRATOR),
    words(
        6,
        1,
        "The content of the message is in a form that the recipient's mail system does not accept.",
        "Send it again as plain text or with fewer attachments.",
    ),
    words(
        6,
        3,
        "The content would have to be converted for the recipient's mail system, and could not be.",
        "Send it again as plain text or with fewer attachments.",
    ),
    words(
        6,
        7,
        "The recipient's mail system does not take addresses with letters beyond ASCII.",
        "Ask the recipient for another address.",
    ),
    words(7, 0, "The message was refused for reasons of security or policy.", TELL_ADMINISTRATOR),
    words(7, 1, "The sender is not allowed to send to this recipient through this mail system.", TELL_ADMINISTRATOR),
    words(
        6,
        11,
        "The content of the message has line ends that the recipient's mail system does not accept.",
        TELL_ADMINISTRATOR,
    ),
    words(7, 3, "The recipient's mail system asks for a sign-in that was not given.", TELL_ADMINISTRATOR),
    words(
        7,
        4,
        "The recipient's mail system asks for a security feature that could not be agreed on.",
        TELL_ADMINISTRATOR,
    ),
    words(
        7,
        5,
        "A secure connection to the recipient's mail system was required, and could not be made.",
        TELL_ADMINISTRATOR,
    ),
    words(
        7,
        10,
        "A secure connection to the recipient's mail system was required, and could not be made.",
        TELL_ADMINISTRATOR,
    ),
    words(7, 20, "The message lacks a valid signature of the sender's domain.", TELL_ADMINISTRATOR),
    words(7, 23, "The sender's domain does not list this server as one that may send for it.", TELL_ADMINISTRATOR),
    words(
        7,
        25,
        "This server's address has no name in the directory, and the recipient's mail system asks for one.",
        TELL_ADMINISTRATOR,
    ),
    words(7, 26, "The message failed the checks that the sender's domain asks for.", TELL_ADMINISTRATOR),
    words(7, 57, "The recipient's mail system asks for a sign-in that was not given.", TELL_ADMINISTRATOR),
    words(
        7,
        64,
        "The recipient's mail system does not know this server as one that may send through it.",
        TELL_ADMINISTRATOR,
    ),
    words(7, 124, "The recipient is a group that only certain senders may write to.", ASK_GROUP_OWNER),
    words(7, 133, "The recipient is a group that only senders of its own organization may write to.", ASK_GROUP_OWNER),
    words(7, 134, "The recipient takes mail from senders of its own organization only.", TELL_RECIPIENT),
    words(7, 136, "The recipient is a shared mailbox that only certain senders may write to.", TELL_RECIPIENT),
    words(
        7,
        60,
        "The sender is not allowed to use this sender address.",
        "Send with your own address, or ask your administrator for the right to use the other one.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_fitting_words_are_found() {
        for (status, code, expected) in [
            ((5, 1, 1), 550, "address does not exist"),
            ((4, 2, 2), 452, "mailbox is full"),
            ((5, 2, 2), 552, "mailbox is full"),
            ((5, 1, 99), 550, "something wrong with"),
            ((5, 7, 1), 550, "not allowed to send to"),
            ((5, 7, 512), 550, "reasons of security or policy"),
            ((4, 4, 7), 550, "tried for as long as it may wait"),
            ((5, 0, 0), 550, "address does not exist"),
            ((5, 0, 0), 552, "mailbox is full"),
            ((5, 4, 1), 550, "its domain takes no mail"),
            ((5, 4, 1), 554, "did not answer"),
            ((5, 7, 133), 550, "of its own organization"),
            ((4, 0, 0), 421, "was not taking messages"),
            ((5, 0, 0), 554, "no reason"),
            ((5, 9, 9), 554, "no reason"),
        ] {
            let words = explain(Status::new(status.0, status.1, status.2), code);
            assert!(words.contains(expected), "{status:?} {code}: {words}");
            assert!(!advise(Status::new(status.0, status.1, status.2), code).is_empty());
        }
    }

    #[test]
    fn each_code_is_explained_once_and_each_subject_in_general() {
        for (i, e) in EXPLANATIONS.iter().enumerate() {
            assert!(!EXPLANATIONS[..i].iter().any(|f| (f.subject, f.detail) == (e.subject, e.detail)), "{}", e.cause);
            assert!(EXPLANATIONS.iter().any(|f| (f.subject, f.detail) == (e.subject, 0)), "{}", e.cause);
        }
    }
}
