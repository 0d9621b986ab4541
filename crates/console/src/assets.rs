//! What pages load besides themselves: style, scripts, the picture in the tab.
//!
//! Embedded in the binary and compressed once. Their addresses name their content, so a browser may keep them for good and
//! never uses those of an older version.

use std::io::Write;
use std::sync::LazyLock;

use aws_lc_rs::digest::{SHA256, digest};
use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use flate2::Compression;
use flate2::write::GzEncoder;

/// One file.
struct Asset {
    name: &'static str,
    kind: &'static str,
    content: &'static [u8],
}

const ASSETS: [Asset; 4] = [
    Asset { name: "console.css", kind: "text/css; charset=utf-8", content: include_bytes!("../assets/console.css") },
    Asset {
        name: "console.js",
        kind: "text/javascript; charset=utf-8",
        content: include_bytes!("../assets/console.js"),
    },
    Asset { name: "htmx.js", kind: "text/javascript; charset=utf-8", content: include_bytes!("../assets/htmx.min.js") },
    Asset { name: "gatepost.svg", kind: "image/svg+xml", content: include_bytes!("../assets/gatepost.svg") },
];

/// All of them, compressed.
static COMPRESSED: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let compressed = ASSETS.iter().map(|asset| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(asset.content).and_then(|()| encoder.finish()).expect("memory takes everything")
    });
    compressed.collect()
});

/// What tells these files from those of another version: the beginning of their digest.
pub static VERSION: LazyLock<String> = LazyLock::new(|| {
    let all: Vec<u8> = ASSETS.iter().flat_map(|asset| asset.content).copied().collect();
    digest(&SHA256, &all).as_ref().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
});

/// The routes.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route("/assets/{version}/{name}", get(asset))
}

async fn asset(Path((version, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let Some(place) = ASSETS.iter().position(|asset| asset.name == name) else {
        return (StatusCode::NOT_FOUND, "there is no such file").into_response();
    };
    let is_ours = version == *VERSION;
    let age = if is_ours { "public, max-age=31536000, immutable" } else { "no-store" };
    let head = [
        (header::CONTENT_TYPE, HeaderValue::from_static(ASSETS[place].kind)),
        (header::CACHE_CONTROL, HeaderValue::from_static(age)),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
    ];
    let accepted = headers.get(header::ACCEPT_ENCODING).and_then(|field| field.to_str().ok()).unwrap_or_default();
    let takes_gzip = accepted.split(',').any(|coding| {
        let (name, parameter) = coding.split_once(';').unwrap_or((coding, ""));
        name.trim().eq_ignore_ascii_case("gzip") && !matches!(parameter.trim(), "q=0" | "q=0.0")
    });
    if takes_gzip {
        let coding = [(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"))];
        return (head, coding, COMPRESSED[place].clone()).into_response();
    }
    (head, ASSETS[place].content).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_assets_of_a_first_visit_are_small() {
        let bytes: usize = COMPRESSED.iter().map(Vec::len).sum();
        assert!(bytes <= 100 * 1024, "{bytes} bytes compressed");
    }

    /// The policy of `guard` allows neither.
    #[test]
    fn our_scripts_evaluate_no_text() {
        let script = std::str::from_utf8(ASSETS[1].content).expect("UTF-8");
        for forbidden in ["eval(", "new Function", "innerHTML", "document.write", ".style."] {
            assert!(!script.contains(forbidden), "{forbidden}");
        }
    }
}
