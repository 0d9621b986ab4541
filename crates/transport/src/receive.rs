//! Steps 2 and 3 of 9 - select connector and session: one peer's connection from the first byte to the last.
//!
//! Takes an accepted socket, asks `policy::receive_connector::select` which connector it met, and drives the dialogue
//! engine: bytes in, replies out, each question to [`answer`]. Decides nothing itself. A read buffer is borrowed only
//! while there is something to read, so that an idle connection costs little.

mod answer;
mod accept;
mod judge;
mod permit;
mod record;
mod visit;
mod incoming;
mod buffers;

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use gatepost_mail::Reply;
use gatepost_policy::limits;
use gatepost_policy::receive_connector::select;
use gatepost_smtp::{Output, Question, Session};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;

use crate::clock::{self, now_ms};
use crate::live_transcript::Direction;
use crate::net::Socket;
use crate::state::{Running, count};
use crate::transcript::Connection;
use visit::Visit;

/// Limit for a TLS handshake and for one write to a peer that does not read, where the connector has no shorter one.
const HANDSHAKE_MAX: Duration = Duration::from_secs(60);
/// Limit for the last write to a peer.
const FAREWELL_MAX: Duration = Duration::from_secs(10);
/// Gathered replies are written out at the latest when they have grown to this many bytes: those to 300 recipients, and
/// what a peer that sends and never reads makes us hold.
const REPLIES_BYTES_MAX: usize = 8 << 10;

/// After so many steps of the dialogue it is others' turn: a peer that says a thousand commands at once is not to keep those
/// waiting who say one.
const STEPS_PER_TURN: u32 = 64;

const SHUTTING_DOWN: Reply = Reply::new(421, (4, 3, 2), "Service not available, closing transmission channel");

/// How a stretch of dialogue ended.
enum End {
    /// The connection is over.
    Closed,
    /// The peer wants TLS now.
    StartTls,
}

/// Serves one connection. Errors of the network end it; they are the peer's business and only worth a debug line.
pub async fn serve(running: Arc<Running>, socket: Socket, peer: SocketAddr, implicit_tls: bool) {
    count(&running.counters.connections);
    let Ok(local) = socket.local_addr() else { return };
    let (peer, local) = (canonical(peer), canonical(local));
    let revision = running.revision();
    let Some(connector) = select(&revision.settings.selector, local, peer.ip(), now_ms()).cloned() else {
        // Fact sheet section 1.8: nobody answers for this peer, so nothing is said.
        count(&running.counters.connections_refused);
        count(&running.counters.connections_unheard);
        let decision = record::record_unheard(&running, &revision, peer, local).map(tracing::field::display);
        tracing::info!(%peer, %local, decision, verdict = "refused", "no receive connector for this peer");
        return;
    };
    let place = running.connections.enter(&connector.name, peer.ip(), |open| {
        limits::server_connections(running.connections_max, open.server)?;
        limits::connections(&connector, open.connector, open.source)
    });
    let refusal = place.as_ref().err().copied();
    let _place = place.ok();
    socket.set_nodelay();

    let counted = running.counters.receive.of(&connector.name);
    count(&counted.connections);
    counted.last_connection_ms.store(now_ms(), Ordering::Relaxed);
    let mut stop = running.stop.subscribe();
    let transcript = running.transcripts.begin(
        connector.protocol_logging_level,
        &Connection {
            direction: Direction::Receive,
            server: revision.settings.server.name.as_str(),
            connector: &connector.name,
            local,
            remote: peer,
        },
    );
    let mut session = Session::new(clock::now());
    let mut visit = Visit::new(running.clone(), revision, connector, (peer, local), refusal, counted, transcript);
    if implicit_tls && refusal.is_some() {
        // Nothing can be said before a handshake, which is too dear for a peer that is one too many.
        visit.answer(Question::Connect).await;
        return;
    }
    let result = async {
        let mut socket = socket;
        if !implicit_tls {
            match converse(&mut socket, &mut session, &mut visit, &mut stop).await? {
                End::Closed => return Ok(()),
                End::StartTls => {}
            }
        }
        // Most connections never come here: what TLS needs lies on the heap, not in the state that each of them keeps.
        Box::pin(converse_encrypted(socket, &mut session, &mut visit, &mut stop, implicit_tls)).await
    };
    if let Err(error) = result.await {
        visit.ended_by(&error);
    }
}

/// The handshake, and what is said behind it.
async fn converse_encrypted(
    socket: Socket,
    session: &mut Session,
    visit: &mut Visit,
    stop: &mut watch::Receiver<bool>,
    implicit_tls: bool,
) -> io::Result<()> {
    let patience = patience(session).min(visit.connector.connection_inactivity_timeout);
    let handshake = Box::pin(tokio::time::timeout(patience, visit.revision.tls.accept(&visit.connector, socket)));
    let (mut stream, certificate) = tokio::select! {
        biased;
        handshake = handshake => handshake
            .unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
            .inspect_err(|_| visit.counted.handshakes.failed())?,
        // There is no transaction yet that could end.
        _ = stop.wait_for(|stops| *stops) => return Ok(()),
    };
    visit.tls_started(crate::tls::parameters(stream.get_ref().1), certificate);
    if !implicit_tls {
        session.tls_started(clock::now(), visit.profile());
    }
    converse(&mut stream, session, visit, stop).await?;
    within(FAREWELL_MAX, stream.shutdown()).await
}

/// IPv4-mapped addresses are IPv4 addresses (fact sheet section 1.8).
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Drives the engine over one stream until it closes or asks for TLS.
async fn converse<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    session: &mut Session,
    visit: &mut Visit,
    stop: &mut watch::Receiver<bool>,
) -> io::Result<End> {
    let mut replies: Vec<u8> = Vec::new();
    let mut input = buffers::Filled::empty();
    let mut steps = 0;
    loop {
        steps += 1;
        if steps > STEPS_PER_TURN {
            steps = 0;
            tokio::task::yield_now().await;
        }
        let now = clock::now();
        let (used, output) = session.receive(now, input.rest());
        let mut wants_input = false;
        let mut end = None;
        let mut tarpit = None;
        match output {
            Output::Send(bytes) => {
                tarpit = visit.tarpit(bytes).map(|interval| (replies.len(), interval));
                if tarpit.is_none() {
                    visit.said(bytes);
                }
                replies.extend_from_slice(bytes);
            }
            Output::Ask(question) => {
                let answer = visit.answer(question).await;
                session.answer(clock::now(), answer);
            }
            Output::Content(bytes) => visit.content(bytes),
            Output::Line(line) => visit.heard(line),
            Output::Reset => visit.reset(),
            Output::StartTls => end = Some(End::StartTls),
            Output::NeedInput => wants_input = true,
            Output::Close => end = Some(End::Closed),
        }
        input.advance(used);
        if let Some((said_before, interval)) = tarpit {
            let held_back = replies.split_off(said_before);
            write(stream, &mut replies, patience(session)).await?;
            replies = held_back;
            input.shrink();
            wait_in_tarpit(interval, session, stop).await;
            visit.said(&replies);
        }
        if wants_input || end.is_some() || replies.len() >= REPLIES_BYTES_MAX {
            let patience = if matches!(end, Some(End::Closed)) { FAREWELL_MAX } else { patience(session) };
            write(stream, &mut replies, patience).await?;
        }
        if let Some(end) = end {
            return Ok(end);
        }
        if !wants_input {
            continue;
        }
        // Nothing is kept while we wait: buffers go back to the pool, so an idle connection has none.
        input = buffers::Filled::empty();
        if replies.capacity() > 0 && !session.in_transaction() {
            replies = Vec::new();
        }
        if *stop.borrow() && !session.in_transaction() {
            session.close(clock::now(), SHUTTING_DOWN);
            continue;
        }
        let deadline = session.deadline().unwrap_or_else(|| clock::now() + HANDSHAKE_MAX);
        tokio::select! {
            biased;
            read = read(stream) => match read? {
                Some(filled) => input = filled,
                None => {
                    visit.end.get_or_insert_with(|| "the peer closed the connection".into());
                    return Ok(End::Closed);
                }
            },
            () = tokio::time::sleep_until(deadline.into()) => session.timeout(clock::now()),
            // A stop that comes in the middle of a transaction is looked at again when that has ended.
            changed = stop.changed(), if !session.in_transaction() => if changed.is_err() { return Ok(End::Closed) },
        }
    }
}

/// Waits before a reply, not beyond the end of the session or of the service.
async fn wait_in_tarpit(interval: Duration, session: &mut Session, stop: &mut watch::Receiver<bool>) {
    let until = clock::now() + interval;
    let until = session.end_of_time().map_or(until, |end| end.min(until));
    tokio::select! {
        biased;
        () = tokio::time::sleep_until(until.into()) => {}
        _ = stop.wait_for(|stops| *stops) => {}
    }
    session.held_back(clock::now());
}

/// Reads what is there, into a pooled buffer that is held only once bytes have come. `None` at the end of the stream.
async fn read<S: AsyncRead + Unpin>(stream: &mut S) -> io::Result<Option<buffers::Filled>> {
    poll_fn(|context| {
        let mut buffer = buffers::take();
        let mut space = ReadBuf::new(&mut buffer);
        match Pin::new(&mut *stream).poll_read(context, &mut space) {
            Poll::Pending => {
                buffers::give_back(buffer);
                Poll::Pending
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Ready(Ok(())) => {
                let length = space.filled().len();
                let filled = buffers::Filled::new(buffer, length);
                Poll::Ready(Ok((length > 0).then_some(filled)))
            }
        }
    })
    .await
}

/// How long the peer may take to read what we say, or to do its part of a handshake: no longer than it may be silent.
fn patience(session: &Session) -> Duration {
    let deadline = session.deadline().map(|deadline| deadline.saturating_duration_since(clock::now()));
    deadline.map_or(HANDSHAKE_MAX, |left| left.min(HANDSHAKE_MAX))
}

async fn write<S: AsyncWrite + Unpin>(stream: &mut S, replies: &mut Vec<u8>, patience: Duration) -> io::Result<()> {
    if replies.is_empty() {
        return Ok(());
    }
    let write = async {
        stream.write_all(replies).await?;
        stream.flush().await
    };
    within(patience, write).await?;
    replies.clear();
    Ok(())
}

async fn within<T>(patience: Duration, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(patience, work).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}
