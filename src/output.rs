//! What is printed: the balance as a table, as JSON or as a plain number. The only writer of standard output and of
//! standard error, and the only file that knows comfy-table.
//!
//! `render` is pure, the current time is passed in; `emit` writes.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::thread;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use comfy_table::{Table, presets};
use jiff::Unit;
use jiff::civil::DateTime;
use jiff::fmt::friendly::{Designator, Spacing, SpanPrinter};
use jiff::tz::TimeZone;

use crate::cli::{Args, Config};
use crate::error::{Result, error};
use crate::reply::Reply;
use crate::text::Shown;

/// The text to print for `reply`; `now`, in UTC, is what the age of the last top-up is counted to.
pub fn render(reply: &Reply, config: &Config, now: DateTime) -> String {
    match &config.args {
        Args { json: true, .. } => format!("{}\n", reply.body.trim_ascii()),
        Args { plain: true, .. } => format!("{}\n", reply.credits),
        Args { quiet: true, .. } => String::new(),
        _ => table(
            reply,
            config.color,
            config.missed_minimum(reply.credits).is_some(),
            now,
        ),
    }
}

fn table(reply: &Reply, color: bool, short: bool, now: DateTime) -> String {
    let alarm = if short || reply.credits <= 0 {
        AnsiColor::Red.on_default()
    } else {
        Style::new().bold()
    };
    let paint = |text: String, style: Style| {
        if color {
            format!("{style}{text}{style:#}")
        } else {
            text
        }
    };
    let last_topup = match reply
        .last_topup
        .as_deref()
        .map(|sent| (sent, timestamp(sent)))
    {
        None => "never".to_owned(),
        Some((sent, None)) => Shown::short(sent).to_string(),
        Some((_, Some(instant))) => {
            let dim = |age| format!(" {}", paint(format!("({age})"), Style::new().dimmed()));
            let (day, age) = (
                instant.date(),
                age(instant, now).map(dim).unwrap_or_default(),
            );
            format!(
                "{day} {:02}:{:02} UTC{age}",
                instant.hour(),
                instant.minute()
            )
        }
    };
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    table.add_row([
        "Credits".to_owned(),
        paint(reply.credits.to_string(), alarm),
    ]);
    table.add_row(["Last top-up".to_owned(), last_topup]);
    for (column, padding) in table.column_iter_mut().zip([(0, 2), (0, 0)]) {
        column.set_padding(padding);
    }
    table.trim_fmt() + "\n"
}

/// Reads an ISO 8601 timestamp as a time in UTC, which is also what one without an offset is taken for. A time zone in
/// brackets is not ISO 8601.
fn timestamp(sent: &str) -> Option<DateTime> {
    let with_offset = sent
        .parse()
        .map(|instant| TimeZone::UTC.to_datetime(instant));
    with_offset
        .or_else(|_| sent.parse())
        .ok()
        .filter(|_| !sent.contains('['))
}

/// The time since `then` in its largest unit; `None` for the future.
fn age(then: DateTime, now: DateTime) -> Option<String> {
    let span = then.until((Unit::Year, now)).ok().filter(|_| then <= now)?;
    let printer = SpanPrinter::new()
        .designator(Designator::Verbose)
        .comma_after_designator(true);
    let units = printer
        .spacing(Spacing::BetweenUnitsAndDesignators)
        .span_to_string(&span);
    let largest = units.split(',').next()?;
    // Less than a minute is in seconds or in parts of them.
    Some(if largest.contains("second") {
        "just now".to_owned()
    } else {
        format!("{largest} ago")
    })
}

/// Writes `bytes` to standard output. A reader that has gone away is not an error.
///
/// # Errors
/// When the bytes can't be written, to a full disk for example. A regular file is left as long as it was.
pub fn emit(bytes: &[u8]) -> Result<()> {
    match stdout().and_then(|file| write(file, bytes)) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error!(
            Local,
            "could not write the output: {}",
            Shown::reason(&error)
        )),
        _ => Ok(()),
    }
}

/// Standard output as a file. The standard library's own handle reports success for a descriptor that is not open
/// for writing.
fn stdout() -> io::Result<File> {
    #[cfg(unix)]
    let owned = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned();
    #[cfg(windows)]
    let owned = std::os::windows::io::AsHandle::as_handle(&io::stdout()).try_clone_to_owned();
    owned.map(File::from)
}

fn write(mut file: File, bytes: &[u8]) -> io::Result<()> {
    // Windows has no metadata for a console or a pipe.
    let length = file
        .metadata()
        .ok()
        .filter(Metadata::is_file)
        .map(|before| before.len());
    let is_temporary =
        |error: &io::Error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted);
    let mut rest = bytes;
    while !rest.is_empty() {
        match (file.write(rest), length) {
            (Ok(written), Some(length)) if written < rest.len() => {
                // No space for all of it: a part of a number must not stay.
                file.seek(SeekFrom::Current(-(written as i64)))?;
                file.set_len(length)?;
                return Err(io::Error::new(
                    ErrorKind::StorageFull,
                    "there is not enough space for it",
                ));
            }
            (Ok(0), _) => return Err(ErrorKind::WriteZero.into()),
            (Ok(written), _) => rest = &rest[written..],
            // A descriptor that does not block: a slow reader is waited for by trying again.
            (Err(error), _) if is_temporary(&error) => thread::sleep(Duration::from_millis(10)),
            (Err(error), _) => return Err(error),
        }
    }
    Ok(())
}

/// Writes `text` to standard error. A failure is ignored; the exit code still says what happened.
pub fn write_stderr(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: &str = "2026-07-01T12:00:00Z";

    fn table_of(credits: i64, last_topup: Option<&str>, color: bool, short: bool) -> String {
        let reply = Reply {
            body: String::new(),
            credits,
            last_topup: last_topup.map(str::to_owned),
        };
        table(&reply, color, short, timestamp(NOW).unwrap())
    }

    #[test]
    fn the_table_is_two_aligned_lines() {
        assert_eq!(
            table_of(247, Some("2024-01-15T10:30:00Z"), false, false),
            "Credits      247\nLast top-up  2024-01-15 10:30 UTC (2 years ago)\n"
        );
        assert_eq!(
            table_of(0, None, false, false),
            "Credits      0\nLast top-up  never\n"
        );
    }

    #[test]
    fn only_the_number_and_the_age_are_coloured() {
        let sent = Some("2026-06-30T12:00:00Z");
        for (credits, short, number) in [
            (5, false, "\u{1b}[1m5\u{1b}[0m"),
            (5, true, "\u{1b}[31m5\u{1b}[0m"),
            (0, false, "\u{1b}[31m0\u{1b}[0m"),
            (-5, false, "\u{1b}[31m-5\u{1b}[0m"),
        ] {
            let table = table_of(credits, sent, true, short);
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
            (
                "2026-07-01T11:59:00Z",
                "2026-07-01 11:59 UTC (1 minute ago)",
            ),
            (
                "2026-07-01T09:30:00.123456",
                "2026-07-01 09:30 UTC (2 hours ago)",
            ),
            (
                "2026-07-01T00:30:00+05:30",
                "2026-06-30 19:00 UTC (17 hours ago)",
            ),
            (
                "2026-06-28 12:00:00-00:00",
                "2026-06-28 12:00 UTC (3 days ago)",
            ),
            ("2026-06-01T12:00:00Z", "2026-06-01 12:00 UTC (1 month ago)"),
            ("2024-07-02", "2024-07-02 00:00 UTC (1 year ago)"),
            ("2026-07-01T12:00:01Z", "2026-07-01 12:00 UTC"),
            ("2031-01-01T00:00:00Z", "2031-01-01 00:00 UTC"),
            ("yesterday", "yesterday"),
            ("1705314600", "1705314600"),
            ("2024-13-45T99:99:99Z", "2024-13-45T99:99:99Z"),
            (
                "2024-01-15T10:30:00[America/New_York]",
                "2024-01-15T10:30:00[America/New_York]",
            ),
            (
                "2026-07-01T11:59:00.000001Z",
                "2026-07-01 11:59 UTC (just now)",
            ),
            (
                "2025-07-01T12:00:01Z",
                "2025-07-01 12:00 UTC (11 months ago)",
            ),
        ] {
            let table = table_of(1, Some(sent), false, false);
            assert_eq!(
                table.lines().last().unwrap(),
                format!("Last top-up  {expected}"),
                "{sent}"
            );
        }
    }

    proptest! {
        #[test]
        fn the_table_has_two_lines_with_any_timestamp(
            sent in "\\PC{0,40}|[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}[Z+-][0-9:]{0,5}|-?[0-9]{1,6}-[0-9]{2}-[0-9]{2}",
        ) {
            let table = table_of(1, Some(&sent), false, false);
            prop_assert_eq!(table.matches('\n').count(), 2);
            prop_assert!(table.starts_with("Credits      1\nLast top-up"));
        }
    }
}
