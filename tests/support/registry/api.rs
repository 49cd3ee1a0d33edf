//! The distribution API over a [`Store`].

use castoff::oci::{Digest, media_type};
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::settings::{Links, Settings};
use super::store::Store;

/// A request whose body has been read.
#[derive(Debug)]
pub struct Request {
    pub method: Method,
    pub path: String,
    pub query: String,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// `http://127.0.0.1:5000`.
    pub origin: String,
}

/// A complete answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Reply {
    pub fn new(status: u16) -> Self {
        Self {
            status,
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub fn with(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn json(status: u16, value: &Value) -> Self {
        let mut reply = Self::new(status).with("Content-Type", "application/json");
        reply.body = value.to_string().into_bytes();
        reply
    }

    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let errors = json!({ "errors": [{ "code": code, "message": message, "detail": null }] });
        Self::json(status, &errors)
    }
}

impl Request {
    pub fn parameter(&self, name: &str) -> Option<String> {
        form_urlencoded::parse(self.query.as_bytes())
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// What a path names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    Base,
    Catalog,
    Tags(String),
    Manifest(String, String),
    Blob(String, String),
    Uploads(String),
    Upload(String, String),
    Referrers(String, String),
}

impl Place {
    pub fn of(path: &str) -> Option<Self> {
        let rest = path.strip_prefix("/v2/")?;
        if rest.is_empty() {
            return Some(Self::Base);
        }
        if rest == "_catalog" {
            return Some(Self::Catalog);
        }
        let own = str::to_owned;
        if let Some(name) = rest.strip_suffix("/tags/list") {
            return Some(Self::Tags(own(name)));
        }
        if let Some(name) = rest.strip_suffix("/blobs/uploads/") {
            return Some(Self::Uploads(own(name)));
        }
        let (before, last) = rest.rsplit_once('/')?;
        let (name, kind) = before.rsplit_once('/')?;
        match kind {
            "manifests" => Some(Self::Manifest(own(name), own(last))),
            "blobs" => Some(Self::Blob(own(name), own(last))),
            "referrers" => Some(Self::Referrers(own(name), own(last))),
            "uploads" => Some(Self::Upload(own(name.strip_suffix("/blobs")?), own(last))),
            _ => None,
        }
    }

    /// The repository.
    pub fn repository(&self) -> Option<&str> {
        match self {
            Self::Base | Self::Catalog => None,
            Self::Tags(name)
            | Self::Uploads(name)
            | Self::Manifest(name, _)
            | Self::Blob(name, _)
            | Self::Upload(name, _)
            | Self::Referrers(name, _) => Some(name),
        }
    }
}

/// Answers a request.
pub fn answer(store: &mut Store, settings: &Settings, request: &Request) -> Reply {
    let unknown = || Reply::error(404, "METHOD_UNKNOWN", "no such place");
    let is_write = !matches!(request.method, Method::GET | Method::HEAD);
    if settings.read_only && is_write {
        let mut reply = Reply::new(405).with("Content-Type", "text/plain; charset=utf-8");
        reply.body = b"Method not allowed\n".to_vec();
        return reply;
    }
    let too_large = |limit: &u64| request.body.len() as u64 > *limit;
    if settings.body_limit.as_ref().is_some_and(too_large) {
        return Reply::new(413);
    }
    let Some(place) = Place::of(&request.path) else {
        return unknown();
    };
    match (&request.method, place) {
        (&Method::GET | &Method::HEAD, Place::Base) => Reply::json(200, &json!({})),
        (&Method::GET, Place::Catalog) => catalog(store, settings, request),
        (&Method::GET, Place::Tags(name)) => tags(store, settings, request, &name),
        (&Method::GET | &Method::HEAD, Place::Manifest(name, selector)) => {
            read_manifest(store, &name, &selector)
        }
        (&Method::PUT, Place::Manifest(name, selector)) => {
            write_manifest(store, settings, request, &name, &selector)
        }
        (&Method::DELETE, Place::Manifest(name, selector)) => {
            delete_manifest(store, settings, &name, &selector)
        }
        (&Method::GET | &Method::HEAD, Place::Blob(name, digest)) => {
            read_blob(store, settings, request, &name, &digest)
        }
        (&Method::POST, Place::Uploads(name)) => begin(store, settings, request, &name),
        (_, Place::Upload(name, id)) => upload(store, settings, request, &name, &id),
        (&Method::GET, Place::Referrers(name, digest)) if settings.referrers => {
            let index = json!({
                "schemaVersion": 2, "mediaType": media_type::OCI_INDEX,
                "manifests": store.referrers(&name, &digest),
            });
            let mut reply = Reply::new(200).with("Content-Type", media_type::OCI_INDEX);
            reply.body = index.to_string().into_bytes();
            reply
        }
        (&Method::GET, Place::Referrers(..)) => {
            let mut reply = Reply::new(404).with("Content-Type", "text/plain; charset=utf-8");
            reply.body = b"404 page not found\n".to_vec();
            reply
        }
        _ => unknown(),
    }
}

fn catalog(store: &Store, settings: &Settings, request: &Request) -> Reply {
    let names: Vec<String> = store.repositories.keys().cloned().collect();
    paged(settings, request, "repositories", None, &names)
}

fn tags(store: &Store, settings: &Settings, request: &Request, name: &str) -> Reply {
    let Some(stored) = store.repositories.get(name) else {
        return Reply::error(404, "NAME_UNKNOWN", "repository name not known to registry");
    };
    let names: Vec<String> = stored.tags.keys().cloned().collect();
    paged(settings, request, "tags", Some(name), &names)
}

fn paged(
    settings: &Settings,
    request: &Request,
    key: &str,
    name: Option<&str>,
    all: &[String],
) -> Reply {
    let last = request.parameter("last");
    let wanted = request.parameter("n").and_then(|n| n.parse().ok());
    let size = wanted.unwrap_or(settings.page).min(settings.page);
    let behind = all.iter().filter(|entry| {
        last.as_ref()
            .is_none_or(|last| entry.as_str() > last.as_str())
    });
    let page: Vec<&String> = behind.clone().take(size).collect();
    let is_more = behind.count() > page.len();
    let mut document = json!({ key: page });
    if let Some(name) = name {
        document["name"] = json!(name);
    }
    let reply = Reply::json(200, &document);
    let Some(end) = page.last().filter(|_| is_more) else {
        return reply;
    };
    let target = format!("{}?last={end}&n={size}", request.path);
    match settings.links {
        Links::None => reply,
        Links::Relative => reply.with("Link", format!("<{target}>; rel=\"next\"")),
        Links::Absolute => reply.with(
            "Link",
            format!("<{}{target}>; rel=\"next\"", request.origin),
        ),
    }
}

fn read_manifest(store: &Store, name: &str, selector: &str) -> Reply {
    let Some((digest, (media_type, bytes))) = store.find(name, selector) else {
        return Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown");
    };
    let mut reply = Reply::new(200)
        .with("Content-Type", media_type)
        .with("Docker-Content-Digest", digest);
    reply.body.clone_from(bytes);
    reply
}

fn write_manifest(
    store: &mut Store,
    settings: &Settings,
    request: &Request,
    name: &str,
    selector: &str,
) -> Reply {
    let Ok(manifest) = serde_json::from_slice::<Value>(&request.body) else {
        return Reply::error(400, "MANIFEST_INVALID", "no JSON");
    };
    let digest = Digest::of(&request.body).to_string();
    if selector.contains(':') && selector != digest {
        return Reply::error(400, "DIGEST_INVALID", "provided digest did not match");
    }
    if settings.strict
        && let Some(missing) = store.missing(name, &manifest)
    {
        return Reply::error(400, "MANIFEST_BLOB_UNKNOWN", &missing);
    }
    let media_type = request.header("content-type").unwrap_or_default();
    let digest = store.put_manifest(name, selector, media_type, request.body.clone());
    let reply = Reply::new(201)
        .with("Location", format!("/v2/{name}/manifests/{digest}"))
        .with("Docker-Content-Digest", digest);
    match manifest["subject"]["digest"].as_str() {
        Some(subject) if settings.referrers => reply.with("OCI-Subject", subject),
        _ => reply,
    }
}

fn delete_manifest(store: &mut Store, settings: &Settings, name: &str, selector: &str) -> Reply {
    let is_digest = selector.contains(':');
    if !settings.delete_manifests {
        return Reply::error(405, "UNSUPPORTED", "The operation is unsupported.");
    }
    if !is_digest && !settings.delete_tags {
        return Reply::error(400, "DIGEST_INVALID", "provided digest was invalid");
    }
    if store.find(name, selector).is_none() {
        return Reply::error(404, "MANIFEST_UNKNOWN", "manifest unknown");
    }
    if let Some(stored) = store.repositories.get_mut(name) {
        if is_digest && settings.delete_takes_tags {
            stored.manifests.remove(selector);
            stored.tags.retain(|_, digest| digest != selector);
        } else if !is_digest {
            stored.tags.remove(selector);
        }
    }
    Reply::new(202)
}

fn read_blob(
    store: &Store,
    settings: &Settings,
    request: &Request,
    name: &str,
    digest: &str,
) -> Reply {
    let Some(bytes) = store.blob(name, digest) else {
        return Reply::error(404, "BLOB_UNKNOWN", "blob unknown to registry");
    };
    if let Some(elsewhere) = &settings.blobs_at {
        return Reply::new(307).with("Location", format!("{elsewhere}{digest}"));
    }
    let mut reply = Reply::new(200)
        .with("Content-Type", "application/octet-stream")
        .with("Docker-Content-Digest", digest);
    reply.body.clone_from(bytes);
    if let Some((start, end)) = request.header("range").and_then(range) {
        let total = bytes.len();
        if end >= total || start > end {
            return Reply::error(416, "RANGE_INVALID", "no such range");
        }
        reply.status = 206;
        reply.body = bytes[start..=end].to_vec();
        reply = reply.with("Content-Range", format!("bytes {start}-{end}/{total}"));
    }
    reply
}

/// `bytes=5-9`; both ends, as crane's registry wants them.
fn range(text: &str) -> Option<(usize, usize)> {
    let (start, end) = text.strip_prefix("bytes=")?.split_once('-')?;
    Some((start.parse().ok()?, end.parse().ok()?))
}

fn begin(store: &mut Store, settings: &Settings, request: &Request, name: &str) -> Reply {
    if let (Some(digest), Some(from)) = (request.parameter("mount"), request.parameter("from"))
        && settings.mounts
        && store.mount(name, &from, &digest)
    {
        return Reply::new(201)
            .with("Location", format!("/v2/{name}/blobs/{digest}"))
            .with("Docker-Content-Digest", digest);
    }
    let id = store.begin_upload();
    let mut reply = progress(store, settings, request, name, &id, 202);
    if let Some(least) = settings.least_piece {
        reply = reply.with("OCI-Chunk-Min-Length", least);
    }
    reply
}

fn progress(
    store: &Store,
    settings: &Settings,
    request: &Request,
    name: &str,
    id: &str,
    status: u16,
) -> Reply {
    let held = store.uploads.get(id).map_or(0, Vec::len);
    let origin = if settings.absolute_locations {
        request.origin.as_str()
    } else {
        ""
    };
    Reply::new(status)
        .with(
            "Location",
            format!("{origin}/v2/{name}/blobs/uploads/{id}?_state=s{held}"),
        )
        .with("Range", format!("0-{}", held.saturating_sub(1)))
}

fn upload(
    store: &mut Store,
    settings: &Settings,
    request: &Request,
    name: &str,
    id: &str,
) -> Reply {
    let Some(held) = store.uploads.get_mut(id) else {
        return Reply::error(
            404,
            "BLOB_UPLOAD_UNKNOWN",
            "blob upload unknown to registry",
        );
    };
    // An upload is where it was said to be, or it is void: registry:2 keeps a signed state.
    let state = request.parameter("_state");
    if state != Some(format!("s{}", held.len())) && !settings.resumable {
        store.uploads.remove(id);
        return Reply::error(400, "BLOB_UPLOAD_INVALID", "resumed at a wrong offset");
    }
    let start = request.header("content-range").and_then(|range| {
        let (start, _) = range.split_once('-')?;
        start.parse::<usize>().ok()
    });
    if start.is_some_and(|start| start != held.len()) {
        return Reply::error(416, "RANGE_INVALID", "not where we are");
    }
    match request.method {
        Method::GET => progress(store, settings, request, name, id, 204),
        Method::DELETE => {
            store.uploads.remove(id);
            Reply::new(204)
        }
        Method::PATCH => {
            held.extend_from_slice(&request.body);
            progress(store, settings, request, name, id, 202)
        }
        Method::PUT => {
            held.extend_from_slice(&request.body);
            let digest = request.parameter("digest").unwrap_or_default();
            if Digest::of(held).to_string() != digest {
                store.uploads.remove(id);
                return Reply::error(400, "DIGEST_INVALID", "provided digest did not match");
            }
            let bytes = store.uploads.remove(id).unwrap_or_default();
            let digest = store.put_blob(name, bytes);
            Reply::new(201)
                .with("Location", format!("/v2/{name}/blobs/{digest}"))
                .with("Docker-Content-Digest", digest)
        }
        _ => Reply::error(405, "UNSUPPORTED", "no such method"),
    }
}
