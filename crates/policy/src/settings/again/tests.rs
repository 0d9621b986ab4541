//! Random documents under random changes: what is read again is what reading all of it says, to the last place and warning.

use std::path::PathBuf;
use std::rc::Rc;

use proptest::prelude::*;

use super::*;
use crate::settings::parse;

/// A part of a document: an element of a list, or whatever else stands between elements.
#[derive(Clone, Debug)]
struct Part {
    list: Option<KeptList>,
    text: Rc<str>,
}

impl Part {
    fn new(list: Option<KeptList>, text: &str) -> Part {
        Part { list, text: text.into() }
    }
}

#[derive(Clone, Debug)]
enum Act {
    Insert(usize, usize),
    /// By another of its list.
    Replace(usize, usize),
    Remove(usize),
    Move(usize, usize),
}

fn act() -> impl Strategy<Value = Act> {
    let place = || 0..1_000_usize;
    prop_oneof![
        3 => (place(), place()).prop_map(|(at, which)| Act::Insert(at, which)),
        4 => (place(), place()).prop_map(|(at, which)| Act::Replace(at, which)),
        2 => place().prop_map(Act::Remove),
        1 => (place(), place()).prop_map(|(from, to)| Act::Move(from, to)),
    ]
}

impl Act {
    fn on(&self, document: &[Part], all: &[Part]) -> Vec<Part> {
        let mut after = document.to_vec();
        match *self {
            Act::Insert(at, which) => after.insert(at % (document.len() + 1), all[which % all.len()].clone()),
            Act::Replace(at, which) => {
                let old = &document[at % document.len()];
                let like: Vec<&Part> = all.iter().filter(|part| part.list == old.list).collect();
                // Another copy: what lies at the same place is the same.
                let fresh = Part::new(old.list, &like[which % like.len()].text);
                after[at % document.len()] = fresh;
            }
            // Something always stays, to be changed.
            Act::Remove(at) => {
                if document.len() > 1 {
                    after.remove(1 + at % (document.len() - 1));
                }
            }
            Act::Move(from, to) => {
                let part = after.remove(from % document.len());
                after.insert(to % document.len(), part);
            }
        }
        after
    }
}

fn text(document: &[Part]) -> String {
    document.iter().map(|part| &*part.text).collect()
}

/// Each part with where it stands.
fn placed(document: &[Part]) -> impl Iterator<Item = (&Part, Range<usize>)> {
    document.iter().scan(0, |end, part| {
        let start = *end;
        *end += part.text.len();
        Some((part, start..*end))
    })
}

fn kept(before: &[Part], after: &[Part]) -> Vec<Kept> {
    let kept = placed(after).filter_map(|(part, range)| {
        let (_, old) = placed(before).find(|(known, _)| Rc::ptr_eq(&known.text, &part.text))?;
        Some(Kept { list: part.list?, old, start: range.start })
    });
    kept.collect()
}

/// The document that all begin with, and what can be put into it: much of it fits nowhere.
fn parts() -> (Vec<Part>, Vec<Part>) {
    use KeptList::{AcceptedDomains, Contacts, Groups, Mailboxes, ReceiveConnectors, SendConnectors, Users};
    let first = vec![
        Part::new(None, "# A document.\n[server]\nname = \"mail.contoso.com\"\ndata_dir = \"data\"\n\n"),
        Part::new(Some(AcceptedDomains), "[[accepted_domain]]\nname = \"contoso.com\"\ndefault = true\n\n"),
        Part::new(None, "[transport]\nmessage_expiration_timeout = \"3.00:00:00\"\n\n"),
        Part::new(Some(Mailboxes), "# Bob's.\n[[mailbox]]\naddress = \"bob@contoso.com\"\n\n"),
        Part::new(Some(Users), "[[user]]\nname = \"alice\"\ngroups = [\"staff\"]\n\n"),
        Part::new(Some(Users), "[[user]]\nname = \"dave\"\ngroups = [\"staff\"]\n\n"),
        Part::new(Some(Mailboxes), "[[mailbox]]\naddress = \"carol@contoso.com\"\nsend_as = [\"staff\"]\n"),
        Part::new(
            Some(Groups),
            "[[distribution_group]]\naddress = \"g0@contoso.com\"\nmembers = [\"bob@contoso.com\"]\n",
        ),
        Part::new(None, "# In between.\n\n"),
        Part::new(Some(AcceptedDomains), "[[accepted_domain]]\nname = \"fabrikam.com\"\n"),
        Part::new(
            Some(ReceiveConnectors),
            "[[receive_connector]]\nname = \"R9\"\nbindings = [\"127.0.0.1:25\"]\nremote_ip_ranges = [\"10.9.0.1\"]\n\
             default_domain = \"fabrikam.com\"\n",
        ),
        Part::new(Some(SendConnectors), "[[send_connector]]\nname = \"S0\"\naddress_spaces = [\"SMTP:*;1\"]\n"),
        Part::new(
            Some(SendConnectors),
            "[[send_connector]]\nname = \"S9\"\naddress_spaces = [\"SMTP:*;9\"]\nfallback_connector = \"S0\"\n",
        ),
        Part::new(Some(Mailboxes), "[[mailbox]]\naddress = \"last@contoso.com\"\n"),
    ];
    let mut all = vec![
        Part::new(None, "[server]\nname = \"mail.contoso.com\"\npostmaster = \"bob@contoso.com\"\n"),
        Part::new(None, "[server]\nname = \"other.contoso.com\"\n"),
        Part::new(None, "# Nothing.\n"),
        Part::new(None, "[mailbox_delivery]\nprotocol = \"LMTP\"\nhosts = [\"/run/lmtp\"]\n"),
        Part::new(None, "[[remote_domain]]\nname = \"far\"\ndomain_name = \"far.example\"\n"),
        Part::new(None, "[[assert]]\nwho = \"alice\"\ndeny = [\"relay\"]\n"),
        Part::new(None, "[[receive_connector.permission]]\nuser = \"alice\"\n"),
        Part::new(None, "[mailbox]\n"),
        Part::new(None, "unknown = 1\n"),
    ];
    for more in [
        "default = true\n",
        "domain_type = \"InternalRelay\"\n",
        "catch_all_recipient = \"bob@contoso.com\"\n",
        "mailbox_delivery = { protocol = \"LMTP\", hosts = [\"/run/dovecot\"] }\n",
        "",
    ] {
        for name in ["contoso.com", "*.contoso.com", "fabrikam.com", "far.example"] {
            all.push(Part::new(Some(AcceptedDomains), &format!("[[accepted_domain]]\nname = \"{name}\"\n{more}\n")));
        }
    }
    for name in ["alice", "Alice", "dave", "erin", "staff"] {
        for more in
            ["", "groups = [\"staff\"]\n", "addresses = [\"erin@elsewhere.example\"]\n", "groups = [\"night\"]\n"]
        {
            all.push(Part::new(Some(Users), &format!("[[user]]\nname = \"{name}\"\n{more}")));
        }
    }
    for name in ["bob", "carol", "erin", "frank"] {
        for more in [
            "",
            "display_name = \"Somebody of a long name\"\n",
            "require_sender_authentication = true\n",
            "send_as = [\"alice\"]\n",
            "grant_send_on_behalf_to = [\"night\"]\n",
            "aliases = [\"alias@contoso.com\", \"other@contoso.com\"]\n",
        ] {
            let text = format!("# Of {name}.\n[[mailbox]]\naddress = \"{name}@contoso.com\"\n{more}\n");
            all.push(Part::new(Some(Mailboxes), &text));
        }
        for to in ["x@far.example", "bob@contoso.com", "alias@contoso.com", "gone@contoso.com"] {
            let text = format!("[[contact]]\naddress = \"c.{name}@contoso.com\"\nexternal_address = \"{to}\"\n");
            all.push(Part::new(Some(Contacts), &text));
        }
    }
    for name in ["g0", "g1", "g2"] {
        for members in [
            "",
            "\"bob@contoso.com\", \"carol@contoso.com\"",
            "\"g1@contoso.com\"",
            "\"alias@contoso.com\", \"y@far.example\"",
        ] {
            for more in ["", "require_sender_authentication = false\n"] {
                let text =
                    format!("[[distribution_group]]\naddress = \"{name}@contoso.com\"\nmembers = [{members}]\n{more}");
                all.push(Part::new(Some(Groups), &text));
            }
        }
    }
    for name in ["R0", "R1", "R2"] {
        for (number, more) in [
            "",
            "default_domain = \"fabrikam.com\"\n",
            "permission_groups = \"AnonymousUsers, Custom\"\n",
            "enabled = false\ncomment = \"off\"\n",
            "  [[receive_connector.permission]]\n  user = \"staff\"\n  extended_rights = [\"ms-Exch-SMTP-Accept-Any-Recipient\"]\n",
            "  [[receive_connector.permission]]\n  user = \"erin\"\n  extended_rights = [\"ms-Exch-SMTP-Submit\"]\n",
        ]
        .into_iter()
        .enumerate()
        {
            let text = format!(
                "[[receive_connector]]\nname = \"{name}\"\nbindings = [\"127.0.0.1:25\"]\nremote_ip_ranges = [\"10.0.{number}.0/24\"]\n{more}\n"
            );
            all.push(Part::new(Some(ReceiveConnectors), &text));
        }
    }
    for name in ["S0", "S1", "S2"] {
        for more in [
            "address_spaces = [\"SMTP:*;1\"]\n",
            "address_spaces = [\"SMTP:--;1\"]\nenabled = false\n",
            "address_spaces = [\"SMTP:far.example;1\"]\nfallback_connector = \"S0\"\n",
            "address_spaces = [\"SMTP:far.example;1\"]\nsource_receive_connectors = [\"R0\"]\n",
            "smart_hosts = [\"[10.0.0.5]\"]\nlinked_receive_connector = \"R1\"\nsmart_host_auth_mechanism = \"None\"\n",
            "fqdn = \"a.contoso.com\"\n",
        ] {
            all.push(Part::new(Some(SendConnectors), &format!("[[send_connector]]\nname = \"{name}\"\n{more}\n")));
        }
    }
    (first, all)
}

fn defaults() -> Defaults {
    Defaults { host_name: "host.contoso.com".into(), data_dir: PathBuf::from("data") }
}

/// All that settings say, in an order that does not hang on where a table of hashes begins.
fn said(settings: &Settings) -> String {
    let Settings {
        server,
        tls,
        certificates,
        trusted_roots,
        trusted_servers,
        transport,
        retry,
        reports,
        dns,
        tracking,
        revisions,
        protocol_logs,
        back_pressure,
        monitoring,
        management,
        accepted_domains,
        users,
        receive_connectors,
        send_connectors,
        mailbox_delivery: _,
        remote_domains,
        assertions,
        // Made of the others alone.
        domains: _,
        selector: _,
        address_spaces: _,
        directory,
        warnings,
        user_names: _,
        user_addresses: _,
    } = settings;
    let ways = directory.iter().map(|found| {
        let closed_by = found.closed_by().map(|recipient| &recipient.address);
        (found.span(), found.leads_somewhere(), closed_by, found.end_count(), found.ends())
    });
    let ways: Vec<_> = ways.collect();
    let tables = format!("{server:?} {tls:?} {certificates:?} {trusted_roots:?} {trusted_servers:?} {transport:?}");
    let more = format!("{retry:?} {reports:?} {dns:?} {tracking:?} {revisions:?} {protocol_logs:?} {back_pressure:?}");
    let rest = format!("{monitoring:?} {management:?} {remote_domains:?} {assertions:?}");
    format!(
        "{tables}\n{more}\n{rest}\n{accepted_domains:#?}\n{users:#?}\n{receive_connectors:#?}\n{send_connectors:#?}\n{:#?}\n{:?}\n{ways:#?}\n{warnings:#?}",
        directory.recipients(),
        directory.postmaster(),
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]
    #[test]
    fn what_is_read_again_is_what_reading_all_of_it_says(acts in proptest::collection::vec(act(), 1..60)) {
        let (mut document, all) = parts();
        let mut settings = parse(&text(&document), &defaults()).unwrap_or_else(|problems| panic!("{problems:#?}"));
        for act in &acts {
            let after = act.on(&document, &all);
            let (old, new) = (text(&document), text(&after));
            let again = parse_again(&new, &defaults(), &settings, &old, &kept(&document, &after));
            let Ok(fresh) = parse(&new, &defaults()) else {
                prop_assert!(again.is_none(), "{act:?} of\n{old}\nmakes what is refused:\n{new}");
                continue;
            };
            prop_assert_eq!(again.is_some(), fresh.server.name == settings.server.name, "{:?} of\n{}\nmakes\n{}", act, old, new);
            if let Some(again) = again {
                prop_assert_eq!(said(&again), said(&fresh), "{:?} of\n{}\nmakes\n{}", act, old, new);
                prop_assert_eq!(&again.mailbox_delivery, &fresh.mailbox_delivery);
                prop_assert_eq!((&again.user_names, &again.user_addresses), (&fresh.user_names, &fresh.user_addresses));
                settings = again;
            } else {
                settings = fresh;
            }
            document = after;
        }
    }
}

#[test]
fn what_has_not_changed_is_not_read_again() {
    let (document, _) = parts();
    let old = text(&document);
    let settings = parse(&old, &defaults()).unwrap_or_else(|problems| panic!("{problems:#?}"));
    let mut after = document.clone();
    // What stands behind moves.
    after.insert(0, Part::new(None, "# More.\n"));
    after.push(Part::new(Some(KeptList::Mailboxes), "[[mailbox]]\naddress = \"new@contoso.com\"\n"));
    let again =
        parse_again(&text(&after), &defaults(), &settings, &old, &kept(&document, &after)).expect("it is sound");
    let (before, after) = (settings.directory.recipients(), again.directory.recipients());
    let kept = before.iter().filter(|known| after.iter().any(|recipient| Arc::ptr_eq(known, recipient)));
    assert_eq!((kept.count(), after.len()), (before.len(), before.len() + 1));
}

#[test]
fn a_section_that_is_not_as_it_is_said_to_be_is_not_trusted() {
    let before = "[server]\nname = \"mail.contoso.com\"\n[[accepted_domain]]\nname = \"contoso.com\"\n[[mailbox]]\naddress = \"bob@contoso.com\"\n";
    let settings = parse(before, &defaults()).expect("settings");
    let mailbox = before.find("[[mailbox]]").expect("there");
    let section = |list, old: Range<usize>, start| vec![Kept { list, old, start }];
    for (after, kept) in [
        // Another text.
        (before.replace("bob", "ann"), section(KeptList::Mailboxes, mailbox..before.len(), mailbox)),
        // Another list.
        (before.to_owned(), section(KeptList::Contacts, mailbox..before.len(), mailbox)),
        // Not at its place.
        (before.to_owned(), section(KeptList::Mailboxes, mailbox..before.len(), mailbox + 1)),
        // More of it behind.
        (format!("{before}[mailbox.more]\n"), section(KeptList::Mailboxes, mailbox..before.len(), mailbox)),
        // Without a line of its own.
        (
            before.trim_end().to_owned() + "[transport]\n",
            section(KeptList::Mailboxes, mailbox..before.len() - 1, mailbox),
        ),
        // In a string.
        (
            before.replace("[[mail", "x = '''\n[[mail") + "'''\n",
            section(KeptList::Mailboxes, mailbox..before.len(), mailbox + 8),
        ),
    ] {
        assert!(parse_again(&after, &defaults(), &settings, before, &kept).is_none(), "{after}");
    }
}
