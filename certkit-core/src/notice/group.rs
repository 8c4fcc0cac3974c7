//! One message for what has one cause.

use super::{Notice, NoticeKind, NoticeLevel};

/// Notices with one cause: a CA that is down, a closed port, a hook that fails for every certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct NoticeGroup {
    /// The worst of them.
    pub level: NoticeLevel,
    /// What they have in common ([`Notice::cause_key`]).
    pub cause_key: String,
    /// The notices, the most urgent first; never empty.
    pub notices: Vec<Notice>,
}

/// Puts together what has one cause, in the order of the most urgent of each group. What is over is one group.
pub fn group_notices(notices: Vec<Notice>) -> Vec<NoticeGroup> {
    let mut groups: Vec<NoticeGroup> = Vec::new();
    for notice in notices {
        let is_over = notice.kind == NoticeKind::Recovered;
        let group = groups.iter_mut().find(|group| {
            let first = group.notices.first().map(|first| first.kind == NoticeKind::Recovered);
            group.cause_key == notice.cause_key && first == Some(is_over)
        });
        match group {
            Some(group) => {
                group.level = group.level.max(notice.level);
                group.notices.push(notice);
            }
            None => groups.push(NoticeGroup {
                level: notice.level,
                cause_key: notice.cause_key.clone(),
                notices: vec![notice],
            }),
        }
    }
    groups.sort_by_key(|group| std::cmp::Reverse(group.level));
    groups
}
