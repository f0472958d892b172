//! What goes to standard output: table, JSON, plain number or nothing. The only file that knows comfy-table and
//! standard output.
//!
//! `render` is pure, its clock and its colours are passed in; `emit` is the only write.

use std::env;
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
fn stdout() -> io::Result<std::fs::File> {
    use std::os::fd::AsFd;
    Ok(std::fs::File::from(io::stdout().as_fd().try_clone_to_owned()?))
}

/// Standard output; the wrapper also translates for the console.
#[cfg(not(unix))]
fn stdout() -> io::Result<io::Stdout> {
    Ok(io::stdout())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: &str = "2026-07-01T12:00:00Z";

    fn shown(credits: i64, last_topup: Option<&str>, form: Form) -> String {
        let reply =
            Reply { body: Vec::new(), credits, last_topup: last_topup.map(str::to_owned), holds_key: false };
        String::from_utf8(render(&reply, form, NOW.parse().unwrap())).unwrap()
    }

    #[test]
    fn the_table_is_two_aligned_lines() {
        let form = Form::Table { colour: false, short: false };
        assert_eq!(
            shown(247, Some("2024-01-15T10:30:00Z"), form),
            "Credits      247\nLast top-up  2024-01-15 10:30 UTC (2 years ago)\n"
        );
        assert_eq!(shown(0, None, form), "Credits      0\nLast top-up  never\n");
    }

    #[test]
    fn colour_is_for_the_number_and_the_age() {
        let sent = Some("2026-06-30T12:00:00Z");
        for (credits, short, number) in [
            (5, false, "\u{1b}[1m5\u{1b}[0m"),
            (5, true, "\u{1b}[31m5\u{1b}[0m"),
            (0, false, "\u{1b}[31m0\u{1b}[0m"),
            (-5, false, "\u{1b}[31m-5\u{1b}[0m"),
        ] {
            let table = shown(credits, sent, Form::Table { colour: true, short });
            let expected = format!(
                "Credits      {number}\nLast top-up  2026-06-30 12:00 UTC \u{1b}[2m(1 day ago)\u{1b}[0m\n"
            );
            assert_eq!(table, expected);
        }
    }

    #[test]
    fn timestamps_are_shown_in_utc_with_their_age_or_as_sent() {
        for (sent, expected) in [
            ("2026-07-01T11:59:30Z", "2026-07-01 11:59 UTC (just now)"),
            ("2026-07-01T12:00:00Z", "2026-07-01 12:00 UTC (just now)"),
            ("2026-07-01T11:59:00Z", "2026-07-01 11:59 UTC (1 minute ago)"),
            ("2026-07-01T09:30:00.123456", "2026-07-01 09:30 UTC (2 hours ago)"),
            ("2026-07-01T00:30:00+05:30", "2026-06-30 19:00 UTC (17 hours ago)"),
            ("2026-06-28 12:00:00-00:00", "2026-06-28 12:00 UTC (3 days ago)"),
            ("2026-06-01T12:00:00Z", "2026-06-01 12:00 UTC (1 month ago)"),
            ("2024-07-02", "2024-07-02 00:00 UTC (1 year ago)"),
            ("2026-07-01T12:00:01Z", "2026-07-01 12:00 UTC"),
            ("2031-01-01T00:00:00Z", "2031-01-01 00:00 UTC"),
            ("yesterday", "yesterday"),
            ("1705314600", "1705314600"),
            ("2024-13-45T99:99:99Z", "2024-13-45T99:99:99Z"),
        ] {
            let table = shown(1, Some(sent), Form::Table { colour: false, short: false });
            assert_eq!(table.lines().last().unwrap(), format!("Last top-up  {expected}"), "{sent}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4096))]
        #[test]
        fn whatever_the_timestamp_the_table_has_two_lines(
            sent in "\\PC{0,40}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}[Z+-][0-9:]{0,5}|-?[0-9]{1,6}-[0-9]{2}-[0-9]{2}",
        ) {
            let table = shown(1, Some(&sent), Form::Table { colour: false, short: false });
            prop_assert_eq!(table.matches('\n').count(), 2);
            prop_assert!(table.starts_with("Credits      1\nLast top-up"));
        }
    }
}
