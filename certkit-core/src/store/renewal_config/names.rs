//! The names that a section has.

use std::collections::HashSet;

/// So few names are compared one by one sooner than one is hashed.
const FEW: usize = 24;

/// A set of names that costs nothing while it is as small as those of usual confs, and little however large it grows.
#[derive(Default)]
pub(super) struct Names<'a> {
    few: Vec<&'a str>,
    /// All of them, once there are many.
    many: HashSet<&'a str>,
}

impl<'a> Names<'a> {
    /// Whether it is new.
    pub(super) fn insert(&mut self, name: &'a str) -> bool {
        if !self.many.is_empty() {
            return self.many.insert(name);
        }
        if self.contains(name) {
            return false;
        }
        self.few.push(name);
        if self.few.len() > FEW {
            self.many = self.few.iter().copied().collect();
        }
        true
    }

    pub(super) fn contains(&self, name: &str) -> bool {
        if self.many.is_empty() { self.few.contains(&name) } else { self.many.contains(name) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_new_once_in_small_sets_and_in_large_ones() {
        let all: Vec<String> = (0..4 * FEW).map(|number| format!("n{number}")).collect();
        let mut names = Names::default();
        for (count, name) in all.iter().enumerate() {
            assert!(!names.contains(name) && names.insert(name), "{name}");
            assert!(all.iter().take(count + 1).all(|known| names.contains(known) && !names.insert(known)), "{name}");
        }
    }
}
