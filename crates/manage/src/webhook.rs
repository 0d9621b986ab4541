//! Posts raised and cleared alarms to the webhooks of the settings, as JSON that is signed.
//!
//! Takes changes from the running server; each webhook has a task and a bounded queue of its own, so that one that hangs
//! keeps nobody else waiting, and mail never. What cannot be posted is tried again a few times and then dropped, with a line
//! in the log: the alarm itself stays in `status`.

use std::fmt::Write;
use std::time::Duration;

use aws_lc_rs::hmac;
use gatepost_policy::monitoring::Webhook;
use gatepost_transport::raised::Change;
use serde::{Deserialize, Serialize};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::post::{PostError, Poster, read_secret};

/// How often a change is posted at most.
const ATTEMPTS_MAX: u32 = 6;
/// Pause after the first attempt; it doubles after each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// What is posted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// `[server] name`.
    pub server: String,
    /// Name of the alarm: `route_silent`.
    pub alarm: String,
    /// Which connector, file or resource.
    pub object: String,
    /// `warning` or `critical`.
    pub severity: String,
    /// `raised` or `cleared`.
    pub state: String,
    /// When it changed, Unix time in milliseconds.
    pub time_ms: u64,
    /// Since when it is, or was, raised.
    pub since_ms: u64,
    /// What is wrong.
    pub text: String,
    /// What to do about it.
    pub remedy: String,
}

impl Posted {
    fn new(server: &str, change: &Change) -> Posted {
        let alarm = &change.alarm;
        Posted {
            server: server.to_owned(),
            alarm: alarm.kind.name().to_owned(),
            object: alarm.object.to_string(),
            severity: alarm.severity.name().to_owned(),
            state: if change.is_raised { "raised" } else { "cleared" }.to_owned(),
            time_ms: change.time_ms,
            since_ms: alarm.since_ms,
            text: alarm.text.to_string(),
            remedy: alarm.remedy.to_string(),
        }
    }
}

/// Posts every change until the server has no more of them.
pub async fn run(server: String, webhook: Webhook, poster: Poster, mut changes: Receiver<Change>) {
    // Found out now, not when the first alarm cannot be told.
    if let Some(secret) = &webhook.secret
        && let Err(error) = read_secret(secret).await
    {
        tracing::error!(url = %webhook.url, %error, "alarms for a webhook cannot be signed: they will not be posted");
    }
    loop {
        match changes.recv().await {
            Ok(change) => post(&server, &webhook, &poster, &change).await,
            Err(RecvError::Lagged(missed)) => {
                tracing::error!(url = %webhook.url, missed, "a webhook is too slow: changes of alarms were not posted");
            }
            Err(RecvError::Closed) => return,
        }
    }
}

async fn post(server: &str, webhook: &Webhook, poster: &Poster, change: &Change) {
    let (alarm, url) = (change.alarm.kind.name(), &webhook.url);
    let mut pause = FIRST_PAUSE;
    for attempt in 1..=ATTEMPTS_MAX {
        let error = match attempt_once(server, webhook, poster, change).await {
            Ok(()) => {
                tracing::debug!(%url, alarm, "alarm posted");
                return;
            }
            Err(error) => error,
        };
        if attempt == ATTEMPTS_MAX || !error.is_temporary() {
            tracing::error!(%url, alarm, attempt, %error, "an alarm could not be posted and is dropped");
            return;
        }
        tracing::warn!(%url, alarm, attempt, %error, "an alarm could not be posted; it is tried again");
        tokio::time::sleep(pause).await;
        pause *= 2;
    }
}

async fn attempt_once(server: &str, webhook: &Webhook, poster: &Poster, change: &Change) -> Result<(), PostError> {
    let body = serde_json::to_vec(&Posted::new(server, change)).unwrap_or_default();
    let mut fields = vec![("content-type", "application/json".to_owned())];
    if let Some(secret) = &webhook.secret {
        fields.push(("x-gatepost-signature", signature(&read_secret(secret).await?, &body)));
    }
    poster.post(&webhook.url, &fields, body, webhook.timeout).await
}

/// `sha256=` and the HMAC of the body in hexadecimal digits, as receivers of webhooks check it.
fn signature(secret: &str, body: &[u8]) -> String {
    let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()), body);
    let mut text = "sha256=".to_owned();
    for byte in tag.as_ref() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_signed_as_rfc_4231_says() {
        let expected = "sha256=5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(signature("Jefe", b"what do ya want for nothing?"), expected);
    }
}
