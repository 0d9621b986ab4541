//! `gatepost route`: which way a message would leave, and why not another, asked of the settings without traffic; on demand of
//! name servers, too.

use std::io::Write;
use std::path::Path;

use gatepost_mail::{Mailbox, ReversePath};
use gatepost_manage::document::Document;
use gatepost_policy::Settings;
use gatepost_policy::itinerary::{Fate, Leg, itinerary};
use gatepost_policy::route::{MailSource, NextHop, Route};
use gatepost_policy::send_connector::{MailboxProtocol, SendConnector};
use gatepost_policy::settings::parse_size;
use gatepost_transport::dns::{Dns, Target};
use serde::Serialize;

use super::write_json;
use crate::cli::RouteArguments;
use crate::failure::Failure;
use crate::terminal::{Table, count, harmless, size};

/// Longer lists are cut for people; JSON has everything.
const CONNECTORS_SHOWN_MAX: usize = 20;

/// What `--json` prints.
#[derive(Serialize)]
struct Report {
    file: String,
    recipients: Vec<Destination>,
}

/// One recipient in the end.
#[derive(Serialize)]
struct Destination {
    recipient: String,
    /// `maildir`, `mailbox_server`, `send_connector`, `unreachable` or `failed`.
    way: &'static str,
    connector: Option<String>,
    next_hop: Option<String>,
    /// Why there is no way.
    reason: Option<String>,
    /// What stands in while the next hop cannot be reached.
    stand_ins: Vec<StandIn>,
    connectors: Vec<Weighed>,
    /// Whom the name servers name now; none: nobody asked them.
    #[serde(skip_serializing_if = "Option::is_none")]
    hosts: Option<Hosts>,
}

/// What looking a next hop up came to.
#[derive(Clone, Serialize)]
#[serde(rename_all = "snake_case")]
enum Hosts {
    /// They would be tried in this order.
    Found(Vec<Host>),
    /// What senders would be told.
    Failed(String),
}

#[derive(Clone, Serialize)]
struct Host {
    name: String,
    /// Address and port, or the path of a socket.
    address: String,
    /// The best is 0; those of one rank are tried in any order.
    rank: u32,
}

#[derive(Serialize)]
struct StandIn {
    connector: String,
    next_hop: String,
}

#[derive(Serialize)]
struct Weighed {
    name: String,
    taken: bool,
    why: String,
}

/// Answers the question.
pub fn route(out: &mut dyn Write, config: &Path, arguments: &RouteArguments) -> Result<(), Failure> {
    let document = Document::read(config)?;
    let settings = &document.settings;
    let recipient = Mailbox::parse(&arguments.recipient)
        .map_err(|error| Failure::of(format!("`{}` is no address: {error}", harmless(&arguments.recipient))))?;
    let reverse_path = match arguments.sender.as_deref() {
        None | Some("" | "<>") => ReversePath::Null,
        Some(sender) => ReversePath::Mailbox(
            Mailbox::parse(sender)
                .map_err(|error| Failure::of(format!("`{}` is no address: {error}", harmless(sender))))?,
        ),
    };
    let bytes = match &arguments.size {
        Some(text) => parse_size(text).ok_or_else(|| Failure::of(format!("`{text}` is no size: write 5MB")))?,
        None => 0,
    };
    let receive_connector = match &arguments.receive_connector {
        Some(name) => receive_connector(settings, name)?,
        None => "",
    };
    let sender_domain = reverse_path.mailbox().map(|sender| sender.domain());
    let legs = itinerary(settings, &recipient, bytes, Some(MailSource { receive_connector, sender_domain }));
    let hosts: Vec<Option<Hosts>> = match arguments.resolve {
        true => resolve(settings, &legs)?,
        false => legs.iter().map(|_| None).collect(),
    };
    if arguments.json {
        let recipients =
            legs.iter().zip(hosts).map(|(leg, hosts)| Destination { hosts, ..destination(leg, bytes) }).collect();
        return write_json(out, &Report { file: config.display().to_string(), recipients });
    }
    for (number, (leg, hosts)) in legs.iter().zip(&hosts).enumerate() {
        if number > 0 {
            writeln!(out)?;
        }
        write_leg(out, leg, hosts.as_ref(), bytes)?;
    }
    Ok(())
}

fn receive_connector<'s>(settings: &'s Settings, name: &str) -> Result<&'s str, Failure> {
    let mut connectors = settings.receive_connectors.iter();
    match connectors.find(|connector| connector.name.eq_ignore_ascii_case(name)) {
        Some(connector) => Ok(&connector.name),
        None => {
            let names: Vec<&str> = settings.receive_connectors.iter().map(|connector| &*connector.name).collect();
            let message = format!("there is no receive connector `{}`; there are {}", harmless(name), names.join(", "));
            Err(Failure::of(message))
        }
    }
}

fn destination(leg: &Leg, bytes: u64) -> Destination {
    let (way, connector, next_hop, reason) = match &leg.route {
        Route::Local { mailbox } => ("maildir", None, Some(mailbox.folder.to_string()), None),
        Route::Send { connector, next_hop } => {
            let way = if connector.mailbox_protocol.is_some() { "mailbox_server" } else { "send_connector" };
            (way, Some(connector.name.to_string()), Some(next_hop.to_string()), None)
        }
        Route::Unreachable { reason } => ("unreachable", None, None, Some((*reason).to_owned())),
        Route::Failed(reply) => ("failed", None, None, Some(reply.to_string())),
    };
    let stand_in = |(connector, next_hop): &(std::sync::Arc<SendConnector>, NextHop)| StandIn {
        connector: connector.name.to_string(),
        next_hop: next_hop.to_string(),
    };
    let weighed = |(connector, fate): &(std::sync::Arc<SendConnector>, Fate)| Weighed {
        name: connector.name.to_string(),
        taken: matches!(fate, Fate::Taken | Fate::Linked),
        why: why(connector, *fate, bytes),
    };
    Destination {
        recipient: leg.recipient.to_string(),
        way,
        connector,
        next_hop,
        reason,
        stand_ins: leg.stand_ins.iter().map(stand_in).collect(),
        connectors: leg.connectors.iter().map(weighed).collect(),
        hosts: None,
    }
}

/// Asks the name servers that the settings name, as the server would before it connects.
fn resolve(settings: &Settings, legs: &[Leg]) -> Result<Vec<Option<Hosts>>, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let dns = Dns::new(settings);
        let mut hosts = Vec::with_capacity(legs.len());
        // Members of a group go the same few ways.
        let mut known: Vec<(&str, &NextHop, Hosts)> = Vec::new();
        for leg in legs {
            let Route::Send { connector, next_hop } = &leg.route else {
                hosts.push(None);
                continue;
            };
            let before = known.iter().find(|(name, hop, _)| *name == &*connector.name && *hop == next_hop);
            let found = match before {
                Some((.., found)) => found.clone(),
                None => {
                    let found = look_up(&dns, connector, next_hop).await;
                    known.push((&connector.name, next_hop, found.clone()));
                    found
                }
            };
            hosts.push(Some(found));
        }
        Ok(hosts)
    })
}

async fn look_up(dns: &Dns, connector: &SendConnector, next_hop: &NextHop) -> Hosts {
    match dns.targets(next_hop, connector).await {
        Ok(targets) => {
            let host =
                |target: &Target| Host { name: target.name.clone(), address: target.to_string(), rank: target.rank };
            Hosts::Found(targets.iter().map(host).collect())
        }
        Err(error) => Hosts::Failed(error.reply.to_string()),
    }
}

fn write_leg(out: &mut dyn Write, leg: &Leg, hosts: Option<&Hosts>, bytes: u64) -> Result<(), Failure> {
    let recipient = &leg.recipient;
    match &leg.route {
        Route::Local { mailbox } => writeln!(out, "{recipient} has a mailbox here: the Maildir {}.", mailbox.folder)?,
        Route::Send { connector, next_hop } => match connector.mailbox_protocol {
            Some(protocol) => {
                let protocol = if protocol == MailboxProtocol::Lmtp { "LMTP" } else { "SMTP" };
                writeln!(out, "{recipient} has a mailbox on a server of ours: by {protocol} to {next_hop}.")?;
            }
            None => writeln!(out, "{recipient} leaves by `{}`: {}.", connector.name, where_to(next_hop))?,
        },
        Route::Unreachable { .. } => {
            writeln!(out, "No send connector takes mail for {recipient}: it would wait until one does, or expire.")?;
        }
        Route::Failed(reply) => writeln!(out, "Mail for {recipient} fails, and its sender is told: {reply}")?,
    }
    match hosts {
        None => {}
        Some(Hosts::Failed(reply)) => writeln!(out, "Nobody can be asked there now: {}", harmless(reply))?,
        Some(Hosts::Found(hosts)) => {
            let mut table = Table::new(&["tried", "host", "address"]);
            for host in hosts {
                table.row(&[&(host.rank + 1).to_string(), &host.name, &host.address]);
            }
            writeln!(out)?;
            table.write(out)?;
        }
    }
    if !leg.connectors.is_empty() {
        let mut table = Table::new(&["send connector", ""]);
        for (connector, fate) in leg.connectors.iter().take(CONNECTORS_SHOWN_MAX) {
            table.row(&[&connector.name, &why(connector, *fate, bytes)]);
        }
        writeln!(out)?;
        table.write(out)?;
        if leg.connectors.len() > CONNECTORS_SHOWN_MAX {
            let more = (leg.connectors.len() - CONNECTORS_SHOWN_MAX) as u64;
            writeln!(out, "and {} more; --json has all of them", count(more, "connector", "connectors"))?;
        }
    }
    for (number, (connector, next_hop)) in leg.stand_ins.iter().enumerate() {
        let begin = if number == 0 { "While it cannot be reached" } else { "While that cannot be reached either" };
        writeln!(out, "{begin}, `{}` stands in: {}.", connector.name, where_to(next_hop))?;
    }
    Ok(())
}

fn where_to(next_hop: &NextHop) -> String {
    match next_hop {
        NextHop::Domain(domain) if domain.is_literal() => format!("to {domain}"),
        NextHop::Domain(domain) => format!("where the MX records of {domain} lead"),
        hosts => format!("to {hosts}"),
    }
}

fn why(connector: &SendConnector, fate: Fate, bytes: u64) -> String {
    let spaces = || connector.address_spaces.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match fate {
        Fate::Taken => format!("taken: {}", spaces()),
        Fate::Linked => "taken: it is linked to the receive connector".to_owned(),
        Fate::NotAsked => "another one is linked to the receive connector".to_owned(),
        Fate::TooLarge(max) => format!("takes messages of up to {}, not of {}", size(max), size(bytes)),
        Fate::LessSpecific => format!("leads there too, but less specifically: {}", spaces()),
        Fate::LessClose => "just as specific, but another one asks closer for this source".to_owned(),
        Fate::Dearer(cost) => format!("just as specific, but it costs {cost}"),
        Fate::LaterName => "just as good; the first name is taken".to_owned(),
        Fate::Disabled => "disabled".to_owned(),
        Fate::OtherSource => format!("only for mail {}", sources(connector)),
        Fate::Elsewhere => format!("does not lead there: {}", spaces()),
        Fate::OnlyByName => "has no address spaces; others name it".to_owned(),
    }
}

fn sources(connector: &SendConnector) -> String {
    let sources = &connector.sources;
    let mut parts = Vec::new();
    if !sources.receive_connectors.is_empty() {
        parts.push(format!("that comes in by {}", sources.receive_connectors.join(" or ")));
    }
    if !sources.sender_domains.is_empty() {
        let domains: Vec<String> = sources.sender_domains.iter().map(ToString::to_string).collect();
        parts.push(format!("from {}", domains.join(" or ")));
    }
    parts.join(" and ")
}
