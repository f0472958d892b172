//! A panic ends the process like any other error: exit code 9, one error, no path and no text of the panic.

use std::process::{Command, Stdio};

use crate::common::{KEY, Run, finish};

#[cfg(all(target_os = "linux", target_env = "gnu"))]
use crate::common::{
    expect_error, has_program,
    tls::{self, Authority},
};

/// The variable that makes [`panic_in_a_child`] do its work: the name of the output format.
const FORMAT: &str = "CLADO_TESTS_PANIC";

/// Starts this test program again, to run [`panic_in_a_child`] only.
fn run_child(format: &str) -> Run {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["panics::panic_in_a_child", "--exact", "--nocapture"]);
    child.env(FORMAT, format).env("RUST_BACKTRACE", "1");
    child.stdout(Stdio::piped()).stderr(Stdio::piped());
    finish(child.spawn().unwrap())
}

/// Panics on another thread with the program's hook in place. Does nothing unless [`run_child`] has started it.
#[test]
fn panic_in_a_child() {
    let Some(format) = std::env::var_os(FORMAT) else {
        return;
    };
    clado_credits::exit_on_panic(format == "json");
    let _ = std::thread::spawn(|| panic!("{KEY}")).join();
    unreachable!("the panic ends the process");
}

#[test]
fn a_panic_is_an_internal_error_with_exit_code_9() {
    let run = run_child("text");
    assert_eq!(run.code, Some(9));
    let expected = "error: internal error: the program panicked\n\
        hint: this is a bug in clado-credits; please report it\n";
    assert_eq!(run.stderr, expected);
}

#[test]
fn a_panic_is_one_line_of_json_where_json_is_asked_for() {
    let run = run_child("json");
    assert_eq!(run.code, Some(9));
    let report: serde_json::Value = serde_json::from_str(&run.stderr).unwrap();
    assert_eq!(report["error"]["kind"], "local");
    assert_eq!(report["error"]["exit_code"], 9);
}

/// A shared library that sets the clock back to before 1970, where rustls panics.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const CLOCK_BEFORE_1970: &str = r"
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = syscall(SYS_clock_gettime, clock, now);
    if (clock == CLOCK_REALTIME) {
        now->tv_sec = -86400;
    }
    return result;
}
";

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn a_clock_before_1970_is_an_internal_error_of_the_program() {
    if !has_program("cc") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let source = folder.path().join("clock.c");
    let library = folder.path().join("clock.so");
    std::fs::write(&source, CLOCK_BEFORE_1970).unwrap();
    let mut compiler = Command::new("cc");
    compiler.args(["-shared", "-fPIC", "-o"]).arg(&library);
    assert!(compiler.arg(&source).status().unwrap().success());

    let authority = Authority::new();
    let server = tls::api(tls::config(authority.good()));
    let trusted = authority.file();
    let mut command = tls::ask_trusting(&server, &trusted);
    command.env("LD_PRELOAD", &library);
    let message = "internal error: the program panicked";
    let hint = Some("this is a bug in clado-credits; please report it");
    expect_error(&mut command, 9, "local", message, hint);
}
