//! The request and the reply: one GET, and what its status means.
//!
//! How the server is reached is in `transport`, how a body is read in `reply.rs`.

use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::time::Instant;

use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, HeaderName, LOCATION, RETRY_AFTER, TRANSFER_ENCODING,
};
use http::response::Parts;
use jiff::Timestamp;
use ureq::Body;

use crate::cli::Config;
use crate::deadline::Run;
use crate::endpoint;
use crate::error::{Error, Kind, Result, error};
use crate::key::Key;
use crate::reply::{self, Reply};
use crate::text::{self, Shown, shown};
use crate::transport;

/// The most bytes of a body that are read; a balance has about a hundred.
const MAX_BODY: u64 = 64 << 10;

/// Asks for the balance: one request, no redirects, no retries.
///
/// # Errors
/// Everything but a 200 with a balance.
pub fn fetch(run: &Arc<Run>) -> Result<Reply> {
    let config = &run.config;
    let uri = config.endpoint.uri();
    run.step(&shown!(
        "could not read the API key from {}",
        config.key.name()
    ));
    let key = Key::load(&config.key)?;
    let url = (
        config.endpoint.authority(),
        config.url_setting.unwrap_or_default().into(),
    );
    let proxy = config
        .proxy
        .as_ref()
        .map(|proxy| (proxy.ureq.host(), proxy.variable.clone()));
    if let Some((_, setting)) = proxy
        .into_iter()
        .chain([url])
        .find(|(host, _)| text::repeats_key(host))
    {
        return Err(error!(
            Usage,
            "the host in {} contains the API key", setting
        ));
    }
    run.note(&shown!("key: from {}", config.key.name()));
    let agent = transport::agent(run)?;
    run.note(&shown!(
        "GET {}, Authorization: Bearer {}",
        Shown::new(uri.to_string()),
        text::REDACTED
    ));

    let started = Instant::now();
    let reply = agent
        .get(uri)
        .header(AUTHORIZATION, format!("Bearer {}", key.expose_secret()))
        .call();
    let (head, mut body) = reply
        .map_err(|error| exchange_error(error, &config.host))?
        .into_parts();
    let status = head.status.as_u16();
    run.note(&shown!(
        "HTTP {} after {} ms",
        status,
        started.elapsed().as_millis() as u64
    ));
    if status == 200 {
        run.step(&shown!(
            "{} did not complete its reply (HTTP 200)",
            config.host
        ));
        return balance(config, &head, body).map_err(|error| {
            let message = shown!("{} (HTTP 200)", error.message);
            Error {
                message,
                status: Some(200),
                ..error
            }
        });
    }
    // The status is what counts: a body that can't be read costs only the server's message.
    run.answered(refusal(config, &key, &head, &[]));
    let mut bytes = Vec::new();
    let _ = body.as_reader().take(MAX_BODY).read_to_end(&mut bytes);
    Err(refusal(config, &key, &head, &bytes))
}

/// Reads the balance from the body of a 200.
fn balance(config: &Config, head: &Parts, mut body: Body) -> Result<Reply> {
    let is_plain =
        |coding: &str| matches!(&*coding.trim().to_ascii_lowercase(), "identity" | "chunked");
    let encodings = [CONTENT_ENCODING, TRANSFER_ENCODING].map(|name| header(head, name));
    if let Some(name) = encodings
        .into_iter()
        .flatten()
        .find(|name| !name.split(',').all(is_plain))
    {
        let name = Shown::short(name);
        return Err(error!(
            UnexpectedReply,
            "the reply is compressed ({}), which was not asked for", name
        ));
    }
    let body = body.with_config().limit(MAX_BODY).read_to_vec();
    let body = body.map_err(|error| exchange_error(error, &config.host))?;
    let unreadable = |problem: Shown| error!(UnexpectedReply, "{}", problem).hint(url_hint(config));
    if reply::is_web_page(&body) {
        return Err(unreadable(shown!(
            "{} sent a web page instead of JSON",
            config.host
        )));
    }
    let reply = Reply::parse(body).map_err(|problem| unreadable(problem.into()))?;
    match config.args.json && text::repeats_key(&reply.body) {
        true => Err(error!(
            UnexpectedReply,
            "the reply repeats the API key, so it is not printed"
        )),
        false => Ok(reply),
    }
}

/// The error for any status but 200.
fn refusal(config: &Config, key: &Key, head: &Parts, body: &[u8]) -> Error {
    let status = head.status.as_u16();
    let is_blocked = status == 403 && reply::is_web_page(body);
    let (kind, headline, hint) = match status {
        300..=399 => (Kind::UnexpectedReply, "unexpected reply", url_hint(config)),
        403 if is_blocked => (Kind::Unauthorized, "access denied", url_hint(config)),
        401 | 403 => (
            Kind::Unauthorized,
            "the API key was rejected",
            Some(key.hint(&config.key)),
        ),
        404 => (
            Kind::NotFound,
            "no credit information found",
            url_hint(config),
        ),
        429 => (Kind::RateLimited, "rate limited", None),
        500..=599 => (Kind::ServerError, "the service failed", None),
        _ => (Kind::UnexpectedReply, "unexpected reply", None),
    };
    let retry_after =
        reply::retry_after(body, header(head, RETRY_AFTER).as_deref(), Timestamp::now());
    let retry_after = retry_after.filter(|_| status == 429);
    let mut message = shown!("{} (HTTP {})", headline, status);
    if let (300..=399, Some(location)) = (status, header(head, LOCATION).map(Shown::short)) {
        message = shown!(
            "{} redirected to {} (HTTP {}), not followed",
            config.host,
            location,
            status
        );
    } else if is_blocked {
        message = shown!("{}, with a web page instead of the API's answer", message);
    } else if let Some(text) = reply::message(body) {
        message = shown!("{}: {}", message, text);
    }
    if let Some(seconds) = retry_after {
        let noun = if seconds == 1 { "second" } else { "seconds" };
        message = shown!("{}; try again in {} {}", message, seconds, noun);
    }
    Error {
        hint,
        status: Some(status),
        retry_after,
        ..Error::new(kind, message)
    }
}

/// Where the request went, if that is not the default: the URL may be what is wrong.
fn url_hint(config: &Config) -> Option<Shown> {
    let (uri, path) = (config.endpoint.uri(), endpoint::PATH);
    let url = Shown::new(uri.to_string());
    let hint = match uri.path().ends_with(&path.repeat(2)) {
        true => shown!(
            "leave {} out of --api-url or CLADO_API_URL; the request went to {}",
            path,
            url
        ),
        false => shown!(
            "check --api-url or CLADO_API_URL; the request went to {}",
            url
        ),
    };
    config.url_setting.map(|_| hint)
}

/// A header's value, decoded lossily; `None` when it is missing or blank.
fn header(head: &Parts, name: HeaderName) -> Option<String> {
    let value = String::from_utf8_lossy(head.headers.get(name)?.as_bytes().trim_ascii());
    Some(value.into_owned()).filter(|value| !value.is_empty())
}

/// Maps what ureq returns.
fn exchange_error(error: ureq::Error, host: &Shown) -> Error {
    match error {
        ureq::Error::Other(error) => error.downcast().map_or_else(
            |error| anyhow::Error::from_boxed(error).into(),
            |error| *error,
        ),
        ureq::Error::Io(error) => transport::lost(&error, host),
        // ureq's name for a chunk that never comes.
        ureq::Error::BodyStalled => transport::lost(&ErrorKind::UnexpectedEof.into(), host),
        // Of the body, of a line that does not fit the buffer, which is larger, or of the head, with the same limit.
        ureq::Error::BodyExceedsLimit(_) | ureq::Error::LargeResponseHeader(..) => {
            error!(
                UnexpectedReply,
                "the reply is larger than {} KiB",
                MAX_BODY / 1024
            )
        }
        ureq::Error::Protocol(_) => error!(
            UnexpectedReply,
            "{} sent a reply that is not valid HTTP", host
        ),
        other => anyhow::Error::from(other).into(),
    }
}
