//! Which certificates SSL_CERT_FILE and SSL_CERT_DIR make trusted. They are read before any connection is made.
//!
//! That they replace the system's is tested in `system_store.rs`.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::common::messages;
use crate::common::server::Server;
use crate::common::tls::{self, Authority, ask_trusting, config, file, name};
use crate::common::{BALANCE, KEY, api, ask, expect_balance, expect_json_error, run};

/// A directory of these files. OpenSSL would look for names that are hashes.
fn directory(files: &[(&str, &str)]) -> TempDir {
    let directory = TempDir::new().unwrap();
    for (name, content) in files {
        fs::write(directory.path().join(name), content).unwrap();
    }
    directory
}

/// The path of a file that is not there.
fn missing() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("no such file")
}

#[test]
fn a_variable_without_a_certificate_is_an_error_before_any_connection() {
    let authority = Authority::new();
    let empty_directory = directory(&[]);
    let no_certificate = directory(&[("readme.txt", "not a certificate")]);
    let mismatched = authority
        .pem()
        .replace("BEGIN CERTIFICATE", "BEGIN X509 CERTIFICATE");
    let damaged = authority.pem().replace("MII", "M!I");
    let files = [
        file(""),
        file(authority.der()),
        file([0xff, 0, 0xfe].repeat(100)),
        file(damaged),
        file(mismatched),
    ];
    let files = files.iter().map(|file| ("SSL_CERT_FILE", file.path()));
    let directories = [
        ("SSL_CERT_DIR", empty_directory.path()),
        ("SSL_CERT_DIR", no_certificate.path()),
    ];
    for (variable, path) in files.chain(directories) {
        let server = Server::silent();
        let mut command = ask(&format!("https://{}", server.address));
        let message = format!(
            "could not use {} (from {variable}): there is no PEM certificate in it",
            path.display()
        );
        let error = expect_json_error(command.env(variable, path), 2, "usage");
        assert_eq!(error["message"], message);
        assert_eq!(error["retryable"], false);
        server.expect_no_connection();
    }
}

#[test]
fn a_variable_whose_path_cannot_be_read_is_an_error_before_any_connection() {
    let (empty_directory, empty_file, missing) = (directory(&[]), file(""), missing());
    for (variable, path) in [
        ("SSL_CERT_FILE", missing.as_path()),
        ("SSL_CERT_FILE", empty_directory.path()),
        ("SSL_CERT_DIR", &missing),
        ("SSL_CERT_DIR", empty_file.path()),
    ] {
        let server = Server::silent();
        let mut command = ask(&format!("https://{}", server.address));
        let error = expect_json_error(command.env(variable, path), 2, "usage");
        // The rest is the system's description.
        let start = messages::could_not_read(path.display(), variable);
        assert!(
            error["message"].as_str().unwrap().starts_with(&start),
            "{error}"
        );
        server.expect_no_connection();
    }
}

#[test]
fn a_path_is_shown_without_control_characters_and_without_the_key() {
    for variable in ["SSL_CERT_FILE", "SSL_CERT_DIR"] {
        for (path, shown) in [
            (
                "no\u{1b}[31m\n\u{9b}\u{202e}\u{200b}",
                r"no\u{1b}[31m\n\u{9b}\u{202e}\u{200b}",
            ),
            (KEY, "(redacted)"),
        ] {
            let run = run(ask("https://localhost").env(variable, path));
            let start = format!("error: {}", messages::could_not_read(shown, variable));
            assert!(run.stderr.starts_with(&start), "{}", run.stderr);
            assert_eq!((run.code, run.stderr.lines().count()), (Some(2), 1));
        }
    }
}

#[test]
fn a_blank_variable_counts_as_unset() {
    let authority = Authority::new();
    let server = tls::api(config(authority.good()));
    let directory = directory(&[("any", &authority.pem())]);
    let url = format!("https://{}", name(&server));
    for blank in ["", " ", "\t"] {
        expect_balance(ask_trusting(&server, &authority.file()).env("SSL_CERT_DIR", blank));
        expect_balance(
            ask(&url)
                .env("SSL_CERT_FILE", blank)
                .env("SSL_CERT_DIR", directory.path()),
        );
        let with_both_blank = run(ask(&url)
            .env("SSL_CERT_FILE", blank)
            .env("SSL_CERT_DIR", blank));
        assert_eq!(with_both_blank, run(&mut ask(&url)));
    }
}

#[test]
fn plain_http_needs_no_certificates() {
    let api = api(200, BALANCE);
    expect_balance(
        ask(&api.url())
            .env("SSL_CERT_FILE", missing())
            .env("SSL_CERT_DIR", missing()),
    );
}

#[test]
fn several_directories_are_read_and_one_of_them_may_be_missing() {
    let authority = Authority::new();
    let server = tls::api(config(authority.good()));
    let other = Authority::named("Another company").pem();
    let other = directory(&[("a.pem", &other), ("notes.txt", "x")]);
    let right = directory(&[("any name", &authority.pem())]);
    let (other, right, missing, empty) = (other.path(), right.path(), missing(), Path::new(""));
    for list in [
        vec![right],
        vec![other, right],
        vec![right, other],
        vec![&missing, right],
        vec![right, &missing],
        vec![empty, right, empty],
    ] {
        let list = std::env::join_paths(list).unwrap();
        expect_balance(ask(&format!("https://{}", name(&server))).env("SSL_CERT_DIR", list));
    }
}

#[test]
fn the_file_and_the_directory_add_up() {
    let authority = Authority::new();
    let server = tls::api(config(authority.good()));
    // The second has the right name and the wrong key: an authority before it was renewed.
    for other in [Authority::named("Another company"), Authority::new()] {
        for (in_file, in_directory) in [(&authority, &other), (&other, &authority)] {
            let directory = directory(&[("any", &in_directory.pem())]);
            expect_balance(
                ask_trusting(&server, &in_file.file()).env("SSL_CERT_DIR", directory.path()),
            );
        }
    }
}

#[test]
fn a_missing_directory_does_no_harm_beside_a_good_file() {
    let authority = Authority::new();
    let server = tls::api(config(authority.good()));
    expect_balance(ask_trusting(&server, &authority.file()).env("SSL_CERT_DIR", missing()));
}

#[test]
fn a_missing_file_is_an_error_even_beside_a_good_directory() {
    let directory = directory(&[("any", &Authority::new().pem())]);
    let mut command = ask("https://localhost");
    command
        .env("SSL_CERT_FILE", missing())
        .env("SSL_CERT_DIR", directory.path());
    let error = expect_json_error(&mut command, 2, "usage");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .contains("(from SSL_CERT_FILE)"),
        "{error}"
    );
}

#[test]
fn a_bundle_may_hold_text_other_blocks_and_damage() {
    let authority = Authority::new();
    let server = tls::api(config(authority.good()));
    let good = authority.pem();
    let other = Authority::named("Another company").pem();
    let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
    let not_a_certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let not_base64 = "-----BEGIN CERTIFICATE-----\n!!!!\n-----END CERTIFICATE-----\n";
    for bundle in [
        format!("# A comment\n\nSubject: some words = more\n{good}"),
        format!("{other}\nAnother comment\n{good}"),
        format!("{other}{good}").replace('\n', "\r\n"),
        format!("\u{feff}{good}"),
        good.replace("CERTIFICATE", "X509 CERTIFICATE"),
        format!("{not_a_certificate}{good}"),
        format!("{not_base64}{good}"),
        format!("{key}{good}"),
        format!("{good}-----BEGIN CERTIFICATE-----\nMIIB"),
    ] {
        expect_balance(&mut ask_trusting(&server, &file(bundle)));
    }
}

#[cfg(target_os = "linux")] // Elsewhere `ulimit -v` may not be known.
#[test]
fn a_huge_file_is_refused_and_not_read() {
    let authority = Authority::new();
    let directory = directory(&[("huge", &authority.pem())]);
    let huge = directory.path().join("huge");
    // 2 GiB, of which only the start takes room on the disk. The program gets half of it as memory.
    let file = fs::File::options().write(true).open(&huge).unwrap();
    file.set_len(2 << 30).unwrap();
    for (variable, path) in [
        ("SSL_CERT_FILE", huge.as_path()),
        ("SSL_CERT_DIR", directory.path()),
    ] {
        let program = ask("https://localhost");
        let mut limited = crate::common::within("sh", &program);
        limited.args(["-c", r#"ulimit -v 1000000 && exec "$0" "$@""#]);
        limited.arg(program.get_program()).env(variable, path);
        let message = format!(
            "could not use {} (from {variable}): it is larger than 10 MiB",
            huge.display()
        );
        crate::common::expect_error(&mut limited, 2, "usage", &message, None);
    }
}

#[cfg(unix)]
#[test]
fn a_named_pipe_in_a_directory_is_not_waited_for() {
    if !crate::common::has_program("mkfifo") {
        return;
    }
    let authority = Authority::new();
    let server = tls::api(config(authority.good()));
    let directory = directory(&[("any", &authority.pem())]);
    let made = std::process::Command::new("mkfifo")
        .arg(directory.path().join("pipe"))
        .status()
        .unwrap();
    assert!(made.success());
    expect_balance(
        ask(&format!("https://{}", name(&server))).env("SSL_CERT_DIR", directory.path()),
    );
}

#[test]
fn a_mistaken_kind_of_file_gets_a_hint() {
    let authority = Authority::new();
    let (der, pem) = (file(authority.der()), authority.file());
    let folder = directory(&[("a.pem", &authority.pem())]);
    for (variable, path, hint) in [
        ("SSL_CERT_FILE", der.path(), "openssl x509 -inform DER"),
        ("SSL_CERT_FILE", folder.path(), "SSL_CERT_DIR"),
        ("SSL_CERT_DIR", pem.path(), "SSL_CERT_FILE"),
    ] {
        let mut command = ask("https://localhost");
        let error = expect_json_error(command.env(variable, path), 2, "usage");
        assert!(error["hint"].as_str().unwrap().contains(hint), "{error}");
    }
}

#[test]
fn the_directories_are_asked_where_the_file_does_not_know_the_issuer() {
    let authority = Authority::new();
    let server = tls::api(config(authority.good()));
    let folder = directory(&[("corp.pem", &authority.pem())]);
    let other = Authority::named("Another company").file();
    let stderr = expect_balance(
        ask_trusting(&server, &other)
            .env("SSL_CERT_DIR", folder.path())
            .arg("-v"),
    );
    assert_eq!(
        stderr.matches("* certificates: 1 in ").count(),
        2,
        "{stderr}"
    );
    // The first connection came to nothing but a handshake.
    server.expect_one_request();
}

#[test]
fn the_directories_are_not_read_where_the_file_knows_the_issuer() {
    let authority = Authority::new();
    let server = tls::api(config(authority.good()));
    let folder = directory(&[("corp.pem", &authority.pem())]);
    let trusted = authority.file();
    let mut command = ask_trusting(&server, &trusted);
    let stderr = expect_balance(command.env("SSL_CERT_DIR", folder.path()).arg("-v"));
    assert_eq!(stderr.matches("* certificates: ").count(), 1, "{stderr}");
}

#[cfg(unix)]
#[test]
fn a_file_with_several_names_in_a_directory_is_read_once() {
    let authority = Authority::new();
    let server = tls::api(config(authority.good()));
    let folder = directory(&[("corp.pem", &authority.pem())]);
    // As `openssl rehash` makes them.
    for link in ["1a2b3c4d.0", "corp.crt"] {
        std::os::unix::fs::symlink("corp.pem", folder.path().join(link)).unwrap();
    }
    let mut command = ask(&format!("https://{}", name(&server)));
    let stderr = expect_balance(command.env("SSL_CERT_DIR", folder.path()).arg("-v"));
    assert!(stderr.contains("* certificates: 1 in "), "{stderr}");
}

#[test]
fn a_bundle_in_one_of_the_directories_is_read_once() {
    let known = Authority::new();
    let folder = directory(&[("bundle.pem", &known.pem()), ("one.pem", &known.pem())]);
    let bundle = folder.path().join("bundle.pem");
    let server = tls::api(config(Authority::named("Another company").good()));
    let mut command = ask(&format!("https://{}", name(&server)));
    command
        .env("SSL_CERT_FILE", &bundle)
        .env("SSL_CERT_DIR", folder.path());
    let run = run(command.arg("-v"));
    for line in [
        format!("* certificates: 1 in {} (", bundle.display()),
        format!("* certificates: 1 in {} (", folder.path().display()),
        format!("* certificates that are not in {}: 0\n", bundle.display()),
    ] {
        assert!(run.stderr.contains(&line), "{}", run.stderr);
    }
    // No certificate was added, so a second connection would come to the same.
    let connections = run.stderr.matches("* connected to ").count();
    assert_eq!(connections, 1, "{}", run.stderr);
    server.expect_no_request();
}

#[cfg(unix)]
#[test]
fn a_directory_with_several_names_is_read_once() {
    let authority = Authority::new();
    let server = tls::api(config(authority.good()));
    let folder = directory(&[("corp.pem", &authority.pem())]);
    let links = directory(&[]);
    let link = links.path().join("certs");
    std::os::unix::fs::symlink(folder.path(), &link).unwrap();
    let list = std::env::join_paths([folder.path(), folder.path(), &link]).unwrap();
    let mut command = ask(&format!("https://{}", name(&server)));
    let stderr = expect_balance(command.env("SSL_CERT_DIR", list).arg("-v"));
    assert_eq!(stderr.matches("* certificates: ").count(), 1, "{stderr}");
}

#[cfg(target_os = "linux")] // For /proc.
#[test]
fn a_file_in_a_directory_that_cannot_be_read_does_not_end_the_rest() {
    let authority = Authority::new();
    let server = tls::api(config(authority.good()));
    let folder = directory(&[("k.pem", &authority.pem())]);
    // It can be opened, and nobody can read its start. One of the two comes before the good file in any order.
    for link in ["a.pem", "z.pem"] {
        std::os::unix::fs::symlink("/proc/self/mem", folder.path().join(link)).unwrap();
    }
    let url = format!("https://{}", name(&server));
    expect_balance(ask(&url).env("SSL_CERT_DIR", folder.path()));
    // Without a good file, the other is named.
    fs::remove_file(folder.path().join("k.pem")).unwrap();
    let error = expect_json_error(ask(&url).env("SSL_CERT_DIR", folder.path()), 2, "usage");
    let message = error["message"].as_str().unwrap();
    let end = ".pem (from SSL_CERT_DIR): input/output error";
    assert!(message.ends_with(end), "{message}");
}

#[test]
fn a_directory_that_cannot_be_used_is_told_with_verbose() {
    let authority = Authority::new();
    let server = tls::api(config(authority.good()));
    let (folder, missing) = (directory(&[("corp.pem", &authority.pem())]), missing());
    let list = std::env::join_paths([&missing, folder.path()]).unwrap();
    let other = Authority::named("Another company").file();
    let note = format!(
        "* could not read {} (from SSL_CERT_DIR): ",
        missing.display()
    );
    let url = format!("https://{}", name(&server));
    for file in [None, Some(other.path())] {
        let mut command = ask(&url);
        command.env("SSL_CERT_DIR", &list);
        if let Some(file) = file {
            command.env("SSL_CERT_FILE", file);
        }
        let stderr = expect_balance(command.arg("-v"));
        assert!(stderr.contains(&note), "{stderr}");
    }
}

#[cfg(unix)]
#[test]
fn the_step_of_a_slow_file_is_named() {
    if !crate::common::has_program("mkfifo") {
        return;
    }
    let folder = directory(&[]);
    let pipe = folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    assert!(made.unwrap().success());
    let mut command = ask("https://localhost");
    command.env("SSL_CERT_FILE", &pipe).args(["--timeout", "1"]);
    let message = format!(
        "could not read the certificates in {} (from SSL_CERT_FILE) within 1 second",
        pipe.display()
    );
    crate::common::expect_error(&mut command, 7, "timeout", &message, None);
}

#[cfg(unix)]
#[test]
fn a_link_in_a_directory_is_followed() {
    let authority = Authority::new();
    let server = tls::api(config(authority.good()));
    let trusted = authority.file();
    let folder = directory(&[]);
    std::os::unix::fs::symlink(trusted.path(), folder.path().join("link.pem")).unwrap();
    std::os::unix::fs::symlink("nowhere", folder.path().join("dangling.pem")).unwrap();
    let mut command = ask(&format!("https://{}", name(&server)));
    expect_balance(command.env("SSL_CERT_DIR", folder.path()));
}

#[test]
fn no_key_log_is_written() {
    let authority = Authority::new();
    let server = tls::api(config(authority.good()));
    let folder = directory(&[]);
    let log = folder.path().join("keys.log");
    let trusted = authority.file();
    let mut command = ask_trusting(&server, &trusted);
    expect_balance(command.env("SSLKEYLOGFILE", &log));
    assert!(!log.exists());
}
