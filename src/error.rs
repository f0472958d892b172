//! How a run can fail: one error type, the exit codes and the kinds of errors.
//!
//! The help, the README, the man page and the tests are made from the codes and kinds. Where an error arises and what
//! it says is decided in the file that meets it.

use std::process::ExitCode;

use serde::Serialize;
use thiserror::Error;

use crate::text::{Shown, shown};

/// The exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The balance was read.
    Success = 0,
    /// The balance is below the minimum. Nothing else ends with 1.
    BelowMinimum = 1,
    /// The command line or a setting can't be used.
    Usage = 2,
    /// There is no usable key, or the API rejects it.
    Unauthorized = 3,
    /// HTTP 404.
    NotFound = 4,
    /// HTTP 5xx.
    ServerError = 5,
    /// HTTP 429.
    RateLimited = 6,
    /// There was no reply.
    Unreachable = 7,
    /// There was a reply, and it is not a balance.
    UnexpectedReply = 8,
    /// The fault is on this machine.
    Local = 9,
}

impl Exit {
    /// Every exit code, in order.
    pub const ALL: [Exit; 10] = [
        Exit::Success,
        Exit::BelowMinimum,
        Exit::Usage,
        Exit::Unauthorized,
        Exit::NotFound,
        Exit::ServerError,
        Exit::RateLimited,
        Exit::Unreachable,
        Exit::UnexpectedReply,
        Exit::Local,
    ];

    /// The number that the process ends with.
    pub fn code(self) -> u8 {
        self as u8
    }

    /// What it means, as the help, the README and the man page say it.
    pub fn meaning(self) -> &'static str {
        match self {
            Exit::Success => "balance read, and not below --min",
            Exit::BelowMinimum => "balance below --min",
            Exit::Usage => "usage: bad flag, value or URL; unusable proxy or SSL_CERT_* variable",
            Exit::Unauthorized => "unauthorized: no usable key, HTTP 401 or 403",
            Exit::NotFound => "not found: HTTP 404",
            Exit::ServerError => "server error: HTTP 5xx",
            Exit::RateLimited => "rate limited: HTTP 429",
            Exit::Unreachable => "unreachable: DNS, connect, proxy, TLS, timeout, connection lost",
            Exit::UnexpectedReply => {
                "unexpected reply: any other status, not JSON, wrong shape, too large"
            }
            Exit::Local => "local failure: output could not be written, anything internal",
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

/// The kinds of errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Fewer credits than the minimum.
    BelowMinimum,
    /// A URL or a variable can't be used.
    Usage,
    /// There is no key, or not one that can be sent.
    NoApiKey,
    /// HTTP 401 or 403.
    Unauthorized,
    /// HTTP 404.
    NotFound,
    /// HTTP 5xx.
    ServerError,
    /// HTTP 429.
    RateLimited,
    /// The time limit has passed.
    Timeout,
    /// Name resolution, the connection or a proxy failed.
    Network,
    /// A certificate or the TLS handshake failed.
    Tls,
    /// Any other reply.
    UnexpectedReply,
    /// The fault is on this machine.
    Local,
}

/// What is the same for all errors of a kind.
pub struct KindInfo {
    /// Its stable name in JSON errors.
    pub name: &'static str,
    /// The exit code.
    pub exit: Exit,
    /// Whether another try later may succeed, unless the error itself says otherwise.
    pub retryable: bool,
    /// What it means, as the help, the README and the man page say it.
    pub meaning: &'static str,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Kind; 12] = [
        Kind::BelowMinimum,
        Kind::Usage,
        Kind::NoApiKey,
        Kind::Unauthorized,
        Kind::NotFound,
        Kind::ServerError,
        Kind::RateLimited,
        Kind::Timeout,
        Kind::Network,
        Kind::Tls,
        Kind::UnexpectedReply,
        Kind::Local,
    ];

    /// What is the same for all errors of this kind.
    pub fn info(self) -> KindInfo {
        match self {
            Kind::BelowMinimum => KindInfo {
                name: "below_minimum",
                exit: Exit::BelowMinimum,
                retryable: false,
                meaning: "fewer credits than --min",
            },
            Kind::Usage => KindInfo {
                name: "usage",
                exit: Exit::Usage,
                retryable: false,
                meaning: "a URL or a variable that cannot be used",
            },
            Kind::NoApiKey => KindInfo {
                name: "no_api_key",
                exit: Exit::Unauthorized,
                retryable: false,
                meaning: "no key, or not one that can be sent",
            },
            Kind::Unauthorized => KindInfo {
                name: "unauthorized",
                exit: Exit::Unauthorized,
                retryable: false,
                meaning: "HTTP 401 or 403",
            },
            Kind::NotFound => KindInfo {
                name: "not_found",
                exit: Exit::NotFound,
                retryable: false,
                meaning: "HTTP 404",
            },
            Kind::ServerError => KindInfo {
                name: "server_error",
                exit: Exit::ServerError,
                retryable: true,
                meaning: "HTTP 5xx",
            },
            Kind::RateLimited => KindInfo {
                name: "rate_limited",
                exit: Exit::RateLimited,
                retryable: true,
                meaning: "HTTP 429",
            },
            Kind::Timeout => KindInfo {
                name: "timeout",
                exit: Exit::Unreachable,
                retryable: true,
                meaning: "--timeout has passed",
            },
            Kind::Network => KindInfo {
                name: "network",
                exit: Exit::Unreachable,
                retryable: true,
                meaning: "name resolution, connection or proxy failed",
            },
            Kind::Tls => KindInfo {
                name: "tls",
                exit: Exit::Unreachable,
                retryable: false,
                meaning: "certificate or TLS handshake failed",
            },
            Kind::UnexpectedReply => KindInfo {
                name: "unexpected_reply",
                exit: Exit::UnexpectedReply,
                retryable: false,
                meaning: "any other reply",
            },
            Kind::Local => KindInfo {
                name: "local",
                exit: Exit::Local,
                retryable: false,
                meaning: "the fault is on this machine",
            },
        }
    }
}

/// Why there is no balance, or not enough of it.
#[derive(Debug, Clone, Error)]
#[error("{message}")]
pub struct Error {
    /// The kind, which decides the exit code.
    pub kind: Kind,
    /// What is wrong, as one sentence.
    pub message: Shown,
    /// What the user can do about it.
    pub hint: Option<Shown>,
    /// The HTTP status of the reply, if there was one.
    pub status: Option<u16>,
    /// How many seconds the server asks to wait, if it does.
    pub retry_after: Option<u64>,
    /// The balance, if it is below the minimum.
    pub credits: Option<i64>,
    /// The minimum that the balance is below.
    pub minimum: Option<u64>,
    /// Whether another try later may succeed.
    pub retryable: bool,
    /// Whether certificates that were not read yet may make the handshake succeed; `connect.rs` reads them then. Not
    /// reported.
    pub more_certificates_may_help: bool,
}

/// The hint of an error that should not be possible.
pub const BUG_HINT: &str = "this is a bug in clado-credits; please report it";

/// A result whose error is the program's own.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The `error` object of `--json`. The names of its fields are stable.
#[derive(Serialize)]
struct JsonError<'a> {
    kind: &'static str,
    message: &'a Shown,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'a Shown>,
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

impl Error {
    /// An error without a hint, as retryable as its kind.
    pub fn new(kind: Kind, message: Shown) -> Error {
        Error {
            kind,
            message,
            hint: None,
            status: None,
            retry_after: None,
            credits: None,
            minimum: None,
            retryable: kind.info().retryable,
            more_certificates_may_help: false,
        }
    }

    /// Fewer credits than `--min` asks for.
    pub fn below_minimum(credits: i64, minimum: u64) -> Error {
        let noun = if credits == 1 { "credit" } else { "credits" };
        let message = shown!(
            "{} Clado {} left, below the minimum of {}",
            credits,
            noun,
            minimum
        );
        let mut error = Error::new(Kind::BelowMinimum, message);
        error.credits = Some(credits);
        error.minimum = Some(minimum);
        error
    }

    /// Adds what the user can do about it.
    pub fn with_hint(mut self, hint: impl Into<Shown>) -> Error {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what the user can do about it, if there is anything.
    pub fn with_hint_if(mut self, hint: Option<Shown>) -> Error {
        if hint.is_some() {
            self.hint = hint;
        }
        self
    }

    /// Says whether another try later may succeed, where the kind does not decide it.
    pub fn with_retryable(mut self, retryable: bool) -> Error {
        self.retryable = retryable;
        self
    }

    /// The exit code of the run.
    pub fn exit(&self) -> Exit {
        self.kind.info().exit
    }

    /// The text for standard error: one line of JSON, or `error: …` and perhaps `hint: …`.
    pub fn report(&self, as_json: bool) -> String {
        if as_json {
            return self.json_report();
        }
        // A low balance is not an error of the program.
        let prefix = if self.kind == Kind::BelowMinimum {
            ""
        } else {
            "error: "
        };
        let mut report = format!("{prefix}{}\n", self.message);
        if let Some(hint) = &self.hint {
            report += &format!("hint: {hint}\n");
        }
        report
    }

    fn json_report(&self) -> String {
        let info = self.kind.info();
        let error = JsonError {
            kind: info.name,
            message: &self.message,
            hint: self.hint.as_ref(),
            status: self.status,
            retry_after: self.retry_after,
            credits: self.credits,
            minimum: self.minimum,
            retryable: self.retryable,
            exit_code: info.exit.code(),
        };
        // Strings and numbers can always be written as JSON.
        let json = serde_json::to_string(&error).unwrap_or_default();
        format!("{{\"error\":{json}}}\n")
    }
}

/// How an error gets through ureq, from the connector to the caller.
impl From<Error> for ureq::Error {
    fn from(error: Error) -> ureq::Error {
        ureq::Error::Other(Box::new(error))
    }
}

/// An error that this program does not expect: a defect of its own.
impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Error {
        let message = shown!("internal error: {}", Shown::short(format!("{error:#}")));
        Error::new(Kind::Local, message).with_hint(BUG_HINT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_exit_code_is_listed_in_order() {
        for (place, exit) in Exit::ALL.iter().enumerate() {
            assert_eq!(usize::from(exit.code()), place);
        }
    }

    #[test]
    fn every_exit_code_but_0_has_a_kind() {
        for exit in &Exit::ALL[1..] {
            let has_kind = Kind::ALL.iter().any(|kind| kind.info().exit == *exit);
            assert!(has_kind, "{exit:?}");
        }
    }
}
