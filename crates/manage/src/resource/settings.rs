//! The settings document: `POST /api/v1/reload`, what is wrong with a document, what a change of it changes.

use std::net::{IpAddr, SocketAddr};

use gatepost_policy::address_set::AddressSet;
use gatepost_policy::audit::{Altered, Change, Whom};
use gatepost_policy::permission::Rights;
use gatepost_policy::settings::Problem;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::LimitedRights;

/// `POST /api/v1/reload`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    /// The file that was read.
    pub config: String,
    /// The revision now in force.
    pub revision: u64,
    /// Listeners opened.
    pub opened: Vec<SocketAddr>,
    /// Listeners closed.
    pub closed: Vec<SocketAddr>,
    /// What is legal but probably not meant.
    pub warnings: Vec<SettingsProblem>,
    /// Which addresses gain or lose which right, compared with what was in force; the first [`CHANGES_MAX`].
    #[serde(default)]
    pub changes: Vec<ExposureChange>,
    /// How many changes there are in all.
    #[serde(default)]
    pub changes_total: u64,
}

/// The query of `GET /api/v1/settings`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SettingsQuery {
    /// A longer document is told without its text.
    pub bytes_max: Option<usize>,
}

/// `GET /api/v1/settings`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SettingsDocument {
    /// The number of the revision that it is.
    pub revision: u64,
    /// How long the document is.
    #[serde(default)]
    pub bytes: usize,
    /// The document; hashes of passwords are not shown.
    pub text: String,
}

/// `PUT /api/v1/settings`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SettingsRequest {
    /// The whole document. Where it says `(not shown)` in the place of a user's hash, the hash stays as it is.
    pub text: String,
    /// The revision that it was made from: with another in force nothing is changed.
    pub base: u64,
    /// Only tell what it would do.
    #[serde(default)]
    pub what_if: bool,
    /// Why, for the history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// How many patterns of one list stand in the terms of a change.
const NAMED_MAX: usize = 20;
/// How many changes of exposure one answer holds at most.
pub const CHANGES_MAX: usize = 1000;

/// What a change of settings did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Amended {
    /// The number of the revision that it made; none where nothing was put in force.
    pub revision: Option<u64>,
    /// The revision that it was made of, or looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<u64>,
    /// Whether the document says anything else than before.
    pub is_changed: bool,
    /// Which addresses gain or lose which right; the first [`CHANGES_MAX`].
    pub exposure: Vec<ExposureChange>,
    /// How many such changes there are in all.
    pub exposure_total: u64,
    /// Mail that takes another way out, told in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub rerouted: Vec<String>,
    /// What is legal but probably not meant, and was not so before.
    pub warnings: Vec<SettingsProblem>,
    /// The document's lines that come and go, as `diff -u` shows them.
    pub difference: String,
    /// Listeners opened.
    pub opened: Vec<SocketAddr>,
    /// Listeners closed.
    pub closed: Vec<SocketAddr>,
}

/// `GET /api/v1/revisions/{old}/difference/{new}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevisionDifference {
    /// What is compared.
    pub old: u64,
    /// With what.
    pub new: u64,
    /// The document's lines that come and go, as `diff -u` shows them.
    pub difference: String,
    /// Which addresses gain or lose which right; the first [`CHANGES_MAX`].
    pub changes: Vec<ExposureChange>,
    /// How many such changes there are in all.
    pub changes_total: u64,
}

/// Some addresses that gain or lose rights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExposureChange {
    /// `unauthenticated`, `user`, `other_users`, `server` or `partner`.
    pub whom: String,
    /// Which user, server or partner.
    pub user: Option<String>,
    /// Rights that are new, by Exchange's names.
    pub gained: Vec<String>,
    /// Rights that are gone.
    pub lost: Vec<String>,
    /// The terms of those that are held, or were, under terms only.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limited: Vec<LimitedRights>,
    /// Rights that were held and still are, under other terms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub altered: Vec<AlteredRights>,
    /// Where.
    pub listeners: Vec<SocketAddr>,
    /// From where.
    pub sources: Vec<AddressRange>,
    /// From when on, where that is not now, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_ms: Option<u64>,
    /// Until when, where that is not for good, in Unix milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

/// Rights that are held under other terms than before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AlteredRights {
    /// The rights, by Exchange's names.
    pub rights: Vec<String>,
    /// The terms that they were held under, in words; `always` without.
    pub before: String,
    /// The terms that they are held under.
    pub after: String,
}

/// Addresses from the first to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AddressRange {
    /// The lowest.
    pub first: IpAddr,
    /// The highest.
    pub last: IpAddr,
}

impl AddressRange {
    /// The ranges of a set.
    pub fn list(sources: &AddressSet) -> Vec<AddressRange> {
        sources.ranges().map(|(first, last)| AddressRange { first, last }).collect()
    }
}

impl From<&Change> for ExposureChange {
    fn from(change: &Change) -> ExposureChange {
        let names = |rights: Rights| rights.iter().map(|right| right.exchange_name().to_owned()).collect();
        let (whom, user) = match &change.whom {
            Whom::Unauthenticated => ("unauthenticated", None),
            Whom::User(name) => ("user", Some(name.to_string())),
            Whom::OtherUsers => ("other_users", None),
            Whom::Server(name) => ("server", Some(name.to_string())),
            Whom::Partner(domain) => ("partner", Some(domain.to_string())),
        };
        ExposureChange {
            whom: whom.to_owned(),
            user,
            gained: names(change.gained),
            lost: names(change.lost),
            limited: LimitedRights::list(&change.limited, NAMED_MAX),
            altered: change.altered.iter().map(AlteredRights::from).collect(),
            listeners: change.listeners.clone(),
            sources: AddressRange::list(&change.sources),
            from_ms: change.from_ms,
            until_ms: change.until_ms,
        }
    }
}

impl From<&Altered> for AlteredRights {
    fn from(altered: &Altered) -> AlteredRights {
        let told = |named_max| (altered.before.told(named_max), altered.after.told(named_max));
        let (before, after) = match told(NAMED_MAX) {
            // What differs is behind the first ones: two equal sentences would say nothing.
            (before, after) if before == after => told(usize::MAX),
            told => told,
        };
        AlteredRights {
            rights: altered.rights.iter().map(|right| right.exchange_name().to_owned()).collect(),
            before,
            after,
        }
    }
}

impl ExposureChange {
    /// From where.
    pub fn source_set(&self) -> AddressSet {
        AddressSet::of(self.sources.iter().map(|range| (range.first, range.last)))
    }
}

/// One mistake in the settings file, or one warning.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SettingsProblem {
    /// Counts from 1.
    pub line: usize,
    /// In characters, counts from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead.
    pub remedy: String,
    /// The key of the document that it is about, or the parameter of the command, where it is about one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub about: Option<String>,
    /// The other place that is part of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub related: Option<RelatedPlace>,
}

/// The other place of a problem.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RelatedPlace {
    /// Counts from 1.
    pub line: usize,
    /// In characters, counts from 1.
    pub column: usize,
    /// What it has to do with the problem.
    pub message: String,
}

impl SettingsProblem {
    /// A problem of a document, whose text says which key it is about: the last one above it, within its section.
    pub fn of(problem: &Problem, text: &str) -> SettingsProblem {
        let key = |line: &str| {
            let (key, _) = line.split_once('=')?;
            let is_key =
                |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            Some(key.trim()).filter(|key| is_key(key)).map(str::to_owned)
        };
        let end = text
            .get(problem.span.start..)
            .map_or(text.len(), |rest| problem.span.start + rest.find('\n').unwrap_or(rest.len()));
        let above = text.get(..end).unwrap_or_default().lines().rev();
        let about = above.take_while(|line| !line.starts_with('[')).find_map(key);
        SettingsProblem { about, ..SettingsProblem::from(problem) }
    }
}

impl From<&Problem> for SettingsProblem {
    fn from(problem: &Problem) -> Self {
        SettingsProblem {
            line: problem.line,
            column: problem.column,
            message: problem.message.clone(),
            remedy: problem.remedy.clone(),
            about: None,
            related: problem.related.as_ref().map(|related| RelatedPlace {
                line: related.line,
                column: related.column,
                message: related.message.clone(),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use gatepost_policy::audit::{Term, Terms};

    use super::*;

    #[test]
    fn terms_that_differ_behind_the_named_ones_are_told_in_full() {
        let from = |last: &str| {
            let named = (0..NAMED_MAX + 5).map(|number| format!("a{number:02}@x.example"));
            let senders = named.chain([last.to_owned()]).map(String::into_boxed_str).collect();
            Terms { given: vec![Term { senders, ..Term::default() }], taken: Vec::new() }
        };
        let altered = |before, after| AlteredRights::from(&Altered { rights: Rights::NONE, before, after });
        let behind = altered(from("b@x.example"), from("*@x.example"));
        assert!(behind.before.ends_with(" or b@x.example"), "{}", behind.before);
        assert!(behind.after.ends_with(" or *@x.example"), "{}", behind.after);
        let always = altered(from("b@x.example"), Terms::default());
        assert!(always.before.ends_with(" or 6 more"), "{}", always.before);
    }
}
