//! Which mail takes another way out under other settings: what somebody who changes send connectors wants to know before.
//!
//! Takes two revisions of the settings, hands on what goes another way, and which. Asks `route`, which decides, about one
//! domain for each address space that either revision declares, so that it cannot tell anything else than what will happen.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use gatepost_mail::Domain;

use crate::accepted_domain::DomainKind;
use crate::route::{NextHop, way_out};
use crate::send_connector::{SendConnector, Space};
use crate::settings::Settings;

/// More is counted, not told.
const TOLD_MAX: usize = 20;
/// Stands for a domain, or what is before a domain, that nobody declares: it is covered by what covers everything there.
const NOBODYS: &str = "gatepost-asks-where-this-goes";

/// Some mail that takes another way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rerouted {
    /// Which mail.
    pub mail: Mail,
    /// The way that it took; none: it waited.
    pub before: Option<Way>,
    /// The way that it takes; none: it waits.
    pub after: Option<Way>,
}

/// Some mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mail {
    /// For recipients of this address space.
    For(Space),
    /// What a connector asks for that is for some sources only.
    Of {
        /// What came in by these receive connectors; by any, where there are none.
        receive_connectors: Vec<Arc<str>>,
        /// Of senders in these domains; of anybody, where there are none.
        sender_domains: Vec<Space>,
        /// For recipients of these address spaces; for anybody, where there are none.
        spaces: Vec<Space>,
    },
}

/// A way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Way {
    /// The send connector.
    pub connector: Arc<str>,
    /// Its smart hosts; none: where the MX records of the recipient's domain lead.
    pub smart_hosts: Option<String>,
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.smart_hosts {
            Some(hosts) => write!(f, "by {} to {hosts}", self.connector),
            None => write!(f, "by {} to its MX hosts", self.connector),
        }
    }
}

impl fmt::Display for Mail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mail::For(Space::All) => f.write_str("mail for all other domains"),
            Mail::For(Space::WithSubdomains(domain)) => write!(f, "mail for {domain} and what is below it"),
            Mail::For(space) => write!(f, "mail for {space}"),
            Mail::Of { receive_connectors, sender_domains, spaces } => {
                f.write_str("mail")?;
                listed(f, " that came in by ", receive_connectors)?;
                listed(f, " of senders in ", sender_domains)?;
                listed(f, " for ", spaces)
            }
        }
    }
}

fn listed(f: &mut fmt::Formatter<'_>, before: &str, all: &[impl fmt::Display]) -> fmt::Result {
    for (place, one) in all.iter().enumerate() {
        write!(f, "{}{one}", if place == 0 { before } else { ", " })?;
    }
    Ok(())
}

/// A sentence: `Mail for fabrikam.com: by Partner to [10.2.0.25]:25, until now by Internet to its MX hosts`.
impl fmt::Display for Rerouted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mail = self.mail.to_string();
        write!(f, "M{}: ", mail.strip_prefix('m').unwrap_or(&mail))?;
        match (&self.before, &self.after) {
            (None, Some(after)) => write!(f, "{after}, until now by no connector"),
            (Some(before), Some(after)) => write!(f, "{after}, until now {before}"),
            (before, None) => {
                f.write_str("waits, as no connector leads there")?;
                before.iter().try_for_each(|before| write!(f, ", until now {before}"))
            }
        }
    }
}

/// The same as sentences, the first of them.
pub fn told(before: &Settings, after: &Settings) -> Vec<String> {
    let all = difference(before, after);
    let mut told: Vec<String> = all.iter().take(TOLD_MAX).map(ToString::to_string).collect();
    if all.len() > TOLD_MAX {
        told.push(format!("And {} more address spaces have another way.", all.len() - TOLD_MAX));
    }
    told
}

/// What goes another way under `after` than it did under `before`, in the order of the address spaces' names.
pub fn difference(before: &Settings, after: &Settings) -> Vec<Rerouted> {
    // Nearly every change is about something else.
    if before.send_connectors == after.send_connectors && before.accepted_domains == after.accepted_domains {
        return Vec::new();
    }
    let mut spaces: BTreeMap<String, (Space, Domain)> = BTreeMap::new();
    for settings in [before, after] {
        for connector in &settings.send_connectors {
            for space in connector.address_spaces.iter().map(|space| &space.space) {
                for (space, asked) in asked(space, settings) {
                    spaces.entry(space.to_string()).or_insert((space, asked));
                }
            }
        }
    }
    let is_own = |settings: &Settings, domain: &Domain| {
        settings.domains.find(domain).is_some_and(|accepted| accepted.kind == DomainKind::Authoritative)
    };
    let rerouted = spaces.into_values().filter_map(|(space, domain)| {
        if is_own(before, &domain) && is_own(after, &domain) {
            return None;
        }
        let [old, new] = [before, after]
            .map(|settings| if is_own(settings, &domain) { None } else { way_out(settings, &domain, None) }.map(way));
        (old != new).then_some(Rerouted { mail: Mail::For(space), before: old, after: new })
    });
    rerouted.chain(of_sources(before, after)).collect()
}

/// What an address space stands for, each with a domain that is asked about.
fn asked(space: &Space, settings: &Settings) -> Vec<(Space, Domain)> {
    let below = |domain: &str| Domain::parse(&format!("{NOBODYS}.{domain}")).ok();
    match space {
        Space::Exact(domain) => vec![(space.clone(), domain.clone())],
        Space::WithSubdomains(domain) => {
            vec![(space.clone(), below(domain.as_str()).unwrap_or_else(|| domain.clone()))]
        }
        Space::All => below("invalid").map(|domain| (space.clone(), domain)).into_iter().collect(),
        Space::AcceptedDomains => {
            let relayed = settings.accepted_domains.iter().filter(|own| own.kind != DomainKind::Authoritative);
            relayed.map(|own| (Space::Exact(own.domain.clone()), own.domain.clone())).collect()
        }
    }
}

fn way((connector, next_hop): (&Arc<SendConnector>, NextHop)) -> Way {
    let smart_hosts = match &next_hop {
        NextHop::SmartHosts(_) => Some(next_hop.to_string()),
        NextHop::Domain(_) => None,
    };
    Way { connector: connector.name.clone(), smart_hosts }
}

/// What connectors that are for some sources only take from now on. What they no longer take goes by the address spaces.
fn of_sources<'a>(before: &'a Settings, after: &'a Settings) -> impl Iterator<Item = Rerouted> + 'a {
    let asks = |connector: &SendConnector| {
        connector.enabled && (!connector.sources.are_all() || connector.linked_receive_connector.is_some())
    };
    let of = move |settings: &Settings, name: &str| {
        let connector = settings.send_connector(name).filter(|connector| asks(connector))?;
        let spaces = connector.address_spaces.iter().map(|space| space.space.clone()).collect();
        let mut receive_connectors = connector.sources.receive_connectors.clone();
        receive_connectors.extend(connector.linked_receive_connector.clone());
        let sender_domains = connector.sources.sender_domains.clone();
        let smart_hosts = NextHop::SmartHosts(connector.smart_hosts.clone()).to_string();
        let smart_hosts = Some(smart_hosts).filter(|hosts| !hosts.is_empty());
        let mail = Mail::Of { receive_connectors, sender_domains, spaces };
        Some((mail, Way { connector: connector.name.clone(), smart_hosts }))
    };
    after.send_connectors.iter().filter_map(move |connector| {
        let (mail, way) = of(after, &connector.name)?;
        let old = of(before, &connector.name);
        if old.as_ref() == Some(&(mail.clone(), way.clone())) {
            return None;
        }
        let old = old.filter(|(old, _)| *old == mail).map(|(_, way)| way);
        Some(Rerouted { mail, before: old, after: Some(way) })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::{self, Defaults};

    const BASE: &str = "[[accepted_domain]]\nname = \"contoso.com\"\n\
        [[accepted_domain]]\nname = \"branch.example\"\ndomain_type = \"InternalRelay\"\n\
        [[receive_connector]]\nname = \"Scanner\"\nbindings = [\"127.0.0.1:25\"]\nremote_ip_ranges = [\"127.0.0.1\"]\n";

    fn connector(name: &str, more: &str) -> String {
        format!("[[send_connector]]\nname = \"{name}\"\n{more}\n")
    }

    fn read(text: &str) -> Settings {
        let text = format!("{BASE}{text}");
        settings::parse(&text, &Defaults { host_name: "mail.contoso.com".to_owned(), data_dir: "data".into() })
            .unwrap_or_else(|problems| panic!("{problems:?}\n{text}"))
    }

    #[track_caller]
    fn check(before: &str, after: &str, expected: &[&str]) {
        assert_eq!(told(&read(before), &read(after)), expected, "{before}\n=>\n{after}");
    }

    #[test]
    fn only_what_takes_another_way_is_told() {
        let internet = connector("Internet", "address_spaces = [\"*\"]");
        let disabled = connector("Internet", "address_spaces = [\"*\"]\nenabled = false");
        let commented = connector("Internet", "address_spaces = [\"*\"]\ncomment = \"x\"");
        let partner = connector("Partner", "address_spaces = [\"*.fabrikam.com\"]\nsmart_hosts = [\"[10.2.0.25]\"]");
        let dear = connector("Partner", "address_spaces = [\"SMTP:*;50\"]\nsmart_hosts = [\"[10.2.0.25]\"]");
        let own = connector("Own", "address_spaces = [\"--\", \"contoso.com\"]\nsmart_hosts = [\"[10.2.0.9]\"]");
        let linked = connector(
            "Scans",
            "linked_receive_connector = \"Scanner\"\nsmart_hosts = [\"[10.2.0.7]\"]\nsmart_host_auth_mechanism = \"None\"",
        );
        check("", "", &[]);
        check("", &internet, &["Mail for all other domains: by Internet to its MX hosts, until now by no connector"]);
        check(&internet, &commented, &[]);
        check(
            &internet,
            &disabled,
            &["Mail for all other domains: waits, as no connector leads there, until now by Internet to its MX hosts"],
        );
        let both = format!("{internet}{partner}");
        check(
            &internet,
            &both,
            &[
                "Mail for fabrikam.com and what is below it: by Partner to [10.2.0.25]:25, until now by Internet to its MX hosts",
            ],
        );
        // What costs more changes nothing as long as the other is there.
        check(&internet, &format!("{internet}{dear}"), &[]);
        check(
            &disabled,
            &format!("{disabled}{dear}"),
            &["Mail for all other domains: by Partner to [10.2.0.25]:25, until now by no connector"],
        );
        // Mail for our own mailboxes is not sent anywhere.
        check("", &own, &["Mail for branch.example: by Own to [10.2.0.9]:25, until now by no connector"]);
        check(
            &internet,
            &format!("{internet}{linked}"),
            &["Mail that came in by Scanner: by Scans to [10.2.0.7]:25, until now by no connector"],
        );
    }
}
