//! Bundles: no text makes the reader panic, and no certificate is trusted that has no block of its own.

#![no_main]

use clado_credits::transport::trust::add_pem;
use libfuzzer_sys::fuzz_target;
use rustls::RootCertStore;

fuzz_target!(|pem: &[u8]| {
    let mut roots = RootCertStore::empty();
    let added = add_pem(pem, &mut roots).expect("a slice has no read errors");
    assert_eq!(added, roots.len());
    assert!(added <= String::from_utf8_lossy(pem).matches("-----BEGIN ").count());
});
