//! Keeps the checked-in files that are made from the definition in `cli.rs` and the tables as they should be: the
//! completion scripts, the man page, the help texts in tests/data, and the blocks in the README.
//!
//! `cargo test generated` says what differs; `REPAIR=1 cargo test generated` writes it anew.

use std::fs;
use std::path::Path;

use clado_credits::cli::{self, Tables};
use clap_complete::Shell;
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

#[test]
fn the_completion_scripts_are_as_the_definition_makes_them() {
    for shell in [
        Shell::Bash,
        Shell::Zsh,
        Shell::Fish,
        Shell::PowerShell,
        Shell::Elvish,
    ] {
        let name = clap_complete::Generator::file_name(&shell, "clado-credits");
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut cli::command(), "clado-credits", &mut script);
        let script = String::from_utf8(script).unwrap();
        // There are no positional arguments: without these changes fish and bash offer file names for them.
        let script = match shell {
            Shell::Fish => format!("complete -c clado-credits -f\n{script}"),
            Shell::Bash => {
                completing_after_equals_sign(&script).replace(" -o bashdefault -o default", "")
            }
            _ => script,
        };
        check_or_repair(&format!("completions/{name}"), &script);
    }
}

/// Bash splits words at an equals sign, and the script as clap makes it does not look behind that.
fn completing_after_equals_sign(script: &str) -> String {
    let previous_word = "    prev=\"$3\"\n";
    assert!(script.contains(previous_word));
    let behind_equals_sign = "    \
    # `--color=a` comes as three words.
    if [[ \"${prev}\" == \"=\" ]]; then
        prev=\"${COMP_WORDS[COMP_CWORD-2]}\"
    fi
";
    script.replace(
        previous_word,
        &format!("{previous_word}{behind_equals_sign}"),
    )
}

#[test]
fn the_man_page_is_as_the_definition_makes_it() {
    check_or_repair("man/clado-credits.1", &man_page());
}

#[test]
fn the_help_texts_are_recorded() {
    check_or_repair("tests/data/short-help.txt", &short_help());
    let long_help = cli::format_help(&cli::command().render_long_help().to_string());
    check_or_repair("tests/data/long-help.txt", &long_help);
}

#[test]
fn the_readme_shows_the_help_and_the_tables() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let mut readme = fs::read_to_string(path).unwrap().replace("\r\n", "\n");
    let Tables {
        exit_codes,
        kinds,
        environment,
    } = Tables::new();
    for (name, text) in [
        ("options", short_help()),
        ("exit codes", exit_codes),
        ("kinds of errors", kinds),
        ("environment", environment),
    ] {
        let (start, end) = (format!("<!-- {name} -->\n```text\n"), "```\n");
        let from = readme.find(&start).expect(name) + start.len();
        let to = from + readme[from..].find(end).expect(name);
        readme.replace_range(from..to, &text);
    }
    check_or_repair("README.md", &readme);
}

fn short_help() -> String {
    cli::format_help(&cli::command().render_help().to_string())
}

fn check_or_repair(file: &str, expected: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    if std::env::var_os("REPAIR").is_some() {
        fs::write(path, expected).unwrap();
        return;
    }
    // A checkout on Windows may have other line ends.
    let found = fs::read_to_string(path)
        .unwrap_or_default()
        .replace("\r\n", "\n");
    assert!(
        found == expected,
        "{file} is not as generated; REPAIR=1 cargo test generated writes it anew"
    );
}

fn man_page() -> String {
    // The tables of the long help have sections of their own here.
    let command = cli::command().after_long_help(None);
    let man = Man::new(command)
        .title("CLADO-CREDITS")
        .date(RELEASED)
        .manual("User Commands");
    let mut page = Vec::new();
    man.render_title(&mut page).unwrap();
    man.render_name_section(&mut page).unwrap();
    man.render_synopsis_section(&mut page).unwrap();
    man.render_description_section(&mut page).unwrap();
    man.render_options_section(&mut page).unwrap();
    let Tables {
        exit_codes,
        kinds,
        environment,
    } = Tables::new();
    let mut sections = Roff::new();
    sections.control("SH", ["EXIT STATUS"]);
    list(&mut sections, &exit_codes);
    paragraphs(&mut sections, &["With 2 and up standard output is empty."]);
    sections.control("SH", ["JSON ERRORS"]);
    sections.text([roman(
        "With --json, an error is one line of JSON on standard error: an object with the one member \"error\", which \
         has kind, message, retryable and exit_code, and where they apply hint, status (the HTTP status), retry_after \
         (seconds), credits and minimum. The kinds, each with its exit code:",
    )]);
    list(&mut sections, &kinds);
    paragraphs(&mut sections, JSON_ERRORS);
    sections.control("SH", ["ENVIRONMENT"]);
    list(&mut sections, &environment);
    paragraphs(&mut sections, ENVIRONMENT);
    sections.control("SH", ["NETWORK"]);
    sections.text([roman(NETWORK[0])]);
    paragraphs(&mut sections, &NETWORK[1..]);
    sections.control("SS", ["Known differences from curl"]);
    for difference in DIFFERENCES {
        sections.control("IP", ["\\(bu", "2"]);
        sections.text([roman(*difference)]);
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
    paragraphs(&mut sections, &["API documentation:"]);
    // In a line of its own, it is neither hyphenated nor are the words before it spaced out.
    sections.control("br", []);
    sections.text([roman(
        "https://docs.clado.ai/api-reference/endpoint/get-credits",
    )]);
    sections.to_writer(&mut page).unwrap();
    // Each part comes with the same preamble, and some lines end in blanks.
    let page = String::from_utf8(page).unwrap();
    let (preamble, page) = page.split_at(page.find(".TH").unwrap());
    let page = page.replace(preamble, "");
    page.lines().fold(preamble.to_owned(), |page, line| {
        page + line.trim_end() + "\n"
    })
}

/// The columns that a terminal with 80 of them has beside the margin of a man page.
const WIDTH: usize = 71;

/// Sets the lines of a table as a list whose terms have a column that is wide enough for the longest. Each fits in one
/// line.
fn list(page: &mut Roff, lines: &str) {
    let rows: Vec<(&str, &str)> = lines
        .lines()
        .map(|line| line.trim().split_once("  ").unwrap())
        .collect();
    let longest = rows.iter().map(|(term, _)| term.len()).max().unwrap();
    let width = longest + 2;
    for (term, text) in rows {
        assert!(width + text.trim().len() <= WIDTH, "too long: {text}");
        page.control("TP", [width.to_string().as_str()]);
        page.text([bold(term)]);
        page.text([roman(text.trim())]);
    }
}

fn paragraphs(page: &mut Roff, paragraphs: &[&str]) {
    for paragraph in paragraphs {
        page.control("PP", []);
        page.text([roman(*paragraph)]);
    }
}

/// When this version was released.
const RELEASED: &str = "2026-11-23";

const JSON_ERRORS: &[&str] = &[
    "retryable says whether another try later may succeed: true for HTTP 5xx and 429, timeouts, failed name resolution, \
     refused and lost connections; false for certificates, a proxy's 407 and wrong settings. The program itself never \
     tries again.",
    "Two things stay plain text: what is wrong with the command line itself, such as an unknown option, and the lines \
     of --verbose, which come before the JSON.",
];

const ENVIRONMENT: &[&str] = &[
    "A blank variable counts as unset. Options come before variables. SCHEME is http, https, socks4, socks4a, socks5 \
     or socks5h.",
];

const NETWORK: &[&str] = &[
    "The proxy variables are read as curl reads them: the lower-case form comes before the upper-case one, and the \
     default port is 1080, or 443 for an https proxy. A value that cannot be used is an error, not a direct connection. \
     HTTP proxies are asked with CONNECT, so that no proxy sees the API key. Plain http, which is for servers on this \
     machine, never goes through a proxy, and http_proxy is not read. NO_PROXY takes no ports. localhost and the names below it \
     are this machine, without asking a resolver.",
    "Certificates are checked against the operating system's store. SSL_CERT_FILE and SSL_CERT_DIR replace it, and can \
     be combined.",
    "--timeout limits the whole run, from reading the key to the last byte of the reply. Writing the output is not \
     limited: a slow reader gets all of it.",
    "A redirect is not followed, because the key belongs to one host.",
];

/// Each has a test in tests/ under its words, or is a property of a library: rustls and webpki (certificates, TLS),
/// httparse and ureq (HTTP), the standard library's runtime (a closed standard output).
const DIFFERENCES: &[&str] = &[
    "Proxies: no NTLM, Negotiate or Digest authentication; a SOCKS4 proxy with a password is an error. In proxy \
     variables a path is an error, and blanks around the value are not; NO_PROXY also takes *.domain. In a proxy's \
     answer to CONNECT only the status line has to be right; curl stops at a line without a colon.",
    "TLS: versions 1.2 and 1.3, with ECDHE only; no client certificates; no HTTP/2.",
    "Keys and signatures: none in P-521, Ed448, RSASSA-PSS keys, P-256 with SHA-512, SHA-224 or SHA-1, and no RSA key of \
     less than 2048 bits.",
    "Certificates: refused where they have only a common name, are CA:TRUE, or have critical certificate policies, \
     policy constraints or constraints on directory names; chains of more than six intermediate certificates are \
     refused. A server's certificate alone in SSL_CERT_FILE does not vouch for itself unless it is self-signed. There are no TRUSTED \
     CERTIFICATE blocks. A trusted certificate may have expired or be no CA's. On Linux no revocation is checked.",
    "Host names: in ASCII only (xn--...), and no label that begins or ends in a hyphen; no zones in IPv6 addresses. \
     localhost and names below it are 127.0.0.1 and ::1.",
    "Replies: at most 64 KiB of head, 128 header lines and 64 KiB of body are read. No chunked bodies in replies of \
     HTTP/1.0. Refused as invalid: 100 Continue with header lines, folded header lines, blanks before the colon of a \
     header line and other odd header lines, chunk sizes of more than 20 bytes with their extension, chunk lines that end in LF alone, transfer \
     codings other than chunked, and different lengths in one head.",
    "Output: a standard output that is closed (>&-) counts as /dev/null.",
];

const EXAMPLES: &[(&str, &str)] = &[
    (
        "Show the balance, with the key from CLADO_API_KEY or from the file that CLADO_API_KEY_FILE names:",
        "clado-credits",
    ),
    (
        "Run a costly command only if there are enough credits:",
        "clado-credits --quiet --min 500 && ./costly-search",
    ),
    (
        "Put the number into a variable, or find out that there is none:",
        "if n=$(clado-credits --plain); then echo \"$n\"; fi",
    ),
    (
        "Read the key from a password manager:",
        "pass show clado | head -n 1 | clado-credits --api-key-file -",
    ),
];
