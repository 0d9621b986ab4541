//! The benchmarks' own tools against the real server: what they count is what was sent, in clear and in TLS.
//!
//! Small loads and no Postfix: this says that figures are right, not how large they are.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The server of the same build. Where only this crate was built, it is built now.
fn gatepost() -> PathBuf {
    let server = Path::new(env!("CARGO_BIN_EXE_gatepost-xtask")).with_file_name("gatepost");
    if !server.exists() {
        let built = Command::new(env!("CARGO")).args(["build", "--locked", "--package", "gatepost"]).status();
        assert!(built.expect("cargo runs").success() && server.exists(), "{} is not built", server.display());
    }
    server
}

/// Runs a benchmark of Gatepost alone, one round; hands on the figures of the ceiling and of Gatepost.
#[track_caller]
fn bench(words: &[&str]) -> (Value, Value) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = Command::new(env!("CARGO_BIN_EXE_gatepost-xtask"))
        .arg("bench")
        .args(words)
        .args(["--quick", "--json", "--only", "gatepost", "--binary"])
        .arg(gatepost())
        .arg("--folder")
        .arg(folder.path())
        .output()
        .expect("the benchmark runs");
    assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    let told: Value = serde_json::from_slice(&output.stdout).expect("it prints JSON");
    let left: Vec<_> = std::fs::read_dir(folder.path()).expect("the folder is there").collect();
    assert!(left.is_empty(), "{words:?} leaves {left:?}");
    let round = &told["reports"][0]["rounds"][0];
    (round["ceiling"].clone(), round["gatepost"].clone())
}

fn number(figures: &Value, key: &str) -> f64 {
    figures[key].as_f64().unwrap_or_else(|| panic!("{key} is missing in {figures}"))
}

#[test]
fn every_message_arrives_once_over_as_many_connections_as_were_asked_for() {
    for (words, connections) in [
        (vec!["relay", "--sessions", "7", "--messages", "210"], 7..=7),
        (vec!["relay", "--sessions", "7", "--messages", "210", "--per-connection", "10", "--pipelining"], 21..=28),
    ] {
        let (ceiling, gatepost) = bench(&words);
        for figures in [&ceiling, &gatepost] {
            assert_eq!(number(figures, "messages_twice"), 0.0, "{words:?}");
            assert!(connections.contains(&(number(figures, "connections") as u64)), "{words:?}: {figures}");
            assert!(number(figures, "relayed_per_s") > 0.0 && number(figures, "accept_p50_ms") > 0.0, "{words:?}");
            assert!(number(figures, "accept_p50_ms") <= number(figures, "transaction_p50_ms") * 1.01, "{words:?}");
        }
    }
}

#[test]
fn sessions_are_resumed_in_tls_in_and_out_unless_that_is_turned_off() {
    let load = ["tls", "--sessions", "3", "--messages", "60", "--per-connection", "5"];
    for (more, resumes) in [(&["--tls", "1.3"][..], true), (&["--tls", "1.2", "--no-resumption"], false)] {
        let (ceiling, gatepost) = bench(&[&load, more].concat());
        for figures in [&ceiling, &gatepost] {
            assert!((12..=15).contains(&(number(figures, "connections") as u64)), "{more:?}: {figures}");
            assert_eq!(number(figures, "resumed") > 0.0, resumes, "{more:?}: {figures}");
        }
    }
}
