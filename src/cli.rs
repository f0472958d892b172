//! The command line: what can be typed, the help, and the completion scripts. The only file that knows clap.
//!
//! What the flags mean together with the environment and the defaults is decided in `config.rs`.

use std::ffi::OsString;
use std::num::IntErrorKind;
use std::path::PathBuf;
use std::time::Duration;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Command, CommandFactory, Parser, ValueEnum, ValueHint};

use crate::environment::VARIABLES;
use crate::error::{Exit, Kind};
use crate::text::Shown;

/// Stands in the definition for the tables at the end of the long help. They are made when help is printed, so that a
/// check does not pay for them.
const TABLES_PLACEHOLDER: &str = "(tables)";

/// Check how many Clado API credits are left
#[derive(Parser)]
#[command(
    version,
    long_about = "Check how many Clado API credits are left.\n\n\
        Asks the API once, which costs no credits, and prints the balance. If it can't\n\
        be read, standard output stays empty and the exit code says what failed.",
    help_template = "{about-with-newline}\n\
        Example: clado-credits --min 500 && ./costly-search\n\n\
        {usage-heading} {usage}\n\n{all-args}{after-help}",
    override_usage = "clado-credits [OPTIONS]",
    after_help = "Exit codes, JSON errors and environment: --help",
    after_long_help = TABLES_PLACEHOLDER,
    args_override_self = true
)]
pub struct Args {
    /// Print the API's JSON reply, unchanged
    ///
    /// It always parses and has an integer "credits".
    ///
    /// Errors are one line of JSON on standard error; see below.
    #[arg(long, group = "format")]
    pub json: bool,

    /// Print only the number of credits
    #[arg(long, group = "format")]
    pub plain: bool,

    /// Print nothing on success
    ///
    /// Errors and a balance below --min still go to standard error.
    #[arg(short, long, group = "format")]
    pub quiet: bool,

    /// Exit with code 1 if fewer than CREDITS are left
    ///
    /// The balance is printed as usual, then a line on standard error.
    #[arg(long, value_name = "CREDITS", value_hint = ValueHint::Other, allow_negative_numbers = true, value_parser = parse_credits)]
    pub min: Option<u64>,

    /// The API key; it shows in the process list
    #[arg(long, value_name = "KEY", value_hint = ValueHint::Other, conflicts_with = "api_key_file")]
    pub api_key: Option<OsString>,

    /// Read the API key from a file, or from stdin if -
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    pub api_key_file: Option<PathBuf>,

    /// Base URL of the API [default: https://search.clado.ai]
    ///
    /// A path in it is kept. Plain http is allowed only to this machine.
    #[arg(long, value_name = "URL", value_hint = ValueHint::Other)]
    pub api_url: Option<String>,

    /// Time limit for the whole run
    ///
    /// It may have decimals. Writing the output is not limited.
    #[arg(long, value_name = "SECONDS", value_hint = ValueHint::Other, allow_negative_numbers = true, default_value = "30", value_parser = parse_seconds)]
    pub timeout: Duration,

    /// Use colour: auto, always, never
    ///
    /// auto: on a terminal, unless NO_COLOR is set or TERM is dumb.
    #[arg(
        long,
        value_name = "WHEN",
        default_value = "auto",
        hide_possible_values = true
    )]
    pub color: ColorChoice,

    /// Show on stderr what is sent and where, never the key
    #[arg(short, long)]
    pub verbose: bool,

    /// Print completions: bash, zsh, fish, powershell, elvish
    #[arg(long, value_name = "SHELL", hide_possible_values = true)]
    pub completions: Option<Shell>,
}

/// When the table is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[expect(
    missing_docs,
    reason = "clap would print the comments in the completions"
)]
pub enum ColorChoice {
    Auto,
    Always,
    Never,
}

/// A shell that there are completions for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
#[expect(
    missing_docs,
    reason = "clap would print the comments in the completions"
)]
pub enum Shell {
    Bash,
    Zsh,
    Fish,
    PowerShell,
    Elvish,
}

impl Shell {
    /// The completion script, which is checked in as clap makes it from the definition above.
    pub fn completion_script(self) -> &'static str {
        match self {
            Shell::Bash => include_str!("../completions/clado-credits.bash"),
            Shell::Zsh => include_str!("../completions/_clado-credits"),
            Shell::Fish => include_str!("../completions/clado-credits.fish"),
            Shell::PowerShell => include_str!("../completions/_clado-credits.ps1"),
            Shell::Elvish => include_str!("../completions/clado-credits.elv"),
        }
    }
}

/// What a command line asks for.
pub enum Parsed {
    /// A run with these arguments.
    Args(Args),
    /// This text on standard output: the help or the version.
    Help(String),
    /// This text on standard error: what is wrong with the command line.
    UsageError(String),
}

/// Parses the command line. The first argument is the name of the program.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Parsed {
    match Args::try_parse_from(arguments) {
        Ok(args) => Parsed::Args(args),
        Err(error) if error.use_stderr() => Parsed::UsageError(usage_error(error)),
        Err(help) => Parsed::Help(format_help(&help.to_string())),
    }
}

/// The definition of the command line, for what is generated from it.
pub fn command() -> Command {
    Args::command()
}

/// What there is instead of an option of curl's that does not exist here.
fn instead_of_curl_option(option: &str) -> Option<&'static str> {
    match option {
        "--url" => Some("use --api-url <URL> instead"),
        "--proxy" | "-x" => Some("set HTTPS_PROXY to the proxy's URL instead"),
        "--proxy-user" | "-U" => Some("put it into HTTPS_PROXY: http://USER:PASSWORD@HOST:PORT"),
        "--noproxy" => Some("set NO_PROXY instead"),
        "--cacert" => Some("set SSL_CERT_FILE to the file instead"),
        "--capath" => Some("set SSL_CERT_DIR to the directory instead"),
        "--max-time" | "-m" | "--connect-timeout" => Some("use --timeout <SECONDS> instead"),
        "--header" | "-H" | "--oauth2-bearer" => {
            Some("give the key with CLADO_API_KEY or --api-key-file <PATH> instead")
        }
        "--insecure" | "-k" => {
            Some("certificates are always checked; to trust another CA, set SSL_CERT_FILE")
        }
        "--cert" | "-E" => Some("client certificates are not supported"),
        "--location" | "-L" => Some("redirects are not followed, as the key is for one host"),
        "--silent" | "-s" => Some("use --quiet instead"),
        _ => None,
    }
}

/// clap's text for an error in the command line, with API keys hidden in it.
fn usage_error(mut error: clap::Error) -> String {
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg)
    {
        if !argument.starts_with('-') {
            let message = "unexpected argument (not shown: it may be a key)";
            error = Args::command().error(error.kind(), message);
        } else if let Some(instead) = instead_of_curl_option(argument) {
            let message = format!("unexpected argument '{argument}': {instead}");
            error = Args::command().error(error.kind(), message);
        }
    }
    let mut text = String::new();
    for line in error.to_string().lines() {
        text += &format!("{}\n", Shown::new(line));
    }
    text
}

/// Completes a help text that clap has made, short or long.
///
/// clap indents long options by six columns, to leave room for a short form that most do not have. Here they are
/// indented by two. A line with a short form keeps its place, and loses four of the blanks before its text, so that
/// all texts stay in one column.
pub fn format_help(help: &str) -> String {
    let help = help.replace(TABLES_PLACEHOLDER, &long_help_tables());
    let mut formatted = String::new();
    for line in help.lines() {
        let line = if let Some(option) = line.strip_prefix("      --") {
            format!("  --{option}")
        } else if line.starts_with("  -") {
            // The first four blanks in a row are those before the text.
            line.replacen("    ", "", 1)
        } else {
            line.to_owned()
        };
        formatted += line.trim_end();
        formatted.push('\n');
    }
    formatted
}

fn long_help_tables() -> String {
    let Tables {
        exit_codes,
        kinds,
        environment,
    } = Tables::new();
    format!(
        "Exit codes:\n{exit_codes}\n\
        JSON errors (--json): kind, exit code, meaning\n{kinds}\n\
        \x20 \"retryable\" says whether another try later may succeed. What is wrong with the\n\
        \x20 command line itself stays plain text, and the lines of --verbose come first.\n\n\
        Environment:\n{environment}\n\
        \x20 A blank variable counts as unset. Lower-case proxy variables come first.\n\
        \x20 SCHEME is http, https, socks4, socks4a, socks5 or socks5h.\n\n\
        API documentation: https://docs.clado.ai/api-reference/endpoint/get-credits"
    )
}

/// The tables of the long help, which the README and the man page have too. Each row is a line.
pub struct Tables {
    /// The exit codes and their meanings.
    pub exit_codes: String,
    /// The kinds of JSON errors, their exit codes and meanings.
    pub kinds: String,
    /// The environment variables and their meanings.
    pub environment: String,
}

impl Tables {
    /// Makes the tables.
    #[expect(
        clippy::new_without_default,
        reason = "there is nothing default about them"
    )]
    pub fn new() -> Tables {
        let mut exit_codes = String::new();
        for exit in Exit::ALL {
            exit_codes += &format!("  {}  {}\n", exit.code(), exit.meaning());
        }

        let mut kinds = String::new();
        let width = widest(Kind::ALL.iter().map(|kind| kind.info().name));
        for kind in Kind::ALL {
            let info = kind.info();
            let code = info.exit.code();
            kinds += &format!("  {:width$}  {code}  {}\n", info.name, info.meaning);
        }

        let mut environment = String::new();
        let width = widest(VARIABLES.iter().map(|variable| variable.name));
        for variable in VARIABLES {
            environment += &format!("  {:width$}  {}\n", variable.name, variable.meaning);
        }

        Tables {
            exit_codes,
            kinds,
            environment,
        }
    }
}

fn widest(names: impl Iterator<Item = &'static str>) -> usize {
    names.map(str::len).max().unwrap_or(0)
}

fn parse_credits(text: &str) -> Result<u64, &'static str> {
    match text.parse::<u64>() {
        Ok(credits) => Ok(credits),
        Err(error) if *error.kind() == IntErrorKind::PosOverflow => Err("too large"),
        Err(_) => Err("not a whole number of credits"),
    }
}

fn parse_seconds(text: &str) -> Result<Duration, &'static str> {
    const NOT_SECONDS: &str = "not a number of seconds, such as 30 or 0.5";
    // Digits and a point only: `f64` would also take `inf`, `nan` and `1e9`.
    if !text.bytes().all(|b| b.is_ascii_digit() || b == b'.') {
        return Err(NOT_SECONDS);
    }
    let seconds = text.parse::<f64>().map_err(|_| NOT_SECONDS)?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|_| "too large")?;
    if duration.is_zero() {
        return Err("not above 0");
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint;

    #[test]
    fn the_definition_is_valid() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_help_names_the_default_url() {
        let default = format!("[default: {}]", endpoint::DEFAULT_URL);
        let help = Args::command().render_help().to_string();
        assert!(help.contains(&default));
    }

    #[test]
    fn a_timeout_is_a_plain_number_above_zero() {
        for (text, millis) in [("30", 30_000), ("0.5", 500), (".25", 250), ("2.", 2_000)] {
            assert_eq!(
                parse_seconds(text),
                Ok(Duration::from_millis(millis)),
                "{text}"
            );
        }
        for text in [
            "",
            ".",
            "0",
            "0.0",
            "0.0000000001",
            "-1",
            "+1",
            "1e3",
            "inf",
            "nan",
            "1,5",
            "5s",
            "1.2.3",
        ] {
            assert!(parse_seconds(text).is_err(), "{text}");
        }
        assert!(parse_seconds(&"9".repeat(400)).is_err());
    }
}
