//! Where a script runs: the console, the culture, names of this machine and of others.

use crate::command::{Call, Kind, Signature};
use crate::context::{Context, Stage, StockCommand, VariableScope};
use crate::convert::{self};
use crate::fault::{Category, Fault, Severity};
use crate::member;
use crate::syntax::TypeName;
use crate::value::{TimeSpan, Value, View};

use super::parameter::{SIGNATURE, at, needed, piped};
use super::refused::IGNORED;
use super::session::{Taken, Yields, object};

/// Get-Host.
pub(super) const GET_HOST: StockCommand = StockCommand {
    signature: &Signature { name: "Get-Host", synopsis: "Hands on $Host.", parameters: &[], ..SIGNATURE },
    make: || {
        Box::new(Yields(|context, _| {
            Ok(context.variable(VariableScope::Nearest, "Host").unwrap_or_else(|| Value::foreign(member::Console)))
        }))
    },
};

/// Get-Culture.
pub(super) const GET_CULTURE: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-Culture",
        aliases: &["Get-UICulture"],
        synopsis: "Tells of the one culture that there is.",
        parameters: &[],
        ..SIGNATURE
    },
    make: || {
        Box::new(Yields(|context, _| {
            let of = TypeName { name: "cultureinfo".to_owned(), arguments: Vec::new(), array_depth: 0 };
            member::static_property(context, &of, "CurrentCulture")
        }))
    },
};

static ZONE: View = View { type_name: "System.TimeZoneInfo", table: &[], identity: "Id" };

/// Get-TimeZone.
pub(super) const GET_TIME_ZONE: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-TimeZone",
        synopsis: "Tells the time zone of this machine.",
        parameters: &[IGNORED],
        ..SIGNATURE
    },
    make: || {
        Box::new(Yields(|context, _| {
            let now = context.world().now();
            let name = now.time_zone().iana_name().unwrap_or("UTC").to_owned();
            let offset = TimeSpan { ticks: i64::from(now.offset().seconds()) * 10_000_000 };
            Ok(object(
                &ZONE,
                vec![
                    ("Id", Value::text(&name)),
                    ("DisplayName", Value::text(&name)),
                    ("StandardName", Value::text(&name)),
                    ("BaseUtcOffset", Value::Span(offset)),
                ],
            ))
        }))
    },
};

/// `hostname`: what scripts call as a program of the system.
pub(super) const HOST_NAME: StockCommand = StockCommand {
    signature: &Signature {
        name: "hostname",
        aliases: &["hostname.exe"],
        synopsis: "Tells the server's short name, as $env:COMPUTERNAME does.",
        parameters: &[],
        ..SIGNATURE
    },
    make: || Box::new(Yields(|context, _| Ok(Value::text(context.environment("COMPUTERNAME").unwrap_or_default())))),
};

/// `whoami`, as well.
pub(super) const WHO_AM_I: StockCommand = StockCommand {
    signature: &Signature {
        name: "whoami",
        aliases: &["whoami.exe"],
        synopsis: "Tells the user's name with the domain, as $env:USERDOMAIN\\$env:USERNAME does.",
        parameters: &[],
        ..SIGNATURE
    },
    make: || {
        Box::new(Yields(|context, _| {
            let variable = |name: &str| context.environment(name);
            let user = variable("USERNAME").unwrap_or_default();
            let machine = variable("COMPUTERNAME").unwrap_or_default();
            let domain = variable("USERDOMAIN").unwrap_or(machine);
            Ok(Value::text(format!("{domain}\\{user}").to_lowercase()))
        }))
    },
};

/// Get-History.
pub(super) const GET_HISTORY: StockCommand = StockCommand {
    signature: &Signature {
        name: "Get-History",
        aliases: &["Clear-History", "Add-History"],
        synopsis: "Tells of nothing: the terminal keeps the history, arrow up shows it.",
        parameters: &[IGNORED],
        ..SIGNATURE
    },
    make: || Box::new(Taken),
};

/// Resolve-DnsName.
pub(super) const RESOLVE_DNS: StockCommand = StockCommand {
    signature: &Signature {
        name: "Resolve-DnsName",
        synopsis: "Tells the addresses of a host, or the name of the host that has an address.",
        parameters: &[
            needed(piped(at(0, "Name", Kind::Text, "The host."))),
            at(1, "Type", Kind::Text, "A, AAAA or PTR; what fits the name if not given."),
            IGNORED,
        ],
        ..SIGNATURE
    },
    make: || Box::new(ResolveDns),
};

static DNS: View =
    View { type_name: "Microsoft.DnsClient.Commands.DnsRecord", table: &["Name", "Type", "IPAddress"], identity: "" };

static POINTER: View = View {
    type_name: "Microsoft.DnsClient.Commands.DnsRecord_PTR",
    table: &["Name", "Type", "NameHost"],
    identity: "",
};

fn no_name(name: String) -> Fault {
    let mut fault = Fault::new(Category::ResourceUnavailable, format!("{name} : DNS name does not exist"));
    fault.target = Some(name);
    fault.with_severity(Severity::Continuing)
}

struct ResolveDns;

impl Stage for ResolveDns {
    fn process(&mut self, context: &mut dyn Context, call: &Call<'_>, _input: Option<&Value>) -> Result<(), Fault> {
        let name = call.argument("Name").map(convert::text).unwrap_or_default();
        let wanted = call.argument("Type").map(convert::text).unwrap_or_default().to_ascii_uppercase();
        if let Ok(address) = name.parse()
            && matches!(wanted.as_str(), "" | "PTR")
        {
            return match context.world().name_of(address) {
                Ok(host) => {
                    let record = vec![("Name", &*name), ("Type", "PTR"), ("NameHost", &*host)];
                    let record = record.into_iter().map(|(name, value)| (name, Value::text(value)));
                    context.value(object(&POINTER, record.collect()))
                }
                Err(_) => Err(no_name(name)),
            };
        }
        if !matches!(wanted.as_str(), "" | "A" | "AAAA" | "A_AAAA") {
            return Err(Fault::new(
                Category::InvalidArgument,
                format!("Resolve-DnsName -Type {wanted} is not known here; write A or AAAA, or PTR with an address."),
            ));
        }
        let found = context.world().resolve(&name).unwrap_or_default();
        let found: Vec<_> = found
            .into_iter()
            .filter(|address| match wanted.as_str() {
                "A" => address.is_ipv4(),
                "AAAA" => address.is_ipv6(),
                _ => true,
            })
            .collect();
        if found.is_empty() {
            return Err(no_name(name));
        }
        for address in found {
            let kind = if address.is_ipv4() { "A" } else { "AAAA" };
            let record = vec![
                ("Name", Value::text(&name)),
                ("Type", Value::text(kind)),
                ("IPAddress", Value::text(address.to_string())),
            ];
            context.value(object(&DNS, record))?;
        }
        Ok(())
    }
}
