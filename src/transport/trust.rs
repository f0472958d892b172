//! Which certificates are trusted: the operating system's store, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
//!
//! This file finds and loads them; rustls's standard verifier does the rest (on Windows and Apple systems the system's
//! own, through rustls-platform-verifier).

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::PAD;
use rustls::client::WantsClientCert;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

use crate::config::{PathKind, TrustedPath};
use crate::deadline::Check;
use crate::error::{Error, Kind, Result};
use crate::text::{Shown, shown};

/// The most that is read of a file; a system's bundle has a fiftieth of it.
const MAX_FILE: u64 = 10 << 20;

/// How much of a file is read at once. In a bundle, that is some twenty certificates.
const READ_BUFFER: usize = 32 << 10;

type WithoutRoots = ConfigBuilder<ClientConfig, WantsVerifier>;
type WithRoots = ConfigBuilder<ClientConfig, WantsClientCert>;

/// Sets the certificates to trust.
///
/// # Errors
/// When a variable names a file or directories without a usable certificate, or when the system has none.
pub fn set_roots(builder: WithoutRoots, check: &Check) -> Result<WithRoots> {
    let trusted = &check.config.trusted;
    if trusted.is_empty() {
        check.step("could not read the system's certificates".into());
        return system_roots(builder);
    }
    let mut roots = RootCertStore::empty();
    let mut directory_problem = None;
    for path in trusted {
        if let Err(error) = add_trusted(path, &mut roots, check) {
            match path.kind {
                PathKind::File => return Err(error),
                PathKind::Directory => directory_problem = Some(error),
            }
        }
    }
    // A directory may be missing or empty where there are other certificates.
    match directory_problem {
        Some(error) if roots.is_empty() => Err(error),
        _ => Ok(builder.with_root_certificates(roots)),
    }
}

/// Adds the certificates that a variable names.
fn add_trusted(trusted: &TrustedPath, roots: &mut RootCertStore, check: &Check) -> Result<()> {
    let path = Shown::new(trusted.path.to_string_lossy());
    let name = shown!("{} (from {})", path, trusted.variable());
    check.step(shown!("could not read the certificates in {}", name));
    let added = match trusted.kind {
        PathKind::File => add_file(&trusted.path, roots),
        PathKind::Directory => add_directory(&trusted.path, roots),
    };
    match added {
        Ok(1..) => Ok(()),
        Ok(0) => {
            let message = shown!("could not use {}: there is no PEM certificate in it", name);
            Err(Error::new(Kind::Usage, message))
        }
        Err(error) => {
            let message = shown!("could not read {}: {}", name, Shown::reason(&error));
            Err(Error::new(Kind::Usage, message))
        }
    }
}

/// The store of Windows or of an Apple system, through the system's own verifier.
#[cfg(any(windows, target_vendor = "apple"))]
fn system_roots(builder: WithoutRoots) -> Result<WithRoots> {
    use rustls_platform_verifier::BuilderVerifierExt;
    builder
        .with_platform_verifier()
        .map_err(|_| no_certificates())
}

/// The bundle where OpenSSL looks for it on this system, else its directories.
#[cfg(not(any(windows, target_vendor = "apple")))]
fn system_roots(builder: WithoutRoots) -> Result<WithRoots> {
    let found = openssl_probe::probe();
    let mut roots = RootCertStore::empty();
    if let Some(bundle) = found.cert_file {
        let _ = add_file(&bundle, &mut roots);
    }
    if roots.is_empty() {
        for directory in &found.cert_dir {
            let _ = add_directory(directory, &mut roots);
        }
    }
    if roots.is_empty() {
        return Err(no_certificates());
    }
    Ok(builder.with_root_certificates(roots))
}

fn no_certificates() -> Error {
    let message = "this system has no certificates to trust";
    let hint = "install them (package ca-certificates), or name a file in SSL_CERT_FILE";
    Error::new(Kind::Tls, message.into()).with_hint(hint)
}

/// Adds the certificates in the files of a directory, and returns their number. Files with other content or that can't
/// be read add none.
fn add_directory(path: &Path, roots: &mut RootCertStore) -> io::Result<usize> {
    let mut added = 0;
    for entry in fs::read_dir(path)?.flatten() {
        let path = entry.path();
        // Opening a named pipe would wait for a writer.
        if path.is_file() {
            added += add_file(&path, roots).unwrap_or(0);
        }
    }
    Ok(added)
}

fn add_file(path: &Path, roots: &mut RootCertStore) -> io::Result<usize> {
    let file = File::open(path)?.take(MAX_FILE);
    add_pem(BufReader::with_capacity(READ_BUFFER, file), roots)
}

/// A block of a PEM text that has begun.
struct Block {
    /// What stands behind `-----BEGIN `, and has to stand behind `-----END ` too.
    label: &'static [u8],
    base64: Vec<u8>,
}

/// Adds the certificates in a PEM text, and returns their number. Other blocks, damaged ones and the text between are
/// skipped.
///
/// It reads line by line, so that a bundle is never in memory as a whole. The reader of rustls-pki-types takes four
/// times the instructions for a system's bundle.
///
/// # Errors
/// Those of the reader.
pub fn add_pem(mut pem: impl BufRead, roots: &mut RootCertStore) -> io::Result<usize> {
    const LABELS: [&[u8]; 2] = [b"CERTIFICATE-----", b"X509 CERTIFICATE-----"];
    let decoder = base64::engine::Simd::standard(PAD);
    let before = roots.len();
    let mut block: Option<Block> = None;
    let mut line = Vec::new();
    while pem.read_until(b'\n', &mut line)? > 0 {
        let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
        let text = text.trim_ascii();
        if let Some(begun) = text.strip_prefix(b"-----BEGIN ") {
            let label = LABELS.into_iter().find(|label| *label == begun);
            block = label.map(|label| Block {
                label,
                base64: Vec::new(),
            });
        } else if let Some(ended) = text.strip_prefix(b"-----END ") {
            if let Some(block) = block.take()
                && block.label == ended
                && let Ok(der) = decoder.decode(&block.base64)
            {
                // What is not a certificate is skipped.
                let _ = roots.add(der.into());
            }
        } else if let Some(block) = &mut block {
            block.base64.extend_from_slice(text);
        }
        line.clear();
    }
    Ok(roots.len() - before)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate() -> String {
        rcgen::generate_simple_self_signed(vec!["search.example".to_owned()])
            .unwrap()
            .cert
            .pem()
    }

    /// How many certificates of a bundle can be trusted.
    fn usable(pem: &[u8]) -> usize {
        add_pem(pem, &mut RootCertStore::empty()).unwrap()
    }

    #[test]
    fn a_bundle_is_read_with_any_text_between_its_certificates() {
        let (first, second) = (certificate(), certificate());
        let texts = [
            format!("{first}{second}"),
            format!("{first}{second}").replace('\n', "\r\n"),
            format!("{first}{second}").replace("-----\n", "-----  \n"),
            format!("{first}{second}").trim_end().to_owned(),
            format!("# One authority\n{first}\nand - another -\n----\n{second}\n\nthe end"),
            format!("\u{feff}{first}{second}"),
            format!("{first}{second}").replace(" CERTIFICATE", " X509 CERTIFICATE"),
            format!(
                "{first}-----BEGIN PRIVATE KEY-----\nMIIB\n-----END PRIVATE KEY-----\n{second}"
            ),
        ];
        let mut roots = RootCertStore::empty();
        for text in texts {
            assert_eq!(add_pem(text.as_bytes(), &mut roots).unwrap(), 2, "{text}");
        }
    }

    #[test]
    fn a_damaged_certificate_is_skipped_and_the_next_is_read() {
        let good = certificate();
        let (begin, end) = (
            "-----BEGIN CERTIFICATE-----\n",
            "-----END CERTIFICATE-----\n",
        );
        let half = &good[..good.len() / 2];
        for damaged in [
            format!("{begin}{end}"),
            format!("{begin}no base64!\n{end}"),
            format!("{begin}bm8gY2VydGlmaWNhdGU=\n{end}"),
            format!("{half}\n"),
            format!("{half}\n{end}"),
            begin.to_owned(),
            end.to_owned(),
        ] {
            assert_eq!(
                usable(format!("{damaged}{good}").as_bytes()),
                1,
                "{damaged}"
            );
            assert_eq!(
                usable(format!("{good}{damaged}").as_bytes()),
                1,
                "{damaged}"
            );
        }
    }

    #[test]
    fn other_text_is_not_a_certificate() {
        let good = certificate();
        let unfinished = good.split_once("-----END").unwrap().0;
        for text in [
            "",
            "\n",
            "no PEM",
            unfinished,
            &good.replace("CERTIFICATE", "PRIVATE KEY"),
            &good.replace("BEGIN CERTIFICATE", "BEGIN X509 CERTIFICATE"),
            &good.replace("CERTIFICATE", "TRUSTED CERTIFICATE"),
            &good.replace("-----BEGIN", "# -----BEGIN"),
            &good.replace('\n', ""),
        ] {
            assert_eq!(usable(text.as_bytes()), 0, "{text}");
        }
    }
}
