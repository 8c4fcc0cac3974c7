//! The binary as people and scripts run it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accounts;
mod csr;
mod life;
mod reading;
mod refusals;
mod signals;
mod support;
