//! The command line: flags, their help, and what a wrong one is told. The only file that knows clap.
//!
//! The environment is read here too, by hand: clap would show its values in the help, and count a variable
//! among the flags that exclude each other.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory, FromArgMatches, Parser, ValueEnum, ValueHint};

use crate::endpoint::{self, Endpoint};
use crate::error::EXIT_CODES;
use crate::key::{self, Source};
use crate::text;

/// Check how many Clado API credits are left
#[derive(Parser)]
#[command(
    version,
    about = "Check how many Clado API credits are left",
    long_about = "Check how many Clado API credits are left.\n\n\
        Asks the service once, at no cost, and prints the answer. A number is printed only when it was\n\
        measured: on every failure standard output stays empty and the exit code says what went wrong.",
    override_usage = "clado-credits [OPTIONS]",
    before_help = "Example: clado-credits --min 500 && ./costly-search",
    after_help = "Exit codes and environment: --help",
    args_override_self = true
)]
pub struct Args {
    /// Print the API's JSON, unchanged
    ///
    /// What is printed always parses and holds an integer "credits".
    ///
    /// Errors become one line of JSON on standard error.
    #[arg(long, group = "form")]
    pub json: bool,

    /// Print only the number of credits
    #[arg(long, group = "form")]
    pub plain: bool,

    /// Print nothing on success
    ///
    /// Errors and a balance below --min are still told on standard error.
    #[arg(short, long, group = "form")]
    pub quiet: bool,

    /// Exit 1 when fewer than CREDITS remain
    ///
    /// The balance is printed as usual, and one line on standard error says that it is short.
    #[arg(
        long,
        value_name = "CREDITS",
        value_hint = ValueHint::Other,
        allow_negative_numbers = true,
        value_parser = |text: &str| text.parse::<u64>().map_err(|_| "not a whole number of credits")
    )]
    pub min: Option<u64>,

    /// The key itself; other users of the machine can see it [env: CLADO_API_KEY]
    #[arg(long, value_name = "KEY", value_hint = ValueHint::Other, conflicts_with = "api_key_file")]
    api_key: Option<OsString>,

    /// Read the key from PATH, or from standard input where PATH is -
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    api_key_file: Option<PathBuf>,

    #[arg(
        long,
        value_name = "URL",
        value_hint = ValueHint::Url,
        help = format!("Base URL [env: {}] [default: {}]", endpoint::VARIABLE, endpoint::DEFAULT_URL),
        long_help = format!(
            "Base URL [env: {}] [default: {}]\n\nA path in it is kept. Plain http is allowed only to this machine.",
            endpoint::VARIABLE,
            endpoint::DEFAULT_URL
        )
    )]
    api_url: Option<String>,

    /// Give up after this long, the whole run counted; decimals allowed
    #[arg(
        long,
        value_name = "SECONDS",
        value_hint = ValueHint::Other,
        default_value = "30",
        allow_negative_numbers = true,
        value_parser = seconds
    )]
    pub timeout: Duration,

    /// Colour the table: auto, always, never
    ///
    /// `auto` means on a terminal, unless NO_COLOR is set or TERM is dumb.
    #[arg(long, value_name = "WHEN", default_value = "auto", hide_possible_values = true)]
    pub color: When,

    /// Say on standard error what is sent where, and where the key came from
    #[arg(short, long)]
    pub verbose: bool,

    /// Print the completion script: bash, zsh, fish, powershell, elvish
    #[arg(long, value_name = "SHELL", hide_possible_values = true)]
    pub completions: Option<Shell>,
}

/// When to use colour.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum When {
    /// On a terminal, unless NO_COLOR or TERM=dumb says otherwise.
    #[value(help = None)]
    Auto,
    /// Always.
    #[value(help = None)]
    Always,
    /// Never.
    #[value(help = None)]
    Never,
}

/// The shells with a completion script.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// Bash.
    #[value(help = None)]
    Bash,
    /// Zsh.
    #[value(help = None)]
    Zsh,
    /// Fish.
    #[value(help = None)]
    Fish,
    /// PowerShell.
    #[value(help = None)]
    Powershell,
    /// Elvish.
    #[value(help = None)]
    Elvish,
}

impl Shell {
    /// The script, as generated from the definition above and checked in.
    pub fn script(self) -> &'static str {
        match self {
            Shell::Bash => include_str!("../completions/clado-credits.bash"),
            Shell::Zsh => include_str!("../completions/_clado-credits"),
            Shell::Fish => include_str!("../completions/clado-credits.fish"),
            Shell::Powershell => include_str!("../completions/_clado-credits.ps1"),
            Shell::Elvish => include_str!("../completions/clado-credits.elv"),
        }
    }
}

/// What the command line comes to when it asks for no run.
pub enum Stop {
    /// Help or the version, for standard output.
    Answer(String),
    /// A usage error, for standard error.
    Usage(String),
}

impl From<clap::Error> for Stop {
    fn from(mut error: clap::Error) -> Stop {
        if !error.use_stderr() {
            return Stop::Answer(error.to_string());
        }
        hide_secrets(&mut error);
        Stop::Usage(error.to_string())
    }
}

impl Args {
    /// Parses the command line of this process.
    ///
    /// # Errors
    /// [`Stop`] for help, version, and every usage error.
    pub fn parse_env() -> Result<Args, Stop> {
        let mut matches = command().try_get_matches()?;
        Ok(Args::from_arg_matches_mut(&mut matches)?)
    }

    /// Where the key is to be read, `None` when there is none.
    pub fn key_source(&self) -> Option<Source> {
        Source::choose(self.api_key.clone(), self.api_key_file.clone(), env::var_os(key::VARIABLE))
    }

    /// The address to ask: the flag, else the variable, else the default.
    ///
    /// # Errors
    /// A usage error that names the source of a bad URL, but never shows it: it may hold a password.
    pub fn endpoint(&self) -> Result<Endpoint, Stop> {
        let variable = env::var_os(endpoint::VARIABLE).map(|url| url.to_string_lossy().into_owned());
        let (source, url) = match (&self.api_url, &variable) {
            (Some(flag), _) => ("--api-url", flag.as_str()),
            (None, Some(url)) if !url.trim().is_empty() => (endpoint::VARIABLE, url.as_str()),
            _ => ("the default URL", endpoint::DEFAULT_URL),
        };
        Endpoint::parse(url).map_err(|problem| {
            command().error(ErrorKind::ValueValidation, format!("bad URL in {source}: {problem}")).into()
        })
    }
}

/// The definition that the help, the completions and the man page are made from.
pub fn command() -> clap::Command {
    Args::command().after_long_help(format!(
        "Exit codes:\n{EXIT_CODES}\n\n  5, 6 and 7 are worth trying again later.\n\n\
         Environment:\n{ENVIRONMENT}\n\n\
         API documentation: https://docs.clado.ai/api-reference/endpoint/get-credits"
    ))
}

/// The variables as `--help` and the man page list them.
pub const ENVIRONMENT: &str = "  CLADO_API_KEY   the API key
  CLADO_API_URL   the base URL
  HTTPS_PROXY     the proxy: [http|https|socks4|socks5|socks5h://][user:password@]host:port
  ALL_PROXY       the same, where HTTPS_PROXY is not set
  NO_PROXY        what to reach without the proxy: names, addresses, ranges, or *
  SSL_CERT_FILE   certificates (PEM) to trust instead of the operating system's
  SSL_CERT_DIR    directories of such certificates
  NO_COLOR        no colour, if not empty
  TERM            no colour, if dumb";

fn seconds(text: &str) -> Result<Duration, &'static str> {
    // Digits and a point only: `f64` would also take `inf`, `nan` and `1e9`.
    let number: Option<f64> =
        text.bytes().all(|b| b.is_ascii_digit() || b == b'.').then(|| text.parse().ok()).flatten();
    number
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|timeout| !timeout.is_zero())
        .ok_or("not a number of seconds above 0")
}

/// Keeps what may be a key out of clap's messages, which quote the offending argument, and makes control
/// characters visible. An argument that is no flag is hidden always: there are no positional arguments, so
/// nothing is lost, and a key is what is most easily put there.
fn hide_secrets(error: &mut clap::Error) {
    let kind = error.kind();
    let key = env::var_os(key::VARIABLE).unwrap_or_default();
    let key = key.to_string_lossy();
    let shown = |kind_of_text: ContextKind, value: &str| {
        let stray = kind == ErrorKind::UnknownArgument
            && kind_of_text == ContextKind::InvalidArg
            && !value.starts_with('-');
        if stray || text::looks_like_key(value) {
            return text::REDACTED.to_owned();
        }
        text::visible(&text::redact(value, key.trim()))
    };
    for of in [ContextKind::InvalidArg, ContextKind::InvalidValue] {
        if let Some(ContextValue::String(value)) = error.get(of) {
            let value = shown(of, value);
            error.insert(of, ContextValue::String(value));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        command().debug_assert();
    }

    #[test]
    fn a_timeout_is_a_plain_number_above_zero() {
        for (text, millis) in [("30", 30_000), ("0.5", 500), (".25", 250), ("2.", 2_000)] {
            assert_eq!(seconds(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in
            ["", ".", "0", "0.0", "0.0000000001", "-1", "+1", "1e3", "inf", "nan", "1,5", "5s", "1.2.3"]
        {
            assert!(seconds(text).is_err(), "{text}");
        }
        assert!(seconds(&"9".repeat(400)).is_err());
    }
}
