//! The registry: every act of administration is one entry here. The shell, the REST API and `gatepost` subcommands are
//! mouths of it; none knows an act that does not stand here.
//!
//! Takes a command's name and its parameters as JSON, hands on records, warnings and what changed, or an error with the
//! remedy. Decides nothing about mail: it asks `policy`, changes settings by `amend`, and drives `transport`.
//!
//! A new command is a [`Signature`] and a function in the file of its noun, and a line in that file's `ENTRIES`.

mod admin_audit_log;
mod api_token;
mod administrator;
mod relay;
mod configuration;
mod ad_permission;
mod exchange_certificate;
mod server_component;
mod service;
mod smtp_connectivity;
mod trace_search;
mod transport_config;
mod transport_service;
mod send_connector;
pub(crate) mod receive_connector;
mod accepted_domain;
mod remote_domain;
mod mail_contact;
mod distribution_group;
mod distribution_group_member;
mod mailbox;
mod exchange_server;
mod user;
mod recipient;
mod single_table;
mod message_tracking_log;
mod message;
mod queue;
mod by_name;
mod waiting;
mod server;
pub(crate) mod amendment;
mod keys;
mod document_value;
mod invocation;
mod argument;
mod error;
pub mod form;
mod parameter;

use std::pin::Pin;

use gatepost_policy::role::Role;
use gatepost_shell::command::Changes;

pub use gatepost_shell::command::{Kind, Signature};

pub use argument::Arguments;
pub use error::CommandError;
pub use invocation::{Answer, Invocation, Page, Within};

use crate::object::Shape;
use form::Form;

/// What a command's function hands back, once it is through.
pub type Running<'a> = Pin<Box<dyn Future<Output = Result<Answer, CommandError>> + Send + 'a>>;

/// One command.
#[derive(Debug)]
pub struct Entry {
    /// Its name, its parameters and their kinds, what it takes from a pipeline, help, examples.
    pub signature: &'static Signature,
    /// The least that may run it.
    pub role: Role,
    /// What its records are made of; `None`: it yields none, or some of several shapes.
    pub output: Option<&'static Shape>,
    /// What it does.
    pub run: for<'a> fn(&'a Invocation<'a>) -> Running<'a>,
}

impl Entry {
    /// Whether it changes something: then it is recorded who did it, and `-WhatIf` says what would change.
    pub fn changes(&self) -> bool {
        self.signature.changes != Changes::Nothing
    }
}

/// The commands by noun.
static NOUNS: &[&[Entry]] = &[
    receive_connector::ENTRIES,
    ad_permission::ENTRIES,
    relay::ENTRIES,
    configuration::ENTRIES,
    send_connector::ENTRIES,
    accepted_domain::ENTRIES,
    remote_domain::ENTRIES,
    mailbox::ENTRIES,
    mail_contact::ENTRIES,
    distribution_group::ENTRIES,
    distribution_group_member::ENTRIES,
    recipient::ENTRIES,
    user::ENTRIES,
    exchange_server::ENTRIES,
    exchange_certificate::ENTRIES,
    server_component::ENTRIES,
    service::ENTRIES,
    smtp_connectivity::ENTRIES,
    transport_config::ENTRIES,
    transport_service::ENTRIES,
    queue::ENTRIES,
    message::ENTRIES,
    administrator::ENTRIES,
    api_token::ENTRIES,
    admin_audit_log::ENTRIES,
    message_tracking_log::ENTRIES,
    trace_search::ENTRIES,
];

/// How people fill in the parameters of those nouns that have a dialog.
static FORMS: &[&Form] = &[
    &send_connector::FORM,
    &accepted_domain::FORM,
    &remote_domain::FORM,
    &mailbox::FORM,
    &mail_contact::FORM,
    &distribution_group::FORM,
    &user::FORM,
];

/// How a person fills in the parameters of a noun, as `SendConnector`.
pub fn form_of(noun: &str) -> Option<&'static Form> {
    FORMS.iter().copied().find(|form| form.noun == noun)
}

/// All commands.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    NOUNS.iter().copied().flatten()
}

/// The command of this name, in any case, or of this alias.
pub fn find(name: &str) -> Option<&'static Entry> {
    entries().find(|entry| {
        let signature = entry.signature;
        signature.name.eq_ignore_ascii_case(name)
            || signature.aliases.iter().any(|alias| alias.eq_ignore_ascii_case(name))
    })
}

/// The shape of records that say they are of this type.
pub fn shape(name: &str) -> Option<&'static Shape> {
    entries().filter_map(|entry| entry.output).find(|shape| shape.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use gatepost_shell::command::FromPipeline;

    use super::*;

    #[test]
    fn names_are_verb_noun_and_each_stands_once() {
        let mut seen = HashSet::new();
        for entry in entries() {
            let names = [entry.signature.name].into_iter().chain(entry.signature.aliases.iter().copied());
            for name in names {
                assert!(seen.insert(name.to_lowercase()), "{name} stands twice");
            }
            let (verb, noun) = entry.signature.name.split_once('-').expect("Verb-Noun");
            assert!(verb.chars().all(char::is_alphabetic) && !noun.is_empty(), "{}", entry.signature.name);
        }
    }

    #[test]
    fn every_command_and_parameter_is_explained_and_has_two_examples() {
        for entry in entries() {
            let signature = entry.signature;
            assert!(signature.synopsis.ends_with('.'), "{}", signature.name);
            assert!(signature.examples.len() >= 2, "{} has too few examples", signature.name);
            for parameter in signature.parameters {
                assert!(!parameter.help.is_empty(), "{} -{}", signature.name, parameter.name);
            }
        }
    }

    #[test]
    fn parameters_are_told_apart_by_name_and_by_place() {
        for entry in entries() {
            let (mut names, mut places) = (HashSet::new(), HashSet::new());
            for parameter in entry.signature.parameters {
                for name in [parameter.name].into_iter().chain(parameter.aliases.iter().copied()) {
                    assert!(names.insert(name.to_lowercase()), "{} -{name}", entry.signature.name);
                }
                if let Some(place) = parameter.position {
                    assert!(places.insert(place), "{} has two parameters at {place}", entry.signature.name);
                }
            }
        }
    }

    #[test]
    fn properties_are_told_apart_and_what_stands_for_an_object_is_there() {
        for shape in entries().filter_map(|entry| entry.output) {
            let names: HashSet<_> = shape.properties.iter().map(|property| property.name.to_lowercase()).collect();
            let keys: HashSet<_> = shape.properties.iter().map(|property| property.key).collect();
            assert_eq!((names.len(), keys.len()), (shape.properties.len(), shape.properties.len()), "{}", shape.name);
            for name in shape.view.table.iter().copied().chain([shape.view.identity]).filter(|name| !name.is_empty()) {
                assert!(names.contains(&name.to_lowercase()), "{} has no {name}", shape.name);
            }
        }
    }

    #[test]
    fn what_a_get_yields_the_set_and_remove_of_its_noun_take_from_the_pipeline() {
        for entry in entries().filter(|entry| entry.signature.name.starts_with(['S', 'R'])) {
            let Some(identity) = entry.signature.parameters.iter().find(|parameter| parameter.name == "Identity")
            else {
                continue;
            };
            assert_eq!(identity.kind, Kind::Identity, "{}", entry.signature.name);
            assert_ne!(identity.pipeline, FromPipeline::No, "{}", entry.signature.name);
        }
    }
}
