//! Work on many things that waits for nothing, by several threads at once: whoever asks waits for the whole.

use std::num::NonZero;
use std::thread;

/// So many records are worth a thread of their own.
pub const RECORDS_LEAST: usize = 1_000;
/// Threads at a time: more than a few would only take them from mail.
const THREADS_MAX: usize = 4;

/// What `work` makes of `all`, in order, part by part: no part is smaller than `least`, so that few things are one part. Blocking.
pub fn in_parts<T: Sync, R: Send>(all: &[T], least: usize, work: impl Fn(&[T]) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(THREADS_MAX);
    let parts = (all.len() / least.max(1)).clamp(1, threads);
    let (first, rest) = all.split_at(all.len().div_ceil(parts));
    thread::scope(|scope| {
        let rest: Vec<_> = rest.chunks(first.len().max(1)).map(|part| scope.spawn(|| work(part))).collect();
        let mut made = vec![work(first)];
        // A panic there is one here.
        made.extend(rest.into_iter().map(|part| part.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))));
        made
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_in_order_and_nothing_is_left_out() {
        for (count, least) in [(0, 10), (1, 10), (9, 10), (20, 10), (1_001, 10), (7, 0)] {
            let all: Vec<usize> = (0..count).collect();
            let parts = in_parts(&all, least, <[usize]>::to_vec);
            assert!(parts.len() <= THREADS_MAX && (parts.len() == 1 || parts.iter().all(|part| !part.is_empty())));
            assert_eq!(parts.concat(), all);
        }
    }
}
