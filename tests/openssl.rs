//! Servers with OpenSSL, which does some things that rustls does not: other keys, other alerts.
//!
//! On Linux only: elsewhere `openssl` is often LibreSSL, which has other options.

#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};

use tempfile::TempDir;

use crate::common::{ask, expect_error, expect_json_error, has_program};

/// A certificate for `localhost` that is its own issuer, and its key.
struct Identity {
    folder: TempDir,
}

impl Identity {
    /// `key` says what kind of key it has, in the words of `openssl genpkey`.
    fn new(key: &[&str]) -> Identity {
        let folder = TempDir::new().unwrap();
        let identity = Identity { folder };
        openssl(
            Command::new("openssl")
                .arg("genpkey")
                .args(key)
                .arg("-out")
                .arg(identity.key()),
        );
        openssl(
            Command::new("openssl")
                .args(["req", "-x509", "-days", "2", "-subj", "/CN=localhost"])
                .args(["-addext", "basicConstraints=critical,CA:FALSE"])
                .args(["-addext", "subjectAltName=DNS:localhost"])
                .arg("-key")
                .arg(identity.key())
                .arg("-out")
                .arg(identity.certificate()),
        );
        identity
    }

    fn key(&self) -> PathBuf {
        self.folder.path().join("key.pem")
    }

    fn certificate(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }
}

#[track_caller]
fn openssl(command: &mut Command) {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
}

/// OpenSSL's test server. It ends with the test.
struct Server {
    process: Child,
    port: String,
    /// Kept open, as the server would end when it can't write.
    _stdout: BufReader<ChildStdout>,
}

impl Server {
    fn new(identity: &Identity, options: &[&str]) -> Server {
        let mut process = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-www"])
            .arg("-cert")
            .arg(identity.certificate())
            .arg("-key")
            .arg(identity.key())
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut stdout = BufReader::new(process.stdout.take().unwrap());
        let mut line = String::new();
        while !line.starts_with("ACCEPT ") {
            line.clear();
            let length = stdout.read_line(&mut line).unwrap();
            assert!(length > 0, "the server did not start");
        }
        let (_, port) = line.trim_end().rsplit_once(':').unwrap();
        let port = port.to_owned();
        Server {
            process,
            port,
            _stdout: stdout,
        }
    }

    /// How messages name it.
    fn name(&self) -> String {
        format!("localhost:{}", self.port)
    }

    /// The program, asking this server and trusting `certificate`.
    fn ask(&self, certificate: &Path) -> assert_cmd::Command {
        let mut command = ask(&format!("https://{}", self.name()));
        command.env("SSL_CERT_FILE", certificate);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

const RSA: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];

#[test]
fn a_client_certificate_that_is_required_is_recognised_by_what_was_asked_for() {
    if !has_program("openssl") {
        return;
    }
    let identity = Identity::new(RSA);
    // With the first, OpenSSL sends a handshake_failure, with the second a certificate_required.
    for version in ["-tls1_2", "-tls1_3"] {
        let server = Server::new(&identity, &[version, "-Verify", "1"]);
        let message = format!(
            "{} requires a client certificate, which is not supported",
            server.name()
        );
        let mut command = server.ask(&identity.certificate());
        let error = expect_error(&mut command, 7, "tls", &message, None);
        assert_eq!(error["retryable"], false);
    }
}

#[test]
fn a_client_certificate_that_is_only_asked_for_does_no_harm() {
    if !has_program("openssl") {
        return;
    }
    let identity = Identity::new(RSA);
    for version in ["-tls1_2", "-tls1_3"] {
        let server = Server::new(&identity, &[version, "-verify", "1"]);
        // The reply is a page about the connection.
        let error = expect_json_error(
            &mut server.ask(&identity.certificate()),
            8,
            "unexpected_reply",
        );
        assert_eq!(error["status"], 200);
    }
}

#[test]
fn a_server_with_a_key_that_is_not_supported_gets_a_hint_with_those_that_are() {
    if !has_program("openssl") {
        return;
    }
    for key in [
        &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"][..],
        &["-algorithm", "ED448"],
        &["-algorithm", "RSA-PSS", "-pkeyopt", "rsa_keygen_bits:2048"],
    ] {
        let identity = Identity::new(key);
        for version in ["-tls1_2", "-tls1_3"] {
            let server = Server::new(&identity, &[version]);
            let message = format!(
                "{} has no TLS version, key exchange or cipher in common with this program",
                server.name()
            );
            let mut command = server.ask(&identity.certificate());
            let error = expect_json_error(&mut command, 7, "tls");
            assert_eq!(error["message"], message);
            let hint = error["hint"].as_str().unwrap();
            let kinds = "a key of RSA, P-256, P-384 or Ed25519";
            assert!(hint.ends_with(kinds), "{hint}");
        }
    }
}
