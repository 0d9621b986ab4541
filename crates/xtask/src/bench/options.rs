//! The options of `bench relay`.
//!
//! Takes words; hands on [`Options`] within their bounds, or the problem in a sentence.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

pub(super) const USAGE: &str = "\
Relays the same load through Postfix and Gatepost in turn, into smtp-sink, and prints the figures side by side.

Usage: cargo xtask bench relay [OPTIONS]

Options:
  --sessions N      parallel sessions of smtp-source (default 50)
  --messages N      messages in each round (default 20000)
  --size BYTES      size of a message (default 4096)
  --single          one message per connection (default: many)
  --rounds N        interleaved rounds (default 3); figures are medians
  --only NAME       postfix or gatepost alone, beside the ceiling
  --binary FILE     measure this gatepost instead of building it
  --folder DIR      where queues lie (default /var/tmp: it must be on a disk, or a flush costs nothing)
  --limit SECONDS   the longest that one step may take (default 300)
  --json            print JSON instead of the table

Needs Debian's packages postfix (smtp-source, smtp-sink, and Postfix itself), and root to start the private Postfix.
";

const SESSIONS: RangeInclusive<u64> = 1..=2_000;
const MESSAGES: RangeInclusive<u64> = 1..=10_000_000;
const SIZE_BYTES: RangeInclusive<u64> = 128..=64 * 1024 * 1024;
const ROUNDS: RangeInclusive<u64> = 1..=50;
const LIMIT_SECONDS: RangeInclusive<u64> = 1..=24 * 3600;

/// Messages sent before the clock runs: processes started, connections open, caches filled.
const WARM_UP: u64 = 1_000;

/// What the command line asks for.
#[derive(Debug)]
pub(super) enum Asked {
    Run(Options),
    Help,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Contender {
    Postfix,
    Gatepost,
}

impl fmt::Display for Contender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Contender::Postfix => "Postfix",
            Contender::Gatepost => "Gatepost",
        })
    }
}

#[derive(Debug)]
pub(super) struct Options {
    pub sessions: u64,
    pub messages: u64,
    pub size_bytes: u64,
    pub single: bool,
    pub rounds: u64,
    pub contenders: Vec<Contender>,
    pub binary: Option<PathBuf>,
    pub folder: PathBuf,
    pub limit: Duration,
    pub json: bool,
    pub warm_up: u64,
}

pub(super) fn parse(words: &[&str]) -> Result<Asked, String> {
    let mut options = Options {
        sessions: 50,
        messages: 20_000,
        size_bytes: 4_096,
        single: false,
        rounds: 3,
        contenders: vec![Contender::Postfix, Contender::Gatepost],
        binary: None,
        folder: PathBuf::from("/var/tmp"),
        limit: Duration::from_secs(300),
        json: false,
        warm_up: 0,
    };
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word {
            "--help" | "-h" => return Ok(Asked::Help),
            "--single" => options.single = true,
            "--json" => options.json = true,
            "--sessions" => options.sessions = number(word, value()?, SESSIONS)?,
            "--messages" => options.messages = number(word, value()?, MESSAGES)?,
            "--size" => options.size_bytes = number(word, value()?, SIZE_BYTES)?,
            "--rounds" => options.rounds = number(word, value()?, ROUNDS)?,
            "--limit" => options.limit = Duration::from_secs(number(word, value()?, LIMIT_SECONDS)?),
            "--binary" => options.binary = Some(PathBuf::from(value()?)),
            "--folder" => options.folder = PathBuf::from(value()?),
            "--only" => {
                options.contenders = vec![match value()? {
                    "postfix" => Contender::Postfix,
                    "gatepost" => Contender::Gatepost,
                    other => return Err(format!("--only takes postfix or gatepost, not `{other}`")),
                }]
            }
            other => return Err(format!("`{other}` is not an option")),
        }
    }
    options.warm_up = WARM_UP.min(options.messages);
    Ok(Asked::Run(options))
}

fn number(option: &str, text: &str, bounds: RangeInclusive<u64>) -> Result<u64, String> {
    let number = text.parse().map_err(|_| format!("{option} takes a number, not `{text}`"))?;
    if bounds.contains(&number) {
        Ok(number)
    } else {
        Err(format!("{option} lies between {} and {}, not {number}", bounds.start(), bounds.end()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_within_their_bounds() {
        let Ok(Asked::Run(options)) = parse(&["--sessions", "10", "--single", "--only", "postfix"]) else {
            panic!("these options are legal")
        };
        assert_eq!((options.sessions, options.messages, options.single), (10, 20_000, true));
        assert_eq!(options.contenders, [Contender::Postfix]);
    }

    #[test]
    fn wrong_options_are_refused_with_a_reason() {
        for (words, reason) in [
            (vec!["--sessions"], "needs a value"),
            (vec!["--sessions", "0"], "lies between 1 and 2000"),
            (vec!["--sessions", "many"], "takes a number"),
            (vec!["--only", "exim"], "postfix or gatepost"),
            (vec!["--fast"], "is not an option"),
        ] {
            let problem = parse(&words).expect_err("these options are wrong");
            assert!(problem.contains(reason), "{words:?}: {problem}");
        }
    }
}
