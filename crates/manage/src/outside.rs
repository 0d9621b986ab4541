//! What the settings open to the outside besides mail: what monitors the server, and the doors for administrators.
//!
//! Takes settings before they are put in force and when they are. What can fail comes first, so that a reload changes all
//! or nothing (invariant I7).

use axum::Router;
use gatepost_policy::Settings;
use gatepost_transport::Control;

use crate::monitoring::{self, Monitoring, MonitoringError};
use crate::tcp_door::{self, TcpDoorError, TcpDoors};

/// An address of the settings cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum OutsideError {
    /// For monitors.
    #[error(transparent)]
    Monitoring(#[from] MonitoringError),
    /// For administrators.
    #[error(transparent)]
    TcpDoor(#[from] TcpDoorError),
}

/// All of it. Dropping it closes it.
#[derive(Default)]
pub struct Outside {
    monitoring: Monitoring,
    doors: TcpDoors,
}

/// What new settings need that was not there.
pub struct Prepared(monitoring::Prepared, tcp_door::Prepared);

impl Outside {
    /// What stands behind every door for administrators that opens from now on.
    pub fn put_behind_doors(&mut self, routes: Router) {
        self.doors.put_behind(routes);
    }

    /// Takes what the settings need and may not get.
    ///
    /// # Errors
    /// [`OutsideError`]; everything is as before then.
    pub async fn prepare(&self, settings: &Settings) -> Result<Prepared, OutsideError> {
        Ok(Prepared(self.monitoring.prepare(settings).await?, self.doors.prepare(settings).await?))
    }

    /// Whether administrators are heard at any port.
    pub fn hears_administrators(&self) -> bool {
        self.doors.is_any_open()
    }

    /// The settings are in force.
    pub fn switch(&mut self, control: &Control, prepared: Prepared) {
        self.monitoring.switch(control, prepared.0);
        self.doors.switch(control, prepared.1);
    }
}
