//! Scripts: no text makes the parser panic, and what it tells of lies within the text.
#![no_main]

use gatepost_shell::parse::{is_incomplete, parse};
use gatepost_shell::source::Source;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    let source = Source::new("fuzz", text);
    match parse(&source) {
        Ok(script) => {
            assert!(script.span.start <= script.span.end && script.span.end as usize <= text.len());
            assert!(
                script
                    .end
                    .iter()
                    .all(|statement| text.get(statement.span.start as usize..statement.span.end as usize).is_some())
            );
        }
        Err(errors) => {
            assert!(!errors.is_empty());
            for error in errors {
                assert!(text.get(error.span.start as usize..error.span.end as usize).is_some(), "{error:?}");
            }
        }
    }
    is_incomplete(text);
});
