//! Every way a run can end without its balance: the exit code, the words, the hint and the JSON of each.
//!
//! The whole policy is on this page. Text from outside arrives here already fit to print (`text.rs`).

use std::fmt;
use std::io;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;

use crate::transport::{Failure, Stage};
use crate::{endpoint, key, reply, text};

/// What a script learns: 0 is yes, 1 is no, 2 and up is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The balance was read, and is not below `--min`.
    Success = 0,
    /// The balance was read and is below `--min`; nothing else returns this.
    BelowMinimum = 1,
    /// A flag or a value is wrong.
    Usage = 2,
    /// There is no usable key, or the service refused it.
    Unauthorized = 3,
    /// The service has no credit information for the key.
    NotFound = 4,
    /// The service failed.
    Server = 5,
    /// Too many requests.
    RateLimited = 6,
    /// The service was not reached, or the connection was lost.
    Unreachable = 7,
    /// The service was reached and what it sent makes no sense.
    Unexpected = 8,
    /// The fault is on this machine.
    Local = 9,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// The exit codes as `--help`, the man page and the README list them.
pub const EXIT_CODES: &str = "  0  balance read, and not below --min
  1  balance below --min
  2  usage: bad flag, bad value, bad URL
  3  unauthorized: no usable key, HTTP 401 or 403
  4  not found: HTTP 404
  5  server error: HTTP 5xx
  6  rate limited: HTTP 429
  7  unreachable: name resolution, connect, proxy, TLS, timeout, connection lost
  8  unexpected reply: any other status, not JSON, wrong shape, too large
  9  local failure: output could not be written, anything internal";

/// Why there is no balance, or not enough of it.
#[derive(Debug)]
pub enum Error {
    /// Fewer credits than `--min` asks for.
    BelowMinimum {
        /// The balance.
        credits: i64,
        /// The value of `--min`.
        minimum: u64,
    },
    /// No source holds a key.
    NoKey,
    /// A source was named, and what it holds can't be a key.
    BadKey(key::Source, key::Problem),
    /// Any status but 200 that is no redirect.
    Status {
        /// The HTTP status.
        status: u16,
        /// The service's own words.
        words: Option<String>,
        /// Seconds to wait before the next try.
        retry_after: Option<u64>,
        /// What may be wrong with the key.
        key_hint: Option<String>,
    },
    /// A redirect, which is never followed: the key goes to one host.
    Redirect {
        /// Who redirects.
        host: String,
        /// Where to.
        location: String,
        /// The HTTP status.
        status: u16,
    },
    /// A 200 whose body is not a balance.
    NoBalance(reply::Problem),
    /// A 200 whose body is compressed, which was not asked for; holds the encoding's name.
    Compressed(String),
    /// A 200 whose body holds the key, so that it can't be printed.
    KeyInReply,
    /// More body than a balance can need; holds the limit in bytes.
    TooLarge(u64),
    /// What was received is no HTTP.
    NotHttp {
        /// Who sent it.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The deadline passed.
    Timeout {
        /// Who was waited for.
        peer: String,
        /// What was being done.
        stage: Stage,
        /// The deadline.
        after: Duration,
    },
    /// The name, the connection, the proxy or TLS failed.
    Transport(Failure),
    /// Standard output can't be written.
    Output(io::Error),
    /// Something that should not happen.
    Internal(String),
}

impl Error {
    /// The exit code.
    pub fn exit(&self) -> Exit {
        match self {
            Error::BelowMinimum { .. } => Exit::BelowMinimum,
            Error::NoKey | Error::BadKey(..) => Exit::Unauthorized,
            Error::Status { status, .. } => match status {
                401 | 403 => Exit::Unauthorized,
                404 => Exit::NotFound,
                429 => Exit::RateLimited,
                500..=599 => Exit::Server,
                _ => Exit::Unexpected,
            },
            Error::Redirect { .. }
            | Error::NoBalance(_)
            | Error::Compressed(_)
            | Error::KeyInReply
            | Error::TooLarge(_)
            | Error::NotHttp { .. } => Exit::Unexpected,
            Error::Timeout { .. } | Error::Transport(_) => Exit::Unreachable,
            Error::Output(_) | Error::Internal(_) => Exit::Local,
        }
    }

    /// The stable name that JSON errors carry.
    fn kind(&self) -> &'static str {
        match (self, self.exit()) {
            (Error::NoKey | Error::BadKey(..), _) => "no_api_key",
            (Error::Timeout { .. }, _) => "timeout",
            (Error::Transport(Failure::Tls { .. } | Failure::NoTrust(_)), _) => "tls",
            (_, Exit::BelowMinimum) => "below_minimum",
            (_, Exit::Unauthorized) => "unauthorized",
            (_, Exit::NotFound) => "not_found",
            (_, Exit::Server) => "server_error",
            (_, Exit::RateLimited) => "rate_limited",
            (_, Exit::Unreachable) => "network",
            (_, Exit::Unexpected) => "unexpected_reply",
            (_, Exit::Success | Exit::Usage | Exit::Local) => "local",
        }
    }

    /// What the user can do about it.
    fn hint(&self) -> Option<String> {
        let hint = match self {
            Error::NoKey => format!("set {} or use --api-key-file <PATH>", key::VARIABLE),
            Error::BadKey(_, key::Problem::Terminal) => {
                "pipe the key in, or name a file: --api-key-file <PATH>".to_owned()
            }
            Error::Status { status: 401 | 403, key_hint, .. } => return key_hint.clone(),
            Error::Redirect { .. } => format!("check --api-url and {}", endpoint::VARIABLE),
            Error::Transport(failure) => return failure.hint(),
            Error::Internal(_) => format!("this is a bug in {}; please report it", env!("CARGO_PKG_NAME")),
            _ => return None,
        };
        Some(hint)
    }

    /// What goes to standard error: `error: …` and perhaps `hint: …`, or one line of JSON.
    pub fn report(&self, json: bool) -> String {
        if json {
            return self.to_json() + "\n";
        }
        match (self, self.hint()) {
            (Error::BelowMinimum { .. }, _) => format!("{self}\n"),
            (_, None) => format!("error: {self}\n"),
            (_, Some(hint)) => format!("error: {self}\nhint: {hint}\n"),
        }
    }

    fn to_json(&self) -> String {
        #[derive(Serialize)]
        struct Report {
            error: Body,
        }
        #[derive(Serialize)]
        struct Body {
            kind: &'static str,
            message: String,
            #[serde(skip_serializing_if = "Option::is_none")]
            status: Option<u16>,
            #[serde(skip_serializing_if = "Option::is_none")]
            retry_after: Option<u64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            credits: Option<i64>,
            #[serde(skip_serializing_if = "Option::is_none")]
            minimum: Option<u64>,
            retryable: bool,
            exit_code: u8,
        }
        let (status, retry_after) = match self {
            Error::Status { status, retry_after, .. } => (Some(*status), *retry_after),
            Error::Redirect { status, .. } => (Some(*status), None),
            _ => (None, None),
        };
        let (credits, minimum) = match self {
            Error::BelowMinimum { credits, minimum } => (Some(*credits), Some(*minimum)),
            _ => (None, None),
        };
        let exit = self.exit();
        let error = Body {
            kind: self.kind(),
            message: self.to_string(),
            status,
            retry_after,
            credits,
            minimum,
            retryable: matches!(exit, Exit::Server | Exit::RateLimited | Exit::Unreachable),
            exit_code: exit as u8,
        };
        serde_json::to_string(&Report { error }).unwrap_or_default()
    }
}

impl std::error::Error for Error {}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::BelowMinimum { credits, minimum } => {
                write!(f, "{} left, below the minimum of {minimum}", text::count(credits, "credit"))
            }
            Error::NoKey => f.write_str("no API key"),
            Error::BadKey(source, problem) => write!(f, "the API key from {source} {problem}"),
            Error::Status { status, words, retry_after, .. } => {
                let headline = match self.exit() {
                    Exit::Unauthorized => "the API key was rejected",
                    Exit::NotFound => "no credit information found",
                    Exit::Server => "the service failed",
                    Exit::RateLimited => "rate limited",
                    _ => "unexpected reply",
                };
                write!(f, "{headline} (HTTP {status})")?;
                if let Some(words) = words {
                    write!(f, ": {words}")?;
                }
                match retry_after {
                    Some(seconds) => write!(f, "; try again in {}", text::count(seconds, "second")),
                    None => Ok(()),
                }
            }
            Error::Redirect { host, location, status } => {
                write!(f, "{host} redirected to {location} (HTTP {status}), not followed")
            }
            Error::NoBalance(problem) => problem.fmt(f),
            Error::Compressed(encoding) => {
                write!(f, "the reply is compressed ({encoding}), which was not asked for")
            }
            Error::KeyInReply => f.write_str("the reply repeats the API key, so it is not printed"),
            Error::TooLarge(limit) => write!(f, "the reply is larger than {} KiB", limit / 1024),
            Error::NotHttp { host, reason } => write!(f, "{host} sent a reply that is not HTTP: {reason}"),
            Error::Timeout { peer, stage, after } => {
                let missed = match stage {
                    Stage::Key => "the API key could not be read",
                    Stage::Trust => "the certificates to trust could not be read",
                    Stage::Resolve => &format!("{peer} was not resolved"),
                    Stage::Connect => &format!("could not connect to {peer}"),
                    Stage::Proxy => &format!("the proxy {peer} made no connection"),
                    Stage::Tls => &format!("{peer} did not complete the TLS handshake"),
                    Stage::Reply => &format!("{peer} did not answer"),
                    Stage::Body => &format!("{peer} did not complete its reply"),
                };
                write!(f, "{missed} within {}", text::count(after.as_secs_f64(), "second"))
            }
            Error::Transport(failure) => failure.fmt(f),
            Error::Output(error) => write!(f, "could not write the output: {}", text::io_reason(error)),
            Error::Internal(what) => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_lists_the_codes_of_the_enum_in_order() {
        use Exit::*;
        let all = [
            Success,
            BelowMinimum,
            Usage,
            Unauthorized,
            NotFound,
            Server,
            RateLimited,
            Unreachable,
            Unexpected,
            Local,
        ];
        let listed: Vec<u8> =
            EXIT_CODES.lines().map(|line| line.split_whitespace().next().unwrap().parse().unwrap()).collect();
        assert_eq!(listed, all.map(|exit| exit as u8));
    }

    #[test]
    fn every_status_but_200_has_its_exit_code() {
        for status in 100..1000 {
            let error = Error::Status { status, words: None, retry_after: None, key_hint: None };
            let expected = match status {
                401 | 403 => 3,
                404 => 4,
                429 => 6,
                500..=599 => 5,
                _ => 8,
            };
            assert_eq!(error.exit() as u8, expected, "{status}");
            assert!(error.to_string().contains(&format!("(HTTP {status})")));
        }
    }
}
