//! Headers of a registry's answer: `WWW-Authenticate` and `Link`.
#![no_main]

use castoff::registry::{Challenge, next_link};
use http::HeaderMap;
use http::header::{HeaderValue, LINK, WWW_AUTHENTICATE};
use libfuzzer_sys::fuzz_target;
use url::Url;

fuzz_target!(|bytes: &[u8]| {
    let Ok(value) = HeaderValue::from_bytes(bytes) else {
        return;
    };
    let mut headers = HeaderMap::new();
    headers.insert(WWW_AUTHENTICATE, value.clone());
    headers.insert(LINK, value);
    let _ = Challenge::of(&headers);
    let base = Url::parse("https://registry.example:5000/v2/a/tags/list").expect("a URL");
    if let Some(url) = next_link(&headers, &base) {
        assert!(matches!(url.scheme(), "http" | "https"));
        assert!(url.username().is_empty() && url.password().is_none());
    }
});
