//! The part of the API that tells who may relay.
//!
//! | call | answer | refusals |
//! |---|---|---|
//! | `GET /exposure?relay=&public=&address=&limit=&offset=&findings_offset=` | `Exposed` | 400 |
//! | `GET /exposure/map?network=` | `ExposureMap` | 400 |
//! | `GET /exposure/host` | `HostAddressesShown` | |
//! | `GET /exposure/report?format=` | `ExposureReport` or a page, signed, with its digest (RFC 9530), which the record of acts keeps; asked for again within a minute, the same | 400, 507 |
//! | `GET /exposure/report/key` | `ReportKey` | 507 |
//!
//! Takes the audit that is kept of the settings in force, hands on pages of it.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gatepost_policy::receive_connector::RemoteRange;

use crate::access::Actor;
use crate::amend::Amender;
use crate::clock::now_ms;
use crate::document::Document;
use crate::gate::Noted;
use crate::history::Author;
use crate::host;
use crate::kept_audit::KeptAudit;
use crate::kept_report::{Reports, Wanted, Written};
use crate::refusal::{Answer, Refusal, refuse};
use crate::relay_report::{self, Subject};
use crate::resource::{
    Exposed, ExposureMap, ExposureQuery, HostAddressesShown, MapQuery, ReportFormat, ReportKey, ReportQuery,
};
use crate::signing::{SigningKey, SigningKeyError, hexadecimal};
use crate::surface::{self, Network};

/// Rows of a page, where the caller does not say.
const LIMIT_DEFAULT: usize = 100;
/// Rows of a page at most.
const LIMIT_MAX: usize = 1_000;

/// The routes.
pub fn routes<S: Clone + Send + Sync + 'static>(amender: Amender) -> Router<S> {
    let reporting = Reporting { amender: amender.clone(), reports: Arc::default() };
    let reports = Router::new().route("/exposure/report", get(report)).with_state(reporting);
    Router::new()
        .route("/exposure", get(exposure))
        .route("/exposure/map", get(map))
        .route("/exposure/host", get(host_addresses))
        .route("/exposure/report/key", get(report_key))
        .with_state(amender)
        .merge(reports)
}

/// What reports are made from, and those that were made.
#[derive(Clone)]
struct Reporting {
    amender: Amender,
    reports: Arc<Reports>,
}

/// The audit of what is in force, with its document and revision.
async fn kept(amender: &Amender) -> Result<(Arc<KeptAudit>, Arc<Document>, u64), Refusal> {
    let (document, revision) = {
        let in_force = amender.reloader().hold().await;
        (in_force.document.clone(), in_force.revision)
    };
    let (audits, audited) = (amender.reloader().audits().clone(), document.clone());
    let kept = tokio::task::spawn_blocking(move || audits.of(&audited)).await;
    let kept = kept.map_err(|_| {
        refuse(StatusCode::INTERNAL_SERVER_ERROR, "the audit failed unexpectedly; the log has the cause")
    })?;
    Ok((kept, document, revision))
}

fn unread(rejection: QueryRejection) -> Refusal {
    refuse(rejection.status(), rejection.body_text())
}

async fn exposure(
    State(amender): State<Amender>,
    query: Result<Query<ExposureQuery>, QueryRejection>,
) -> Answer<Exposed> {
    let Query(query) = query.map_err(unread)?;
    let limit = query.limit.unwrap_or(LIMIT_DEFAULT);
    if limit == 0 || limit > LIMIT_MAX {
        let error = format!("limit is from 1 to {LIMIT_MAX}: ask for the next page with `offset`");
        return Err(refuse(StatusCode::BAD_REQUEST, error));
    }
    let range = match query.address.as_deref().map(str::trim).filter(|text| !text.is_empty()) {
        None => None,
        Some(text) => {
            let wrong = |error| {
                let text = text.chars().take(80).collect::<String>();
                let error = format!("address: `{}` is no address and no range: {error}", text.escape_debug());
                refuse(StatusCode::BAD_REQUEST, error)
            };
            let range = RemoteRange::parse(text, 0..0).map_err(wrong)?;
            Some((range.first, range.last))
        }
    };
    let (kept, _, revision) = kept(&amender).await?;
    Ok(Json(surface::page(&kept, revision, &query, range, limit)))
}

async fn map(State(amender): State<Amender>, query: Result<Query<MapQuery>, QueryRejection>) -> Answer<ExposureMap> {
    let Query(query) = query.map_err(unread)?;
    let wanted = query.network.as_deref().unwrap_or("0.0.0.0/0");
    let Some(network) = Network::parse(wanted) else {
        let error = "network is 0.0.0.0/0, or one of 8, 16 or 24 bits, as 192.168.0.0/16";
        return Err(refuse(StatusCode::BAD_REQUEST, error));
    };
    let (kept, ..) = kept(&amender).await?;
    Ok(Json(surface::map(&kept, network)))
}

async fn host_addresses() -> Answer<HostAddressesShown> {
    let found = tokio::task::spawn_blocking(host::addresses).await.map_err(|_| failed())?;
    Ok(Json(HostAddressesShown { addresses: found.own, bridges: found.bridges, gateways: found.gateways }))
}

fn failed() -> Refusal {
    refuse(StatusCode::INTERNAL_SERVER_ERROR, "that failed unexpectedly; the log has the cause")
}

fn without_key(error: &SigningKeyError) -> Refusal {
    tracing::error!(%error, "reports cannot be signed");
    refuse(StatusCode::INSUFFICIENT_STORAGE, error.to_string())
}

async fn report(
    State(Reporting { amender, reports }): State<Reporting>,
    actor: Actor,
    query: Result<Query<ReportQuery>, QueryRejection>,
) -> Result<(Extension<Noted>, Response), Refusal> {
    let Query(ReportQuery { format }) = query.map_err(unread)?;
    let (kept, document, revision) = kept(&amender).await?;
    let Author { who, from } = Author::from(&actor);
    let made_by = format!("{who} ({from})");
    let now_ms = now_ms();
    let (audited, by) = (kept.clone(), made_by.clone());
    let data_dir = document.settings.server.data_dir.clone();
    let key = tokio::task::spawn_blocking(move || SigningKey::of(&data_dir)).await.map_err(|_| failed())?;
    let key = key.map_err(|error| without_key(&error))?;
    let signed_by = key.public().fingerprint();
    let write = move || {
        let subject = Subject { kept: &audited, document: &document, revision, made_by: by, made_ms: now_ms };
        relay_report::file(subject, format, &key)
            .map_err(|error| refuse(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
    };
    let write = async { tokio::task::spawn_blocking(write).await.map_err(|_| failed())? };
    // The file says from where it was taken: whoever takes it from elsewhere gets another, which is recorded, too.
    let wanted = Wanted { who: &made_by, format, audit: &kept, revision, signed_by: &signed_by, now_ms };
    let Written { file: report, is_again } = reports.of(&wanted, write).await?;
    let digest = digest(&SHA256, &report);
    let target = format!("sha256:{}", hexadecimal(digest.as_ref()));
    let noted = Noted { target: Some(target), revision: Some(revision), is_nothing: is_again, ..Noted::default() };
    let (kind, ending) = match format {
        ReportFormat::Json => ("application/json", "json"),
        ReportFormat::Html => ("text/html; charset=utf-8", "html"),
    };
    let fields = [
        (header::CONTENT_TYPE, kind.to_owned()),
        (header::CONTENT_DISPOSITION, format!("attachment; filename=\"relay-report-{revision}.{ending}\"")),
        (HeaderName::from_static("repr-digest"), format!("sha-256=:{}:", STANDARD.encode(digest.as_ref()))),
    ];
    Ok((Extension(noted), (fields, report).into_response()))
}

async fn report_key(State(amender): State<Amender>) -> Answer<ReportKey> {
    let data_dir = amender.reloader().hold().await.document.settings.server.data_dir.clone();
    let key = tokio::task::spawn_blocking(move || SigningKey::of(&data_dir)).await.map_err(|_| failed())?;
    let public = key.map_err(|error| without_key(&error))?.public();
    Ok(Json(ReportKey {
        algorithm: "ed25519".to_owned(),
        public_key: public.to_pem(),
        fingerprint: public.fingerprint(),
    }))
}
