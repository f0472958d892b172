//! Help, README, man page and contract speak of the same flags, exit codes and error kinds.

use crate::common::clado;

const README: &str = include_str!("../README.md");
const MAN: &str = include_str!("../man/clado-credits.1");

fn help() -> String {
    let run = clado().arg("--help").assert().code(0);
    String::from_utf8(run.get_output().stdout.clone()).unwrap()
}

/// What a man page means by its escapes.
fn man() -> String {
    MAN.replace("\\-", "-")
        .replace("\\fB", "")
        .replace("\\fI", "")
        .replace("\\fR", "")
        .replace("\\*(Aq", "'")
        .replace("\\&", "")
}

#[test]
fn the_exit_codes_are_the_same_everywhere() {
    let help = help();
    let (_, listed) = help.split_once("Exit codes:\n").unwrap();
    let codes: Vec<&str> = listed.lines().take_while(|line| !line.is_empty()).collect();
    assert_eq!(codes.len(), 10);
    for (code, line) in codes.iter().enumerate() {
        assert!(line.starts_with(&format!("  {code}  ")), "{line}");
        assert!(README.contains(line), "the README lacks: {line}");
        let meaning = line.split_once(&format!("{code}  ")).unwrap().1;
        assert!(man().contains(&format!("\n{code}\n{meaning}\n")), "the man page lacks: {meaning}");
    }
}

#[test]
fn every_flag_is_in_every_document() {
    let flags = [
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
    for document in [&help(), &man(), README] {
        for flag in flags {
            assert!(document.contains(flag), "{flag}");
        }
    }
}

#[test]
fn every_variable_is_in_every_document() {
    for variable in [
        "CLADO_API_KEY",
        "CLADO_API_URL",
        "HTTPS_PROXY",
        "ALL_PROXY",
        "NO_PROXY",
        "SSL_CERT_FILE",
        "SSL_CERT_DIR",
        "NO_COLOR",
        "TERM",
    ] {
        for document in [&help(), &man(), README] {
            assert!(document.contains(variable), "{variable}");
        }
    }
}

#[test]
fn the_readme_fits_a_reader_in_a_hurry() {
    assert!(README.lines().count() < 150);
}
