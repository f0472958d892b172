//! What a success prints, in each form.

use jiff::{Timestamp, ToSpan, Zoned, tz::TimeZone};

use crate::common::{api, asking};

fn utc_now() -> Zoned {
    Timestamp::now().to_zoned(TimeZone::UTC)
}

/// The table's second line for this `last_topup_at`, written as JSON.
fn last_topup(json: &str) -> String {
    let api = api(200, format!(r#"{{"credits": 5, "last_topup_at": {json}}}"#));
    let run = asking(&api.url()).assert().code(0).stderr("");
    let table = String::from_utf8(run.get_output().stdout.clone()).unwrap();
    let (first, second) = table.split_once('\n').unwrap();
    assert_eq!(first, "Credits      5");
    second.strip_prefix("Last top-up  ").unwrap().strip_suffix('\n').unwrap().to_owned()
}

#[test]
fn the_table_shows_the_date_in_utc_and_its_age() {
    let then = utc_now().checked_sub(3.days().hours(1)).unwrap();
    let expected = then.strftime("%Y-%m-%d %H:%M UTC (3 days ago)").to_string();
    for sent in [
        then.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        then.strftime("%Y-%m-%dT%H:%M:%S.123456").to_string(),
        then.with_time_zone(TimeZone::fixed(jiff::tz::offset(5)))
            .strftime("%Y-%m-%dT%H:%M:%S%:z")
            .to_string(),
    ] {
        assert_eq!(last_topup(&format!("{sent:?}")), expected, "{sent}");
    }
}

#[test]
fn a_date_in_the_future_has_no_age() {
    let then = utc_now().checked_add(2.days()).unwrap();
    let sent = then.strftime("\"%Y-%m-%dT%H:%M:%SZ\"").to_string();
    assert_eq!(last_topup(&sent), then.strftime("%Y-%m-%d %H:%M UTC").to_string());
}

#[test]
fn null_is_never_and_what_is_no_date_is_shown_as_sent() {
    for (sent, shown) in [
        ("null", "never"),
        ("\"last tuesday\"", "last tuesday"),
        ("\"\"", "\"\""),
        ("1705314600", "1705314600"),
        ("{\"a\": 1}", "{\"a\": 1}"),
    ] {
        assert_eq!(last_topup(sent), shown);
    }
    let api = api(200, r#"{"credits": 5}"#);
    asking(&api.url()).assert().code(0).stdout("Credits      5\nLast top-up  never\n");
}

#[test]
fn the_number_is_exact_and_ungrouped() {
    for (sent, number) in [
        ("0", "0"),
        ("-17", "-17"),
        ("150.0", "150"),
        ("1.5e2", "150"),
        ("1234567", "1234567"),
        ("9007199254740993", "9007199254740993"),
        ("9223372036854775807", "9223372036854775807"),
    ] {
        let api = api(200, format!(r#"{{"credits": {sent}}}"#));
        asking(&api.url()).arg("--plain").assert().code(0).stdout(format!("{number}\n")).stderr("");
        asking(&api.url()).assert().code(0).stdout(format!("Credits      {number}\nLast top-up  never\n"));
    }
}

#[test]
fn json_is_the_body_byte_for_byte() {
    let body = "{\"z\" :1.50,\t\"credits\":1.5e2,\r\n \"é\":\"\\u00e9\",\"nested\":{\"credits\":[1e2]},\"last_topup_at\":null}";
    let api = api(200, format!(" \r\n{body}\n\n"));
    asking(&api.url()).arg("--json").assert().code(0).stdout(format!("{body}\n")).stderr("");
}

#[test]
fn quiet_is_quiet() {
    let api = api(200, r#"{"credits": 5}"#);
    for flag in ["--quiet", "-q"] {
        asking(&api.url()).arg(flag).assert().code(0).stdout("").stderr("");
    }
}

#[test]
fn colour_comes_only_when_asked_for_where_there_is_no_terminal() {
    let api = api(200, r#"{"credits": 5}"#);
    let plain = "Credits      5\nLast top-up  never\n";
    let coloured = "Credits      \u{1b}[1m5\u{1b}[0m\nLast top-up  never\n";
    let red = "Credits      \u{1b}[31m5\u{1b}[0m\nLast top-up  never\n";
    let table = |flags: &[&str], env: &[(&str, &str)]| {
        let run = asking(&api.url()).args(flags).envs(env.iter().copied()).assert();
        String::from_utf8(run.get_output().stdout.clone()).unwrap()
    };
    assert_eq!(table(&[], &[]), plain);
    assert_eq!(table(&[], &[("CLICOLOR_FORCE", "1"), ("FORCE_COLOR", "1")]), plain);
    assert_eq!(table(&["--color", "never"], &[]), plain);
    assert_eq!(table(&["--color=always"], &[("NO_COLOR", "1"), ("TERM", "dumb")]), coloured);
    assert_eq!(table(&["--color", "always", "--min", "6"], &[]), red);
    for form in ["--json", "--plain", "--quiet"] {
        assert!(!table(&["--color", "always", form], &[]).contains('\u{1b}'), "{form}");
    }
}

/// `script` gives the program a terminal; it is part of every Debian system, and has other flags elsewhere.
#[cfg(target_os = "linux")]
#[test]
fn on_a_terminal_the_environment_decides_about_colour() {
    let api = api(200, r#"{"credits": 5}"#);
    let coloured = |env: &[(&str, &str)]| {
        let mut script = std::process::Command::new("script");
        script.args(["-qec", assert_cmd::cargo::cargo_bin!("clado-credits").to_str().unwrap(), "/dev/null"]);
        script.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        script.env("CLADO_API_KEY", crate::common::KEY).env("CLADO_API_URL", api.url());
        let output = script.envs(env.iter().copied()).stdin(std::process::Stdio::null()).output().unwrap();
        let shown = String::from_utf8(output.stdout).unwrap();
        assert!(shown.contains("Last top-up  never"), "{shown}");
        shown.contains('\u{1b}')
    };
    if std::process::Command::new("script").arg("--version").output().is_err() {
        return;
    }
    assert!(coloured(&[("TERM", "xterm")]));
    assert!(coloured(&[("TERM", "xterm"), ("NO_COLOR", "")]));
    assert!(!coloured(&[("TERM", "xterm"), ("NO_COLOR", "1")]));
    assert!(!coloured(&[("TERM", "dumb")]));
}
