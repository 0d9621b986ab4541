//! How long a document with 20,000 recipients takes to be read, and to be read again after one of them has changed.
//!
//! `cargo run --release -p gatepost-policy --example read_again`

use std::time::{Duration, Instant};

use gatepost_policy::audit::difference;
use gatepost_policy::route;
use gatepost_policy::settings::{Defaults, Kept, KeptList, parse, parse_again};

const MAILBOXES: usize = 20_000;
const GROUPS: usize = 100;
const MEMBERS_EACH: usize = 50;
const RUNS: usize = 10;

fn main() {
    let mut sections = sections();
    let before_text = text(&sections);
    let defaults = Defaults { host_name: "mail.contoso.com".to_owned(), data_dir: "data".into() };
    let read = |text: &str| parse(text, &defaults).unwrap_or_else(|problems| panic!("{:?}", problems.first()));
    let before = read(&before_text);
    println!("{} bytes, {} recipients", before_text.len(), before.directory.recipients().len());
    let changed = sections.len() / 2;
    let old = starts(&sections);
    sections[changed].1.push_str("require_sender_authentication = true\n");
    let after_text = text(&sections);
    let kept = sections.iter().zip(old.into_iter().zip(starts(&sections))).enumerate();
    let kept: Vec<Kept> = kept
        .filter(|(at, _)| *at != changed)
        .filter_map(|(_, ((list, text), (old, start)))| {
            Some(Kept { list: (*list)?, old: old..old + text.len(), start })
        })
        .collect();
    timed("parse", || read(&after_text));
    let again = timed("parse_again", || {
        parse_again(&after_text, &defaults, &before, &before_text, &kept).expect("it is sound")
    });
    timed("difference", || difference(&before, &again, 0));
    timed("whether routes are alike", || route::are_alike(&before, &again));
}

fn sections() -> Vec<(Option<KeptList>, String)> {
    let mut sections = vec![
        (None, "[server]\nname = \"mail.contoso.com\"\n".to_owned()),
        (Some(KeptList::AcceptedDomains), "[[accepted_domain]]\nname = \"contoso.com\"\n".to_owned()),
    ];
    for number in 0..MAILBOXES {
        let text = format!(
            "\n[[mailbox]]\naddress = \"user{number:05}@contoso.com\"\ndisplay_name = \"User {number:05}\"\n\
             aliases = [\"first.last{number:05}@contoso.com\"]\n"
        );
        sections.push((Some(KeptList::Mailboxes), text));
    }
    for number in 0..GROUPS {
        let members =
            (0..MEMBERS_EACH).map(|place| format!("\"user{:05}@contoso.com\"", number * MEMBERS_EACH + place));
        let members = members.collect::<Vec<_>>().join(", ");
        let text =
            format!("\n[[distribution_group]]\naddress = \"group{number}@contoso.com\"\nmembers = [{members}]\n");
        sections.push((Some(KeptList::Groups), text));
    }
    sections
}

fn text(sections: &[(Option<KeptList>, String)]) -> String {
    sections.iter().map(|(_, text)| text.as_str()).collect()
}

fn starts(sections: &[(Option<KeptList>, String)]) -> Vec<usize> {
    let starts = sections.iter().scan(0, |end, (_, text)| {
        let start = *end;
        *end += text.len();
        Some(start)
    });
    starts.collect()
}

/// The fastest of some runs: others only ever slow one down.
fn timed<T>(what: &str, run: impl Fn() -> T) -> T {
    let mut fastest = Duration::MAX;
    let mut made = None;
    for _ in 0..RUNS {
        let began = Instant::now();
        let fresh = run();
        fastest = fastest.min(began.elapsed());
        made = Some(fresh);
    }
    println!("{what}: {:.1} ms", fastest.as_secs_f64() * 1_000.0);
    made.expect("it ran")
}
