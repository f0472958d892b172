//! What goes to standard output: table, JSON, plain number or nothing. The only file that knows comfy-table and
//! standard output.
//!
//! `render` is pure, its clock and its colours are passed in; `emit` is the only write.

use std::env;
use std::fs::File;
use std::io::{self, IsTerminal, Write};

use anstyle::{AnsiColor, Style};
use comfy_table::{Table, presets};
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};

use crate::api::Reply;
use crate::cli::When;
use crate::text;

/// The forms of the output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Two lines for people.
    Table {
        /// Whether to colour them.
        colour: bool,
        /// The balance is short of `--min`.
        short: bool,
    },
    /// The body as received.
    Json,
    /// The number.
    Plain,
    /// Nothing.
    Quiet,
}

/// Whether standard output gets colour: a flag beats the environment, and that beats the terminal.
pub fn colour(when: When) -> bool {
    match when {
        When::Always => true,
        When::Never => false,
        When::Auto => {
            let no_color = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            let dumb = env::var_os("TERM").is_some_and(|value| value == "dumb");
            !no_color && !dumb && io::stdout().is_terminal()
        }
    }
}

/// The bytes to print for `reply`; `now` is what the age of the last top-up is counted to.
pub fn render(reply: &Reply, form: Form, now: Timestamp) -> Vec<u8> {
    match form {
        Form::Table { colour, short } => table(reply, colour, short, now).into_bytes(),
        Form::Json => [reply.body.trim_ascii(), b"\n"].concat(),
        Form::Plain => format!("{}\n", reply.credits).into_bytes(),
        Form::Quiet => Vec::new(),
    }
}

fn table(reply: &Reply, colour: bool, short: bool, now: Timestamp) -> String {
    let alarm = if short || reply.credits <= 0 { AnsiColor::Red.on_default() } else { Style::new().bold() };
    let paint = |text: String, style: Style| if colour { format!("{style}{text}{style:#}") } else { text };
    let last_topup = match reply.last_topup.as_deref() {
        None => "never".to_owned(),
        Some(sent) => match timestamp(sent) {
            None => sent.to_owned(),
            Some(instant) => {
                let age = age(instant, now).map(|age| paint(format!("({age})"), Style::new().dimmed()));
                let date = instant.strftime("%Y-%m-%d %H:%M UTC").to_string();
                [Some(date), age].into_iter().flatten().collect::<Vec<_>>().join(" ")
            }
        },
    };
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.add_row(["Credits".to_owned(), paint(reply.credits.to_string(), alarm)]);
    table.add_row(["Last top-up".to_owned(), last_topup]);
    if let Some(labels) = table.column_mut(0) {
        labels.set_padding((0, 2));
    }
    if let Some(values) = table.column_mut(1) {
        values.set_padding((0, 0));
    }
    table.trim_fmt() + "\n"
}

/// Reads an ISO 8601 timestamp; without an offset it is taken as UTC.
fn timestamp(sent: &str) -> Option<Timestamp> {
    let naive = || Some(sent.parse::<DateTime>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp());
    sent.parse().ok().or_else(naive)
}

/// The time since `then` in its largest unit; `None` for the future.
fn age(then: Timestamp, now: Timestamp) -> Option<String> {
    if then > now {
        return None;
    }
    let utc = |instant: Timestamp| instant.to_zoned(TimeZone::UTC);
    let span = utc(then).until((Unit::Year, &utc(now))).ok()?;
    let units = [
        (i64::from(span.get_years()), "year"),
        (i64::from(span.get_months()), "month"),
        (i64::from(span.get_days()), "day"),
        (i64::from(span.get_hours()), "hour"),
        (span.get_minutes(), "minute"),
    ];
    Some(match units.into_iter().find(|(n, _)| *n > 0) {
        Some((n, unit)) => format!("{} ago", text::count(n, unit)),
        None => "just now".to_owned(),
    })
}

/// Writes `bytes` to standard output. A reader that has gone away is no error.
///
/// # Errors
/// When the bytes can't be written, to a full disk for example.
pub fn emit(bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    match stdout()?.write_all(bytes) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}

/// Standard output without the standard library's wrapper, which takes a descriptor that is not open for
/// writing for a success.
#[cfg(unix)]
fn stdout() -> io::Result<File> {
    use std::os::fd::AsFd;
    Ok(File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

/// Standard output; the wrapper also translates for the console.
#[cfg(not(unix))]
fn stdout() -> io::Result<io::Stdout> {
    Ok(io::stdout())
}
