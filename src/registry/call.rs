use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};
use reqwest::Method;
use url::Url;

use super::scope::Scopes;

/// How much of an answer is read where nothing is expected in it.
pub(super) const REFUSAL: usize = 64 * 1024;

/// A request as a method, a place and what goes with it. Small, and may be sent again.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) method: Method,
    pub(super) place: Place,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) scopes: Scopes,
    /// How many bytes the answer may have.
    pub(super) limit: usize,
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// A path behind `/v2/`, with its query.
    Path(String),
    /// Where the registry told us to go.
    Url(Url),
}

impl Call {
    pub(super) fn new(method: Method, path: impl Into<String>, scopes: Scopes) -> Self {
        Self::to(method, Place::Path(path.into()), scopes)
    }

    pub(super) fn to(method: Method, place: Place, scopes: Scopes) -> Self {
        Self {
            method,
            place,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            scopes,
            limit: REFUSAL,
        }
    }

    pub(super) fn accepting(mut self, types: &[&str]) -> Self {
        if let Ok(value) = HeaderValue::from_str(&types.join(", ")) {
            self.headers.insert(ACCEPT, value);
        }
        self
    }

    pub(super) fn with_body(mut self, media_type: &str, body: Bytes) -> Self {
        if let Ok(value) = HeaderValue::from_str(media_type) {
            self.headers.insert(CONTENT_TYPE, value);
        }
        self.body = body;
        self
    }

    pub(super) fn with_header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }

    pub(super) fn at_most(mut self, limit: usize) -> Self {
        self.limit = limit;
        self
    }
}
