//! Which mail takes another way out under other settings: what somebody who changes send connectors wants to know before.
//!
//! Takes two revisions of the settings, hands on what goes another way, and which. Asks `route`, which decides, about one
//! domain for each address space that either revision declares, so that it cannot tell anything else than what will happen;
//! and about each source that a changed connector is for, since that one has a way of its own.

use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::sync::Arc;

use gatepost_mail::Domain;

use crate::accepted_domain::{self, DomainKind};
use crate::route::{NextHop, way_out};
use crate::send_connector::{self, MailSource, SendConnector, Space};
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
    /// Mail of some sources, which a connector asks for that is for those only.
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
    if send_connector::are_alike(&before.send_connectors, &after.send_connectors)
        && accepted_domain::are_alike(&before.accepted_domains, &after.accepted_domains)
    {
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
    let rerouted = spaces.into_values().filter_map(|(space, domain)| {
        let [old, new] = [before, after].map(|settings| way_of(settings, &domain, None));
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

/// The way of mail of `source`, where it is sent at all: what is for our own mailboxes stays, unless a connector takes all of
/// that source.
fn way_of(settings: &Settings, domain: &Domain, source: Option<MailSource<'_>>) -> Option<Way> {
    let is_own = || settings.domains.find(domain).is_some_and(|own| own.kind == DomainKind::Authoritative);
    if settings.address_spaces.linked(source).is_none() && is_own() {
        return None;
    }
    way_out(settings, domain, source).map(way)
}

/// Some mail of [`Mail::Of`], with its ways.
#[derive(PartialEq)]
struct Part {
    receive_connectors: Vec<Arc<str>>,
    sender_domains: Vec<Space>,
    spaces: Vec<Space>,
    before: Option<Way>,
    after: Option<Way>,
}

impl Part {
    fn mail(&self) -> Mail {
        Mail::Of {
            receive_connectors: self.receive_connectors.clone(),
            sender_domains: self.sender_domains.clone(),
            spaces: self.spaces.clone(),
        }
    }
}

/// Which mail of some sources goes another way: by a connector that is for those only, or no longer by one. Asks about each
/// source that such a connector names under either revision.
fn of_sources(before: &Settings, after: &Settings) -> Vec<Rerouted> {
    let is_for_some = |connector: &SendConnector| {
        connector.enabled && (!connector.sources.are_all() || connector.linked_receive_connector.is_some())
    };
    // Accepted domains change what `--` stands for.
    let is_list_same = accepted_domain::are_alike(&before.accepted_domains, &after.accepted_domains);
    let is_same = |name: &str| match (before.send_connector(name), after.send_connector(name)) {
        (Some(before), Some(after)) => is_list_same && before.is_like(after),
        _ => false,
    };
    let mut parts = Vec::new();
    // Two connectors, or two revisions of one, may be for the same mail.
    let mut known = HashSet::new();
    for settings in [before, after] {
        let connectors = settings.send_connectors.iter().filter(|connector| is_for_some(connector));
        for connector in connectors.filter(|connector| !is_same(&connector.name)) {
            for part in parts_of(connector, settings, before, after) {
                if known.insert(part.mail().to_string()) && part.before != part.after {
                    parts.push(part);
                }
            }
        }
    }
    let parts = joined(parts, |part| &mut part.spaces);
    let parts = joined(parts, |part| &mut part.receive_connectors);
    let parts = joined(parts, |part| &mut part.sender_domains);
    parts.into_iter().map(|part| Rerouted { mail: part.mail(), before: part.before, after: part.after }).collect()
}

/// Every mail that a connector of `settings` asks for, one source and one address space each, with its ways.
fn parts_of(connector: &SendConnector, settings: &Settings, before: &Settings, after: &Settings) -> Vec<Part> {
    let sources = &connector.sources;
    let named = sources.receive_connectors.iter().chain(&connector.linked_receive_connector);
    let receive_connectors = or_any(named.cloned());
    let senders = or_any(sources.sender_domains.iter().flat_map(|space| asked(space, settings)));
    let asked_spaces = connector.address_spaces.iter().flat_map(|space| asked(&space.space, settings));
    let spaces: Vec<(Option<Space>, Domain)> = match connector.linked_receive_connector {
        // It takes what is for anybody.
        Some(_) => asked(&Space::All, settings).into_iter().map(|(_, domain)| (None, domain)).collect(),
        None => asked_spaces.map(|(space, domain)| (Some(space), domain)).collect(),
    };
    let mut parts = Vec::new();
    for sender in &senders {
        for receive_connector in &receive_connectors {
            let source = MailSource {
                receive_connector: receive_connector.as_deref().unwrap_or(NOBODYS),
                sender_domain: sender.as_ref().map(|(_, domain)| domain),
            };
            parts.extend(spaces.iter().map(|(space, domain)| Part {
                receive_connectors: receive_connector.iter().cloned().collect(),
                sender_domains: sender.iter().map(|(space, _)| space.clone()).collect(),
                spaces: space.iter().cloned().collect(),
                before: way_of(before, domain, Some(source)),
                after: way_of(after, domain, Some(source)),
            }));
        }
    }
    parts
}

/// What is named; one that stands for anything, where nothing is.
fn or_any<T>(named: impl Iterator<Item = T>) -> Vec<Option<T>> {
    let mut named = named.map(Some).peekable();
    if named.peek().is_none() { vec![None] } else { named.collect() }
}

/// Neighbours that differ in one list only, as one. An empty list means anything, and stays by itself.
fn joined<T>(parts: Vec<Part>, list: fn(&mut Part) -> &mut Vec<T>) -> Vec<Part> {
    let mut joined: Vec<(Part, Vec<T>)> = Vec::new();
    for mut part in parts {
        let own = std::mem::take(list(&mut part));
        match joined.last_mut() {
            Some((last, listed)) if *last == part && !own.is_empty() && !listed.is_empty() => listed.extend(own),
            _ => joined.push((part, own)),
        }
    }
    let whole = |(mut part, listed): (Part, Vec<T>)| {
        *list(&mut part) = listed;
        part
    };
    joined.into_iter().map(whole).collect()
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
    }

    #[test]
    fn mail_of_some_sources_is_told_both_when_a_connector_takes_it_and_when_it_no_longer_does() {
        let internet = connector("Internet", "address_spaces = [\"*\"]");
        let hosts = "smart_hosts = [\"[10.2.0.7]\"]\nsmart_host_auth_mechanism = \"None\"";
        let linked = |more: &str| {
            let scans = connector("Scans", &format!("linked_receive_connector = \"Scanner\"\n{hosts}\n{more}"));
            format!("{internet}{scans}")
        };
        let from = |sources: &str, spaces: &str| {
            let scans = connector("Scans", &format!("{sources}\naddress_spaces = [{spaces}]\n{hosts}"));
            format!("{internet}{scans}")
        };
        let back = ["Mail that came in by Scanner: by Internet to its MX hosts, until now by Scans to [10.2.0.7]:25"];
        check(
            &internet,
            &linked(""),
            &["Mail that came in by Scanner: by Scans to [10.2.0.7]:25, until now by Internet to its MX hosts"],
        );
        check(&linked(""), &internet, &back);
        check(&linked(""), &linked("enabled = false"), &back);
        check(&linked(""), &linked("comment = \"x\""), &[]);
        check(
            &linked(""),
            &linked("").replace(&internet, ""),
            &["Mail for all other domains: waits, as no connector leads there, until now by Internet to its MX hosts"],
        );
        check(
            &linked("").replace(&internet, ""),
            "",
            &["Mail that came in by Scanner: waits, as no connector leads there, until now by Scans to [10.2.0.7]:25"],
        );

        // Fewer sources, or fewer address spaces: only what was given up is told.
        let both = "source_sender_domains = [\"contoso.com\", \"*.branch.example\"]";
        let one = "source_sender_domains = [\"contoso.com\"]";
        check(
            &from(both, "\"*\""),
            &from(one, "\"*\""),
            &[
                "Mail of senders in *.branch.example for *: by Internet to its MX hosts, until now by Scans to [10.2.0.7]:25",
            ],
        );
        check(
            &from(both, "\"a.example\", \"b.example\""),
            &internet,
            &[
                "Mail of senders in contoso.com, *.branch.example for a.example, b.example: by Internet to its MX hosts, \
                 until now by Scans to [10.2.0.7]:25",
            ],
        );
        check(
            &from(one, "\"a.example\", \"b.example\""),
            &from(one, "\"b.example\""),
            &[
                "Mail of senders in contoso.com for a.example: by Internet to its MX hosts, until now by Scans to [10.2.0.7]:25",
            ],
        );
    }
}
