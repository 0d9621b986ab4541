//! Whatever is appended is found by its terms, and what is damaged costs no more than itself.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::Write;

use proptest::prelude::*;

use super::files::KINDS;
use super::*;

const LIMITS: Limits = Limits { bytes_max: 1 << 30, age_max_ms: None };

const DESCRIBE: Describe = Describe { record: describe, version: 7 };
/// Whether a record stands for itself, waits with its whole, or ends it: the whole that its first term names.
const WHOLE: u8 = 0;
const WAITS: u8 = 1;
const ENDS: u8 = 2;
/// By what those are found who wait.
const OPEN: u32 = 4_000_000_000;

/// A record of these tests: its time, what it is, its number and its terms, and bytes that make it long.
fn record_of(kind: u8, number: u32, time_ms: u64, terms: &[u32], filler: usize) -> Vec<u8> {
    let mut record = [&time_ms.to_le_bytes()[..], &[kind], &number.to_le_bytes()].concat();
    record.push(terms.len() as u8);
    terms.iter().for_each(|term| record.extend_from_slice(&term.to_le_bytes()));
    // What does not compress.
    let mut noise = number.wrapping_add(1);
    record.extend((0..filler).map(|_| {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (noise >> 24) as u8
    }));
    record
}

fn record(number: u32, time_ms: u64, terms: &[u32], filler: usize) -> Vec<u8> {
    record_of(WHOLE, number, time_ms, terms, filler)
}

fn describe(record: &[u8], hashes: &mut Vec<u32>) -> Option<Described> {
    let (time_ms, rest) = record.split_first_chunk::<8>()?;
    let terms = rest.get(6..6 + 4 * usize::from(*rest.get(5)?))?;
    hashes.extend(terms.as_chunks().0.iter().map(|term| u32::from_le_bytes(*term)));
    let whole = hashes.first().map_or(0, |whole| u64::from(*whole));
    let (while_open, is_end) = ((rest[0] == WAITS).then_some(OPEN), rest[0] == ENDS);
    let part = (rest[0] != WHOLE).then_some(PartOf { whole, while_open, is_end });
    Some(Described { time_ms: u64::from_le_bytes(*time_ms), part })
}

fn number_of(record: &[u8]) -> u32 {
    u32::from_le_bytes(*record[9..].first_chunk().expect("a record"))
}

fn open(folder: &Path) -> Segments {
    Segments::open(folder, LIMITS, DESCRIBE).expect("opened")
}

/// The numbers of the records in blocks that may hold a term, which hold it.
fn find(segments: &Segments, term: u32) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    for piece in segments.snapshot(&[term]).pieces {
        let all = || (0..piece.blocks().len() as u32).collect();
        for block in piece.candidates(term).expect("readable").unwrap_or_else(all) {
            let Some(raw) = piece.read_block(block).expect("readable") else { continue };
            for record in Records(&raw) {
                let mut terms = Vec::new();
                describe(record, &mut terms).expect("a record");
                found.extend(terms.contains(&term).then(|| number_of(record)));
            }
        }
    }
    found
}

fn extensions(folder: &Path) -> Vec<&'static str> {
    let files = files(folder).expect("listed");
    files.iter().map(|(_, kind)| KINDS.iter().find(|(known, _)| known == kind).expect("known").1).collect()
}

fn end_segment(segments: &Segments) {
    segments.lock().begin_log(&segments.shared.folder).expect("begun");
    segments.tend(0).expect("sealed");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]

    #[test]
    fn each_record_is_found_by_each_of_its_terms_while_it_is_written_sealed_and_read_back(
        records in prop::collection::vec((prop::collection::vec(0_u32..12, 0..5), 0_usize..30_000, 0_u8..24), 1..60),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let mut segments = open(folder.path());
        for (number, (terms, filler, then)) in (0..).zip(&records) {
            segments.append(&record(number, 5, terms, *filler), 5).expect("appended");
            match then {
                0 => end_segment(&segments),
                1 => segments.sync().expect("flushed"),
                2 => {
                    segments.write_out().expect("written");
                    drop(segments);
                    segments = open(folder.path());
                }
                _ => {}
            }
        }
        segments.write_out().expect("written");
        for term in 0..13 {
            let expected: BTreeSet<u32> =
                (0..).zip(&records).filter(|(_, (terms, ..))| terms.contains(&term)).map(|(number, _)| number).collect();
            prop_assert_eq!(find(&segments, term), expected, "{}", term);
        }
        prop_assert_eq!(segments.usage().records, records.len() as u64);
    }

    #[test]
    fn whatever_byte_is_damaged_the_records_of_other_blocks_are_found(
        at in any::<prop::sample::Index>(),
        bits in 1_u8..,
        is_sealed in any::<bool>(),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let segments = open(folder.path());
        for number in 0..40 {
            segments.append(&record(number, 5, &[number, 1_000], 9_000), 5).expect("appended");
        }
        match is_sealed {
            true => end_segment(&segments),
            false => segments.write_out().expect("written"),
        }
        drop(segments);
        let [(number, kind), ..] = files(folder.path()).expect("listed")[..] else { panic!("one segment") };
        let file = path(folder.path(), number, kind);
        let mut bytes = fs::read(&file).expect("readable");
        let at = at.index(bytes.len());
        bytes[at] ^= bits;
        fs::write(&file, &bytes).expect("writable");
        let segments = open(folder.path());
        let found = find(&segments, 1_000);
        let lost = 40 - found.len();
        // The header of a file costs the file, which is set apart whole; anything else costs a block at most.
        let is_header = at < 32;
        prop_assert!(lost <= 8 || is_header, "{} lost by byte {} of {}", lost, at, bytes.len());
        prop_assert!(!is_header || lost == 0 || extensions(folder.path()).contains(&"damaged"));
        for number in found {
            prop_assert!(find(&segments, number).contains(&number), "{} by its own term", number);
        }
    }

    #[test]
    fn a_torn_end_costs_what_was_torn_only_and_what_follows_is_kept(lost in 1_usize..300) {
        let folder = tempfile::tempdir().expect("a folder");
        let segments = open(folder.path());
        for number in 0..10 {
            segments.append(&record(number, 5, &[7], 70), 5).expect("appended");
        }
        segments.write_out().expect("written");
        drop(segments);
        let file = log::path(folder.path(), 1);
        let bytes = fs::metadata(&file).expect("there").len();
        OpenOptions::new().write(true).open(&file).and_then(|file| file.set_len(bytes - lost as u64)).expect("torn");
        let segments = open(folder.path());
        let before = find(&segments, 7);
        let frame = record(0, 5, &[7], 70).len() + frame::HEADER_BYTES;
        prop_assert_eq!(before.len(), 10 - lost.div_ceil(frame));
        segments.append(&record(99, 5, &[7], 70), 5).expect("appended");
        segments.write_out().expect("written");
        prop_assert!(find(&open(folder.path()), 7).contains(&99));
    }
}

#[test]
fn the_folder_never_grows_much_beyond_its_limit_and_keeps_the_newest() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = Limits { bytes_max: 2 << 20, age_max_ms: None };
    let segments = Segments::open(folder.path(), limits, DESCRIBE).expect("opened");
    for number in 0..1_000 {
        segments.append(&record(number, u64::from(number), &[number], 10_000), u64::from(number)).expect("appended");
        segments.write_out().expect("written");
        segments.tend(u64::from(number)).expect("tended");
        let on_disk: u64 = fs::read_dir(folder.path())
            .expect("listed")
            .map(|file| file.expect("there").metadata().expect("there").len())
            .sum();
        assert!(on_disk <= limits.bytes_max + SEGMENT_BYTES_MIN + (64 << 10), "{on_disk}");
    }
    assert!(find(&segments, 0).is_empty());
    assert!((900..1_000).all(|number| find(&segments, number).len() == 1));
    assert!(segments.usage().oldest_ms > Some(500), "{:?}", segments.usage());
}

#[test]
fn what_is_too_old_goes_a_segment_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let limits = Limits { bytes_max: 1 << 30, age_max_ms: Some(80) };
    let segments = Segments::open(folder.path(), limits, DESCRIBE).expect("opened");
    for now in 0..200 {
        segments.append(&record(now, u64::from(now), &[now], 10), u64::from(now)).expect("appended");
        segments.tend(u64::from(now)).expect("tended");
    }
    segments.write_out().expect("written");
    for now in 0..200 {
        assert_eq!(find(&segments, now).len(), usize::from(now >= 110), "{now}");
    }
    segments.tend(1_000).expect("tended");
    segments.tend(1_000).expect("tended");
    assert_eq!(segments.usage().records, 0);
}

#[test]
fn a_rewriting_reaches_every_file_and_the_index_and_removes_what_nobody_can_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let segments = open(folder.path());
    for number in 0..300 {
        segments.append(&record(number, 5, &[number % 3], 2_000), 5).expect("appended");
        if number % 100 == 60 {
            end_segment(&segments);
        }
    }
    fs::write(path(folder.path(), 99, Kind::Damaged), "who knows").expect("writable");
    let change = |bytes: &[u8]| {
        let number = number_of(bytes);
        (number % 3 == 1).then(|| record(number, 5, &[77], 10))
    };
    let rewritten = segments.rewrite(&change).expect("rewritten");
    assert_eq!(rewritten, Rewritten { records: 100, damaged: 1 });
    for segments in [segments, open(folder.path())] {
        assert!(find(&segments, 1).is_empty());
        assert_eq!((find(&segments, 0).len(), find(&segments, 77).len(), find(&segments, 2).len()), (100, 100, 100));
    }
    assert!(!extensions(folder.path()).contains(&"damaged"));
}

#[test]
fn who_waits_is_found_until_the_whole_ends_and_in_the_segments_before_that_still() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut segments = open(folder.path());
    let append = |segments: &Segments, kind, number, whole| {
        segments.append(&record_of(kind, number, 5, &[whole], 40_000), 5).expect("appended");
    };
    let waiting = |segments: &Segments| {
        let pieces = segments.snapshot(&[OPEN]).pieces;
        let blocks = pieces.iter().map(|piece| piece.candidates(OPEN).expect("readable").expect("an index").len());
        blocks.collect::<Vec<usize>>()
    };
    for number in 0..10 {
        append(&segments, WAITS, number, number);
    }
    let all = waiting(&segments)[0];
    assert!(all > 4, "{all}");
    for number in 2..10 {
        append(&segments, ENDS, 100 + number, number);
    }
    assert!((1..=2).contains(&waiting(&segments)[0]));
    for is_sealed in [false, true] {
        match is_sealed {
            true => end_segment(&segments),
            false => segments.write_out().expect("written"),
        }
        drop(segments);
        segments = open(folder.path());
        assert!((1..=2).contains(&waiting(&segments).into_iter().sum::<usize>()), "{is_sealed}");
    }
    append(&segments, ENDS, 200, 0);
    append(&segments, ENDS, 201, 1);
    assert_eq!(waiting(&segments)[0], 0, "the end stands in the newer one");
    assert!((1..=2).contains(&waiting(&segments)[1]), "the older one cannot know");
    segments
        .rewrite(&|bytes| (number_of(bytes) == 0).then(|| record_of(WAITS, 0, 5, &[0, 77], 10)))
        .expect("rewritten");
    assert!((1..=2).contains(&waiting(&segments).into_iter().sum::<usize>()));
}

#[test]
fn a_sealed_segment_says_by_which_version_it_was_described() {
    let folder = tempfile::tempdir().expect("a folder");
    let former = Describe { version: 0, ..DESCRIBE };
    let segments = Segments::open(folder.path(), LIMITS, former).expect("opened");
    segments.append(&record(1, 5, &[7], 70), 5).expect("appended");
    end_segment(&segments);
    drop(segments);
    let segments = open(folder.path());
    segments.append(&record(2, 5, &[7], 70), 5).expect("appended");
    let versions = |segments: &Segments| segments.snapshot(&[]).pieces.iter().map(Piece::version).collect::<Vec<u32>>();
    assert_eq!(versions(&segments), [u32::MAX, 0]);
    end_segment(&segments);
    assert_eq!(versions(&open(folder.path())), [u32::MAX, 7, 0]);
    segments.rewrite(&|_| Some(record(3, 5, &[8], 70))).expect("rewritten");
    assert!(versions(&segments).iter().all(|version| *version >= 7));
}

#[test]
fn a_crash_between_sealing_and_removing_leaves_each_record_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let segments = open(folder.path());
    for number in 0..10 {
        segments.append(&record(number, 5, &[7], 70), 5).expect("appended");
    }
    segments.write_out().expect("written");
    let log = fs::read(log::path(folder.path(), 1)).expect("readable");
    end_segment(&segments);
    drop(segments);
    fs::write(log::path(folder.path(), 1), log).expect("writable");
    fs::write(path(folder.path(), 2, Kind::Unfinished), "half").expect("writable");
    fs::write(folder.path().join("notes.open"), "mine").expect("writable");
    let segments = open(folder.path());
    assert_eq!((find(&segments, 7).len(), segments.usage().records, segments.usage().damaged), (10, 10, 0));
    assert!(!extensions(folder.path()).contains(&"new"));
    assert_eq!(fs::read(folder.path().join("notes.open")).expect("there"), b"mine");
}

#[test]
fn a_snapshot_is_read_while_segments_are_sealed_and_removed() {
    let folder = tempfile::tempdir().expect("a folder");
    let segments = open(folder.path());
    segments.append(&record(1, 5, &[7], 70), 5).expect("appended");
    segments.write_out().expect("written");
    let of_log = segments.snapshot(&[7]);
    end_segment(&segments);
    let of_sealed = segments.snapshot(&[7]);
    assert_eq!(of_log.pieces[0].candidates(7).expect("readable"), Some(vec![0]));
    assert_eq!(Records(&of_log.pieces[0].read_block(0).expect("readable").expect("whole")).count(), 1);
    segments.set_limits(Limits { bytes_max: 0, age_max_ms: None });
    segments.tend(6).expect("tended");
    let piece = of_sealed.pieces.last().expect("the sealed one");
    assert_eq!(piece.candidates(7).expect("gone is no error"), Some(Vec::new()));
    assert_eq!(piece.read_block(0).expect("gone is no error"), Some(Vec::new()));
}

#[test]
fn too_long_a_record_is_refused_and_a_folder_of_strange_files_is_opened() {
    let folder = tempfile::tempdir().expect("a folder");
    fs::write(log::path(folder.path(), 3), "short").expect("writable");
    fs::write(log::path(folder.path(), 4), [7; 100]).expect("writable");
    fs::write(path(folder.path(), 5, Kind::Sealed), [7; 100]).expect("writable");
    let segments = open(folder.path());
    assert_eq!(segments.usage().damaged, 2);
    assert!(segments.append(&record(1, 5, &[], RECORD_BYTES_MAX), 5).is_err());
    assert!(segments.append(b"no record", 5).is_err());
    segments.append(&record(1, 5, &[7], 0), 5).expect("appended");
    segments.write_out().expect("written");
    assert_eq!(find(&segments, 7).len(), 1);
    OpenOptions::new()
        .append(true)
        .open(log::path(folder.path(), 6))
        .and_then(|mut log| log.write_all(b"torn"))
        .expect("torn");
    assert_eq!(find(&open(folder.path()), 7).len(), 1);
}
