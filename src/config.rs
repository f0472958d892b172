//! What the command line means: `Config` has one value for each setting, from the flags, the environment or the
//! defaults. Settings are merged here and nowhere else.
//!
//! What can be typed is in `cli.rs`, the variables are in `environment.rs`.

use std::env;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::{Args, ColorChoice};
use crate::endpoint::{DEFAULT_URL, Endpoint};
use crate::environment::{self, variable};
use crate::error::{Error, Kind, Result};
use crate::key::Source;
use crate::proxy::{self, Proxy, Route};
use crate::text::{self, Shown, shown};

/// The settings of a run.
pub struct Config {
    /// What is printed on success.
    pub format: Format,
    /// The credits that should be left.
    pub minimum: Option<u64>,
    /// The time limit of the run.
    pub timeout: Duration,
    /// Whether the lines of `--verbose` are printed.
    pub verbose: bool,
    /// Whether the table is coloured.
    pub color: bool,
    /// The URL to ask.
    pub endpoint: Endpoint,
    /// The flag or variable that the URL comes from; `None` for the default URL.
    pub url_setting: Option<&'static str>,
    /// The server as messages name it: the host and, where one was given, the port.
    pub server_name: Shown,
    /// Where to read the key.
    pub key: Source,
    /// Through which proxy the server is reached, if any.
    pub route: Route,
    /// The certificates to trust instead of the system's.
    pub trusted: Trusted,
}

/// What is printed on success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Two lines for people.
    Table,
    /// The API's JSON reply.
    Json,
    /// The number of credits.
    Plain,
    /// Nothing.
    Quiet,
}

/// The certificates to trust instead of the system's.
pub struct Trusted {
    /// The file that `SSL_CERT_FILE` names.
    pub file: Option<PathBuf>,
    /// The directories that `SSL_CERT_DIR` names.
    pub directories: Vec<PathBuf>,
}

impl Config {
    /// Merges the flags with the environment and the defaults. Flags beat the environment.
    ///
    /// # Errors
    /// When there is no key, or when a URL or a proxy variable can't be used. A bad value is never shown, because it
    /// may hold a password.
    pub fn new(args: Args) -> Result<Config> {
        let format = format(&args);
        let color = use_color(args.color);
        let base_url = base_url(args.api_url);
        let endpoint = base_url.endpoint()?;
        let server_name = Shown::new(endpoint.authority());
        let Some(key) = key_source(args.api_key, args.api_key_file) else {
            return Err(no_api_key());
        };
        let route = proxy::choose(&endpoint, variable)?;
        Ok(Config {
            format,
            minimum: args.min,
            timeout: args.timeout,
            verbose: args.verbose,
            color,
            endpoint,
            url_setting: base_url.setting,
            server_name,
            key,
            route,
            trusted: trusted(),
        })
    }

    /// The proxy to go through, if any.
    pub fn proxy(&self) -> Option<&Proxy> {
        match &self.route {
            Route::Through(proxy) => Some(proxy),
            Route::Direct(_) => None,
        }
    }

    /// The minimum, if `balance` is below it.
    pub fn missed_minimum(&self, balance: i64) -> Option<u64> {
        let minimum = self.minimum?;
        // No type of 64 bits holds every balance and every minimum.
        if i128::from(balance) < i128::from(minimum) {
            Some(minimum)
        } else {
            None
        }
    }
}

/// Hides each API key on the command line and in the environment. This comes before the arguments are parsed, as clap
/// repeats values in its errors.
pub fn hide_keys(arguments: impl IntoIterator<Item = OsString>) {
    let mut previous = OsString::new();
    for argument in arguments {
        if previous == "--api-key" {
            text::hide_key(&argument.to_string_lossy());
        }
        if let Some(key) = argument.to_string_lossy().strip_prefix("--api-key=") {
            text::hide_key(key);
        }
        previous = argument;
    }
    if let Some(key) = variable("CLADO_API_KEY") {
        text::hide_key(&key.to_string_lossy());
    }
}

fn format(args: &Args) -> Format {
    if args.json {
        Format::Json
    } else if args.plain {
        Format::Plain
    } else if args.quiet {
        Format::Quiet
    } else {
        Format::Table
    }
}

/// Whether standard output gets colour: the flag beats the environment, and the environment beats the terminal.
fn use_color(choice: ColorChoice) -> bool {
    match choice {
        ColorChoice::Always => true,
        ColorChoice::Never => false,
        ColorChoice::Auto => {
            !environment::forbids_color() && io::stdout().is_terminal() && enable_ansi_colors()
        }
    }
}

/// A classic Windows console understands escape sequences only once it has been switched to them.
#[cfg(windows)]
fn enable_ansi_colors() -> bool {
    anstyle_query::windows::enable_ansi_colors().unwrap_or(false)
}

#[cfg(not(windows))]
fn enable_ansi_colors() -> bool {
    true
}

/// A base URL as it was given.
struct BaseUrl {
    value: OsString,
    /// The flag or variable that it comes from; `None` for the default.
    setting: Option<&'static str>,
}

impl BaseUrl {
    fn endpoint(&self) -> Result<Endpoint> {
        let parsed = match self.value.to_str() {
            Some(url) => Endpoint::parse(url),
            None => Err("it is not UTF-8"),
        };
        parsed.map_err(|problem| {
            // The default URL has a test, so this is about one that was given.
            let setting = self.setting.unwrap_or("the program");
            Error::new(Kind::Usage, shown!("bad URL in {}: {}", setting, problem))
        })
    }
}

fn base_url(flag: Option<String>) -> BaseUrl {
    if let Some(url) = flag {
        return BaseUrl {
            value: url.into(),
            setting: Some("--api-url"),
        };
    }
    if let Some(url) = variable("CLADO_API_URL") {
        return BaseUrl {
            value: url,
            setting: Some("CLADO_API_URL"),
        };
    }
    BaseUrl {
        value: DEFAULT_URL.into(),
        setting: None,
    }
}

/// Where the key is. clap sees to it that at most one of the flags is given.
fn key_source(key: Option<OsString>, file: Option<PathBuf>) -> Option<Source> {
    if let Some(key) = key {
        return Some(Source::Value("--api-key", key));
    }
    if let Some(path) = file {
        if path == Path::new("-") {
            return Some(Source::Stdin);
        }
        return Some(Source::File {
            path,
            variable: None,
        });
    }
    if let Some(key) = variable("CLADO_API_KEY") {
        return Some(Source::Value("CLADO_API_KEY", key));
    }
    // Standard input is read only when a flag says so: here, "-" is the name of a file.
    let path = variable("CLADO_API_KEY_FILE")?;
    Some(Source::File {
        path: path.into(),
        variable: Some("CLADO_API_KEY_FILE"),
    })
}

/// The error when neither a flag nor a variable says where the key is.
fn no_api_key() -> Error {
    for name in ["CLADO_API_KEY", "CLADO_API_KEY_FILE"] {
        if environment::is_set_but_blank(name) {
            let message = shown!("no API key: {} is set, but blank", name);
            return Error::new(Kind::NoApiKey, message);
        }
    }
    Error::new(Kind::NoApiKey, "no API key".into()).with_hint(
        "export CLADO_API_KEY, or use --api-key-file <PATH>; sudo and cron do not pass variables on",
    )
}

fn trusted() -> Trusted {
    let mut directories = Vec::new();
    if let Some(paths) = variable("SSL_CERT_DIR") {
        for path in env::split_paths(&paths) {
            // As in PATH, nothing may stand between two separators.
            if !path.as_os_str().is_empty() {
                directories.push(path);
            }
        }
    }
    Trusted {
        file: variable("SSL_CERT_FILE").map(PathBuf::from),
        directories,
    }
}
