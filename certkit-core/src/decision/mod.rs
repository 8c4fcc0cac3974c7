//! Is a lineage due, and why.

mod due;
pub use due::{DueDecision, DueReason, RenewalWish, due};

mod interval;
pub use interval::{IntervalError, parse_interval};
