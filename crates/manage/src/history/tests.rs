//! Documents kept and found again, through crashes and damage.

use std::time::Duration;

use super::*;

const HOST: &str = "mail.contoso.com";

fn limits(max_count: u64) -> RevisionSettings {
    RevisionSettings { max_count, ..RevisionSettings::default() }
}

fn open(data_dir: &Path) -> History {
    History::open(data_dir, limits(1_000)).expect("opens")
}

fn append(history: &mut History, at_ms: u64, text: &str) -> u64 {
    let before = history.newest().map(|newest| newest.number);
    let before = before.and_then(|number| history.text(number).expect("readable"));
    let identified = |text| Identified { text, id: RevisionId::of(text, HOST) };
    let author = Author { who: format!("at {at_ms}"), from: "a test".to_owned() };
    let note = Note {
        at_ms,
        author: &author,
        why: Some("because"),
        what: Some("Set-X A"),
        origin: Origin::Amended,
        host_name: HOST,
    };
    history.append(&note, identified(text), before.as_deref().map(identified)).expect("kept")
}

/// A document with a line that differs.
fn document(number: u64) -> String {
    let lines: String = (0..50).map(|line| format!("line {line}\n")).collect();
    lines.replace("line 25\n", &format!("line of {number}\n"))
}

fn file_of(data_dir: &Path, number: u64) -> PathBuf {
    data_dir.join(FOLDER).join(format!("{number:010}.{EXTENSION}"))
}

#[test]
fn every_document_is_read_as_it_was_also_after_a_restart_and_only_by_us() {
    use std::os::unix::fs::PermissionsExt;
    let data_dir = tempfile::tempdir().expect("a folder");
    let mut history = open(data_dir.path());
    assert_eq!((history.newest(), history.text(1).expect("readable")), (None, None));
    let texts = ["[server]\r\nname = \"ümlaut\"", "", "[server]\n", "[server]\n", "x\n[server]\ny"];
    for (at, text) in texts.iter().enumerate() {
        assert_eq!(append(&mut history, at as u64, text), at as u64 + 1);
    }
    for history in [history, open(data_dir.path())] {
        for (at, text) in texts.iter().enumerate() {
            assert_eq!(history.text(at as u64 + 1).expect("readable").as_deref(), Some(*text));
        }
        let newest = history.newest().expect("there");
        assert_eq!((newest.number, newest.author.who.as_str(), newest.why.as_deref()), (5, "at 4", Some("because")));
        let found = history.find_document(RevisionId::of("[server]\n", HOST)).expect("there");
        assert_eq!(found.number, 4, "the newest with that document");
        assert_eq!(history.find_document(RevisionId::of("[server]\n", "other")), None);
    }
    let file = fs::metadata(file_of(data_dir.path(), 1)).expect("one file");
    let folder = fs::metadata(data_dir.path().join(FOLDER)).expect("there");
    assert_eq!((file.permissions().mode() & 0o777, folder.permissions().mode() & 0o777), (0o600, 0o700));
}

#[test]
fn wherever_the_last_line_is_torn_that_revision_never_was() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let mut history = open(data_dir.path());
    append(&mut history, 1, &document(1));
    let whole = fs::metadata(file_of(data_dir.path(), 1)).expect("there").len();
    append(&mut history, 2, &document(2));
    let bytes = fs::read(file_of(data_dir.path(), 1)).expect("readable");
    for length in [whole, whole + 1, whole + 9, bytes.len() as u64 - 1] {
        fs::write(file_of(data_dir.path(), 1), &bytes[..length as usize]).expect("writable");
        let mut history = open(data_dir.path());
        assert_eq!(history.newest().map(|newest| newest.number), Some(1), "{length}");
        assert_eq!(append(&mut history, 3, &document(3)), 2);
        assert_eq!(open(data_dir.path()).text(2).expect("readable"), Some(document(3)));
    }
    // Torn within the first line: there is no history yet.
    fs::write(file_of(data_dir.path(), 1), &bytes[..20]).expect("writable");
    let mut history = open(data_dir.path());
    assert_eq!(history.newest(), None);
    assert_eq!(append(&mut history, 1, "x"), 1);
}

#[test]
fn damage_hides_what_it_hit_and_nothing_is_deleted() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let mut history = open(data_dir.path());
    (1..=4).for_each(|number| assert_eq!(append(&mut history, number, &document(number)), number));
    let path = file_of(data_dir.path(), 1);
    let mut bytes = fs::read(&path).expect("readable");
    let third = bytes.split(|byte| *byte == b'\n').take(2).map(|line| line.len() + 1).sum::<usize>();
    bytes[third + 30] ^= 1;
    fs::write(&path, &bytes).expect("writable");
    let mut history = open(data_dir.path());
    let readable =
        |history: &History| (1..=4).map(|number| history.text(number).expect("readable").is_some()).collect::<Vec<_>>();
    assert_eq!(readable(&history), [true, true, false, false]);
    assert_eq!(append(&mut history, 5, &document(5)), 3, "the next number that is known");
    assert_eq!(fs::read(&path).expect("readable"), bytes);
    let history = open(data_dir.path());
    assert_eq!(history.text(3).expect("readable"), Some(document(5)));
    assert_eq!(readable(&history), [true, true, true, false]);
}

#[test]
fn what_was_not_put_in_force_is_taken_back() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let mut history = open(data_dir.path());
    append(&mut history, 1, "one\n");
    history.withdraw(1).expect("taken back");
    assert_eq!(history.newest(), None);
    assert!(!file_of(data_dir.path(), 1).exists());
    append(&mut history, 1, "one\n");
    append(&mut history, 2, "two\n");
    history.withdraw(1).expect("not the newest: nothing to do");
    history.withdraw(2).expect("taken back");
    for mut history in [history, open(data_dir.path())] {
        assert_eq!(history.newest().map(|newest| newest.number), Some(1));
        assert_eq!(append(&mut history, 3, "three\n"), 2);
        assert_eq!(history.text(2).expect("readable").as_deref(), Some("three\n"));
        history.withdraw(2).expect("taken back");
    }
}

#[test]
fn so_many_revisions_are_kept_and_the_newest_always() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let mut history = History::open(data_dir.path(), limits(150)).expect("opens");
    let count = 4 * DIFFERENCES_MAX as u64;
    (1..=count).for_each(|number| assert_eq!(append(&mut history, number * 1_000, &document(number)), number));
    let kept = |history: &History| history.revisions(0).map(|revision| revision.number).collect::<Vec<_>>();
    assert_eq!(kept(&history), (count - 149..=count).collect::<Vec<_>>());
    assert_eq!(
        (history.text(count - 149).expect("readable"), history.find(count - 150, 0)),
        (Some(document(count - 149)), None)
    );
    let files = fs::read_dir(data_dir.path().join(FOLDER)).expect("there").count();
    assert!((2..=3).contains(&files), "{files} files");
    history.set_limits(limits(2));
    assert_eq!(kept(&history), [count - 1, count]);
    // What was in force at the beginning of the time counts.
    let age = RevisionSettings { max_age: Duration::from_millis(2_500), ..limits(1_000) };
    history.set_limits(age);
    let first = |now_ms| history.revisions(now_ms).next().expect("the newest").number;
    assert_eq!((first(count * 1_000), first(count * 1_000 + 499), first(u64::MAX)), (count - 3, count - 3, count));
    history.set_limits(RevisionSettings { max_size: 1, ..limits(1_000) });
    append(&mut history, (count + 1) * 1_000, &document(0));
    assert_eq!(fs::read_dir(data_dir.path().join(FOLDER)).expect("there").count(), 1);
    assert_eq!(history.text(count + 1).expect("readable"), Some(document(0)));
}

#[test]
fn long_reasons_are_cut_between_characters() {
    let data_dir = tempfile::tempdir().expect("a folder");
    let mut history = open(data_dir.path());
    let author = Author { who: "x".to_owned(), from: "y".to_owned() };
    let why = "ä".repeat(WHY_BYTES_MAX);
    let note = Note { at_ms: 1, author: &author, why: Some(&why), what: None, origin: Origin::First, host_name: HOST };
    history.append(&note, Identified { text: "", id: RevisionId::of("", HOST) }, None).expect("kept");
    assert_eq!(history.newest().and_then(|newest| newest.why.clone()).map(|why| why.len()), Some(WHY_BYTES_MAX));
}

#[test]
fn a_revision_says_why_or_else_what_was_done() {
    for (why, what, origin, said) in [
        (Some("CHG-1"), Some("Set-ReceiveConnector A"), Origin::Amended, "CHG-1"),
        (None, Some("Set-ReceiveConnector A"), Origin::Amended, "Set-ReceiveConnector A"),
        (Some(" "), Some("settings document"), Origin::Amended, "settings document"),
        // Written by an earlier version.
        (None, None, Origin::Amended, ""),
        (None, None, Origin::ByHand, "the file was edited"),
        (None, Some("restore of 7"), Origin::Restored { number: 7 }, "restore of 7"),
        (Some("a mistake"), None, Origin::Restored { number: 7 }, "a mistake; restore of 7"),
    ] {
        let revision = Revision {
            number: 1,
            at_ms: 0,
            author: Author { who: "a".to_owned(), from: "b".to_owned() },
            why: why.map(str::to_owned),
            what: what.map(str::to_owned),
            origin,
            document: String::new(),
            host_name: String::new(),
        };
        assert_eq!(revision.reason(), said, "{why:?} {what:?} {origin:?}");
    }
}
