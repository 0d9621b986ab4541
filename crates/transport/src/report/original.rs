//! What a report gives back of the original, read from the spool.

use gatepost_mail::header;
use gatepost_mail::header_firewall::{HeaderFirewall, infallible};
use gatepost_policy::header_firewall;
use gatepost_spool::Message;

use crate::fetch;

/// Of the header section of the original, at most this much goes back, in bytes.
const HEADER_BYTES_MAX: usize = 64 << 10;

/// All of it, or its header section. How it came through our organization is nobody's business outside (fact sheet
/// section 2.9).
pub async fn original(message: &Message, is_whole: bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    let bytes_max = if is_whole { message.content.len() } else { HEADER_BYTES_MAX as u64 };
    while (bytes.len() as u64) < bytes_max {
        let missing = usize::try_from(bytes_max - bytes.len() as u64).unwrap_or(HEADER_BYTES_MAX);
        match fetch::piece(&message.content, bytes.len() as u64, missing).await {
            Ok(piece) if piece.as_ref().is_empty() => break,
            Ok(piece) => bytes.extend_from_slice(piece.as_ref()),
            Err(error) => {
                // A report without its original is better than none.
                tracing::warn!(queue_id = message.id.0, %error, "the original of a report cannot be read");
                break;
            }
        }
    }
    if !is_whole {
        let length = header::section_len(&bytes).unwrap_or(bytes.len());
        bytes.truncate(length);
    }
    let mut kept = Vec::with_capacity(bytes.len());
    let mut firewall = HeaderFirewall::new(header_firewall::RETURNED);
    let mut keep = infallible(|slice| kept.extend_from_slice(slice));
    let Ok(()) = firewall.push(&bytes, &mut keep);
    let Ok(()) = firewall.finish(keep);
    kept
}
