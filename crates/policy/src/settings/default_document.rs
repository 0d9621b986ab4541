//! The settings document of the first start.

use super::Settings;

impl Settings {
    /// The text of a safe first `gatepost.toml`.
    pub fn default_document(_host_name: &str) -> String {
        unimplemented!()
    }
}
