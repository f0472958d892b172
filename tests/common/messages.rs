//! The sentences that the tests expect, each in one place: their wording is not stable.

#![cfg_attr(
    not(target_os = "linux"),
    allow(dead_code, reason = "some of the tests are for Linux or Unix alone")
)]

use std::fmt::Display;
use std::path::Path;

// The key.

pub const NO_KEY: &str = "no API key";

/// The hint where there is no key.
pub const NO_KEY_HINT: &str =
    "export CLADO_API_KEY, or use --api-key-file <PATH>; sudo and cron do not pass variables on";

/// The hint where a file with the key has a byte-order mark.
pub const SAVE_AS_ASCII: &str =
    "save it as plain ASCII; in PowerShell: Set-Content -Encoding Ascii";

/// The hint where there is more than the key.
pub const KEY_ALONE: &str = "only the key itself belongs there, on one line";

/// What is wrong with a key, or with reading it, after the name of its source.
pub fn bad_key(source: impl Display, problem: &str) -> String {
    format!("the API key from {source} {problem}")
}

/// What is wrong with a key that is too long.
pub const KEY_TOO_LONG: &str = "is longer than 4096 characters";

/// The hint at a rejected key that looks right.
pub fn key_came_from(source: impl Display) -> String {
    format!("the key came from {source}")
}

/// The hint at a rejected key that does not look right.
pub fn odd_key(source: impl Display, problem: &str) -> String {
    format!("the key from {source} {problem}")
}

/// What is odd about a key without one of the known prefixes.
pub const UNUSUAL_PREFIX: &str = "does not start with \"lk_\"";

// Settings.

/// The error for a base URL.
pub fn bad_url(setting: &str, problem: &str) -> String {
    format!("bad URL in {setting}: {problem}")
}

/// What is wrong with a base URL that is no URL.
pub const NOT_A_URL: &str = "not a URL such as https://host or https://host:port/prefix";

/// What is wrong with a base URL's host.
pub const BAD_HOST: &str = "its host is not a name or an address";

/// What is wrong with a base URL that has more than a path.
pub const HAS_QUERY: &str = "a query or fragment is not allowed in it";

/// The error where a part of a URL is the key.
pub fn contains_key(part: &str, setting: &str) -> String {
    format!("the {part} in {setting} contains the API key")
}

/// The start of the error for files of certificates that a variable names.
pub fn could_not_read(path: impl Display, variable: &str) -> String {
    format!("could not read {path} (from {variable}): ")
}

// Replies.

pub fn key_rejected(status: u16) -> String {
    format!("the API key was rejected (HTTP {status})")
}

pub const NOT_FOUND: &str = "no credit information found (HTTP 404)";

pub const RATE_LIMITED: &str = "rate limited (HTTP 429)";

pub fn service_failed(status: u16) -> String {
    format!("the service failed (HTTP {status})")
}

pub fn unexpected_reply(status: u16) -> String {
    format!("unexpected reply (HTTP {status})")
}

pub fn redirected(server: impl Display, target: &str, status: u16) -> String {
    format!("{server} redirected to {target} (HTTP {status}), not followed")
}

/// The error for a head that is too large; for a body, the status follows.
pub fn too_large(server: impl Display) -> String {
    format!("{server} sent a reply larger than 64 KiB")
}

/// The error for a web page with the status 200, which follows.
pub fn web_page_instead_of_json(server: impl Display) -> String {
    format!("{server} sent a web page instead of JSON")
}

pub const NOT_JSON: &str = "the reply is not JSON";

pub const NO_BALANCE: &str = "the reply has no integer \"credits\" field";

/// What is added to the error for a status that came with a web page.
pub const WITH_A_WEB_PAGE: &str = ", with a web page instead of the API's answer";

/// The hint for HTTP 5xx, unless the reply says when to try again.
pub const TRY_LATER: &str = "the fault is on the server's side; try again later";

/// The hint for HTTP 404 from the default URL.
pub const OUT_OF_DATE: &str = "check that the key belongs to the right account";

/// The hint for a reply that something else than the API may have sent, where the test has named the server with
/// `CLADO_API_URL`.
pub fn check_url(base_url: &str) -> String {
    check_setting("CLADO_API_URL", base_url)
}

/// The same where the test has named the server with `setting`.
pub fn check_setting(setting: &str, base_url: &str) -> String {
    format!("check {setting}; the request went to {base_url}/api/credits")
}

/// What is added to a message about a reply, where the test has named the server with `CLADO_API_URL`.
pub fn request_went_to(base_url: &str) -> String {
    format!("; the request went to {base_url}/api/credits (from CLADO_API_URL)")
}

/// A message without the part that [`request_went_to`] adds. That part has a test of its own; all others read better
/// without it.
pub fn without_place(message: &str) -> String {
    let Some((start, rest)) = message.split_once("; the request went to ") else {
        return message.to_owned();
    };
    match rest.split_once(" (from CLADO_API_URL)") {
        Some((_, end)) => format!("{start}{end}"),
        None => message.to_owned(),
    }
}

/// What is said about a balance below the minimum.
pub fn below_minimum(credits: i64, minimum: u64) -> String {
    let noun = if credits == 1 { "credit" } else { "credits" };
    format!("{credits} Clado {noun} left, below the minimum of {minimum}")
}

/// The error where standard output can't be written to.
pub fn could_not_write(reason: &str) -> String {
    format!("could not write the output: {reason}")
}

// Connections.

/// Why a connection was lost.
pub const CLOSED: &str = "the other side closed the connection";

/// Why a connection was lost, as Unix says it.
pub const RESET: &str = "connection reset by peer";

/// Why there is no connection, as Unix says it.
pub const REFUSED: &str = "connection refused";

/// The start of the error for a name that a resolver does not know. The reason is the resolver's.
pub fn could_not_resolve(name: impl Display) -> String {
    format!("could not resolve {name}: ")
}

pub fn could_not_connect(name: impl Display, reason: &str) -> String {
    format!("could not connect to {name}: {reason}")
}

pub fn lost_connection(name: impl Display, reason: &str) -> String {
    format!("the connection to {name} was lost: {reason}")
}

/// The line of `--verbose` for the address that was connected to.
pub fn connected_to(address: impl Display) -> String {
    format!("* connected to {address}\n")
}

/// The hint where a proxy may be needed to reach a server elsewhere.
pub const NO_PROXY_USED: &str = "no proxy was used; where one is needed, set HTTPS_PROXY";

/// The hint where an https proxy does not speak TLS.
pub const PLAIN_PROXY: &str =
    "most proxies are reached in plain http: write http://host:port in HTTPS_PROXY";

/// The hint at a value that is no proxy.
pub const HOW_TO_NAME_A_PROXY: &str =
    "a proxy is given as http://host:port or http://user:password@host:port";

/// How a proxy is named.
pub fn proxy(url: impl Display, variable: &str) -> String {
    format!("the proxy {url} (from {variable})")
}

// Time limits. What was not done within the limit is what the run was doing then.

/// The error at a time limit of two seconds.
pub fn within_2_seconds(what: &str) -> String {
    format!("{what} within 2 seconds")
}

pub fn no_connection(name: impl Display) -> String {
    format!("could not connect to {name}")
}

pub fn no_handshake(name: impl Display) -> String {
    format!("{name} did not complete the TLS handshake")
}

pub fn no_answer(name: impl Display) -> String {
    format!("{name} did not answer")
}

pub fn no_complete_reply(name: impl Display, status: u16) -> String {
    format!("{name} did not complete its reply (HTTP {status})")
}

// TLS and certificates.

/// The hint where a port does not speak TLS.
pub const LOGIN_PAGE: &str =
    "a login page of the network may be in the way, or the port is one for plain http";

/// The start of each error for a certificate.
pub fn bad_certificate(name: impl Display, problem: &str) -> String {
    format!("the certificate of {name} {problem}")
}

/// What is wrong with a certificate whose issuer is not trusted.
pub const UNKNOWN_ISSUER: &str = "is self-signed or from an unknown issuer";

/// The hint where a name in a certificate is another, with a server that `CLADO_API_URL` names.
pub const CHECK_URL: &str = "check CLADO_API_URL";

/// The hint where a certificate is not valid now.
pub const SET_CLOCK: &str = "if that is wrong, set this machine's clock";

/// The hint where a certificate's issuer has another key than the one that is trusted.
pub const RENEWED: &str = "if the issuer was renewed, its new certificate has to be trusted";

/// The hint where the issuer of a certificate is not in `file`, which `SSL_CERT_FILE` names.
pub fn issuer_not_in(file: &Path) -> String {
    format!(
        "no certificate in {} (from SSL_CERT_FILE, which replaces the system's) is its issuer's",
        file.display()
    )
}

// Output.

/// The table, without colour.
pub fn table(credits: impl Display, last_topup: impl Display) -> String {
    format!("Credits      {credits}\nLast top-up  {last_topup}\n")
}
