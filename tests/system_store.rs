//! Which certificates are trusted where no variable names any: the system's, all of them.
//!
//! On Linux only, where they are files under /etc and `unshare` can give the program an /etc of its own.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;

use assert_cmd::Command;
use tempfile::TempDir;

use crate::common::server::Server;
use crate::common::tls::{self, Authority, config, params};
use crate::common::{ask, expect_balance, expect_error, expect_json_error, is_available, within};

/// Puts the directory `$0` in the place of /etc, and runs the rest.
const REPLACE_ETC: [&str; 5] = ["-r", "-m", "sh", "-c", r#"mount --bind "$0" /etc && exec "$@""#];

/// Whether this user may do that.
fn can_replace_etc() -> bool {
    let run = std::process::Command::new("unshare").args(REPLACE_ETC).args(["/tmp", "true"]).output();
    is_available("unshare with a mount namespace", run.is_ok_and(|run| run.status.success()))
}

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

/// The program, asking `server` with this /etc.
fn ask_with(etc: &Path, server: &Server) -> Command {
    let program = ask(&format!("https://{}", server.address));
    let mut command = within("unshare", &program);
    command.args(REPLACE_ETC).arg(etc).arg(program.get_program());
    command
}

/// An API whose certificate is by `authority`.
fn api_by(authority: &Authority) -> Server {
    tls::api(config(authority.sign(&params(&["127.0.0.1"], |_| {}))))
}

#[test]
fn every_certificate_of_the_systems_bundle_is_trusted_and_no_other() {
    if !can_replace_etc() {
        return;
    }
    let authorities = ["First", "Second", "Third"].map(Authority::named);
    let bundle = authorities.each_ref().map(Authority::pem).concat();
    let etc = etc(&[("ca-certificates.crt", &bundle)]);
    for authority in &authorities {
        expect_balance(&mut ask_with(etc.path(), &api_by(authority)));
    }
    expect_json_error(&mut ask_with(etc.path(), &api_by(&Authority::named("Fourth"))), 7, "tls");
}

#[test]
fn a_variable_replaces_the_systems_certificates() {
    if !can_replace_etc() {
        return;
    }
    let (system, own) = (Authority::named("The system's"), Authority::named("A company's"));
    let etc = etc(&[("ca-certificates.crt", &system.pem()), ("system.pem", &system.pem())]);
    let (file, directory) = (own.file(), TempDir::new().unwrap());
    fs::write(directory.path().join("own.pem"), own.pem()).unwrap();
    for (variable, path) in [("SSL_CERT_FILE", file.path()), ("SSL_CERT_DIR", directory.path())] {
        expect_balance(ask_with(etc.path(), &api_by(&own)).env(variable, path));
        let server = api_by(&system);
        expect_json_error(ask_with(etc.path(), &server).env(variable, path), 7, "tls");
        server.expect_no_request();
        expect_balance(ask_with(etc.path(), &api_by(&system)).env(variable, " "));
    }
}

#[test]
fn without_a_usable_bundle_every_file_of_the_systems_directory_is_read() {
    if !can_replace_etc() {
        return;
    }
    let (first, second) = (Authority::named("First"), Authority::named("Second"));
    let (first_pem, second_pem) = (first.pem(), second.pem());
    let files = [("first.pem", first_pem.as_str()), ("second.crt", &second_pem), ("notes.txt", "x")];
    let empty_bundle = ("ca-certificates.crt", "");
    for etc in [etc(&files), etc(&[&files[..], &[empty_bundle]].concat())] {
        for authority in [&first, &second] {
            expect_balance(&mut ask_with(etc.path(), &api_by(authority)));
        }
    }
}

#[test]
fn a_system_without_certificates_is_an_error_before_any_connection() {
    if !can_replace_etc() {
        return;
    }
    for etc in [TempDir::new().unwrap(), etc(&[]), etc(&[("ca-certificates.crt", "none"), ("a.pem", "none")])]
    {
        let server = Server::silent();
        let message = "this system has no certificates to trust";
        let hint = "install them (package ca-certificates), or name a file in SSL_CERT_FILE";
        let error = expect_error(&mut ask_with(etc.path(), &server), 7, "tls", message, Some(hint));
        assert_eq!(error["retryable"], false);
        assert!(server.finish().is_empty(), "there was a connection");
    }
}
