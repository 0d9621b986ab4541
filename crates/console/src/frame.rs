//! What stands around the pages: what a form needs is asked before it is read, and who is signed in sees what is refused in the
//! frame of all pages, with the navigation.
//!
//! Takes every request and its answer; changes no answer but a refusal.

use askama::Template;
use axum::body::to_bytes;
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::{Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::layout::{Page, show_as};
use crate::problem::{Problem, Refusal};
use crate::visit::{Console, Visit};

/// Longest refusal that is not ours, in bytes.
const FOREIGN_REFUSAL_BYTES_MAX: usize = 4 * 1024;

#[derive(Template)]
#[template(path = "refused.html")]
struct Refused {
    page: Page,
    refusal: Refusal,
}

/// Asks what a form needs, lets the request through, and puts a refusal into the frame.
pub async fn pass(State(console): State<Console>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    let route = parts.extensions.get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let needed = route.and_then(|route| match parts.method {
        Method::POST => console.forms().to_send(&route),
        _ => console.forms().to_see(&route),
    });
    if let Some(needed) = needed {
        let allowed = Visit::from_request_parts(&mut parts, &console).await;
        match allowed.and_then(|visit| visit.need(needed).map(|()| visit)) {
            // Found once is found: whoever handles the request need not ask again.
            Ok(visit) => drop(parts.extensions.insert(visit)),
            Err(problem) => return framed(&mut parts, &console, problem.into_response()).await,
        }
    }
    let mut asked = parts.clone();
    let response = next.run(Request::from_parts(parts, body)).await;
    framed(&mut asked, &console, response).await
}

/// The same answer, in the frame of a page if it is a refusal to somebody who is signed in and looks at pages.
async fn framed(asked: &mut axum::http::request::Parts, console: &Console, response: Response) -> Response {
    let status = response.status();
    let is_refusal = status.is_client_error() || status.is_server_error();
    let is_of_script = asked.headers.contains_key("hx-request") || asked.uri.path().starts_with("/assets/");
    if !is_refusal || is_of_script {
        return response;
    }
    let (head, body) = response.into_parts();
    let refusal = match head.extensions.get::<Refusal>() {
        Some(refusal) => refusal.clone(),
        // A page that says itself what is wrong.
        None if head
            .headers
            .get(header::CONTENT_TYPE)
            .is_some_and(|kind| kind.as_bytes().starts_with(b"text/html")) =>
        {
            return Response::from_parts(head, body);
        }
        None => {
            let text = to_bytes(body, FOREIGN_REFUSAL_BYTES_MAX).await.unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            return match Visit::from_request_parts(asked, console).await {
                Ok(visit) => in_frame(visit, Refusal::of(status, foreign(status, &text))),
                Err(_) => Problem::refused(status, foreign(status, &text)).into_response(),
            };
        }
    };
    match Visit::from_request_parts(asked, console).await {
        Ok(visit) => in_frame(visit, refusal),
        Err(_) => Response::from_parts(head, body),
    }
}

/// What a library refuses, before a handler of ours is asked, in words for people.
fn foreign(status: StatusCode, text: &str) -> String {
    match status {
        StatusCode::METHOD_NOT_ALLOWED => {
            "this address takes no such request: go to its page by a link, and send the form there".to_owned()
        }
        StatusCode::PAYLOAD_TOO_LARGE => "what was sent is larger than this page takes".to_owned(),
        status if text.trim().is_empty() => status.canonical_reason().unwrap_or("refused").to_owned(),
        _ => text.trim().to_owned(),
    }
}

fn in_frame(visit: Visit, refusal: Refusal) -> Response {
    let status = refusal.status;
    let area = Page::area_of(visit.uri.path());
    let page = Page::new(visit, area, refusal.title());
    show_as(status, &Refused { page, refusal }).unwrap_or_else(IntoResponse::into_response)
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use axum::{Extension, Json, Router, middleware};
    use gatepost_manage::access::AskedBy;
    use gatepost_manage::resource::SessionShown;
    use gatepost_policy::role::Role;
    use tower::ServiceExt;

    use super::*;
    use crate::forms::{Form, Forms};
    use crate::visit::Sent;

    /// Pages for a visitor of this role.
    fn pages(role: &'static str) -> Router {
        let session = move |asked_by: Option<Extension<AskedBy>>| async move {
            Json(SessionShown {
                // So that a test sees who has asked.
                name: format!("{:?}", asked_by.unwrap_or_default().0),
                roles: vec![role.to_owned()],
                commands: Vec::new(),
                server: "mail.contoso.com".to_owned(),
                totp: None,
                totp_since_ms: None,
            })
        };
        let api = Router::new().route("/api/v1/session", get(session));
        let forms = [
            Form::needing("/settings", Role::TransportAdmin),
            Form::needing("/settings/new", Role::TransportAdmin).whole_page(),
        ];
        let console = Console::new(api, Forms::of(forms));
        let page = || get(async |visit: Visit| visit.name.to_string()).post(async |_: Sent| "taken");
        Router::new()
            .route("/settings", page())
            .route("/settings/new", page())
            .route("/broken", get(async || StatusCode::SERVICE_UNAVAILABLE))
            .layer(middleware::from_fn_with_state(console.clone(), pass))
            .with_state(console)
    }

    async fn ask(role: &'static str, method: &str, path: &str, fields: &[(&str, &str)]) -> (StatusCode, String) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::from("text=x")).expect("a request");
        let Ok(response) = pages(role).oneshot(request).await;
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.expect("in memory");
        (status, String::from_utf8_lossy(&body).into_owned())
    }

    const SIGNED_IN: (&str, &str) = ("cookie", "gatepost=gps_0");

    #[tokio::test]
    async fn a_form_is_refused_before_it_is_read_and_a_page_that_is_nothing_but_a_form_too() {
        for (role, method, path, status, said) in [
            ("View", "GET", "/settings", StatusCode::OK, "Somebody"),
            ("View", "POST", "/settings", StatusCode::FORBIDDEN, "TransportAdmin"),
            ("View", "GET", "/settings/new", StatusCode::FORBIDDEN, "TransportAdmin"),
            ("TransportAdmin", "GET", "/settings/new", StatusCode::OK, "Somebody"),
            // It is read, and has no proof that it is ours.
            ("TransportAdmin", "POST", "/settings", StatusCode::FORBIDDEN, "another site"),
        ] {
            let (answered, text) = ask(role, method, path, &[SIGNED_IN]).await;
            assert_eq!(answered, status, "{role} {method} {path}: {text}");
            assert!(text.contains(said), "{role} {method} {path}: {text}");
        }
    }

    #[tokio::test]
    async fn whoever_is_signed_in_sees_refusals_in_the_frame_and_a_script_and_a_stranger_do_not() {
        for (method, path, fields, status, has_frame) in [
            ("POST", "/settings", &[SIGNED_IN][..], StatusCode::FORBIDDEN, true),
            ("DELETE", "/settings", &[SIGNED_IN], StatusCode::METHOD_NOT_ALLOWED, true),
            ("GET", "/broken", &[SIGNED_IN], StatusCode::SERVICE_UNAVAILABLE, true),
            ("GET", "/broken", &[], StatusCode::SERVICE_UNAVAILABLE, false),
            ("GET", "/broken", &[SIGNED_IN, ("hx-request", "true")], StatusCode::SERVICE_UNAVAILABLE, false),
        ] {
            let (answered, text) = ask("View", method, path, fields).await;
            assert_eq!(answered, status, "{method} {path}: {text}");
            assert_eq!(text.contains("<nav"), has_frame, "{method} {path} {fields:?}: {text}");
            let is_current = text.contains("href=\"/settings\" aria-current");
            assert_eq!(is_current, has_frame && path == "/settings", "{text}");
        }
    }

    #[tokio::test]
    async fn what_a_page_asks_for_by_itself_is_marked() {
        for (path, fields, expected) in [
            ("/settings", &[SIGNED_IN][..], "Somebody"),
            ("/settings", &[SIGNED_IN, ("accept", "text/event-stream")], "OpenPage"),
            ("/settings", &[SIGNED_IN, ("hx-request", "true"), ("gatepost-unasked", "1")], "OpenPage"),
            ("/settings", &[SIGNED_IN, ("hx-request", "true")], "Somebody"),
            // Without scripts.
            ("/settings?unasked=1", &[SIGNED_IN], "OpenPage"),
        ] {
            assert_eq!(
                ask("View", "GET", path, fields).await,
                (StatusCode::OK, expected.to_owned()),
                "{path} {fields:?}"
            );
        }
    }
}
