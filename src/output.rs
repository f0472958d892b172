//! What is printed on success: the balance as a table, as JSON or as a plain number. The only file that knows
//! comfy-table.
//!
//! Renders only: the current time is passed in, and `stdio.rs` writes.

use anstyle::{AnsiColor, Style};
use comfy_table::{Table, presets};
use jiff::civil::DateTime;
use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Unit};

use crate::config::{Config, Format};
use crate::reply::Reply;
use crate::text::{Shown, shown};

/// The text to print for `reply`. The age of the last top-up is measured at `now` (UTC).
pub fn render(reply: &Reply, config: &Config, now: DateTime) -> String {
    match config.format {
        Format::Json => format!("{}\n", reply.body.trim_ascii()),
        Format::Plain => format!("{}\n", reply.credits),
        Format::Quiet => String::new(),
        Format::Table => {
            let is_below_minimum = config.missed_minimum(reply.credits).is_some();
            let rows = [
                credits_row(reply.credits, is_below_minimum),
                last_topup_row(reply.last_topup.as_deref(), now),
            ];
            table(&rows, config.color)
        }
    }
}

/// A row of the table. Its cells can be made of nothing but safe text.
struct Row {
    label: &'static str,
    /// The second cell: pieces with a blank between them.
    value: Vec<Styled>,
}

/// A text and how it is shown where there is colour.
struct Styled {
    text: Shown,
    style: Style,
}

fn credits_row(credits: i64, is_below_minimum: bool) -> Row {
    let style = if is_below_minimum || credits <= 0 {
        AnsiColor::Red.on_default()
    } else {
        Style::new().bold()
    };
    let number = Styled {
        text: shown!("{}", credits),
        style,
    };
    Row {
        label: "Credits",
        value: vec![number],
    }
}

fn last_topup_row(sent: Option<&str>, now: DateTime) -> Row {
    let mut value = Vec::new();
    match (sent, sent.and_then(parse_timestamp)) {
        (None, _) => value.push(plain("never".into())),
        (Some(sent), None) => value.push(plain(Shown::short(sent))),
        (Some(_), Some(time)) => {
            value.push(plain(Shown::new(
                time.strftime("%Y-%m-%d %H:%M UTC").to_string(),
            )));
            if let Some(age) = age(time, now) {
                value.push(Styled {
                    text: shown!("({})", age),
                    style: Style::new().dimmed(),
                });
            }
        }
    }
    Row {
        label: "Last top-up",
        value,
    }
}

fn plain(text: Shown) -> Styled {
    Styled {
        text,
        style: Style::new(),
    }
}

fn table(rows: &[Row], color: bool) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING);
    for row in rows {
        table.add_row([row.label.to_owned(), cell(&row.value, color)]);
    }
    if let Some(labels) = table.column_mut(0) {
        labels.set_padding((0, 2));
    }
    if let Some(values) = table.column_mut(1) {
        values.set_padding((0, 0));
    }
    table.trim_fmt() + "\n"
}

fn cell(pieces: &[Styled], color: bool) -> String {
    let mut cell = String::new();
    for Styled { text, style } in pieces {
        if !cell.is_empty() {
            cell.push(' ');
        }
        if color {
            cell += &format!("{style}{text}{style:#}");
        } else {
            cell += &text.to_string();
        }
    }
    cell
}

/// Parses an ISO 8601 timestamp and converts it to UTC. Without an offset, it is taken as UTC.
fn parse_timestamp(sent: &str) -> Option<DateTime> {
    let pieces = Pieces::parse(sent).ok()?;
    // jiff also reads a time zone in brackets, which is not ISO 8601.
    if pieces.time_zone_annotation().is_some() {
        return None;
    }
    if pieces.offset().is_none() {
        return sent.parse::<DateTime>().ok();
    }
    let instant = sent.parse::<Timestamp>().ok()?;
    Some(TimeZone::UTC.to_datetime(instant))
}

/// The time since `then` in its largest unit; `None` for the future.
fn age(then: DateTime, now: DateTime) -> Option<Shown> {
    if then > now {
        return None;
    }
    let span = then.until((Unit::Year, now)).ok()?;
    let units = [
        (i64::from(span.get_years()), "year"),
        (i64::from(span.get_months()), "month"),
        (i64::from(span.get_days()), "day"),
        (i64::from(span.get_hours()), "hour"),
        (span.get_minutes(), "minute"),
    ];
    for (amount, unit) in units {
        if amount == 1 {
            return Some(shown!("1 {} ago", unit));
        }
        if amount > 1 {
            return Some(shown!("{} {}s ago", amount, unit));
        }
    }
    Some("just now".into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOW: &str = "2026-07-01T12:00:00Z";

    fn table_of(
        credits: i64,
        last_topup: Option<&str>,
        color: bool,
        is_below_minimum: bool,
    ) -> String {
        let now = parse_timestamp(NOW).unwrap();
        let rows = [
            credits_row(credits, is_below_minimum),
            last_topup_row(last_topup, now),
        ];
        table(&rows, color)
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
            ("9999-12-31T23:59:59-23:00", "9999-12-31T23:59:59-23:00"),
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
