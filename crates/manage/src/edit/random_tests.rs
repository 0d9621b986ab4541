//! Random documents under random edits, against a plain model: what the settings reader says is what was asked for, every
//! comment stays but those of what went, and reading only what changed says the same as reading all.

use std::collections::BTreeMap;
use std::path::PathBuf;

use gatepost_policy::Settings;
use gatepost_policy::settings::{self, Defaults};
use proptest::prelude::*;

use super::*;

/// What a connector shall say.
#[derive(Clone, Debug, Default)]
struct Model {
    ranges: Vec<String>,
    comment: Option<String>,
    hop_count: Option<i64>,
    entries: Vec<String>,
}

#[derive(Clone, Debug)]
enum Act {
    Insert { with_entry: bool },
    Remove(usize),
    AddRanges(usize, usize),
    TakeRange(usize, usize),
    SetRanges(usize, usize),
    Comment(usize, Option<u8>),
    HopCount(usize, Option<i64>),
    Permit(usize),
    Revoke(usize, usize),
}

fn act() -> impl Strategy<Value = Act> {
    let place = 0..8_usize;
    prop_oneof![
        any::<bool>().prop_map(|with_entry| Act::Insert { with_entry }),
        place.clone().prop_map(Act::Remove),
        (place.clone(), 1..4_usize).prop_map(|(connector, count)| Act::AddRanges(connector, count)),
        (place.clone(), 0..6_usize).prop_map(|(connector, range)| Act::TakeRange(connector, range)),
        (place.clone(), 1..4_usize).prop_map(|(connector, count)| Act::SetRanges(connector, count)),
        (place.clone(), any::<Option<u8>>()).prop_map(|(connector, text)| Act::Comment(connector, text)),
        (place.clone(), proptest::option::of(1..500_i64))
            .prop_map(|(connector, count)| Act::HopCount(connector, count)),
        place.clone().prop_map(Act::Permit),
        (place, 0..3_usize).prop_map(|(connector, entry)| Act::Revoke(connector, entry)),
    ]
}

/// How a connector of the first document is laid out.
#[derive(Clone, Copy, Debug)]
struct Layout {
    vertical: bool,
    trailing_comma: bool,
    blank_lines: usize,
    ranges: usize,
    entries: usize,
    warns: bool,
}

fn layout() -> impl Strategy<Value = Layout> {
    (any::<bool>(), any::<bool>(), 1..3_usize, 1..4_usize, 0..3_usize, proptest::bool::weighted(0.2)).prop_map(
        |(vertical, trailing_comma, blank_lines, ranges, entries, warns)| Layout {
            vertical,
            trailing_comma,
            blank_lines,
            ranges,
            entries,
            warns,
        },
    )
}

/// A document with its model. A comment that goes with something names it: `of N` with a connector, `at R` with a range.
fn first(layouts: &[Layout]) -> (String, BTreeMap<String, Model>, usize) {
    let mut text = "# head stays\n[server] # stays\nname = \"mail.contoso.com\"\n\n".to_owned();
    let (mut models, mut next) = (BTreeMap::new(), 0);
    for (number, layout) in layouts.iter().enumerate() {
        let name = format!("C{number}");
        let mut model = Model::default();
        text += &format!(
            "# part {number} stays\n\n# above of {name}\n[[receive_connector]] # header of {name}\nname = \"{name}\" # name of {name}\n"
        );
        text += "bindings = [\"127.0.0.1:25\"]\n";
        if layout.warns {
            text += &format!("permission_groups = \"AnonymousUsers, Custom\" # warned of {name}\n");
        }
        let ranges: Vec<String> = (0..layout.ranges).map(|_| range(&mut next)).collect();
        let joined = match layout.vertical {
            true => {
                let last = if layout.trailing_comma { "," } else { "" };
                let lines = ranges.iter().enumerate().map(|(at, range)| {
                    let comma = if at + 1 == ranges.len() { last } else { "," };
                    format!("    # before of {name}\n    \"{range}\"{comma} # at {range}\n")
                });
                format!("[\n{}    # end of {name}\n  ]", lines.collect::<String>())
            }
            false => format!("[{}]", ranges.iter().map(|range| format!("\"{range}\"")).collect::<Vec<_>>().join(", ")),
        };
        text += &format!("remote_ip_ranges = {joined} # ranges of {name}\n");
        model.ranges = ranges;
        for right in RIGHTS.into_iter().take(layout.entries) {
            text += &format!(
                "\n  # entry of {name}\n  [[receive_connector.permission]]\n  user = 'NT AUTHORITY\\ANONYMOUS LOGON'\n  extended_rights = [\"{right}\"]\n"
            );
            model.entries.push(right.to_owned());
        }
        text += &"\n".repeat(layout.blank_lines);
        models.insert(name, model);
    }
    (text + "\n# tail stays\n", models, next)
}

const RIGHTS: [&str; 3] = ["ms-Exch-SMTP-Submit", "ms-Exch-SMTP-Accept-Any-Sender", "ms-Exch-Bypass-Anti-Spam"];

/// A range that nobody else has.
fn range(next: &mut usize) -> String {
    *next += 1;
    format!("10.{}.{}.7", *next / 200, *next % 200)
}

fn chosen(models: &BTreeMap<String, Model>, place: usize) -> Option<String> {
    models.keys().nth(place).cloned()
}

/// The edit of an act, done to the model too; `None` where there is nothing to do it to. `gone` gets what comments name that
/// may go.
fn edit_of(act: &Act, models: &mut BTreeMap<String, Model>, next: &mut usize, gone: &mut Vec<String>) -> Option<Edit> {
    let connector = |name: &str| Target::named("receive_connector", name);
    let entry = |right: &str| -> Vec<Key> {
        vec![("user".into(), r"NT AUTHORITY\ANONYMOUS LOGON".into()), ("extended_rights".into(), Value::texts([right]))]
    };
    Some(match act {
        Act::Insert { with_entry } => {
            let (range, name) = (range(next), format!("N{next}"));
            let keys = vec![
                ("name".into(), name.as_str().into()),
                ("bindings".into(), Value::texts(["127.0.0.1:25"])),
                ("remote_ip_ranges".into(), Value::texts([range.as_str()])),
            ];
            let entries = if *with_entry { vec![("permission".into(), entry(RIGHTS[0]))] } else { Vec::new() };
            let rights = if *with_entry { vec![RIGHTS[0].to_owned()] } else { Vec::new() };
            models.insert(name, Model { ranges: vec![range], entries: rights, ..Model::default() });
            Edit::Insert { table: "receive_connector".into(), keys, entries }
        }
        Act::Remove(place) => {
            let name = chosen(models, *place)?;
            let model = models.remove(&name)?;
            gone.extend(model.ranges.iter().map(|range| format!("at {range}")));
            gone.push(format!("of {name}"));
            // In another case, which is the same name.
            Edit::Remove(connector(&name.to_lowercase()))
        }
        Act::AddRanges(place, count) => {
            let name = chosen(models, *place)?;
            let model = models.get_mut(&name)?;
            let fresh: Vec<String> = (0..*count).map(|_| range(next)).collect();
            // One that is there already is not added again.
            let values = model.ranges.first().into_iter().chain(&fresh).map(|range| range.as_str().into()).collect();
            model.ranges.extend(fresh);
            Edit::Add { target: connector(&name), key: "remote_ip_ranges".into(), values }
        }
        Act::TakeRange(place, at) => {
            let name = chosen(models, *place)?;
            let model = models.get_mut(&name).filter(|model| model.ranges.len() > 1 && *at < model.ranges.len())?;
            let range = model.ranges.remove(*at);
            gone.push(format!("at {range}"));
            // As a network, which is the same addresses.
            let values = vec![format!("{range}/32").into()];
            Edit::Take { target: connector(&name), key: "remote_ip_ranges".into(), values }
        }
        Act::SetRanges(place, count) => {
            let name = chosen(models, *place)?;
            let model = models.get_mut(&name)?;
            let kept = model.ranges[0].clone();
            gone.extend(model.ranges[1..].iter().map(|range| format!("at {range}")));
            model.ranges = std::iter::once(kept).chain((0..*count).map(|_| range(next))).collect();
            let value = Value::texts(model.ranges.iter().map(String::as_str));
            Edit::Set { target: connector(&name), key: "remote_ip_ranges".into(), value }
        }
        Act::Comment(place, text) => {
            let name = chosen(models, *place)?;
            let text = text.map(|text| format!("says \"{text}\" \\ ä"));
            models.get_mut(&name)?.comment.clone_from(&text);
            let (target, key) = (connector(&name), "comment".into());
            match text {
                Some(text) => Edit::Set { target, key, value: text.into() },
                None => Edit::Unset { target, key },
            }
        }
        Act::HopCount(place, count) => {
            let name = chosen(models, *place)?;
            models.get_mut(&name)?.hop_count = *count;
            let (target, key) = (connector(&name), "max_hop_count".into());
            match count {
                Some(count) => Edit::Set { target, key, value: (*count).into() },
                None => Edit::Unset { target, key },
            }
        }
        Act::Permit(place) => {
            let name = chosen(models, *place)?;
            let model = models.get_mut(&name)?;
            let right = RIGHTS[model.entries.len() % RIGHTS.len()];
            model.entries.push(right.to_owned());
            Edit::InsertEntry { target: connector(&name), list: "permission".into(), keys: entry(right) }
        }
        Act::Revoke(place, at) => {
            let name = chosen(models, *place)?;
            let model = models.get_mut(&name).filter(|model| *at < model.entries.len())?;
            model.entries.remove(*at);
            gone.push(format!("entry of {name}"));
            Edit::Remove(connector(&name).entry("permission", *at))
        }
    })
}

fn defaults() -> Defaults {
    Defaults { host_name: "mail.contoso.com".into(), data_dir: PathBuf::from("data") }
}

fn said(settings: &Settings) -> BTreeMap<String, Model> {
    let connectors = settings.receive_connectors.iter().map(|connector| {
        let own = connector.entries.iter().filter(|entry| entry.source == gatepost_policy::access_entry::Source::Extra);
        let model = Model {
            ranges: connector.remote_ip_ranges.iter().map(ToString::to_string).collect(),
            comment: Some(connector.comment.clone()).filter(|comment| !comment.is_empty()),
            hop_count: Some(connector.max_hop_count.into()).filter(|count| *count != 60),
            entries: own.map(|entry| entry.rights.iter().map(|right| right.exchange_name()).collect()).collect(),
        };
        (connector.name.to_string(), model)
    });
    connectors.collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]
    #[test]
    fn random_edits_say_what_was_asked_for_and_keep_every_comment(
        layouts in proptest::collection::vec(layout(), 0..5),
        acts in proptest::collection::vec(act(), 1..12),
        crlf in any::<bool>(),
    ) {
        let (text, mut models, mut next) = first(&layouts);
        let text = if crlf { text.replace('\n', "\r\n") } else { text };
        let mut outline = Outline::of(&text);
        let mut settings = settings::parse(&text, &defaults()).expect("the first document");
        let (mut before, mut gone) = (text, Vec::new());
        for act in &acts {
            let Some(edit) = edit_of(act, &mut models, &mut next, &mut gone) else { continue };
            let old = outline.clone();
            apply(&mut outline, &edit).unwrap_or_else(|error| panic!("{edit:?} of\n{before}\n{error}"));
            let after = outline.text();
            let fresh = settings::parse(&after, &defaults());
            let fresh = fresh.unwrap_or_else(|problems| panic!("{edit:?} of\n{before}\nmakes\n{after}\n{problems:#?}"));
            // What is the default cannot be told from what is left out.
            models.values_mut().for_each(|model| model.hop_count = model.hop_count.filter(|count| *count != 60));
            prop_assert_eq!(format!("{:?}", said(&fresh)), format!("{models:?}"), "{:?} of\n{}\nmakes\n{}", edit, before, after);
            let comments = before.lines().filter_map(|line| Some(line.split_once('#')?.1.trim_end()));
            for comment in comments.filter(|comment| !gone.iter().any(|gone| comment.ends_with(gone.as_str()))) {
                prop_assert!(after.contains(comment), "{:?} of\n{}\nloses {}:\n{}", edit, before, comment, after);
            }
            prop_assert!(!crlf || !after.replace("\r\n", "").contains('\n'), "{:?} mixes line ends:\n{:?}", edit, after);

            let kept = outline.kept_since(&old);
            let again = settings::parse_again(&after, &defaults(), &settings, &before, &kept).expect("it is sound");
            prop_assert_eq!(&again.receive_connectors, &fresh.receive_connectors);
            prop_assert_eq!(&again.warnings, &fresh.warnings);
            (before, settings) = (after, again);
        }
    }
}
