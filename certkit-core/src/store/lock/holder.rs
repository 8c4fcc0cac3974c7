//! Who holds a lock, for people: nothing is decided by it.

use std::fs::{self, File};
use std::io::{Read, Seek};
use std::path::Path;

use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use super::whole_file;

/// Who holds the lock of this file: `process 123, certbot`; empty when nobody can tell. Escaped.
pub(super) fn in_words(file: &mut File) -> String {
    match holder(file) {
        Holder::Here(pid) if pid == std::process::id() => format!("process {pid}, this one"),
        Holder::Here(pid) => match command(pid) {
            Some(command) => format!("process {pid}, {}", crate::escape(&command)),
            None => format!("process {pid}"),
        },
        Holder::Elsewhere => "a process in another container".to_owned(),
        Holder::Unknown => String::new(),
    }
}

/// The same for the middle of a sentence: ` (process 123, certbot)`.
pub(super) fn in_brackets(file: &mut File) -> String {
    match in_words(file) {
        words if words.is_empty() => words,
        words => format!(" ({words})"),
    }
}

/// What a lock file says while this process holds it: the system tells of no open-file-description lock whose it is. The
/// number of a process means something in its namespace alone, so that is named as well.
pub(super) fn our_line() -> String {
    let namespace = namespace().map(|namespace| format!(" {namespace}"));
    format!("certkit {}{}\n", std::process::id(), namespace.unwrap_or_default())
}

/// The process that holds a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holder {
    /// With the number that it has here.
    Here(u32),
    /// In another PID namespace: a container, mostly.
    Elsewhere,
    Unknown,
}

fn holder(file: &mut File) -> Holder {
    let mut lock = whole_file();
    match fcntl(&*file, FcntlArg::F_OFD_GETLK(&mut lock)) {
        Ok(_) if lock.l_type == libc::F_UNLCK as libc::c_short => Holder::Unknown,
        // A POSIX lock carries its process; it has no number in a namespace in which it cannot be seen.
        Ok(_) if lock.l_pid == 0 => Holder::Elsewhere,
        Ok(_) if lock.l_pid > 0 => u32::try_from(lock.l_pid).map_or(Holder::Unknown, Holder::Here),
        _ => {
            let mut text = String::new();
            let read = file.rewind().and_then(|()| file.take(64).read_to_string(&mut text));
            read.map_or(Holder::Unknown, |_| named_in(&text, namespace().as_deref()))
        }
    }
}

/// Whom a lock file names, for who is in the namespace `ours`.
fn named_in(text: &str, ours: Option<&str>) -> Holder {
    let mut words = text.split_whitespace();
    let pid = (words.next() == Some("certkit")).then(|| words.next()?.parse().ok()).flatten();
    match (pid, words.next()) {
        (None, _) => Holder::Unknown,
        (Some(_), Some(namespace)) if Some(namespace) != ours => Holder::Elsewhere,
        (Some(pid), _) => Holder::Here(pid),
    }
}

/// The PID namespace of this process, as the system calls it: `pid:[4026531836]`.
fn namespace() -> Option<String> {
    fs::read_link("/proc/self/ns/pid").ok()?.into_os_string().into_string().ok()
}

/// What a process is called: the first word of its command line that is not an interpreter, else its name.
fn command(pid: u32) -> Option<String> {
    let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let words: Vec<String> = line
        .split(|byte| *byte == 0)
        .take(3)
        .filter_map(|word| Some(Path::new(std::str::from_utf8(word).ok()?).file_name()?.to_str()?.to_owned()))
        .collect();
    if let Some(word) = words.iter().find(|word| word.contains("certbot") || word.contains("certkit")) {
        return Some(word.chars().take(40).collect());
    }
    let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    Some(name.trim_end().to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_from_another_namespace_is_not_taken_for_a_process_of_here() {
        let ours = Some("pid:[4026531836]");
        for (text, expected) in [
            ("certkit 7 pid:[4026531836]\n", Holder::Here(7)),
            ("certkit 7 pid:[4026532222]\n", Holder::Elsewhere),
            ("certkit 7\n", Holder::Here(7)),
            ("certkit\n", Holder::Unknown),
            ("certkit seven pid:[4026531836]\n", Holder::Unknown),
            ("certbot 7\n", Holder::Unknown),
            ("", Holder::Unknown),
        ] {
            assert_eq!(named_in(text, ours), expected, "{text:?}");
        }
        assert_eq!(named_in("certkit 7 pid:[4026531836]\n", None), Holder::Elsewhere);
        assert_eq!(named_in(&our_line(), namespace().as_deref()), Holder::Here(std::process::id()));
    }
}
