//! Words for people: problems, cures, events, targets and times. They stand here, once; whoever shows them says the same.

mod conditions;
pub use conditions::{
    DAMAGED, NEVER_CURE, NOBODY_TRIES_CURE, condition_cure, deploy_pending, not_yet_valid, pending_targets, revoked,
    served_elsewise,
};

mod events;
pub use events::{event, rule, wished};

mod failures;
pub use failures::{
    HOOK_CURE, STILL_THE_OLD_ONE, TARGET_CURE, broken_cure, class, failure_cure, held_by, held_cure, is_of_settings,
    remembered, remembered_cure,
};

mod names;
pub use names::{REFUSED_NAME_CURE, cure_for, deploy_target, names_in_short, shell_word};

mod times;
pub use times::{date, duration, from_now, length, minute, time};
