//! The reading half of the store, on trees in every state that certbot, people and crashes leave.
#![allow(clippy::unwrap_used)]

#[path = "../support/mod.rs"]
mod support;

mod accounts;
mod audit;
mod check;
mod lineages;
mod nothing_is_written;
mod settings;
