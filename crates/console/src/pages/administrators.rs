//! Who may administer: administrators with their roles, and one's own password and codes.

use askama::Template;
use axum::Router;
use axum::extract::{ConnectInfo, Extension, Path};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use gatepost_manage::ClientError;
use gatepost_manage::access::Visitor;
use gatepost_manage::resource::{AdministratorRequest, AdministratorShown, CurrentSecrets, NewAdministratorRequest};
use gatepost_policy::role::Role;

use crate::cookie;
use crate::fields::{Fields, path_part};
use crate::layout::{Answer, Page, show_as};
use crate::picture::Picture;
use crate::problem::{Problem, refusal};
use crate::text::{ago, moment, now_ms};
use crate::visit::{Console, Sent, Visit};
use crate::wording::{ended, in_words};

/// Where everybody changes what is their own.
const ACCOUNT: &str = "/account";

/// The routes.
pub fn routes() -> Router<Console> {
    Router::new()
        .route("/administrators", get(list).post(add))
        .route("/administrators/of/{name}", get(one).post(set))
        .route("/administrators/of/{name}/remove", post(remove))
        .route(ACCOUNT, get(account).post(set_own))
}

/// A role to choose.
pub struct RoleChoice {
    /// Its name.
    pub name: &'static str,
    /// What it allows.
    pub meaning: &'static str,
    /// Whether it is chosen.
    pub is_chosen: bool,
}

/// All roles; those that `chosen` names are.
pub fn role_choices<'a>(chosen: impl Iterator<Item = &'a str> + Clone) -> Vec<RoleChoice> {
    let choice = |role: Role| RoleChoice {
        name: role.name(),
        meaning: role.meaning(),
        is_chosen: chosen.clone().any(|name| name == role.name()),
    };
    Role::ALL.into_iter().map(choice).collect()
}

#[derive(Template)]
#[template(path = "administrators.html")]
struct List {
    page: Page,
    rows: Vec<Row>,
    problem: Option<String>,
    name: String,
    roles: Vec<RoleChoice>,
}

struct Row {
    href: String,
    name: String,
    roles: String,
    totp: bool,
    created: String,
}

async fn list(visit: Visit) -> Answer {
    show_list(visit, &Fields::default(), None).await
}

async fn show_list(visit: Visit, typed: &Fields, problem: Option<(StatusCode, String)>) -> Answer {
    let found = visit.client.administrators().await?.administrators;
    let now_ms = now_ms();
    let row = |shown: AdministratorShown| Row {
        href: format!("/administrators/of/{}", path_part(&shown.name)),
        roles: shown.roles.join(", "),
        totp: shown.totp,
        created: ago(shown.created_ms, now_ms),
        name: shown.name,
    };
    let (status, problem) = problem.map_or((StatusCode::OK, None), |(status, problem)| (status, Some(problem)));
    let list = List {
        rows: found.into_iter().map(row).collect(),
        problem,
        name: typed.text("name").to_owned(),
        roles: role_choices(typed.all("role").collect::<Vec<_>>().into_iter()),
        page: Page::new(visit, "/administrators", "Administrators"),
    };
    show_as(status, &list)
}

/// Both passwords of a form, if they are the same.
fn password(fields: &Fields) -> Result<String, (StatusCode, String)> {
    match fields.raw("password") == fields.raw("again") {
        true => Ok(fields.raw("password").to_owned()),
        false => {
            Err((StatusCode::UNPROCESSABLE_ENTITY, "The two passwords differ: type the same one twice.".to_owned()))
        }
    }
}

async fn add(Sent { visit, fields }: Sent) -> Answer {
    let password = match password(&fields) {
        Ok(password) => password,
        Err(problem) => return show_list(visit, &fields, Some(problem)).await,
    };
    let roles = fields.all("role").map(str::to_owned).collect();
    let request = NewAdministratorRequest { name: fields.text("name").to_owned(), password, roles };
    match visit.client.add_administrator(&request).await {
        Ok(made) => Ok(visit.done("/administrators", &format!("{} may administer now.", made.name))),
        Err(error) => {
            let problem = said_of(error)?;
            show_list(visit, &fields, Some(problem)).await
        }
    }
}

#[derive(Template)]
#[template(path = "administrator.html")]
struct One {
    page: Page,
    administrator: AdministratorShown,
    action: String,
    problem: Option<String>,
    roles: Vec<RoleChoice>,
    is_self: bool,
    codes: CodesState,
    made: Option<Codes>,
}

/// What an authenticator app takes, until its first code has come.
struct Codes {
    uri: String,
    /// The secret in it, in groups that people can copy by hand.
    secret: String,
    picture: Option<Picture>,
}

impl Codes {
    fn of(uri: String) -> Codes {
        Codes { picture: Picture::of(&uri), secret: in_groups(&uri), uri }
    }

    /// What the form of a first code carries on, for another try.
    fn carried(fields: &Fields) -> Option<Codes> {
        let uri = fields.get("uri").filter(|uri| uri.starts_with("otpauth://totp/"))?;
        Some(Codes::of(uri.to_owned()))
    }
}

/// The secret of an address for an app: apps take it with blanks or without.
fn in_groups(uri: &str) -> String {
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    let secret = Fields::read(query.as_bytes()).text("secret").to_owned();
    let letters: Vec<char> = secret.chars().collect();
    letters.chunks(4).map(|group| group.iter().collect::<String>()).collect::<Vec<_>>().join(" ")
}

/// Whether codes are asked for, in words.
struct CodesState {
    is_on: bool,
    said: String,
}

impl CodesState {
    fn of(is_on: bool, since_ms: Option<u64>) -> CodesState {
        let said = match (is_on, since_ms) {
            (true, Some(since_ms)) => format!("On since {}: a code is asked for at each sign-in.", moment(since_ms)),
            (true, None) => "On: a code is asked for at each sign-in.".to_owned(),
            (false, _) => "Off: the password alone is enough.".to_owned(),
        };
        CodesState { is_on, said }
    }
}

async fn one(visit: Visit, Path(name): Path<String>) -> Answer {
    show_one(visit, &name, None, None).await
}

async fn show_one(visit: Visit, name: &str, problem: Option<(StatusCode, String)>, made: Option<Codes>) -> Answer {
    let found = visit.client.administrators().await?.administrators;
    let found = found.into_iter().find(|shown| shown.name.to_lowercase() == name.to_lowercase());
    let none = || Problem::refused(StatusCode::NOT_FOUND, format!("Nobody called {name} administers."));
    let administrator = found.ok_or_else(none)?;
    let (status, problem) = problem.map_or((StatusCode::OK, None), |(status, problem)| (status, Some(problem)));
    let one = One {
        action: format!("/administrators/of/{}", path_part(&administrator.name)),
        roles: role_choices(administrator.roles.iter().map(String::as_str)),
        is_self: administrator.name.to_lowercase() == visit.name.to_lowercase(),
        codes: CodesState::of(administrator.totp, administrator.totp_since_ms),
        page: Page::new(visit, "/administrators", administrator.name.clone()),
        administrator,
        problem,
        made,
    };
    show_as(status, &one)
}

/// The status and the sentence of a refusal.
fn said_of(error: ClientError) -> Result<(StatusCode, String), Problem> {
    let (status, said) = refusal(error)?;
    Ok((status, ended(in_words(None, &said, None))))
}

/// What one of the buttons asks for, and what is said when it is done.
fn request(fields: &Fields) -> Result<(AdministratorRequest, &'static str), (StatusCode, String)> {
    // Asked for where it is one's own account.
    let current = Some(fields.raw("current"))
        .filter(|password| !password.is_empty())
        .map(|password| CurrentSecrets { password: password.to_owned(), code: fields.get("code").map(str::to_owned) });
    let nothing = AdministratorRequest { current, ..AdministratorRequest::default() };
    Ok(match fields.text("action") {
        "roles" => {
            let roles = Some(fields.all("role").map(str::to_owned).collect());
            (AdministratorRequest { roles, ..nothing }, "The roles were changed.")
        }
        "password" => {
            (AdministratorRequest { password: Some(password(fields)?), ..nothing }, "The password was changed.")
        }
        "totp-new" => (AdministratorRequest { totp: Some(true), ..nothing }, ""),
        "totp-first" => {
            let first = Some(fields.text("first").to_owned());
            (
                AdministratorRequest { totp_code: first, ..AdministratorRequest::default() },
                "Codes are asked for from now on.",
            )
        }
        "totp-off" => (AdministratorRequest { totp: Some(false), ..nothing }, "Codes are no longer asked for."),
        _ => {
            return Err((
                StatusCode::UNPROCESSABLE_ENTITY,
                "Choose what is to be done by one of the buttons.".to_owned(),
            ));
        }
    })
}

/// Goes back to `path` after a change. Where it was one's own password or codes, the browser's session goes on under another
/// secret, and all others have ended.
fn changed(visit: Visit, visitor: Visitor, made: AdministratorShown, path: &str, done: &str) -> Response {
    let Some(session) = made.session else { return visit.done(path, done) };
    let said = format!("{done} All your other sessions have ended.");
    let kept = [(header::SET_COOKIE, cookie::keep_session(Some(&session.secret), visitor))];
    (kept, visit.renewed(&session.secret).done(path, &said)).into_response()
}

async fn set(
    Path(name): Path<String>,
    Extension(ConnectInfo(visitor)): Extension<ConnectInfo<Visitor>>,
    Sent { visit, fields }: Sent,
) -> Answer {
    let (request, done) = match request(&fields) {
        Ok(request) => request,
        Err(problem) => return show_one(visit, &name, Some(problem), None).await,
    };
    match visit.client.set_administrator(&name, &request).await {
        // Shown once, so it is shown by the answer itself.
        Ok(AdministratorShown { totp_uri: Some(uri), .. }) => show_one(visit, &name, None, Some(Codes::of(uri))).await,
        Ok(made) => {
            let path = format!("/administrators/of/{}", path_part(&made.name));
            Ok(changed(visit, visitor, made, &path, done))
        }
        Err(error) => {
            let problem = said_of(error)?;
            show_one(visit, &name, Some(problem), Codes::carried(&fields)).await
        }
    }
}

async fn remove(Path(name): Path<String>, Sent { visit, .. }: Sent) -> Answer {
    match visit.client.remove_administrator(&name).await {
        Ok(gone) => Ok(visit.done("/administrators", &format!("{} may no longer administer.", gone.removed))),
        Err(error) => {
            let problem = said_of(error)?;
            show_one(visit, &name, Some(problem), None).await
        }
    }
}

#[derive(Template)]
#[template(path = "account.html")]
struct Account {
    page: Page,
    problem: Option<String>,
    roles: Vec<RoleChoice>,
    action: &'static str,
    codes: CodesState,
    made: Option<Codes>,
}

async fn account(visit: Visit) -> Answer {
    show_own(visit, None, None).await
}

async fn show_own(visit: Visit, problem: Option<(StatusCode, String)>, made: Option<Codes>) -> Answer {
    let session = visit.client.session().await?;
    let mine: Vec<&str> = visit.roles.iter().map(Role::name).collect();
    let mut roles = role_choices(mine.into_iter());
    roles.retain(|role| role.is_chosen);
    let (status, problem) = problem.map_or((StatusCode::OK, None), |(status, problem)| (status, Some(problem)));
    let own = Account {
        roles,
        problem,
        action: ACCOUNT,
        codes: CodesState::of(session.totp == Some(true), session.totp_since_ms),
        made,
        page: Page::new(visit, "", "Your account"),
    };
    show_as(status, &own)
}

async fn set_own(
    Extension(ConnectInfo(visitor)): Extension<ConnectInfo<Visitor>>,
    Sent { visit, fields }: Sent,
) -> Answer {
    // Roles are nobody's own business.
    let (request, done) = match request(&fields) {
        Ok((request, done)) if request.roles.is_none() => (request, done),
        Ok(_) => return Err(Problem::refused(StatusCode::FORBIDDEN, "Roles are changed under Administrators.")),
        Err(problem) => return show_own(visit, Some(problem), None).await,
    };
    match visit.client.set_administrator(&visit.name, &request).await {
        Ok(AdministratorShown { totp_uri: Some(uri), .. }) => show_own(visit, None, Some(Codes::of(uri))).await,
        Ok(made) => Ok(changed(visit, visitor, made, ACCOUNT, done)),
        Err(error) => {
            let problem = said_of(error)?;
            show_own(visit, Some(problem), Codes::carried(&fields)).await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_out_of_its_address_for_people_who_type() {
        let uri = "otpauth://totp/mail.contoso.com:carol?secret=GEZDGNBVGY3TQOJQGE&issuer=mail.contoso.com";
        assert_eq!(in_groups(uri), "GEZD GNBV GY3T QOJQ GE");
        assert_eq!(in_groups("otpauth://totp/x"), "");
    }
}
