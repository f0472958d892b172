//! Keeps the checked-in files that are made from the definition in `cli.rs` as they should be: the completion
//! scripts, the man page, and the options in the README.
//!
//! `cargo test generated` says what has drifted; `REPAIR=1 cargo test generated` writes it anew.

use std::fs;
use std::path::Path;

use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::cli;
use crate::error::EXIT_CODES;

#[test]
fn the_completion_scripts_are_as_the_definition_makes_them() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::PowerShell, Shell::Elvish] {
        let name = clap_complete::Generator::file_name(&shell, "clado-credits");
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Args::command(), "clado-credits", &mut script);
        check_or_repair(&format!("completions/{name}"), &String::from_utf8(script).unwrap());
    }
}

#[test]
fn the_man_page_is_as_the_definition_makes_it() {
    check_or_repair("man/clado-credits.1", &man_page());
}

#[test]
fn the_readme_shows_the_help_and_the_exit_codes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let mut readme = fs::read_to_string(path).unwrap();
    for (name, text) in
        [("options", Args::command().render_help().to_string()), ("exit codes", format!("{EXIT_CODES}\n"))]
    {
        let (start, end) = (format!("<!-- {name} -->\n```text\n"), "```\n");
        let from = readme.find(&start).expect(name) + start.len();
        let to = from + readme[from..].find(end).expect(name);
        readme.replace_range(from..to, &text);
    }
    check_or_repair("README.md", &readme);
}

fn check_or_repair(file: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("REPAIR").is_some() {
        fs::write(path, expected).unwrap();
        return;
    }
    // A checkout on Windows may have other line ends.
    let found = fs::read_to_string(path).unwrap_or_default().replace("\r\n", "\n");
    assert!(found == expected, "{file} is not as generated; REPAIR=1 cargo test generated writes it anew");
}

fn man_page() -> String {
    let command = Args::command();
    let man = Man::new(command).title("CLADO-CREDITS").date(RELEASED).manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    man.render_synopsis_section(&mut page).unwrap();
    man.render_description_section(&mut page).unwrap();
    man.render_options_section(&mut page).unwrap();
    let mut sections = Roff::new();
    sections.control("SH", ["EXIT STATUS"]);
    list(&mut sections, EXIT_CODES);
    sections.control("PP", []);
    sections.text([roman("5, 6 and 7 are worth trying again later.")]);
    sections.control("SH", ["ENVIRONMENT"]);
    list(&mut sections, cli::ENVIRONMENT);
    sections.control("SH", ["NETWORK"]);
    for (n, paragraph) in NETWORK.iter().enumerate() {
        if n > 0 {
            sections.control("PP", []);
        }
        sections.text([roman(*paragraph)]);
    }
    sections.control("SH", ["FILES"]);
    sections.text([roman(
        "There is no configuration file. The certificates to trust are the operating system's, \
         /etc/ssl/certs/ca-certificates.crt for example.",
    )]);
    sections.control("SH", ["EXAMPLES"]);
    for (what, how) in EXAMPLES {
        sections.control("TP", []);
        sections.text([roman(*what)]);
        sections.text([bold(*how)]);
    }
    sections.control("SH", ["SEE ALSO"]);
    sections.text([bold("curl"), roman("(1), "), bold("jq"), roman("(1)")]);
    sections.to_writer(&mut page).unwrap();
    // Each part comes with the same preamble, and some lines end in blanks.
    let page = String::from_utf8(page).unwrap();
    let (preamble, page) = page.split_at(page.find(".TH").unwrap());
    let page = page.replace(preamble, "");
    page.lines().fold(preamble.to_owned(), |page, line| page + line.trim_end() + "\n")
}

/// Sets lines of two columns as a list.
fn list(page: &mut Roff, lines: &str) {
    for line in lines.lines() {
        let (term, text) = line.trim().split_once("  ").unwrap();
        page.control("TP", []);
        page.text([bold(term)]);
        page.text([roman(text.trim())]);
    }
}

/// When this version was released.
const RELEASED: &str = "2026-11-22";

const NETWORK: &[&str] = &[
    "Proxy variables are read as curl reads them: in lower case first, http_proxy for plain http only, 1080 being the \
     port where none is given. A value that can't be understood is an error, not a direct connection. The key of an \
     https request is not seen by the proxy.",
    "Certificates are checked against the operating system's store. SSL_CERT_FILE and SSL_CERT_DIR replace it. A \
     blank variable counts as unset.",
    "--timeout bounds the whole run, from the first look at the key to the last byte of the reply.",
    "Known differences from curl: no NTLM or Negotiate; no server certificate that has only a common name or is \
     CA:TRUE; no TRUSTED CERTIFICATE blocks; TLS 1.2 and 1.3 with ECDHE only; no HTTP/2; host names in ASCII; at most \
     64 KiB of head, 128 header lines and 64 KiB of body; behind a SOCKS proxy addresses are tried in turn, not in a \
     race. Refused are 100 Continue with header lines, folded header lines, chunk sizes of more than 20 bytes with \
     their extension, differing lengths, and SOCKS5 with a user name but no password. In proxy variables a path is \
     an error, and blanks around the value are not; NO_PROXY also takes *.domain and host:port. Plain http goes \
     through an HTTP proxy by CONNECT.",
];

const EXAMPLES: &[(&str, &str)] = &[
    ("Show the balance, with the key from CLADO_API_KEY:", "clado-credits"),
    ("Guard a costly call:", "clado-credits --quiet --min 500 && ./costly-search"),
    (
        "Put the number into a variable, or know that there is none:",
        "if n=$(clado-credits --plain); then echo \"$n\"; fi",
    ),
    ("Take the key from a password manager:", "pass show clado | clado-credits --api-key-file -"),
];
