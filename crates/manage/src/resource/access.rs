//! Who may administer: `/api/v1/administrators`, `/tokens`, `/session`, `/setup`, and what they did: `/acts`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One administrator, without any secret.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct AdministratorShown {
    /// The name to log on with.
    pub name: String,
    /// What they may do.
    pub roles: Vec<String>,
    /// Whether the code of an authenticator app is asked for.
    pub totp: bool,
    /// Since when it is; left out where it is not, or where that was not kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp_since_ms: Option<u64>,
    /// Since when there is such an administrator.
    pub created_ms: u64,
    /// What the authenticator app takes: `otpauth://totp/...`. Shown once, when it was made. It is in force when its first
    /// code has come, as `totp_code`, from the same session or caller within ten minutes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp_uri: Option<String>,
    /// How the session of this request goes on, where its owner has changed their own password or codes in it: its old
    /// secret has ended with all their other sessions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionRenewed>,
}

/// A session that goes on under another secret.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SessionRenewed {
    /// What later requests send: `Authorization: Bearer gps_...`.
    pub secret: String,
    /// Until when at most, as before.
    pub expires_ms: u64,
}

/// `GET /administrators`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Administrators {
    /// All of them.
    pub administrators: Vec<AdministratorShown>,
}

/// `POST /administrators`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewAdministratorRequest {
    /// The name to log on with.
    pub name: String,
    /// The password.
    pub password: String,
    /// What they may do.
    pub roles: Vec<String>,
}

/// `PATCH /administrators/{name}`. What is left out stays as it is.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdministratorRequest {
    /// The new password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// What they may do from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roles: Option<Vec<String>>,
    /// `false`: the code of an authenticator app is no longer asked for. `true`: makes a fresh secret, which is in force when
    /// its first code has come; until then all stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp: Option<bool>,
    /// The first code of the secret that was just made, in a request of its own: codes are asked for from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp_code: Option<String>,
    /// Needed by whoever changes their own password or codes in a session: what they log on with until then. A session that
    /// somebody else has found open does not do. A request that brings name and password itself needs none of this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<CurrentSecrets>,
}

/// What an administrator logs on with.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CurrentSecrets {
    /// The password.
    pub password: String,
    /// The code of the authenticator app, where one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// One token, without its secret.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TokenShown {
    /// What it is called.
    pub id: String,
    /// What its holder may do.
    pub roles: Vec<String>,
    /// Which commands it is for; all that its roles allow where there are none.
    pub commands: Vec<String>,
    /// What it is for.
    pub note: String,
    /// Who made it.
    pub created_by: String,
    /// Since when.
    pub created_ms: u64,
    /// Until when; without it, for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
    /// When it was used last, to the minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_ms: Option<u64>,
}

/// `GET /tokens`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Tokens {
    /// All of them.
    pub tokens: Vec<TokenShown>,
}

/// `POST /tokens`.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTokenRequest {
    /// What its holder may do.
    pub roles: Vec<String>,
    /// Which commands it is for, as `Get-*`; all that its roles allow where there are none.
    #[serde(default)]
    pub commands: Vec<String>,
    /// What it is for.
    #[serde(default)]
    pub note: String,
    /// Until when; without it, for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_ms: Option<u64>,
}

/// A token that was just made.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct NewToken {
    /// What is known of it.
    #[serde(flatten)]
    pub token: TokenShown,
    /// The token itself, which is never shown again: `Authorization: Bearer gpt_...`.
    pub secret: String,
}

/// `POST /setup`: makes the first administrator.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SetupRequest {
    /// The one-time token that the first start has shown.
    pub token: String,
    /// The name of the first administrator.
    pub name: String,
    /// The password.
    pub password: String,
}

/// `POST /session`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SessionRequest {
    /// Whose.
    pub name: String,
    /// The password.
    pub password: String,
    /// The code of the authenticator app, where one is asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
}

/// A session that has begun.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SessionBegun {
    /// What later requests send: `Authorization: Bearer gps_...`.
    pub secret: String,
    /// Until when at most; it ends before that after half an hour without a request.
    pub expires_ms: u64,
    /// Who is in it.
    #[serde(flatten)]
    pub session: SessionShown,
}

/// `GET /session`: who is asking.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SessionShown {
    /// Who: an administrator's name, a token's note, `uid 1000`.
    pub name: String,
    /// What they may do.
    pub roles: Vec<String>,
    /// Which commands a token is for; all that its roles allow where there are none.
    pub commands: Vec<String>,
    /// The name of this server.
    pub server: String,
    /// Whether an administrator is asked for the code of an app at logon; left out for all others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp: Option<bool>,
    /// Since when they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub totp_since_ms: Option<u64>,
}

/// What there is to say of something that is gone.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Gone {
    /// What it was called.
    pub removed: String,
}

/// `GET /acts`. All that is given must be so.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ActsQuery {
    /// Not before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    /// Before this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// Who, in any case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actor: Option<String>,
    /// What, as Verb-Noun; `*` stands for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub act: Option<String>,
    /// What became of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<ActOutcome>,
    /// At most so many.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// After so many newer ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub offset: Option<usize>,
}

/// Acts in one answer, unless more or fewer are asked for.
pub const ACTS_LIMIT_DEFAULT: usize = 100;
/// At most so many acts in one answer.
pub const ACTS_LIMIT_MAX: usize = 10_000;

/// What administrators did.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Acts {
    /// Newest first.
    pub acts: Vec<ActEntry>,
}

/// What became of an act.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActOutcome {
    /// It was done.
    Done,
    /// It is part of a transaction: what became of that, its end says.
    Prepared,
    /// It was not allowed: the role is lacking, or nothing proves who it was.
    Refused,
    /// It was allowed, and could not be done.
    Failed,
}

/// One act.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ActEntry {
    /// When it ended, Unix time in milliseconds.
    pub time_ms: u64,
    /// Who: an administrator's name, a token's note, `uid 1000`, `SIGHUP`.
    pub actor: String,
    /// How they came: `socket`, `password`, `token`, `server`, `nobody`.
    pub source: String,
    /// The token's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// From which address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<std::net::IpAddr>,
    /// What, as Verb-Noun.
    pub act: String,
    /// To what.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// With which parameters, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parameters: Option<String>,
    /// Why, in their words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What became of it.
    pub outcome: ActOutcome,
    /// Why it was refused or failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The revision of the settings that it made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
}
