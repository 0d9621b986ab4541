//! Counts open connections of each receive connector, in total and by source, so that limits can be decided.
//!
//! Takes a connector's name and a peer, hands on counts and a guard that gives the place back when it is dropped.
//! Decides nothing: `policy::limits::connections` does.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Open connections now. Entries exist only while a connection is open, so the table is bounded by the sockets.
#[derive(Default)]
pub struct Connections {
    open: Mutex<HashMap<Arc<str>, Open>>,
}

#[derive(Default)]
struct Open {
    total: u32,
    by_source: HashMap<IpAddr, u32>,
}

/// How many connections are open.
#[derive(Clone, Copy, Debug)]
pub struct Counts {
    /// On all connectors.
    pub server: u32,
    /// On this connector.
    pub connector: u32,
    /// On this connector, from this source.
    pub source: u32,
}

/// One counted connection; gives its place back when dropped.
pub struct Place {
    connections: Arc<Connections>,
    connector: Arc<str>,
    source: IpAddr,
}

impl Connections {
    /// Counts a connection in when `permit` says yes to what is open without it; otherwise hands on the refusal. Asking and
    /// counting are one step, so two peers cannot take one last place.
    pub fn enter<R>(
        self: &Arc<Self>,
        connector: &Arc<str>,
        source: IpAddr,
        permit: impl FnOnce(Counts) -> Result<(), R>,
    ) -> Result<Place, R> {
        let source = source.to_canonical();
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let here = open.get(connector);
        permit(Counts {
            server: open.values().map(|open| open.total).fold(0, u32::saturating_add),
            connector: here.map_or(0, |here| here.total),
            source: here.and_then(|here| here.by_source.get(&source).copied()).unwrap_or(0),
        })?;
        let counts = open.entry(connector.clone()).or_default();
        counts.total += 1;
        *counts.by_source.entry(source).or_default() += 1;
        Ok(Place { connections: self.clone(), connector: connector.clone(), source })
    }

    /// Open connections of all connectors.
    pub fn total(&self) -> u64 {
        let open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.values().map(|counts| u64::from(counts.total)).sum()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.connections.open.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(counts) = open.get_mut(&self.connector) else { return };
        counts.total = counts.total.saturating_sub(1);
        if let Some(from_source) = counts.by_source.get_mut(&self.source) {
            *from_source -= 1;
            if *from_source == 0 {
                counts.by_source.remove(&self.source);
            }
        }
        if counts.total == 0 {
            open.remove(&self.connector);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_given_back_when_its_connection_ends() {
        let connections = Arc::new(Connections::default());
        let name: Arc<str> = "Relay".into();
        let source: IpAddr = "192.168.2.55".parse().expect("an address");
        let only_one = |open: Counts| if open.source == 0 { Ok(()) } else { Err("full") };
        let place = connections.enter(&name, source, only_one).expect("the first");
        // An IPv4-mapped peer is the same source.
        let mapped = "::ffff:192.168.2.55".parse().expect("an address");
        assert_eq!(connections.enter(&name, mapped, only_one).err(), Some("full"));
        assert_eq!(connections.total(), 1);
        drop(place);
        assert_eq!(connections.total(), 0);
        assert!(connections.enter(&name, source, only_one).is_ok());
    }
}
