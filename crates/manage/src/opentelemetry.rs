//! Sends numbers and traces to a collector of OpenTelemetry, where `[opentelemetry] endpoint` says (OTLP/HTTP, protobuf).
//!
//! Takes the same numbers as monitors do, and the passports of messages as they are written; hands on what a collector reads.
//! One request at a time. A collector that is away costs what is sent meanwhile, and nobody else notices: the server waits for
//! nothing here.

use std::time::Duration;

use gatepost_policy::monitoring::OpenTelemetrySettings;
use gatepost_tracking::passport::event::{Part, Record};
use gatepost_transport::Control;

use crate::clock::now_ms;
use crate::post::{PostError, Poster, read_secret};

mod metrics;
mod traces;
mod protobuf;

/// How long passports gather before they are sent.
const TRACE_INTERVAL: Duration = Duration::from_secs(1);
/// So many of them wait for that; what is more is left out.
const PASSPORTS_MAX: usize = 8_192;
/// So many are sent at once: about half a megabyte.
const PARTS_PER_REQUEST: usize = 1_024;
/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Exports until the task is ended.
pub async fn run(control: Control, settings: OpenTelemetrySettings, poster: Poster) {
    let mut fails = false;
    let mut ticks = interval(settings.interval);
    let mut trace_ticks = interval(settings.interval.min(TRACE_INTERVAL));
    let passports = settings.traces.then(|| control.tap_passports(PASSPORTS_MAX));
    loop {
        let is_for_metrics = tokio::select! {
            biased;
            _ = ticks.tick(), if settings.metrics => true,
            _ = trace_ticks.tick(), if passports.is_some() => false,
            // Neither is wanted.
            else => return,
        };
        let status = control.status();
        let about = protobuf::resource(&status.server_name, status.version);
        let mut is_full = false;
        let (path, body) = match (&passports, is_for_metrics) {
            (Some(passports), false) => {
                let parts = passports.try_iter().filter_map(message).take(PARTS_PER_REQUEST).collect::<Vec<_>>();
                is_full = parts.len() == PARTS_PER_REQUEST;
                let Some(body) = traces::write(&about, &status.server_name, &parts) else { continue };
                ("/v1/traces", body)
            }
            _ => ("/v1/metrics", metrics::write(&about, &control.metrics().await, status.started_ms, now_ms())),
        };
        let sent = send(&settings, &poster, path, body).await;
        if is_full && sent.is_ok() {
            trace_ticks.reset_immediately();
        }
        told(&settings, &mut fails, sent);
    }
}

fn interval(period: Duration) -> tokio::time::Interval {
    let mut ticks = tokio::time::interval(period);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    ticks
}

fn message(record: Record) -> Option<Part> {
    match record {
        Record::Message(part) => Some(part),
        _ => None,
    }
}

async fn send(settings: &OpenTelemetrySettings, poster: &Poster, path: &str, body: Vec<u8>) -> Result<(), PostError> {
    let mut url = settings.endpoint.clone();
    url.path = format!("{}{path}", url.path.trim_end_matches('/')).into();
    let mut fields = vec![("content-type", "application/x-protobuf".to_owned())];
    if let Some(secret) = &settings.authorization {
        fields.push(("authorization", read_secret(secret).await?));
    }
    poster.post(&url, &fields, body, TIMEOUT).await
}

/// Once when it begins to fail, and once when it is over.
fn told(settings: &OpenTelemetrySettings, fails: &mut bool, sent: Result<(), PostError>) {
    let url = &settings.endpoint;
    match (sent, *fails) {
        (Ok(()), true) => tracing::info!(%url, "the collector of OpenTelemetry takes what it is sent again"),
        (Err(error), false) => {
            tracing::warn!(%url, %error, "the collector of OpenTelemetry does not take what it is sent")
        }
        _ => return,
    }
    *fails = !*fails;
}
