//! `GET /transcript?connector=&peer=`: what is said on connections that begin from now on, as server-sent events.
//!
//! | event | data |
//! |---|---|
//! | `line` | `TranscriptLine`: as the protocol log has it, without credentials and content |
//! | `missed` | `{"lines": 40}`: so many came here, faster than they were read |
//!
//! Takes the lines that `transport` has for a listener, hands them on as they come. Bounded: few listen at once, and one that
//! reads slowly loses lines, never delays mail.

use std::time::Duration;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use gatepost_policy::Settings;
use gatepost_transport::Control;
use gatepost_transport::live_transcript::{Heard, LISTENERS_MAX, Listening, Wanted};
use hyper::body::Bytes;
use tokio::sync::mpsc;

use crate::feed::feed;
use crate::refusal::{Refusal, refuse};
use crate::trace::peer_range;
use crate::transcript::{TranscriptLine, TranscriptMissed, TranscriptQuery};

/// After so long without a line something is sent, so that both sides know that the other is there.
const SILENCE_MAX: Duration = Duration::from_secs(15);
/// So many pieces wait for who reads slowly, with at most so many events in each.
const PIECES_MAX: usize = 4;
const EVENTS_OF_PIECE_MAX: usize = 32;
/// Whoever found no place may ask again after so many seconds.
const FULL_RETRY_SECONDS: u64 = 30;

/// The route.
pub fn routes<S: Clone + Send + Sync + 'static>(control: Control) -> Router<S> {
    Router::new().route("/transcript", get(transcript)).with_state(control)
}

async fn transcript(
    State(control): State<Control>,
    asked: Result<Query<TranscriptQuery>, QueryRejection>,
) -> Result<Response, Refusal> {
    let Query(asked) = asked.map_err(|rejection| refuse(StatusCode::BAD_REQUEST, rejection.body_text()))?;
    let wanted = wanted(asked, &control.settings())?;
    let Some(listening) = control.listen_to_transcripts(wanted) else {
        let error = format!("{LISTENERS_MAX} listen to live transcripts already: close one of them");
        return Err(Refusal::later(StatusCode::SERVICE_UNAVAILABLE, error, FULL_RETRY_SECONDS));
    };
    let (sender, pieces) = mpsc::channel(PIECES_MAX);
    tokio::spawn(hand_on(listening, sender));
    Ok(feed(pieces))
}

/// What is asked for, if there can be such connections.
fn wanted(asked: TranscriptQuery, settings: &Settings) -> Result<Wanted, Refusal> {
    let given = |text: Option<String>| text.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    let (connector, peer) = (given(asked.connector), given(asked.peer));
    if connector.is_none() && peer.is_none() {
        let error = "say whom to listen to: connector=Relay, peer=192.168.2.55 or peer=192.168.2.0/24, or both";
        return Err(refuse(StatusCode::BAD_REQUEST, error));
    }
    let peer = peer.as_deref().map(peer_range).transpose().map_err(|error| refuse(StatusCode::BAD_REQUEST, error))?;
    // Exchange shows connectors as SERVER\Name.
    let connector = connector.map(|name| name.rsplit('\\').next().unwrap_or_default().to_owned());
    if let Some(name) = &connector {
        let receive = settings.receive_connectors.iter().map(|connector| &connector.name);
        let mut names = receive.chain(settings.send_connectors.iter().map(|connector| &connector.name));
        if !names.any(|known| known.eq_ignore_ascii_case(name)) {
            let shown: String = name.chars().take(80).collect();
            let error = format!("there is no receive or send connector `{}`", shown.escape_debug());
            return Err(refuse(StatusCode::NOT_FOUND, error));
        }
    }
    Ok(Wanted { connector, peer })
}

async fn hand_on(mut listening: Listening, sender: mpsc::Sender<Bytes>) {
    // When a browser is to come again after its connection has ended: soon, for what is said meanwhile is lost.
    let mut piece = String::from("retry: 250\n\n");
    loop {
        // While this waits for who reads slowly, lines wait in the listener's own room, and are left out beyond that.
        if sender.send(Bytes::from(std::mem::take(&mut piece))).await.is_err() {
            return;
        }
        tokio::select! {
            heard = listening.hear() => push(&mut piece, &heard),
            () = tokio::time::sleep(SILENCE_MAX) => piece.push_str(":\n\n"),
            () = sender.closed() => return,
        }
        for heard in std::iter::from_fn(|| listening.hear_now()).take(EVENTS_OF_PIECE_MAX - 1) {
            push(&mut piece, &heard);
        }
    }
}

fn push(piece: &mut String, heard: &Heard) {
    let (kind, data) = match heard {
        Heard::Line(line) => ("line", serde_json::to_string(&TranscriptLine::from(&**line))),
        Heard::Missed(lines) => ("missed", serde_json::to_string(&TranscriptMissed { lines: *lines })),
    };
    let data = data.expect("our own types have string keys only");
    piece.push_str(&format!("event: {kind}\ndata: {data}\n\n"));
}
