//! Dialogues kept as data: every file under `wire/` names its settings and what each side says.

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use gatepost_testkit::installation::Installation;
use gatepost_testkit::script::Script;
use gatepost_testkit::sink::Sink;

use crate::site::{CONTOSO, PROGRAM, Ports, QUICK_RETRY, to_sink};

/// More would only make the servers wait for each other on a small machine.
const AT_THE_SAME_TIME: usize = 3;

#[test]
fn every_wire_script_gets_the_replies_that_it_names() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/wire");
    let mut files: Vec<_> = fs::read_dir(&folder).expect("the scripts").flatten().map(|entry| entry.path()).collect();
    files.sort();
    assert!(files.len() > 10, "the scripts are there");

    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..AT_THE_SAME_TIME {
            scope.spawn(|| {
                while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let text = fs::read_to_string(file).expect("a readable script");
                    if let Err(problem) = play(&text) {
                        let name = file.file_name().expect("a file has a name").to_string_lossy().into_owned();
                        failures.lock().expect("nobody panics with the lock").push(format!("== {name}: {problem}"));
                    }
                }
            });
        }
    });
    let failures = failures.into_inner().expect("nobody panics with the lock");
    assert!(failures.is_empty(), "{} of {} scripts failed:\n{}", failures.len(), files.len(), failures.join("\n"));
}

fn play(text: &str) -> Result<(), String> {
    let script = Script::parse(text)?;
    let ports = Ports::free();
    let sink = Sink::start();
    let settings = [CONTOSO, QUICK_RETRY, &to_sink(&sink.smart_host()), &script.settings].concat();
    let installation = Installation::new(PROGRAM, &ports.fill(&settings));
    let server =
        installation.try_start().map_err(|refused| format!("no start ({}):\n{}", refused.status, refused.output))?;
    let played = script.play(ports.address("smtp"), |name| ports.named(name));
    played.map_err(|problem| format!("{problem}\nthe server's log:\n{}", server.log()))
}
