//! The binary as people and scripts run it.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod accounts;
mod changing;
mod clock;
mod coming;
mod command_line;
mod config;
mod confined;
mod csr;
mod daemon;
mod doctor;
mod fsck;
mod life;
mod many;
mod memory;
mod metrics;
mod notify;
mod reading;
mod refusals;
mod report;
mod secrets;
mod serving;
mod signals;
mod support;
mod timer;
mod together;
