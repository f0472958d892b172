//! The sentences that the tests expect, each in one place: their wording is not stable.

/// The hint where there is no key.
pub const NO_KEY_HINT: &str =
    "export CLADO_API_KEY, or use --api-key-file <PATH>; sudo and cron do not pass variables on";

/// The hint where a file with the key has a byte-order mark.
pub const SAVE_AS_ASCII: &str =
    "save it as plain ASCII; in PowerShell: Set-Content -Encoding Ascii";

/// The hint where there is more than the key.
pub const KEY_ALONE: &str = "only the key itself belongs there, on one line";

/// The hint for HTTP 5xx, unless the reply says when to try again.
pub const TRY_LATER: &str = "the fault is on the server's side; try again later";

/// The hint for HTTP 404 from the default URL.
pub const OUT_OF_DATE: &str = "check that the key belongs to the right account";

/// The hint for a reply that something else than the API may have sent, where the test has named the server with
/// `CLADO_API_URL`.
pub fn check_url(base_url: &str) -> String {
    format!("check CLADO_API_URL; the request went to {base_url}/api/credits")
}

/// What is said about a balance below the minimum.
pub fn below_minimum(credits: i64, minimum: u64) -> String {
    let noun = if credits == 1 { "credit" } else { "credits" };
    format!("{credits} Clado {noun} left, below the minimum of {minimum}")
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

/// The hint where a name in a certificate is another, with a server that `CLADO_API_URL` names.
pub const CHECK_URL: &str = "check CLADO_API_URL";

/// The hint where a certificate is not valid now.
pub const SET_CLOCK: &str = "if that is not today's date, set this machine's clock";

/// The hint where a certificate's issuer has another key than the one that is trusted.
pub const RENEWED: &str = "if the issuer was renewed, its new certificate has to be trusted";

/// The hint where the issuer of a certificate is not in `file`, which `SSL_CERT_FILE` names.
pub fn issuer_not_in(file: &std::path::Path) -> String {
    format!(
        "no certificate in {} (from SSL_CERT_FILE, which replaces the system's) is its issuer's",
        file.display()
    )
}
