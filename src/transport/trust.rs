//! Which certificates are trusted: the operating system's store, or what `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
//!
//! This file finds and loads them; rustls's standard verifier does the rest (on Windows and Apple systems the system's
//! own, through rustls-platform-verifier).
//!
//! A store is a file, directories, or both, which often hold the same certificates. So the directories are read only
//! when the file has none, or when it does not know the issuer of a certificate; see [`Trust::with_directories`].

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::PAD;
use rustls::RootCertStore;

use crate::deadline::Check;
use crate::error::{Error, Kind, Result};
use crate::text::{Shown, shown};

/// The largest file that is read; a system's bundle has a fiftieth of it.
const MAX_FILE: u64 = 10 << 20;

/// How much of a file is read at once. In a bundle, that is some twenty certificates.
const READ_BUFFER: usize = 32 << 10;

/// The certificates to trust.
#[derive(Clone)]
pub enum Trust {
    /// Those that were read.
    Roots {
        /// The certificates.
        roots: Arc<RootCertStore>,
        /// What was not read yet.
        unread: Option<Unread>,
    },
    /// Those of Windows or of an Apple system, through the system's own verifier.
    #[cfg(any(windows, target_vendor = "apple"))]
    System,
}

/// The directories of a store whose file was read.
#[derive(Clone)]
pub struct Unread {
    file: PathBuf,
    directories: Vec<PathBuf>,
    /// The variable that names the directories; `None` for the system's.
    variable: Option<&'static str>,
}

impl Trust {
    /// Loads the certificates that the variables name, else those of the system.
    ///
    /// # Errors
    /// When a variable names a file or directories without a usable certificate, and when the system has none.
    pub fn load(check: &Check) -> Result<Trust> {
        let trusted = &check.config.trusted;
        if let Some(file) = &trusted.file {
            return load_named_file(file, check);
        }
        if !trusted.directories.is_empty() {
            return load_named_directories(&trusted.directories, check);
        }
        check.step("could not read the system's certificates".into());
        load_system(check)
    }

    /// The same certificates and those of the directories that were not read yet; `None` if that adds none.
    pub fn with_directories(&self, check: &Check) -> Option<Trust> {
        let Trust::Roots {
            roots,
            unread: Some(unread),
        } = self
        else {
            return None;
        };
        if unread.directories.is_empty() {
            return None;
        }
        let mut found = RootCertStore::empty();
        let mut seen = HashSet::from([canonical(&unread.file)]);
        // Without a usable directory, the issuer stays unknown.
        let _ = add_directories(
            &unread.directories,
            unread.variable,
            &mut found,
            &mut seen,
            check,
        );
        // The directory beside a bundle often holds the bundle's own certificates.
        found.roots.retain(|anchor| !roots.roots.contains(anchor));
        check.note(shown!(
            "certificates that are not in {}: {}",
            Shown::new(unread.file.to_string_lossy()),
            found.len()
        ));
        if found.is_empty() {
            return None;
        }
        let mut all = RootCertStore::clone(roots);
        all.roots.extend(found.roots);
        Some(Trust::Roots {
            roots: Arc::new(all),
            unread: None,
        })
    }
}

/// The file that `SSL_CERT_FILE` names. The directories of `SSL_CERT_DIR` are left for later.
fn load_named_file(file: &Path, check: &Check) -> Result<Trust> {
    const VARIABLE: Option<&str> = Some("SSL_CERT_FILE");
    let name = name_of(file, VARIABLE);
    check.step(shown!("could not read the certificates in {}", name));
    let mut roots = RootCertStore::empty();
    match add_file(file, &mut roots) {
        Ok(added) => note_added(check, added, &name),
        Err(unusable) => {
            let message = unusable.message(VARIABLE);
            return Err(Error::new(Kind::Usage, message).with_hint_if(file_hint(&unusable)));
        }
    }
    Ok(Trust::Roots {
        roots: Arc::new(roots),
        unread: Some(Unread {
            file: file.to_owned(),
            directories: check.config.trusted.directories.clone(),
            variable: Some("SSL_CERT_DIR"),
        }),
    })
}

/// The directories that `SSL_CERT_DIR` names. One may be missing or empty where there are certificates in another.
fn load_named_directories(directories: &[PathBuf], check: &Check) -> Result<Trust> {
    const VARIABLE: Option<&str> = Some("SSL_CERT_DIR");
    let mut roots = RootCertStore::empty();
    let mut seen = HashSet::new();
    let first_unusable = add_directories(directories, VARIABLE, &mut roots, &mut seen, check);
    match first_unusable {
        Some(unusable) if roots.is_empty() => {
            let message = unusable.message(VARIABLE);
            Err(Error::new(Kind::Usage, message).with_hint_if(directory_hint(&unusable)))
        }
        _ => Ok(Trust::Roots {
            roots: Arc::new(roots),
            unread: None,
        }),
    }
}

/// The store of Windows or of an Apple system.
#[cfg(any(windows, target_vendor = "apple"))]
fn load_system(check: &Check) -> Result<Trust> {
    check.note("certificates: the system's, through its own verifier".into());
    Ok(Trust::System)
}

/// The bundle where OpenSSL looks for it on this system, else its directories.
#[cfg(not(any(windows, target_vendor = "apple")))]
fn load_system(check: &Check) -> Result<Trust> {
    let found = openssl_probe::probe();
    let mut roots = RootCertStore::empty();
    let mut first_unusable = None;
    if let Some(bundle) = found.cert_file {
        match add_file(&bundle, &mut roots) {
            Ok(added) => {
                note_added(check, added, &name_of(&bundle, None));
                return Ok(Trust::Roots {
                    roots: Arc::new(roots),
                    unread: Some(Unread {
                        file: bundle,
                        directories: found.cert_dir,
                        variable: None,
                    }),
                });
            }
            Err(unusable) => {
                check.note(unusable.message(None));
                first_unusable = Some(unusable);
            }
        }
    }
    let mut seen = HashSet::new();
    let unusable_directory = add_directories(&found.cert_dir, None, &mut roots, &mut seen, check);
    if !roots.is_empty() {
        return Ok(Trust::Roots {
            roots: Arc::new(roots),
            unread: None,
        });
    }
    match first_unusable.or(unusable_directory) {
        Some(unusable) if !matches!(unusable.problem, Problem::NoCertificate) => {
            Err(Error::new(Kind::Tls, unusable.message(None)))
        }
        _ => Err(no_certificates()),
    }
}

/// How messages name a file or a directory of certificates.
fn name_of(path: &Path, variable: Option<&'static str>) -> Shown {
    let path = Shown::new(path.to_string_lossy());
    match variable {
        Some(variable) => shown!("{} (from {})", path, variable),
        None => path,
    }
}

fn note_added(check: &Check, added: usize, name: &Shown) {
    check.note(shown!("certificates: {} in {}", added, name));
}

/// A file or a directory that gives no certificates.
struct Unusable {
    path: PathBuf,
    problem: Problem,
}

enum Problem {
    Unreadable(io::Error),
    /// It has no certificate in PEM.
    NoCertificate,
    TooLarge,
}

impl Unusable {
    fn new(path: &Path, problem: Problem) -> Unusable {
        let path = path.to_owned();
        Unusable { path, problem }
    }

    fn unreadable(path: &Path, error: io::Error) -> Unusable {
        Unusable::new(path, Problem::Unreadable(error))
    }

    /// What is wrong, as one sentence. `variable` is the one that names the path.
    fn message(&self, variable: Option<&'static str>) -> Shown {
        let name = name_of(&self.path, variable);
        match &self.problem {
            Problem::Unreadable(error) => {
                shown!("could not read {}: {}", name, Shown::reason(error))
            }
            Problem::NoCertificate => {
                shown!("could not use {}: there is no PEM certificate in it", name)
            }
            Problem::TooLarge => {
                let limit = MAX_FILE >> 20;
                shown!("could not use {}: it is larger than {} MiB", name, limit)
            }
        }
    }
}

/// What may help where `SSL_CERT_FILE` can't be used.
fn file_hint(unusable: &Unusable) -> Option<Shown> {
    if unusable.path.is_dir() {
        return Some("SSL_CERT_FILE takes a file; for a directory there is SSL_CERT_DIR".into());
    }
    if matches!(unusable.problem, Problem::NoCertificate) && is_der(&unusable.path) {
        return Some(
            "it is in DER; `openssl x509 -inform DER -in FILE -out FILE.pem` makes PEM of it"
                .into(),
        );
    }
    None
}

/// What may help where a directory in `SSL_CERT_DIR` can't be used.
fn directory_hint(unusable: &Unusable) -> Option<Shown> {
    match &unusable.problem {
        Problem::Unreadable(error) if error.kind() == ErrorKind::NotADirectory => {
            Some("SSL_CERT_DIR takes directories; for a file there is SSL_CERT_FILE".into())
        }
        _ => None,
    }
}

/// Whether a file starts as a certificate in DER does: a sequence whose length has two bytes.
fn is_der(path: &Path) -> bool {
    // A pipe can't be read a second time.
    if !path.is_file() {
        return false;
    }
    let mut start = [0; 2];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut start));
    read.is_ok() && start == [0x30, 0x82]
}

#[cfg(not(any(windows, target_vendor = "apple")))]
fn no_certificates() -> Error {
    let message = "this system has no certificates to trust";
    let hint = "install them (package ca-certificates), or name a file in SSL_CERT_FILE";
    Error::new(Kind::Tls, message.into()).with_hint(hint)
}

/// Adds the certificates in directories, and returns the first directory or file that can't be used. `seen` has the
/// directories and files that were read before.
fn add_directories(
    directories: &[PathBuf],
    variable: Option<&'static str>,
    roots: &mut RootCertStore,
    seen: &mut HashSet<PathBuf>,
    check: &Check,
) -> Option<Unusable> {
    let mut first_unusable = None;
    for directory in directories {
        if !seen.insert(canonical(directory)) {
            continue;
        }
        let name = name_of(directory, variable);
        check.step(shown!("could not read the certificates in {}", name));
        match add_directory(directory, roots, seen) {
            Ok(added) => note_added(check, added, &name),
            Err(unusable) => {
                check.note(unusable.message(variable));
                first_unusable.get_or_insert(unusable);
            }
        }
    }
    first_unusable
}

/// Adds the certificates in the files of a directory, and returns their number. Files with other content or that can't
/// be read add none. A file that was seen is not read again: `openssl rehash` makes a link to each file, and a system's
/// bundle may be in the directory, too.
///
/// # Errors
/// When there is no certificate in the directory, and no file that was seen before. The error names a file that can't be
/// used, if there is one.
fn add_directory(
    directory: &Path,
    roots: &mut RootCertStore,
    seen: &mut HashSet<PathBuf>,
) -> Result<usize, Unusable> {
    let entries =
        fs::read_dir(directory).map_err(|error| Unusable::unreadable(directory, error))?;
    let before = roots.len();
    let mut has_known_file = false;
    let mut files = HashSet::new();
    let mut first_unusable = None;
    for entry in entries.flatten() {
        let path = entry.path();
        // Opening a named pipe would wait for a writer.
        if !path.is_file() {
            continue;
        }
        let file = canonical(&path);
        if seen.contains(&file) {
            has_known_file = true;
            continue;
        }
        if !files.insert(file) {
            continue;
        }
        if let Err(unusable) = add_file(&path, roots)
            && !matches!(unusable.problem, Problem::NoCertificate)
        {
            first_unusable.get_or_insert(unusable);
        }
    }
    seen.extend(files);
    let added = roots.len() - before;
    if added > 0 || has_known_file {
        return Ok(added);
    }
    Err(first_unusable.unwrap_or_else(|| Unusable::new(directory, Problem::NoCertificate)))
}

/// The path without links, by which a file with several names is known.
fn canonical(path: &Path) -> PathBuf {
    fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

/// Adds the certificates in a file, and returns their number, which is at least 1.
fn add_file(path: &Path, roots: &mut RootCertStore) -> Result<usize, Unusable> {
    let unreadable = |error| Unusable::unreadable(path, error);
    let file = File::open(path).map_err(unreadable)?;
    if file.metadata().map_err(unreadable)?.len() > MAX_FILE {
        return Err(Unusable::new(path, Problem::TooLarge));
    }
    // What is not a regular file has no length.
    let mut reader = BufReader::with_capacity(READ_BUFFER, file.take(MAX_FILE + 1));
    let added = add_pem(&mut reader, roots).map_err(unreadable)?;
    if reader.get_ref().limit() == 0 {
        return Err(Unusable::new(path, Problem::TooLarge));
    }
    if added == 0 {
        return Err(Unusable::new(path, Problem::NoCertificate));
    }
    Ok(added)
}

/// Adds the certificates in a PEM text, and returns their number. Other blocks, damaged ones and the text between are
/// skipped.
///
/// It reads line by line, so that a bundle is never in memory as a whole. CONTRIBUTING says what the reader of
/// rustls-pki-types costs.
///
/// # Errors
/// Those of the reader.
pub fn add_pem(mut pem: impl BufRead, roots: &mut RootCertStore) -> io::Result<usize> {
    const LABELS: [&[u8]; 2] = [b"CERTIFICATE-----", b"X509 CERTIFICATE-----"];
    let decoder = base64::engine::Simd::standard(PAD);
    let before = roots.len();
    // What stands behind `-----BEGIN ` of the block that has begun, and has to stand behind `-----END ` too.
    let mut label: Option<&[u8]> = None;
    let mut encoded = Vec::new();
    let mut line = Vec::new();
    while pem.read_until(b'\n', &mut line)? > 0 {
        let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line);
        let text = text.trim_ascii();
        if let Some(begun) = text.strip_prefix(b"-----BEGIN ") {
            label = LABELS.into_iter().find(|label| *label == begun);
            encoded.clear();
        } else if let Some(ended) = text.strip_prefix(b"-----END ") {
            if label == Some(ended)
                && let Ok(der) = decoder.decode(&encoded)
            {
                // What is not a certificate is skipped.
                let _ = roots.add(der.into());
            }
            label = None;
        } else if label.is_some() {
            encoded.extend_from_slice(text);
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
