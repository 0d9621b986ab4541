//! Requests that may come twice: a client that got no answer sends the same again with the same `Idempotency-Key`, and gets
//! the answer of the first time instead of a second act.
//!
//! Takes requests that passed the gate, hands on what was answered before, or passes them on and remembers. Keys belong to
//! who sent them. In memory, bounded in number, size and time; a restart forgets them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use aws_lc_rs::digest::{SHA256, digest};
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::access::{Actor, Source};
use crate::clock::now_ms;
use crate::command_api::REQUEST_BYTES_MAX;
use crate::gate::Noted;
use crate::refusal::refuse;

/// The field.
const FIELD: &str = "idempotency-key";
/// Longest key, in bytes.
const KEY_BYTES_MAX: usize = 255;
/// An answer is remembered so long.
const REMEMBERED_MS: u64 = 24 * 60 * 60 * 1_000;
/// At most so many answers; for one more the oldest is forgotten.
const ANSWERS_MAX: usize = 1_000;
/// All bodies together have at most so many bytes.
const BYTES_MAX: usize = 32 * 1024 * 1024;
/// A larger answer is not remembered: it is to something that reads.
const ANSWER_BYTES_MAX: usize = 1024 * 1024;

/// What was answered to which key.
#[derive(Clone, Default)]
pub struct Memory(Arc<Mutex<Answers>>);

#[derive(Default)]
struct Answers {
    /// By who asked, and their key.
    by_key: HashMap<(String, String), Known>,
    bytes: usize,
}

struct Known {
    asked_ms: u64,
    /// Of method, path and body: the same key for something else is a mistake.
    fingerprint: [u8; 32],
    /// `None` while it is being done.
    answer: Option<Remembered>,
}

#[derive(Clone)]
struct Remembered {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

/// What is to be done with a request.
enum Found {
    New,
    Known(Remembered),
    InHand,
    Other,
}

impl Answers {
    /// Begins a request, or says what became of it before.
    fn begin(&mut self, key: &(String, String), fingerprint: [u8; 32], now_ms: u64) -> Found {
        let is_over = |known: &Known| now_ms.saturating_sub(known.asked_ms) >= REMEMBERED_MS;
        if let Some(known) = self.by_key.get(key).filter(|known| !is_over(known)) {
            return match &known.answer {
                _ if known.fingerprint != fingerprint => Found::Other,
                Some(answer) => Found::Known(answer.clone()),
                None => Found::InHand,
            };
        }
        self.forget(key);
        if self.by_key.len() >= ANSWERS_MAX {
            self.forget_oldest();
        }
        self.by_key.insert(key.clone(), Known { asked_ms: now_ms, fingerprint, answer: None });
        Found::New
    }

    fn end(&mut self, key: &(String, String), answer: Remembered) {
        let size = answer.body.len();
        while self.bytes + size > BYTES_MAX && self.forget_oldest() {}
        if let Some(known) = self.by_key.get_mut(key) {
            known.answer = Some(answer);
            self.bytes += size;
        }
    }

    fn forget(&mut self, key: &(String, String)) {
        if let Some(known) = self.by_key.remove(key) {
            self.bytes -= known.answer.map_or(0, |answer| answer.body.len());
        }
    }

    /// Forgets the oldest answer; what is being done is not forgotten. Says whether there was one.
    fn forget_oldest(&mut self) -> bool {
        let answered = self.by_key.iter().filter(|(_, known)| known.answer.is_some());
        let oldest = answered.min_by_key(|(_, known)| known.asked_ms).map(|(key, _)| key.clone());
        oldest.inspect(|oldest| self.forget(oldest)).is_some()
    }
}

/// Forgets a request that came to no answer: it may be tried again.
struct InHand {
    memory: Memory,
    key: (String, String),
}

impl Drop for InHand {
    fn drop(&mut self) {
        let mut answers = self.memory.lock();
        if answers.by_key.get(&self.key).is_some_and(|known| known.answer.is_none()) {
            answers.forget(&self.key);
        }
    }
}

impl Memory {
    fn lock(&self) -> MutexGuard<'_, Answers> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Passes a request on, unless it was answered before.
pub async fn once(State(memory): State<Memory>, actor: Actor, request: Request, next: Next) -> Response {
    // Strangers have no memory here: they would push out what others were answered.
    let is_known = !matches!(actor.source, Source::Nobody { .. });
    let changes = is_known && !matches!(*request.method(), Method::GET | Method::HEAD);
    let Some(field) = request.headers().get(FIELD).filter(|_| changes) else { return next.run(request).await };
    let bad = |status, error: &str| {
        let nothing = axum::Extension(Noted { is_nothing: true, ..Noted::default() });
        (nothing, refuse(status, error)).into_response()
    };
    let key = field.to_str().unwrap_or_default().to_owned();
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        return bad(StatusCode::BAD_REQUEST, "an Idempotency-Key has 1 to 255 visible ASCII characters");
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, REQUEST_BYTES_MAX).await else {
        return bad(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large, or the connection broke");
    };
    let asked = [parts.method.as_str().as_bytes(), b" ", parts.uri.to_string().as_bytes(), b"\n", &body].concat();
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest(&SHA256, &asked).as_ref());
    // Not by name alone: an administrator may be called what a token is called.
    let key = (format!("{:?} {}", actor.source, actor.name), key);
    let found = memory.lock().begin(&key, fingerprint, now_ms());
    match found {
        Found::Known(answer) => {
            let nothing = Noted { is_nothing: true, ..Noted::default() };
            let mut response = (answer.status, axum::Extension(nothing), Body::from(answer.body)).into_response();
            *response.headers_mut() = answer.headers;
            response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
            return response;
        }
        Found::InHand => return bad(StatusCode::CONFLICT, "the same request is being done: ask again for its answer"),
        Found::Other => {
            let error = "this Idempotency-Key was sent with another request: use a new one for each";
            return bad(StatusCode::UNPROCESSABLE_ENTITY, error);
        }
        Found::New => {}
    }
    let in_hand = InHand { memory: memory.clone(), key: key.clone() };
    let response = next.run(Request::from_parts(parts, Body::from(body))).await;
    // What has failed by a fault of ours, or was too much for now, may go better the next time.
    if response.status().is_server_error() || response.status() == StatusCode::TOO_MANY_REQUESTS {
        return response;
    }
    let (mut parts, body) = response.into_parts();
    let Ok(body) = to_bytes(body, ANSWER_BYTES_MAX).await else {
        return bad(
            StatusCode::INTERNAL_SERVER_ERROR,
            "it was done, and its answer is too large for an Idempotency-Key",
        );
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    let answer = Remembered { status: parts.status, headers: parts.headers.clone(), body: body.clone() };
    memory.lock().end(&key, answer);
    drop(in_hand);
    Response::from_parts(parts, Body::from(body))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> (String, String) {
        ("carol".to_owned(), name.to_owned())
    }

    fn answer(bytes: usize) -> Remembered {
        Remembered { status: StatusCode::OK, headers: HeaderMap::new(), body: Bytes::from(vec![b'x'; bytes]) }
    }

    #[test]
    fn the_same_request_is_done_once_a_day_and_another_under_its_key_is_a_mistake() {
        let mut answers = Answers::default();
        assert!(matches!(answers.begin(&key("a"), [1; 32], 0), Found::New));
        assert!(matches!(answers.begin(&key("a"), [1; 32], 1), Found::InHand));
        answers.end(&key("a"), answer(5));
        assert!(matches!(answers.begin(&key("a"), [1; 32], 2), Found::Known(known) if known.body.len() == 5));
        assert!(matches!(answers.begin(&key("a"), [2; 32], 2), Found::Other));
        let of_dave = ("dave".to_owned(), "a".to_owned());
        assert!(matches!(answers.begin(&of_dave, [2; 32], 2), Found::New), "keys belong to who sent them");
        assert!(matches!(answers.begin(&key("a"), [1; 32], REMEMBERED_MS), Found::New));
        assert_eq!(answers.bytes, 0);
    }

    #[test]
    fn what_came_to_no_answer_may_be_tried_again() {
        let memory = Memory::default();
        assert!(matches!(memory.lock().begin(&key("a"), [1; 32], 0), Found::New));
        drop(InHand { memory: memory.clone(), key: key("a") });
        assert!(matches!(memory.lock().begin(&key("a"), [1; 32], 1), Found::New));
    }

    #[test]
    fn its_memory_is_bounded_and_forgets_the_oldest_answers() {
        let mut answers = Answers::default();
        for number in 0..3 * ANSWERS_MAX {
            let key = key(&number.to_string());
            assert!(matches!(answers.begin(&key, [0; 32], number as u64), Found::New));
            answers.end(&key, answer(100 * 1024));
        }
        assert!(answers.by_key.len() <= ANSWERS_MAX && answers.bytes <= BYTES_MAX, "{}", answers.bytes);
        let newest = key(&(3 * ANSWERS_MAX - 1).to_string());
        assert!(matches!(answers.begin(&newest, [0; 32], 9_999), Found::Known(_)));
    }
}
