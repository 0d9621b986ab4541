//! What `verify` says of a spool agrees with what opening it finds, and nothing is changed by asking.

use super::*;
use crate::verify::{Severity, Verified, VerifyError, verify_on};

fn look(disk: &FakeDisk) -> Verified {
    let before = disk.files();
    let verified = verify_on(disk, Path::new(ROOT), |_| {}).expect("there is a spool");
    assert_eq!(disk.files(), before, "nothing is changed by asking");
    verified
}

/// A spool with something of everything, all of it flushed, the server gone.
fn mixed() -> (FakeDisk, BTreeMap<MessageId, Vec<u8>>) {
    let disk = FakeDisk::new(11);
    let mut server = Server::open(&disk, &small()).expect("it opens");
    let mut live = BTreeMap::new();
    for i in 0..24_usize {
        let content = vec![b'a' + i as u8; if i % 8 == 3 { 2500 } else { 40 + 60 * i }];
        let recipients = 1 + i % 2;
        let id = server.accept(recipients, &content);
        match i % 3 {
            0 => server.settle(id, (0..recipients as u32).map(|index| (index, delivered())).collect()),
            1 if recipients == 2 => {
                server.settle(id, vec![(0, delivered())]);
                live.insert(id, with_trace(&content));
            }
            _ => {
                live.insert(id, with_trace(&content));
            }
        }
    }
    server.settle_down();
    drop(server);
    (disk.copy(), live)
}

#[test]
fn a_sound_spool_is_counted() {
    let (disk, live) = mixed();
    let verified = look(&disk);
    assert!(verified.is_sound(), "{verified:?}");
    assert_eq!(verified.findings, []);
    assert_eq!(verified.messages, live.len() as u64);
    assert!(verified.segments > 1 && verified.message_records >= 24 && verified.outcome_records > 0, "{verified:?}");
    assert!(verified.bodies > 0 && verified.dead_bytes > 0, "{verified:?}");
    let server = Server::open(&disk, &small()).expect("it opens");
    let usage = server.usage();
    assert_eq!((verified.messages, verified.live_bytes), (usage.messages, usage.live_bytes));
    assert_eq!(verified.log_bytes + verified.body_bytes, usage.disk_bytes);
}

#[test]
fn what_opening_finds_damaged_is_found_before() {
    let (disk, _) = mixed();
    let flushed: Vec<_> = disk.files().into_iter().filter(|(path, _)| !path.ends_with("reserve")).collect();
    let (mut sound, mut damaged) = (0, 0);
    for (path, content) in &flushed {
        let is_body = path.starts_with(Path::new(ROOT).join("bodies"));
        for bit in (5..content.len() * 8).step_by(if is_body { 1999 } else { 173 }) {
            let broken = disk.copy();
            broken.flip(path, bit);
            let verified = match verify_on(&broken, Path::new(ROOT), |_| {}) {
                Err(VerifyError::NewerFormat { .. }) if path.ends_with("FORMAT") => continue,
                verified => verified.unwrap_or_else(|error| panic!("{path:?} bit {bit}: {error}")),
            };
            let server = Server::open(&broken, &small()).unwrap_or_else(|error| panic!("{path:?} bit {bit}: {error}"));
            let in_log = |file: &Path| file.starts_with(Path::new(ROOT).join("log"));
            // The end of a message with a body may be what is damaged: then its body is gone, and its record is reported.
            let found = server.recovery().set_aside.iter().filter(|found| !found.reason.contains("the body file"));
            let found: Vec<_> = found.filter(|found| in_log(&found.file)).collect();
            let seen: Vec<_> = verified.findings.iter().filter(|finding| in_log(&finding.file)).collect();
            assert_eq!(
                seen.iter().map(|finding| (&finding.file, finding.offset, finding.length)).collect::<Vec<_>>(),
                found.iter().map(|found| (&found.file, found.offset, found.length)).collect::<Vec<_>>(),
                "{path:?} bit {bit}"
            );
            // Opening looks at the length of a body only; its content is checked when it is due.
            let unreadable = server.live().iter().filter(|id| server.message(**id).is_err()).count() as u64;
            assert_eq!(unreadable, u64::from(is_body), "{path:?} bit {bit}");
            assert_eq!(verified.messages, server.live().len() as u64, "{path:?} bit {bit}");
            if verified.is_sound() { sound += 1 } else { damaged += 1 }
        }
    }
    assert!(sound > 0 && damaged > 100, "{sound} sound, {damaged} damaged");
}

#[test]
fn a_torn_end_is_no_damage() {
    let (disk, live) = mixed();
    let log = Path::new(ROOT).join("log");
    let newest = disk.list(&log).expect("the disk works").into_iter().map(|listed| listed.name).max();
    let newest = log.join(newest.expect("there are segments"));
    let file = disk.open(&newest).expect("it is there");
    file.append(&mut [std::io::IoSlice::new(b"half a rec")]).expect("the disk works");
    let verified = look(&disk);
    assert!(verified.is_sound(), "{verified:?}");
    assert_eq!((verified.messages, verified.torn_bytes), (live.len() as u64, 10));
    assert_eq!(verified.findings.iter().map(|finding| finding.severity).collect::<Vec<_>>(), [Severity::Note]);
    assert_eq!(verified.findings[0].copy, None);
    drop(Server::open(&disk, &small()).expect("it opens"));
    let verified = look(&disk);
    assert_eq!(verified.set_aside_files, 1);
    assert!(verified.findings[0].copy.is_some(), "{verified:?}");
}
