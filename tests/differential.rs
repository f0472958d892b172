//! The program against references: generated HTTP replies are also read by curl, and generated JSON bodies by a second
//! parser.
//!
//! The generators start from fixed seeds, so that every run has the same cases. A failure shows the whole reply.

use std::io::Write;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use hifijson::SliceLexer;
use hifijson::token::Lex;
use hifijson::value::{self, Value};

use crate::common::server::{Server, close_after_client, read_head};
use crate::common::{ask, has_program, run};

/// Malformed pieces of replies that the program accepts and curl does not, and why that does no harm.
const ACCEPTED: [(&str, &str); 5] = [
    (
        "\r\nHTTP/1.1 200 OK",
        "an empty line before the status line has no meaning",
    ),
    (
        " {}",
        "a blank before the size of a chunk does not change it",
    ),
    (
        "+{}",
        "a plus sign before the size of a chunk does not change it",
    ),
    ("0\r\nX-End\r\n\r\n", "nothing in a trailer is used"),
    (
        "0\r\n",
        "with the chunk of size zero a body is complete (RFC 9112, section 8)",
    ),
];

#[test]
fn a_reply_gives_the_number_that_curl_receives() {
    if !has_program("curl") {
        return;
    }
    let count = cases(500);
    let replies: Vec<_> = (0..count)
        .map(|seed| Reply::generate(&mut Random(seed as u64)))
        .collect();
    let bytes = replies.iter().map(|reply| reply.bytes.clone()).collect();
    let accepted = count_accepted(bytes, |number, url| {
        let Reply {
            bytes,
            body,
            malformed,
        } = &replies[number];
        let received = curl(url).filter(|body| credits(body.as_bytes()).is_some());
        let ours = run(ask(url).arg("--json"));
        let shown = bytes.escape_ascii();
        let is_accepted = ours.code == Some(0);
        let is_known = ACCEPTED.iter().any(|(piece, _)| malformed.contains(piece));
        if is_accepted {
            let expected = received.as_ref().or(is_known.then_some(body));
            assert_eq!(
                Some(ours.stdout.trim()),
                expected.map(|body| body.trim()),
                "{shown}"
            );
        } else {
            assert_eq!(ours.stdout, "", "{shown}");
            assert!(
                received.is_none() || !malformed.is_empty(),
                "{shown} gives {ours:?}"
            );
        }
        is_accepted
    });
    assert!(
        (count * 3 / 10..count * 9 / 10).contains(&accepted),
        "{accepted} of {count} replies were accepted"
    );
}

#[test]
fn a_body_gives_the_number_that_a_second_parser_reads() {
    let count = cases(2_000);
    let bodies: Vec<_> = (0..count)
        .map(|seed| body(&mut Random(seed as u64)))
        .collect();
    let head = |body: &[u8]| format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    let replies = bodies
        .iter()
        .map(|body| [head(body).as_bytes(), body].concat())
        .collect();
    let accepted = count_accepted(replies, |number, url| {
        let body = &bodies[number];
        let ours = run(ask(url).arg("--plain"));
        // A byte-order mark in front is skipped.
        let json = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
        let expected = match credits(json) {
            Some(credits) => (Some(0), format!("{credits}\n")),
            None => (Some(8), String::new()),
        };
        assert_eq!(
            (ours.code, ours.stdout),
            expected,
            "{} for {}",
            ours.stderr,
            body.escape_ascii()
        );
        ours.code == Some(0)
    });
    assert!(
        (count / 5..count * 4 / 5).contains(&accepted),
        "{accepted} of {count} bodies were accepted"
    );
}

/// How many of `all` generated cases are run: a fifth, or all with `CLADO_TESTS_ALL_CASES` set, as in `.ci/run`.
fn cases(all: usize) -> usize {
    if std::env::var_os("CLADO_TESTS_ALL_CASES").is_some() {
        all
    } else {
        all / 5
    }
}

/// Serves each reply at a URL of its own, and counts those for which `check` returns true; it gets the number of the
/// reply and the URL.
fn count_accepted(replies: Vec<Vec<u8>>, check: impl Fn(usize, &str) -> bool + Sync) -> usize {
    let (count, replies) = (replies.len(), Arc::new(replies));
    let server = Server::new(move |mut stream| {
        let head = read_head(&mut stream);
        if let Some(number) = head
            .split('/')
            .nth(1)
            .and_then(|number| number.parse::<usize>().ok())
        {
            // A client that has read enough may close first.
            let _ = stream.write_all(&replies[number]);
            close_after_client(&mut stream);
        }
    });
    let url = server.url();
    let (next, accepted) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= count {
            break;
        }
        let is_accepted = check(number, &format!("{url}/{number}"));
        accepted.fetch_add(is_accepted.into(), Ordering::Relaxed);
    };
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(work))));
    accepted.into_inner()
}

/// The body of a 200 that curl finds no fault with.
fn curl(url: &str) -> Option<String> {
    let mut curl = Command::new("curl");
    curl.args([
        "-q",
        "-s",
        "--noproxy",
        "*",
        "--max-time",
        "60",
        "-w",
        "\n%{http_code}",
    ]);
    let output = curl.arg(format!("{url}/api/credits")).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, status) = printed.rsplit_once('\n').unwrap();
    (output.status.success() && status == "200").then(|| body.to_owned())
}

/// The balance as the second parser reads it: the integer in the only `credits` of an object.
fn credits(body: &[u8]) -> Option<i64> {
    let value = SliceLexer::new(body)
        .exactly_one(Lex::ws_peek, value::parse_unbounded)
        .ok()?;
    let Value::Object(fields) = value else {
        return None;
    };
    let all = |name: &'static str| fields.iter().filter(move |(found, _)| *found == name);
    match (
        all("credits").next()?,
        all("credits").count(),
        all("last_topup_at").count(),
    ) {
        ((_, Value::Number((text, _))), 1, 0..=1) => integer(text),
        _ => None,
    }
}

/// The value of a JSON number that is an integer, by arithmetic. The program reads the digits as text.
fn integer(text: &str) -> Option<i64> {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let fraction = fraction.trim_end_matches('0');
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    if digits == 0 {
        return Some(0);
    }
    // Whatever does not fit here is out of range or has a fraction.
    let exponent = exponent.parse::<i64>().ok()? - fraction.len() as i64;
    let power = 10i128.checked_pow(exponent.unsigned_abs().try_into().ok()?)?;
    let value = if exponent >= 0 {
        digits.checked_mul(power)
    } else {
        Some(digits / power).filter(|_| digits % power == 0)
    };
    value?.try_into().ok()
}

/// A generator of pseudo-random numbers (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % limit as u64) as usize
    }

    fn one_in(&mut self, chances: usize) -> bool {
        self.below(chances) == 0
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.below(from.len())]
    }

    fn digits(&mut self, most: usize) -> String {
        (0..self.below(most + 1))
            .map(|_| self.pick(&['0', '0', '1', '2', '7', '9']))
            .collect()
    }

    /// The usual text, or one of the odd ones with a chance of one in `chances`.
    fn usually(
        &mut self,
        usual: &'static str,
        chances: usize,
        odd: &[&'static str],
    ) -> &'static str {
        if self.one_in(chances) {
            self.pick(odd)
        } else {
            usual
        }
    }
}

/// A reply with a balance, framed in one of many ways.
struct Reply {
    bytes: Vec<u8>,
    body: String,
    /// The pieces of it that are not HTTP as RFC 9112 defines it. The program may refuse it then, and often does
    /// where curl reads on.
    malformed: Vec<&'static str>,
}

/// Where a piece of a reply is chosen: a usual one, others that are valid, and malformed ones. `{}` is a length.
struct Choice<'a>(&'static str, &'a [&'static str], &'a [&'static str]);

const INTERIM: Choice = Choice(
    "",
    &[
        "HTTP/1.1 100 Continue\r\n\r\n",
        "HTTP/1.1 102\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n",
    ],
    &[
        "HTTP/1.1 100 Continue\r\nContent-Length: 5\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\n\r\n",
    ],
);

const STATUS_LINE: Choice = Choice(
    "HTTP/1.1 200 OK",
    &[
        "HTTP/1.0 200 OK",
        "HTTP/1.1 200 ",
        "HTTP/1.1 200",
        "HTTP/1.1 200 D\u{e9}j\u{e0} vu",
        "HTTP/1.1 200 (fine), 100%",
        "HTTP/1.1 201 Created",
        "HTTP/1.1 203 Transformed",
        "HTTP/1.1 204 No Content",
        "HTTP/1.1 206 Partial Content",
        "HTTP/1.1 304 Not Modified",
        "HTTP/1.1 302 Found",
        "HTTP/1.1 404 Not Found",
    ],
    &[
        "\r\nHTTP/1.1 200 OK",
        " HTTP/1.1 200 OK",
        "HTTP/1.1  200 OK",
        "HTTP/1.1\t200 OK",
        "HTTP/1.1 200OK",
        "HTTP/1.1 2000 OK",
        "HTTP/1.1 20 OK",
        "HTTP/1.1 OK",
        "HTTP/1.1",
        "HTTP/1.2 200 OK",
        "HTTP/2 200 OK",
        "http/1.1 200 OK",
        "ICY 200 OK",
    ],
);

const HEADER: Choice = Choice(
    "Content-Type: application/json",
    &[
        "Content-Type: text/html",
        "Connection: close",
        "Connection: keep-alive",
        "Content-Encoding: identity",
        "Location: /other",
        "Set-Cookie: a=b",
        "Trailer: X-End",
        "Upgrade: h2c",
        "X-Blanks:   a   ",
        "X-Empty:",
        "X-Latin: caf\u{e9}",
        "X-No-Space:a",
        "X-Tab:\ta",
    ],
    &[
        " X-Indented: a",
        ": no name",
        "HTTP/1.1 200 OK",
        "Transfer-Encoding: identity",
        "X Two: words",
        "X-Bell: \u{7}",
        "X-Cr: a\rb",
        "X-Folded: a\r\n b",
        "X-No-Colon",
        "X-Nul: a\0b",
        "X-Space : a",
    ],
);

const LENGTH: Choice = Choice(
    "Content-Length: {}",
    &[
        "content-length:{}",
        "CONTENT-LENGTH:   {}  ",
        "Content-Length:\t{}",
        "Content-Length: 0{}",
        "Content-Length: {}\r\nContent-Length: {}",
        "Content-Length: {}, {}",
    ],
    &[
        "Content-Length : {}",
        "Content-Length:",
        "Content-Length: +{}",
        "Content-Length: -{}",
        "Content-Length: 0x{}",
        "Content-Length: 1{}",
        "Content-Length: 1{}\r\nContent-Length: {}",
        "Content-Length: 99999999999999999999",
        "Content-Length: {} bytes",
        "Content-Length: {}\r\nContent-Length: 1{}",
        "Content-Length: {}, 1{}",
        "Content-Length: {};",
    ],
);

const CODING: Choice = Choice(
    "Transfer-Encoding: chunked",
    &[
        "transfer-encoding:chunked",
        "Transfer-Encoding: Chunked",
        "TRANSFER-ENCODING:  chunked ",
    ],
    &[
        "Transfer-Encoding : chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: chunked;q=1",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: identity, chunked",
        "Transfer-Encoding: xchunked",
    ],
);

const SIZE: Choice = Choice(
    "{}",
    &["000{}", "{};name=value", "{};name=\"a;b\"", "{} ", "{}\t"],
    &[" {}", "+{}", "-{}", "0x{}", "{}h", "", "ffffffffffffffff{}"],
);

const LAST_CHUNK: Choice = Choice(
    "0\r\n\r\n",
    &[
        "000\r\n\r\n",
        "0;last\r\n\r\n",
        "0\r\nX-End: 1\r\n\r\n",
        "0\r\nX-End: 1\r\nX-End: 2\r\n\r\n",
    ],
    &[
        "",
        "0",
        "0\r\n",
        "0\n\n",
        "0\r\nX-End\r\n\r\n",
        "x\r\n\r\n",
        "\r\n",
    ],
);

const LINE_END: Choice = Choice("\r\n", &["\r\n"], &["\n", "\r", "", "x\r\n"]);

impl Reply {
    fn generate(random: &mut Random) -> Reply {
        let mut malformed = Vec::new();
        // Valid pieces other than the usual one with a chance of one in `valid`, malformed ones of one in `broken`.
        let mut choose = |random: &mut Random, choice: &Choice, valid, broken| {
            if random.one_in(broken) {
                malformed.push(random.pick(choice.2));
                return malformed[malformed.len() - 1];
            }
            random.usually(choice.0, valid, choice.1)
        };
        let blanks = random.usually("", 3, &[" ", "\r\n", "\n\n\n", "      "]);
        let body = format!("{{\"credits\": 1{}}}{blanks}", random.digits(9));
        let interim = choose(random, &INTERIM, 5, 40);
        let mut lines = vec![choose(random, &STATUS_LINE, 3, 15).to_owned()];
        while random.one_in(2) {
            lines.push(choose(random, &HEADER, 1, 20).to_owned());
        }
        // Framed by its length, in chunks, by both, or by the end of the connection.
        let (has_length, is_chunked) = random.pick(&[
            (true, false),
            (true, false),
            (false, true),
            (false, true),
            (true, true),
            (false, false),
        ]);
        if has_length {
            let length = choose(random, &LENGTH, 3, 5).replace("{}", &body.len().to_string());
            lines.insert(1 + random.below(lines.len()), length);
        }
        if is_chunked {
            let coding = choose(random, &CODING, 4, 6).to_owned();
            lines.insert(1 + random.below(lines.len()), coding);
        }
        // A line may end without a CR; the RFC lets the reader take it.
        let end = random.usually("\r\n", 10, &["\n"]);
        let mut reply = format!("{interim}{}{end}{end}", lines.join(end));
        let mut rest = if is_chunked { body.as_str() } else { "" };
        while !rest.is_empty() {
            let (chunk, after) = rest.split_at(1 + random.below(rest.len()));
            let size = choose(random, &SIZE, 4, 40).replace("{}", &format!("{:x}", chunk.len()));
            let ends = [
                choose(random, &LINE_END, 1, 60),
                choose(random, &LINE_END, 1, 60),
            ];
            reply += &format!("{size}{}{chunk}{}", ends[0], ends[1]);
            rest = after;
        }
        reply += if is_chunked {
            choose(random, &LAST_CHUNK, 3, 6)
        } else {
            &body
        };
        reply += random.usually("", 12, &["\r\n", "and more", "HTTP/1.1 500 Error\r\n\r\n"]);
        if is_chunked && lines[0].starts_with("HTTP/1.0") {
            // RFC 9112, section 6.1.
            malformed.push("chunks in HTTP/1.0");
        }
        // Every character is one of Latin-1.
        let mut bytes: Vec<u8> = reply.chars().map(|c| c as u8).collect();
        if random.one_in(8) {
            bytes.truncate(random.below(bytes.len()));
            let is_complete =
                is_chunked && (bytes.ends_with(b"\n0\r\n") || bytes.ends_with(b"\n0\r\n\r"));
            malformed.push(if is_complete { "0\r\n" } else { "cut" });
        }
        Reply {
            bytes,
            body,
            malformed,
        }
    }
}

/// A JSON body, most often an object with a balance, and sometimes damaged.
fn body(random: &mut Random) -> Vec<u8> {
    let mut members = Vec::new();
    if !random.one_in(12) {
        let name = random.usually(
            "credits",
            8,
            &[
                "cr\\u0065dits",
                "\\u0063redits",
                "Credits",
                "credits ",
                "credit",
            ],
        );
        members.push(format!(
            "\"{name}\"{}:{}{}",
            blanks(random),
            blanks(random),
            balance(random)
        ));
    }
    for name in [
        "last_topup_at",
        "credits",
        "a",
        "",
        "\\ud83d\\ude00",
        "\u{e9}",
        "\\n\\\"\\/",
    ] {
        if random.one_in(if name == "credits" { 20 } else { 4 }) {
            members.push(format!("\"{name}\":{}{}", blanks(random), json(random, 4)));
        }
    }
    let first = random.below(members.len() + 1);
    members.rotate_left(first);
    let separator = format!("{},{}", blanks(random), blanks(random));
    let object = format!(
        "{}{{{}}}{}",
        blanks(random),
        members.join(&separator),
        blanks(random)
    );
    let text = match random.below(30) {
        0 => format!("[{object}]"),
        1 => json(random, 3),
        2 => format!("\u{feff}{object}"),
        3 => object.clone() + random.pick(&["}", ",", "x", "\0", "\u{c}", "\u{a0}", "//", "{}"]),
        _ => object,
    };
    let mut body = text.into_bytes();
    if random.one_in(3) && !body.is_empty() {
        let (start, byte) = (random.below(body.len()), random.below(256) as u8);
        let end = (start + random.below(6)).min(body.len());
        let odd = random.pick(&[
            byte, b'"', b',', b':', b'\\', b'0', b'e', b'.', b'-', b'}', b' ', b'\n',
        ]);
        match random.below(5) {
            0 => body.truncate(start),
            1 => body[start] = odd,
            2 => body.insert(start, odd),
            3 => drop(body.drain(start..end)),
            _ => body.extend_from_within(start..end),
        }
    }
    body
}

fn blanks(random: &mut Random) -> &'static str {
    random.usually("", 3, &[" ", "  ", "\n", "\t", "\r\n"])
}

/// The value of `credits`: a number in any notation, or something that is not a number.
fn balance(random: &mut Random) -> String {
    const ODD: [&str; 24] = [
        "null",
        "true",
        "\"247\"",
        "[247]",
        "{}",
        "",
        "0247",
        "+247",
        "247.",
        ".5",
        "247e",
        "1e+",
        "0x10",
        "NaN",
        "Infinity",
        "-",
        "--1",
        "1_000",
        "1,000",
        "2 47",
        "-0",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
    ];
    if random.one_in(5) {
        return random.pick(&ODD).to_owned();
    }
    let whole = random.digits(19).trim_start_matches('0').to_owned();
    let mut number = format!(
        "{}{}",
        random.usually("", 4, &["-"]),
        if whole.is_empty() { "0" } else { &whole }
    );
    if random.one_in(3) {
        number += &format!(
            ".{}{}",
            random.pick(&["", "5", "25"]),
            "0".repeat(1 + random.below(4))
        );
    }
    if random.one_in(3) {
        number += random.pick(&["e", "E"]);
        number += random.pick(&[
            "0",
            "00",
            "1",
            "2",
            "3",
            "+1",
            "-1",
            "-2",
            "-4",
            "19",
            "400",
            "-400",
            "99999999999999999999",
        ]);
    }
    number
}

/// Any JSON value, nested at most this deep.
fn json(random: &mut Random, depth: usize) -> String {
    // The first ones are valid.
    const VALID: usize = 12;
    const SCALARS: [&str; 18] = [
        "null",
        "true",
        "false",
        "0",
        "-1.5e-3",
        "1e400",
        "123456789012345678901234567890",
        "\"\"",
        "\"2024-01-15T10:30:00Z\"",
        "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"",
        "\"\\ud83d\\ude00\"",
        "\"\u{e9}\u{1f600}\u{7f}\"",
        "\"\\ud800\"",
        "\"\\udc00\\ud800\"",
        "\"\\u12\"",
        "\"\\x\"",
        "\"a\tb\"",
        "nul",
    ];
    if depth == 0 || random.one_in(2) {
        let kinds = if random.one_in(10) {
            &SCALARS[..]
        } else {
            &SCALARS[..VALID]
        };
        return random.pick(kinds).to_owned();
    }
    let items: Vec<_> = (0..random.below(3))
        .map(|_| json(random, depth - 1))
        .collect();
    match random.below(2) {
        0 => format!("[{}]", items.join(",")),
        _ => format!(
            "{{{}}}",
            items
                .iter()
                .map(|item| format!("\"credits\":{item}"))
                .collect::<Vec<_>>()
                .join(", ")
        ),
    }
}
