//! The itinerary of a message that nobody has sent: where each recipient's copy would go, and why no other connector.
//!
//! Takes what `route` takes, hands on each recipient in the end with its route and what became of every send connector.
//! Asks the functions that decide (invariant I12): a connector is said to have lost only against the one they chose.

use std::sync::Arc;

use gatepost_mail::{Mailbox, Recipient};

use crate::resolve;
use crate::route::{self, MailSource, NextHop, Question, Route};
use crate::send_connector::{Candidate, SendConnector, Space};
use crate::settings::Settings;

/// One recipient in the end.
#[derive(Clone, Debug)]
pub struct Leg {
    /// Who.
    pub recipient: Mailbox,
    /// Where the copy goes.
    pub route: Route,
    /// Every send connector with what became of it, the one that is taken first; empty where none was asked.
    pub connectors: Vec<(Arc<SendConnector>, Fate)>,
    /// Who stands in while the next hop cannot be reached, in this order.
    pub stand_ins: Vec<(Arc<SendConnector>, NextHop)>,
}

/// What became of a send connector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is taken.
    Taken,
    /// It is linked to the receive connector that brought the message, so nothing else counted.
    Linked,
    /// Another is linked to that receive connector.
    NotAsked,
    /// It takes messages of up to so many bytes.
    TooLarge(u64),
    /// Its address space is wider than that of the one that is taken.
    LessSpecific,
    /// As specific, but the one that is taken asks closer for the source.
    LessClose,
    /// As specific and as close, but it costs this much.
    Dearer(u32),
    /// As good in everything; its name comes later.
    LaterName,
    /// It is disabled.
    Disabled,
    /// It leads there, for mail of other sources.
    OtherSource,
    /// It does not lead there.
    Elsewhere,
    /// It has no address spaces: it is for receive connectors that are linked to it, or stands in for others.
    OnlyByName,
}

/// Where the copies of a message for `named` would go: one for each recipient that it stands for.
pub fn itinerary(settings: &Settings, named: &Mailbox, message_bytes: u64, source: Option<MailSource<'_>>) -> Vec<Leg> {
    let recipients = resolve::resolve(settings, vec![Recipient::new(named.clone())]).recipients;
    let legs = recipients.into_iter().map(|recipient| {
        let question = Question { settings, recipient: &recipient.mailbox, message_bytes, source };
        leg(&question)
    });
    legs.collect()
}

fn leg(question: &Question<'_>) -> Leg {
    let Question { settings, recipient, message_bytes, .. } = *question;
    let route = route::select(question);
    let (connectors, stand_ins) = match &route {
        Route::Send { connector, .. } if connector.mailbox_protocol.is_some() => (Vec::new(), Vec::new()),
        Route::Send { connector, .. } => {
            let ways = route::ways(settings, connector, message_bytes).skip(1);
            let stand_ins = ways.map(|way| (way.clone(), route::next_hop(way, recipient.domain()))).collect();
            (fates(question, Some(connector)), stand_ins)
        }
        Route::Unreachable { .. } => (fates(question, None), Vec::new()),
        Route::Local { .. } => (Vec::new(), Vec::new()),
        // A refusal for its size comes from the connectors, any other from the recipient.
        Route::Failed(_) => {
            let fates = fates(question, None);
            let is_size = fates.iter().any(|(_, fate)| matches!(fate, Fate::TooLarge(_)));
            (
                if is_size && !settings.domains.is_authoritative(recipient.domain()) { fates } else { Vec::new() },
                Vec::new(),
            )
        }
    };
    Leg { recipient: recipient.clone(), route, connectors, stand_ins }
}

/// Every send connector, the one that is taken first, the others in the order of the document.
fn fates(question: &Question<'_>, taken: Option<&Arc<SendConnector>>) -> Vec<(Arc<SendConnector>, Fate)> {
    let Question { settings, recipient, message_bytes, source } = *question;
    let candidates: Vec<Candidate<'_>> = settings.address_spaces.candidates(recipient.domain(), source).collect();
    let linked = settings.address_spaces.linked(source);
    let chosen = candidates.iter().find(|candidate| taken.is_some_and(|taken| taken.name == candidate.connector.name));
    let fate = |connector: &Arc<SendConnector>| {
        if let Some(linked) = linked {
            return if linked.name == connector.name { Fate::Linked } else { Fate::NotAsked };
        }
        if taken.is_some_and(|taken| taken.name == connector.name) {
            return Fate::Taken;
        }
        if !connector.enabled {
            return Fate::Disabled;
        }
        let Some(own) = candidates.iter().find(|candidate| candidate.connector.name == connector.name) else {
            return match () {
                () if connector.address_spaces.is_empty() => Fate::OnlyByName,
                () if leads_to(settings, connector, recipient) => Fate::OtherSource,
                () => Fate::Elsewhere,
            };
        };
        match chosen {
            _ if !route::takes(connector, message_bytes) => {
                Fate::TooLarge(connector.max_message_size.unwrap_or(u64::MAX))
            }
            Some(chosen) if own.specificity < chosen.specificity => Fate::LessSpecific,
            Some(chosen) if own.closeness < chosen.closeness => Fate::LessClose,
            Some(chosen) if own.cost > chosen.cost => Fate::Dearer(own.cost),
            _ => Fate::LaterName,
        }
    };
    let mut fates: Vec<_> =
        settings.send_connectors.iter().map(|connector| (connector.clone(), fate(connector))).collect();
    fates.sort_by_key(|(_, fate)| !matches!(fate, Fate::Taken | Fate::Linked));
    fates
}

fn leads_to(settings: &Settings, connector: &SendConnector, recipient: &Mailbox) -> bool {
    connector.address_spaces.iter().any(|address_space| match &address_space.space {
        Space::AcceptedDomains => settings.domains.find(recipient.domain()).is_some(),
        space => space.specificity(recipient.domain()).is_some(),
    })
}
