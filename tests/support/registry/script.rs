//! What goes wrong, and when; and what was asked.

use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

/// The script of one or more registries: rules, a count of requests, and a log of them.
#[derive(Debug, Default)]
pub struct Script {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    log: Vec<Seen>,
    fired: u32,
    /// The number of the request whose fault spreads, and to what.
    reach: Option<(usize, Reach)>,
}

/// One request as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its number among all requests of the script, from 1.
    pub index: usize,
    /// The registry's host and port.
    pub host: String,
    pub method: String,
    pub path: String,
    pub query: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// The host that the request itself names, as one to a proxy does; else empty.
    pub target: String,
    /// `Basic`, `Bearer`, or empty.
    pub authorization: String,
    /// The fault that it met.
    pub fault: Option<Fault>,
    /// What was answered, 0 as long as nothing was.
    pub status: u16,
}

impl Seen {
    /// `PUT /v2/a/manifests/1.0`.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// Which requests a rule is about.
#[derive(Clone, Debug, Default)]
pub struct When {
    index: Option<usize>,
    method: Option<String>,
    path: Option<String>,
    host: Option<String>,
    skip: u32,
    times: Option<u32>,
}

impl When {
    /// Every request.
    pub fn any() -> Self {
        Self::default()
    }

    /// The request with this number among all, from 1.
    pub fn request(index: usize) -> Self {
        Self {
            index: Some(index),
            ..Self::default()
        }
    }

    /// Requests with this method whose path contains `path`.
    pub fn is(method: &str, path: &str) -> Self {
        Self {
            method: Some(method.to_owned()),
            path: Some(path.to_owned()),
            ..Self::default()
        }
    }

    /// Of these, those that go to one registry.
    pub fn at(mut self, host: &str) -> Self {
        self.host = Some(host.to_owned());
        self
    }

    /// Of these, all but the first `count`.
    pub fn after(mut self, count: u32) -> Self {
        self.skip = count;
        self
    }

    /// Of these, only so many; without this, all.
    pub fn times(mut self, count: u32) -> Self {
        self.times = Some(count);
        self
    }

    fn matches(&self, seen: &Seen) -> bool {
        self.index.is_none_or(|index| index == seen.index)
            && self
                .method
                .as_ref()
                .is_none_or(|method| *method == seen.method)
            && self
                .path
                .as_ref()
                .is_none_or(|path| seen.path.contains(path))
            && self.host.as_ref().is_none_or(|host| *host == seen.host)
    }
}

/// What a fault concerns besides the request that it meets first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Nothing else.
    Once,
    /// Every later request with the same method to the same place.
    Same,
    /// Every later request to the same registry.
    Host,
}

#[derive(Debug)]
struct Rule {
    when: When,
    fault: Fault,
    /// How many requests it was about.
    hits: u32,
}

/// What happens to a request. "After" means that the registry did what was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// This answer instead.
    Answer(Canned),
    /// This answer, after.
    AnswerAfter(Canned),
    /// The connection is reset, nothing was done.
    Reset,
    /// The connection is reset, after.
    ResetAfter,
    /// So many bytes of the request's body are taken, then the connection is reset. What was
    /// taken stays in the upload.
    ResetWithin(usize),
    /// The answer breaks off after so many bytes of its body.
    Cut(usize),
    /// The answer's body has only so many bytes, and says so.
    Truncate(usize),
    /// One byte of the answer's body is another.
    WrongBody,
    /// The answer announces another digest.
    WrongDigest,
    /// The answer announces no digest.
    NoDigest,
    /// No answer ever comes, nothing was done.
    Hang,
    /// No answer ever comes, after.
    HangAfter,
    /// The answer's body comes in pieces of so many bytes, a pause before each.
    Slow(usize, Duration),
    /// The answer's body never ends.
    Endless,
    /// The answer has so many header lines more, of 1 KB each.
    Headers(usize),
}

/// An answer that does not come from the registry's logic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canned {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Canned {
    /// A status with an error body as registries write it.
    pub fn error(status: u16, code: &str, message: &str) -> Self {
        let body = serde_json::json!({ "errors": [{ "code": code, "message": message }] });
        Self {
            status,
            headers: vec![("Content-Type".to_owned(), "application/json".to_owned())],
            body: body.to_string(),
        }
    }

    /// The same with a header more.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Fault {
    /// A status.
    pub fn status(status: u16) -> Self {
        Self::Answer(Canned::error(status, "UNAVAILABLE", "scripted"))
    }

    /// 429 with a time to wait.
    pub fn too_many(seconds: u32) -> Self {
        let canned = Canned::error(429, "TOOMANYREQUESTS", "scripted");
        Self::Answer(canned.with("Retry-After", &seconds.to_string()))
    }

    /// A redirect.
    pub fn redirect(status: u16, location: &str) -> Self {
        Self::Answer(Canned::error(status, "", "moved").with("Location", location))
    }
}

impl Script {
    /// A script to be shared by registries.
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Adds a rule. Of several that are about a request the first counts.
    pub fn on(&self, when: When, fault: Fault) {
        let hits = 0;
        let rule = Rule { when, fault, hits };
        self.state.lock().unwrap().rules.push(rule);
    }

    /// Adds a rule for one request, by its number, and what is like it from then on.
    pub fn on_request(&self, index: usize, fault: Fault, reach: Reach) {
        self.on(When::request(index), fault);
        self.state.lock().unwrap().reach = Some((index, reach));
    }

    /// The request that met the fault of [`on_request`](Self::on_request).
    pub fn hit(&self, index: usize) -> Option<Seen> {
        let state = self.state.lock().unwrap();
        state.log.get(index - 1).cloned()
    }

    /// Removes all rules, the log and the count.
    pub fn clear(&self) {
        *self.state.lock().unwrap() = State::default();
    }

    /// All requests since the start or the last [`clear`](Self::clear).
    pub fn log(&self) -> Vec<Seen> {
        self.state.lock().unwrap().log.clone()
    }

    /// `METHOD path` of all requests.
    pub fn lines(&self) -> Vec<String> {
        self.log().iter().map(Seen::line).collect()
    }

    /// How many requests had this method, and a path that contains `path`.
    pub fn count(&self, method: &str, path: &str) -> usize {
        let log = self.log();
        let hits = log.iter();
        hits.filter(|seen| seen.method == method && seen.path.contains(path))
            .count()
    }

    /// Waits until so many rules have fired: for whoever wants to act at that very moment, such as
    /// to kill the client.
    pub fn wait_fired(&self, count: u32, limit: Duration) -> bool {
        let until = Instant::now() + limit;
        let mut state = self.state.lock().unwrap();
        while state.fired < count {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.changed.wait_timeout(state, left).unwrap().0;
        }
        true
    }

    /// Enters a request, and says what it meets.
    pub(super) fn enter(&self, mut seen: Seen) -> (usize, Option<Fault>) {
        let mut state = self.state.lock().unwrap();
        seen.index = state.log.len() + 1;
        let index = seen.index;
        let mut fault = None;
        for rule in &mut state.rules {
            if !rule.when.matches(&seen) {
                continue;
            }
            // Every rule counts what it is about, also where another one comes first.
            let hit = rule.hits;
            rule.hits += 1;
            let behind = hit.checked_sub(rule.when.skip);
            let times = rule.when.times.unwrap_or(u32::MAX);
            if fault.is_none() && behind.is_some_and(|behind| behind < times) {
                fault = Some(rule.fault.clone());
            }
        }
        if let Some((first, reach)) = state.reach
            && reach != Reach::Once
            && index == first
            && let Some(fault) = fault.clone()
        {
            let mut when = When::any().at(&seen.host);
            if reach == Reach::Same {
                when.method = Some(seen.method.clone());
                when.path = Some(seen.path.clone());
            }
            let hits = 0;
            state.rules.push(Rule { when, fault, hits });
        }
        seen.fault.clone_from(&fault);
        state.log.push(seen);
        (index, fault)
    }

    /// Tells that a fault has come to pass.
    pub(super) fn fire(&self) {
        self.state.lock().unwrap().fired += 1;
        self.changed.notify_all();
    }

    pub(super) fn answered(&self, index: usize, status: u16) {
        let mut state = self.state.lock().unwrap();
        if let Some(seen) = state.log.get_mut(index - 1) {
            seen.status = status;
        }
    }
}
