//! Reads `[metrics]`, `[opentelemetry]` and `[alarms]`.

use std::net::SocketAddr;
use std::ops::Range;

use toml::de::{DeTable, DeValue};

use super::reader::{Collector, Fields, Wrong, shown};
use super::values;
use crate::monitoring::{AlarmSettings, MetricsSettings, Monitoring, OpenTelemetrySettings, Secret, Url, Webhook};

/// More recipients of alarms, and more webhooks, are a mailing list's business.
const RECIPIENTS_MAX: usize = 20;
const WEBHOOKS_MAX: usize = 10;
const DAY: u64 = 24 * 60 * 60;

type Table<'d, 't> = (&'d DeTable<'t>, Range<usize>);

/// Reads the three tables, in this order.
pub(super) fn read<'t>(collector: &mut Collector<'t>, tables: [Option<Table<'_, 't>>; 3]) -> Monitoring {
    let [metrics, opentelemetry, alarms] = tables;
    Monitoring {
        metrics: metrics.and_then(|table| read_metrics(collector, table)),
        opentelemetry: opentelemetry.and_then(|table| read_opentelemetry(collector, table)),
        alarms: alarms.map(|table| read_alarms(collector, table)).unwrap_or_default(),
    }
}

fn read_metrics<'t>(collector: &mut Collector<'t>, (table, span): Table<'_, 't>) -> Option<MetricsSettings> {
    let mut fields = Fields::new(collector, "[metrics]", table, span);
    let listen = fields.required("listen", "write where, listen = \"127.0.0.1:9925\"", listen_address);
    let reason = fields.optional("accept_risk", values::reason);
    if let Some(listen) = listen {
        let is_here = listen.ip().to_canonical().is_loopback();
        if !is_here && reason.is_none() && !fields.is_bad("accept_risk") {
            fields.error_at(
                "listen",
                format!("`listen`: {listen} lets other machines read the numbers, and nothing asks them for a password"),
                "write an address of this machine, \"127.0.0.1:9925\"; or, if it has to be so, accept_risk = \"the reason\"",
            );
        }
        if is_here && reason.is_some() {
            fields.warning_at(
                "accept_risk",
                "`accept_risk`: the numbers can be read on this machine alone, which is no risk",
                "leave it out",
            );
        }
    }
    fields.finish(&[]);
    listen.map(|listen| MetricsSettings { listen })
}

fn listen_address(value: &DeValue<'_>) -> Result<SocketAddr, Wrong> {
    values::binding(value).map_err(|wrong| match value.as_str() {
        // The example of a receive connector would open the numbers to everybody.
        Some(_) => Wrong::new(wrong.message, "write address and port, \"127.0.0.1:9925\""),
        None => wrong,
    })
}

fn read_opentelemetry<'t>(
    collector: &mut Collector<'t>,
    (table, span): Table<'_, 't>,
) -> Option<OpenTelemetrySettings> {
    let mut fields = Fields::new(collector, "[opentelemetry]", table, span);
    let endpoint = fields.required("endpoint", "write the collector, endpoint = \"http://127.0.0.1:4318\"", url);
    let interval = fields.optional("interval", values::time_span(1, DAY));
    let metrics = fields.optional("metrics", values::boolean);
    let traces = fields.optional("traces", values::boolean);
    let authorization = secret(&mut fields, ["authorization_file", "authorization_env"]);
    if let Some(endpoint) = &endpoint {
        if ["/v1/metrics", "/v1/traces"]
            .iter()
            .any(|of_signal| endpoint.path.trim_end_matches('/').ends_with(of_signal))
        {
            fields.error_at(
                "endpoint",
                "`endpoint`: /v1/metrics and /v1/traces are added to it",
                "write it without them, endpoint = \"http://127.0.0.1:4318\"",
            );
        }
        check_secrecy(&mut fields, "endpoint", endpoint, authorization.is_some());
    }
    fields.finish(&[]);
    Some(OpenTelemetrySettings {
        endpoint: endpoint?,
        interval: interval.unwrap_or(std::time::Duration::from_secs(60)),
        metrics: metrics.unwrap_or(true),
        traces: traces.unwrap_or(true),
        authorization,
    })
}

fn read_alarms<'t>(collector: &mut Collector<'t>, (table, span): Table<'_, 't>) -> AlarmSettings {
    let mut alarms = AlarmSettings::default();
    let mut fields = Fields::new(collector, "[alarms]", table, span);
    for (key, place, min, max) in [
        ("route_silence", &mut alarms.route_silence, 1, 30 * DAY),
        ("oldest_message", &mut alarms.oldest_message, 1, 30 * DAY),
        ("mail_interval", &mut alarms.mail_interval, 1, DAY),
    ] {
        if let Some(interval) = fields.optional(key, values::time_span(min, max)) {
            *place = interval;
        }
    }
    if let Some(days) = fields.optional("expiry_days", values::number(1, 365)) {
        alarms.expiry_days = days;
    }
    if let Some(percent) = fields.optional("used_disk_space", values::number(1, 100)) {
        alarms.used_disk_space = percent;
    }
    if let Some(recipients) = fields.list("recipients", |value, _| values::mailbox(value)) {
        if recipients.len() > RECIPIENTS_MAX {
            fields.error_at(
                "recipients",
                format!("`recipients`: there are more than {RECIPIENTS_MAX}"),
                "write the address of a group or of a mailing list",
            );
        }
        alarms.recipients = recipients.into_iter().map(|(recipient, _)| recipient).take(RECIPIENTS_MAX).collect();
    }
    let webhooks = fields.tables("webhook");
    if webhooks.len() > WEBHOOKS_MAX {
        fields.error_at(
            "webhook",
            format!("there are more than {WEBHOOKS_MAX} webhooks"),
            "let one of them tell the others",
        );
    }
    fields.finish(&[]);
    let webhooks = webhooks.into_iter().take(WEBHOOKS_MAX);
    alarms.webhooks = webhooks.filter_map(|table| read_webhook(collector, table)).collect();
    alarms
}

fn read_webhook<'t>(collector: &mut Collector<'t>, (table, span): Table<'_, 't>) -> Option<Webhook> {
    let mut fields = Fields::new(collector, "[[alarms.webhook]]", table, span);
    let address =
        fields.required("url", "write where alarms are posted to, url = \"https://hooks.example.net/x\"", url);
    let secret = secret(&mut fields, ["secret_file", "secret_env"]);
    let timeout = fields.optional("timeout", values::time_span(1, 60));
    if let Some(url) = &address {
        check_secrecy(&mut fields, "url", url, false);
    }
    fields.finish(&[]);
    Some(Webhook { url: address?, secret, timeout: timeout.unwrap_or(std::time::Duration::from_secs(10)) })
}

/// What goes to another machine in clear can be read on the way.
fn check_secrecy(fields: &mut Fields<'_, '_, '_>, key: &'static str, url: &Url, has_password: bool) {
    if url.is_secure || url.is_on_this_machine() {
        return;
    }
    if has_password {
        fields.error_at(
            key,
            format!("`{key}`: the authorization would go to {} in clear", url.authority()),
            "write https://, or leave the authorization out",
        );
    } else {
        fields.warning_at(
            key,
            format!("`{key}`: what goes to {} can be read on the way", url.authority()),
            "write https:// if it can be had",
        );
    }
}

fn url(value: &DeValue<'_>) -> Result<Url, Wrong> {
    let text = values::string(value)?;
    Url::parse(text).ok_or_else(|| {
        Wrong::new(
            format!("`{}` is no URL that can be posted to", shown(text)),
            "write \"https://host.example/path\" or \"http://127.0.0.1:8080/path\", without name and password",
        )
    })
}

fn secret(fields: &mut Fields<'_, '_, '_>, [file, variable]: [&'static str; 2]) -> Option<Secret> {
    let in_file = fields.optional(file, values::path);
    let in_environment = fields.optional(variable, environment_variable);
    if in_file.is_some() && in_environment.is_some() {
        fields.error_at(
            variable,
            format!("`{file}` and `{variable}` both say where the secret is"),
            "leave one of them out",
        );
    }
    in_file.map(Secret::File).or(in_environment.map(Secret::Environment))
}

fn environment_variable(value: &DeValue<'_>) -> Result<Box<str>, Wrong> {
    let text = values::string(value)?;
    let is_name = !text.is_empty()
        && text.len() <= 100
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !text.starts_with(|c: char| c.is_ascii_digit());
    if is_name {
        return Ok(text.into());
    }
    let message = format!("`{}` is no name of an environment variable", shown(text));
    Err(Wrong::new(message, "write the name alone, without $: letters, digits and underscores"))
}
