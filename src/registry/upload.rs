//! Blobs on their way into a registry (distribution-spec, "Pushing blobs"): mounted where that
//! works, else in one PUT, and in pieces where one PUT is too much or was cut.

use std::sync::atomic::{AtomicBool, Ordering};

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use http::header::{LOCATION, RANGE};
use reqwest::Method;
use url::Url;

use super::answer::Answer;
use super::call::{Call, Place};
use super::host::Host;
use super::retry::Tries;
use super::scope::Scopes;
use super::source::{PROGRESS, Source};
use super::wire::resolve;
use crate::cx::Cx;
use crate::execute::ports::{RegistryError, RegistryFault};
use crate::oci::{Digest, Repository};

/// The first size of pieces. Proxies refuse bodies over 1 MiB (nginx) or 100 MB (Cloudflare).
const FIRST_PIECE: u64 = 4 * 1024 * 1024;
/// Pieces do not get smaller than this.
const SMALLEST_PIECE: u64 = 16 * 1024;
/// The largest piece that a registry may demand, as a piece is held in memory.
const LARGEST_PIECE: u64 = 32 * 1024 * 1024;

/// How a blob came to be in a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    /// It was sent.
    Sent,
    /// It was mounted from another repository.
    Mounted,
    /// It was there, after all.
    Present,
}

/// A blob to be uploaded.
#[derive(Debug)]
pub(super) struct Upload<'a> {
    pub(super) cx: &'a Cx,
    pub(super) host: &'a Host,
    pub(super) repository: &'a Repository,
    pub(super) digest: &'a Digest,
    pub(super) size: u64,
    pub(super) source: &'a Source,
    /// A repository of the same registry that has it.
    pub(super) mount: Option<String>,
    /// Whether a token has been renewed on the way, which helps once.
    pub(super) is_renewed: AtomicBool,
}

/// An upload that the registry has begun.
#[derive(Clone, Debug)]
struct Session {
    location: Url,
    /// How many bytes the registry has.
    offset: u64,
    /// The smallest piece that it takes, 0 where it does not say.
    at_least: u64,
    /// Whether it goes on after a cut.
    is_resumed: bool,
}

enum Begun {
    Mounted,
    Session(Session),
}

impl Upload<'_> {
    /// Brings the blob into the registry.
    pub(super) async fn run(mut self) -> Result<Arrival, RegistryError> {
        let doing = format!("upload blob {}@{}", self.repository, self.digest);
        let patience = self.host.common.options.patience;
        let who = (self.host.name.as_str(), &self.host.presence);
        let mut tries = Tries::of_transfer(self.cx, patience, who, doing);
        let (mut session, mut may_resume) = (None, true);
        let mut reached = 0;
        loop {
            let fault = match self.attempt(&mut session).await {
                Ok(arrival) => return Ok(arrival),
                Err(fault) => fault,
            };
            if let Some(error) = self.source.failure() {
                return Err(error);
            }
            let fault = self.made_temporary(fault, &mut session, &mut may_resume);
            tries.after(fault).await?;
            let arrived = self.host.has_blob(self.repository, self.digest).await;
            if arrived.is_ok_and(|has| has) {
                return Ok(Arrival::Present);
            }
            session = match session.take() {
                Some(session) if may_resume => self.progress(&session).await,
                _ => None,
            };
            if let Some(session) = &session
                && session.offset >= reached + PROGRESS
            {
                reached = session.offset;
                tries.made_progress();
            }
        }
    }

    /// An upload that the registry no longer knows, or sees otherwise than we do, is begun anew:
    /// that is worth as many attempts as a lost connection. So is one that it would not let us go
    /// on with, which is not tried again.
    fn made_temporary(
        &self,
        fault: RegistryFault,
        session: &mut Option<Session>,
        may_resume: &mut bool,
    ) -> RegistryFault {
        let is_resumed = session.as_ref().is_some_and(|session| session.is_resumed);
        let is_lost = match &fault {
            RegistryFault::NotFound { code, .. } => is_resumed || code == "BLOB_UPLOAD_UNKNOWN",
            RegistryFault::NotAllowed { .. } => is_resumed,
            RegistryFault::Refused { status, code, .. } => {
                let is_void = matches!(
                    code.as_str(),
                    "BLOB_UPLOAD_UNKNOWN" | "BLOB_UPLOAD_INVALID" | "RANGE_INVALID"
                );
                *status == 416 || is_void || is_resumed && *status < 500
            }
            _ => false,
        };
        if !is_lost || session.is_none() {
            return fault;
        }
        *may_resume &= !is_resumed;
        *session = None;
        RegistryFault::Lost {
            host: self.host.name.clone(),
            message: fault.to_string(),
        }
    }

    /// One attempt, from where `session` stands.
    async fn attempt(&mut self, session: &mut Option<Session>) -> Result<Arrival, RegistryFault> {
        loop {
            if session.is_none() {
                match self.begin().await? {
                    Begun::Mounted => return Ok(Arrival::Mounted),
                    Begun::Session(begun) => *session = Some(begun),
                }
            }
            let Some(current) = session.as_mut() else {
                return Err(protocol("no upload was begun"));
            };
            if current.offset > 0 || self.host.piece.load(Ordering::Relaxed) > 0 {
                return self.pieces(current).await;
            }
            let answer = self.whole(current).await?;
            if !wants_pieces(answer.status.as_u16()) {
                return self.finished(&answer);
            }
            self.host.piece.store(FIRST_PIECE, Ordering::Relaxed);
            // What was refused should not have reached the upload, but who knows.
            *session = None;
        }
    }

    /// Begins an upload, or has the blob mounted. Where mounting is refused, because of the login
    /// or altogether, a plain upload follows.
    async fn begin(&mut self) -> Result<Begun, RegistryFault> {
        let path = self.repository.path();
        let begin = format!("{path}/blobs/uploads/");
        if let Some(from) = self.mount.take() {
            let scopes = Scopes::push(path).and(Scopes::pull(&from));
            let query = format!("{begin}?mount={}&from={from}", self.digest);
            let call = Call::new(Method::POST, query, scopes);
            match self.host.ask(&call, &[200, 201, 202, 204]).await {
                Ok(answer) if answer.status.as_u16() == 201 => return Ok(Begun::Mounted),
                Ok(answer) => return Self::session(&answer).map(Begun::Session),
                Err(fault) if fault.is_temporary() => {
                    self.mount = Some(from);
                    return Err(fault);
                }
                Err(_) => {}
            }
        }
        let call = Call::new(Method::POST, begin, Scopes::push(path));
        let answer = self.host.ask(&call, &[200, 202, 204]).await?;
        Self::session(&answer).map(Begun::Session)
    }

    fn session(answer: &Answer) -> Result<Session, RegistryFault> {
        let at_least = answer.header("oci-chunk-min-length");
        Ok(Session {
            location: next_location(answer)?
                .ok_or_else(|| protocol("an upload without a location"))?,
            offset: 0,
            at_least: at_least.and_then(|text| text.parse().ok()).unwrap_or(0),
            is_resumed: false,
        })
    }

    /// Sends all of it in one PUT.
    async fn whole(&self, session: &Session) -> Result<Answer, RegistryFault> {
        let location = with_digest(&session.location, self.digest);
        let body = self.source.open(session.offset);
        let length = self.size - session.offset;
        self.pour(Method::PUT, location, length, None, body).await
    }

    /// Sends what is missing in pieces, and closes the upload.
    async fn pieces(&self, session: &mut Session) -> Result<Arrival, RegistryFault> {
        let mut body = self.source.open(session.offset);
        let mut pending = BytesMut::new();
        while session.offset < self.size {
            let size = self.piece_size(session)?;
            let missing = self.size - session.offset;
            let wanted = usize::try_from(size.min(missing)).unwrap_or(usize::MAX);
            while pending.len() < wanted {
                match body.next().await {
                    Some(Ok(bytes)) => pending.extend_from_slice(&bytes),
                    Some(Err(error)) => return Err(error.fault),
                    None => return Err(protocol("the blob is shorter than its descriptor says")),
                }
            }
            let piece = Bytes::copy_from_slice(pending.get(..wanted).unwrap_or_default());
            let answer = self.patch(session, &piece).await?;
            if answer.status.as_u16() == 413 {
                self.smaller_pieces(session, wanted as u64, &answer)?;
                continue;
            }
            bytes::Buf::advance(&mut pending, wanted);
            session.offset += wanted as u64;
            if let Some(location) = next_location(&answer)? {
                session.location = location;
            }
            if let Some(end) = answer.header(RANGE.as_str()).and_then(range_end)
                && end + 1 != session.offset
            {
                return Err(RegistryFault::Lost {
                    host: self.host.name.clone(),
                    message: format!("the registry has {} bytes of {}", end + 1, session.offset),
                });
            }
        }
        let location = with_digest(&session.location, self.digest);
        let call = Call::to(Method::PUT, Place::Url(location), self.scopes());
        let answer = self.host.ask(&call, &[200, 201, 204]).await?;
        self.finished(&answer)
    }

    async fn patch(&self, session: &Session, piece: &Bytes) -> Result<Answer, RegistryFault> {
        let range = format!(
            "{}-{}",
            session.offset,
            session.offset + piece.len() as u64 - 1
        );
        let location = session.location.clone();
        let length = piece.len() as u64;
        let body = Source::Memory(piece.clone()).open(0);
        let answer = self
            .pour(Method::PATCH, location, length, Some(&range), body)
            .await?;
        match answer.status.as_u16() {
            200 | 202 | 204 | 413 => Ok(answer),
            _ => Err(self.refused(&answer)),
        }
    }

    fn piece_size(&self, session: &Session) -> Result<u64, RegistryFault> {
        if session.at_least > LARGEST_PIECE {
            return Err(protocol("the registry wants larger pieces than 32 MiB"));
        }
        let size = self.host.piece.load(Ordering::Relaxed);
        let size = if size == 0 { FIRST_PIECE } else { size };
        Ok(size.max(session.at_least))
    }

    /// After a piece of `refused` bytes was too large.
    fn smaller_pieces(
        &self,
        session: &Session,
        refused: u64,
        answer: &Answer,
    ) -> Result<(), RegistryFault> {
        let smaller = (refused / 4).max(SMALLEST_PIECE);
        if refused <= SMALLEST_PIECE || refused <= session.at_least {
            return Err(self.refused(answer));
        }
        self.host.piece.fetch_min(smaller, Ordering::Relaxed);
        Ok(())
    }

    /// How far the registry got with an upload that was cut, `None` where it does not say.
    async fn progress(&self, session: &Session) -> Option<Session> {
        let place = Place::Url(session.location.clone());
        let call = Call::to(Method::GET, place, self.scopes());
        let answer = self.host.ask(&call, &[200, 202, 204]).await.ok()?;
        let end = range_end(answer.header(RANGE.as_str())?)?;
        let location = next_location(&answer).ok()?;
        // Nothing at all and one byte look the same: `0-0`.
        let offset = if end == 0 { 0 } else { end + 1 };
        (offset <= self.size).then(|| Session {
            location: location.unwrap_or_else(|| session.location.clone()),
            offset,
            at_least: session.at_least,
            is_resumed: true,
        })
    }

    pub(super) fn scopes(&self) -> Scopes {
        Scopes::push(self.repository.path())
    }

    fn finished(&self, answer: &Answer) -> Result<Arrival, RegistryFault> {
        if !matches!(answer.status.as_u16(), 200 | 201 | 204) {
            return Err(self.refused(answer));
        }
        match answer.digest() {
            Some(digest)
                if digest != *self.digest && digest.algorithm() == self.digest.algorithm() =>
            {
                Err(RegistryFault::Corrupt {
                    expected: self.digest.clone(),
                    found: digest.to_string(),
                })
            }
            _ => Ok(Arrival::Sent),
        }
    }

    fn refused(&self, answer: &Answer) -> RegistryFault {
        self.host.refused(answer)
    }
}

/// Statuses that say "not in one piece": too large, no length known, this method not here.
fn wants_pieces(status: u16) -> bool {
    matches!(status, 405 | 411 | 413 | 501)
}

/// Where an upload goes on, where the answer says so.
pub(super) fn next_location(answer: &Answer) -> Result<Option<Url>, RegistryFault> {
    let location = answer.headers.get(LOCATION);
    location.map(|text| resolve(&answer.url, text)).transpose()
}

fn with_digest(location: &Url, digest: &Digest) -> Url {
    let mut url = location.clone();
    url.query_pairs_mut().append_pair("digest", digest.as_str());
    url
}

/// The last byte of a `Range: 0-99`; some registries write `bytes=0-99`.
fn range_end(text: &str) -> Option<u64> {
    let (_, end) = text.trim().rsplit_once('-')?;
    end.parse().ok()
}

fn protocol(message: &str) -> RegistryFault {
    RegistryFault::Protocol {
        message: message.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_somewhere() {
        assert_eq!(range_end("0-99"), Some(99));
        assert_eq!(range_end("bytes=0-99"), Some(99));
        assert_eq!(range_end("0"), None);
    }
}
