//! How long things took, in buckets that are never wider than one part in 128 of what they hold.
//!
//! Takes nanoseconds; hands on how many there were and the value below which a share of them lies. A fixed size whatever
//! is recorded: millions of values cost as much as none.

use serde::{Deserialize, Serialize};

/// Buckets for each doubling of the value, as a power of two.
const PRECISION_BITS: u32 = 7;
const BUCKETS_PER_DOUBLING: usize = 1 << PRECISION_BITS;
const BUCKETS: usize = (65 - PRECISION_BITS as usize) * BUCKETS_PER_DOUBLING;

pub(super) struct Histogram {
    counts: Vec<u32>,
    total: u64,
    largest_ns: u64,
}

/// What is told of a histogram.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Quantiles {
    pub count: u64,
    pub p50_ms: f64,
    pub p99_ms: f64,
    pub largest_ms: f64,
}

impl Histogram {
    pub fn new() -> Histogram {
        Histogram { counts: vec![0; BUCKETS], total: 0, largest_ns: 0 }
    }

    pub fn record(&mut self, nanoseconds: u64) {
        self.counts[bucket(nanoseconds)] += 1;
        self.total += 1;
        self.largest_ns = self.largest_ns.max(nanoseconds);
    }

    /// The upper end of the bucket in which the smallest value lies that `share` of all values do not exceed; 0 of none.
    pub fn quantile_ns(&self, share: f64) -> u64 {
        let wanted = ((self.total as f64 * share).ceil() as u64).max(1);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return upper_end(bucket).min(self.largest_ns);
            }
        }
        0
    }

    pub fn quantiles(&self) -> Quantiles {
        let milliseconds = |nanoseconds: u64| nanoseconds as f64 / 1e6;
        Quantiles {
            count: self.total,
            p50_ms: milliseconds(self.quantile_ns(0.50)),
            p99_ms: milliseconds(self.quantile_ns(0.99)),
            largest_ms: milliseconds(self.largest_ns),
        }
    }
}

/// Values below `BUCKETS_PER_DOUBLING` have a bucket each; above, the leading bits choose it.
fn bucket(value: u64) -> usize {
    let Some(shift) = (u64::BITS - value.leading_zeros()).checked_sub(PRECISION_BITS + 1) else {
        return value as usize;
    };
    shift as usize * BUCKETS_PER_DOUBLING + (value >> shift) as usize
}

/// The largest value of a bucket.
fn upper_end(bucket: usize) -> u64 {
    let Some(shift) = (bucket / BUCKETS_PER_DOUBLING).checked_sub(1) else { return bucket as u64 };
    let leading = (bucket - shift * BUCKETS_PER_DOUBLING) as u64;
    (leading << shift) + ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_lies_in_a_bucket_that_is_narrow_and_holds_it() {
        let mut values: Vec<u64> = (0..2_000).collect();
        values.extend((8..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1]));
        values.push(u64::MAX);
        values.sort_unstable();
        let mut before = 0;
        for value in values {
            let bucket = bucket(value);
            assert!(bucket < BUCKETS && bucket >= before, "{value} lies in bucket {bucket}");
            let end = upper_end(bucket);
            assert!(end >= value && end - value <= value / BUCKETS_PER_DOUBLING as u64, "{value}: up to {end}");
            before = bucket;
        }
    }

    #[test]
    fn quantiles_agree_with_sorting() {
        let mut histogram = Histogram::new();
        let mut values: Vec<u64> = (0..10_000u64).map(|n| n * n * 37 % 900_001).collect();
        values.iter().for_each(|value| histogram.record(*value));
        values.sort_unstable();
        for share in [0.5, 0.9, 0.99, 1.0] {
            let exact = values[(values.len() as f64 * share).ceil() as usize - 1];
            let told = histogram.quantile_ns(share);
            assert!(told >= exact && told - exact <= exact / 100, "{share}: {told} for {exact}");
        }
    }

    #[test]
    fn nothing_recorded_is_nothing_told() {
        assert_eq!(Histogram::new().quantiles(), Quantiles::default());
    }
}
