//! Every call of the management API that is no command of the registry: who may ask it, and whether it is recorded.
//!
//! A table. What does not stand in it is nobody's to ask (default deny), so a new route needs its line here.

use axum::http::Method;
use gatepost_policy::role::Role;

use crate::access::Act;

/// One call.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// HTTP's.
    pub method: &'static str,
    /// Below `/api/v1`, as routes write it: `/queue/{id}`.
    pub path: &'static str,
    /// What it is, and who may.
    pub act: Act<'static>,
    /// Whether it changes anything, or hands out what is in a message: then the record of acts has it.
    pub is_recorded: bool,
}

const fn reads(method: &'static str, path: &'static str, name: &'static str, role: Role) -> Call {
    Call { method, path, act: Act { name, role }, is_recorded: false }
}

const fn changes(method: &'static str, path: &'static str, name: &'static str, role: Role) -> Call {
    Call { method, path, act: Act { name, role }, is_recorded: true }
}

/// All of them.
pub const CALLS: &[Call] = &[
    reads("GET", "/status", "Get-ServerStatus", Role::View),
    reads("GET", "/commands", "Get-Command", Role::View),
    // Which role a command needs, the registry says, and `command_api` asks for it.
    reads("POST", "/commands/{name}", "Invoke-Command", Role::View),
    reads("GET", "/queues", "Get-Queue", Role::View),
    changes("POST", "/queues", "Set-Queue", Role::QueueOperator),
    reads("GET", "/queue", "Get-Message", Role::HelpDesk),
    reads("GET", "/queue/{id}", "Get-Message", Role::HelpDesk),
    changes("GET", "/queue/{id}/export", "Export-Message", Role::QueueOperator),
    changes("POST", "/queue/{id}/retry", "Retry-Message", Role::QueueOperator),
    changes("POST", "/queue/retry", "Retry-Queue", Role::QueueOperator),
    changes("POST", "/queue/change", "Set-Message", Role::QueueOperator),
    changes("DELETE", "/queue/{id}", "Remove-Message", Role::QueueOperator),
    reads("GET", "/decisions/{id}", "Get-Decision", Role::HelpDesk),
    reads("GET", "/trace", "Search-Trace", Role::HelpDesk),
    changes("POST", "/trace/erase", "Remove-TracedAddress", Role::SecurityOfficer),
    changes("POST", "/reload", "Update-Configuration", Role::TransportAdmin),
];

/// The call that a request is, by its method and the route that it matched, without `/api/v1`. HEAD asks what GET asks.
pub fn find(method: &Method, route: &str) -> Option<&'static Call> {
    let method = if method == Method::HEAD { "GET" } else { method.as_str() };
    CALLS.iter().find(|call| call.method == method && call.path == route)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_stands_once_and_what_is_not_there_is_no_call() {
        for call in CALLS {
            let method: Method = call.method.parse().expect("a method");
            let same = CALLS.iter().filter(|other| (other.method, other.path) == (call.method, call.path));
            assert_eq!(same.count(), 1, "{} {}", call.method, call.path);
            assert_eq!(find(&method, call.path).map(|found| found.act), Some(call.act));
        }
        assert!(find(&Method::PUT, "/status").is_none());
        assert!(find(&Method::GET, "/reload").is_none());
        assert!(find(&Method::HEAD, "/status").is_some());
    }
}
