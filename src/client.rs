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
use crate::reply::{self, Problem, Reply};
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
        Err(error) => return Err(head_error(config, error)),
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
        Err(other_status(check, &key, &head, body))
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
    // Without a setting it is the default host, which is not a key.
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
    let mut bytes = Vec::new();
    let mut reader = body.with_config().limit(MAX_BODY).reader();
    if let Err(error) = reader.read_to_end(&mut bytes) {
        note_start_of_body(check, &bytes);
        return Err(body_error(config, error.into()));
    }
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

/// The error for the body of a 200 that does not hold a balance.
fn unreadable(config: &Config, head: &Parts, body: &[u8], problem: Problem) -> Error {
    // Something else than the API may have answered, so the URL is named.
    let hint = url_hint(config);
    if reply::is_web_page(body) {
        let problem = shown!("{} sent a web page instead of JSON", config.server_name);
        return no_balance(problem).with_hint_if(hint);
    }
    // Some servers say "UTF-8" or "none" here, so the header counts only for what is not text.
    if !reply::is_plain_text(body)
        && let Some(coding) = unasked_coding(head, CONTENT_ENCODING)
    {
        return name_server(config, compressed(coding));
    }
    let mut error = no_balance(problem.sentence().into());
    let Some(text) = reply::message(body) else {
        return error.with_hint_if(hint);
    };
    error.message = shown!("{}: {}", error.message, text);
    match problem {
        Problem::NotJson => error.with_hint_if(hint),
        // The server's message says what to look at.
        _ => name_server(config, error),
    }
}

/// The error when no reply came, or one whose head can't be read.
fn head_error(config: &Config, error: ureq::Error) -> Error {
    let error = exchange_error(error, config);
    match error.kind {
        Kind::UnexpectedReply if error.hint.is_none() => error.with_hint_if(url_hint(config)),
        _ => error,
    }
}

/// The error when the body of a 200 can't be received.
fn body_error(config: &Config, error: ureq::Error) -> Error {
    let mut error = head_error(config, error);
    error.message = shown!("{} (HTTP 200)", error.message);
    error.status = Some(200);
    error
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
fn other_status(check: &Check, key: &Key, head: &Parts, mut body: Body) -> Error {
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
    let mut error = match header(head, LOCATION) {
        Some(target) if head.status.is_redirection() => redirect_error(config, status, target),
        // The API sends JSON. A page comes from something in front of it: a firewall, a login, another server.
        _ if reply::is_web_page(body) => web_page_error(config, status),
        _ => api_error(config, key, status, body),
    };
    error.status = Some(status);
    if matches!(status, 429 | 503) {
        error = with_wait(error, head, body);
    }
    if error.kind == Kind::ServerError && error.hint.is_none() && error.retry_after.is_none() {
        error = error.with_hint("the fault is on the server's side; try again later");
    }
    name_server(config, error)
}

/// The kind of error that a status other than 200 is.
fn kind_of_status(status: u16) -> Kind {
    match status {
        401 | 403 => Kind::Unauthorized,
        404 => Kind::NotFound,
        429 => Kind::RateLimited,
        500..=599 => Kind::ServerError,
        _ => Kind::UnexpectedReply,
    }
}

fn redirect_error(config: &Config, status: u16, target: String) -> Error {
    let message = shown!(
        "{} redirected to {} (HTTP {}), not followed",
        config.server_name,
        Shown::short(target),
        status
    );
    Error::new(Kind::UnexpectedReply, message).with_hint_if(url_hint(config))
}

fn web_page_error(config: &Config, status: u16) -> Error {
    let kind = kind_of_status(status);
    let headline = match kind {
        Kind::Unauthorized => "access denied",
        _ => headline(kind),
    };
    let message = shown!(
        "{} (HTTP {}), with a web page instead of the API's answer",
        headline,
        status
    );
    let hint = match kind {
        // Where a service is down, it is often a gateway that says so, with a page.
        Kind::ServerError => None,
        _ => url_hint(config),
    };
    Error::new(kind, message).with_hint_if(hint)
}

/// An error with the server's own message.
fn api_error(config: &Config, key: &Key, status: u16, body: &[u8]) -> Error {
    let kind = kind_of_status(status);
    let mut message = shown!("{} (HTTP {})", headline(kind), status);
    if let Some(text) = reply::message(body) {
        message = shown!("{}: {}", message, text);
    }
    let hint = match status {
        300..=399 => url_hint(config),
        401 | 403 => Some(key.rejection_hint(&config.key)),
        404 => url_hint(config).or(Some(
            "check that the key belongs to the right account".into(),
        )),
        _ => None,
    };
    Error::new(kind, message).with_hint_if(hint)
}

/// How the message for a status begins.
fn headline(kind: Kind) -> &'static str {
    match kind {
        Kind::Unauthorized => "the API key was rejected",
        Kind::NotFound => "no credit information found",
        Kind::RateLimited => "rate limited",
        Kind::ServerError => "the service failed",
        _ => "unexpected reply",
    }
}

/// Adds the time to wait, if the server names one.
fn with_wait(mut error: Error, head: &Parts, body: &[u8]) -> Error {
    let sent = header(head, RETRY_AFTER);
    error.retry_after = reply::retry_after(body, sent.as_deref(), SystemTime::now());
    if let Some(seconds) = error.retry_after {
        let clause = shown!("try again in {}", duration(seconds));
        error.message = error.message.with_clause(clause);
    }
    error
}

/// A time to wait in a unit that is easily read, rounded up.
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
    let clause = shown!("the request went to {} (from {})", url, setting);
    error.message = error.message.with_clause(clause);
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
            let message = shown!(
                "{} sent a reply larger than {} KiB",
                server_name,
                MAX_BODY / 1024
            );
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
