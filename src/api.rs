//! The request and the reply: one GET, and what its status and body mean.
//!
//! How the service is reached is in `transport`, how a body is read in `reply.rs`.

use std::borrow::Cow;
use std::io::Read;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::header::{AUTHORIZATION, CONTENT_ENCODING, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue};
use ureq::Body;

use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::key::{Key, Source};
use crate::reply::{self, Balance};
use crate::text;
use crate::transport::{self, Failure, Progress, Stage};

/// Bytes of body that are read at most; a balance has about a hundred.
const MAX_BODY: u64 = 64 << 10;

/// A 200 and what was read from it.
#[derive(Debug)]
pub struct Reply {
    /// The body, byte for byte.
    pub body: Vec<u8>,
    /// The number of credits left.
    pub credits: i64,
    /// When credits were last bought, as sent, fit to print; `None` for never.
    pub last_topup: Option<String>,
    /// The body repeats the key, or a good part of it, and must not be printed.
    pub holds_key: bool,
}

/// Asks `endpoint` for the balance of the key in `source`: one request, no redirects, no retries.
///
/// # Errors
/// Every failure has its own [`Error`].
pub fn fetch(endpoint: &Endpoint, source: &Source, progress: &Arc<Progress>) -> Result<Reply, Error> {
    let key = Key::load(source).map_err(|problem| Error::BadKey(source.clone(), problem))?;
    progress.note(format_args!("key: from {source}"));
    progress.reach(Stage::Trust);
    let agent = transport::agent(endpoint, progress).map_err(Error::Transport)?;
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", key.expose()))
        .map_err(|_| Error::Internal("the key fits no header".to_owned()))?;
    bearer.set_sensitive(true);
    let url = text::redact(&endpoint.uri().to_string(), key.expose());
    progress.note(format_args!("GET {url}, Authorization: Bearer {}", text::REDACTED));

    let started = Instant::now();
    let failed = |error| classify(error, endpoint, progress);
    let (head, mut body) =
        agent.get(endpoint.uri()).header(AUTHORIZATION, bearer).call().map_err(failed)?.into_parts();
    progress.note(format_args!("HTTP {} after {} ms", head.status.as_u16(), started.elapsed().as_millis()));
    progress.reach(Stage::Body);
    if head.status != 200 {
        progress.refused(head.status.as_u16());
        return Err(refusal(head.status.as_u16(), &head.headers, &mut body, endpoint, &key, source));
    }
    if let Some(encoding) = header(&head.headers, CONTENT_ENCODING).filter(|name| name != "identity") {
        return Err(Error::Compressed(text::from_server(&encoding, key.expose())));
    }
    let body = body.with_config().limit(MAX_BODY).read_to_vec().map_err(failed)?;
    read(body, &key)
}

/// Reads a 200.
fn read(body: Vec<u8>, key: &Key) -> Result<Reply, Error> {
    let Balance { credits, last_topup } = Balance::parse(&body).map_err(Error::NoBalance)?;
    let last_topup = last_topup.map(|sent| text::from_server(&sent, key.expose()));
    let holds_key = text::holds_part(&body, key.expose());
    Ok(Reply { body, credits, last_topup, holds_key })
}

/// Reads anything but a 200. The status is what counts: a body that can't be read costs only the words.
fn refusal(
    status: u16,
    headers: &HeaderMap,
    body: &mut Body,
    endpoint: &Endpoint,
    key: &Key,
    source: &Source,
) -> Error {
    let shown = |sent: &str| text::from_server(sent, key.expose());
    if let (300..=399, Some(location)) = (status, header(headers, LOCATION)) {
        return Error::Redirect { host: endpoint.name().to_owned(), location: shown(&location), status };
    }
    let mut bytes = Vec::new();
    let _ = body.as_reader().take(MAX_BODY).read_to_end(&mut bytes);
    let retry_after = (status == 429)
        .then(|| reply::retry_after(&bytes, header(headers, RETRY_AFTER).as_deref(), SystemTime::now()))
        .flatten();
    Error::Status {
        status,
        words: reply::words(&bytes).map(|words| shown(&words)),
        retry_after,
        key_hint: Some(key.hint(source)),
    }
}

/// A header's value, be it in whatever encoding; `None` when it is missing or blank.
fn header(headers: &HeaderMap, name: HeaderName) -> Option<Cow<'_, str>> {
    let value = String::from_utf8_lossy(headers.get(name)?.as_bytes().trim_ascii());
    Some(value).filter(|value| !value.is_empty())
}

/// Sorts the errors of the exchange: what the connection has to answer for, and what the reply.
fn classify(error: ureq::Error, endpoint: &Endpoint, progress: &Progress) -> Error {
    let host = endpoint.name().to_owned();
    match Failure::sort(error, &host, progress) {
        Ok(failure) => Error::Transport(failure),
        // The limit on the body, or the buffer that a single line of it did not fit into; the latter is larger.
        Err(ureq::Error::BodyExceedsLimit(_)) => Error::TooLarge(MAX_BODY),
        Err(ureq::Error::Protocol(error)) => {
            Error::NotHttp { host, reason: text::visible(&error.to_string()) }
        }
        Err(ureq::Error::LargeResponseHeader(..)) => {
            Error::NotHttp { host, reason: "its head is too long".to_owned() }
        }
        Err(other) => Error::Internal(text::visible(&other.to_string())),
    }
}
