//! Reads `[[assert]]`.

use std::net::IpAddr;
use std::ops::Range;

use toml::de::DeTable;

use super::access_entries::trustee;
use super::reader::{Collector, Fields, Wrong, nearest};
use super::receive_connectors::{Surroundings, range};
use super::values;
use crate::access_entry::{Access, Right, Trustee};
use crate::address_set::AddressSet;
use crate::assertion::{ASSERTIONS_MAX, Assertion, Power, Subject};
use crate::public_address::public;

/// Whom an assertion may speak of, apart from users.
const SUBJECTS: [(&str, Subject); 6] = [
    ("unauthenticated", Subject::Unauthenticated),
    ("anonymous", Subject::Anonymous),
    ("externally secured", Subject::ExternallySecured),
    ("any user", Subject::EveryUser),
    ("any server", Subject::EveryServer),
    ("any partner", Subject::EveryPartner),
];

/// Reads them all.
pub(super) fn read<'t>(
    collector: &mut Collector<'t>,
    tables: Vec<(&DeTable<'t>, Range<usize>)>,
    surroundings: &Surroundings<'_>,
) -> Vec<Assertion> {
    if let Some((_, span)) = tables.get(ASSERTIONS_MAX) {
        collector.error(
            span.clone(),
            format!("there are more than {ASSERTIONS_MAX} assertions"),
            "say several things in one: `from`, `on`, `deny` and `allow` are lists",
        );
    }
    let tables = tables.into_iter().take(ASSERTIONS_MAX);
    tables.filter_map(|(table, span)| assertion(collector, table, span, surroundings)).collect()
}

fn assertion<'t>(
    collector: &mut Collector<'t>,
    table: &DeTable<'t>,
    span: Range<usize>,
    surroundings: &Surroundings<'_>,
) -> Option<Assertion> {
    let mut fields = Fields::new(collector, "[[assert]]", table, span.clone());
    let comment = fields.optional("comment", values::reason);
    let sources = fields.list("from", |value, span| sources(values::string(value)?, span));
    let listeners = fields.list("on", |value, _| values::binding(value));
    for key in ["from", "on"] {
        let is_empty = match key {
            "from" => sources.as_ref().is_some_and(Vec::is_empty),
            _ => listeners.as_ref().is_some_and(Vec::is_empty),
        };
        if is_empty && !fields.is_bad(key) {
            fields.error_at(
                key,
                format!("`{key}` is empty, so nothing is asserted"),
                "leave it out: then it means all",
            );
        }
    }
    let who = fields.required(
        "who",
        "write who = \"unauthenticated\", \"anonymous\", \"externally secured\", \"any user\", or a user's name",
        |value| subject(values::string(value)?, surroundings),
    );
    let remedy = "write what must not be possible, deny = [\"relay\"], or what must be, allow = [\"relay\"]";
    let mut powers = |key| {
        fields.list(key, |value, _| {
            power(values::string(value).map_err(|wrong| Wrong { remedy: remedy.to_owned(), ..wrong })?)
        })
    };
    let (denied, allowed) = (powers("deny"), powers("allow"));
    let said = match (denied, allowed) {
        (Some(powers), None) => Some(("deny", Access::Deny, powers)),
        (None, Some(powers)) => Some(("allow", Access::Allow, powers)),
        (Some(_), Some(_)) => {
            fields.error_at("allow", "`deny` and `allow` stand in one [[assert]]", "make two of it");
            None
        }
        (None, None) => {
            let span = span.clone();
            fields.collector.error(span, "[[assert]] has neither `deny` nor `allow`", remedy);
            None
        }
    };
    if let Some((key, _, powers)) = &said
        && powers.is_empty()
        && !fields.is_bad(key)
    {
        fields.error_at(key, format!("`{key}` is empty"), remedy);
    }
    let is_sound = !["from", "on", "who", "deny", "allow"].iter().any(|key| fields.is_bad(key));
    fields.finish(&[]);
    let (_, access, powers) = said.filter(|_| is_sound)?;
    let sources =
        sources.map(|sources| sources.into_iter().fold(AddressSet::EMPTY, |all, (sources, _)| all.union(&sources)));
    Some(Assertion {
        comment,
        sources: sources.unwrap_or_else(AddressSet::every),
        listeners: listeners.into_iter().flatten().map(|(listener, _)| listener).collect(),
        who: who?,
        access,
        powers: powers.into_iter().map(|(power, _)| power).collect(),
        span,
    })
}

fn sources(text: &str, span: Range<usize>) -> Result<AddressSet, Wrong> {
    const PLACES: [&str; 3] = ["anywhere", "public", "private"];
    match PLACES.into_iter().find(|word| text.trim().eq_ignore_ascii_case(word)) {
        Some("anywhere") => return Ok(AddressSet::every()),
        Some("public") => return Ok(public().clone()),
        Some(_) => return Ok(public().complement()),
        None => {}
    }
    let range = range(text, span).map_err(|wrong| Wrong {
        remedy: match nearest(text, PLACES.into_iter()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("{}; or \"anywhere\", \"public\", \"private\"", wrong.remedy),
        },
        ..wrong
    })?;
    Ok(AddressSet::of([(range.first, range.last)] as [(IpAddr, IpAddr); 1]))
}

fn subject(text: &str, surroundings: &Surroundings<'_>) -> Result<Subject, Wrong> {
    if let Some((_, subject)) = SUBJECTS.iter().find(|(words, _)| words.eq_ignore_ascii_case(text)) {
        return Ok(subject.clone());
    }
    let words = SUBJECTS.iter().map(|(words, _)| *words);
    let remedy =
        format!("write {}, or the name of a user or of a group of users", words.clone().collect::<Vec<_>>().join(", "));
    let trustee =
        trustee(text, &surroundings.accounts, |_| remedy.clone()).map_err(|wrong| match nearest(text, words) {
            Some(meant) => Wrong { remedy: format!("did you mean `{meant}`?"), ..wrong },
            None => wrong,
        })?;
    match trustee {
        Trustee::AnonymousLogon => Ok(Subject::Anonymous),
        Trustee::ExternallySecuredServers => Ok(Subject::ExternallySecured),
        Trustee::AuthenticatedUsers => Ok(Subject::EveryUser),
        Trustee::ExchangeServers | Trustee::EdgeTransportServers | Trustee::HubTransportServers => {
            Ok(Subject::EveryServer)
        }
        Trustee::PartnerServers => Ok(Subject::EveryPartner),
        Trustee::User(name) => Ok(Subject::Users { members: vec![name.clone()], name }),
        Trustee::Group(group) => Ok(Subject::Users { name: group.name().clone(), members: group.members().to_vec() }),
        other => Err(Wrong::new(format!("nothing that a peer can show makes it one of {other}"), remedy)),
    }
}

fn power(text: &str) -> Result<Power, Wrong> {
    Power::parse(text.trim()).ok_or_else(|| {
        let words = Power::IN_WORDS.iter().map(|(words, _)| *words);
        values::unknown_name(text, words.chain(Right::ALL.into_iter().map(Right::exchange_name)))
    })
}
