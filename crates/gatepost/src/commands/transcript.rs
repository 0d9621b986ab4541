//! `gatepost transcript`: what a connector or a peer says, as it is said.
//!
//! Takes whom to listen to, asks the running server, hands on line by line until it is interrupted. Asks again where the
//! server has ended its answer, as it does now and then. Never reads a file of the server (invariant I11).

use std::io::Write;
use std::time::Duration;

use gatepost_manage::transcript::{TranscriptEvent, TranscriptLine, TranscriptQuery, TranscriptReader};
use serde_json::json;

use super::client;
use crate::cli::{Target, TranscriptArguments};
use crate::failure::Failure;
use crate::terminal::{count, harmless, moment};

/// Before it is asked again.
const PAUSE: Duration = Duration::from_millis(250);

/// Listens until it is interrupted.
pub fn transcript(out: &mut dyn Write, target: &Target, arguments: &TranscriptArguments) -> Result<(), Failure> {
    let query = TranscriptQuery { connector: arguments.connector.clone(), peer: arguments.peer.clone() };
    let client = client(target)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut answer = client.transcript(&query).await?;
        if !arguments.json {
            writeln!(out, "Listening to connections that begin from now on. Ctrl-C ends it.")?;
            out.flush()?;
        }
        loop {
            let mut reader = TranscriptReader::new(answer);
            while let Some(event) = reader.next().await.map_err(Failure::of)? {
                write_event(out, &event, arguments.json)?;
                out.flush()?;
            }
            tokio::time::sleep(PAUSE).await;
            answer = client.transcript(&query).await?;
            if !arguments.json {
                writeln!(out, "(the server ended the answer; listening again: lines may be missing here)")?;
                out.flush()?;
            }
        }
    })
}

fn write_event(out: &mut dyn Write, event: &TranscriptEvent, json: bool) -> Result<(), Failure> {
    match event {
        TranscriptEvent::Line(line) if json => Ok(writeln!(out, "{}", json!(line))?),
        TranscriptEvent::Missed(missed) if json => Ok(writeln!(out, "{}", json!({ "missed": missed.lines }))?),
        TranscriptEvent::Line(line) => Ok(writeln!(out, "{}", text(line))?),
        TranscriptEvent::Missed(missed) => {
            Ok(writeln!(out, "({} missing here)", count(missed.lines, "line is", "lines are"))?)
        }
    }
}

/// As people read it: when, on which connection, who, what.
fn text(line: &TranscriptLine) -> String {
    let said = match (line.event, &*line.data, &*line.context) {
        ('+', ..) => format!("connection with {}", line.local),
        ('-', ..) => "end of the connection".to_owned(),
        (_, data, "") => data.to_owned(),
        (_, data, context) => format!("{context}: {data}"),
    };
    format!(
        "{}  {}  {}  {} {}",
        moment(line.time_ms),
        harmless(&line.connector),
        line.remote,
        line.event,
        harmless(&said)
    )
}
