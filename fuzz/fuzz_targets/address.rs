//! Paths: what one writes it reads back, and none breaks the line it stands on.
#![no_main]

use gatepost_mail::{ForwardPath, ReversePath};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok((path, rest)) = ForwardPath::parse_prefix(text) {
        assert!(text.ends_with(rest));
        let written = path.to_string();
        assert!(!written.contains(|c: char| c.is_ascii_control()));
        assert_eq!(ForwardPath::parse_prefix(&written), Ok((path, "")));
    }
    if let Ok((path, rest)) = ReversePath::parse_prefix(text) {
        assert!(text.ends_with(rest));
        let written = path.to_string();
        assert!(!written.contains(|c: char| c.is_ascii_control()));
        assert_eq!(ReversePath::parse_prefix(&written), Ok((path, "")));
    }
});
