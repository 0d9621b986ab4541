//! `gatepost trace export`: what was recorded, in Exchange's log formats (fact sheet sections 8.2 and 8.3).
//!
//! Takes entries of the running server, hands on lines with Exchange's fields in Exchange's order, oldest first, under header
//! lines that name Gatepost as the software. Refused attempts have no line in a message tracking log, as in Exchange.

use std::fs;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::path::Path;

use gatepost_manage::trace::{TraceEntry, TracedOutbound};
use gatepost_manage::tracking_log::{self, TrackingEvent};

use super::criteria::query;
use super::{client, wait_for};
use crate::cli::{ExportArguments, ExportFormat, Target};
use crate::clock::now_ms;
use crate::failure::Failure;

/// A file that has grown to this many bytes is followed by the next (Exchange: 10 MB).
const FILE_BYTES_MAX: usize = 10 << 20;
/// Entries asked for at once.
const PAGE: usize = 500;

const TRACKING_FIELDS: &str = "date-time,client-ip,client-hostname,server-ip,server-hostname,source-context,connector-id,\
source,event-id,internal-message-id,message-id,network-message-id,recipient-address,recipient-status,total-bytes,\
recipient-count,related-recipient-address,reference,message-subject,sender-address,return-path,message-info,directionality,\
tenant-id,original-client-ip,original-server-ip,custom-data,transport-traffic-type,log-id,schema-version";
const CONNECTIVITY_FIELDS: &str = "date-time,session,source,destination,direction,description";

/// A line and its time.
type Line = (u64, String);

/// Writes the log.
pub fn export(out: &mut dyn Write, target: &Target, arguments: &ExportArguments) -> Result<(), Failure> {
    let mut query = query(&arguments.filter)?;
    query.limit = Some(PAGE);
    query.events = Some(arguments.format == ExportFormat::Connectivity);
    let server = wait_for(client(target)?.status())?.server_name;
    let mut lines: Vec<Line> = Vec::new();
    loop {
        let page = wait_for(client(target)?.trace(&query))?;
        for entry in &page.entries {
            match (arguments.format, entry) {
                (ExportFormat::MessageTracking, TraceEntry::Message(message)) => {
                    lines.extend(tracking_log::events(message, &server).iter().map(track));
                }
                (ExportFormat::Connectivity, TraceEntry::Outbound(outbound)) => connect(outbound, &mut lines),
                _ => {}
            }
        }
        query.from = page.next;
        if query.from.is_none() {
            break;
        }
    }
    // Stable: events of one moment stay in the order of their message.
    lines.sort_by_key(|(time_ms, _)| *time_ms);
    match &arguments.folder {
        None => {
            write_header(out, arguments.format, now_ms())?;
            lines.iter().try_for_each(|(_, line)| writeln!(out, "{line}"))?;
            Ok(out.flush()?)
        }
        Some(folder) => {
            let files = write_files(folder, arguments.format, &lines)
                .map_err(|error| Failure::of(format!("{} cannot be written: {error}", folder.display())))?;
            Ok(writeln!(out, "{} lines in {files} files in {}", lines.len(), folder.display())?)
        }
    }
}

fn write_header(out: &mut dyn Write, format: ExportFormat, date_ms: u64) -> io::Result<()> {
    let (log_type, fields) = match format {
        ExportFormat::MessageTracking => ("Message Tracking Log", TRACKING_FIELDS),
        ExportFormat::Connectivity => ("Transport Connectivity Log", CONNECTIVITY_FIELDS),
    };
    let version = env!("CARGO_PKG_VERSION");
    write!(
        out,
        "#Software: Gatepost\r\n#Version: {version}\r\n#Log-Type: {log_type}\r\n#Date: {}\r\n#Fields: {fields}\r\n",
        utc(date_ms)
    )
}

/// One series of files for each day (UTC).
fn write_files(folder: &Path, format: ExportFormat, lines: &[Line]) -> io::Result<u64> {
    fs::create_dir_all(folder)?;
    let prefix = match format {
        ExportFormat::MessageTracking => "MSGTRK",
        ExportFormat::Connectivity => "CONNECTLOG",
    };
    let mut files = 0;
    for of_day in lines.chunk_by(|(one, _), (other, _)| one / 86_400_000 == other / 86_400_000) {
        let day: String = utc(of_day[0].0)[..10].replace('-', "");
        let (mut number, mut rest) = (1, of_day);
        while !rest.is_empty() {
            let mut file = BufWriter::new(fs::File::create(folder.join(format!("{prefix}{day}-{number}.log")))?);
            write_header(&mut file, format, rest[0].0)?;
            let (mut bytes, mut count) = (0, 0);
            for (_, line) in rest {
                file.write_all(line.as_bytes())?;
                file.write_all(b"\r\n")?;
                bytes += line.len() + 2;
                count += 1;
                if bytes >= FILE_BYTES_MAX {
                    break;
                }
            }
            file.flush()?;
            rest = &rest[count..];
            number += 1;
            files += 1;
        }
    }
    Ok(files)
}

fn utc(ms: u64) -> String {
    let timestamp =
        i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    timestamp.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

fn track(event: &TrackingEvent) -> Line {
    let ip = |address: Option<IpAddr>| address.map_or(String::new(), |address| address.to_string());
    let fields = [
        utc(event.time_ms),
        ip(event.client_ip),
        event.client_hostname.clone(),
        ip(event.server_ip),
        event.server_hostname.clone(),
        event.source_context.clone(),
        event.connector_id.clone(),
        event.source.to_owned(),
        event.event_id.to_owned(),
        event.internal_message_id.to_string(),
        event.message_id.clone(),
        event.network_message_id.clone(),
        event.recipients.join(";"),
        event.recipient_statuses.join(";"),
        event.total_bytes.to_string(),
        event.recipients.len().to_string(),
        event.related_recipient_address.clone(),
        event.reference.clone(),
        event.subject.clone(),
        event.sender.clone(),
        event.sender.clone(),
        event.message_info.clone(),
        event.directionality.to_owned(),
        String::new(),
        ip(event.original_client_ip),
        ip(event.original_server_ip),
        String::new(),
        "Email".to_owned(),
        String::new(),
        env!("CARGO_PKG_VERSION").to_owned(),
    ];
    (event.time_ms, row(&fields))
}

fn connect(outbound: &TracedOutbound, lines: &mut Vec<Line>) {
    let port = outbound.address.map_or(0, |address| u64::from(address.port()));
    let session = outbound.time_ms.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (outbound.next_hop.len() as u64) << 48 ^ port;
    let at = |time_ms: u64, direction: &str, description: String| {
        let fields = [
            utc(time_ms),
            format!("{session:016X}"),
            "SMTP".to_owned(),
            outbound.next_hop.clone(),
            direction.to_owned(),
            description,
        ];
        (time_ms, row(&fields))
    };
    let end_ms = outbound.time_ms + outbound.duration_ms;
    let remote = outbound.remote.as_deref().unwrap_or(&outbound.next_hop);
    let address = outbound.address.map_or(String::new(), |address| format!(" [{}]:{}", address.ip(), address.port()));
    lines.push(at(outbound.time_ms, "+", format!("{} by {}", outbound.next_hop, outbound.connector)));
    let description = match outbound.opened {
        true => format!("Established connection to {remote}{address}"),
        false => format!("Failed connection to {remote}{address}: {}", outbound.end),
    };
    lines.push(at(if outbound.opened { outbound.time_ms } else { end_ms }, ">", description));
    lines.push(at(end_ms, "-", format!("Messages: {} ({})", outbound.messages, outbound.end)));
}

/// Fields with commas between them; one that holds a comma, a quotation mark or a line end stands in quotation marks, on one line.
fn row(fields: &[String]) -> String {
    let quoted = |field: &String| {
        let flat: String = field.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        match flat.contains([',', '"']) {
            true => format!("\"{}\"", flat.replace('"', "\"\"")),
            false => flat,
        }
    };
    fields.iter().map(quoted).collect::<Vec<_>>().join(",")
}
