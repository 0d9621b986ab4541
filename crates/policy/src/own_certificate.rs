//! Which of our certificates a connector shows (fact sheet section 3.8).
//!
//! Takes what the certificates say of themselves, in the order of the document, hands on the place of one. Opens no file.

use gatepost_mail::Domain;

use crate::certificate::CertificateName;

/// What one of our certificates says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnCertificate {
    /// Issuer and subject; `None` where they cannot be read.
    pub name: Option<CertificateName>,
    /// The host names that it is for, wildcards among them.
    pub hosts: Vec<Box<str>>,
}

impl OwnCertificate {
    /// Whether it is for this host; `*.contoso.com` is for `mail.contoso.com` (RFC 6125 section 6.4.3).
    fn is_for(&self, host: &Domain) -> bool {
        let host = host.as_str();
        let parent = host.split_once('.').map(|(_, parent)| parent);
        self.hosts.iter().any(|own| match own.strip_prefix("*.") {
            Some(below) => parent.is_some_and(|parent| parent.eq_ignore_ascii_case(below)),
            None => own.eq_ignore_ascii_case(host),
        })
    }
}

/// The place of the certificate that is shown as `host`: the one that is asked for by its name, else the first that is for
/// the host, else the first. `None` where the one that is asked for is not there: to show another would be to guess.
pub fn choose(asked_for: Option<&CertificateName>, host: &Domain, own: &[OwnCertificate]) -> Option<usize> {
    match asked_for {
        Some(wanted) => named(wanted, own),
        None => Some(own.iter().position(|certificate| certificate.is_for(host)).unwrap_or(0)),
    }
}

/// The place of the certificate with this name.
pub fn named(wanted: &CertificateName, own: &[OwnCertificate]) -> Option<usize> {
    own.iter().position(|certificate| certificate.name.as_ref().is_some_and(|name| name.is_same(wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_comes_before_the_host_and_the_host_before_the_first() {
        let certificate = |name: &str, hosts: &[&str]| OwnCertificate {
            name: name.parse().ok(),
            hosts: hosts.iter().map(|host| (*host).into()).collect(),
        };
        let own = [
            certificate("<I>CN=CA<S>CN=first", &["first.contoso.com"]),
            certificate("<I>CN=CA<S>CN=wild", &["*.contoso.com"]),
            certificate("<I>CN=CA<S>CN=relay, O=Contoso", &["relay.contoso.com", "RELAY2.contoso.com"]),
            certificate("unreadable", &["elsewhere.example"]),
        ];
        for (asked_for, host, expected) in [
            (None, "first.contoso.com", Some(0)),
            (None, "mail.contoso.com", Some(1)),
            // In the order of the document: what is more exact has to stand first.
            (None, "relay.contoso.com", Some(1)),
            (None, "a.b.contoso.com", Some(0)),
            (None, "contoso.com", Some(0)),
            (None, "Elsewhere.example", Some(3)),
            (Some("<I>CN=CA<S>O=Contoso, CN=relay"), "first.contoso.com", Some(2)),
            (Some("<I>CN=CA<S>CN=gone"), "first.contoso.com", None),
        ] {
            let asked_for: Option<CertificateName> = asked_for.map(|name| name.parse().expect("a name"));
            let host = Domain::parse(host).expect("a domain");
            assert_eq!(choose(asked_for.as_ref(), &host, &own), expected, "{asked_for:?} {host}");
        }
        assert_eq!(choose(None, &Domain::parse("mail.contoso.com").expect("a domain"), &own[..1]), Some(0));
    }
}
