//! Placeholder.
use super::{Defaults, Problem, Settings};

/// Reads a settings document.
pub fn parse(_text: &str, _defaults: &Defaults) -> Result<Settings, Vec<Problem>> {
    unimplemented!()
}
