//! `gatepost token`: tokens for programs that administer. Tells a running server, or changes the file of secrets where none
//! runs.

use std::io::Write;

use gatepost_manage::access::administrators::{self, NewToken as TokenWish};
use gatepost_manage::credentials::{ApiToken, Secrets};
use gatepost_manage::resource::{Gone, NewToken, NewTokenRequest, TokenShown, Tokens};

use super::{criteria, tell_or_change, write_json};
use crate::cli::{Target, TokenCommand};
use crate::clock::now_ms;
use crate::failure::Failure;
use crate::terminal::{Table, ago, harmless, moment};

/// Makes, lists or removes.
pub fn token(out: &mut dyn Write, target: &Target, command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Add { roles, commands, expires, note, json } => {
            let expires_ms = expires.as_deref().map(criteria::end).transpose()?;
            let names = roles.iter().map(|role| role.name().to_owned()).collect();
            add(out, target, &NewTokenRequest { roles: names, commands, note, expires_ms }, json, |request| TokenWish {
                roles: roles.iter().copied().collect(),
                commands: request.commands.clone(),
                note: request.note.clone(),
                created_by: "the command line".to_owned(),
                expires_ms,
            })
        }
        TokenCommand::List(arguments) => list(out, target, arguments.json),
        TokenCommand::Remove { id } => {
            tell_or_change(
                target,
                async |client| client.remove_token(&id).await,
                |secrets| administrators::remove_token(secrets, &id),
                |()| Gone { removed: id.clone() },
            )?;
            Ok(writeln!(out, "Removed the token {}.", harmless(&id))?)
        }
    }
}

fn add(
    out: &mut dyn Write,
    target: &Target,
    request: &NewTokenRequest,
    json: bool,
    wish: impl FnOnce(&NewTokenRequest) -> TokenWish,
) -> Result<(), Failure> {
    let made = tell_or_change(
        target,
        async |client| client.add_token(request).await,
        |secrets| administrators::add_token(secrets, wish(request), now_ms()),
        |(token, secret)| NewToken { token: shown(token), secret: secret.reveal().to_owned() },
    )?;
    if json {
        return write_json(out, &made);
    }
    let until = made.token.expires_ms.map_or_else(|| "for good".to_owned(), |end| format!("until {}", moment(end)));
    writeln!(out, "Made the token {}: {}, {until}. It is shown once:", made.token.id, made.token.roles.join(", "))?;
    Ok(writeln!(out, "  {}", made.secret)?)
}

fn shown(token: ApiToken) -> TokenShown {
    TokenShown {
        roles: token.roles.iter().map(|role| role.name().to_owned()).collect(),
        id: token.id,
        commands: token.commands,
        note: token.note,
        created_by: token.created_by,
        created_ms: token.created_ms,
        expires_ms: token.expires_ms,
        last_used_ms: token.last_used_ms,
    }
}

fn list(out: &mut dyn Write, target: &Target, json: bool) -> Result<(), Failure> {
    let Tokens { tokens } = tell_or_change(
        target,
        async |client| client.tokens().await,
        |secrets: &mut Secrets| Ok(secrets.tokens.clone()),
        |known| Tokens { tokens: known.into_iter().map(shown).collect() },
    )?;
    if json {
        return write_json(out, &tokens);
    }
    if tokens.is_empty() {
        return Ok(writeln!(out, "There are no tokens: `gatepost token add --role View --note TEXT` makes one.")?);
    }
    let now = now_ms();
    let mut table = Table::new(&["ID", "LAST USE", "ENDS", "ROLES", "COMMANDS", "NOTE"]);
    for token in &tokens {
        let last_use = token.last_used_ms.map_or_else(|| "never".to_owned(), |last| ago(last, now));
        let end = match token.expires_ms {
            None => "never".to_owned(),
            Some(end) if end <= now => "ended".to_owned(),
            Some(end) => moment(end),
        };
        let commands = if token.commands.is_empty() { "all".to_owned() } else { token.commands.join(", ") };
        table.row(&[&token.id, &last_use, &end, &token.roles.join(", "), &commands, &token.note]);
    }
    Ok(table.write(out)?)
}
