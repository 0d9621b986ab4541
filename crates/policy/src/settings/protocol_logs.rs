//! Reads what `[tracking]` says of protocol transcripts.

use super::reader::Fields;
use super::values;
use crate::protocol_log::{ProtocolLog, ProtocolLogs};

const DAY: u64 = 24 * 60 * 60;

/// The keys of one direction.
struct Keys {
    max_age: &'static str,
    max_directory_size: &'static str,
    max_file_size: &'static str,
    path: &'static str,
}

const RECEIVE: Keys = Keys {
    max_age: "receive_protocol_log_max_age",
    max_directory_size: "receive_protocol_log_max_directory_size",
    max_file_size: "receive_protocol_log_max_file_size",
    path: "receive_protocol_log_path",
};

const SEND: Keys = Keys {
    max_age: "send_protocol_log_max_age",
    max_directory_size: "send_protocol_log_max_directory_size",
    max_file_size: "send_protocol_log_max_file_size",
    path: "send_protocol_log_path",
};

/// Reads the keys of both directions.
pub(super) fn read(fields: &mut Fields<'_, '_, '_>) -> ProtocolLogs {
    ProtocolLogs { receive: read_one(fields, &RECEIVE), send: read_one(fields, &SEND) }
}

fn read_one(fields: &mut Fields<'_, '_, '_>, keys: &Keys) -> ProtocolLog {
    let mut log = ProtocolLog::default();
    if let Some(age) = fields.optional(keys.max_age, values::time_span(0, 3_650 * DAY)) {
        log.max_age = age;
    }
    if let Some(bytes) = fields.optional(keys.max_directory_size, values::size(1 << 20, 1 << 40)) {
        log.max_directory_size = bytes;
    }
    if let Some(bytes) = fields.optional(keys.max_file_size, values::size(64 << 10, 4 << 30)) {
        log.max_file_size = bytes;
    }
    if log.max_directory_size < log.max_file_size {
        fields.error_at(
            keys.max_directory_size,
            format!(
                "`{}` is less than `{}`: not one file would have room",
                keys.max_directory_size, keys.max_file_size
            ),
            "write a size that holds several files",
        );
    }
    log.path = fields.optional(keys.path, values::path);
    log
}
