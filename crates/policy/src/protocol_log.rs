//! What is kept of protocol transcripts (fact sheet section 8.1).
//!
//! Holds what the administrator declared; decides nothing.

use std::path::PathBuf;
use std::time::Duration;

/// The transcripts of one direction: `receive_protocol_log_*` or `send_protocol_log_*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProtocolLog {
    /// How long files are kept; zero: until there is no room.
    pub max_age: Duration,
    /// Bytes of all files together.
    pub max_directory_size: u64,
    /// Bytes of a file; then the next begins.
    pub max_file_size: u64,
    /// The folder, from the data folder on; `None`: `logs/protocol` in it.
    pub path: Option<PathBuf>,
}

/// Both directions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProtocolLogs {
    /// Where we are the server.
    pub receive: ProtocolLog,
    /// Where we are the client.
    pub send: ProtocolLog,
}

impl Default for ProtocolLog {
    fn default() -> Self {
        ProtocolLog {
            max_age: Duration::from_secs(30 * 24 * 3_600),
            max_directory_size: 250 << 20,
            max_file_size: 10 << 20,
            path: None,
        }
    }
}
