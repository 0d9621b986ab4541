//! What monitors the server from outside, or is told by it, kept as the settings say: the door for monitors, webhooks, the
//! exporter of OpenTelemetry.
//!
//! Takes settings before they are put in force and when they are. What can fail comes first, so that a reload changes all
//! or nothing (invariant I7).

use std::io;
use std::net::SocketAddr;

use gatepost_policy::Settings;
use gatepost_policy::monitoring::{OpenTelemetrySettings, Webhook};
use gatepost_transport::Control;
use tokio::task::AbortHandle;

use crate::metrics_door::{Bound, MetricsDoor};
use crate::post::{Poster, secret_faults};
use crate::{opentelemetry, webhook};

/// The address of `[metrics]` cannot be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for [metrics]: {source}{}", hint(source))]
pub struct MonitoringError {
    /// Where.
    address: SocketAddr,
    /// Why.
    source: io::Error,
}

/// The next step for whoever reads it; empty where there is none to name.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            " (`ss -ltnp` shows who listens there; if it is this server, by another address of the same port, choose another \
             port or restart it)"
        }
        io::ErrorKind::AddrNotAvailable => {
            " (this machine does not have that address: `ip address` lists those it has)"
        }
        _ => "",
    }
}

/// Everything that runs for monitoring. Dropping it ends it.
#[derive(Default)]
pub struct Monitoring {
    door: Option<MetricsDoor>,
    webhooks: Vec<Webhook>,
    telemetry: Option<OpenTelemetrySettings>,
    tasks: Vec<AbortHandle>,
}

/// What new settings need that was not there.
pub struct Prepared(Option<(Bound, SocketAddr)>);

impl Monitoring {
    /// Takes what the settings need and may not get.
    ///
    /// # Errors
    /// [`MonitoringError`]; everything is as before then.
    pub async fn prepare(&self, settings: &Settings) -> Result<Prepared, MonitoringError> {
        let monitoring = settings.monitoring.clone();
        let faults = tokio::task::spawn_blocking(move || secret_faults(&monitoring)).await.unwrap_or_default();
        for fault in faults {
            tracing::warn!(error = fault.text, "nothing can be sent where this secret is asked for");
        }
        let wanted = settings.monitoring.metrics.as_ref().map(|metrics| metrics.listen);
        let missing = wanted.filter(|wanted| self.door.as_ref().is_none_or(|door| door.address != *wanted));
        let Some(address) = missing else { return Ok(Prepared(None)) };
        let bound = Bound::bind(address).await.map_err(|source| MonitoringError { address, source })?;
        Ok(Prepared(Some((bound, address))))
    }

    /// The settings are in force.
    pub fn switch(&mut self, control: &Control, prepared: Prepared) {
        let settings = control.settings();
        if settings.monitoring.metrics.is_none() {
            self.door = None;
        }
        if let Prepared(Some((bound, address))) = prepared {
            self.door = Some(bound.serve(control.clone(), address));
        }
        let wanted = &settings.monitoring;
        if self.webhooks == wanted.alarms.webhooks && self.telemetry == wanted.opentelemetry {
            return;
        }
        // What a webhook still owes of former alarms is lost with it: its settings have changed.
        self.end_tasks();
        self.webhooks = wanted.alarms.webhooks.clone();
        self.telemetry = wanted.opentelemetry.clone();
        let urls = self.webhooks.iter().map(|webhook| &webhook.url);
        let urls = urls.chain(self.telemetry.iter().map(|telemetry| &telemetry.endpoint));
        let wants_tls = urls.into_iter().any(|url| url.is_secure);
        let status = control.status();
        let poster = Poster::new(wants_tls, settings.trusted_roots.as_ref(), status.version);
        for webhook in &self.webhooks {
            let told =
                webhook::run(status.server_name.clone(), webhook.clone(), poster.clone(), control.alarm_changes());
            self.tasks.push(tokio::spawn(told).abort_handle());
        }
        if let Some(telemetry) = &self.telemetry {
            let exported = opentelemetry::run(control.clone(), telemetry.clone(), poster);
            self.tasks.push(tokio::spawn(exported).abort_handle());
        }
    }

    fn end_tasks(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
        }
    }
}

impl Drop for Monitoring {
    fn drop(&mut self) {
        self.end_tasks();
    }
}
