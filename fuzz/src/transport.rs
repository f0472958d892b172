//! The parts of src/transport/ that read what comes from outside, made public, without the connector.

#[path = "../../src/transport/proxy.rs"]
pub mod proxy;
#[path = "../../src/transport/stream.rs"]
mod stream;
#[path = "../../src/transport/trust.rs"]
pub mod trust;
#[path = "../../src/transport/tunnel.rs"]
pub mod tunnel;

use crate::error::{Error, error};
use crate::text::Shown;

// What `tunnel::pass` takes from src/transport/mod.rs; no target calls it.
const MAX_HEAD: usize = 64 << 10;
const USER_AGENT: &str = "fuzz";

fn lost(_: &std::io::Error, name: &Shown) -> Error {
    error!(Network, "the connection to {} was lost", name)
}
