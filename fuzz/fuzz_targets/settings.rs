//! The settings document: any text is taken or refused with problems that have a place and a remedy and can be drawn.
#![no_main]

use gatepost_policy::safeguard::load;
use gatepost_policy::settings::{Defaults, Severity, render};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let defaults = Defaults { host_name: "mail.contoso.com".to_owned(), data_dir: "data".into() };
    match load(text, &defaults, 1_800_000_000_000) {
        Ok(settings) => {
            assert!(settings.warnings.iter().all(|problem| problem.severity == Severity::Warning));
            for listener in settings.listeners() {
                settings.select(listener.address, listener.address.ip(), 0);
            }
        }
        Err(problems) => {
            assert!(problems.iter().any(|problem| problem.severity == Severity::Error));
            assert!(problems.iter().all(|problem| problem.line > 0 && problem.column > 0 && !problem.remedy.is_empty()));
            render("gatepost.toml", text, &problems, false);
        }
    }
});
