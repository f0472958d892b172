//! The request and the reply: one GET, and what its status means.
//!
//! How the server is reached is decided in `transport`, how a body is read in `reply.rs`.

use std::io::{ErrorKind, Read};
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::header::{
    AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderName, LOCATION, RETRY_AFTER,
    TRANSFER_ENCODING,
};
use http::response::Parts;
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

/// The most header lines of a reply: a limit of ureq's that can't be changed.
const MAX_HEADER_LINES: usize = 128;

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
        Err(error) => return Err(exchange_error(error, config)),
    };
    let (head, body) = reply.into_parts();
    let status = head.status.as_u16();
    check.note(shown!(
        "HTTP {} after {} ms",
        status,
        started.elapsed().as_millis()
    ));
    match header(&head, CONTENT_TYPE) {
        Some(content_type) => check.note(shown!("content type: {}", Shown::short(content_type))),
        None => check.note("content type: none".into()),
    }
    if status == 200 {
        balance(check, &head, body)
    } else {
        Err(refusal(check, &key, &head, body))
    }
}

/// Refuses settings that would send the key, or a part of it, to a resolver or a proxy: as a host, a user name or a
/// password.
fn refuse_misplaced_key(config: &Config) -> Result<()> {
    if let Some(proxy) = config.proxy() {
        if text::repeats_key(&proxy.host) {
            let message = shown!("the host in {} contains the API key", proxy.variable);
            return Err(Error::new(Kind::Usage, message));
        }
        if let Some(login) = &proxy.login
            // Together, as a key may have a colon inside.
            && text::repeats_key(&format!("{}:{}", login.user, login.password))
        {
            let message = shown!(
                "the user name or password in {} contains the API key",
                proxy.variable
            );
            return Err(Error::new(Kind::Usage, message));
        }
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
fn balance(check: &Check, head: &Parts, mut body: Body) -> Result<Reply> {
    let config = &check.config;
    let failure = shown!(
        "{} did not complete its reply (HTTP 200)",
        config.server_name
    );
    let mut timeout = check.timeout(failure);
    timeout.status = Some(200);
    check.set_error_at_deadline(timeout);

    if let Some(coding) = unasked_coding(head, TRANSFER_ENCODING) {
        return Err(name_server(config, compressed(coding)));
    }
    let bytes = match body.with_config().limit(MAX_BODY).read_to_vec() {
        Ok(bytes) => bytes,
        Err(error) => return Err(body_error(config, error)),
    };
    match Reply::parse(&bytes) {
        Ok(reply) if config.format == Format::Json && text::repeats_key(&reply.body) => {
            let problem = "the reply repeats the API key, so it is not printed";
            Err(name_server(config, no_balance(problem.into())))
        }
        Ok(reply) => Ok(reply),
        Err(problem) => {
            note_start_of_body(check, &bytes);
            Err(unreadable(config, head, &bytes, problem))
        }
    }
}

/// The error for a 200 that can't be used.
fn no_balance(problem: Shown) -> Error {
    let mut error = Error::new(Kind::UnexpectedReply, shown!("{} (HTTP 200)", problem));
    error.status = Some(200);
    error
}

/// The error for the body of a 200 that does not hold a balance. `problem` is what is wrong with it as JSON.
fn unreadable(config: &Config, head: &Parts, body: &[u8], problem: &'static str) -> Error {
    // Something else than the API may have answered, so the URL is named.
    let hint = url_hint(config);
    if reply::is_web_page(body) {
        let problem = shown!("{} sent a web page instead of JSON", config.server_name);
        return no_balance(problem).with_hint_if(hint);
    }
    // Some servers say "UTF-8" or "none" here, so the coding counts only if the body does not parse.
    if problem == reply::NOT_JSON
        && let Some(coding) = unasked_coding(head, CONTENT_ENCODING)
    {
        return name_server(config, compressed(coding));
    }
    let mut error = no_balance(problem.into()).with_hint_if(hint);
    if let Some(text) = reply::json_message(body) {
        error.message = shown!("{}: {}", error.message, text);
    }
    error
}

/// The error when the body of a 200 can't be received.
fn body_error(config: &Config, error: ureq::Error) -> Error {
    let mut error = exchange_error(error, config);
    error.message = shown!("{} (HTTP 200)", error.message);
    error.status = Some(200);
    match error.kind {
        Kind::UnexpectedReply => name_server(config, error),
        // The connection was lost, and the message has the server's name.
        _ => error,
    }
}

/// For `--verbose`: what a body that can't be read starts with.
fn note_start_of_body(check: &Check, body: &[u8]) {
    if !body.is_empty() {
        let start = String::from_utf8_lossy(body);
        check.note(shown!("the body starts with: {}", Shown::short(start)));
    }
}

fn compressed(coding: Shown) -> Error {
    no_balance(shown!(
        "the reply is compressed ({}), which was not asked for",
        coding
    ))
}

/// What a header says about codings of the body, if there is one that this program does not read. It asks for none.
fn unasked_coding(head: &Parts, name: HeaderName) -> Option<Shown> {
    let codings = header(head, name)?;
    if codings.split(',').all(is_unencoded) {
        return None;
    }
    Some(Shown::short(codings))
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
    if reply::message(&bytes).is_none() {
        note_start_of_body(check, &bytes);
    }
    status_error(config, key, head, &bytes)
}

/// What a status other than 200 means, together with what could be read of its body.
fn status_error(config: &Config, key: &Key, head: &Parts, body: &[u8]) -> Error {
    let status = head.status.as_u16();
    let is_web_page = reply::is_web_page(body);
    let error = match status {
        300..=399 => redirect_error(config, head, body),
        // The API sends JSON. A page comes from something in front of it: a firewall, a login, another server.
        401 | 403 if is_web_page => {
            web_page_error(config, Kind::Unauthorized, "access denied", status)
        }
        404 if is_web_page => web_page_error(
            config,
            Kind::NotFound,
            "no credit information found",
            status,
        ),
        401 | 403 => server_error(Kind::Unauthorized, "the API key was rejected", status, body)
            .with_hint(key.rejection_hint(&config.key)),
        404 => server_error(Kind::NotFound, "no credit information found", status, body)
            .with_hint_if(url_hint(config)),
        429 => {
            let error = server_error(Kind::RateLimited, "rate limited", status, body);
            with_wait(error, head, body)
        }
        503 => {
            let error = server_error(Kind::ServerError, "the service failed", status, body);
            with_wait(error, head, body)
        }
        500..=599 => server_error(Kind::ServerError, "the service failed", status, body),
        _ => server_error(Kind::UnexpectedReply, "unexpected reply", status, body),
    };
    name_server(config, error)
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

fn web_page_error(config: &Config, kind: Kind, headline: &'static str, status: u16) -> Error {
    let message = shown!(
        "{} (HTTP {}), with a web page instead of the API's answer",
        headline,
        status
    );
    let mut error = Error::new(kind, message).with_hint_if(url_hint(config));
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
    error.with_hint_if(url_hint(config))
}

/// Adds the time to wait, if the server names one.
fn with_wait(mut error: Error, head: &Parts, body: &[u8]) -> Error {
    let header = header(head, RETRY_AFTER);
    error.retry_after = reply::retry_after(body, header.as_deref(), SystemTime::now());
    if let Some(seconds) = error.retry_after {
        error.message = shown!("{}; try again in {}", error.message, duration(seconds));
    }
    error
}

/// A time to wait in the largest unit that says it without misleading, rounded up.
fn duration(seconds: u64) -> Shown {
    let (amount, unit) = match seconds {
        0..=120 => (seconds, "second"),
        121..7200 => (seconds.div_ceil(60), "minute"),
        _ => (seconds.div_ceil(3600), "hour"),
    };
    let plural = if amount == 1 { "" } else { "s" };
    shown!("{} {}{}", amount, unit, plural)
}

/// Where the request went, if that is not the default: the URL may be what is wrong.
fn url_hint(config: &Config) -> Option<Shown> {
    let setting = config.url_setting?;
    let uri = config.endpoint.uri();
    let url = Shown::new(uri.to_string());
    let path = endpoint::PATH;
    if uri.path().ends_with(&path.repeat(2)) {
        return Some(shown!(
            "leave {} out of {}; the request went to {}",
            path,
            setting,
            url
        ));
    }
    Some(shown!("check {}; the request went to {}", setting, url))
}

/// Adds to a message about a reply where the request went, if that is not the default and the hint does not say it.
fn name_server(config: &Config, mut error: Error) -> Error {
    let Some(setting) = config.url_setting else {
        return error;
    };
    if error.hint == url_hint(config) {
        return error;
    }
    let url = Shown::new(config.endpoint.uri().to_string());
    error.message = shown!(
        "{}; the request went to {} (from {})",
        error.message,
        url,
        setting
    );
    error
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
fn exchange_error(error: ureq::Error, config: &Config) -> Error {
    let server_name = &config.server_name;
    match error {
        // Our own error, from the connector.
        ureq::Error::Other(error) => match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => anyhow::Error::from_boxed(error).into(),
        },
        ureq::Error::Io(error) => transport::lost_to_server(&error, config),
        // ureq's name for a chunk that never comes.
        ureq::Error::BodyStalled => {
            transport::lost_to_server(&ErrorKind::UnexpectedEof.into(), config)
        }
        // ureq returns these for three limits: body, head, and a line longer than its buffer. All three are 64 KiB
        // here.
        ureq::Error::BodyExceedsLimit(_) | ureq::Error::LargeResponseHeader(..) => {
            let message = shown!("the reply is larger than {} KiB", MAX_BODY / 1024);
            Error::new(Kind::UnexpectedReply, message)
        }
        // ureq's text for this; held by a test in tests/framing.rs.
        ureq::Error::Protocol(error) if error.to_string().contains("too many headers") => {
            let message = shown!(
                "{} sent a reply with more than {} header lines",
                server_name,
                MAX_HEADER_LINES
            );
            Error::new(Kind::UnexpectedReply, message)
        }
        ureq::Error::Protocol(_) => {
            let message = shown!("{} sent a reply that is not valid HTTP", server_name);
            Error::new(Kind::UnexpectedReply, message)
        }
        other => anyhow::Error::from(other).into(),
    }
}
