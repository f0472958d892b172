//! The command line and the settings made from it: flags, environment and defaults are merged here and nowhere else.
//!
//! The only file that knows clap, and the only one that reads the environment. It does so by hand: clap would show
//! the values in the help, and count a variable among the flags that exclude each other.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::num::{IntErrorKind, ParseIntError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{ColorChoice, CommandFactory, Parser, ValueHint};

use crate::endpoint::{self, Endpoint};
use crate::error::{Exit, Kind, Result, error};
use crate::key::Source;
use crate::text::{self, Shown};
use crate::transport::proxy::{self, Proxy};

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
    // Replaced when help is printed: a check should not pay for it.
    after_long_help = "(tables)",
    args_override_self = true
)]
pub struct Args {
    /// Print the API's JSON reply, unchanged
    ///
    /// It always parses and has an integer "credits".
    ///
    /// Errors are one line of JSON on standard error; see below.
    #[arg(long, group = "form")]
    pub json: bool,

    /// Print only the number of credits
    #[arg(long, group = "form")]
    pub plain: bool,

    /// Print nothing on success
    ///
    /// Errors and a balance below --min still go to standard error.
    #[arg(short, long, group = "form")]
    pub quiet: bool,

    /// Exit with code 1 if fewer than CREDITS are left
    ///
    /// The balance is printed as usual, then a line on standard error.
    #[arg(long, value_name = "CREDITS", value_hint = ValueHint::Other, allow_negative_numbers = true)]
    #[arg(value_parser = credits)]
    pub min: Option<u64>,

    /// The API key; it shows in the process list
    #[arg(long, value_name = "KEY", value_hint = ValueHint::Other, conflicts_with = "api_key_file")]
    api_key: Option<OsString>,

    /// Read the API key from a file, or from stdin if -
    #[arg(long, value_name = "PATH", value_hint = ValueHint::FilePath)]
    api_key_file: Option<PathBuf>,

    /// Base URL of the API [default: https://search.clado.ai]
    ///
    /// A path in it is kept. Plain http is allowed only to this machine.
    #[arg(long, value_name = "URL", value_hint = ValueHint::Other)]
    api_url: Option<String>,

    /// Time limit for the whole run
    ///
    /// It may have decimals. Writing the output is not limited.
    #[arg(long, value_name = "SECONDS", value_hint = ValueHint::Other, allow_negative_numbers = true)]
    #[arg(default_value = "30", value_parser = seconds)]
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
    color: ColorChoice,

    /// Show on stderr what is sent and where, never the key
    #[arg(short, long)]
    pub verbose: bool,

    /// Print completions: bash, zsh, fish, powershell, elvish
    #[arg(long, value_name = "SHELL", hide_possible_values = true, value_parser = shells())]
    pub completions: Option<&'static str>,
}

/// The shells and their completion scripts, checked in as generated from the definition above.
const COMPLETIONS: [(&str, &str); 5] = [
    ("bash", include_str!("../completions/clado-credits.bash")),
    ("zsh", include_str!("../completions/_clado-credits")),
    ("fish", include_str!("../completions/clado-credits.fish")),
    (
        "powershell",
        include_str!("../completions/_clado-credits.ps1"),
    ),
    ("elvish", include_str!("../completions/clado-credits.elv")),
];

/// Accepts the name of a shell, and returns its script.
fn shells() -> impl TypedValueParser<Value = &'static str> {
    let find = |shell: String| {
        COMPLETIONS
            .iter()
            .find(|(name, _)| *name == shell)
            .map_or("", |row| row.1)
    };
    PossibleValuesParser::new(COMPLETIONS.map(|(shell, _)| shell)).map(find)
}

/// The environment variables that the program reads, and what they mean.
pub const ENVIRONMENT: [(&str, &str); 9] = [
    ("CLADO_API_KEY", "the API key"),
    ("CLADO_API_URL", "the base URL of the API"),
    (
        "HTTPS_PROXY",
        "the proxy: [SCHEME://][USER:PASSWORD@]HOST[:PORT]",
    ),
    ("ALL_PROXY", "the proxy where HTTPS_PROXY is not set"),
    (
        "NO_PROXY",
        "hosts to reach directly: names, domains, addresses, ranges, *",
    ),
    (
        "SSL_CERT_FILE",
        "certificates (PEM) to trust instead of the system's",
    ),
    ("SSL_CERT_DIR", "directories with such certificates"),
    ("NO_COLOR", "no colour, if not empty"),
    ("TERM", "no colour, if dumb"),
];

/// The value of an environment variable; a blank one counts as unset.
fn get(name: &str) -> Option<OsString> {
    debug_assert!(
        ENVIRONMENT
            .iter()
            .any(|(known, _)| known.eq_ignore_ascii_case(name)),
        "{name}"
    );
    env::var_os(name).filter(|value| !value.as_encoded_bytes().trim_ascii().is_empty())
}

/// The settings of a run.
pub struct Config {
    /// The flags whose value is used as it is.
    pub args: Args,
    /// The URL to ask.
    pub endpoint: Endpoint,
    /// The server as messages name it: the host and, where one was given, the port.
    pub host: Shown,
    /// The flag or variable that the URL comes from; `None` for the default URL.
    pub url_setting: Option<&'static str>,
    /// Where to read the key.
    pub key: Source,
    /// The proxy to go through.
    pub proxy: Option<Proxy>,
    /// The file that `SSL_CERT_FILE` names and the directories in `SSL_CERT_DIR`.
    pub certificates: Vec<(&'static str, PathBuf)>,
    /// Whether the table is coloured.
    pub color: bool,
}

impl Config {
    /// Merges the flags with the environment and the defaults. Flags beat the environment.
    ///
    /// # Errors
    /// When there is no key, or when a URL or a proxy variable can't be used. A bad value is never shown, because it
    /// may hold a password.
    pub fn new(mut args: Args) -> Result<Config> {
        let (url_setting, url) = match (args.api_url.take(), get("CLADO_API_URL")) {
            (Some(flag), _) => (Some("--api-url"), flag.into()),
            (None, Some(url)) => (Some("CLADO_API_URL"), url),
            (None, None) => (None, endpoint::DEFAULT_URL.into()),
        };
        let endpoint = url
            .to_str()
            .ok_or("it is not UTF-8")
            .and_then(Endpoint::parse);
        let endpoint = endpoint.map_err(|problem| {
            error!(
                Usage,
                "bad URL in {}: {}",
                url_setting.unwrap_or_default(),
                problem
            )
        })?;
        let key = match (args.api_key.take(), args.api_key_file.take()) {
            (Some(key), _) => Some(Source::Value("--api-key", key)),
            (None, Some(path)) if path == Path::new("-") => Some(Source::Stdin),
            (None, Some(path)) => Some(Source::File(path)),
            (None, None) => get("CLADO_API_KEY").map(|key| Source::Value("CLADO_API_KEY", key)),
        };
        let hint = "set CLADO_API_KEY or use --api-key-file <PATH>";
        let no_key = error!(NoApiKey, "no API key").hint(Some(hint.into()));
        let file = get("SSL_CERT_FILE").map(|path| ("SSL_CERT_FILE", path.into()));
        let directories = get("SSL_CERT_DIR").unwrap_or_default();
        let directories =
            env::split_paths(&directories).filter(|path| !path.as_os_str().is_empty());
        Ok(Config {
            url_setting,
            key: key.ok_or(no_key)?,
            proxy: proxy::choose(&endpoint, get)?,
            certificates: file
                .into_iter()
                .chain(directories.map(|path| ("SSL_CERT_DIR", path)))
                .collect(),
            host: Shown::new(endpoint.authority()),
            endpoint,
            color: use_color(args.color),
            args,
        })
    }

    /// The minimum, if `balance` is below it.
    pub fn missed_minimum(&self, balance: i64) -> Option<u64> {
        self.args
            .min
            .filter(|minimum| i128::from(balance) < i128::from(*minimum))
    }
}

/// Whether standard output gets colour: the flag beats the environment, and that beats the terminal.
fn use_color(choice: ColorChoice) -> bool {
    let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let auto =
        !no_color && get("TERM").is_none_or(|value| value != "dumb") && io::stdout().is_terminal();
    // A classic Windows console understands escape sequences only once it has been switched to them.
    #[cfg(windows)]
    let auto = auto && anstyle_query::windows::enable_ansi_colors().unwrap_or(false);
    choice == ColorChoice::Always || choice == ColorChoice::Auto && auto
}

/// Hides each API key on the command line and in the environment. This comes before clap, whose errors repeat values.
pub fn hide_keys() {
    let next = |(flag, value): (OsString, OsString)| (flag == "--api-key").then_some(value);
    let inline = |flag: OsString| Some(flag.to_str()?.strip_prefix("--api-key=")?.into());
    let flags = env::args_os()
        .zip(env::args_os().skip(1))
        .filter_map(next)
        .chain(env::args_os().filter_map(inline));
    flags
        .chain(get("CLADO_API_KEY"))
        .for_each(|key| text::hide_key(&key.to_string_lossy()));
}

/// The exit codes, the kinds of JSON errors and the environment variables, as the help and the README list them.
pub fn tables() -> [String; 3] {
    let exit_codes = Exit::ALL
        .iter()
        .map(|exit| format!("  {}  {}\n", *exit as u8, exit.row()));
    let kinds = Kind::ALL.iter().map(|kind| kind.row());
    let kinds =
        kinds.map(|(name, exit, _, meaning)| format!("  {name:<16}  {}  {meaning}\n", exit as u8));
    let environment = ENVIRONMENT
        .iter()
        .map(|(name, meaning)| format!("  {name:<13}  {meaning}\n"));
    [exit_codes.collect(), kinds.collect(), environment.collect()]
}

/// The text that clap has for an error, or for help and version. The API key is hidden in it.
pub fn render(mut error: clap::Error) -> (String, Exit) {
    if !error.use_stderr() {
        return (format_help(&error.to_string()), Exit::Success);
    }
    if error.kind() == ErrorKind::UnknownArgument
        && let Some(ContextValue::String(argument)) = error.get(ContextKind::InvalidArg)
        && !argument.starts_with('-')
    {
        error = Args::command().error(
            error.kind(),
            "unexpected argument (not shown: it may be a key)",
        );
    }
    (
        error
            .to_string()
            .lines()
            .map(|line| format!("{}\n", Shown::new(line)))
            .collect(),
        Exit::Usage,
    )
}

/// Completes the help. Moves the options four columns to the left, where clap leaves room for a short form that most do
/// not have, and removes blanks at the ends of lines.
pub fn format_help(help: &str) -> String {
    let [exit_codes, kinds, environment] = tables();
    let tables = format!(
        "Exit codes:\n{exit_codes}\n\
        JSON errors (--json): kind, exit code, meaning\n{kinds}\n\
        \x20 \"retryable\" says whether another try later may succeed. What is wrong with the\n\
        \x20 command line itself stays plain text, and the lines of --verbose come first.\n\n\
        Environment:\n{environment}\n\
        \x20 A blank variable counts as unset. Lower-case proxy variables come first.\n\
        \x20 SCHEME is http, https, socks4, socks4a, socks5 or socks5h.\n\n\
        API documentation: https://docs.clado.ai/api-reference/endpoint/get-credits"
    );
    let line = |line: &str| match (line.strip_prefix("      --"), line.strip_prefix("  -")) {
        (Some(long), _) => format!("  --{}\n", long.trim_end()),
        (_, Some(short)) => format!("  -{}\n", short.replacen("    ", "", 1).trim_end()),
        _ => format!("{}\n", line.trim_end()),
    };
    help.replace("(tables)", &tables)
        .lines()
        .map(line)
        .collect()
}

fn credits(text: &str) -> Result<u64, &'static str> {
    text.parse()
        .map_err(|error: ParseIntError| match error.kind() {
            IntErrorKind::PosOverflow => "too large",
            _ => "not a whole number of credits",
        })
}

fn seconds(text: &str) -> Result<Duration, &'static str> {
    // Digits and a point only: `f64` would also take `inf`, `nan` and `1e9`.
    let number = text
        .bytes()
        .all(|b| b.is_ascii_digit() || b == b'.')
        .then(|| text.parse().ok());
    let duration = number
        .flatten()
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration
        .filter(|timeout| !timeout.is_zero())
        .ok_or("not a number of seconds above 0, or too large")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_valid() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_help_names_the_default_url() {
        let default = format!("[default: {}]", endpoint::DEFAULT_URL);
        assert!(Args::command().render_help().to_string().contains(&default));
    }

    #[test]
    fn a_timeout_is_a_plain_number_above_zero() {
        for (text, millis) in [("30", 30_000), ("0.5", 500), (".25", 250), ("2.", 2_000)] {
            assert_eq!(seconds(text), Ok(Duration::from_millis(millis)), "{text}");
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
            assert!(seconds(text).is_err(), "{text}");
        }
        assert!(seconds(&"9".repeat(400)).is_err());
    }
}
