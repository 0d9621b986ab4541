//! Reads the keys of a `[[send_connector]]` that say when it is taken beside its address spaces, and checks the names in
//! them: the source, the link to a receive connector, the connector that stands in (fact sheet section 4.4).

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use toml::de::DeValue;

use super::reader::{Collector, Fields, Wrong, shown};
use super::values;
use crate::receive_connector::ReceiveConnector;
use crate::send_connector::{SendConnector, Sources, Space};

/// A name that another table has to have, and its place.
type Named = (Arc<str>, Range<usize>);

/// What one connector says.
pub(super) struct RouteKeys {
    pub sources: Sources,
    pub linked_receive_connector: Option<Arc<str>>,
    pub fallback_connector: Option<Arc<str>>,
    pub references: References,
}

/// The names of other tables in it.
#[derive(Default)]
pub(super) struct References {
    receive_connectors: Vec<Named>,
    linked: Option<Named>,
    fallback: Option<Named>,
    /// Whether it says where it leads, in a way that could not be taken: one mistake is told once.
    pub(super) spaces_are_bad: bool,
}

impl References {
    /// Those of a connector that was read before and has none standing in for it. What is wrong about them is told where the
    /// connector's name stands.
    pub(super) fn of(connector: &SendConnector) -> References {
        let named = |name: &Arc<str>| (name.clone(), connector.span.clone());
        References {
            receive_connectors: connector.sources.receive_connectors.iter().map(named).collect(),
            linked: connector.linked_receive_connector.as_ref().map(named),
            fallback: connector.fallback_connector.as_ref().map(named),
            spaces_are_bad: false,
        }
    }
}

pub(super) fn read(fields: &mut Fields<'_, '_, '_>) -> RouteKeys {
    let receive_connectors = fields.list("source_receive_connectors", |value, _| connector_name(value));
    let receive_connectors = receive_connectors.unwrap_or_default();
    let sender_domains = fields.list("source_sender_domains", |value, _| sender_domain(value)).unwrap_or_default();
    let linked = fields.optional("linked_receive_connector", connector_name);
    let linked_span = fields.span_of("linked_receive_connector");
    let fallback = fields.optional("fallback_connector", connector_name);
    let fallback_span = fields.span_of("fallback_connector");
    if linked.is_some() {
        for key in ["source_receive_connectors", "source_sender_domains"] {
            if fields.is_given(key) {
                let message = format!("`{key}`: a linked connector takes everything that its receive connector brings");
                fields.error_at(key, message, "remove it, or write address_spaces instead of linked_receive_connector");
            }
        }
    }
    RouteKeys {
        sources: Sources {
            receive_connectors: receive_connectors.iter().map(|(name, _)| name.clone()).collect(),
            sender_domains: sender_domains.into_iter().map(|(domain, _)| domain).collect(),
        },
        linked_receive_connector: linked.clone(),
        fallback_connector: fallback.clone(),
        references: References {
            receive_connectors,
            linked: linked.map(|name| (name, linked_span)),
            fallback: fallback.map(|name| (name, fallback_span)),
            spaces_are_bad: false,
        },
    }
}

fn connector_name(value: &DeValue<'_>) -> Result<Arc<str>, Wrong> {
    values::name(value).map(Into::into)
}

fn sender_domain(value: &DeValue<'_>) -> Result<Space, Wrong> {
    let text = values::string(value)?.trim();
    let remedy = "write \"contoso.com\", or \"*.contoso.com\" for it and everything below";
    if text == "*" {
        return Err(Wrong::new("`*` is every sender", "leave the key out: then every sender is meant"));
    }
    if text.contains('@') {
        return Err(Wrong::new(format!("`{}` is an address: senders are told apart by domain", shown(text)), remedy));
    }
    let (domain, with_subdomains) = values::domain_with_subdomains(value)?;
    Ok(if with_subdomains { Space::WithSubdomains(domain) } else { Space::Exact(domain) })
}

/// What connectors say of each other: names that are there, no circles, and a way to each.
pub(super) fn check(
    collector: &mut Collector<'_>,
    send: &[Arc<SendConnector>],
    references: &[References],
    receive: &[Arc<ReceiveConnector>],
) {
    let receive_names: HashMap<String, &Arc<ReceiveConnector>> =
        receive.iter().map(|connector| (connector.name.to_lowercase(), connector)).collect();
    let places: HashMap<String, usize> =
        send.iter().enumerate().map(|(place, connector)| (connector.name.to_lowercase(), place)).collect();
    let mut linked: HashMap<String, Range<usize>> = HashMap::new();
    for (connector, References { receive_connectors, linked: link, fallback, .. }) in send.iter().zip(references) {
        for (name, span) in receive_connectors.iter().chain(link) {
            if !receive_names.contains_key(&name.to_lowercase()) {
                let message = format!("there is no receive connector `{}`", shown(name));
                collector.error(span.clone(), message, "write the name of a [[receive_connector]]");
            }
        }
        if let Some((name, span)) = link.as_ref().filter(|_| connector.enabled)
            && let Some(first) = linked.insert(name.to_lowercase(), span.clone())
        {
            let message = format!("two send connectors are linked to `{}`", shown(name));
            let remedy = "link one, or disable one of them";
            collector.error_between(span.clone(), message, remedy, (first, "the first is here"));
        }
        let Some((name, span)) = fallback else { continue };
        match places.get(&name.to_lowercase()) {
            None => {
                let message = format!("there is no send connector `{}`", shown(name));
                collector.error(span.clone(), message, "write the name of another [[send_connector]]");
            }
            Some(place) if !send[*place].enabled => collector.warning(
                span.clone(),
                format!("`{}` is disabled, so it does not stand in for {}", shown(name), connector.name),
                "enable it, or remove fallback_connector",
            ),
            Some(_) => {}
        }
    }
    check_circles(collector, send, references, &places);
    check_ways(collector, send, references);
}

/// A connector that stands in for itself in the end would be asked for ever.
fn check_circles(
    collector: &mut Collector<'_>,
    send: &[Arc<SendConnector>],
    references: &[References],
    places: &HashMap<String, usize>,
) {
    let next = |place: usize| {
        let (name, _) = references[place].fallback.as_ref()?;
        places.get(&name.to_lowercase()).copied()
    };
    // Each circle is told once: at its first connector.
    let mut is_told = vec![false; send.len()];
    for (start, References { fallback, .. }) in references.iter().enumerate() {
        let Some((_, span)) = fallback else { continue };
        let mut way = vec![start];
        let mut at = start;
        let closes = loop {
            match next(at) {
                Some(place) if place == start => break true,
                Some(place) if way.len() <= send.len() && !way.contains(&place) => {
                    way.push(place);
                    at = place;
                }
                _ => break false,
            }
        };
        if closes && !way.iter().any(|place| is_told[*place]) {
            way.iter().for_each(|place| is_told[*place] = true);
            let names = way.iter().chain([&start]).map(|place| &*send[*place].name).collect::<Vec<_>>().join(" -> ");
            collector.error(
                span.clone(),
                format!("connectors stand in for each other in a circle: {names}"),
                "let the last of them stand without fallback_connector",
            );
        }
    }
}

/// A connector without address spaces is for those that name it.
fn check_ways(collector: &mut Collector<'_>, send: &[Arc<SendConnector>], references: &[References]) {
    let names = send.iter().filter_map(|connector| connector.fallback_connector.as_deref());
    let standing_in: Vec<String> = names.map(str::to_lowercase).collect();
    for (connector, References { spaces_are_bad, .. }) in send.iter().zip(references) {
        let is_asked =
            connector.linked_receive_connector.is_some() || !connector.address_spaces.is_empty() || *spaces_are_bad;
        if !is_asked && !standing_in.contains(&connector.name.to_lowercase()) && !connector.span.is_empty() {
            collector.error(
                connector.span.clone(),
                "no mail would ever take this connector: it has no `address_spaces`, and no other names it as fallback_connector",
                "write which domains it leads to: address_spaces = [\"SMTP:*;1\"] for all",
            );
        }
    }
}
