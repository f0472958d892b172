//! The tour: the program with every outcome, one after another.

use std::io::{self, Write};
use std::path::Path;
use std::process::Stdio;

use crate::server::Server;
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

/// Every exit code and every kind of error. What needs the address of the sandbox has `SANDBOX` in its place.
const STOPS: &[Stop] = &[
    Stop::new("247 credits", "lk_sandbox", &[]),
    Stop::new("the API's own JSON", "lk_sandbox", &["--json"]),
    Stop::new("the number alone", "lk_sandbox", &["--plain"]),
    Stop::new("nothing, if all is well", "lk_sandbox", &["--quiet"]),
    Stop::new("enough credits", "lk_sandbox", &["--min", "100"]),
    Stop::new("too few credits", "lk_sandbox", &["--min", "500"]),
    Stop::new(
        "the same as JSON",
        "lk_sandbox",
        &["--json", "--min", "500"],
    ),
    Stop::new("no credits left", "lk_sandbox_empty", &[]),
    Stop::new("a wrong option", "lk_sandbox", &["--minimum", "5"]),
    Stop::new(
        "a URL that can't be used",
        "lk_sandbox",
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
        "lk_sandbox",
        &["--api-url", "https://SANDBOX"],
    ),
    Stop::new("a web page instead of JSON", "lk_sandbox_html", &[]),
    Stop {
        title: "a full disk",
        key: Some("lk_sandbox"),
        arguments: &["--plain"],
        output: Some("/dev/full"),
    },
];

/// Runs the program at each stop, and prints what was run and its exit code.
pub fn run(program: &Path, server: &Server) -> io::Result<()> {
    let mut out = io::stdout();
    writeln!(
        out,
        "Each key of the sandbox has its own outcome. The sandbox ends with this tour; to play\n\
         in one of your own, run `cargo run -p sandbox -- bash`."
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

fn visit(stop: &Stop, program: &Path, server: &Server, out: &mut impl Write) -> io::Result<()> {
    let authority = server.url().replace("http://", "");
    let mut command = in_sandbox(program.as_os_str(), server);
    match stop.key {
        Some(key) => {
            writeln!(out, "\n# {}, with the key {key}", stop.title)?;
            command.env("CLADO_API_KEY", key);
        }
        None => {
            writeln!(out, "\n# {}", stop.title)?;
            command.env_remove("CLADO_API_KEY");
        }
    }
    command.env_remove("CLADO_API_KEY_FILE");
    let mut line = format!("$ {PROGRAM}");
    for argument in stop.arguments {
        let argument = argument.replace("SANDBOX", &authority);
        line += &format!(" {argument}");
        command.arg(argument);
    }
    if let Some(output) = stop.output {
        line += &format!(" > {output}");
        command.stdout(Stdio::from(
            std::fs::File::options().write(true).open(output)?,
        ));
    }
    writeln!(out, "{line}")?;
    out.flush()?;
    let status = command.status()?;
    writeln!(out, "[exit {}]", exit_code(status))
}
