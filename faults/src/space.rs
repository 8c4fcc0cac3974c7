//! File systems on which an operation has too little room.

use std::fs;
use std::process::Command;

use crate::look;
use crate::operation::{Operation, Progress, RENEW};
use crate::world::World;

/// How much room there is beside the tree as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// So many pages of 4 KiB.
    Pages(u32),
    /// So many files and folders, and bytes enough.
    Inodes(u32),
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Squeezed {
    /// Old or new.
    pub progress: Progress,
    /// Orders that the CA got.
    pub orders: usize,
}

/// Mounts a tmpfs of the wanted size on the tree, in a mount namespace of its own, and copies out what is left in it.
const SCRIPT: &str = r#"
tree=$1 pages=$2 inodes=$3; shift 3
cp -a "$tree" "$tree.before" || exit 78
mount -t tmpfs -o mode=755 tmpfs "$tree" || exit 77
cp -a "$tree.before/." "$tree/" || exit 78
used=$(df --output=used -B4096 "$tree" | tail -n 1)
files=$(df --output=iused "$tree" | tail -n 1)
mount -o "remount,size=$(((used + pages) * 4096)),nr_inodes=$((files + inodes))" tmpfs "$tree" || exit 78
"$@"
status=$?
cp -a "$tree" "$tree.after" || exit 78
exit $status
"#;

/// Room for everything.
const MANY: u32 = 10_000;

/// Whether this machine lets us mount, as a container may refuse even to root.
pub fn can_mount() -> bool {
    let mut command = Command::new(testkit::process::require_program("unshare"));
    command.args(["-m", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]);
    command.output().is_ok_and(|output| output.status.success())
}

/// Tries an operation with so much room: it is done, or everything is as before and the error names the place. Afterwards,
/// with room enough, it can be done.
pub fn squeeze(world: &World, operation: Operation, room: Room) -> Result<Squeezed, String> {
    let place = operation.prepare(world);
    let tree = place.tree();
    let before = look::live(&tree)?;
    let (pages, inodes) = match room {
        Room::Pages(pages) => (pages, MANY),
        Room::Inodes(inodes) => (MANY, inodes),
    };
    let orders = world.ca().orders_placed();
    let certkit = world.command(&place, &operation.arguments(world, place.path()));
    let mut command = Command::new(testkit::process::require_program("unshare"));
    command.args(["-m", "/bin/sh", "-c", SCRIPT, "sh"]).arg(&tree).args([pages.to_string(), inodes.to_string()]);
    command.arg(certkit.get_program()).args(certkit.get_args()).env_clear();
    command.envs(certkit.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = command.output().unwrap();
    let orders = world.ca().orders_placed() - orders;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let wrong = |what: &str| Err(format!("{} with {room:?}: {what}: {:?}\n{stderr}", operation.name(), output.status));

    // What was in the small file system takes the place of the tree.
    fs::remove_dir_all(&tree).unwrap();
    if fs::rename(place.path().join("etc.after"), &tree).is_err() {
        return wrong("the small file system cannot be made");
    }
    look::live(&tree)?;
    let progress = operation.progress(&tree, &before)?;
    match output.status.code() {
        Some(0) if progress == Progress::New => {}
        Some(1) => {
            let line =
                stderr.lines().find(|line| line.contains("No space left") || line.contains("no inodes are left"));
            if line.is_none_or(|line| !line.contains(tree.to_str().unwrap())) {
                return wrong("no line with the place and the reason");
            }
        }
        _ => return wrong("neither success nor failure"),
    }
    if let Some(key) = look::open_key(&tree) {
        return wrong(&format!("{} can be read by others", key.display()));
    }

    let arguments = operation.arguments(world, place.path());
    if progress == Progress::Old {
        let mut again: Vec<&str> = arguments.iter().map(String::as_str).collect();
        if again[0] == "renew" {
            again.push("--force-renewal");
        }
        let run = world.run(&place, &again);
        if run.code != Some(0) || operation.progress(&tree, &before)? == Progress::Old {
            return wrong(&format!("it cannot be done afterwards: {run:?}"));
        }
    } else {
        let run = world.run(&place, &RENEW);
        if run.code != Some(0) {
            return wrong(&format!("the next run fails: {run:?}"));
        }
    }
    let left = look::leftovers(&tree);
    if left.is_empty() { Ok(Squeezed { progress, orders }) } else { wrong(&format!("left behind: {left:?}")) }
}
