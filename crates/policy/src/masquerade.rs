//! Masquerade: which of our names of inside are shown outside by which other name, envelope and header alike.
//!
//! Takes an address, hands on what stands for it on the other side of a send connector.

use gatepost_mail::{Domain, Mailbox, ReversePath};

/// What a send connector shows of domains within.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Masquerade {
    /// Which domains are not to be seen outside, and whether those below them are not either.
    pub domains: Vec<(Domain, bool)>,
    /// What stands there in their place.
    pub domain: Domain,
}

impl Masquerade {
    /// What stands for this address outside; `None` where it stays.
    pub fn mailbox(&self, inside: &Mailbox) -> Option<Mailbox> {
        let hides = |(domain, with_subdomains): &(Domain, bool)| {
            let above = inside.domain().as_str().strip_suffix(domain.as_str());
            above.is_some_and(|above| above.is_empty() || (*with_subdomains && above.ends_with('.')))
        };
        let is_hidden = !inside.domain().is_literal() && self.domains.iter().any(hides);
        is_hidden.then(|| Mailbox::new(inside.local_part(), self.domain.clone()).ok()).flatten()
    }

    /// What stands for this reverse-path outside.
    pub fn reverse_path(&self, inside: &ReversePath) -> Option<ReversePath> {
        inside.mailbox().and_then(|mailbox| self.mailbox(mailbox)).map(ReversePath::Mailbox)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_inside_are_hidden_and_others_stay() {
        let domain = |text| Domain::parse(text).expect("a domain");
        let masquerade = Masquerade {
            domains: vec![(domain("old.example"), false), (domain("internal"), true)],
            domain: domain("contoso.com"),
        };
        for (inside, expected) in [
            ("a@old.example", Some("a@contoso.com")),
            ("a@x.old.example", None),
            ("root@db1.internal", Some("root@contoso.com")),
            ("root@internal", Some("root@contoso.com")),
            ("root@xinternal", None),
            ("a@contoso.com", None),
            ("a@[192.0.2.1]", None),
        ] {
            let inside = Mailbox::parse(inside).expect("an address");
            assert_eq!(masquerade.mailbox(&inside).map(|outside| outside.to_string()).as_deref(), expected, "{inside}");
        }
        assert_eq!(masquerade.reverse_path(&ReversePath::Null), None);
    }
}
