//! The writing half of the store, on trees as certbot leaves them.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "../support/mod.rs"]
mod support;

mod commit;
mod copies;
mod delete;
mod delete_elsewhere;
mod held_open;
mod lock;
mod memory;
mod modes;
mod nested;
mod others_links;
mod recover;
mod repair;
mod rollover;
mod settling;
mod storable;
mod verify;
mod ways;
