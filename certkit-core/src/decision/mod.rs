//! Is a lineage due, and why; may it be tried now.

mod backstop;
use backstop::latest_sensible;
pub(crate) use backstop::usual;

mod cadence;
pub use cadence::Cadence;

mod due;
pub use due::{DueDecision, DueFacts, DueReason, RenewalWish, due};

mod interval;
pub use interval::{IntervalError, parse_interval};

pub mod limits;

mod renewal_info;
pub(crate) use renewal_info::LONGEST_PAUSE;
pub use renewal_info::{RenewalInformation, Seed, SuggestedWindow};
