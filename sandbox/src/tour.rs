//! The tour: the program with every outcome, one after another.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::Stdio;

use crate::server::{DEFAULT_KEY, Server};
use crate::{PROGRAM, exit_code, in_sandbox};

/// One run of the program.
struct Stop {
    /// What it shows.
    title: &'static str,
    /// The key, unless there is none.
    key: Option<&'static str>,
    arguments: &'static [&'static str],
    /// Where its standard output goes, if not to the terminal.
    output: Option<&'static str>,
}

impl Stop {
    const fn new(
        title: &'static str,
        key: &'static str,
        arguments: &'static [&'static str],
    ) -> Stop {
        Stop {
            title,
            key: Some(key),
            arguments,
            output: None,
        }
    }
}

/// The URL of the sandbox with another scheme, as a shell in the sandbox expands it.
const HTTPS_URL: &str = "${CLADO_API_URL/http/https}";

/// Every exit code and every kind of error.
const STOPS: &[Stop] = &[
    Stop::new("247 credits", DEFAULT_KEY, &[]),
    Stop::new("the API's own JSON", DEFAULT_KEY, &["--json"]),
    Stop::new("the number alone", DEFAULT_KEY, &["--plain"]),
    Stop::new("nothing, if all is well", DEFAULT_KEY, &["--quiet"]),
    Stop::new("enough credits", DEFAULT_KEY, &["--min", "100"]),
    Stop::new("too few credits", DEFAULT_KEY, &["--min", "500"]),
    Stop::new("the same as JSON", DEFAULT_KEY, &["--json", "--min", "500"]),
    Stop::new("no credits left", "lk_sandbox_empty", &[]),
    Stop::new("a wrong option", DEFAULT_KEY, &["--minimum", "5"]),
    Stop::new(
        "a URL that can't be used",
        DEFAULT_KEY,
        &["--api-url", "http://search.clado.ai"],
    ),
    Stop {
        title: "no key",
        key: None,
        arguments: &[],
        output: None,
    },
    Stop::new("a key that is rejected", "lk_sandbox_401", &[]),
    Stop::new("no credit information", "lk_sandbox_404", &[]),
    Stop::new("a failure of the service", "lk_sandbox_500", &[]),
    Stop::new("too many requests", "lk_sandbox_429", &[]),
    Stop::new("the same as JSON", "lk_sandbox_429", &["--json"]),
    Stop::new("a connection that is lost", "lk_sandbox_lost", &[]),
    Stop::new(
        "a server that does not answer",
        "lk_sandbox_slow",
        &["--timeout", "1"],
    ),
    Stop::new(
        "a server without TLS",
        DEFAULT_KEY,
        &["--api-url", HTTPS_URL],
    ),
    Stop::new("a web page instead of JSON", "lk_sandbox_html", &[]),
    Stop {
        title: "a full disk",
        key: Some(DEFAULT_KEY),
        arguments: &["--plain"],
        output: Some("/dev/full"),
    },
];

/// Runs the program at each stop, and prints what was run and its exit code.
pub fn run(program: &Path, server: &Server) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(
        out,
        "The key decides what the sandbox answers. This sandbox ends with the tour; these\n\
         commands do the same in one that you start: cargo run -p sandbox -- bash"
    )?;
    for stop in STOPS {
        if let Some(output) = stop.output
            && !Path::new(output).exists()
        {
            // Only Linux has such a file.
            continue;
        }
        visit(stop, program, server, &mut out)?;
    }
    Ok(())
}

/// Prints the command as one would type it in the sandbox, where the default key is set, and runs it.
fn visit(stop: &Stop, program: &Path, server: &Server, out: &mut impl Write) -> io::Result<()> {
    let mut command = in_sandbox(program.as_os_str(), server);
    let mut line = String::from("$ ");
    match stop.key {
        Some(key) => {
            command.env("CLADO_API_KEY", key);
            if key != DEFAULT_KEY {
                line += &format!("CLADO_API_KEY={key} ");
            }
        }
        None => {
            command.env_remove("CLADO_API_KEY");
            line += "env -u CLADO_API_KEY ";
        }
    }
    line += PROGRAM;
    let https_url = server.url().replace("http", "https");
    for argument in stop.arguments {
        line += &format!(" {argument}");
        command.arg(argument.replace(HTTPS_URL, &https_url));
    }
    if let Some(output) = stop.output {
        line += &format!(" > {output}");
        let file = File::options().write(true).open(output)?;
        command.stdout(Stdio::from(file));
    }
    writeln!(out, "\n# {}\n{line}", stop.title)?;
    out.flush()?;
    let status = command.status()?;
    writeln!(out, "[exit {}]", exit_code(status))
}
