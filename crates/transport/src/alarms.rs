//! Watches the running server for what somebody has to be told, and tells: in `status`, in the log, by mail.
//!
//! Looks every few seconds, asks `policy::alarm` which alarms are raised, hands changes to whoever listens (webhooks do).
//! What is raised, and what is known of each route, is kept in `data_dir/alarms`, so that a restart neither forgets a route
//! that has been dead for days nor tells everybody again. Decides nothing.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gatepost_policy::alarm::{self, Alarm, Facts, Pressed, Route, Severity};

use crate::blocking;
use crate::clock::now_ms;
use crate::inspect;
use crate::queue::QueueKey;
use crate::raised::Change;
use crate::state::Running;

mod mail;
mod store;

/// Between two looks.
const INTERVAL: Duration = Duration::from_secs(5);
/// Looks now and every few seconds, until the task is ended.
pub async fn watch(running: Arc<Running>) {
    let path = running.revision().settings.server.data_dir.join("alarms");
    let mut stored = remember(&running, &path).await;
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let looking = running.clone();
        if blocking::run(move || look(&looking)).await.is_err() {
            tracing::error!("looking for alarms failed by a fault of ours");
        }
        mail::tell(&running).await;
        let bytes = store::encode(&stored_state(&running));
        if bytes != stored {
            let (path, kept) = (path.clone(), bytes.clone());
            match blocking::run(move || store::write(&path, &kept)).await {
                Ok(Ok(())) => stored = bytes,
                Ok(Err(error)) => tracing::debug!(%error, "what is known of alarms cannot be kept now"),
                Err(_) => {}
            }
        }
    }
}

/// Takes up what the last run left.
async fn remember(running: &Arc<Running>, path: &std::path::Path) -> Vec<u8> {
    let from: PathBuf = path.to_owned();
    let Ok(Some(bytes)) = blocking::run(move || store::read(&from)).await else { return Vec::new() };
    let Some(state) = store::decode(&bytes) else {
        tracing::warn!(file = %path.display(), "what the last run knew of alarms cannot be read: it begins anew");
        return Vec::new();
    };
    // Names that the settings have no more are of no use any more.
    let settings = running.revision().settings.clone();
    for route in state.routes {
        let is_known = settings.send_connectors.iter().any(|connector| *connector.name == *route.connector);
        if is_known || route.connector.is_empty() {
            running.counters.send.of(&(&*route.connector).into()).health.restore(&route);
        }
    }
    let mut known = running.alarms.known();
    (known.raised, known.untold, known.last_mail_ms) = (state.raised, state.untold, state.last_mail_ms);
    bytes
}

fn stored_state(running: &Running) -> store::State {
    let known = running.alarms.known();
    let routes = running.counters.send.all().into_iter().filter_map(|(name, counted)| {
        let route = counted.health.route(&name);
        // A delivery each second is no reason to write each second.
        let minutes = |ms: u64| ms / 60_000 * 60_000;
        let route = Route {
            last_success_ms: route.last_success_ms.map(minutes),
            last_failure_ms: route.last_failure_ms.map(minutes),
            ..route
        };
        (route.last_success_ms.is_some() || route.failing_since_ms.is_some()).then_some(route)
    });
    // The moment at which a cause was seen last matters for what has gone only.
    let raised = known.raised.iter().map(|alarm| Alarm { seen_ms: alarm.seen_ms / 60_000 * 60_000, ..alarm.clone() });
    store::State {
        raised: raised.collect(),
        untold: known.untold.clone(),
        last_mail_ms: known.last_mail_ms,
        routes: routes.collect(),
    }
}

/// Looks once, and says what has changed.
fn look(running: &Running) {
    let now = now_ms();
    inspect::day(running);
    let facts = facts(running, now);
    let revision = running.revision();
    let changes = {
        let mut known = running.alarms.known();
        let raised = alarm::decide(&revision.settings, &facts, &known.raised, now);
        let came = raised.iter().filter(|alarm| !known.raised.iter().any(|before| before.is_same(alarm)));
        let went = known.raised.iter().filter(|before| !raised.iter().any(|alarm| alarm.is_same(before)));
        let came = came.map(|alarm| Change { alarm: alarm.clone(), is_raised: true, time_ms: now });
        let went = went.map(|alarm| Change { alarm: alarm.clone(), is_raised: false, time_ms: now });
        let changes: Vec<Change> = came.chain(went).collect();
        known.raised = raised;
        let wants_mail = !revision.settings.monitoring.alarms.recipients.is_empty();
        for change in changes.iter().filter(|_| wants_mail) {
            // Of an alarm that comes and goes before anybody is told, the last word counts.
            known.untold.retain(|untold| !untold.alarm.is_same(&change.alarm));
            known.untold.push(change.clone());
        }
        let too_many = known.untold.len().saturating_sub(alarm::ALARMS_MAX);
        known.untold.drain(..too_many);
        changes
    };
    for change in changes {
        let Change { alarm: Alarm { kind, object, severity, text, remedy, .. }, is_raised, .. } = &change;
        let (name, severity) = (kind.name(), severity.name());
        let (object, remedy) = (&**object, &**remedy);
        match (is_raised, change.alarm.severity) {
            (true, Severity::Critical) => {
                tracing::error!(alarm = name, object, severity, remedy, "alarm raised: {text}")
            }
            (true, Severity::Warning) => tracing::warn!(alarm = name, object, severity, remedy, "alarm raised: {text}"),
            (false, _) => tracing::info!(alarm = name, object, severity, "alarm cleared: {text}"),
        }
        running.alarms.send(change);
    }
}

/// What is known now.
fn facts(running: &Running, now: u64) -> Facts {
    let (revision, spool) = (running.revision(), running.spool.usage());
    let tls = &revision.tls;
    let resources = running.back_pressure.all().into_iter().map(|metered| Pressed {
        resource: metered.reading.resource,
        level: metered.pressure.level,
        measured: metered.reading.measured,
    });
    let certificates = tls.expiries().map(|expiry| (expiry.file.to_string_lossy().into(), expiry.expires_ms));
    let missing = tls.faults().iter().map(|fault| ((&*fault.connector).into(), fault.consequence));
    Facts {
        routes: routes(running),
        certificates: certificates.collect(),
        certificates_missing: missing.collect(),
        resources: resources.collect(),
        spool_is_alive: running.is_stopping() || running.spool.is_alive(),
        disk_silent_ms: u64::try_from(spool.writing_for.as_millis()).unwrap_or(u64::MAX),
        set_aside: spool.set_aside,
        poison: poison(running),
        records_dropped_ms: records_dropped(running, now),
        reload_failed: running.alarms.known().reload_failed.clone(),
    }
}

/// Messages that the server is suspected to crash at.
fn poison(running: &Running) -> u64 {
    let queues = running.queues.all();
    queues.iter().filter(|queue| queue.key == QueueKey::Poison).map(|queue| queue.snapshot().entries).sum()
}

/// Every send connector that is in use, or was; and, without name, what needs none.
fn routes(running: &Running) -> Vec<Route> {
    let settings = running.revision().settings.clone();
    let is_declared = |name: &str| {
        name.is_empty()
            || settings.send_connectors.iter().any(|connector| connector.enabled && *connector.name == *name)
    };
    let all = running.counters.send.all().into_iter().filter(|(name, _)| is_declared(name));
    let mut routes: BTreeMap<Arc<str>, Route> =
        all.map(|(name, counted)| (name.clone(), counted.health.route(&name))).collect();
    // Poison waits for an administrator, and for no route.
    for queue in running.queues.all().into_iter().filter(|queue| queue.key != QueueKey::Poison) {
        let name = queue.connector.as_ref().map(|connector| connector.name.clone()).unwrap_or_default();
        let route =
            routes.entry(name.clone()).or_insert_with(|| Route { connector: (&*name).into(), ..Route::default() });
        let snapshot = queue.snapshot();
        route.waiting += snapshot.entries;
        route.oldest_ms = route.oldest_ms.into_iter().chain(queue.oldest_ms()).min();
        if !matches!(queue.key, QueueKey::Refused) && snapshot.last_error.is_some() {
            route.last_error = snapshot.last_error.as_deref().map(Into::into);
        }
    }
    routes.into_values().collect()
}

/// When records were left out last, by room.
fn records_dropped(running: &Running, now: u64) -> Vec<(&'static str, u64)> {
    let usage = running.tracking.usage();
    let mut known = running.alarms.known();
    for (room, dropped) in [("messages", usage.messages.dropped), ("refusals", usage.refusals.dropped)] {
        let (before, last_ms) = known.dropped.entry(room).or_default();
        if dropped > *before {
            (*before, *last_ms) = (dropped, now);
        }
    }
    known
        .dropped
        .iter()
        .filter(|(_, (dropped, _))| *dropped > 0)
        .map(|(room, (_, last_ms))| (*room, *last_ms))
        .collect()
}

#[cfg(test)]
mod tests {
    use gatepost_mail::{MessageId, Priority};

    use super::*;
    use crate::queue::{Entry, Indices};
    use crate::site::{CONTOSO, Site};

    #[tokio::test(start_paused = true)]
    async fn poison_is_counted_and_makes_no_route_wait() {
        let site = Site::new(CONTOSO);
        for (count, key) in [(0, QueueKey::Local), (1, QueueKey::Poison), (2, QueueKey::Poison)] {
            let priority = Priority::Normal;
            let (id, recipients) = (MessageId(count), Indices::One(0));
            let entry = Entry { id, recipients, arrival_ms: 1, priority, missed: 0 };
            site.running.queues.push(1, key, None, entry, None).expect("routes have not changed");
            let facts = facts(&site.running, 2);
            let waiting: u64 = facts.routes.iter().map(|route| route.waiting).sum();
            assert_eq!((facts.poison, waiting), (count, 1));
        }
    }
}
