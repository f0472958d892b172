//! Which certificates are trusted: what SSL_CERT_FILE and SSL_CERT_DIR name, before any connection is made.

use std::fs;
use std::net::TcpStream;
use std::path::Path;

use tempfile::TempDir;

use crate::common::asking;
use crate::common::net::{expect_balance, expect_failure, listen, one};
use crate::common::tls::{Authority, Server, config, file};

/// A directory of these files. The names are not the hashes that OpenSSL looks for.
fn directory(files: &[(&str, String)]) -> TempDir {
    let directory = TempDir::new().unwrap();
    for (name, content) in files {
        fs::write(directory.path().join(name), content).unwrap();
    }
    directory
}

#[cfg(unix)] // The system's words.
#[test]
fn a_named_store_that_is_no_store_is_an_error_before_any_connection() {
    let authority = Authority::new();
    let empty = directory(&[]);
    let of_no_use = directory(&[("readme.txt", "no certificate".to_owned())]);
    let missing = empty.path().join("missing.pem");
    let (nothing, der, garbage) = (file(""), file(authority.der()), file([0xff, 0, 0xfe].repeat(100)));
    let damaged = file(authority.pem().replace("MII", "M!I"));
    let no_pem = "holds no PEM certificate";
    let not_found = "can't be read: no such file or directory";
    for (variable, path, problem) in [
        ("SSL_CERT_FILE", missing.as_path(), not_found),
        ("SSL_CERT_FILE", empty.path(), "can't be read: is a directory"),
        ("SSL_CERT_FILE", nothing.path(), no_pem),
        ("SSL_CERT_FILE", der.path(), no_pem),
        ("SSL_CERT_FILE", garbage.path(), no_pem),
        ("SSL_CERT_FILE", damaged.path(), no_pem),
        ("SSL_CERT_DIR", missing.as_path(), not_found),
        ("SSL_CERT_DIR", nothing.path(), "can't be read: not a directory"),
        ("SSL_CERT_DIR", empty.path(), no_pem),
        ("SSL_CERT_DIR", of_no_use.path(), no_pem),
    ] {
        let (address, connections) = listen(|stream| stream.peer_addr().unwrap());
        let mut command = asking(&format!("https://{address}"));
        command.env(variable, path);
        let error = format!("{variable} names {}, which {problem}", path.display());
        expect_failure(&mut command, 7, "tls", &error, None);
        // The first connection is the test's own.
        let own = TcpStream::connect(address).unwrap();
        assert_eq!(one(&connections), own.local_addr().unwrap(), "{error}");
    }
}

#[test]
fn an_empty_variable_is_as_good_as_none() {
    let authority = Authority::new();
    let server = Server::new(config(authority.good()));
    let directory = directory(&[("any", authority.pem())]);
    let trusted = authority.file();
    let none = Path::new("");
    for (file, directory) in [(none, directory.path()), (trusted.path(), none)] {
        let mut command = asking(&server.url());
        expect_balance(command.env("SSL_CERT_FILE", file).env("SSL_CERT_DIR", directory));
    }
}

#[test]
fn an_empty_variable_leaves_the_systems_store_in_place() {
    let server = Server::new(config(Authority::new().good()));
    let said = |empty: &[&str]| {
        let mut command = asking(&server.url());
        command.envs(empty.iter().map(|name| (name, "")));
        let output = command.output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    let without = said(&[]);
    assert_eq!(without.0, Some(7));
    assert_eq!(said(&["SSL_CERT_FILE", "SSL_CERT_DIR"]), without);
}

#[test]
fn a_plain_address_needs_no_store() {
    let api = crate::common::api(200, crate::common::BALANCE);
    expect_balance(asking(&api.url()).env("SSL_CERT_FILE", "/nonexistent"));
}

#[test]
fn directories_are_searched_whatever_their_files_are_called() {
    let authority = Authority::new();
    let server = Server::new(config(authority.good()));
    let other =
        directory(&[("a.pem", Authority::named("Another company").pem()), ("notes.txt", "x".to_owned())]);
    let right = directory(&[("whatever", authority.pem())]);
    let missing = Path::new("/nonexistent");
    for list in [
        vec![right.path()],
        vec![other.path(), right.path()],
        vec![right.path(), Path::new("")],
        vec![missing, right.path()],
    ] {
        let mut command = asking(&server.url());
        expect_balance(command.env("SSL_CERT_DIR", std::env::join_paths(list).unwrap()));
    }
}

#[test]
fn an_issuer_that_the_file_does_not_hold_is_looked_for_in_the_directory() {
    let authority = Authority::new();
    let server = Server::new(config(authority.good()));
    let directory = directory(&[("any", authority.pem())]);
    // The second has the right name and the wrong key.
    for other in [Authority::named("Another company"), Authority::new()] {
        let trusted = other.file();
        expect_balance(server.asked_trusting(&trusted).env("SSL_CERT_DIR", directory.path()));
    }
}

#[test]
fn the_named_file_replaces_the_systems_store() {
    let authority = Authority::new();
    let server = Server::new(config(Authority::named("Another company").good()));
    let output = server.asked_trusting(&authority.file()).output().unwrap();
    assert_eq!(output.status.code(), Some(7));
}

#[test]
fn a_bundle_is_read_around_damage_comments_and_line_ends() {
    let authority = Authority::new();
    let server = Server::new(config(authority.good()));
    let good = authority.pem();
    let other = Authority::named("Another company").pem();
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let no_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let no_base64 = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
    for bundle in [
        format!("# A comment\n\nSubject: some words = more\n{good}"),
        format!("{other}{good}").replace('\n', "\r\n"),
        format!("{no_certificate}{good}"),
        format!("{no_base64}{good}"),
        format!("{key}{good}"),
        format!("{good}-----BEGIN CERTIFICATE-----\nMIIB"),
    ] {
        expect_balance(&mut server.asked_trusting(&file(bundle)));
    }
}
