//! The renewal run against a real CA: Pebble on loopback with its test DNS.
#![allow(clippy::unwrap_used)]

mod crash;
mod csr;
mod hooks;
mod hostile;
mod orders;
mod runs;
mod support;
