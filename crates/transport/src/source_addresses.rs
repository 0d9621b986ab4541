//! Whether the machine has the addresses that send connectors want their connections to come from.
//!
//! Takes settings, hands on the connectors whose address is not there. An address may come later, as that of a cluster
//! does, so this is a warning, and mail waits meanwhile.

use std::net::IpAddr;
use std::sync::Arc;

use gatepost_policy::settings::Settings;

use crate::net;

/// Enabled send connectors with an address of `source_ip_address` that is none of this machine.
pub fn missing(settings: &Settings) -> Vec<(Arc<str>, IpAddr)> {
    let connectors = settings.send_connectors.iter().filter(|connector| connector.enabled);
    let sources = connectors.flat_map(|connector| {
        connector.source_ip_address.iter().map(|address| (connector.name.clone(), address)).collect::<Vec<_>>()
    });
    sources.filter(|(_, address)| !net::is_own(*address)).collect()
}

/// Says so in the log.
pub(crate) fn warn_of_missing(settings: &Settings) {
    for (connector, address) in missing(settings) {
        tracing::warn!(
            connector = &*connector, source_ip_address = %address,
            "this machine does not have the source address of a send connector: its mail waits until it has"
        );
    }
}
