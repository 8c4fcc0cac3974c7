//! The names that a section has.

use std::collections::HashSet;

/// So few names are compared one by one sooner than one is hashed.
pub(super) const FEW: usize = 24;

/// Whether a name is none of those that a section has. `many` keeps them once there are many, the new one with them, so
/// that a name costs nothing in a section as small as those of usual confs, and little however large it grows.
pub(super) fn is_new<'a>(
    name: &'a str,
    known: impl Iterator<Item = &'a str> + Clone,
    many: &mut Option<HashSet<&'a str>>,
) -> bool {
    if let Some(many) = many {
        return many.insert(name);
    }
    let mut count = 0;
    for other in known.clone() {
        if other == name {
            return false;
        }
        count += 1;
    }
    if count >= FEW {
        *many = Some(known.chain([name]).collect());
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_new_once_in_small_sets_and_in_large_ones() {
        let all: Vec<String> = (0..4 * FEW).map(|number| format!("n{number}")).collect();
        let mut many = None;
        for (count, name) in all.iter().enumerate() {
            let known = |count: usize| all.iter().take(count).map(String::as_str);
            assert!(is_new(name, known(count), &mut many), "{name}");
            assert!(known(count + 1).all(|old| !is_new(old, known(count + 1), &mut many)), "{name}");
            assert_eq!(many.is_some(), count >= FEW, "{name}");
        }
    }
}
