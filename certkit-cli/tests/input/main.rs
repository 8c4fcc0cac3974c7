//! What others wrote or put in the way: odd certificates, pathological files, a hostile tree. A process of its own, so that
//! the processor time of its children is theirs alone.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod confs;
mod files;
mod odd_certificates;
mod place;
mod support;
mod tree;
mod unreadable;
