//! Help, README and man page name the same flags, exit codes, kinds of JSON errors and environment variables.
//!
//! The lists here are what is promised to scripts. A change of one is a breaking change.

use crate::common::{clado, run};

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

#[test]
fn the_help_lists_no_other_kinds() {
    let help = help();
    let (_, kinds) = help
        .split_once("\nJSON errors (--json): kind, exit code, meaning\n")
        .unwrap();
    let kinds: Vec<&str> = kinds.lines().take_while(|line| !line.is_empty()).collect();
    assert_eq!(kinds.len(), KINDS.len(), "{kinds:?}");
}
