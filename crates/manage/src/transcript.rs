//! The live transcript as the API has it: what is asked, what comes, and how whoever asked reads it.
//!
//! Takes and hands on values. Never listens itself.

use std::collections::VecDeque;
use std::net::SocketAddr;

use axum::body::Body;
use gatepost_transport::live_transcript::{Direction, Line};
use http_body_util::BodyExt;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Longest event that is read, in bytes: lines are cut long before.
const EVENT_BYTES_MAX: usize = 64 * 1024;

/// The query of `GET /transcript`: at least one; all that is given must be true of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TranscriptQuery {
    /// A receive or send connector.
    pub connector: Option<String>,
    /// The address of a peer or a next hop, or a range, as remote ranges are written.
    pub peer: Option<String>,
}

/// The data of an event `line`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptLine {
    /// When, Unix time in milliseconds.
    pub time_ms: u64,
    /// `receive`: we are the server; `send`: we are the client.
    pub direction: String,
    /// The connector.
    pub connector: String,
    /// The connection, as the protocol log names it.
    pub session: String,
    /// The how manieth line of the connection, from 0.
    pub sequence: u64,
    /// Our end.
    pub local: SocketAddr,
    /// The other side's.
    pub remote: SocketAddr,
    /// As in the protocol log: `+` it began, `-` it ended, `<` the other side said, `>` we said, `*` nobody said this.
    pub event: char,
    /// What.
    pub data: String,
    /// About what.
    pub context: String,
}

impl From<&Line> for TranscriptLine {
    fn from(line: &Line) -> TranscriptLine {
        let direction = match line.direction {
            Direction::Receive => "receive",
            Direction::Send => "send",
        };
        TranscriptLine {
            time_ms: line.time_ms,
            direction: direction.to_owned(),
            connector: line.connector.to_string(),
            session: format!("{:016X}", line.session),
            sequence: line.sequence,
            local: line.local,
            remote: line.remote,
            event: line.event,
            data: line.data.to_string(),
            context: line.context.to_string(),
        }
    }
}

/// The data of an event `missed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TranscriptMissed {
    /// So many lines came here, faster than they were read.
    pub lines: u64,
}

/// One event of a live transcript.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TranscriptEvent {
    /// A line.
    Line(Box<TranscriptLine>),
    /// Lines are missing.
    Missed(TranscriptMissed),
}

/// Reads the answer of `GET /transcript`.
pub struct TranscriptReader {
    body: Body,
    events: Events,
}

impl TranscriptReader {
    /// Of such an answer.
    pub fn new(body: Body) -> TranscriptReader {
        TranscriptReader { body, events: Events::default() }
    }

    /// The next event; `None` when the server has ended the answer.
    ///
    /// # Errors
    /// When what comes is no live transcript.
    pub async fn next(&mut self) -> Result<Option<TranscriptEvent>, String> {
        loop {
            if let Some(event) = self.events.ready.pop_front() {
                return Ok(Some(event));
            }
            // A connection that breaks ends it as well.
            let Some(Ok(frame)) = self.body.frame().await else { return Ok(None) };
            if let Ok(piece) = frame.into_data() {
                self.events.read(&piece)?;
            }
        }
    }
}

/// Server-sent events, however their text is cut.
#[derive(Default)]
struct Events {
    /// The start of an event whose end has not come.
    part: Vec<u8>,
    ready: VecDeque<TranscriptEvent>,
}

impl Events {
    fn read(&mut self, piece: &[u8]) -> Result<(), String> {
        self.part.extend_from_slice(piece);
        while let Some(end) = self.part.windows(2).position(|two| two == b"\n\n") {
            let event: Vec<u8> = self.part.drain(..end + 2).collect();
            let text = std::str::from_utf8(&event).map_err(|error| error.to_string())?;
            self.ready.extend(parse_event(text)?);
        }
        match self.part.len() > EVENT_BYTES_MAX {
            true => Err("an event without an end".to_owned()),
            false => Ok(()),
        }
    }
}

/// An event that we know.
fn parse_event(text: &str) -> Result<Option<TranscriptEvent>, String> {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    let not_understood = |error: serde_json::Error| format!("an event is not understood: {error}");
    match field("event: ") {
        "line" => serde_json::from_str(field("data: ")).map(TranscriptEvent::Line).map(Some).map_err(not_understood),
        "missed" => {
            serde_json::from_str(field("data: ")).map(TranscriptEvent::Missed).map(Some).map_err(not_understood)
        }
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_however_they_are_cut() {
        let data = r#"{"time_ms":5,"direction":"receive","connector":"Relay","session":"0A","sequence":1,"local":"192.0.2.1:25","remote":"192.0.2.2:4711","event":"<","data":"EHLO ü","context":""}"#;
        let text = format!(
            "retry: 250\n\n:\n\nevent: line\ndata: {data}\n\nevent: other\ndata: 1\n\nevent: missed\ndata: {{\"lines\":3}}\n\n"
        );
        let line = serde_json::from_str(data).expect("a line");
        let expected = [TranscriptEvent::Line(line), TranscriptEvent::Missed(TranscriptMissed { lines: 3 })];
        for part in [1, 2, 7, text.len()] {
            let mut events = Events::default();
            text.as_bytes().chunks(part).for_each(|piece| events.read(piece).expect("ours"));
            assert_eq!(events.ready.iter().cloned().collect::<Vec<_>>(), expected, "in parts of {part}");
        }
        assert!(Events::default().read(b"event: line\ndata: {}\n\n").is_err());
        assert!(Events::default().read(&vec![b'x'; EVENT_BYTES_MAX + 1]).is_err());
    }
}
