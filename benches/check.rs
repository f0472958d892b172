//! What one check costs beside `curl | jq`, and beside the least that it can cost: `cargo bench`.
//!
//! Whole processes are measured, in turn (A B C A B C …), so that a machine that slows down slows all of them.
//! They talk to a TLS 1.3 server in this process, over loopback: what is left is what the client itself costs.
//! The tables go to standard output, progress and what was skipped to standard error.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a benchmark that fails may panic")]
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "no pipe is cut here")]

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::{ServerConfig, ServerConnection, Stream};

const KEY: &str = "lk_test_not_a_real_key";
const BODY: &str = r#"{"credits": 247, "last_topup_at": "2024-01-15T10:30:00Z"}"#;

/// Runs of each command that are not counted, and that are.
const WARM_UP: usize = 5;
const ROUNDS: usize = 150;

/// Where systems keep their trust store as one file.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

// Places in the table.
const FLOOR: &str = "floor";
const CURL_JQ: &str = "curl \\| jq";
const CURL: &str = "curl";
const CHECK: &str = "clado-credits";
const CHECK_ONE: &str = "clado-credits, one authority";
const VERSION: &str = "clado-credits --version";
const HELP: &str = "clado-credits --help";
const COMPLETIONS: &str = "clado-credits --completions zsh";
const TRUE: &str = "true";

/// GNU time: the shell's own of that name tells no memory. The process that starts the measured one has to be
/// small, as the system counts its memory in.
const TIME: &str = "/usr/bin/time";

/// Commands that are one pipeline, and what was measured of it.
struct Contestant {
    name: &'static str,
    stages: Vec<Vec<OsString>>,
    environment: Vec<(&'static str, OsString)>,
    /// What the last stage has to print; a run that fails would be fast.
    prints: &'static str,
    times: Vec<Duration>,
    instructions: Option<u64>,
    peak_kib: Option<u64>,
}

impl Contestant {
    fn new(name: &'static str, stages: &[&[&str]], prints: &'static str) -> Contestant {
        let stages = stages.iter().map(|stage| stage.iter().map(OsString::from).collect()).collect();
        Contestant {
            name,
            stages,
            environment: vec![("CLADO_API_KEY", KEY.into())],
            prints,
            times: Vec::new(),
            instructions: None,
            peak_kib: None,
        }
    }

    fn env(mut self, name: &'static str, value: impl Into<OsString>) -> Contestant {
        self.environment.push((name, value.into()));
        self
    }

    /// Runs the pipeline, each stage behind the words that `before` gives for it, until all of it has ended.
    fn run(&self, before: impl Fn(usize) -> Vec<OsString>) -> Duration {
        let commands: Vec<Command> = self
            .stages
            .iter()
            .enumerate()
            .map(|(place, stage)| {
                let words: Vec<OsString> = before(place).into_iter().chain(stage.iter().cloned()).collect();
                let mut command = Command::new(&words[0]);
                command.args(&words[1..]).env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path)));
                command.envs(self.environment.iter().cloned()).stdout(Stdio::piped());
                command
            })
            .collect();

        let started = Instant::now();
        let mut children = Vec::new();
        let mut output = Stdio::null();
        let mut printed = String::new();
        for (place, mut command) in commands.into_iter().enumerate() {
            command.stdin(output);
            let mut child = command.spawn().unwrap_or_else(|error| panic!("{}: {error}", self.name));
            let mut stdout = child.stdout.take().unwrap();
            children.push(child);
            if place + 1 == self.stages.len() {
                stdout.read_to_string(&mut printed).unwrap();
                break;
            }
            output = stdout.into();
        }
        for child in &mut children {
            assert!(child.wait().unwrap().success(), "{} failed", self.name);
        }
        let taken = started.elapsed();
        assert!(printed.contains(self.prints), "{} printed {printed:?}", self.name);
        taken
    }

    /// Runs each stage behind `tool`, which writes what it measured to the path it is given, and takes a figure
    /// of each stage from that.
    fn measure(
        &self,
        directory: &Path,
        tool: impl Fn(&Path) -> Vec<OsString>,
        figure: impl Fn(&str) -> Option<u64>,
    ) -> Option<Vec<u64>> {
        let log = |place: usize| directory.join(format!("figure.{place}"));
        self.run(|place| tool(&log(place)));
        (0..self.stages.len()).map(|place| figure(&fs::read_to_string(log(place)).unwrap())).collect()
    }

    fn median(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort();
        times[times.len() / 2]
    }
}

fn main() {
    // `cargo test --all-targets` runs benchmarks too, without this flag.
    if !env::args().any(|argument| argument == "--bench") {
        eprintln!("nothing is measured without --bench: use `cargo bench`");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let authority = directory.path().join("authority.pem");
    let bundle = directory.path().join("bundle.pem");
    let (address, root) = serve();
    fs::write(&authority, &root).unwrap();
    let (others, count) = trust_store();
    fs::write(&bundle, others + &root).unwrap();
    let (authority, bundle) = (authority.to_str().unwrap(), bundle.to_str().unwrap());
    eprintln!("a system-size trust store has {count} and the authority of the server");

    let program = env!("CARGO_BIN_EXE_clado-credits");
    let floor = floor();
    let base = format!("https://{address}");
    let url = format!("{base}/api/credits");
    let authorization = format!("Authorization: Bearer {KEY}");
    let curl = &["curl", "-sS", "--cacert", bundle, "-H", &authorization, &url][..];
    let check = |name, store: &str| {
        Contestant::new(name, &[&[program]], "247").env("CLADO_API_URL", &base).env("SSL_CERT_FILE", store)
    };
    let installed = |name: &str| {
        let found = Command::new(name).arg("--version").output().is_ok_and(|output| output.status.success());
        if !found {
            eprintln!("skipped: {name} is not installed");
        }
        found
    };

    let mut contestants = vec![
        check(CHECK, bundle),
        check(CHECK_ONE, authority),
        Contestant::new(FLOOR, &[&[&floor, &address.to_string(), authority]], "247"),
    ];
    if installed("curl") {
        contestants.push(Contestant::new(CURL, &[curl], "247"));
        if installed("jq") {
            contestants.push(Contestant::new(CURL_JQ, &[curl, &["jq", ".credits"]], "247"));
        }
    }
    if installed("true") {
        contestants.push(Contestant::new(TRUE, &[&["true"]], ""));
    }
    contestants.push(Contestant::new(VERSION, &[&[program, "--version"]], "clado-credits"));
    contestants.push(Contestant::new(HELP, &[&[program, "--help"]], "Usage"));
    contestants.push(Contestant::new(COMPLETIONS, &[&[program, "--completions", "zsh"]], "#compdef"));

    for round in 0..WARM_UP + ROUNDS {
        if round % 50 == 0 {
            eprintln!("time: round {round} of {}", WARM_UP + ROUNDS);
        }
        for contestant in &mut contestants {
            let taken = contestant.run(|_| Vec::new());
            if round >= WARM_UP {
                contestant.times.push(taken);
            }
        }
    }
    if installed(TIME) {
        eprintln!("peak memory");
        for contestant in &mut contestants {
            let tool = |log: &Path| {
                [TIME, "-f", "%M", "-o"].map(OsString::from).into_iter().chain([log.into()]).collect()
            };
            let peaks = contestant.measure(directory.path(), tool, |log| log.trim().parse().ok());
            contestant.peak_kib = peaks.and_then(|peaks| peaks.into_iter().max());
        }
    }
    if installed("valgrind") {
        for contestant in &mut contestants {
            eprintln!("instructions: {}", contestant.name);
            let tool = |log: &Path| {
                let mut file = OsString::from("--log-file=");
                file.push(log);
                vec![
                    "valgrind".into(),
                    "--tool=callgrind".into(),
                    "--callgrind-out-file=/dev/null".into(),
                    file,
                ]
            };
            let collected =
                |log: &str| log.split_once("Collected : ")?.1.split_whitespace().next()?.parse().ok();
            let counts = contestant.measure(directory.path(), tool, collected);
            contestant.instructions = counts.map(|counts| counts.into_iter().sum());
        }
    }
    report(&contestants, fs::metadata(program).unwrap().len());
}

/// Builds the floor in the profile of the program that is measured, and returns its path.
fn floor() -> String {
    eprintln!("building the floor");
    let cargo = env::var_os("CARGO").unwrap_or("cargo".into());
    let arguments = ["build", "--release", "--example", "floor", "--message-format", "json"];
    let directory = env!("CARGO_MANIFEST_DIR");
    let output = Command::new(cargo).args(arguments).current_dir(directory).stderr(Stdio::inherit()).output();
    let messages = String::from_utf8(output.unwrap().stdout).unwrap();
    let messages = messages.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
    let mut built = messages.filter_map(|message| Some(message["executable"].as_str()?.to_owned()));
    built.next_back().expect("the floor was built")
}

/// The system's own trust store, or one of the same size, and what it is.
fn trust_store() -> (String, String) {
    for path in BUNDLES {
        if let Ok(pem) = fs::read_to_string(path) {
            let count = pem.matches("-----BEGIN CERTIFICATE-----").count();
            return (pem, format!("this system's {count} certificates"));
        }
    }
    // A system's certificates are of 1.1 kB on average, most of it RSA keys and signatures. These have
    // P-256 keys, which are all that can be made here, and a long name in their place.
    let name = "x".repeat(330);
    let certificate = |place| certificate(&format!("{place} {name}"), None, &[], true).0;
    let pem: String = (0..145).map(|place| certificate(place).pem()).collect();
    (pem, "145 made-up certificates".to_owned())
}

/// Makes a P-256 certificate; without an issuer it is its own.
fn certificate(
    name: &str,
    issuer: Option<&Issuer<'_, KeyPair>>,
    hosts: &[&str],
    authority: bool,
) -> (rcgen::Certificate, CertificateParams, KeyPair) {
    let hosts: Vec<String> = hosts.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(DnType::OrganizationName, name);
    if authority {
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    }
    let key = KeyPair::generate().unwrap();
    let certificate = match issuer {
        Some(issuer) => params.signed_by(&key, issuer),
        None => params.self_signed(&key),
    };
    (certificate.unwrap(), params, key)
}

/// Starts a server whose P-256 certificate has, as in the wild, an intermediate issuer. Returns where it listens
/// and, as PEM, the authority to trust.
fn serve() -> (SocketAddr, String) {
    let (root, params, key) = certificate("root", None, &[], true);
    let issuer = Issuer::new(params, key);
    let (intermediate, params, key) = certificate("intermediate", Some(&issuer), &[], true);
    let issuer = Issuer::new(params, key);
    let (leaf, _, key) = certificate("leaf", Some(&issuer), &["127.0.0.1"], false);
    let chain = vec![leaf.der().clone(), intermediate.der().clone()];
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming() {
            // What goes wrong here, goes wrong for the client too, which is asked about it.
            let _ = answer(&mut socket.unwrap(), &config);
        }
    });
    (address, root.pem())
}

/// Reads a request, answers it in one write, and leaves it to the client to close.
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
    let length = BODY.len();
    let head =
        format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
    stream.write_all((head + BODY).as_bytes())?;
    stream.read(&mut buffer).map(drop)
}

fn report(contestants: &[Contestant], size: u64) {
    let find = |name| contestants.iter().find(|contestant| contestant.name == name);
    let floor = find(FLOOR).unwrap();
    let pipeline = find(CURL_JQ);
    // Pairs of the same round: what slows the machine for a while slows both.
    let ratio = |a: &Contestant, b: &Contestant| {
        let pairs = a.times.iter().zip(&b.times);
        let mut ratios: Vec<f64> = pairs.map(|(a, b)| a.as_secs_f64() / b.as_secs_f64()).collect();
        ratios.sort_by(f64::total_cmp);
        ratios[ratios.len() / 2]
    };
    let or_dash = |text: Option<String>| text.unwrap_or("-".to_owned());
    let millions = |count: u64| count as f64 / 1e6;
    let mib = |kib: u64| kib as f64 / 1024.0;

    println!("| | median | of the floor | of curl \\| jq | instructions | peak memory |");
    println!("|---|---|---|---|---|---|");
    for contestant in contestants {
        println!(
            "| {} | {:.2} ms | {:.2} | {} | {} | {} |",
            contestant.name,
            contestant.median().as_secs_f64() * 1e3,
            ratio(contestant, floor),
            or_dash(pipeline.map(|pipeline| format!("{:.3}", ratio(contestant, pipeline)))),
            or_dash(contestant.instructions.map(|count| format!("{:.2} M", millions(count)))),
            or_dash(contestant.peak_kib.map(|kib| format!("{:.1} MiB", mib(kib)))),
        );
    }
    println!("\nThe binary has {:.2} MB. Memory is that of the largest process.\n", size as f64 / 1e6);

    let check = find(CHECK).unwrap();
    let one = find(CHECK_ONE).unwrap();
    let instructions = |name| find(name)?.instructions.map(millions);
    let target = |what: &str, measured: Option<f64>, limit: f64| {
        let verdict = measured.map(|measured| {
            let verdict = if measured <= limit { "holds" } else { "missed" };
            format!("{measured:.3}, {verdict}")
        });
        println!("| {what} | {limit} | {} |", verdict.unwrap_or("not measured".to_owned()));
    };
    println!("| target | at most | measured |");
    println!("|---|---|---|");
    target("time of curl \\| jq", pipeline.map(|pipeline| ratio(check, pipeline)), 1.0 / 8.0);
    target("times the floor's time", Some(ratio(check, floor)), 1.3);
    target("million instructions", instructions(CHECK), 7.0);
    let over = one.instructions.zip(floor.instructions).map(|(one, floor)| one as f64 / floor as f64);
    target("times the floor's instructions, one authority", over, 1.15);
    target("million instructions, --version", instructions(VERSION), 1.0);
    target("million instructions, --help", instructions(HELP), 1.0);
    target("MiB of memory", check.peak_kib.map(mib), 5.0);
    target("MB of binary", Some(size as f64 / 1e6), 2.0);

    println!("\n| one check, of what `curl \\| jq` takes | time | instructions | peak memory |");
    println!("|---|---|---|---|");
    for name in [CHECK, CURL, FLOOR] {
        let (Some(contestant), Some(pipeline)) = (find(name), pipeline) else { continue };
        let share = |part: Option<u64>, whole: Option<u64>| {
            or_dash(part.zip(whole).map(|(part, whole)| format!("1/{:.1}", whole as f64 / part as f64)))
        };
        println!(
            "| {name} | 1/{:.1} | {} | {} |",
            ratio(pipeline, contestant),
            share(contestant.instructions, pipeline.instructions),
            share(contestant.peak_kib, pipeline.peak_kib),
        );
    }
}
