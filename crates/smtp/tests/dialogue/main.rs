//! The dialogue as the wire sees it: scripts in `tests/wire`, and what must hold for any bytes in any slicing.

mod allocations;
mod server_scripts;
mod client_scripts;
mod properties;
mod script;
