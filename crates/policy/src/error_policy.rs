//! Step 8 of 9 - deliver: which failures of a next hop are taken for what they do not say they are (fact sheet section
//! 4.4, ErrorPolicies).
//!
//! Takes a connector's policies and a reply, hands on the reply by which we go. Some next hops refuse for good what they
//! would take tomorrow, others put off for ever what they will never take; the administrator who knows one writes it down.

use std::fmt;

use gatepost_mail::{Reply, Status};

/// What `error_policies` asks for. The default: every reply is taken at its word.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ErrorPolicies {
    /// DowngradeDnsFailures: a domain that does not exist may exist tomorrow.
    pub downgrade_dns_failures: bool,
    /// DowngradeCustomFailures: these 5xx are tried again.
    pub downgrade: Vec<FailureCode>,
    /// UpgradeCustomFailures: these 4xx are reported at once.
    pub upgrade: Vec<FailureCode>,
}

/// A reply code, an enhanced status code, or both: `552`, `5.2.2`, `552 5.2.2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailureCode {
    code: Option<u16>,
    status: Option<Status>,
}

impl FailureCode {
    /// Reads a code of a class, 4 or 5. `None` for anything else.
    pub fn parse(text: &str, class: u16) -> Option<FailureCode> {
        let (first, second) = text.split_once(' ').map_or((text, None), |(first, second)| (first, Some(second.trim())));
        let code = |text: &str| {
            let is_code = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|code: &u16| is_code && code / 100 == class)
        };
        let status = |text: &str| {
            let (status, rest) = Status::parse_prefix(text)?;
            (rest.is_empty() && u16::from(status.class) == class).then_some(status)
        };
        match second {
            Some(second) => Some(FailureCode { code: Some(code(first)?), status: Some(status(second)?) }),
            None => match (code(first), status(first)) {
                (None, None) => None,
                (code, status) => Some(FailureCode { code, status }),
            },
        }
    }

    /// Whether a reply has what is given of it.
    pub fn fits(&self, reply: &Reply) -> bool {
        self.code.is_none_or(|code| code == reply.code) && self.status.is_none_or(|status| reply.status == Some(status))
    }

    /// The reply code, if it is given.
    pub fn code(&self) -> Option<u16> {
        self.code
    }
}

/// As it is written.
impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.status) {
            (Some(code), Some(status)) => write!(f, "{code} {status}"),
            (Some(code), None) => write!(f, "{code}"),
            (None, Some(status)) => write!(f, "{status}"),
            (None, None) => Ok(()),
        }
    }
}

/// The reply by which we go: what a next hop said, or what it is taken for, which still tells what was said.
pub fn decide(policies: &ErrorPolicies, reply: Reply) -> Reply {
    let fits = |codes: &[FailureCode]| codes.iter().any(|code| code.fits(&reply));
    match reply.code / 100 {
        5 if fits(&policies.downgrade) => taken_for(reply, 4, "DowngradeCustomFailures"),
        4 if fits(&policies.upgrade) => taken_for(reply, 5, "UpgradeCustomFailures"),
        _ => reply,
    }
}

/// The same for what the DNS says of a next hop.
pub fn decide_dns(policies: &ErrorPolicies, reply: Reply) -> Reply {
    match reply.code / 100 {
        5 if policies.downgrade_dns_failures => taken_for(reply, 4, "DowngradeDnsFailures"),
        _ => reply,
    }
}

/// Code and status of another class, with the rest of them and the text kept.
fn taken_for(reply: Reply, class: u8, policy: &str) -> Reply {
    let said = reply.status.map_or_else(|| reply.code.to_string(), |status| format!("{} {status}", reply.code));
    let text = format!("{} (said as {said}; error_policies: {policy})", reply.text);
    Reply {
        code: u16::from(class) * 100 + reply.code % 100,
        status: reply.status.map(|status| Status { class, ..status }),
        text: text.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_listed_is_taken_for_something_else_and_what_was_said_stays_readable() {
        let code = |text: &str, class| FailureCode::parse(text, class).expect("a code");
        let policies = ErrorPolicies {
            downgrade_dns_failures: true,
            downgrade: vec![code("552", 5), code("5.7.1", 5), code("550 5.1.1", 5)],
            upgrade: vec![code("450 4.2.1", 4)],
        };
        let plain = |code, text| Reply { code, status: None, text: std::borrow::Cow::Borrowed(text) };
        for (reply, expected) in [
            (
                Reply::new(552, (5, 2, 2), "full"),
                "452 4.2.2 full (said as 552 5.2.2; error_policies: DowngradeCustomFailures)",
            ),
            (plain(552, "full"), "452 full (said as 552; error_policies: DowngradeCustomFailures)"),
            (
                Reply::new(554, (5, 7, 1), "no"),
                "454 4.7.1 no (said as 554 5.7.1; error_policies: DowngradeCustomFailures)",
            ),
            (
                Reply::new(550, (5, 1, 1), "who"),
                "450 4.1.1 who (said as 550 5.1.1; error_policies: DowngradeCustomFailures)",
            ),
            (Reply::new(551, (5, 1, 1), "who"), "551 5.1.1 who"),
            (plain(550, "who"), "550 who"),
            (
                Reply::new(450, (4, 2, 1), "grey"),
                "550 5.2.1 grey (said as 450 4.2.1; error_policies: UpgradeCustomFailures)",
            ),
            (Reply::new(450, (4, 2, 0), "grey"), "450 4.2.0 grey"),
            (Reply::new(250, (2, 1, 5), "ok"), "250 2.1.5 ok"),
        ] {
            assert_eq!(decide(&policies, reply.clone()).to_string(), expected);
            assert_eq!(decide(&ErrorPolicies::default(), reply.clone()), reply);
        }
        let gone = Reply::new(554, (5, 4, 4), "nonexistent domain");
        assert_eq!(decide_dns(&policies, gone.clone()).code, 454);
        assert_eq!(decide_dns(&ErrorPolicies::default(), gone.clone()), gone);
    }

    #[test]
    fn a_code_is_of_the_class_that_it_is_for() {
        for (text, class, is_code) in [
            ("552", 5, true),
            ("5.2.2", 5, true),
            ("552 5.2.2", 5, true),
            ("452", 5, false),
            ("4.2.2", 5, false),
            ("552 4.2.2", 5, false),
            ("55", 5, false),
            ("5521", 5, false),
            ("5.2", 5, false),
            ("5.2.2 552", 5, false),
            ("full", 4, false),
            ("", 4, false),
        ] {
            let read = FailureCode::parse(text, class);
            assert_eq!(read.is_some(), is_code, "{text}");
            assert_eq!(read.map_or_else(String::new, |code| code.to_string()), if is_code { text } else { "" });
        }
    }
}
