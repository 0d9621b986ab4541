//! Signing in and out, the first visit, light and dark.

use askama::Template;
use axum::Router;
use axum::body::Bytes;
use axum::extract::{ConnectInfo, Extension, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use gatepost_manage::ClientError;
use gatepost_manage::access::Visitor;
use gatepost_manage::resource::{SessionRequest, SetupRequest};

use crate::assets;
use crate::cookie::{self, Theme};
use crate::fields::{Fields, place};
use crate::layout::{Answer, show_as};
use crate::visit::{Console, Sent};

/// The routes.
pub fn routes() -> Router<Console> {
    Router::new()
        .route("/sign-in", get(ask).post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/first-visit", get(ask_for_token).post(set_up))
        .route("/theme", post(theme))
}

#[derive(Template)]
#[template(path = "sign_in.html")]
struct SignIn<'a> {
    assets: &'a str,
    theme: &'static str,
    name: &'a str,
    then: &'a str,
    problem: Option<String>,
    has_code: bool,
}

#[derive(Template)]
#[template(path = "first_visit.html")]
struct FirstVisit<'a> {
    assets: &'a str,
    theme: &'static str,
    token: &'a str,
    name: &'a str,
    problem: Option<String>,
}

async fn ask(uri: Uri, headers: HeaderMap) -> Answer {
    let query = Fields::read(uri.query().unwrap_or_default().as_bytes());
    let page = SignIn {
        assets: &assets::VERSION,
        theme: Theme::of(&headers).name(),
        name: "",
        then: place(query.text("then")),
        problem: None,
        has_code: false,
    };
    show_as(StatusCode::OK, &page)
}

async fn sign_in(
    State(console): State<Console>,
    Extension(ConnectInfo(visitor)): Extension<ConnectInfo<Visitor>>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let fields = Fields::read(&body);
    let request = SessionRequest {
        name: fields.text("name").to_owned(),
        password: fields.raw("password").to_owned(),
        code: fields.get("code").map(str::to_owned),
    };
    let then = place(fields.text("then"));
    match console.client_of_stranger(visitor, &headers).begin_session(&request).await {
        Ok(begun) => Ok(begin(&begun.secret, visitor, then)),
        Err(error) => {
            let (status, problem) = match refused(&error) {
                // The API's words are for programs with tokens, too.
                (StatusCode::UNAUTHORIZED, _) => {
                    (StatusCode::UNAUTHORIZED, "Name, password or code is wrong.".to_owned())
                }
                refused => refused,
            };
            let page = SignIn {
                assets: &assets::VERSION,
                theme: Theme::of(&headers).name(),
                name: &request.name,
                then,
                problem: Some(problem),
                has_code: request.code.is_some(),
            };
            show_as(status, &page)
        }
    }
}

fn begin(secret: &str, visitor: Visitor, then: &str) -> Response {
    ([(header::SET_COOKIE, cookie::keep_session(Some(secret), visitor))], Redirect::to(then)).into_response()
}

fn refused(error: &ClientError) -> (StatusCode, String) {
    let status = match error {
        ClientError::Refused { status, .. } => StatusCode::from_u16(*status).unwrap_or(StatusCode::BAD_GATEWAY),
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, error.to_string())
}

async fn sign_out(
    Extension(ConnectInfo(visitor)): Extension<ConnectInfo<Visitor>>,
    Sent { visit, .. }: Sent,
) -> Response {
    // A session that has ended meanwhile is what was asked for.
    let _ = visit.client.end_session().await;
    ([(header::SET_COOKIE, cookie::keep_session(None, visitor))], Redirect::to("/sign-in")).into_response()
}

async fn ask_for_token(headers: HeaderMap) -> Answer {
    let page =
        FirstVisit { assets: &assets::VERSION, theme: Theme::of(&headers).name(), token: "", name: "", problem: None };
    show_as(StatusCode::OK, &page)
}

async fn set_up(
    State(console): State<Console>,
    Extension(ConnectInfo(visitor)): Extension<ConnectInfo<Visitor>>,
    headers: HeaderMap,
    body: Bytes,
) -> Answer {
    let fields = Fields::read(&body);
    let (token, name, password) = (fields.text("token"), fields.text("name"), fields.raw("password"));
    let answer = |status, problem| {
        let theme = Theme::of(&headers).name();
        show_as(status, &FirstVisit { assets: &assets::VERSION, theme, token, name, problem: Some(problem) })
    };
    if password != fields.raw("again") {
        return answer(StatusCode::UNPROCESSABLE_ENTITY, "The two passwords differ.".to_owned());
    }
    let client = console.client_of_stranger(visitor, &headers);
    let request = SetupRequest { token: token.to_owned(), name: name.to_owned(), password: password.to_owned() };
    if let Err(error) = client.set_up(&request).await {
        let (status, problem) = refused(&error);
        return answer(status, problem);
    }
    let request = SessionRequest { name: name.to_owned(), password: password.to_owned(), code: None };
    match client.begin_session(&request).await {
        Ok(begun) => Ok(begin(&begun.secret, visitor, "/")),
        Err(_) => Ok(Redirect::to("/sign-in").into_response()),
    }
}

async fn theme(Sent { fields, .. }: Sent) -> Response {
    let theme = Theme::parse(fields.text("theme"));
    ([(header::SET_COOKIE, theme.keep())], Redirect::to(place(fields.text("then")))).into_response()
}
