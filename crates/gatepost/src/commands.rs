//! The commands besides `serve`: short-lived, each a few questions to files or to the running server.
//!
//! Takes parsed arguments, writes text or JSON to `out`, hands back a failure with its exit code. What the running
//! server knows or does goes through its API only (invariant I11); `spool verify` reads its files and changes none.

mod shell;
mod queue;
mod trace;
mod follow;
mod transcript;
mod timeline;
mod export;
mod spool;
mod user;
mod admin;
mod token;
mod acts;
mod reload;
mod revisions;
mod status;
mod decision;
mod explain;
mod route;
mod check;
mod audit;
mod signed_report;
mod difference;
mod criteria;
mod password;
mod addressee;
mod rights;

use std::io::Write;
use std::path::Path;

use clap::CommandFactory;
use gatepost_manage::access::administrators::AccountError;
use gatepost_manage::access::change_file;
use gatepost_manage::client::Distant;
use gatepost_manage::credentials::Secrets;
use gatepost_manage::{Client, ClientError};
use serde::Serialize;

use crate::cli::{AuditArguments, Cli, ExplainArguments, Target};
use crate::failure::Failure;

pub use acts::acts;
pub use admin::admin;
pub use check::check;
pub use queue::queue;
pub use reload::reload;
pub use revisions::revisions;
pub use route::route;
pub use shell::shell;
pub use spool::spool;
pub use status::status;
pub use token::token;
pub use trace::trace;
pub use transcript::transcript;
pub use user::user;

/// `completion`: the script that makes a shell complete our commands.
pub fn completion(out: &mut dyn Write, shell: clap_complete::Shell) -> Result<(), Failure> {
    // Into memory first: the generator panics when its output cannot be written.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "gatepost", &mut script);
    Ok(out.write_all(&script)?)
}

/// `man`: a page for each command.
pub fn man(dir: &Path) -> Result<(), Failure> {
    let cannot = |error| Failure::of(format!("cannot write manual pages into {}: {error}", dir.display()));
    clap_mangen::generate_to(Cli::command(), dir).map_err(cannot)
}

/// `audit`: of a settings file, or the running server's signed report of its own.
pub fn audit(out: &mut dyn Write, target: &Target, arguments: &AuditArguments) -> Result<(), Failure> {
    match arguments {
        AuditArguments { report: Some(file), .. } => signed_report::write(out, target, file),
        AuditArguments { verify: Some(file), .. } => {
            signed_report::verify(out, target, file, arguments.key.as_deref(), arguments.json)
        }
        AuditArguments { public_key: true, .. } => signed_report::public_key(out, target, arguments.json),
        _ => audit::audit(out, here(target)?, arguments),
    }
}

/// `explain`: a decision by its id, or a question.
pub fn explain(out: &mut dyn Write, target: &Target, arguments: &ExplainArguments) -> Result<(), Failure> {
    match &arguments.id[..] {
        [] => explain::explain(out, here(target)?, arguments),
        words => decision::explain(out, target, &words.join(" "), arguments.json),
    }
}

/// The settings file, for what is worked out here from it and asks no server.
///
/// # Errors
/// When a server was named to be asked.
pub fn here(target: &Target) -> Result<&Path, Failure> {
    match &target.distant {
        None => Ok(&target.config.path),
        Some(_) => Err(Failure::Usage(
            "error: this command reads files of this machine and asks no other server: leave out --server, or see what \
             `gatepost shell --server` offers"
                .to_owned(),
        )),
    }
}

/// `version`.
pub fn version(out: &mut dyn Write) -> Result<(), Failure> {
    Ok(writeln!(out, "gatepost {}", env!("CARGO_PKG_VERSION"))?)
}

/// The server that is meant: the one of a settings file, which may have problems, since only its data folder is asked for, or
/// one at a TCP port.
fn client(target: &Target) -> Result<Client, Failure> {
    let Some(distant) = &target.distant else {
        return Ok(Client::new(&gatepost_manage::document::data_dir(&target.config.path)?));
    };
    let distant = Distant::new(&distant.url, &distant.token_file, distant.certificate.as_deref());
    Ok(Client::of(distant.map_err(Failure::of)?))
}

/// Runs one call to the server to its end.
fn wait_for<T>(call: impl Future<Output = Result<T, gatepost_manage::ClientError>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(call)?)
}

/// What a running server answers; `None` where none runs.
async fn of_running<T>(call: impl Future<Output = Result<T, ClientError>>) -> Result<Option<T>, ClientError> {
    match call.await {
        Err(ClientError::NotRunning { .. }) => Ok(None),
        answer => answer.map(Some),
    }
}

/// Tells a running server to change who may administer. Where none runs, changes the file of secrets itself, as it would.
fn tell_or_change<T, D>(
    target: &Target,
    call: impl AsyncFnOnce(&Client) -> Result<T, ClientError>,
    edit: impl FnOnce(&mut Secrets) -> Result<D, AccountError>,
    shown: impl FnOnce(D) -> T,
) -> Result<T, Failure> {
    let client = client(target)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    match runtime.block_on(call(&client)) {
        Err(ClientError::NotRunning { data_dir, .. }) => {
            let (done, _) = change_file(&data_dir, edit).map_err(Failure::of)?;
            Ok(shown(done))
        }
        answer => Ok(answer?),
    }
}

fn write_json(out: &mut dyn Write, value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(Failure::of)?;
    Ok(writeln!(out, "{text}")?)
}
