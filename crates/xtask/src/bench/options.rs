//! The options of the benchmarks.
//!
//! Takes words; hands on [`Options`] within their bounds, or the problem in a sentence.

use std::fmt;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

pub(super) const USAGE: &str = "\
Options of all benchmarks:
  --rounds N        interleaved rounds (default 3); figures are medians
  --quick           one round, less load: whether it works, not how fast it is
  --only NAME       postfix or gatepost alone
  --binary FILE     measure this gatepost instead of building it
  --folder DIR      where queues lie (default /var/tmp: it must be on a disk, or a flush costs nothing)
  --limit SECONDS   the longest that one step may take (default 300)
  --json            print JSON instead of tables

Options of those that name them:
  --sessions N      parallel sessions of the generator
  --messages N      messages in each round through Gatepost; Postfix gets a quarter, so that it takes about as long
  --size BYTES      size of a message
  --single          one message per connection
  --per-connection N  so many messages per connection
  --pipelining      MAIL, RCPT and DATA in one write
  --tls 1.2|1.3     the version that the generator offers
  --no-resumption   each TLS handshake is a whole one
  --connections N   idle connections
  --connectors N    receive connectors
  --recipients N    recipients
  --without-passports  Gatepost records no passports: the difference is what they cost
  --tools smtp      smtp-source and smtp-sink instead of our own generator and sink

Root is needed to start the private Postfix, and Debian's packages postfix (all) and linux-perf (calls).
";

const SESSIONS: RangeInclusive<u64> = 1..=2_000;
const MESSAGES: RangeInclusive<u64> = 1..=10_000_000;
const SIZE_BYTES: RangeInclusive<u64> = 300..=64 * 1024 * 1024;
const PER_CONNECTION: RangeInclusive<u64> = 1..=1_000_000;
const CONNECTIONS: RangeInclusive<u64> = 1..=100_000;
const CONNECTORS: RangeInclusive<u64> = 1..=50_000;
const RECIPIENTS: RangeInclusive<u64> = 200..=100_000;
const ROUNDS: RangeInclusive<u64> = 1..=50;
const LIMIT_SECONDS: RangeInclusive<u64> = 1..=24 * 3600;

const ROUNDS_DEFAULT: u64 = 3;
/// A quick call sends this part of what it would send else.
const QUICK_PART: u64 = 5;

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

/// Whose generator and sink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tools {
    Own,
    /// smtp-source and smtp-sink.
    Smtp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TlsVersion {
    V1_2,
    V1_3,
}

/// What the command line asks for; what a benchmark chooses for itself when nothing is said is `None`.
#[derive(Debug, Clone)]
pub(super) struct Options {
    pub rounds: u64,
    pub is_quick: bool,
    pub contenders: Vec<Contender>,
    pub binary: Option<PathBuf>,
    pub folder: PathBuf,
    pub limit: Duration,
    pub json: bool,
    pub sessions: Option<u64>,
    pub messages: Option<u64>,
    pub size_bytes: Option<u64>,
    /// 1 after `--single`.
    pub messages_per_connection: Option<u64>,
    pub is_pipelining: bool,
    pub tls: Option<TlsVersion>,
    pub resumes: bool,
    pub connections: Option<u64>,
    pub connectors: Option<u64>,
    pub recipients: Option<u64>,
    pub tools: Tools,
    pub is_without_passports: bool,
}

impl Options {
    /// How many messages: as asked for, or so many, less when it shall be quick.
    pub fn messages(&self, usual: u64) -> u64 {
        self.messages.unwrap_or(if self.is_quick { (usual / QUICK_PART).max(1) } else { usual })
    }
}

/// Reads the options of a benchmark that takes `takes` beyond those that all take. `None`: help was asked for.
pub(super) fn parse(words: &[&str], takes: &[&str]) -> Result<Option<Options>, String> {
    let mut options = Options {
        rounds: ROUNDS_DEFAULT,
        is_quick: false,
        contenders: vec![Contender::Postfix, Contender::Gatepost],
        binary: None,
        folder: PathBuf::from("/var/tmp"),
        limit: Duration::from_secs(300),
        json: false,
        sessions: None,
        messages: None,
        size_bytes: None,
        messages_per_connection: None,
        is_pipelining: false,
        tls: None,
        resumes: true,
        connections: None,
        connectors: None,
        recipients: None,
        tools: Tools::Own,
        is_without_passports: false,
    };
    const FOR_ALL: [&str; 9] =
        ["--help", "-h", "--rounds", "--quick", "--only", "--binary", "--folder", "--limit", "--json"];
    let mut words = words.iter().copied();
    while let Some(word) = words.next() {
        if word.starts_with('-') && !FOR_ALL.contains(&word) && !takes.contains(&word) {
            return Err(format!("`{word}` is not an option here"));
        }
        let mut value = || words.next().ok_or_else(|| format!("{word} needs a value"));
        match word {
            "--help" | "-h" => return Ok(None),
            "--quick" => (options.is_quick, options.rounds) = (true, 1),
            "--json" => options.json = true,
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
            "--sessions" => options.sessions = Some(number(word, value()?, SESSIONS)?),
            "--messages" => options.messages = Some(number(word, value()?, MESSAGES)?),
            "--size" => options.size_bytes = Some(number(word, value()?, SIZE_BYTES)?),
            "--single" => options.messages_per_connection = Some(1),
            "--per-connection" => {
                options.messages_per_connection = Some(number(word, value()?, PER_CONNECTION)?);
            }
            "--pipelining" => options.is_pipelining = true,
            "--tls" => {
                options.tls = Some(match value()? {
                    "1.2" => TlsVersion::V1_2,
                    "1.3" => TlsVersion::V1_3,
                    other => return Err(format!("--tls takes 1.2 or 1.3, not `{other}`")),
                });
            }
            "--without-passports" => options.is_without_passports = true,
            "--no-resumption" => options.resumes = false,
            "--connections" => options.connections = Some(number(word, value()?, CONNECTIONS)?),
            "--connectors" => options.connectors = Some(number(word, value()?, CONNECTORS)?),
            "--recipients" => options.recipients = Some(number(word, value()?, RECIPIENTS)?),
            "--tools" => {
                options.tools = match value()? {
                    "own" => Tools::Own,
                    "smtp" => Tools::Smtp,
                    other => return Err(format!("--tools takes own or smtp, not `{other}`")),
                }
            }
            other => return Err(format!("`{other}` is not an option")),
        }
    }
    Ok(Some(options))
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

    const TAKES: [&str; 3] = ["--sessions", "--single", "--tls"];

    #[test]
    fn options_are_read_within_their_bounds() {
        let words = ["--sessions", "10", "--single", "--only", "postfix", "--tls", "1.2"];
        let options = parse(&words, &TAKES).expect("these options are legal").expect("no help was asked for");
        assert_eq!((options.sessions, options.messages, options.messages_per_connection), (Some(10), None, Some(1)));
        assert_eq!((&options.contenders[..], options.tls), (&[Contender::Postfix][..], Some(TlsVersion::V1_2)));
    }

    #[test]
    fn wrong_options_are_refused_with_a_reason() {
        for (words, reason) in [
            (vec!["--sessions"], "needs a value"),
            (vec!["--sessions", "0"], "lies between 1 and 2000"),
            (vec!["--sessions", "many"], "takes a number"),
            (vec!["--only", "exim"], "postfix or gatepost"),
            (vec!["--tls", "1.1"], "1.2 or 1.3"),
            (vec!["--size", "4096"], "is not an option here"),
            (vec!["--fast"], "is not an option here"),
            (vec!["fast"], "is not an option"),
        ] {
            let problem = parse(&words, &TAKES).expect_err("these options are wrong");
            assert!(problem.contains(reason), "{words:?}: {problem}");
        }
    }

    #[test]
    fn quick_sends_less_unless_a_number_is_said() {
        let quick = |words: &[&str]| parse(words, &["--messages"]).expect("legal").expect("no help");
        assert_eq!(quick(&["--quick"]).messages(20_000), 4_000);
        assert_eq!(quick(&["--quick", "--messages", "7"]).messages(20_000), 7);
        assert_eq!(quick(&[]).messages(20_000), 20_000);
    }
}
