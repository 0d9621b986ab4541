//! The wizard that makes a receive connector, as the articles walk it: introduction, local network settings, remote network
//! settings, completion with the command that does the same.
//!
//! Keeps nothing on the server: each step carries what the others were filled in with, so it works in every browser, without
//! scripts, and in two windows at a time.

use std::net::{IpAddr, SocketAddr};

use askama::Template;
use axum::http::StatusCode;
use gatepost_manage::command;
use gatepost_manage::resource::Listener;
use gatepost_policy::role::Role;
use serde_json::{Value, json};

use super::properties::record;
use super::property::{TABS, Tab};
use super::ranges::{EVERY_IPV4, RANGES_MAX, Ranges};
use super::{AREA, place, rights, text, texts};
use crate::change::{Call, Change, Preview};
use crate::confirming::is_seen;
use crate::fields::Fields;
use crate::layout::{Answer, Page, show_as};
use crate::listening;
use crate::mistake::refusal;
use crate::problem::Problem;
use crate::visit::{Sent, Visit};

/// What a connector is for, and what that means.
const USAGES: [(&str, &str); 5] = [
    ("Custom", "For devices and applications. Nobody may use it until a permission group or a right is given."),
    ("Internal", "For servers of your organization: at port 25 of all addresses, with Exchange Server authentication."),
    ("Internet", "For anonymous senders from everywhere, who may write to your own domains."),
    ("Partner", "For partners, who prove by certificates which domains they are."),
    ("Client", "For users who log on: at port 587 of all addresses."),
];

/// More ranges are not named where a listener is told of.
const HEARD_MAX: usize = 3;
/// More addresses of this machine are not offered.
const HOST_ADDRESSES_MAX: usize = 50;

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Introduction,
    Local,
    Remote,
    Completion,
}

impl Step {
    const ALL: [Step; 4] = [Step::Introduction, Step::Local, Step::Remote, Step::Completion];

    fn key(self) -> &'static str {
        match self {
            Step::Introduction => "introduction",
            Step::Local => "local",
            Step::Remote => "remote",
            Step::Completion => "completion",
        }
    }

    fn name(self) -> &'static str {
        match self {
            Step::Introduction => "Introduction",
            Step::Local => "Local network settings",
            Step::Remote => "Remote network settings",
            Step::Completion => "Completion",
        }
    }

    fn named(key: &str) -> Step {
        Step::ALL.into_iter().find(|step| step.key() == key).unwrap_or(Step::Introduction)
    }
}

/// The steps of a usage: what it presets is not asked.
fn steps(usage: &str) -> Vec<Step> {
    let is_asked = |step: &Step| match step {
        Step::Local => !matches!(usage, "Internal" | "Client"),
        Step::Remote => usage != "Internet",
        Step::Introduction | Step::Completion => true,
    };
    Step::ALL.into_iter().filter(is_asked).collect()
}

/// What was filled in so far.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Filled {
    /// The connector that is copied; empty: none is.
    copy: String,
    name: String,
    usage: String,
    /// `ipv4`, `all`, `one`, or `copied`.
    local: String,
    address: String,
    port: String,
    fqdn: String,
    /// The bindings of the connector that is copied.
    copied: Vec<String>,
    ranges: Ranges,
}

impl Filled {
    fn new() -> Filled {
        Filled {
            copy: String::new(),
            name: String::new(),
            usage: "Custom".to_owned(),
            local: "ipv4".to_owned(),
            address: String::new(),
            port: "25".to_owned(),
            fqdn: String::new(),
            copied: Vec::new(),
            ranges: Ranges::of(vec![EVERY_IPV4.to_owned()]),
        }
    }

    /// Begins with what another connector has.
    fn copy_of(record: &Value) -> Filled {
        let name = text(&record["Name"]);
        let server = text(&record["OriginatingServer"]);
        Filled {
            name: format!("Copy of {name}"),
            copy: name,
            local: "copied".to_owned(),
            fqdn: Some(text(&record["Fqdn"])).filter(|fqdn| *fqdn != server).unwrap_or_default(),
            copied: texts(&record["Bindings"]),
            // Others are needed anyway: a long list is nothing to begin with.
            ranges: Ranges::of(
                Some(texts(&record["RemoteIPRanges"]))
                    .filter(|ranges| ranges.len() <= RANGES_MAX / 3)
                    .unwrap_or_default(),
            ),
            ..Filled::new()
        }
    }

    fn read(fields: &Fields) -> Filled {
        let usage = fields.text("usage");
        Filled {
            copy: fields.text("copy").to_owned(),
            name: fields.text("name").to_owned(),
            usage: USAGES.iter().find(|(known, _)| *known == usage).map_or("Custom", |(known, _)| *known).to_owned(),
            local: fields.get("local").unwrap_or("ipv4").to_owned(),
            address: fields.text("address").to_owned(),
            port: fields.text("port").to_owned(),
            fqdn: fields.text("fqdn").to_owned(),
            copied: fields.all("copied").map(str::to_owned).collect(),
            ranges: Ranges::read(fields),
        }
    }

    /// Where it listens.
    fn bindings(&self) -> Result<Vec<String>, String> {
        if self.local == "copied" && !self.copied.is_empty() {
            return Ok(self.copied.clone());
        }
        let port: u16 = match self.port.parse() {
            Ok(port) if port > 0 => port,
            _ => return Err("Port: write a number from 1 to 65535; mail servers use 25.".to_owned()),
        };
        if self.local != "one" && !self.address.is_empty() {
            let error =
                "Address: one is written, and all are chosen: choose the dedicated address, or empty the field.";
            return Err(error.to_owned());
        }
        match self.local.as_str() {
            "all" => Ok(vec![format!("0.0.0.0:{port}"), format!("[::]:{port}")]),
            "one" => {
                let address: IpAddr = self
                    .address
                    .parse()
                    .map_err(|_| "Address: write one IP address of this server, as 10.1.1.1.".to_owned())?;
                Ok(vec![SocketAddr::new(address, port).to_string()])
            }
            _ => Ok(vec![format!("0.0.0.0:{port}")]),
        }
    }

    /// Where it listens, also where that is not asked.
    fn all_bindings(&self) -> Vec<String> {
        let port = match self.usage.as_str() {
            "Client" => 587,
            "Internal" => 25,
            _ => return self.bindings().unwrap_or_default(),
        };
        vec![format!("0.0.0.0:{port}"), format!("[::]:{port}")]
    }

    /// Until somebody is named, whoever can come there is heard: a listener that hears nobody is of no use.
    fn presume_ranges(&mut self) {
        if self.copy.is_empty() && self.ranges.is_everybody() {
            self.ranges = Ranges::everybody(&self.all_bindings());
        }
    }

    /// What is worth a word about where it listens: what is opened, and who is heard there, or nobody.
    fn openings(&self, listeners: &[Listener]) -> Vec<String> {
        let every_ipv4 = Ranges::of(vec![EVERY_IPV4.to_owned()]);
        let ranges = if steps(&self.usage).contains(&Step::Remote) { &self.ranges } else { &every_ipv4 };
        let line = |binding: &String| {
            let address: SocketAddr = binding.parse().ok()?;
            let mut words = listening::opened(std::slice::from_ref(binding), listeners);
            let heard = ranges.of_family_of(&address);
            let family = if address.is_ipv4() { "IPv4" } else { "IPv6" };
            match heard.len() {
                0 => words.push(format!("At {binding} it hears nobody: no {family} range is given.")),
                1..=HEARD_MAX if !words.is_empty() => words.push(format!("There it hears {}.", heard.join(", "))),
                _ => {}
            }
            (!words.is_empty()).then(|| words.join(" "))
        };
        self.all_bindings().iter().filter_map(line).collect()
    }

    /// What is wrong with a step.
    fn problem(&self, step: Step) -> Option<String> {
        match step {
            Step::Introduction if self.name.is_empty() => Some("Name: say what the connector is called.".to_owned()),
            Step::Introduction if self.name.chars().count() > 64 => {
                Some("Name: 64 characters are the most.".to_owned())
            }
            Step::Local => self.bindings().err(),
            Step::Remote => self.ranges.problem(),
            Step::Introduction | Step::Completion => None,
        }
    }

    /// The fields that a step does not show, for it to carry.
    fn hidden(&self, step: Step) -> Vec<(&'static str, String)> {
        let mut hidden = vec![("step", step.key().to_owned()), ("copy", self.copy.clone())];
        hidden.extend(self.copied.iter().map(|binding| ("copied", binding.clone())));
        if step != Step::Introduction {
            hidden.extend([("name", self.name.clone()), ("usage", self.usage.clone())]);
        }
        if step != Step::Local {
            let local =
                [("local", &self.local), ("address", &self.address), ("port", &self.port), ("fqdn", &self.fqdn)];
            hidden.extend(local.map(|(name, value)| (name, value.clone())));
        }
        if step != Step::Remote {
            hidden.extend(self.ranges.hidden());
        }
        hidden
    }

    /// The call that makes it.
    fn call(&self) -> Result<Call, String> {
        let asked = steps(&self.usage);
        let mut parameters = json!({ "Name": self.name, "Usage": self.usage });
        if asked.contains(&Step::Local) {
            parameters["Bindings"] = self.bindings()?.into();
            if !self.fqdn.is_empty() {
                parameters["Fqdn"] = self.fqdn.as_str().into();
            }
        }
        if asked.contains(&Step::Remote) {
            parameters["RemoteIPRanges"] = self.ranges.list().to_vec().into();
        }
        Ok(Call::new("New-ReceiveConnector", parameters))
    }
}

/// What a copy has besides what is asked: every property that is not as usual, and the entries.
fn copied(record: &Value, rows: &[Value], call: Call) -> Vec<Call> {
    const ASKED: [&str; 4] = ["Name", "Bindings", "RemoteIPRanges", "Fqdn"];
    let shape = command::find("Get-ReceiveConnector").and_then(|entry| entry.output);
    let usual = |name: &str| {
        let property = shape.and_then(|shape| shape.properties.iter().find(|property| property.name == name));
        property.map(|property| property.usual.to_json()).unwrap_or_default()
    };
    let name = call.parameters.get("Name").cloned().unwrap_or_default();
    let mut call = call;
    for property in TABS.iter().flat_map(Tab::properties).filter(|property| !ASKED.contains(&property.name)) {
        let mut value = record[property.name].clone();
        if property.name == "PermissionGroups" {
            value = texts(&value).into_iter().filter(|group| group != "Custom" && group != "None").collect();
        }
        let is_empty = value.as_array().is_some_and(Vec::is_empty);
        if !value.is_null() && !is_empty && value != usual(property.name) {
            call.parameters.insert(property.name.to_owned(), value);
        }
    }
    let entries = rights::calls_of_own_entries(rows, &name);
    std::iter::once(call).chain(entries).collect()
}

/// A step in the list of all.
struct StepShown {
    name: &'static str,
    is_this: bool,
    /// What is preset in its place, where it is left out.
    preset: Option<String>,
}

impl StepShown {
    fn of(one: Step, this: Step, asked: &[Step], filled: &Filled) -> StepShown {
        let preset = (!asked.contains(&one)).then(|| match one {
            Step::Local => listens_at(filled),
            _ => "all IPv4 addresses".to_owned(),
        });
        StepShown { name: one.name(), is_this: one == this, preset }
    }
}

#[derive(Template)]
#[template(path = "receive_connector_new.html")]
struct Wizard {
    page: Page,
    steps: Vec<StepShown>,
    step: &'static str,
    step_name: &'static str,
    is_first: bool,
    filled: Filled,
    hidden: Vec<(&'static str, String)>,
    usages: [(&'static str, &'static str); 5],
    problem: Option<String>,
    /// What was done besides what was asked.
    said: Option<&'static str>,
    summary: Vec<(&'static str, String)>,
    /// Where nothing listens yet.
    opened: Vec<String>,
    /// The addresses of this machine.
    host_addresses: Vec<String>,
    preview: Option<Preview>,
}

/// `GET /receive-connectors/new`.
pub async fn begin(visit: Visit) -> Answer {
    visit.need(Role::TransportAdmin)?;
    let filled = match visit.query.get("copy") {
        Some(name) => Filled::copy_of(&record(&visit, name).await?),
        None => Filled::new(),
    };
    show(visit, filled, Step::Introduction, None).await
}

/// `POST /receive-connectors/new`.
pub async fn go(Sent { visit, fields }: Sent) -> Answer {
    visit.need(Role::TransportAdmin)?;
    let step = Step::named(fields.text("step"));
    let mut filled = Filled::read(&fields);
    let mut said = None;
    if step == Step::Remote {
        match filled.ranges.take_in(&fields) {
            Ok(taken_out) => said = taken_out,
            Err(problem) => return show(visit, filled, step, Some(problem)).await,
        }
    }
    let asked = steps(&filled.usage);
    let at = asked.iter().position(|known| *known == step).unwrap_or(0);
    match fields.text("go") {
        "back" => show(visit, filled, asked[at.saturating_sub(1)], None).await,
        "next" | "finish" => {
            // Every step up to this one: somebody may have gone back and taken something away.
            let wrong = asked[..=at].iter().find_map(|step| Some((*step, filled.problem(*step)?)));
            if let Some((step, problem)) = wrong {
                return show(visit, filled, step, Some(problem)).await;
            }
            if step == Step::Introduction && record(&visit, &filled.name).await.is_ok() {
                let problem = format!("Name: there is a receive connector “{}” already.", filled.name);
                return show(visit, filled, step, Some(problem)).await;
            }
            match step {
                Step::Completion => finish(visit, filled, &fields).await,
                _ => {
                    let next = asked[(at + 1).min(asked.len() - 1)];
                    if next == Step::Remote {
                        filled.presume_ranges();
                    }
                    show_with(visit, filled, next, None, said).await
                }
            }
        }
        _ => show_with(visit, filled, step, None, said).await,
    }
}

async fn change(visit: &Visit, filled: &Filled) -> Result<Change, Problem> {
    let wrong = |error: String| Problem::refused(StatusCode::UNPROCESSABLE_ENTITY, error);
    let call = filled.call().map_err(wrong)?;
    if filled.copy.is_empty() {
        return Ok(Change(vec![call]));
    }
    let original = record(visit, &filled.copy).await?;
    let rows = visit.run("Get-ADPermission", json!({ "Identity": filled.copy })).await?.output;
    Ok(Change(copied(&original, &rows, call)))
}

async fn finish(visit: Visit, filled: Filled, fields: &Fields) -> Answer {
    let change = change(&visit, &filled).await?;
    let looked = change.look(&visit).await.ok();
    let Some(preview) = looked.filter(|preview| is_seen(fields, preview)) else {
        let problem = "Something has changed since you looked: this is what the connector would open now.".to_owned();
        return show(visit, filled, Step::Completion, Some(problem)).await;
    };
    match change.make_as_shown(&visit, &preview).await {
        Ok(_) => {
            let said = match filled.usage.as_str() {
                "Custom" if filled.copy.is_empty() => {
                    "The connector is there. Nobody may use it yet: tick a permission group, or give a right."
                }
                _ => "The connector is there.",
            };
            Ok(visit.done(&format!("{}?tab=groups", place(&filled.name)), said))
        }
        Err(error) => {
            let (_, problem) = refusal(&error);
            show(visit, filled, Step::Completion, Some(problem)).await
        }
    }
}

async fn show(visit: Visit, filled: Filled, step: Step, problem: Option<String>) -> Answer {
    show_with(visit, filled, step, problem, None).await
}

async fn show_with(
    visit: Visit,
    filled: Filled,
    step: Step,
    problem: Option<String>,
    said: Option<&'static str>,
) -> Answer {
    let asked = steps(&filled.usage);
    let (mut problem, mut preview) = (problem, None);
    let (mut opened, mut host_addresses) = (Vec::new(), Vec::new());
    if step == Step::Local {
        let own = visit.client.host_addresses().await?.addresses;
        host_addresses = own.iter().map(ToString::to_string).take(HOST_ADDRESSES_MAX).collect();
    }
    if step == Step::Completion {
        let listeners = visit.client.status().await?.listeners;
        opened = filled.openings(&listeners);
        match change(&visit, &filled).await?.look(&visit).await {
            Ok(looked) => preview = Some(looked),
            Err(error) => problem = Some(refusal(&error).1),
        }
    }
    let status = if problem.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    let page = Wizard {
        page: Page::new(visit, AREA, "New receive connector"),
        steps: Step::ALL.iter().map(|one| StepShown::of(*one, step, &asked, &filled)).collect(),
        step: step.key(),
        step_name: step.name(),
        is_first: step == Step::Introduction,
        hidden: filled.hidden(step),
        summary: if step == Step::Completion { summary(&filled) } else { Vec::new() },
        usages: USAGES,
        problem,
        said,
        opened,
        host_addresses,
        preview,
        filled,
    };
    show_as(status, &page)
}

/// Where a connector of a usage listens that says so.
fn listens_at(filled: &Filled) -> String {
    let port = if filled.usage == "Client" { 587 } else { 25 };
    format!("all addresses, port {port}")
}

fn summary(filled: &Filled) -> Vec<(&'static str, String)> {
    let asked = steps(&filled.usage);
    let mut summary = vec![("Name", filled.name.clone()), ("Intended use", filled.usage.clone())];
    if !filled.copy.is_empty() {
        summary.push(("As", filled.copy.clone()));
    }
    summary.push((
        "Listens at",
        match asked.contains(&Step::Local) {
            true => filled.bindings().unwrap_or_default().join(", "),
            false => listens_at(filled),
        },
    ));
    if !filled.fqdn.is_empty() {
        summary.push(("FQDN", filled.fqdn.clone()));
    }
    summary.push(match asked.contains(&Step::Remote) {
        true => ("Hears", filled.ranges.list().join(", ")),
        false => ("Hears", "all IPv4 addresses".to_owned()),
    });
    summary
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(form: &str) -> Filled {
        Filled::read(&Fields::read(form.as_bytes()))
    }

    #[test]
    fn a_usage_is_not_asked_what_it_presets() {
        for (usage, expected) in [
            ("Custom", &["introduction", "local", "remote", "completion"][..]),
            ("Partner", &["introduction", "local", "remote", "completion"]),
            ("Internet", &["introduction", "local", "completion"]),
            ("Internal", &["introduction", "remote", "completion"]),
            ("Client", &["introduction", "remote", "completion"]),
        ] {
            assert_eq!(steps(usage).iter().map(|step| step.key()).collect::<Vec<_>>(), expected, "{usage}");
        }
    }

    #[test]
    fn until_somebody_is_named_everybody_is_heard_who_can_come_there() {
        const BOTH: &str = "0.0.0.0-255.255.255.255 ::/0";
        for (form, expected) in [
            ("usage=Client&range=0.0.0.0-255.255.255.255", BOTH),
            ("usage=Internal&range=0.0.0.0-255.255.255.255", BOTH),
            ("usage=Custom&local=all&port=25&range=0.0.0.0-255.255.255.255", BOTH),
            ("usage=Custom&local=ipv4&port=25&range=0.0.0.0-255.255.255.255&range=%3A%3A%2F0", EVERY_IPV4),
            ("usage=Custom&local=one&address=fd00%3A%3A1&port=25&range=0.0.0.0-255.255.255.255", "::/0"),
            ("usage=Client&range=10.0.0.0%2F8", "10.0.0.0/8"),
            ("usage=Client&range=0.0.0.0-255.255.255.255&copy=Other", EVERY_IPV4),
            ("usage=Client", ""),
        ] {
            let mut filled = filled(form);
            filled.presume_ranges();
            assert_eq!(filled.ranges.list().join(" "), expected, "{form}");
        }
    }

    #[test]
    fn a_listener_is_told_with_those_whom_it_hears() {
        let listener = |address: &str| Listener { address: address.parse().expect("an address"), implicit_tls: false };
        let known = [listener("0.0.0.0:25"), listener("[::]:25")];
        for (form, expected) in [
            (
                "usage=Client&range=10.0.0.0%2F8",
                &[
                    "port 587 on all IPv4 addresses of this server: nothing listens there yet. There it hears 10.0.0.0/8.",
                    "nothing listens there yet. At [::]:587 it hears nobody: no IPv6 range is given.",
                ][..],
            ),
            ("usage=Internal&range=10.0.0.0%2F8", &["At [::]:25 it hears nobody: no IPv6 range is given."]),
            ("usage=Internal&range=10.0.0.0%2F8&range=%3A%3A%2F0", &[]),
            // What the usage presets is heard, whatever a step says that is not asked.
            ("usage=Internet&local=all&port=25&range=fd00%3A%3A%2F8", &["At [::]:25 it hears nobody"]),
        ] {
            let told = filled(form).openings(&known);
            assert_eq!(told.len(), expected.len(), "{form}: {told:?}");
            for (line, part) in told.iter().zip(expected) {
                assert!(line.contains(part), "{form}: {line}");
            }
        }
    }

    #[test]
    fn what_was_filled_in_becomes_the_command_of_the_articles() {
        for (form, expected) in [
            (
                "name=Relay&usage=Custom&local=ipv4&port=25&ranges=1&range=192.168.2.55&range=192.168.2.56",
                "New-ReceiveConnector -Name \"Relay\" -Usage Custom -Bindings \"0.0.0.0:25\" -RemoteIPRanges \"192.168.2.55\",\"192.168.2.56\"",
            ),
            (
                "name=In&usage=Internet&local=one&address=10.1.1.1&port=2525&fqdn=mx.contoso.com",
                "New-ReceiveConnector -Name \"In\" -Usage Internet -Bindings \"10.1.1.1:2525\" -Fqdn \"mx.contoso.com\"",
            ),
            (
                "name=Apps&usage=Client&local=one&address=10.1.1.1&port=25&ranges=1&range=10.0.0.0%2F24",
                "New-ReceiveConnector -Name \"Apps\" -Usage Client -RemoteIPRanges \"10.0.0.0/24\"",
            ),
        ] {
            assert_eq!(filled(form).call().map(|call| call.line()).as_deref(), Ok(expected), "{form}");
        }
    }

    #[test]
    fn every_step_carries_what_the_others_were_filled_in_with() {
        let form = "name=R&usage=Partner&local=one&address=%3A%3A1&port=26&fqdn=f.example&copy=C&copied=0.0.0.0%3A25&ranges=1&range=10.0.0.1";
        let before = filled(form);
        for step in Step::ALL {
            let mut fields: Vec<(&str, String)> = before.hidden(step);
            // And what the step itself shows.
            match step {
                Step::Introduction => fields.extend([("name", "R".to_owned()), ("usage", "Partner".to_owned())]),
                Step::Local => fields.extend([
                    ("local", "one".to_owned()),
                    ("address", "::1".to_owned()),
                    ("port", "26".to_owned()),
                    ("fqdn", "f.example".to_owned()),
                ]),
                Step::Remote => fields.extend(before.ranges.hidden()),
                Step::Completion => {}
            }
            let mut query = form_urlencoded::Serializer::new(String::new());
            assert_eq!(filled(&query.extend_pairs(&fields).finish()), before, "{step:?}");
        }
        assert_eq!(before.bindings(), Ok(vec!["[::1]:26".to_owned()]));
    }

    #[test]
    fn what_is_wrong_is_said_at_its_step() {
        for (form, step, said) in [
            ("name=", Step::Introduction, "Name"),
            ("name=x&local=one&address=nonsense&port=25", Step::Local, "Address"),
            ("name=x&local=all&port=0", Step::Local, "Port"),
            ("name=x&ranges=1", Step::Remote, "at least one"),
        ] {
            let problem = filled(form).problem(step).unwrap_or_default();
            assert!(problem.contains(said), "{form}: {problem}");
        }
        let long = format!("name={}", "x".repeat(65));
        assert!(filled(&long).problem(Step::Introduction).is_some());
    }

    #[test]
    fn a_copy_has_what_its_original_has_and_the_usual_is_left_out() {
        let record = json!({
            "Name": "Relay", "Enabled": true, "Comment": "third floor", "MaxMessageSize": 1024, "Bindings": ["0.0.0.0:25"],
            "RemoteIPRanges": ["10.0.0.1"], "Fqdn": "mx.contoso.com", "OriginatingServer": "mx.contoso.com",
            "AuthMechanism": ["Tls"], "PermissionGroups": ["AnonymousUsers", "Custom"], "Banner": null,
        });
        let rows = [
            json!({"User": "A", "Deny": false, "ExtendedRights": ["r"], "Ticket": "T"}),
            json!({"User": "B", "Deny": false, "ExtendedRights": ["r"], "PermissionGroup": "AnonymousUsers"}),
        ];
        let mut copy = Filled::copy_of(&record);
        assert_eq!((copy.name.as_str(), copy.fqdn.as_str()), ("Copy of Relay", ""));
        copy.ranges = Ranges::of(vec!["10.0.0.2".to_owned()]);
        let calls = copied(&record, &rows, copy.call().expect("whole"));
        let lines: Vec<String> = calls.iter().map(Call::line).collect();
        assert_eq!(
            lines,
            [
                "New-ReceiveConnector -Name \"Copy of Relay\" -Usage Custom -Bindings \"0.0.0.0:25\" -RemoteIPRanges \"10.0.0.2\" \
                 -PermissionGroups AnonymousUsers -Comment \"third floor\" -MaxMessageSize 1024",
                "Get-ReceiveConnector \"Copy of Relay\" | Add-ADPermission -User \"A\" -ExtendedRights \"r\" -Ticket \"T\"",
            ]
        );
    }
}
