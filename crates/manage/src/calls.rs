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
    /// Whether who has proven nothing may ask: it is how one proves something.
    pub is_open: bool,
    /// Whether what it does is named by its path: then that is the act, which asks for its own role besides.
    pub is_named_by_path: bool,
}

const fn reads(method: &'static str, path: &'static str, name: &'static str, role: Role) -> Call {
    Call { method, path, act: Act { name, role }, is_recorded: false, is_open: false, is_named_by_path: false }
}

const fn changes(method: &'static str, path: &'static str, name: &'static str, role: Role) -> Call {
    Call { method, path, act: Act { name, role }, is_recorded: true, is_open: false, is_named_by_path: false }
}

const fn proves(method: &'static str, path: &'static str, name: &'static str) -> Call {
    Call {
        method,
        path,
        act: Act { name, role: Role::View },
        is_recorded: true,
        is_open: true,
        is_named_by_path: false,
    }
}

/// All of them.
pub const CALLS: &[Call] = &[
    reads("GET", "/status", "Get-ServerStatus", Role::View),
    reads("GET", "/commands", "Get-Command", Role::View),
    // Which role a command needs, the registry says, and `command_api` asks for it.
    Call { is_named_by_path: true, ..changes("POST", "/commands/{name}", "Invoke-Command", Role::View) },
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
    reads("GET", "/revisions", "Get-ConfigurationRevision", Role::View),
    reads("GET", "/revisions/{number}", "Get-ConfigurationRevision", Role::View),
    reads("GET", "/revisions/{number}/difference", "Compare-Configuration", Role::View),
    changes("POST", "/revisions/{number}/restore", "Restore-ConfigurationRevision", Role::TransportAdmin),
    changes("POST", "/reload", "Update-Configuration", Role::TransportAdmin),
    proves("POST", "/setup", "New-FirstAdministrator"),
    proves("POST", "/session", "New-Session"),
    reads("GET", "/session", "Get-Session", Role::View),
    changes("DELETE", "/session", "Remove-Session", Role::View),
    reads("GET", "/administrators", "Get-Administrator", Role::SecurityOfficer),
    changes("POST", "/administrators", "New-Administrator", Role::SecurityOfficer),
    // Their own password and codes are everybody's own business; the rest is asked for where it is done.
    changes("PATCH", "/administrators/{name}", "Set-Administrator", Role::View),
    changes("DELETE", "/administrators/{name}", "Remove-Administrator", Role::SecurityOfficer),
    reads("GET", "/tokens", "Get-ApiToken", Role::SecurityOfficer),
    changes("POST", "/tokens", "New-ApiToken", Role::SecurityOfficer),
    changes("DELETE", "/tokens/{id}", "Remove-ApiToken", Role::SecurityOfficer),
    reads("GET", "/acts", "Search-AdminAuditLog", Role::SecurityOfficer),
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
