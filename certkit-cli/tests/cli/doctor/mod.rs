//! `doctor` on machines with one fault each.

mod certificates;
mod host;
mod output;
mod proof;
mod schedule;
mod store;
mod targets;
