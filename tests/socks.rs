//! SOCKS proxies: what they are sent, and the party and the step that an error names.
//!
//! What a proxy may answer is in `proxies.rs`, and a proxy with several addresses in `addresses.rs`.

use crate::common::messages;
use crate::common::proxy;
use crate::common::server::Server;
use crate::common::tls::{self, Authority, TrustedApi, ask_trusting, config, params};
use crate::common::{ask, expect_balance, expect_error, expect_json_error};

#[test]
fn a_socks4_user_name_is_sent() {
    for (scheme, login, expected) in [
        ("socks4", "user", "socks4 user 127.0.0.1"),
        ("socks4a", "user:", "socks4 user localhost"),
        ("socks", r"DOMAIN\user", r"socks4 DOMAIN\user 127.0.0.1"),
        ("socks4a", "us%20er", "socks4 us er localhost"),
    ] {
        let TrustedApi { server, trusted } = TrustedApi::new();
        let proxy = proxy::socks(server.address, None);
        let mut command = ask_trusting(&server, &trusted);
        command.env(
            "HTTPS_PROXY",
            format!("{scheme}://{login}@{}", proxy.address),
        );
        expect_balance(&mut command);
        let expected = format!("{expected}:{}", server.address.port());
        assert_eq!(proxy.next().asked, expected, "{scheme}");
    }
}

#[test]
fn a_socks4_password_is_refused() {
    let proxy = Server::silent();
    for scheme in ["socks4", "socks4a"] {
        let mut command = ask("https://search.invalid");
        command.env(
            "HTTPS_PROXY",
            format!("{scheme}://user:S3cret@{}", proxy.address),
        );
        let message = "HTTPS_PROXY does not name a usable proxy: it has a password, and SOCKS 4 knows only user names";
        let hint = messages::HOW_TO_NAME_A_PROXY;
        expect_error(&mut command, 2, "usage", message, Some(hint));
    }
    proxy.expect_no_connection();
}

#[test]
fn a_socks5_login_may_lack_one_of_its_parts() {
    for (login, password, user) in [
        ("user", "", "user"),
        ("user:", "", "user"),
        (":pass", "pass", ""),
        (r"DOMAIN\user:pass", "pass", r"DOMAIN\user"),
    ] {
        let TrustedApi { server, trusted } = TrustedApi::new();
        let proxy = proxy::socks(server.address, Some(password));
        let mut command = ask_trusting(&server, &trusted);
        command.env(
            "HTTPS_PROXY",
            format!("socks5h://{login}@{}", proxy.address),
        );
        expect_balance(&mut command);
        let expected = format!("socks5 {user} localhost:{}", server.address.port());
        assert_eq!(proxy.next().asked, expected, "{login}");
    }
}

#[test]
fn a_name_that_this_machine_cannot_resolve_for_the_proxy_names_both_and_the_other_scheme() {
    // Too long for a name, so that no server is asked. The reason is the resolver's own.
    let name = "x".repeat(64) + ".invalid";
    let trusted = Authority::new().file();
    for (scheme, other) in [("socks4", "socks4a"), ("socks5", "socks5h")] {
        let proxy = Server::silent();
        let url = format!("{scheme}://{}", proxy.address);
        let mut command = ask(&format!("https://{name}:8443"));
        command
            .env("SSL_CERT_FILE", trusted.path())
            .env("ALL_PROXY", &url);
        let error = expect_json_error(&mut command, 7, "network");
        let message = error["message"].as_str().unwrap();
        let start = format!(
            "could not resolve {name} on this machine, for the proxy {url} (from ALL_PROXY): "
        );
        assert!(message.starts_with(&start), "{message}");
        let hint = format!("with {other}:// the proxy resolves names");
        assert_eq!(error["hint"], hint);
        assert_eq!(error["retryable"], true);
        proxy.expect_no_connection();
    }
}

#[test]
fn a_name_that_is_too_long_for_socks5_is_not_worth_another_try() {
    let name = "x.".repeat(128);
    let trusted = Authority::new().file();
    let proxy = proxy::socks(([127, 0, 0, 1], 1).into(), None);
    let url = format!("socks5h://{}", proxy.address);
    let mut command = ask(&format!("https://{name}"));
    command
        .env("SSL_CERT_FILE", trusted.path())
        .env("HTTPS_PROXY", &url);
    let message =
        format!("the proxy {url} (from HTTPS_PROXY) takes no names of more than 255 characters");
    let error = expect_error(&mut command, 7, "network", &message, None);
    assert_eq!(error["retryable"], false);
}

#[test]
fn verbose_shows_each_step_through_a_socks_proxy_and_no_password() {
    let authority = Authority::new();
    let server = tls::api(config(authority.sign(&params(&["api.invalid"], |_| {}))));
    let trusted = authority.file();
    let proxy = proxy::socks(server.address, Some("S3cret"));
    let address = proxy.address;
    let mut command = ask("https://api.invalid");
    command
        .env("SSL_CERT_FILE", trusted.path())
        .env("ALL_PROXY", format!("socks5h://user:S3cret@{address}"))
        .arg("--verbose");
    let stderr = expect_balance(&mut command);
    let using = format!("* using the proxy socks5h://{address} (from ALL_PROXY)\n");
    assert!(stderr.contains(&using), "{stderr}");
    let steps = format!(
        "* trying {address}\n\
         * connected to {address}\n\
         * the proxy has accepted the user name and password\n\
         * asking the proxy for api.invalid:443 (SOCKS 5)\n\
         * the proxy has connected\n"
    );
    assert!(stderr.contains(&steps), "{stderr}");
    assert!(
        !stderr.contains("S3cret") && !stderr.contains("user@"),
        "{stderr}"
    );
}

#[test]
fn verbose_shows_the_address_that_a_socks_proxy_is_asked_for() {
    for (scheme, version) in [("socks4", 4), ("socks5", 5)] {
        let TrustedApi { server, trusted } = TrustedApi::new();
        let proxy = proxy::socks(server.address, None);
        let mut command = ask_trusting(&server, &trusted);
        command
            .env("HTTPS_PROXY", format!("{scheme}://{}", proxy.address))
            .arg("--verbose");
        let stderr = expect_balance(&mut command);
        let line = format!(
            "* asking the proxy for {} (SOCKS {version})\n",
            server.address
        );
        assert!(stderr.contains(&line), "{stderr}");
    }
}
