//! The gate that every request passes: whom it is from, and whether they may.
//!
//! Takes what the door knows of its visitor, puts an [`Actor`] into the request, or refuses it. What may be asked stands
//! in `calls`; what does not stand there is refused (default deny).

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use axum::extract::{ConnectInfo, MatchedPath, Request, State};
use axum::http::StatusCode;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use gatepost_policy::role::Roles;
use gatepost_transport::Control;

use crate::access::{Actor, permit};
use crate::calls;
use crate::client::API_ROOT;
use crate::door::Visitor;
use crate::refusal::{Refusal, refuse};

/// What the gate needs to know.
#[derive(Clone)]
pub struct Gate {
    control: Control,
    /// Who owns the data folder: the server's user, even where root has started it.
    owner: u32,
}

impl Gate {
    /// The gate of a running server.
    pub fn new(control: Control, data_dir: &Path) -> Gate {
        let own = rustix::process::geteuid().as_raw();
        let owner = std::fs::metadata(data_dir).map_or(own, |folder| folder.uid());
        Gate { control, owner }
    }

    /// Root, the server's own user and the owner of its folder could change every file that the server has: they may do
    /// everything. Whoever else gets through the socket's mode is of its group.
    fn of_socket(&self, uid: Option<u32>) -> Actor {
        let is_owner = uid.is_some_and(|uid| uid == 0 || uid == self.owner || uid == own_uid());
        let roles = match (is_owner, uid) {
            (true, _) => Roles::ALL,
            (false, Some(_)) => self.control.settings().management.socket_group_role.into(),
            (false, None) => Roles::NONE,
        };
        Actor::of_socket(uid, roles)
    }
}

fn own_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Lets a request in, or not.
pub async fn pass(State(gate): State<Gate>, mut request: Request, next: Next) -> Response {
    let visitor = request.extensions().get::<ConnectInfo<Visitor>>().map(|connection| connection.0);
    let actor = gate.of_socket(visitor.and_then(|visitor| visitor.uid));
    if let Err(refusal) = permit_call(&actor, &request) {
        return refusal.into_response();
    }
    request.extensions_mut().insert(actor);
    next.run(request).await
}

fn permit_call(actor: &Actor, request: &Request) -> Result<(), Refusal> {
    // What matches no route is answered by the routes themselves, that there is no such call.
    let Some(route) = request.extensions().get::<MatchedPath>() else { return Ok(()) };
    let route = route.as_str().strip_prefix(API_ROOT).unwrap_or(route.as_str());
    let Some(call) = calls::find(request.method(), route) else {
        let error = "this call has another method";
        return Err(refuse(StatusCode::METHOD_NOT_ALLOWED, error));
    };
    permit(actor, call.act).map_err(|lacking| {
        if call.is_recorded {
            tracing::warn!(%actor, act = call.act.name, "refused: the role is lacking");
        }
        refuse(StatusCode::FORBIDDEN, lacking)
    })
}
