//! `doctor` on machines with one fault each.

mod certificates;
mod host;
mod output;
mod schedule;
mod store;
mod targets;
