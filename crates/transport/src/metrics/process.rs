//! What the operating system says of our process, by the names that every exporter gives it.

use std::fs;

use rustix::process::{Resource, getrlimit};

use super::Families;

/// Reads what there is to read; where `/proc` is missing that is little.
pub fn measure(families: &mut Families) {
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The second field is the program's name in parentheses, which may hold anything (proc_pid_stat(5)).
    let fields: Vec<&str> =
        stat.rsplit_once(')').map_or(Vec::new(), |(_, rest)| rest.split_ascii_whitespace().collect());
    let number = |field: usize| fields.get(field - 3).and_then(|field| field.parse::<u64>().ok());

    let family =
        families.counter("process_cpu_seconds", "Processor time that the server has used, of user and system.");
    if let (Some(user), Some(system)) = (number(14), number(15)) {
        family.is((user + system) as f64 / rustix::param::clock_ticks_per_second() as f64);
    }
    let family = families.gauge("process_threads", "Threads of the server.");
    if let Some(threads) = number(20) {
        family.is(threads);
    }
    let family = families.gauge("process_virtual_memory_bytes", "Address space of the server.");
    if let Some(bytes) = number(23) {
        family.is(bytes);
    }
    let family = families.gauge("process_resident_memory_bytes", "Memory of the server.");
    if let Some(pages) = number(24) {
        family.is(pages.saturating_mul(rustix::param::page_size() as u64));
    }
    let family = families.gauge("process_open_fds", "Files and connections that the server has open.");
    if let Ok(open) = fs::read_dir("/proc/self/fd") {
        // The folder that is being read is one of them.
        family.is((open.count() as u64).saturating_sub(1));
    }
    let family = families.gauge("process_max_fds", "How many it may have open.");
    if let Some(most) = getrlimit(Resource::Nofile).current {
        family.is(most);
    }
}
