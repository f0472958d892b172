//! The environment variables that the program reads. No other file reads the environment.
//!
//! It is read by hand and not with clap, which would show the values in the help and count a variable among the flags
//! that exclude each other. One exception is not in our hands: the `openssl-probe` crate, which finds the system's
//! certificates, looks at `SSL_CERT_FILE` and `SSL_CERT_DIR` itself; it is only asked when both are unset or blank.

use std::env;
use std::ffi::OsString;

/// An environment variable.
pub struct Variable {
    /// Its name.
    pub name: &'static str,
    /// What it means, as the help, the README and the man page say it.
    pub meaning: &'static str,
}

/// Every variable that the program reads.
pub const VARIABLES: &[Variable] = &[
    Variable {
        name: "CLADO_API_KEY",
        meaning: "the API key",
    },
    Variable {
        name: "CLADO_API_KEY_FILE",
        meaning: "a file that holds the API key alone",
    },
    Variable {
        name: "CLADO_API_URL",
        meaning: "the base URL of the API",
    },
    Variable {
        name: "HTTPS_PROXY",
        meaning: "the proxy: [SCHEME://][USER:PASSWORD@]HOST[:PORT]",
    },
    Variable {
        name: "ALL_PROXY",
        meaning: "the proxy where HTTPS_PROXY is not set",
    },
    Variable {
        name: "NO_PROXY",
        meaning: "reached directly: names, domains, IPs, ranges, *",
    },
    Variable {
        name: "SSL_CERT_FILE",
        meaning: "certificates (PEM) to trust instead of the system's",
    },
    Variable {
        name: "SSL_CERT_DIR",
        meaning: "directories with such certificates",
    },
    Variable {
        name: "NO_COLOR",
        meaning: "no colour, if not empty",
    },
    Variable {
        name: "TERM",
        meaning: "no colour, if dumb",
    },
];

/// Not in the list, because its value is never used: a hint says so where it is set.
const HTTP_PROXY: &str = "HTTP_PROXY";

/// The value of the variable `name`, in upper or lower case as given. A blank value counts as unset.
///
/// # Panics
/// In debug builds, when the variable is not in [`VARIABLES`]: then it would be missing from the help.
pub fn variable(name: &str) -> Option<OsString> {
    debug_assert!(
        name.eq_ignore_ascii_case(HTTP_PROXY)
            || VARIABLES
                .iter()
                .any(|variable| variable.name.eq_ignore_ascii_case(name)),
        "{name} is not in the list of variables"
    );
    let value = env::var_os(name)?;
    let is_blank = value.as_encoded_bytes().trim_ascii().is_empty();
    if is_blank { None } else { Some(value) }
}

/// Whether the variable `name` is set to nothing but whitespace.
pub fn is_set_but_blank(name: &str) -> bool {
    env::var_os(name).is_some() && variable(name).is_none()
}

/// Whether colour is switched off: `NO_COLOR` is not empty (<https://no-color.org>), or `TERM` is `dumb`.
pub fn forbids_color() -> bool {
    // Not `variable`: by that convention, blanks count as a value here.
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let is_dumb = variable("TERM").is_some_and(|value| value == "dumb");
    no_color || is_dumb
}
