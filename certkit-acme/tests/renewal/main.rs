//! The renewal run against a real CA: Pebble on loopback with its test DNS.
#![allow(clippy::unwrap_used)]

mod advice;
mod authorities;
mod clock;
mod crash;
mod csr;
mod daemon;
mod examination;
mod hooks;
mod hostile;
mod lifetimes;
mod limits;
mod metrics;
mod orders;
mod profiles;
mod proof;
mod regressions;
mod requests;
mod revocation;
mod runs;
mod second_ca;
mod simulated_ca;
mod store_errors;
mod support;
mod targets;
mod telling;
mod unwritable;
mod wishes;
