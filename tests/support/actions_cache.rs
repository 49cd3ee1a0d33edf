//! GitHub's cache service in a thread of its own: both of its protocols, in memory, with scopes.
//!
//! What it knows is what actions/cache and go-actions-cache ask of the real one. A run sees the entries
//! of the scopes in its token, in their order, and writes to the first that lets it.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// How the service behaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mood {
    #[default]
    Well,
    /// Every request is answered 429.
    TooMany,
    /// Every request is answered 500, with what it was authorised with in the message.
    Broken,
    /// Reads work, every write is answered 500.
    ReadOnly,
    /// No request is ever answered.
    Hangs,
    /// Reads work, no write is ever answered.
    WritesHang,
}

/// The service on 127.0.0.1. It ends when it is dropped.
pub struct ActionsCache {
    inner: Arc<Inner>,
    stop: CancellationToken,
    thread: Option<JoinHandle<()>>,
}

struct Inner {
    origin: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    mood: Mood,
    entries: Vec<Entry>,
    /// Method and path of every request, in their order.
    log: Vec<String>,
}

struct Entry {
    scope: String,
    key: String,
    version: String,
    content: Vec<u8>,
    blocks: BTreeMap<String, Vec<u8>>,
    is_complete: bool,
}

/// A token of the runtime for the scopes: the first is written, all are read.
pub fn token(scopes: &[&str]) -> String {
    let scopes: Vec<Value> = scopes
        .iter()
        .enumerate()
        .map(|(index, scope)| json!({"Scope": scope, "Permission": if index == 0 { 3 } else { 1 }}))
        .collect();
    signed(&scopes)
}

/// A token that only reads.
pub fn reading_token(scope: &str) -> String {
    signed(&[json!({"Scope": scope, "Permission": 1})])
}

fn signed(scopes: &[Value]) -> String {
    let claims = json!({
        "nbf": 1_700_000_000,
        "exp": 4_000_000_000_u64,
        "ac": json!(scopes).to_string(),
    });
    let encode = |text: &str| BASE64_URL_SAFE_NO_PAD.encode(text);
    format!(
        "{}.{}.{}",
        encode(r#"{"alg":"RS256","typ":"JWT"}"#),
        encode(&claims.to_string()),
        encode("not a real signature")
    )
}

impl ActionsCache {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let inner = Arc::new(Inner {
            origin: format!("http://{}", listener.local_addr().unwrap()),
            state: Mutex::default(),
        });
        let stop = CancellationToken::new();
        let thread = {
            let (inner, stop) = (Arc::clone(&inner), stop.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                runtime.block_on(accept(listener, inner, stop));
            })
        };
        Self {
            inner,
            stop,
            thread: Some(thread),
        }
    }

    /// Its address, as the runner gives it to actions: with a slash at the end.
    pub fn url(&self) -> String {
        format!("{}/", self.inner.origin)
    }

    pub fn set_mood(&self, mood: Mood) {
        self.inner.state.lock().unwrap().mood = mood;
    }

    /// The requests by now whose method and path hold `text`.
    pub fn requests(&self, text: &str) -> usize {
        let state = self.inner.state.lock().unwrap();
        state.log.iter().filter(|line| line.contains(text)).count()
    }

    /// Scope and key of everything that is stored whole.
    pub fn stored(&self) -> Vec<(String, String)> {
        let state = self.inner.state.lock().unwrap();
        let whole = state.entries.iter().filter(|entry| entry.is_complete);
        whole
            .map(|entry| (entry.scope.clone(), entry.key.clone()))
            .collect()
    }
}

impl Drop for ActionsCache {
    fn drop(&mut self) {
        self.stop.cancel();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, inner: Arc<Inner>, stop: CancellationToken) {
    let listener = tokio::net::TcpListener::from_std(listener).unwrap();
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => return,
            accepted = listener.accept() => accepted.unwrap().0,
        };
        let inner = Arc::clone(&inner);
        tokio::spawn(async move {
            let service = service_fn(move |request| serve(Arc::clone(&inner), request));
            let _ = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn serve(
    inner: Arc<Inner>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let path = head.uri.path().to_owned();
    let query = head.uri.query().unwrap_or_default().to_owned();
    let header = |name: &str| {
        let value = head.headers.get(name).and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let authorization = header("authorization");
    let range = Some(header("x-ms-range"))
        .filter(|range| !range.is_empty())
        .unwrap_or_else(|| header("range"));
    let mood = {
        let mut state = inner.state.lock().unwrap();
        state.log.push(format!("{} {path}?{query}", head.method));
        state.mood
    };
    let is_read = path.ends_with("GetCacheEntryDownloadURL") || head.method == "GET";
    match mood {
        Mood::Hangs => return std::future::pending().await,
        Mood::WritesHang if !is_read => return std::future::pending().await,
        Mood::TooMany => {
            let mut response = answer(429, r#"{"message":"slow down"}"#);
            let headers = response.headers_mut();
            headers.insert("retry-after", "1".parse().unwrap());
            return Ok(response);
        }
        Mood::Broken => {
            let said = json!({"message": format!("out of order for {authorization}")});
            return Ok(answer(500, said.to_string()));
        }
        Mood::ReadOnly if !is_read => return Ok(answer(500, r#"{"message":"the disk is full"}"#)),
        _ => {}
    }
    let body = body.collect().await.unwrap().to_bytes();
    let mut state = inner.state.lock().unwrap();
    let call = Call {
        origin: &inner.origin,
        method: head.method.as_str(),
        query: &query,
        content_range: &header("content-range"),
        range: &range,
        scopes: scopes(&authorization),
        body,
    };
    Ok(
        if let Some(rest) = path.strip_prefix("/_apis/artifactcache/") {
            state.first_protocol(&call, rest)
        } else if let Some(method) =
            path.strip_prefix("/twirp/github.actions.results.api.v1.CacheService/")
        {
            state.second_protocol(&call, method)
        } else if let Some(id) = path.strip_prefix("/blob/") {
            state.blob(&call, id.parse().unwrap())
        } else {
            answer(404, "{}")
        },
    )
}

struct Call<'a> {
    origin: &'a str,
    method: &'a str,
    query: &'a str,
    content_range: &'a str,
    range: &'a str,
    /// Name and whether it may be written.
    scopes: Vec<(String, bool)>,
    body: Bytes,
}

impl Call<'_> {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn parameter(&self, name: &str) -> Option<String> {
        let mut pairs = url::form_urlencoded::parse(self.query.as_bytes());
        pairs
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.into_owned())
    }
}

/// What the token lets a run see.
fn scopes(authorization: &str) -> Vec<(String, bool)> {
    let decode = |text: &str| {
        let claims = text.strip_prefix("Bearer ")?.split('.').nth(1)?;
        let claims = BASE64_URL_SAFE_NO_PAD.decode(claims).ok()?;
        let claims: Value = serde_json::from_slice(&claims).ok()?;
        serde_json::from_str::<Vec<Value>>(claims["ac"].as_str()?).ok()
    };
    let scopes = decode(authorization).unwrap_or_default();
    scopes
        .iter()
        .map(|scope| {
            (
                scope["Scope"].as_str().unwrap().to_owned(),
                scope["Permission"].as_u64().unwrap() & 2 != 0,
            )
        })
        .collect()
}

impl State {
    fn first_protocol(&mut self, call: &Call<'_>, rest: &str) -> Response<Full<Bytes>> {
        match (call.method, rest.strip_prefix("caches/")) {
            ("GET", _) if rest == "cache" => {
                let keys = call.parameter("keys").unwrap();
                let keys: Vec<&str> = keys.split(',').collect();
                let found = self.find(call, &keys, &call.parameter("version").unwrap());
                found.map_or_else(
                    || answer(204, ""),
                    |(id, key, scope)| {
                        let place = format!("{}/blob/{id}", call.origin);
                        let said =
                            json!({"cacheKey": key, "scope": scope, "archiveLocation": place});
                        answer(200, said.to_string())
                    },
                )
            }
            ("POST", None) if rest == "caches" => match self.reserve(call) {
                Ok(id) => answer(201, json!({"cacheId": id}).to_string()),
                Err(status) => answer(
                    status,
                    r#"{"message":"it already exists","typeKey":"ArtifactCacheItemAlreadyExistsException"}"#,
                ),
            },
            ("PATCH", Some(id)) => {
                let start = call.content_range.strip_prefix("bytes ").unwrap();
                let start: usize = start.split('-').next().unwrap().parse().unwrap();
                let entry = self.entry(id.parse().unwrap());
                let end = start + call.body.len();
                entry.content.resize(entry.content.len().max(end), 0);
                entry.content[start..end].copy_from_slice(&call.body);
                answer(204, "")
            }
            ("POST", Some(id)) => {
                let entry = self.entry(id.parse().unwrap());
                entry.is_complete =
                    entry.content.len() as u64 == call.json()["size"].as_u64().unwrap();
                answer(if entry.is_complete { 204 } else { 400 }, "")
            }
            _ => answer(404, "{}"),
        }
    }

    fn second_protocol(&mut self, call: &Call<'_>, method: &str) -> Response<Full<Bytes>> {
        let said = call.json();
        let text = |key: &str| said[key].as_str().unwrap_or_default().to_owned();
        match method {
            "GetCacheEntryDownloadURL" => {
                let (key, version) = (text("key"), text("version"));
                let more = said["restore_keys"].as_array().cloned().unwrap_or_default();
                let mut keys = vec![key.as_str()];
                keys.extend(more.iter().filter_map(Value::as_str));
                let found = self.find(call, &keys, &version);
                let said = found.map_or_else(
                    || json!({"ok": false, "signed_download_url": "", "matched_key": ""}),
                    |(id, key, _)| {
                        let place = format!("{}/blob/{id}?sig=secret", call.origin);
                        json!({"ok": true, "signed_download_url": place, "matched_key": key})
                    },
                );
                answer(200, said.to_string())
            }
            "CreateCacheEntry" => match self.reserve(call) {
                Ok(id) => {
                    let place = format!("{}/blob/{id}?sig=secret", call.origin);
                    let said = json!({"ok": true, "signed_upload_url": place});
                    answer(200, said.to_string())
                }
                Err(status) => answer(status, r#"{"code":"already_exists","msg":"it is there"}"#),
            },
            "FinalizeCacheEntryUpload" => {
                let key = text("key");
                let found = self.entries.iter_mut().rfind(|entry| entry.key == key);
                let size: Option<u64> = said["size_bytes"]
                    .as_u64()
                    .or_else(|| said["size_bytes"].as_str()?.parse().ok());
                let is_whole = found.is_some_and(|entry| {
                    entry.is_complete = Some(entry.content.len() as u64) == size;
                    entry.is_complete
                });
                answer(200, json!({"ok": is_whole, "entry_id": "1"}).to_string())
            }
            _ => answer(404, r#"{"code":"bad_route","msg":"no such method"}"#),
        }
    }

    /// Uploads and downloads, as Azure has them.
    fn blob(&mut self, call: &Call<'_>, id: usize) -> Response<Full<Bytes>> {
        let entry = self.entry(id);
        match (call.method, call.parameter("comp").as_deref()) {
            ("GET" | "HEAD", _) => {
                let start = call.range.strip_prefix("bytes=").unwrap_or("0-");
                let (start, end) = start.split_once('-').unwrap();
                let start: usize = start.parse().unwrap();
                let length = entry.content.len();
                let end = end
                    .parse()
                    .map_or(length, |last: usize| length.min(last + 1));
                let part = Bytes::copy_from_slice(&entry.content[start.min(end)..end]);
                let mut response = answer(if call.range.is_empty() { 200 } else { 206 }, part);
                let range = format!("bytes {start}-{}/{length}", end.saturating_sub(1));
                let headers = response.headers_mut();
                headers.insert("content-range", range.parse().unwrap());
                response
            }
            ("PUT", Some("block")) => {
                let block = call.parameter("blockid").unwrap();
                entry.blocks.insert(block, call.body.to_vec());
                answer(201, "")
            }
            ("PUT", Some("blocklist")) => {
                let list = String::from_utf8(call.body.to_vec()).unwrap();
                let blocks = list.split("<Latest>").skip(1);
                let names = blocks.map(|rest| rest.split('<').next().unwrap());
                entry.content = names.flat_map(|name| entry.blocks[name].clone()).collect();
                answer(201, "")
            }
            ("PUT", None) => {
                entry.content = call.body.to_vec();
                answer(201, "")
            }
            _ => answer(400, ""),
        }
    }

    /// The newest whole entry of the first scope that has one, whole keys before beginnings of keys.
    fn find(
        &self,
        call: &Call<'_>,
        keys: &[&str],
        version: &str,
    ) -> Option<(usize, String, String)> {
        for (scope, _) in &call.scopes {
            for key in keys {
                let fits = |entry: &&(usize, &Entry)| {
                    let (_, entry) = **entry;
                    entry.is_complete
                        && entry.scope == *scope
                        && entry.version == version
                        && entry.key.starts_with(key)
                };
                let entries: Vec<(usize, &Entry)> = self.entries.iter().enumerate().collect();
                let exact = entries.iter().find(|it| it.1.key == *key && fits(it));
                if let Some((id, entry)) = exact.or_else(|| entries.iter().rfind(fits)) {
                    return Some((*id + 1, entry.key.clone(), entry.scope.clone()));
                }
            }
        }
        None
    }

    fn reserve(&mut self, call: &Call<'_>) -> Result<usize, u16> {
        let said = call.json();
        let text = |key: &str| said[key].as_str().unwrap().to_owned();
        let writable = call.scopes.iter().find(|(_, may_write)| *may_write);
        let (scope, _) = writable.ok_or(403_u16)?;
        let (key, version) = (text("key"), text("version"));
        let is_taken = self
            .entries
            .iter()
            .any(|entry| entry.key == key && entry.version == version && entry.scope == *scope);
        if is_taken {
            return Err(409);
        }
        self.entries.push(Entry {
            scope: scope.clone(),
            key,
            version,
            content: Vec::new(),
            blocks: BTreeMap::new(),
            is_complete: false,
        });
        // A client takes 0 for none.
        Ok(self.entries.len())
    }

    fn entry(&mut self, id: usize) -> &mut Entry {
        &mut self.entries[id - 1]
    }
}

fn answer(status: u16, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    Response::builder()
        .status(status)
        .header("x-ms-request-id", "1")
        .header("x-ms-version", "2023-11-03")
        .header("etag", "\"1\"")
        .header("last-modified", "Fri, 28 Jun 2024 10:00:00 GMT")
        .body(Full::new(body.into()))
        .unwrap()
}
