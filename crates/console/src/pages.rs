//! The pages. One file each; `routes` is the list.

mod acts;
mod explain;
mod device;
mod exposure;
mod guide;
mod live;
mod objects;
mod overview;
mod queues;
mod receive_connectors;
mod refusals;
mod revisions;
mod settings;
mod tokens;
mod trace;
mod transcript;
mod administrators;

use axum::Router;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Redirect};
use gatepost_policy::role::Role;

use crate::fields::place;
use crate::forms::{Form, Forms};
use crate::layout::Answer;
use crate::problem::Problem;
use crate::visit::{Console, Visit};

/// All of them.
pub fn routes() -> Router<Console> {
    Router::new()
        .merge(overview::routes())
        .merge(device::routes())
        .merge(receive_connectors::routes())
        .merge(exposure::routes())
        .merge(refusals::routes())
        .merge(explain::routes())
        .merge(transcript::routes())
        .merge(trace::routes())
        .merge(queues::routes())
        .merge(objects::routes())
        .merge(settings::routes())
        .merge(revisions::routes())
        .merge(administrators::routes())
        .merge(tokens::routes())
        .merge(acts::routes())
        .merge(guide::routes())
        .merge(live::routes())
}

/// What each form needs. What everybody does for themselves is not among them.
pub fn forms() -> Forms {
    let running = |route: &str, command: &str| Form::running(route, command);
    let forms = [
        running("/device", "New-ReceiveConnector").whole_page(),
        running("/receive-connectors/new", "New-ReceiveConnector").whole_page(),
        running("/receive-connectors/{name}", "Set-ReceiveConnector"),
        running("/receive-connectors/{name}/enabled", "Set-ReceiveConnector"),
        running("/receive-connectors/{name}/removal", "Remove-ReceiveConnector"),
        running("/receive-connectors/{name}/rights", "Add-ADPermission"),
        running("/receive-connectors/{name}/rights/removal", "Remove-ADPermission"),
        running("/queues", "Suspend-Queue"),
        running("/queues/messages", "Suspend-Message"),
        running("/queues/messages/{id}", "Suspend-Message"),
        Form::needing("/settings", Role::TransportAdmin),
        running("/revisions/{number}/restore", "Restore-ConfigurationRevision").whole_page(),
        running("/administrators", "New-Administrator"),
        // Of others: one's own password and codes are changed under /account.
        Form::needing("/administrators/of/{name}", Role::SecurityOfficer),
        running("/administrators/of/{name}/remove", "Remove-Administrator"),
        running("/administrators/tokens", "New-ApiToken"),
        running("/administrators/tokens/{id}/remove", "Remove-ApiToken"),
    ];
    Forms::of(forms.into_iter().chain(objects::forms()))
}

/// What is no page, to whom is signed in; others learn nothing. An address with a slash too many is the one without.
pub async fn not_found(visit: Visit, method: Method) -> Answer {
    let path = visit.uri.path();
    let shorter = path.trim_end_matches('/');
    // Two slashes at the beginning would be another host.
    let is_ours = shorter.len() < path.len() && place(shorter) == shorter;
    if is_ours && method.is_safe() {
        let query = visit.uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        return Ok(Redirect::to(&format!("{shorter}{query}")).into_response());
    }
    Err(Problem::refused(StatusCode::NOT_FOUND, "No page has this address: choose one in the navigation."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_runs_a_command_that_there_is() {
        let forms = forms();
        assert_eq!(forms.to_send("/users/new"), Some(Role::RecipientAdmin));
        assert_eq!(forms.to_see("/send-connectors/new"), Some(Role::TransportAdmin));
        assert_eq!((forms.to_see("/users/of/{identity}"), forms.to_send("/account")), (None, None));
    }
}
