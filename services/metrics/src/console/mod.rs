//! The web console: files that are part of this program.
//!
//! `make console` builds them from `web/`; a program built without them says so instead.

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use zhili_runtime::{ErrorCode, Routes, ServiceError};

/// A file of the console.
struct Asset {
    path: &'static str,
    kind: &'static str,
    plain: &'static [u8],
    gzip: &'static [u8],
}

include!(concat!(env!("OUT_DIR"), "/assets.rs"));

/// What the pages may load and do: nothing that is not ours.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'; object-src 'none'";

/// Paths under which the page is found; the script in it reads them.
const PAGES: [&str; 14] = [
    "/",
    "/overview",
    "/agents",
    "/phrases",
    "/complaints",
    "/library",
    "/health",
    "/shift",
    "/incidents",
    "/incidents/{id}",
    "/conversations",
    "/conversations/{id}",
    "/metrics/{id}",
    "/search",
];

/// The pages and what they load. They show nothing of anybody: what they show, they ask for with
/// a session.
pub(crate) fn routes() -> Routes {
    let pages = PAGES
        .into_iter()
        .fold(Routes::default(), |routes, path| routes.get(path, async |headers| page(&headers)));
    pages.get("/assets/{file}", asset)
}

fn page(headers: &HeaderMap) -> Response {
    match find("/index.html") {
        Some(file) => serve(file, headers, "no-cache"),
        None => {
            let words = "<!doctype html><title>Zhili</title><p>this program was built without its \
                         console: run <code>make console</code>, then build it again\n";
            (StatusCode::NOT_FOUND, Html(words)).into_response()
        }
    }
}

async fn asset(Path(file): Path<String>, headers: HeaderMap) -> Response {
    match find(&format!("/assets/{file}")) {
        // Its name changes with it.
        Some(file) => serve(file, &headers, "public, max-age=31536000, immutable"),
        None => {
            ServiceError::new(ErrorCode::NotFound, "the console has no such file").into_response()
        }
    }
}

fn find(path: &str) -> Option<&'static Asset> {
    ASSETS.iter().find(|asset| asset.path == path)
}

fn serve(file: &Asset, headers: &HeaderMap, cache: &'static str) -> Response {
    let takes_gzip = headers
        .get(header::ACCEPT_ENCODING)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.contains("gzip"));
    let mut response = if takes_gzip { file.gzip } else { file.plain }.into_response();
    let headers = response.headers_mut();
    if takes_gzip {
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    for (name, value) in [
        (header::CONTENT_TYPE, file.kind),
        (header::CACHE_CONTROL, cache),
        (header::VARY, "accept-encoding"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_policy_lets_in_nothing_from_elsewhere() {
        assert!(POLICY.starts_with("default-src 'self'"));
        assert!(!POLICY.contains("unsafe"), "{POLICY}");
    }

    #[test]
    fn every_file_is_served_as_what_it_is() {
        for file in ASSETS {
            let mut headers = HeaderMap::new();
            let plain = serve(file, &headers, "no-cache");
            assert_eq!(plain.headers()[header::CONTENT_TYPE], file.kind);
            assert!(!plain.headers().contains_key(header::CONTENT_ENCODING));
            headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("br, gzip"));
            let packed = serve(file, &headers, "no-cache");
            assert_eq!(packed.headers()[header::CONTENT_ENCODING], "gzip", "{}", file.path);
        }
    }
}
