//! Help, README and man page name the same flags, exit codes, kinds of JSON errors and environment variables.
//!
//! The lists here are what is promised to scripts. A change of one is a breaking change.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Stdio;

use assert_cmd::Command;

use crate::common::server::{DeadPort, Server};
use crate::common::tls::{self, Authority};
use crate::common::{BALANCE, Run, api, ask, clado, finish, run, std_command};

const FLAGS: [&str; 13] = [
    "--json",
    "--plain",
    "--quiet",
    "--min",
    "--api-key",
    "--api-key-file",
    "--api-url",
    "--timeout",
    "--color",
    "--verbose",
    "--completions",
    "--help",
    "--version",
];

/// The beginning of each exit code's meaning.
const EXIT_CODES: [&str; 10] = [
    "0 balance read",
    "1 balance below --min",
    "2 usage",
    "3 unauthorized",
    "4 not found",
    "5 server error",
    "6 rate limited",
    "7 unreachable",
    "8 unexpected reply",
    "9 local failure",
];

/// The kinds of JSON errors, each with its exit code.
const KINDS: [&str; 12] = [
    "below_minimum 1",
    "usage 2",
    "no_api_key 3",
    "unauthorized 3",
    "not_found 4",
    "server_error 5",
    "rate_limited 6",
    "timeout 7",
    "network 7",
    "tls 7",
    "unexpected_reply 8",
    "local 9",
];

const VARIABLES: [&str; 10] = [
    "CLADO_API_KEY",
    "CLADO_API_KEY_FILE",
    "CLADO_API_URL",
    "HTTPS_PROXY",
    "ALL_PROXY",
    "NO_PROXY",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "NO_COLOR",
    "TERM",
];

fn help() -> String {
    run(clado().arg("--help")).stdout
}

/// Each document, without its markup and with single spaces.
fn documents() -> [(&'static str, String); 3] {
    let readme = include_str!("../README.md").replace(['|', '`'], " ");
    let man = ["\\fB", "\\fI", "\\fR", "\\&", ".TP", ".PP"]
        .iter()
        .fold(
            include_str!("../man/clado-credits.1").to_owned(),
            |page, markup| page.replace(markup, " "),
        )
        .replace("\\-", "-")
        .replace("\\*(Aq", "'");
    let single_spaced = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    [("help", help()), ("README", readme), ("man page", man)]
        .map(|(name, text)| (name, single_spaced(text)))
}

/// Expects `entries` in every document, as whole words.
#[track_caller]
fn expect_in_every_document(entries: &[&str]) {
    for (name, text) in documents() {
        for entry in entries {
            let is_there = text.match_indices(entry).any(|(start, _)| {
                let is_inside_a_word =
                    |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
                !text[..start].ends_with(is_inside_a_word)
                    && !text[start + entry.len()..].starts_with(is_inside_a_word)
            });
            assert!(is_there, "the {name} lacks: {entry}");
        }
    }
}

#[test]
fn every_flag_is_in_every_document() {
    expect_in_every_document(&FLAGS);
}

#[test]
fn every_exit_code_is_in_every_document() {
    expect_in_every_document(&EXIT_CODES);
}

#[test]
fn every_kind_of_json_error_is_in_every_document() {
    expect_in_every_document(&KINDS);
}

#[test]
fn every_variable_is_in_every_document() {
    expect_in_every_document(&VARIABLES);
}

#[test]
fn an_exit_code_has_the_same_meaning_in_every_document() {
    let help = help();
    let (_, exit_codes) = help.split_once("\nExit codes:\n").unwrap();
    let exit_codes: Vec<String> = exit_codes
        .lines()
        .take_while(|line| !line.is_empty())
        .map(|line| line.trim().replacen("  ", " ", 1))
        .collect();
    assert_eq!(exit_codes.len(), EXIT_CODES.len());
    expect_in_every_document(&exit_codes.iter().map(String::as_str).collect::<Vec<_>>());
}

/// The lines of the help below `headline`, up to a blank line.
fn section(headline: &str) -> Vec<String> {
    let help = help();
    let (_, rest) = help.split_once(headline).unwrap();
    let lines = rest.lines().skip(1).take_while(|line| !line.is_empty());
    lines.map(|line| line.trim().to_owned()).collect()
}

/// The words of a text that start with `--`.
fn flags_in(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_lowercase() && c != '-');
    words.filter(|word| word.starts_with("--")).collect()
}

#[test]
fn the_short_help_has_the_listed_flags_and_no_others() {
    let help = run(clado().arg("-h")).stdout;
    let (_, options) = help.split_once("Options:").unwrap();
    let mut flags = BTreeSet::new();
    for line in options.lines().filter(|line| line.starts_with("  -")) {
        let flag = flags_in(line).into_iter().find(|flag| FLAGS.contains(flag));
        flags.insert(flag.unwrap_or_else(|| panic!("a flag is not listed here: {line}")));
    }
    assert_eq!(flags, BTreeSet::from(FLAGS));
}

#[test]
fn the_help_has_the_listed_variables_and_no_others() {
    let mut variables = Vec::new();
    for line in section("\nEnvironment:") {
        let (variable, _) = line.split_once("  ").unwrap();
        variables.push(variable.to_owned());
    }
    assert_eq!(variables, VARIABLES);
}

#[test]
fn the_help_has_the_listed_kinds_with_their_codes_and_no_others() {
    let mut kinds = Vec::new();
    for line in section("\nJSON errors (--json): kind, exit code, meaning") {
        let words: Vec<&str> = line.split_whitespace().collect();
        kinds.push(format!("{} {}", words[0], words[1]));
    }
    assert_eq!(kinds, KINDS);
}

#[test]
fn the_columns_of_the_help_line_up() {
    for headline in [
        "\nJSON errors (--json): kind, exit code, meaning",
        "\nEnvironment:",
    ] {
        let mut columns = BTreeSet::new();
        for line in section(headline) {
            let end_of_name = line.find("  ").unwrap();
            let gap = line[end_of_name..].len() - line[end_of_name..].trim_start().len();
            columns.insert(end_of_name + gap);
        }
        assert_eq!(columns.len(), 1, "{headline}: {columns:?}");
    }
}

#[test]
fn every_flag_and_every_variable_has_a_test_of_its_own() {
    let mut tests = String::new();
    for entry in fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")).unwrap() {
        let path = entry.unwrap().path();
        // These only list them.
        let is_list = ["docs.rs", "generated.rs", "completions.rs"]
            .iter()
            .any(|name| path.ends_with(name));
        if path.extension().is_some_and(|extension| extension == "rs") && !is_list {
            tests += &fs::read_to_string(path).unwrap();
        }
    }
    for name in FLAGS.iter().chain(&VARIABLES) {
        let quoted = [
            format!("\"{name}\""),
            format!("\"{name}="),
            format!("{name} "),
        ];
        let has_test = quoted.iter().any(|text| tests.contains(text.as_str()));
        assert!(has_test, "no test uses {name}");
    }
}

/// The kind and the exit code of each error that was provoked, as in [`KINDS`].
#[derive(Default)]
struct Provoked(BTreeSet<String>);

impl Provoked {
    /// Expects an error of this kind, which says the exit code itself.
    #[track_caller]
    fn add(&mut self, kind: &str, run: &Run) {
        let report: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
        let code = run.code.unwrap();
        assert_eq!(report["error"]["kind"], kind);
        assert_eq!(report["error"]["exit_code"], code);
        self.0.insert(format!("{kind} {code}"));
    }
}

#[test]
fn every_kind_can_be_provoked_and_has_its_exit_code() {
    let mut provoked = Provoked::default();
    let mut provoke = |kind, command: &mut Command| provoked.add(kind, &run(command.arg("--json")));
    let balance = api(200, BALANCE);
    provoke("below_minimum", ask(&balance.url()).args(["--min", "248"]));
    provoke("usage", &mut ask("ftp://host"));
    provoke("no_api_key", &mut clado());
    for (kind, status) in [
        ("unauthorized", 401),
        ("not_found", 404),
        ("server_error", 500),
        ("rate_limited", 429),
        ("unexpected_reply", 418),
    ] {
        provoke(kind, &mut ask(&api(status, "").url()));
    }
    let silent = Server::silent();
    provoke("timeout", ask(&silent.url()).args(["--timeout", "0.5"]));
    let port = DeadPort::new();
    provoke("network", &mut ask(&format!("http://{}", port.address)));
    let server = tls::api(tls::config(Authority::new().good()));
    let trusted = Authority::named("Another company").file();
    provoke("tls", &mut tls::ask_trusting(&server, &trusted));
    provoked.add("local", &run_into_a_read_only_file(&balance.url()));

    let expected = KINDS.map(str::to_owned).into();
    assert_eq!(provoked.0, expected);
    for code in &EXIT_CODES[1..] {
        let (code, _) = code.split_once(' ').unwrap();
        let is_provoked = KINDS.iter().any(|kind| kind.ends_with(code));
        assert!(is_provoked, "no kind has the exit code {code}");
    }
}

/// Runs with `--json` and a standard output that can only be read from.
fn run_into_a_read_only_file(url: &str) -> Run {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("output");
    fs::write(&path, "").unwrap();
    let mut command = std_command(ask(url).arg("--json"));
    command.stdout(fs::File::open(path).unwrap());
    command.stderr(Stdio::piped());
    finish(command.spawn().unwrap())
}

#[test]
fn limits_in_the_documents_are_those_of_the_program() {
    let head = clado_credits::transport::MAX_HEAD;
    let body = usize::try_from(clado_credits::client::MAX_BODY).unwrap();
    assert_eq!(head, body);
    let limit = format!("{} KiB of head", head / 1024);
    let man = &documents()[2].1;
    assert!(man.contains(&limit), "the man page lacks: {limit}");
}
