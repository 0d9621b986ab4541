//! Who may relay: `GET /exposure`, `/exposure/map`, `/exposure/report`, `/exposure/report/key`.

use std::net::{IpAddr, SocketAddr};

use gatepost_policy::audit::Limited;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::AddressRange;

/// `GET /exposure`.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct Exposed {
    /// The revision of the settings in force.
    pub revision: u64,
    /// When it was audited.
    pub made_ms: u64,
    /// All of it in one sentence.
    pub sentence: String,
    /// How many receive connectors are enabled.
    pub connectors: u64,
    /// How many addresses may send to anyone without logging in; all of IPv6 counts as that much and no more.
    pub open_addresses: u64,
    /// How many of those are of the Internet.
    pub open_public_addresses: u64,
    /// Who may do what from where, most dangerous first: one page of those that were asked for.
    pub exposures: Vec<ExposedRow>,
    /// How many there are of those that were asked for.
    pub exposures_total: u64,
    /// What deserves a look, most severe first: one page.
    pub findings: Vec<ExposedFinding>,
    /// How many there are.
    pub findings_total: u64,
    /// How many of them are critical.
    pub critical: u64,
    /// How many of them are warnings.
    pub warnings: u64,
    /// What all of it rests on.
    pub assumption: String,
}

/// What `GET /exposure` is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ExposureQuery {
    /// Only those who may send to any recipient.
    pub relay: Option<bool>,
    /// Only those among whom are addresses of the Internet.
    pub public: Option<bool>,
    /// Only those among whom is one of these: an address or a range.
    pub address: Option<String>,
    /// Most rows and most findings of a page.
    pub limit: Option<usize>,
    /// How many rows are passed over.
    pub offset: Option<usize>,
    /// How many findings are passed over.
    pub findings_offset: Option<usize>,
}

/// Some addresses and what they may do at worst.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExposedRow {
    /// Who they are.
    pub who: String,
    /// `open`, `relay`, `submit` or `heard`.
    pub level: String,
    /// From where, in words.
    pub sources: String,
    /// The first ranges of it.
    pub ranges: Vec<AddressRange>,
    /// How many ranges there are.
    pub ranges_total: u64,
    /// Whether some are of the Internet.
    pub public: bool,
    /// Where.
    pub listeners: Vec<SocketAddr>,
    /// By which receive connectors; the first.
    pub connectors: Vec<String>,
    /// How many connectors there are.
    pub connectors_total: u64,
    /// As whom they may send: `any`, `outside_own_domains`, `own_addresses`; none: they may not send.
    pub senders: Option<String>,
    /// Whether their messages count as internal.
    pub internal: bool,
    /// Whether filters let them pass.
    pub bypasses_anti_spam: bool,
    /// The largest message; none where there is no limit, or nothing may be sent.
    pub message_bytes_max: Option<u64>,
    /// Whether only inside TLS.
    pub tls_required: bool,
    /// All rights that they can hold.
    pub rights: Vec<String>,
    /// Those of the rights that hang on a condition, or end some day.
    pub conditional_rights: Vec<String>,
    /// Under which terms those are held.
    #[serde(default)]
    pub limited: Vec<LimitedRights>,
    /// From when on, where that is not now.
    pub from_ms: Option<u64>,
    /// Until when, where that is not for good.
    pub until_ms: Option<u64>,
}

/// Rights that are held under terms only.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct LimitedRights {
    /// The rights, by Exchange's names.
    pub rights: Vec<String>,
    /// The terms, in words: `only from scanner@contoso.com to *@partner.example, until 2027-01-01T00:00:00Z`.
    pub terms: String,
}

impl LimitedRights {
    /// Each of what policy says; of lists the first `named_max` are named.
    pub fn list(limited: &[Limited], named_max: usize) -> Vec<LimitedRights> {
        let one = |limited: &Limited| LimitedRights {
            rights: limited.rights.iter().map(|right| right.exchange_name().to_owned()).collect(),
            terms: limited.terms.told(named_max),
        };
        limited.iter().map(one).collect()
    }
}

/// Something that deserves a look.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExposedFinding {
    /// `critical`, `warning` or `note`.
    pub severity: String,
    /// Its kind.
    pub code: String,
    /// The receive connector that it is about.
    pub connector: Option<String>,
    /// Where it stands in the document.
    pub line: usize,
    /// What it is.
    pub message: String,
    /// The smallest change that ends it.
    pub remedy: String,
    /// The peers concerned, in words.
    pub sources: String,
}

/// `GET /exposure/map`: a network of IPv4 as 256 parts of one size.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExposureMap {
    /// The network.
    pub network: String,
    /// Its parts, ascending.
    pub parts: Vec<ExposurePart>,
    /// The ranges of IPv6 that may do anything, the worst first; at most 100.
    pub ipv6: Vec<ExposedRange>,
    /// How many such ranges there are.
    pub ipv6_total: u64,
}

/// What `GET /exposure/map` is asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct MapQuery {
    /// `0.0.0.0/0`, or a network of 8, 16 or 24 bits.
    pub network: Option<String>,
}

/// One part of the map.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExposurePart {
    /// The network; one address at the end.
    pub network: String,
    /// The worst that any address of it may do: `open`, `relay`, `submit`, `heard`; none: it is not heard.
    pub level: Option<String>,
    /// How many of its addresses may do so much.
    pub addresses: u64,
    /// Whether some of those are of the Internet.
    #[serde(default)]
    pub public: bool,
}

/// Addresses, and the worst that they may do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ExposedRange {
    /// As people write it.
    pub range: String,
    /// `open`, `relay`, `submit` or `heard`.
    pub level: String,
    /// Whether some of it is of the Internet.
    #[serde(default)]
    pub public: bool,
}

/// `GET /exposure/report`: everything, to be kept.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ExposureReport {
    /// Which form it has: 2 says under which terms rights are held, 1 did not.
    #[serde(default = "first_form")]
    pub form: u32,
    /// The server's name.
    pub server: String,
    /// The version of the program.
    pub version: String,
    /// Who has asked for it.
    pub made_by: String,
    /// When, as RFC 3339 writes it.
    pub made_at: String,
    /// The revision of the settings.
    pub revision: u64,
    /// The id of their document.
    pub document: String,
    /// All of it in one sentence.
    pub sentence: String,
    /// What it rests on.
    pub assumption: String,
    /// Who may do what from where, with every range.
    pub exposures: Vec<ExposedRow>,
    /// What deserves a look.
    pub findings: Vec<ExposedFinding>,
    /// What the settings have to keep true; they would not be in force else.
    #[serde(default)]
    pub assertions: Vec<ReportedAssertion>,
    /// The fingerprint of the key that signs it.
    #[serde(default)]
    pub signed_by: String,
    /// The last line of the file, which signs all lines before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<ReportSignature>,
}

fn first_form() -> u32 {
    1
}

/// One `[[assert]]` of the settings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportedAssertion {
    /// What it is called.
    pub comment: String,
    /// Of whom it speaks.
    pub who: String,
    /// From which addresses.
    pub sources: String,
    /// On which listeners; all of them where it is empty.
    pub listeners: Vec<SocketAddr>,
    /// `allow` or `deny`.
    pub access: String,
    /// What they have to be able to do, or must not be.
    pub powers: Vec<String>,
}

/// A signature, and the key that it fits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportSignature {
    /// `ed25519`.
    pub algorithm: String,
    /// The 32 bytes of the key in base64.
    pub public_key: String,
    /// The 64 bytes of the signature in base64.
    pub value: String,
}

/// How a report is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ReportFormat {
    /// For programs.
    #[default]
    Json,
    /// A page of its own, to look at and to print.
    Html,
}

/// What `GET /exposure/report` is asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ReportQuery {
    /// How it is written: `json` where nobody says.
    pub format: ReportFormat,
}

/// `GET /exposure/report/key`: by what others know that a report is this server's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ReportKey {
    /// `ed25519`.
    pub algorithm: String,
    /// The public key as OpenSSL reads it.
    pub public_key: String,
    /// The SHA-256 of the key's DER form, in hexadecimal digits.
    pub fingerprint: String,
}

/// `GET /exposure/host`: the addresses of this machine, as its kernel tells them now.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HostAddressesShown {
    /// Its own, those on bridges too.
    pub addresses: Vec<IpAddr>,
    /// Those that it has on bridges, behind which containers and virtual machines live.
    pub bridges: Vec<IpAddr>,
    /// Those of its default gateways.
    pub gateways: Vec<IpAddr>,
}
