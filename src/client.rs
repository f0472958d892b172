//! The request and the reply: one GET, and what its status means.
//!
//! How the server is reached is decided in `transport`, how a body is read in `reply.rs`.

use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::time::Instant;

use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, HeaderName, LOCATION, RETRY_AFTER, TRANSFER_ENCODING,
};
use http::response::Parts;
use jiff::Timestamp;
use ureq::Body;

use crate::config::{Config, Format};
use crate::deadline::Check;
use crate::endpoint;
use crate::error::{Error, Kind, Result};
use crate::key::Key;
use crate::reply::{self, Reply};
use crate::text::{self, Shown, shown};
use crate::transport;

/// The most bytes of a body that are read; a balance has about a hundred.
pub const MAX_BODY: u64 = 64 << 10;

// The head and the body have the same limit: `exchange_error` has one message for both.
const _: () = assert!(MAX_BODY == transport::MAX_HEAD as u64);

/// Asks for the balance: one request, no redirects, no retries.
///
/// # Errors
/// Everything but a 200 with a balance.
pub fn fetch(check: &Arc<Check>) -> Result<Reply> {
    let config = &check.config;
    check.step(shown!(
        "could not read the API key from {}",
        config.key.name()
    ));
    let key = Key::load(&config.key)?;
    refuse_misplaced_key(config)?;
    check.note(shown!("key: from {}", config.key.name()));

    let agent = transport::agent(check)?;
    let uri = config.endpoint.uri();
    let url = Shown::new(uri.to_string());
    check.note(shown!(
        "GET {}, Authorization: Bearer {}",
        url,
        text::REDACTED
    ));
    let started = Instant::now();
    let authorization = format!("Bearer {}", key.expose_secret());
    let reply = match agent.get(uri).header(AUTHORIZATION, authorization).call() {
        Ok(reply) => reply,
        Err(error) => return Err(exchange_error(error, &config.server_name)),
    };
    let (head, body) = reply.into_parts();
    let status = head.status.as_u16();
    let elapsed = started.elapsed().as_millis();
    check.note(shown!("HTTP {} after {} ms", status, elapsed));

    if status != 200 {
        return Err(refusal(check, &key, &head, body));
    }
    check.step(shown!(
        "{} did not complete its reply (HTTP 200)",
        config.server_name
    ));
    balance(config, &head, body).map_err(|mut error| {
        error.message = shown!("{} (HTTP 200)", error.message);
        error.status = Some(200);
        error
    })
}

/// Refuses settings that would send the key, or a part of it, to a resolver or a proxy as a host name.
fn refuse_misplaced_key(config: &Config) -> Result<()> {
    if let Some(proxy) = &config.proxy
        && text::repeats_key(proxy.settings.host())
    {
        let message = shown!("the host in {} contains the API key", proxy.variable);
        return Err(Error::new(Kind::Usage, message));
    }
    // Without a setting it is the default host, which is no key.
    if let Some(setting) = config.url_setting
        && text::repeats_key(config.endpoint.authority())
    {
        let message = shown!("the host in {} contains the API key", setting);
        return Err(Error::new(Kind::Usage, message));
    }
    Ok(())
}

/// Reads the balance from the body of a 200.
fn balance(config: &Config, head: &Parts, mut body: Body) -> Result<Reply> {
    if let Some(coding) = unasked_coding(head) {
        let message = shown!(
            "the reply is compressed ({}), which was not asked for",
            coding
        );
        return Err(Error::new(Kind::UnexpectedReply, message));
    }
    let bytes = match body.with_config().limit(MAX_BODY).read_to_vec() {
        Ok(bytes) => bytes,
        Err(error) => return Err(exchange_error(error, &config.server_name)),
    };
    if reply::is_web_page(&bytes) {
        let message = shown!("{} sent a web page instead of JSON", config.server_name);
        return Err(unreadable(config, message));
    }
    let reply = match Reply::parse(bytes) {
        Ok(reply) => reply,
        Err(problem) => return Err(unreadable(config, problem.into())),
    };
    if config.format == Format::Json && text::repeats_key(&reply.body) {
        let message = "the reply repeats the API key, so it is not printed";
        return Err(Error::new(Kind::UnexpectedReply, message.into()));
    }
    Ok(reply)
}

/// The error for a 200 without a balance. Something else than the API may have answered, so the URL is named.
fn unreadable(config: &Config, message: Shown) -> Error {
    let mut error = Error::new(Kind::UnexpectedReply, message);
    error.hint = url_hint(config);
    error
}

/// The first coding of the body that this program does not read. It asks for none.
fn unasked_coding(head: &Parts) -> Option<Shown> {
    for name in [CONTENT_ENCODING, TRANSFER_ENCODING] {
        let Some(codings) = header(head, name) else {
            continue;
        };
        if !codings.split(',').all(is_unencoded) {
            return Some(Shown::short(codings));
        }
    }
    None
}

/// Whether a body with this coding can be read as it is; ureq has already undone "chunked".
fn is_unencoded(coding: &str) -> bool {
    let coding = coding.trim();
    coding.eq_ignore_ascii_case("identity") || coding.eq_ignore_ascii_case("chunked")
}

/// The error for any status but 200.
fn refusal(check: &Check, key: &Key, head: &Parts, mut body: Body) -> Error {
    let config = &check.config;
    // The status is what counts: a body that can't be read in time costs only the server's message.
    check.set_error_at_deadline(status_error(config, key, head, &[]));
    let mut bytes = Vec::new();
    let _ = body.as_reader().take(MAX_BODY).read_to_end(&mut bytes);
    status_error(config, key, head, &bytes)
}

/// What a status other than 200 means, together with what could be read of its body.
fn status_error(config: &Config, key: &Key, head: &Parts, body: &[u8]) -> Error {
    let status = head.status.as_u16();
    match status {
        300..=399 => redirect_error(config, head, body),
        // Not from the API, which sends JSON: a firewall or a proxy.
        403 if reply::is_web_page(body) => {
            let message = "access denied (HTTP 403), with a web page instead of the API's answer";
            let mut error = Error::new(Kind::Unauthorized, message.into());
            error.hint = url_hint(config);
            error.status = Some(status);
            error
        }
        401 | 403 => {
            let error = server_error(Kind::Unauthorized, "the API key was rejected", status, body);
            error.with_hint(key.rejection_hint(&config.key))
        }
        404 => {
            let mut error =
                server_error(Kind::NotFound, "no credit information found", status, body);
            error.hint = url_hint(config);
            error
        }
        429 => rate_limit_error(head, body),
        500..=599 => server_error(Kind::ServerError, "the service failed", status, body),
        _ => server_error(Kind::UnexpectedReply, "unexpected reply", status, body),
    }
}

/// An error with the status and the server's own message.
fn server_error(kind: Kind, headline: &'static str, status: u16, body: &[u8]) -> Error {
    let mut message = shown!("{} (HTTP {})", headline, status);
    if let Some(text) = reply::message(body) {
        message = shown!("{}: {}", message, text);
    }
    let mut error = Error::new(kind, message);
    error.status = Some(status);
    error
}

fn redirect_error(config: &Config, head: &Parts, body: &[u8]) -> Error {
    let status = head.status.as_u16();
    let mut error = server_error(Kind::UnexpectedReply, "unexpected reply", status, body);
    if let Some(location) = header(head, LOCATION) {
        let location = Shown::short(location);
        let server = &config.server_name;
        error.message = shown!(
            "{} redirected to {} (HTTP {}), not followed",
            server,
            location,
            status
        );
    }
    error.hint = url_hint(config);
    error
}

fn rate_limit_error(head: &Parts, body: &[u8]) -> Error {
    let status = head.status.as_u16();
    let mut error = server_error(Kind::RateLimited, "rate limited", status, body);
    error.retry_after =
        reply::retry_after(body, header(head, RETRY_AFTER).as_deref(), Timestamp::now());
    if let Some(seconds) = error.retry_after {
        let noun = if seconds == 1 { "second" } else { "seconds" };
        error.message = shown!("{}; try again in {} {}", error.message, seconds, noun);
    }
    error
}

/// Where the request went, if that is not the default: the URL may be what is wrong.
fn url_hint(config: &Config) -> Option<Shown> {
    config.url_setting?;
    let uri = config.endpoint.uri();
    let url = Shown::new(uri.to_string());
    let path = endpoint::PATH;
    let path_twice = path.repeat(2);
    if uri.path().ends_with(&path_twice) {
        return Some(shown!(
            "leave {} out of --api-url or CLADO_API_URL; the request went to {}",
            path,
            url
        ));
    }
    Some(shown!(
        "check --api-url or CLADO_API_URL; the request went to {}",
        url
    ))
}

/// A header's value, decoded lossily; `None` when it is missing or blank.
fn header(head: &Parts, name: HeaderName) -> Option<String> {
    let value = head.headers.get(name)?.as_bytes().trim_ascii();
    if value.is_empty() {
        return None;
    }
    Some(String::from_utf8_lossy(value).into_owned())
}

/// Maps what ureq returns.
fn exchange_error(error: ureq::Error, server_name: &Shown) -> Error {
    match error {
        // Our own error, from the connector.
        ureq::Error::Other(error) => match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => anyhow::Error::from_boxed(error).into(),
        },
        ureq::Error::Io(error) => transport::lost(&error, server_name),
        // ureq's name for a chunk that never comes.
        ureq::Error::BodyStalled => transport::lost(&ErrorKind::UnexpectedEof.into(), server_name),
        // ureq returns these for three limits: body, head, and a line longer than its buffer. All three are 64 KiB
        // here.
        ureq::Error::BodyExceedsLimit(_) | ureq::Error::LargeResponseHeader(..) => {
            let message = shown!("the reply is larger than {} KiB", MAX_BODY / 1024);
            Error::new(Kind::UnexpectedReply, message)
        }
        ureq::Error::Protocol(_) => {
            let message = shown!("{} sent a reply that is not valid HTTP", server_name);
            Error::new(Kind::UnexpectedReply, message)
        }
        other => anyhow::Error::from(other).into(),
    }
}
