//! The benchmark: what one check costs, beside `curl | jq` and a minimal rustls client (`floor.rs`).
//!
//! `cargo bench`, or `cargo bench -- --quick` for a tenth of the rounds. Whole processes are measured, and all of
//! them in each round, so that a machine that slows down slows them all. They talk to a TLS 1.3 server in this
//! process over loopback, so the network costs nothing. Tables go to standard output, progress to standard error.
//! The exit code is 1 when a bound is missed.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark that fails may panic"
)]
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "nobody closes the pipe early"
)]

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use clado_credits::client::MAX_BODY;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, Stream};

const KEY: &str = "lk_test_not_a_real_key";
const BODY: &str = r#"{"credits": 247, "last_topup_at": "2024-01-15T10:30:00Z"}"#;

/// The path prefix under which the server sends the longest body that is read.
const LONGEST: &str = "/longest";

/// Rounds that are counted and the rounds before them that are not.
const ROUNDS: (usize, usize) = (150, 5);
const QUICK_ROUNDS: (usize, usize) = (15, 1);

/// Where systems keep their trust store as one file.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

// Rows of the table that are compared with each other or with a bound.
const CHECK: &str = "clado-credits";
const CHECK_ONE: &str = "clado-credits, one authority";
const CHECK_PLAIN: &str = "clado-credits --plain, 64 KiB, one authority";
const CHECK_JSON: &str = "clado-credits --json, 64 KiB, one authority";
const FLOOR: &str = "minimal rustls client, one authority";
const CURL_JQ: &str = "curl \\| jq";
const VERSION: &str = "clado-credits --version";
const HELP: &str = "clado-credits --help";

/// GNU time. The peak memory that the system reports for a process is at least that of the process that started
/// it, and GNU time is small.
const TIME: &str = "/usr/bin/time";

/// A command, or several connected by pipes, and what was measured.
struct Contestant {
    name: &'static str,
    commands: Vec<Vec<String>>,
    environment: Vec<(&'static str, String)>,
    /// A part of the output. It is checked in each run, as a run that fails would be fast.
    prints: &'static str,
    wall_ms: Vec<f64>,
    cpu_ms: Vec<f64>,
    instructions_m: Option<f64>,
    memory_mib: Option<f64>,
}

impl Contestant {
    fn new(name: &'static str, commands: &[&[&str]], prints: &'static str) -> Contestant {
        Contestant {
            name,
            commands: commands
                .iter()
                .map(|command| command.iter().map(ToString::to_string).collect())
                .collect(),
            environment: vec![("CLADO_API_KEY", KEY.to_owned())],
            prints,
            wall_ms: Vec::new(),
            cpu_ms: Vec::new(),
            instructions_m: None,
            memory_mib: None,
        }
    }

    fn env(mut self, name: &'static str, value: impl Into<String>) -> Contestant {
        self.environment.push((name, value.into()));
        self
    }

    /// Runs the commands, each with what `tool` returns for its position in front.
    fn run(&self, tool: impl Fn(usize) -> Vec<String>) {
        let mut children = Vec::new();
        let mut input = Stdio::null();
        for (position, command) in self.commands.iter().enumerate() {
            let arguments = [tool(position), command.clone()].concat();
            let mut command = Command::new(&arguments[0]);
            command
                .args(&arguments[1..])
                .env_clear()
                .envs(env::var_os("PATH").map(|path| ("PATH", path)));
            command
                .envs(self.environment.iter().cloned())
                .stdin(input)
                .stdout(Stdio::piped());
            let mut child = command
                .spawn()
                .unwrap_or_else(|error| panic!("{}: {error}", self.name));
            let output = child.stdout.take().unwrap();
            children.push(child);
            if children.len() == self.commands.len() {
                let output = io::read_to_string(output).unwrap();
                assert!(
                    output.contains(self.prints),
                    "{} printed {output:?}",
                    self.name
                );
                break;
            }
            input = output.into();
        }
        for child in &mut children {
            assert!(child.wait().unwrap().success(), "{} failed", self.name);
        }
    }

    fn time(&mut self) {
        let (started, cpu) = (Instant::now(), children_cpu_ms());
        self.run(|_| Vec::new());
        self.wall_ms.push(started.elapsed().as_secs_f64() * 1e3);
        self.cpu_ms.extend(
            children_cpu_ms()
                .zip(cpu)
                .map(|(after, before)| after - before),
        );
    }

    /// Runs each command under `tool`, which writes to the file that it is given, and reads a number from each file.
    fn measure(
        &self,
        directory: &Path,
        tool: impl Fn(&str) -> Vec<String>,
        number: impl Fn(&str) -> Option<f64>,
    ) -> Vec<f64> {
        let log = |position| format!("{}/log.{position}", directory.display());
        self.run(|position| tool(&log(position)));
        let logs =
            (0..self.commands.len()).map(|position| fs::read_to_string(log(position)).unwrap());
        logs.map(|log| number(&log).unwrap_or_else(|| panic!("no number in {log:?}")))
            .collect()
    }
}

/// User plus system time of all children that have ended, in steps of a microsecond; GNU time prints steps of 10 ms.
#[cfg(unix)]
fn children_cpu_ms() -> Option<f64> {
    use nix::sys::resource::{UsageWho, getrusage};
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).ok()?;
    let ms =
        |time: nix::sys::time::TimeVal| time.tv_sec() as f64 * 1e3 + time.tv_usec() as f64 / 1e3;
    Some(ms(usage.user_time()) + ms(usage.system_time()))
}

#[cfg(not(unix))]
fn children_cpu_ms() -> Option<f64> {
    None
}

fn main() -> ExitCode {
    // `cargo test --all-targets` runs benchmarks too, without this flag.
    if !env::args().any(|argument| argument == "--bench") {
        eprintln!("nothing is measured without --bench: use `cargo bench`");
        return ExitCode::SUCCESS;
    }
    let quick = env::args().any(|argument| argument == "--quick");
    let directory = tempfile::tempdir().unwrap();
    let authority = directory.path().join("authority.pem");
    let bundle = directory.path().join("bundle.pem");
    let (address, root) = serve();
    let system = BUNDLES
        .iter()
        .find_map(|path| fs::read_to_string(path).ok());
    let system = system.expect("this system has a bundle of certificates");
    eprintln!(
        "the trust store has {} certificates and ours",
        system.matches("BEGIN CERTIFICATE").count()
    );
    fs::write(&authority, &root).unwrap();
    fs::write(&bundle, system + &root).unwrap();
    let (authority, bundle) = (authority.to_str().unwrap(), bundle.to_str().unwrap());

    let program = env!("CARGO_BIN_EXE_clado-credits");
    let base = format!("https://{address}");
    let url = format!("{base}/api/credits");
    let authorization = format!("Authorization: Bearer {KEY}");
    let curl = &[
        "curl",
        "-sS",
        "--cacert",
        bundle,
        "-H",
        &authorization,
        &url,
    ][..];
    let check = |name, options: &[&str], prefix, store: &str| {
        Contestant::new(name, &[&[&[program], options].concat()], "247")
            .env("CLADO_API_URL", format!("{base}{prefix}"))
            .env("SSL_CERT_FILE", store)
    };

    let mut contestants = vec![
        check(CHECK, &[], "", bundle),
        check(CHECK_ONE, &[], "", authority),
        check(CHECK_PLAIN, &["--plain"], LONGEST, authority),
        check(CHECK_JSON, &["--json"], LONGEST, authority),
        Contestant::new(
            FLOOR,
            &[&[&build_floor(), &address.to_string(), authority]],
            "247",
        ),
        Contestant::new(VERSION, &[&[program, "--version"]], "clado-credits"),
        Contestant::new(HELP, &[&[program, "--help"]], "Usage"),
        Contestant::new(
            "clado-credits --completions zsh",
            &[&[program, "--completions", "zsh"]],
            "#compdef",
        ),
    ];
    if installed("curl") {
        contestants.push(Contestant::new("curl", &[curl], "247"));
        if installed("jq") {
            contestants.push(Contestant::new(
                CURL_JQ,
                &[curl, &["jq", ".credits"]],
                "247",
            ));
        }
    }
    if installed("true") {
        contestants.push(Contestant::new("true", &[&["true"]], ""));
    }

    let (rounds, warm_up) = if quick { QUICK_ROUNDS } else { ROUNDS };
    eprintln!("time: {rounds} rounds");
    for round in 0..warm_up + rounds {
        contestants.iter_mut().for_each(Contestant::time);
        if round + 1 == warm_up {
            contestants.iter_mut().for_each(|contestant| {
                contestant.wall_ms.clear();
                contestant.cpu_ms.clear();
            });
        }
    }
    if installed(TIME) {
        eprintln!("peak memory");
        for contestant in &mut contestants {
            let tool = |log: &str| [TIME, "-f", "%M", "-o", log].map(str::to_owned).to_vec();
            let kib = contestant.measure(directory.path(), tool, |log| log.trim().parse().ok());
            contestant.memory_mib = kib.into_iter().reduce(f64::max).map(|kib| kib / 1024.0);
        }
    }
    if installed("valgrind") {
        eprintln!("instructions");
        for contestant in &mut contestants {
            let tool = |log: &str| {
                let callgrind = [
                    "valgrind",
                    "--tool=callgrind",
                    "--callgrind-out-file=/dev/null",
                ];
                callgrind
                    .map(str::to_owned)
                    .into_iter()
                    .chain([format!("--log-file={log}")])
                    .collect()
            };
            let collected = |log: &str| {
                log.split_once("Collected : ")?
                    .1
                    .split_whitespace()
                    .next()?
                    .parse()
                    .ok()
            };
            let counts = contestant.measure(directory.path(), tool, collected);
            contestant.instructions_m = Some(counts.iter().sum::<f64>() / 1e6);
        }
    }
    match report(
        &contestants,
        fs::metadata(program).unwrap().len() as f64 / 1e6,
    ) {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    }
}

fn installed(name: &str) -> bool {
    let found = Command::new(name)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    if !found {
        eprintln!("skipped: {name} is not installed");
    }
    found
}

/// Builds the minimal client with the release profile, which cargo would not use for a second benchmark:
/// benchmarks are built without `panic = "abort"`.
fn build_floor() -> String {
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let arguments = [
        "build",
        "--release",
        "--example",
        "floor",
        "--message-format",
        "json",
    ];
    let directory = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(cargo)
        .args(arguments)
        .current_dir(directory)
        .stderr(Stdio::inherit())
        .output();
    let messages = String::from_utf8(output.unwrap().stdout).unwrap();
    let messages = messages
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut built = messages.filter_map(|message| Some(message["executable"].as_str()?.to_owned()));
    built.next_back().expect("the minimal client was built")
}

/// Starts the server with a P-256 certificate that an intermediate authority issued, as is usual on the web.
/// Returns its address and, as PEM, the authority to trust.
fn serve() -> (SocketAddr, String) {
    let (root, params, key) = certificate("root", None, &[]);
    let (intermediate, params, key) =
        certificate("intermediate", Some(&Issuer::new(params, key)), &[]);
    let (leaf, _, key) = certificate(
        "leaf",
        Some(&Issuer::new(params, key)),
        &["127.0.0.1".to_owned()],
    );
    let chain = vec![leaf.der().clone(), intermediate.der().clone()];
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, PrivatePkcs8KeyDer::from(key.serialize_der()).into())
        .unwrap();
    let config = Arc::new(config);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            // An error here makes the client fail too, and each client's outcome is checked.
            let _ = answer(&mut socket.unwrap(), &config);
        }
    });
    (address, root.pem())
}

/// Makes a certificate: for an authority when there are no hosts, self-signed when there is no issuer.
fn certificate(
    name: &str,
    issuer: Option<&Issuer<'_, KeyPair>>,
    hosts: &[String],
) -> (rcgen::Certificate, CertificateParams, KeyPair) {
    let mut params = CertificateParams::new(hosts).unwrap();
    params
        .distinguished_name
        .push(DnType::OrganizationName, name);
    if hosts.is_empty() {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = match issuer {
        Some(issuer) => params.signed_by(&key, issuer),
        None => params.self_signed(&key),
    };
    (certificate.unwrap(), params, key)
}

/// Reads a request, sends the reply, and waits for the client to close the connection.
fn answer(socket: &mut TcpStream, config: &Arc<ServerConfig>) -> io::Result<()> {
    socket.set_nodelay(true)?;
    let mut connection = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
    let mut stream = Stream::new(&mut connection, socket);
    let (mut request, mut buffer) = (Vec::new(), [0; 4096]);
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            amount => request.extend_from_slice(&buffer[..amount]),
        }
    }
    let long = request.starts_with(format!("GET {LONGEST}/").as_bytes());
    let body = if long {
        longest_body()
    } else {
        BODY.to_owned()
    };
    let length = body.len();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    stream.write_all((head + &body).as_bytes())?;
    stream.read(&mut buffer).map(drop)
}

/// A body with one long string.
fn longest_body() -> String {
    let (start, end) = (r#"{"credits": 247, "note": ""#, r#""}"#);
    format!(
        "{start}{}{end}",
        "x".repeat(MAX_BODY as usize - start.len() - end.len())
    )
}

/// Prints the tables. Returns whether no bound is missed.
fn report(contestants: &[Contestant], binary_mb: f64) -> bool {
    let find = |name| {
        contestants
            .iter()
            .find(|contestant| contestant.name == name)
    };
    let median = |mut numbers: Vec<f64>| {
        numbers.sort_by(f64::total_cmp);
        numbers.get(numbers.len() / 2).copied()
    };
    // Compared within a round: what slows the machine for a while slows both.
    let ratio = |a: Option<&Contestant>, b: Option<&Contestant>| {
        median(
            a?.wall_ms
                .iter()
                .zip(&b?.wall_ms)
                .map(|(a, b)| a / b)
                .collect(),
        )
    };
    let or_dash = |text: Option<String>| text.unwrap_or("-".to_owned());

    println!(
        "| | time | CPU time | of the minimal client | of curl \\| jq | instructions | peak memory |"
    );
    println!("|---|---|---|---|---|---|---|");
    for contestant in contestants {
        println!(
            "| {} | {} | {} | {} | {} | {} | {} |",
            contestant.name,
            or_dash(median(contestant.wall_ms.clone()).map(|ms| format!("{ms:.2} ms"))),
            or_dash(median(contestant.cpu_ms.clone()).map(|ms| format!("{ms:.2} ms"))),
            or_dash(ratio(Some(contestant), find(FLOOR)).map(|ratio| format!("{ratio:.2}"))),
            or_dash(ratio(Some(contestant), find(CURL_JQ)).map(|ratio| format!("{ratio:.3}"))),
            or_dash(
                contestant
                    .instructions_m
                    .map(|count| format!("{count:.2} M"))
            ),
            or_dash(contestant.memory_mib.map(|mib| format!("{mib:.1} MiB"))),
        );
    }
    println!(
        "\nTimes are medians; CPU time is user plus system. Memory is that of the largest process.\n"
    );

    let instructions = |name| find(name)?.instructions_m;
    let over_floor = instructions(CHECK_ONE)
        .zip(instructions(FLOOR))
        .map(|(check, floor)| check / floor);
    println!("| bound | at most | measured | |");
    println!("|---|---|---|---|");
    let mut all_hold = true;
    for (what, limit, measured) in [
        (
            "time of `curl \\| jq`",
            1.0 / 8.0,
            ratio(find(CHECK), find(CURL_JQ)),
        ),
        (
            "times the minimal client's time, one authority",
            1.5,
            ratio(find(CHECK_ONE), find(FLOOR)),
        ),
        ("times its instructions, one authority", 1.15, over_floor),
        ("million instructions", 7.0, instructions(CHECK)),
        (
            "million instructions, --plain, 64 KiB, one authority",
            7.0,
            instructions(CHECK_PLAIN),
        ),
        (
            "million instructions, --json, 64 KiB, one authority",
            7.0,
            instructions(CHECK_JSON),
        ),
        (
            "million instructions, --version",
            1.0,
            instructions(VERSION),
        ),
        ("million instructions, --help", 1.0, instructions(HELP)),
        (
            "MiB of memory",
            5.0,
            find(CHECK).and_then(|check| check.memory_mib),
        ),
        ("MB of binary", 2.45, Some(binary_mb)),
    ] {
        let holds = measured.map(|measured| measured <= limit);
        all_hold &= holds != Some(false);
        let verdict = holds.map_or(
            "not measured",
            |holds| if holds { "holds" } else { "missed" },
        );
        println!(
            "| {what} | {limit} | {} | {verdict} |",
            or_dash(measured.map(|number| format!("{number:.3}")))
        );
    }
    all_hold
}
