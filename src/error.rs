//! How a run can fail: one error type, and the tables of exit codes and error kinds.
//!
//! The help, the README, the man page and the tests are made from these tables. Where an error arises and what it
//! says is decided in the module that meets it.

use serde::Serialize;
use thiserror::Error;

use crate::text::Shown;

/// Defines an enum whose variants each have a row of data, and `ALL`, the list of the variants.
///
/// A variant can't be added without its row, and no list made from `ALL` can miss it.
macro_rules! table {
    ($(#[$doc:meta])* $name:ident: $row:ty { $($(#[$variant_doc:meta])* $variant:ident = $value:expr,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// Every variant, in order.
            pub const ALL: &[$name] = &[$($name::$variant,)*];

            /// The variant's row in the table.
            pub fn row(self) -> $row {
                match self { $($name::$variant => $value,)* }
            }
        }
    };
}

table! {
    /// The exit codes: the place in this list is the code, the row is its meaning.
    Exit: &'static str {
        Success = "balance read, and not below --min",
        BelowMinimum = "balance below --min",
        Usage = "usage: bad flag, value or URL; unusable proxy or SSL_CERT_* variable",
        Unauthorized = "unauthorized: no usable key, HTTP 401 or 403",
        NotFound = "not found: HTTP 404",
        ServerError = "server error: HTTP 5xx",
        RateLimited = "rate limited: HTTP 429",
        Unreachable = "unreachable: name resolution, connect, proxy, TLS, timeout, connection lost",
        UnexpectedReply = "unexpected reply: any other status, not JSON, wrong shape, too large",
        Local = "local failure: output could not be written, anything internal",
    }
}

table! {
    /// The kinds of errors: the stable name in JSON errors, the exit code, whether another try later may succeed
    /// (unless the error itself says otherwise), and the meaning.
    Kind: (&'static str, Exit, bool, &'static str) {
        BelowMinimum = ("below_minimum", Exit::BelowMinimum, false, "fewer credits than --min"),
        Usage = ("usage", Exit::Usage, false, "a URL or an environment variable that cannot be used"),
        NoApiKey = ("no_api_key", Exit::Unauthorized, false, "no key, or not one that can be sent"),
        Unauthorized = ("unauthorized", Exit::Unauthorized, false, "HTTP 401 or 403"),
        NotFound = ("not_found", Exit::NotFound, false, "HTTP 404"),
        ServerError = ("server_error", Exit::ServerError, true, "HTTP 5xx"),
        RateLimited = ("rate_limited", Exit::RateLimited, true, "HTTP 429"),
        Timeout = ("timeout", Exit::Unreachable, true, "--timeout has passed"),
        Network = ("network", Exit::Unreachable, true, "name resolution, connection or proxy failed"),
        Tls = ("tls", Exit::Unreachable, false, "certificate or TLS handshake failed"),
        UnexpectedReply = ("unexpected_reply", Exit::UnexpectedReply, false, "any other reply"),
        Local = ("local", Exit::Local, false, "the fault is on this machine"),
    }
}

/// Why there is no balance, or not enough of it. Serialized, this is the `error` object of `--json`.
#[derive(Debug, Clone, Serialize, Error)]
#[error("{message}")]
pub struct Error {
    /// The stable name of its kind.
    pub kind: &'static str,
    /// What is wrong, as one sentence.
    pub message: Shown,
    /// What the user can do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<Shown>,
    /// The HTTP status of the reply, if there was one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How many seconds the server asks to wait, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// The balance, if it is below the minimum.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credits: Option<i64>,
    /// The minimum that the balance is below.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minimum: Option<u64>,
    /// Whether another try later may succeed.
    pub retryable: bool,
    /// The exit code of the run.
    pub exit_code: u8,
}

/// A result whose error is the program's own.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Builds an [`struct@Error`] from a [`Kind`] and the parts of [`shown!`](crate::text::shown).
macro_rules! error {
    ($kind:ident, $($message:tt)*) => {
        $crate::error::Error::new($crate::error::Kind::$kind, $crate::text::shown!($($message)*))
    };
}
pub(crate) use error;

impl Error {
    /// An error with what its kind implies.
    pub fn new(kind: Kind, message: Shown) -> Error {
        let (kind, exit, retryable, _) = kind.row();
        let (hint, status, retry_after, credits, minimum) = Default::default();
        Error {
            kind,
            message,
            hint,
            status,
            retry_after,
            credits,
            minimum,
            retryable,
            exit_code: exit as u8,
        }
    }

    /// Fewer credits than `--min` asks for.
    pub fn below_minimum(credits: i64, minimum: u64) -> Error {
        let noun = if credits == 1 { "credit" } else { "credits" };
        let error = error!(
            BelowMinimum,
            "{} {} left, below the minimum of {}", credits, noun, minimum
        );
        Error {
            credits: Some(credits),
            minimum: Some(minimum),
            ..error
        }
    }

    /// Adds what the user can do about it, if there is anything.
    pub fn hint(self, hint: Option<Shown>) -> Error {
        Error { hint, ..self }
    }

    /// Says whether another try later may succeed, where the kind does not decide it.
    pub fn retryable(self, retryable: bool) -> Error {
        Error { retryable, ..self }
    }

    /// The text for standard error: one line of JSON, or `error: …` and perhaps `hint: …`.
    pub fn report(&self, json: bool) -> String {
        if json {
            return format!(
                "{{\"error\":{}}}\n",
                serde_json::to_string(self).unwrap_or_default()
            );
        }
        let prefix = if self.minimum.is_some() {
            ""
        } else {
            "error: "
        };
        let hint = self.hint.as_ref().map(|hint| format!("hint: {hint}\n"));
        format!("{prefix}{}\n{}", self.message, hint.unwrap_or_default())
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
        let hint = "this is a bug in clado-credits; please report it";
        error!(
            Local,
            "internal error: {}",
            Shown::short(format!("{error:#}"))
        )
        .hint(Some(hint.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exit_code_is_the_place_in_the_table() {
        for (place, exit) in Exit::ALL.iter().enumerate() {
            assert_eq!(*exit as usize, place);
        }
        assert_eq!(Exit::Local as u8, 9);
    }

    #[test]
    fn every_exit_code_but_0_has_a_kind() {
        for exit in &Exit::ALL[1..] {
            assert!(
                Kind::ALL.iter().any(|kind| kind.row().1 == *exit),
                "{exit:?}"
            );
        }
    }
}
