//! Which certificates are trusted where no variable names any: the system's, all of them.
//!
//! On Linux only, where they are files under /etc and the program can be given an /etc of its own.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

use crate::common::server::Server;
use crate::common::tls::{self, Authority, config, params};
use crate::common::{
    ask, expect_balance, expect_error, expect_json_error, is_available, replacing, within,
};

/// A directory to put in the place of /etc, with these files where the system's certificates are.
fn etc(files: &[(&str, &str)]) -> TempDir {
    let etc = TempDir::new().unwrap();
    let certificates = etc.path().join("ssl/certs");
    fs::create_dir_all(&certificates).unwrap();
    for (name, content) in files {
        fs::write(certificates.join(name), content).unwrap();
    }
    etc
}

/// The program, asking `server` with this /etc, if that is possible.
fn ask_with(etc: &Path, server: &Server) -> Option<Command> {
    replacing("/etc", etc, &ask(&format!("https://{}", server.address)))
}

/// An API whose certificate is by `authority`.
fn api_by(authority: &Authority) -> Server {
    tls::api(config(authority.sign(&params(&["127.0.0.1"], |_| {}))))
}

#[test]
fn every_certificate_of_the_systems_bundle_is_trusted_and_no_other() {
    let authorities = ["First", "Second", "Third"].map(Authority::named);
    let bundle = authorities.each_ref().map(Authority::pem).concat();
    let etc = etc(&[("ca-certificates.crt", &bundle)]);
    for authority in &authorities {
        let Some(mut command) = ask_with(etc.path(), &api_by(authority)) else {
            return;
        };
        expect_balance(&mut command);
    }
    let Some(mut command) = ask_with(etc.path(), &api_by(&Authority::named("Fourth"))) else {
        return;
    };
    expect_json_error(&mut command, 7, "tls");
}

#[test]
fn a_variable_replaces_the_systems_certificates() {
    let (system, own) = (
        Authority::named("The system's"),
        Authority::named("A company's"),
    );
    let etc = etc(&[
        ("ca-certificates.crt", &system.pem()),
        ("system.pem", &system.pem()),
    ]);
    let (file, directory) = (own.file(), TempDir::new().unwrap());
    fs::write(directory.path().join("own.pem"), own.pem()).unwrap();
    for (variable, path) in [
        ("SSL_CERT_FILE", file.path()),
        ("SSL_CERT_DIR", directory.path()),
    ] {
        let Some(mut command) = ask_with(etc.path(), &api_by(&own)) else {
            return;
        };
        expect_balance(command.env(variable, path));
        let server = api_by(&system);
        let Some(mut command) = ask_with(etc.path(), &server) else {
            return;
        };
        expect_json_error(command.env(variable, path), 7, "tls");
        server.expect_no_request();
        let Some(mut command) = ask_with(etc.path(), &api_by(&system)) else {
            return;
        };
        expect_balance(command.env(variable, " "));
    }
}

#[test]
fn without_a_usable_bundle_every_file_of_the_systems_directory_is_read() {
    let (first, second) = (Authority::named("First"), Authority::named("Second"));
    let (first_pem, second_pem) = (first.pem(), second.pem());
    let files = [
        ("first.pem", first_pem.as_str()),
        ("second.crt", &second_pem),
        ("notes.txt", "x"),
    ];
    let empty_bundle = ("ca-certificates.crt", "");
    for etc in [etc(&files), etc(&[&files[..], &[empty_bundle]].concat())] {
        for authority in [&first, &second] {
            let Some(mut command) = ask_with(etc.path(), &api_by(authority)) else {
                return;
            };
            expect_balance(&mut command);
        }
    }
}

#[test]
fn a_system_without_certificates_is_an_error_before_any_connection() {
    for etc in [
        TempDir::new().unwrap(),
        etc(&[]),
        etc(&[("ca-certificates.crt", "none"), ("a.pem", "none")]),
    ] {
        let server = Server::silent();
        let message = "this system has no certificates to trust";
        let hint = "install them (package ca-certificates), or name a file in SSL_CERT_FILE";
        let Some(mut command) = ask_with(etc.path(), &server) else {
            return;
        };
        let error = expect_error(&mut command, 7, "tls", message, Some(hint));
        assert_eq!(error["retryable"], false);
        server.expect_no_connection();
    }
}

#[test]
fn an_authority_that_is_only_in_the_systems_directory_is_trusted() {
    let (system, company) = (
        Authority::named("The system's"),
        Authority::named("A company's"),
    );
    let etc = etc(&[
        ("ca-certificates.crt", &system.pem()),
        ("corp.pem", &company.pem()),
    ]);
    let server = api_by(&company);
    let Some(mut command) = ask_with(etc.path(), &server) else {
        return;
    };
    expect_balance(&mut command);
    server.expect_one_request();
    let server = api_by(&Authority::named("Nobody's"));
    let Some(mut command) = ask_with(etc.path(), &server) else {
        return;
    };
    let error = expect_json_error(&mut command, 7, "tls");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("unknown issuer"),
        "{error}"
    );
    server.expect_no_request();
}

/// Nobody can read the start of /proc/self/mem, so this needs no other user.
#[test]
fn a_bundle_of_the_system_that_cannot_be_read_is_named_with_the_reason() {
    let etc = etc(&[]);
    let certificates = etc.path().join("ssl/certs");
    let bundle = certificates.join("ca-certificates.crt");
    std::os::unix::fs::symlink("/proc/self/mem", bundle).unwrap();
    let message = "could not read /etc/ssl/certs/ca-certificates.crt: input/output error";
    let server = Server::silent();
    let Some(mut command) = ask_with(etc.path(), &server) else {
        return;
    };
    let error = expect_error(&mut command, 7, "tls", message, None);
    assert_eq!(error["retryable"], false);
    server.expect_no_connection();

    // With certificates beside it, only --verbose tells.
    let authority = Authority::new();
    fs::write(certificates.join("a.pem"), authority.pem()).unwrap();
    let Some(mut command) = ask_with(etc.path(), &api_by(&authority)) else {
        return;
    };
    let stderr = expect_balance(command.arg("-v"));
    assert!(stderr.contains(&format!("* {message}\n")), "{stderr}");
}

/// A named pipe can't be opened for reading before somebody writes, so a store that is one never comes.
#[test]
fn the_step_of_a_slow_store_is_named() {
    let etc = etc(&[]);
    let bundle = etc.path().join("ssl/certs/ca-certificates.crt");
    let made = std::process::Command::new("mkfifo")
        .arg(&bundle)
        .status()
        .unwrap();
    assert!(made.success());
    let server = Server::silent();
    let Some(mut command) = ask_with(etc.path(), &server) else {
        return;
    };
    let message = "could not read the system's certificates within 1 second";
    expect_error(
        command.args(["--timeout", "1"]),
        7,
        "timeout",
        message,
        None,
    );
}

/// The program as a user without rights, who can't read what others keep for themselves.
fn without_rights(command: &Command) -> Command {
    let mut unprivileged = within("setpriv", command);
    unprivileged.args(["--reuid=65534", "--clear-groups", "--"]);
    unprivileged
        .arg(command.get_program())
        .args(command.get_args());
    unprivileged
}

#[test]
fn a_store_that_cannot_be_read_is_named_with_the_reason() {
    use std::os::unix::fs::PermissionsExt;
    let is_root = fs::metadata("/proc/self").unwrap();
    if !is_available("root", std::os::unix::fs::MetadataExt::uid(&is_root) == 0) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let bundle = folder.path().join("bundle.pem");
    fs::write(&bundle, Authority::new().pem()).unwrap();
    let everybody = fs::Permissions::from_mode(0o755);
    fs::set_permissions(folder.path(), everybody).unwrap();
    fs::set_permissions(&bundle, fs::Permissions::from_mode(0o600)).unwrap();
    // The program itself is where others can't go.
    let program = folder.path().join("clado-credits");
    // Not with `fs::copy`: a program that another test starts at that moment would inherit the open file, and a file
    // that is open for writing can't be run.
    let mut copy = std::process::Command::new("cp");
    copy.arg(assert_cmd::cargo::cargo_bin!("clado-credits"))
        .arg(&program);
    assert!(copy.status().unwrap().success());
    for (variable, path) in [
        ("SSL_CERT_FILE", bundle.as_path()),
        ("SSL_CERT_DIR", folder.path()),
    ] {
        let mut command = Command::new(&program);
        command.env_clear().env("CLADO_API_KEY", crate::common::KEY);
        command
            .env("CLADO_API_URL", "https://localhost")
            .env(variable, path);
        if variable == "SSL_CERT_DIR" {
            fs::set_permissions(&program, fs::Permissions::from_mode(0o711)).unwrap();
        }
        let error = expect_json_error(&mut without_rights(&command), 2, "usage");
        let message = error["message"].as_str().unwrap();
        let start = format!(
            "could not read {} (from {variable}): permission denied",
            bundle.display()
        );
        assert!(message.starts_with(&start), "{message}");
    }
}
