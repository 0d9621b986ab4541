//! What the disk does when nobody but us asks it: the floor under latencies, the roof over rates.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

const FLUSHES: usize = 500;
/// Files that are flushed at once, and bytes written in all, to learn what the disk takes.
const FILES_AT_ONCE: usize = 8;
const BYTES: usize = 256 << 20;

/// What it costs to append so many bytes and flush them, one writer: half and 99 of 100 take at most this.
pub(super) fn flush_cost(folder: &Path, bytes: usize) -> io::Result<(Duration, Duration)> {
    let path = folder.join("flush");
    let mut file = File::create(&path)?;
    let block = vec![0x5a; bytes];
    let mut costs = Vec::with_capacity(FLUSHES);
    for _ in 0..FLUSHES {
        let start = Instant::now();
        file.write_all(&block)?;
        file.sync_data()?;
        costs.push(start.elapsed());
    }
    fs::remove_file(path)?;
    costs.sort();
    Ok((costs[FLUSHES / 2], costs[FLUSHES * 99 / 100]))
}

/// How many files of this size it takes in a second, written and flushed, several at once.
pub(super) fn files_per_s(folder: &Path, bytes: usize) -> io::Result<f64> {
    let block = vec![0x5a; bytes];
    let files = (BYTES / bytes).clamp(FILES_AT_ONCE, 1_000) / FILES_AT_ONCE;
    let start = Instant::now();
    thread::scope(|scope| {
        let writers: Vec<_> = (0..FILES_AT_ONCE)
            .map(|writer| {
                let block = &block;
                scope.spawn(move || {
                    for number in 0..files {
                        let path = folder.join(format!("file-{writer}-{number}"));
                        let mut file = File::create(&path)?;
                        file.write_all(block)?;
                        file.sync_data()?;
                        fs::remove_file(path)?;
                    }
                    Ok(())
                })
            })
            .collect();
        writers.into_iter().try_for_each(|writer| writer.join().expect("it does not panic"))
    })
    .map(|()| (files * FILES_AT_ONCE) as f64 / start.elapsed().as_secs_f64())
}
