//! One request through the script, the access and the API.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request as HttpRequest, Response};

use super::Inner;
use super::api::{Place, Reply, Request, answer};
use super::script::{Canned, Fault, Seen};
use super::settings::Access;

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// Serves one request of a connection that `doom` breaks off.
pub async fn serve(
    inner: Arc<Inner>,
    doom: Arc<AtomicBool>,
    request: HttpRequest<Incoming>,
) -> io::Result<Response<Body>> {
    let authorization = request.headers().get("authorization");
    let authorization = authorization.and_then(|value| value.to_str().ok());
    let scheme = authorization.and_then(|value| value.split(' ').next());
    let uri = request.uri().clone();
    let (index, fault) = inner.script.enter(Seen {
        index: 0,
        host: inner.host.clone(),
        method: request.method().to_string(),
        path: uri.path().to_owned(),
        query: uri.query().unwrap_or_default().to_owned(),
        version: format!("{:?}", request.version()),
        target: uri.host().unwrap_or_default().to_owned(),
        authorization: scheme.unwrap_or_default().to_owned(),
        fault: None,
        status: 0,
    });
    let reset = || {
        inner.script.fire();
        doom.store(true, Ordering::SeqCst);
        Err(io::ErrorKind::ConnectionReset.into())
    };
    match &fault {
        Some(Fault::Reset) => return reset(),
        Some(Fault::Hang) => {
            inner.script.fire();
            return std::future::pending().await;
        }
        Some(Fault::Answer(canned)) => {
            // Whoever answers a large body early reads on for a while, as nginx does.
            let _ = tokio::time::timeout(Duration::from_secs(2), drain(request.into_body())).await;
            inner.script.fire();
            inner.script.answered(index, canned.status);
            return Ok(response(&canned_reply(canned), full(canned.body.clone())));
        }
        Some(Fault::ResetWithin(limit)) => {
            let place = Place::of(uri.path());
            let taken = take(request.into_body(), *limit).await;
            if let Some(Place::Upload(_, id)) = place
                && let Some(held) = inner.store.lock().unwrap().uploads.get_mut(&id)
            {
                held.extend_from_slice(&taken);
            }
            return reset();
        }
        _ => {}
    }
    let reply = act(&inner, request).await?;
    let is_head = inner.script.log()[index - 1].method == "HEAD";
    if !matches!(fault, Some(Fault::ResetAfter | Fault::HangAfter)) {
        inner.script.answered(index, reply.status);
    }
    match fault {
        None => Ok(complete(reply, is_head)),
        Some(Fault::ResetAfter) => reset(),
        Some(Fault::HangAfter) => {
            inner.script.fire();
            std::future::pending().await
        }
        Some(fault) => {
            inner.script.fire();
            Ok(spoiled(reply, &fault, is_head, doom))
        }
    }
}

/// What the registry does and answers.
async fn act(inner: &Inner, request: HttpRequest<Incoming>) -> io::Result<Reply> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?;
    let body = body.to_bytes().to_vec();
    let request = Request {
        method: parts.method,
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body,
        origin: inner.origin.clone(),
    };
    let settings = inner.settings.lock().unwrap().clone();
    let mut tokens = inner.tokens.lock().unwrap();
    if let Access::Token(server) = &settings.access
        && request.path == "/token"
    {
        return Ok(tokens.give(server, &request));
    }
    if let Some(refusal) = tokens.refusal(&settings.access, &request) {
        return Ok(refusal);
    }
    drop(tokens);
    Ok(answer(
        &mut inner.store.lock().unwrap(),
        &settings,
        &request,
    ))
}

/// The answer as it should be.
fn complete(reply: Reply, is_head: bool) -> Response<Body> {
    if is_head {
        let length = reply.body.len();
        return response(
            &reply.with("Content-Length", length),
            Empty::new().map_err(never).boxed_unsync(),
        );
    }
    let body = full(reply.body.clone());
    response(&reply, body)
}

/// The answer with what is wrong with it.
fn spoiled(
    mut reply: Reply,
    fault: &Fault,
    is_head: bool,
    doom: Arc<AtomicBool>,
) -> Response<Body> {
    let length = reply.body.len();
    match fault {
        Fault::AnswerAfter(canned) => {
            let body = full(canned.body.clone());
            return response(&canned_reply(canned), body);
        }
        Fault::Truncate(limit) => reply.body.truncate(*limit),
        Fault::WrongBody => {
            if let Some(byte) = reply.body.last_mut() {
                *byte ^= 1;
            }
        }
        Fault::WrongDigest | Fault::NoDigest => {
            reply
                .headers
                .retain(|(name, _)| name != "Docker-Content-Digest");
            if *fault == Fault::WrongDigest {
                let other = castoff::oci::Digest::of(b"something else");
                reply = reply.with("Docker-Content-Digest", other);
            }
        }
        Fault::Headers(count) => {
            for number in 0..*count {
                reply = reply.with(&format!("X-Bomb-{number}"), "x".repeat(1000));
            }
        }
        Fault::Cut(limit) => {
            let head = Bytes::from(reply.body[..length.min(*limit)].to_vec());
            let cut = stream::once(async move { Ok(Frame::data(head)) }).chain(stream::once(
                async move {
                    // Long enough for what was sent to arrive.
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    doom.store(true, Ordering::SeqCst);
                    Err(io::ErrorKind::ConnectionReset.into())
                },
            ));
            return response(
                &reply.with("Content-Length", length),
                StreamBody::new(cut).boxed_unsync(),
            );
        }
        Fault::Slow(size, pause) => {
            let (pause, size) = (*pause, (*size).max(1));
            let pieces: Vec<Bytes> = reply
                .body
                .chunks(size)
                .map(Bytes::copy_from_slice)
                .collect();
            let slow = stream::iter(pieces).then(move |piece| async move {
                tokio::time::sleep(pause).await;
                Ok(Frame::data(piece))
            });
            return response(
                &reply.with("Content-Length", length),
                StreamBody::new(slow).boxed_unsync(),
            );
        }
        Fault::Endless => {
            let piece = Bytes::from(vec![b' '; 64 * 1024]);
            let endless = stream::repeat_with(move || Ok(Frame::data(piece.clone())));
            return response(&reply, StreamBody::new(endless).boxed_unsync());
        }
        _ => {}
    }
    complete(reply, is_head)
}

fn canned_reply(canned: &Canned) -> Reply {
    Reply {
        status: canned.status,
        headers: canned.headers.clone(),
        body: Vec::new(),
    }
}

fn response(reply: &Reply, body: Body) -> Response<Body> {
    let mut builder = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        builder = builder.header(name, value);
    }
    builder.body(body).unwrap()
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(never).boxed_unsync()
}

fn never(never: Infallible) -> io::Error {
    match never {}
}

/// Reads a body to its end and forgets it.
async fn drain(mut body: Incoming) {
    while let Some(Ok(_)) = body.frame().await {}
}

/// The first `limit` bytes of a body.
async fn take(mut body: Incoming, limit: usize) -> Vec<u8> {
    let mut taken = Vec::new();
    while taken.len() < limit {
        let Some(Ok(frame)) = body.frame().await else {
            break;
        };
        if let Some(data) = frame.data_ref() {
            taken.extend_from_slice(data);
        }
    }
    taken.truncate(limit);
    taken
}
