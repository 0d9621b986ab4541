//! What all pages have in common: the navigation, who is signed in, and how a page becomes an answer.

use askama::Template;
use axum::http::StatusCode;
use axum::response::{Html, IntoResponse, Response};
use gatepost_policy::role::Role;

use crate::assets;
use crate::cards;
use crate::cookie::Theme;
use crate::problem::Problem;
use crate::visit::Visit;

/// One entry of the navigation.
pub struct Entry {
    /// Where it leads.
    pub path: &'static str,
    /// What it says.
    pub name: &'static str,
    /// The least role that sees it.
    pub role: Role,
}

/// Entries under one heading.
pub struct Group {
    /// The heading.
    pub name: &'static str,
    /// The entries.
    pub entries: &'static [Entry],
}

const fn entry(path: &'static str, name: &'static str, role: Role) -> Entry {
    Entry { path, name, role }
}

/// The navigation: every page that stands for itself.
pub static NAVIGATION: &[Group] = &[
    Group { name: "", entries: &[entry("/", "Overview", Role::View)] },
    Group {
        name: "Relay",
        entries: &[
            entry("/device", "Let a device relay", Role::TransportAdmin),
            entry("/receive-connectors", "Receive connectors", Role::View),
            entry("/exposure", "Who may relay", Role::View),
            entry("/refusals", "Refusals", Role::HelpDesk),
            entry("/explain", "Explain", Role::View),
            entry("/transcript", "Live transcript", Role::HelpDesk),
        ],
    },
    Group {
        name: "Mail",
        entries: &[
            entry("/trace", "Trace", Role::HelpDesk),
            entry("/queues", "Queues", Role::View),
            entry("/send-connectors", "Send connectors", Role::View),
            entry("/accepted-domains", "Accepted domains", Role::View),
            entry("/remote-domains", "Remote domains", Role::View),
            entry("/recipients", "Recipients", Role::View),
        ],
    },
    Group {
        name: "Server",
        entries: &[
            entry("/users", "Users", Role::View),
            entry("/certificates", "Certificates", Role::View),
            entry("/settings", "Settings document", Role::View),
            entry("/revisions", "Revisions", Role::View),
            entry("/administrators", "Administrators", Role::SecurityOfficer),
            entry("/acts", "Record of acts", Role::SecurityOfficer),
            entry("/guide", "Guide", Role::View),
        ],
    },
];

/// The frame of one page.
pub struct Page {
    /// Its heading.
    pub title: String,
    /// The path of the navigation's entry that it belongs to.
    pub area: &'static str,
    /// Who looks at it.
    pub visit: Visit,
    /// What was done just now, to be said once.
    pub done: Option<String>,
}

impl Page {
    /// A page of an area.
    pub fn new(visit: Visit, area: &'static str, title: impl Into<String>) -> Page {
        let done = visit.just_done().map(str::to_owned);
        Page { title: title.into(), area, visit, done }
    }

    /// The entry of the navigation that a path belongs to, by its address; none is empty.
    pub fn area_of(path: &str) -> &'static str {
        let entries = NAVIGATION.iter().flat_map(|group| group.entries);
        let is_below = |entry: &&Entry| {
            let rest = path.strip_prefix(entry.path);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        entries.filter(is_below).map(|entry| entry.path).max_by_key(|path| path.len()).unwrap_or_default()
    }

    /// The navigation as this visitor sees it.
    pub fn navigation(&self) -> Vec<(&'static str, Vec<&'static Entry>)> {
        let groups = NAVIGATION.iter().map(|group| {
            let seen = group.entries.iter().filter(|entry| self.visit.may(entry.role));
            (group.name, seen.collect::<Vec<_>>())
        });
        groups.filter(|(_, entries)| !entries.is_empty()).collect()
    }

    /// Whether there is a page for this visitor in the navigation.
    pub fn leads_to(&self, path: &str) -> bool {
        let mut entries = NAVIGATION.iter().flat_map(|group| group.entries);
        entries.any(|entry| entry.path == path && self.visit.may(entry.role))
    }

    /// Where assets are.
    pub fn assets(&self) -> &'static str {
        &assets::VERSION
    }

    /// The theme's attribute, where it is not the system's.
    pub fn theme(&self) -> &'static str {
        self.visit.theme.name()
    }

    /// The theme that the button leads to, and what it says: the one that is chosen.
    pub fn next_theme(&self) -> (&'static str, &'static str) {
        match self.visit.theme {
            Theme::System => ("light", "Theme: system"),
            Theme::Light => ("dark", "Theme: light"),
            Theme::Dark => ("system", "Theme: dark"),
        }
    }

    /// Where to come back to from a form that has nothing to do with the page.
    pub fn here(&self) -> &str {
        self.visit.uri.path_and_query().map_or("/", |here| here.as_str())
    }

    /// What forms carry.
    pub fn proof(&self) -> &str {
        &self.visit.proof
    }
}

/// What a handler answers.
pub type Answer = Result<Response, Problem>;

/// A page, or a part of one, as an answer.
///
/// # Errors
/// Only a bug of ours.
pub fn show(template: &impl Template) -> Answer {
    show_as(StatusCode::OK, template)
}

/// A page with another status than 200: 422 for a form that comes back with what is wrong in it.
///
/// # Errors
/// Only a bug of ours.
pub fn show_as(status: StatusCode, template: &impl Template) -> Answer {
    let page = template.render().map_err(|error| {
        tracing::error!(%error, "a page could not be made, which is a bug of ours");
        Problem::refused(StatusCode::INTERNAL_SERVER_ERROR, "The page could not be made; the log says why.")
    })?;
    Ok((status, Html(cards::labelled(page))).into_response())
}
