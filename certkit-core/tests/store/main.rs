//! The writing half of the store, on trees as certbot leaves them.

#[path = "../support/mod.rs"]
mod support;

mod commit;
mod delete;
mod lock;
mod memory;
mod recover;
mod verify;
