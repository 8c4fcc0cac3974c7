//! Which lineage a command line means: a new one, one that exists, or one that exists with other names.

use certkit_core::{Identifier, IdentifierSet, LineageName};

use crate::exit::CommandError;

/// A lineage that exists, as far as the choice needs it.
#[derive(Clone, Debug)]
pub(super) struct Existing {
    pub(super) name: LineageName,
    pub(super) identifiers: IdentifierSet,
}

/// What the names and flags come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Choice {
    /// A new lineage.
    New(LineageName, IdentifierSet),
    /// This lineage as it is.
    Same(LineageName, IdentifierSet),
    /// This lineage with other names.
    Changed(LineageName, IdentifierSet),
    /// Somebody has to say that this lineage shall get other names.
    Ask { name: LineageName, identifiers: IdentifierSet, question: String, unattended: Unattended },
}

/// What happens where nobody can be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unattended {
    /// Nothing; what to do.
    Refuse(&'static str),
    /// It is done: the certificate was named, so that it is meant. These names are lost.
    GoOn { lost: Vec<String> },
}

/// The flags that decide.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flags {
    pub(super) expand: bool,
    pub(super) replace_names: bool,
    pub(super) duplicate: bool,
}

/// certbot's rules: a certificate that is named gets the names of the command line; one that is not is only replaced by
/// one with more names, and only on the owner's word.
pub(super) fn choose(
    existing: &[Existing],
    wanted: IdentifierSet,
    named: Option<&LineageName>,
    flags: Flags,
    taken: impl Fn(&LineageName) -> bool,
) -> Result<Choice, CommandError> {
    if let Some(name) = named {
        let Some(current) = existing.iter().find(|one| one.name == *name) else {
            return new_with_name(name, wanted, &taken);
        };
        if wanted.is_empty() || wanted.same_as(&current.identifiers) {
            return Ok(Choice::Same(name.clone(), current.identifiers.clone()));
        }
        let grows = wanted.is_superset(&current.identifiers);
        if flags.replace_names || (flags.expand && grows) {
            return Ok(Choice::Changed(name.clone(), wanted));
        }
        let lost = lost(current, &wanted);
        return Ok(ask_for_change(current, wanted, Unattended::GoOn { lost }));
    }
    let Some(first) = wanted.iter().next() else {
        return Err(CommandError::usage("no names were given")
            .with_cure("name them with -d NAME, or a certificate with --cert-name NAME to renew it"));
    };
    if !flags.duplicate {
        if let Some(same) = existing.iter().find(|one| one.identifiers.same_as(&wanted)) {
            return Ok(Choice::Same(same.name.clone(), same.identifiers.clone()));
        }
        let parts = existing.iter().filter(|one| !one.identifiers.is_empty() && wanted.is_superset(&one.identifiers));
        if let Some(part) = parts.max_by_key(|one| one.identifiers.len()) {
            if flags.expand || flags.replace_names {
                return Ok(Choice::Changed(part.name.clone(), wanted));
            }
            let cure = "pass --expand to replace it, or --duplicate for a certificate besides it";
            return Ok(ask_for_change(part, wanted, Unattended::Refuse(cure)));
        }
    }
    let base = base_name(first);
    Ok(Choice::New(free_name(&base, &taken)?, wanted))
}

fn new_with_name(
    name: &LineageName,
    wanted: IdentifierSet,
    taken: impl Fn(&LineageName) -> bool,
) -> Result<Choice, CommandError> {
    if taken(name) {
        return Err(CommandError::failed(format!("the certificate `{name}` exists but cannot be used"))
            .with_cure("`certkit certificates` tells why; repair it or remove it with `certkit delete`"));
    }
    if wanted.is_empty() {
        return Err(CommandError::failed(format!("No certificate with name {name} found")).with_cure(
            "use -d to name what it shall be for, or `certkit certificates` to see the names of certificates",
        ));
    }
    Ok(Choice::New(name.clone(), wanted))
}

fn lost(current: &Existing, wanted: &IdentifierSet) -> Vec<String> {
    current.identifiers.iter().filter(|one| !wanted.contains(one)).map(ToString::to_string).collect()
}

fn ask_for_change(current: &Existing, wanted: IdentifierSet, unattended: Unattended) -> Choice {
    let list = |set: &IdentifierSet| set.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let lost = lost(current, &wanted);
    let lost = if lost.is_empty() { String::new() } else { format!("\nThese would be lost: {}.", lost.join(", ")) };
    let question = format!(
        "You have an existing certificate (name: {}).\nIt contains these names: {}.\nYou requested these names: {}.{lost}\nDo you want to replace this existing certificate with one for the requested names?",
        current.name,
        list(&current.identifiers),
        list(&wanted),
    );
    Choice::Ask { name: current.name.clone(), identifiers: wanted, question, unattended }
}

/// The first name without `*.`.
fn base_name(first: &Identifier) -> String {
    match first {
        Identifier::Dns(name) => name.base().to_owned(),
        Identifier::Ip(address) => address.to_string(),
    }
}

/// The name itself, else NAME-0001, NAME-0002 …
fn free_name(base: &str, taken: impl Fn(&LineageName) -> bool) -> Result<LineageName, CommandError> {
    const MOST: u32 = 9999;
    let candidates = std::iter::once(base.to_owned()).chain((1..=MOST).map(|number| format!("{base}-{number:04}")));
    for candidate in candidates {
        let name = crate::args::meant::lineage_name(&candidate)?;
        if !taken(&name) {
            return Ok(name);
        }
    }
    Err(CommandError::failed(format!("there are {MOST} certificates named after {base}"))
        .with_cure("choose a --cert-name"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exit::Exit;

    fn set(names: &[&str]) -> IdentifierSet {
        names.iter().map(|name| Identifier::parse(name).unwrap()).collect()
    }

    fn name(text: &str) -> LineageName {
        LineageName::new(text).unwrap()
    }

    fn existing() -> Vec<Existing> {
        vec![
            Existing { name: name("a.example"), identifiers: set(&["a.example"]) },
            Existing { name: name("ab"), identifiers: set(&["a.example", "b.example"]) },
        ]
    }

    fn decide(wanted: &[&str], named: Option<&str>, flags: Flags) -> Result<Choice, CommandError> {
        let taken = |name: &LineageName| ["a.example", "ab", "broken"].contains(&name.as_str());
        choose(&existing(), set(wanted), named.map(name).as_ref(), flags, taken)
    }

    #[test]
    fn the_same_names_are_the_same_certificate_in_any_order() {
        let same = Choice::Same(name("ab"), set(&["a.example", "b.example"]));
        assert_eq!(decide(&["b.example", "a.example"], None, Flags::default()).unwrap(), same);
        assert_eq!(decide(&[], Some("ab"), Flags::default()).unwrap(), same);
    }

    #[test]
    fn more_names_need_a_word_and_the_largest_part_is_replaced() {
        let wanted = ["a.example", "b.example", "c.example"];
        let asked = decide(&wanted, None, Flags::default()).unwrap();
        assert!(
            matches!(&asked, Choice::Ask { name, unattended: Unattended::Refuse(cure), .. } if name.as_str() == "ab" && cure.contains("--expand")),
            "{asked:?}"
        );
        let expand = Flags { expand: true, ..Flags::default() };
        assert_eq!(decide(&wanted, None, expand).unwrap(), Choice::Changed(name("ab"), set(&wanted)));
    }

    #[test]
    fn a_named_certificate_grows_unattended() {
        let asked = decide(&["a.example", "b.example", "c.example"], Some("ab"), Flags::default()).unwrap();
        assert!(
            matches!(&asked, Choice::Ask { unattended: Unattended::GoOn { lost }, .. } if lost.is_empty()),
            "{asked:?}"
        );
    }

    #[test]
    fn names_are_never_lost_silently() {
        let expand = Flags { expand: true, ..Flags::default() };
        for flags in [Flags::default(), expand] {
            let asked = decide(&["c.example"], Some("ab"), flags).unwrap();
            assert!(
                matches!(&asked, Choice::Ask { question, unattended: Unattended::GoOn { lost }, .. }
                    if question.contains("would be lost: a.example, b.example") && *lost == ["a.example", "b.example"]),
                "{asked:?}"
            );
        }
        let replace = Flags { replace_names: true, ..Flags::default() };
        assert_eq!(
            decide(&["c.example"], Some("ab"), replace).unwrap(),
            Choice::Changed(name("ab"), set(&["c.example"]))
        );
    }

    #[test]
    fn new_certificates_are_named_after_the_first_name() {
        let new = |text: &str, wanted: &[&str]| Choice::New(name(text), set(wanted));
        assert_eq!(decide(&["*.c.example"], None, Flags::default()).unwrap(), new("c.example", &["*.c.example"]));
        assert_eq!(decide(&["2001:db8::1"], None, Flags::default()).unwrap(), new("2001:db8::1", &["2001:db8::1"]));
        let duplicate = Flags { duplicate: true, ..Flags::default() };
        assert_eq!(decide(&["a.example"], None, duplicate).unwrap(), new("a.example-0001", &["a.example"]));
        assert_eq!(decide(&["x.example"], Some("mine"), Flags::default()).unwrap(), new("mine", &["x.example"]));
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        assert_eq!(decide(&[], None, Flags::default()).unwrap_err().exit, Exit::Usage);
        assert_eq!(decide(&[], Some("unknown"), Flags::default()).unwrap_err().exit, Exit::Failed);
        assert!(decide(&["x.example"], Some("broken"), Flags::default()).unwrap_err().what.contains("cannot be used"));
    }
}
