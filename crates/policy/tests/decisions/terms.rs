//! The terms that audit and difference tell beside a right say when it is held, and when it is not, as the decisions do.

use gatepost_mail::{Mailbox, ReversePath};
use gatepost_policy::Settings;
use gatepost_policy::audit::{Altered, Audit, Change, HostAddresses, Limited, Term, Terms, Whom, difference};
use gatepost_policy::condition::hours::Window;
use gatepost_policy::condition::patterns::Pattern;
use gatepost_policy::condition::{Hours, Patterns};
use gatepost_policy::permission::{Facts, HeaderSenders, Principal, Right, Rights, granted, granted_at_worst};
use gatepost_policy::settings::parse;
use proptest::prelude::*;

use crate::document::{CONTOSO, cases, connector, defaults, settings};

const ANONYMOUS: &str = r"NT AUTHORITY\\ANONYMOUS LOGON";
/// Friday, 2027-01-15T08:00:00Z.
const NOW_MS: u64 = 1_800_000_000_000;
const HOUR_MS: u64 = 3_600_000;
/// One past, two to come.
const EXPIRIES: [&str; 3] = ["2027-01-15T07:00:00Z", "2027-01-15T10:00:00Z", "2027-01-15T13:00:00Z"];
/// Before, between and behind those to come, within and outside the hours.
const INSTANTS: [u64; 5] =
    [NOW_MS, NOW_MS + HOUR_MS, NOW_MS + 3 * HOUR_MS, NOW_MS + 5 * HOUR_MS, NOW_MS + 24 * HOUR_MS];
const HOURS: [&str; 2] = ["Fri 08:00-09:00 UTC", "Mon-Fri 08:30-12:00 UTC"];
const SENDERS: [&str; 4] = ["scan@contoso.com", "*@contoso.com", "fax.example", "<>"];
const RECIPIENTS: [&str; 2] = ["*@partner.example", "bill@customer.example"];
const RIGHTS: [Right; 4] =
    [Right::Submit, Right::AcceptAnyRecipient, Right::AcceptAnySender, Right::AcceptAuthoritativeDomainSender];
const FROM: [&str; 4] = ["scan@contoso.com", "ceo@contoso.com", "x@fax.example", ""];
const TO: [&str; 3] = ["bill@partner.example", "bill@customer.example", "someone@example.net"];

fn some<T: Clone + std::fmt::Debug + 'static>(of: &[T], fewest: usize) -> impl Strategy<Value = Vec<T>> + use<T> {
    prop::sample::subsequence(of.to_vec(), fewest..=of.len().min(2))
}

fn entry() -> impl Strategy<Value = String> {
    let conditions = (some(&SENDERS, 0), some(&RECIPIENTS, 0), some(&HOURS, 0), prop::bool::weighted(0.2));
    let expires = prop::option::weighted(0.4, prop::sample::select(&EXPIRIES));
    (some(&RIGHTS, 1), prop::bool::weighted(0.3), any::<bool>(), conditions, expires).prop_map(
        |(rights, deny, is_everyone, (senders, recipients, hours, is_counted), expires)| {
            let names: Vec<&str> = rights.iter().map(|right| right.exchange_name()).collect();
            // Recipients are known when that right is asked for, and no other; of Everyone some log on before MAIL.
            let recipients = if rights == [Right::AcceptAnyRecipient] { recipients } else { Vec::new() };
            let is_counted = is_counted && !deny;
            let is_everyone = is_everyone && !rights.contains(&Right::Submit);
            let mut text = format!(
                "  [[receive_connector.permission]]\n  user = \"{}\"\n  extended_rights = {names:?}\n  deny = {deny}\n",
                if is_everyone { "Everyone" } else { ANONYMOUS }
            );
            for (key, list) in [("senders", senders), ("recipients", recipients), ("hours", hours)] {
                if !list.is_empty() {
                    text += &format!("  {key} = {list:?}\n");
                }
            }
            if is_counted {
                text += "  messages_per_hour = 7\n";
            }
            expires.map_or(text.clone(), |expires| format!("{text}  expires = {expires}\n"))
        },
    )
}

fn document() -> impl Strategy<Value = String> {
    let groups = prop::sample::select(&["AnonymousUsers", "None"]);
    (groups, prop::collection::vec(entry(), 0..5)).prop_map(|(groups, entries)| {
        format!("{CONTOSO}{}", connector("R", r#""10.0.0.1""#, groups, &entries.concat()))
    })
}

/// What is known of one message.
struct Message {
    path: ReversePath,
    recipient: Mailbox,
    at_ms: u64,
}

impl Message {
    fn all() -> Vec<Message> {
        let message = |sender: &str, recipient: &str, at_ms| Message {
            path: ReversePath::parse_prefix(&format!("<{sender}>")).expect("a reverse-path").0,
            recipient: Mailbox::parse(recipient).expect("an address"),
            at_ms,
        };
        let pairs = FROM.iter().flat_map(|sender| TO.iter().map(move |recipient| (sender, recipient)));
        pairs.flat_map(|(sender, to)| INSTANTS.map(|at_ms| message(sender, to, at_ms))).collect()
    }

    /// Whether it has `right`, by the entries.
    fn is_granted(&self, settings: &Settings, right: Right) -> bool {
        let facts = Facts {
            now_ms: self.at_ms,
            reverse_path: Some(&self.path),
            header_senders: HeaderSenders::NotYet,
            recipient: Some(&self.recipient),
            exhausted: &[],
        };
        granted(&settings.receive_connectors[0], &Principal::Anonymous, &facts).rights.contains(right)
    }

    /// Whether it has a right that is held under `terms`, by what they say.
    fn is_within(&self, terms: &Terms) -> bool {
        let given = terms.given.is_empty() || terms.given.iter().any(|term| self.fits(term));
        given && !terms.taken.iter().any(|term| self.fits(term))
    }

    fn fits(&self, term: &Term) -> bool {
        let patterns = |texts: &[Box<str>]| {
            Patterns::new(texts.iter().map(|text| Pattern::parse(text).expect("a pattern")).collect())
        };
        let hours = || Hours::new(term.hours.iter().map(|text| Window::parse(text).expect("a window")).collect());
        (term.senders.is_empty() || patterns(&term.senders).match_path(&self.path))
            && (term.recipients.is_empty() || patterns(&term.recipients).matches(&self.recipient))
            && (term.hours.is_empty() || hours().contain(self.at_ms) == Some(true))
            && term.until_ms.is_none_or(|until_ms| self.at_ms < until_ms)
    }
}

/// Nothing counts of whoever may not submit at any time.
fn may_submit_ever(settings: &Settings, at_ms: u64) -> bool {
    granted_at_worst(&settings.receive_connectors[0], &Principal::Anonymous, at_ms).contains(Right::Submit)
}

proptest! {
    #![proptest_config(ProptestConfig { max_global_rejects: 1_000_000, ..ProptestConfig::with_cases(cases(1_000)) })]

    #[test]
    fn the_terms_of_the_audit_say_when_a_right_is_held(text in document()) {
        let Ok(settings) = parse(&text, &defaults()) else { return Err(TestCaseError::reject("refused")) };
        let audit = Audit::of(&settings, &text, &HostAddresses::default(), NOW_MS);
        let Some(capability) = audit.exposures[0].standing.capability.as_ref() else {
            prop_assert!(!may_submit_ever(&settings, NOW_MS));
            return Ok(());
        };
        let limited = capability.limited.iter().fold(Rights::NONE, |all, limited| all | limited.rights);
        prop_assert_eq!(limited, capability.unsure);
        for (message, right) in Message::all().iter().flat_map(|message| RIGHTS.map(|right| (message, right))) {
            let said = capability.rights.contains(right)
                && capability.terms_of(right).is_none_or(|terms| message.is_within(terms));
            let is_granted = message.is_granted(&settings, right);
            prop_assert_eq!(said, is_granted, "{} of {} to {} at {}", right, message.path, message.recipient, message.at_ms);
        }
    }

    #[test]
    fn the_terms_of_a_difference_say_what_becomes_of_a_message(old in document(), new in document()) {
        let (Ok(old), Ok(new)) = (parse(&old, &defaults()), parse(&new, &defaults())) else {
            return Err(TestCaseError::reject("refused"));
        };
        let changes = difference(&old, &new, NOW_MS);
        for message in Message::all() {
            let at_ms = message.at_ms;
            let is_now = |change: &&Change| {
                change.whom == Whom::Unauthenticated
                    && change.from_ms.is_none_or(|from_ms| from_ms <= at_ms)
                    && change.until_ms.is_none_or(|until_ms| at_ms < until_ms)
            };
            let told: Vec<&Change> = changes.iter().filter(is_now).collect();
            prop_assert!(told.len() <= 1, "{:?}", told);
            for right in RIGHTS {
                let holds = |settings: &Settings| may_submit_ever(settings, at_ms) && message.is_granted(settings, right);
                let (before, after) = (holds(&old), holds(&new));
                let is_within = |limited: &[Limited]| {
                    Limited::terms_of(limited, right).is_none_or(|terms| message.is_within(terms))
                };
                let said = told.first().map(|change| {
                    let of_it = |altered: &&Altered| altered.rights.contains(right);
                    match change.altered.iter().find(of_it) {
                        Some(altered) => (message.is_within(&altered.before), message.is_within(&altered.after)),
                        None if change.gained.contains(right) => (false, is_within(&change.limited)),
                        None if change.lost.contains(right) => (is_within(&change.limited), false),
                        // It is as it was.
                        None => (before, before),
                    }
                });
                prop_assert_eq!(
                    said.unwrap_or((before, before)), (before, after),
                    "{} of {} to {} at {}", right, message.path, message.recipient, at_ms
                );
            }
        }
    }
}

#[test]
fn an_entry_that_is_narrowed_or_widened_is_a_difference() {
    let entry = |keys: &str| {
        let entry = format!(
            "  [[receive_connector.permission]]\n  user = \"{ANONYMOUS}\"\n  \
             extended_rights = [\"ms-Exch-SMTP-Accept-Any-Recipient\"]\n{keys}"
        );
        settings(&format!("{CONTOSO}{}", connector("R", r#""10.0.0.1""#, "AnonymousUsers", &entry)))
    };
    let scanner = "  senders = [\"scan@contoso.com\"]\n";
    let partner = "  senders = [\"scan@contoso.com\"]\n  recipients = [\"*@partner.example\"]\n";
    let until = "  senders = [\"scan@contoso.com\"]\n  expires = 2027-02-01T00:00:00Z\n";
    let relay = Right::AcceptAnyRecipient.into();
    for (old, new, before, after) in [
        ("", scanner, "always", "only from scan@contoso.com"),
        (scanner, "", "only from scan@contoso.com", "always"),
        (scanner, partner, "only from scan@contoso.com", "only from scan@contoso.com to *@partner.example"),
    ] {
        let changes = difference(&entry(old), &entry(new), NOW_MS);
        let told: Vec<(Rights, String, String)> = changes
            .iter()
            .flat_map(|change| change.altered.iter())
            .map(|altered| (altered.rights, altered.before.told(3), altered.after.told(3)))
            .collect();
        assert_eq!((changes.len(), told), (1, vec![(relay, before.to_owned(), after.to_owned())]), "{old} {new}");
        assert!(changes[0].gained.is_empty() && changes[0].lost.is_empty());
    }
    assert_eq!(difference(&entry(scanner), &entry(scanner), NOW_MS), []);
    // What ends is lost then, and not before.
    let ending = difference(&entry(scanner), &entry(until), NOW_MS);
    assert_eq!((ending.len(), ending[0].lost, ending[0].from_ms), (1, relay, Some(1_801_440_000_000)));
    assert_eq!(ending[0].limited[0].terms.told(3), "only from scan@contoso.com");
}
