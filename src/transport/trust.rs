//! Which certificates are trusted: the operating system's store, or what SSL_CERT_FILE and SSL_CERT_DIR name.
//!
//! This file finds and loads them; rustls's standard verifier does the rest (on Windows and Apple systems the system's
//! own, through rustls-platform-verifier).

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use base64::Engine;
use rustls::client::WantsClientCert;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};

use crate::deadline::Run;
use crate::error::{Error, Result, error};
use crate::text::{Shown, shown};

/// The most that is read of a file; a system's bundle has a fiftieth of it.
const MAX_FILE: u64 = 10 << 20;

type Unverified = ConfigBuilder<ClientConfig, WantsVerifier>;
type Verified = ConfigBuilder<ClientConfig, WantsClientCert>;

/// Sets the certificates to trust.
///
/// # Errors
/// When a variable names a file or directories without a usable certificate, or when the system has none.
pub fn verify_with(builder: Unverified, run: &Run) -> Result<Verified> {
    let mut roots = RootCertStore::empty();
    let mut problem = None;
    for (variable, path) in &run.config.certificates {
        let name = shown!(
            "{} (from {})",
            Shown::new(path.to_string_lossy()),
            *variable
        );
        run.step(&shown!("could not read the certificates in {}", name));
        let is_file = *variable == "SSL_CERT_FILE";
        let added = if is_file {
            add_file(path, &mut roots)
        } else {
            add_directory(path, &mut roots)
        };
        let error = match added {
            Ok(1..) => continue,
            Ok(0) => error!(
                Usage,
                "could not use {}: there is no PEM certificate in it", name
            ),
            Err(error) => error!(Usage, "could not read {}: {}", name, Shown::reason(&error)),
        };
        if is_file {
            return Err(error);
        }
        problem = Some(error);
    }
    // A directory may be missing or empty where there are other certificates.
    match problem.filter(|_| roots.is_empty()) {
        Some(problem) => Err(problem),
        None if run.config.certificates.is_empty() => {
            run.step(&"could not read the system's certificates".into());
            system(builder)
        }
        None => Ok(builder.with_root_certificates(roots)),
    }
}

/// The store of Windows or of an Apple system, through the system's own verifier.
#[cfg(any(windows, target_vendor = "apple"))]
fn system(builder: Unverified) -> Result<Verified> {
    use rustls_platform_verifier::BuilderVerifierExt;
    builder
        .with_platform_verifier()
        .map_err(|_| no_certificates())
}

/// The bundle where OpenSSL looks for it on this system, else its directories.
#[cfg(not(any(windows, target_vendor = "apple")))]
fn system(builder: Unverified) -> Result<Verified> {
    let found = openssl_probe::probe();
    let mut roots = RootCertStore::empty();
    let _ = found.cert_file.map(|path| add_file(&path, &mut roots));
    if roots.is_empty() {
        let _ = found
            .cert_dir
            .iter()
            .map(|path| add_directory(path, &mut roots))
            .count();
    }
    if roots.is_empty() {
        Err(no_certificates())
    } else {
        Ok(builder.with_root_certificates(roots))
    }
}

fn no_certificates() -> Error {
    let hint = "install them (package ca-certificates), or name a file in SSL_CERT_FILE";
    error!(Tls, "this system has no certificates to trust").hint(Some(hint.into()))
}

/// Adds the certificates in the files of a directory, and returns their number. Files with other content add none.
fn add_directory(path: &Path, roots: &mut RootCertStore) -> io::Result<usize> {
    let files = fs::read_dir(path)?.flatten().map(|entry| entry.path());
    // Opening a named pipe would wait for a writer.
    Ok(files
        .filter(|path| path.is_file())
        .flat_map(|path| add_file(&path, roots))
        .sum())
}

fn add_file(path: &Path, roots: &mut RootCertStore) -> io::Result<usize> {
    add_pem(
        BufReader::with_capacity(32 << 10, File::open(path)?.take(MAX_FILE)),
        roots,
    )
}

/// Adds the certificates in a PEM text, and returns their number. Other blocks, damaged ones and the text between are
/// skipped.
///
/// rustls's own reader takes 12 million instructions for a system's bundle, and this one 2. Line by line, so that a
/// bundle is never in memory as a whole.
pub fn add_pem(mut pem: impl BufRead, roots: &mut RootCertStore) -> io::Result<usize> {
    const LABELS: [&[u8]; 2] = [b"CERTIFICATE-----", b"X509 CERTIFICATE-----"];
    let decoder = base64::engine::Simd::standard(base64::engine::general_purpose::PAD);
    let before = roots.len();
    // The label of the block that has begun, and its content.
    let (mut line, mut label, mut base64) = (Vec::new(), None, Vec::new());
    while pem.read_until(b'\n', &mut line)? > 0 {
        let text = line
            .strip_prefix(b"\xef\xbb\xbf")
            .unwrap_or(&line)
            .trim_ascii();
        if let Some(begun) = text.strip_prefix(b"-----BEGIN ") {
            label = LABELS.into_iter().find(|label| *label == begun);
            base64.clear();
        } else if let Some(ended) = text.strip_prefix(b"-----END ") {
            let der = decoder
                .decode(&base64)
                .ok()
                .filter(|_| label == Some(ended));
            let _ = der.map(|der| roots.add(der.into()));
            label = None;
        } else if label.is_some() {
            base64.extend_from_slice(text);
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
