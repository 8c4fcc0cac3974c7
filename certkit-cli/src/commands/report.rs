//! `report`: how every certificate is, as a page.

use std::fs::{self, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use clap::Args as _;

use certkit_core::escape;

use super::plan::{USUAL_SPAN, foretell};
use super::{Command, Context, Operands, foresight};
use crate::exit::{CommandError, Exit};
use crate::render::report::{Page, html};
use crate::ui::shown;

/// Write how every certificate is as a page
///
/// Writes one file of HTML that can be sent, put on a web server or opened as it is: it loads nothing and runs nothing. It
/// shows what failed and what to do about it, a time line of the next 120 days with the time for each renewal and each
/// expiry, the renewals to come by day, all certificates in a table, what changes when certificates get shorter, and what
/// else was found. It holds names and no secrets: commands of hooks are left out.
///
/// An existing file is replaced as a whole, and keeps its mode. The exit status is 0 whatever the page says.
#[derive(clap::Args)]
struct About {}

/// `report`.
pub(crate) const COMMAND: Command = Command {
    name: "report",
    describe: About::augment_args,
    usage: "--html FILE",
    flags: &["html", "cert_name"],
    writes: false,
    operands: Operands::None,
    run,
};

/// What anybody may read, as far as the umask allows.
const MODE: u32 = 0o644;

fn run(context: &Context<'_>) -> Result<Exit, CommandError> {
    context.refuse_other_flags(&COMMAND)?;
    let Some(file) = &context.invocation.typed.view.html else {
        return Err(CommandError::usage("`certkit report` needs to know where the page goes")
            .with_cure("add --html FILE, or --html - for standard output"));
    };
    let is_stdout = file.as_os_str() == "-";
    if is_stdout && context.ui.voice().json {
        return Err(CommandError::usage("--html - and --json both want standard output")
            .with_cure("name a file for the page, or use `certkit status --json`"));
    }
    let name = context.invocation.cert_name()?;
    let (foresight, findings) = foresight::look_at_everything(context, name.as_ref())?;
    let foretold = foretell(context, &foresight, foresight.survey.now + USUAL_SPAN, None);
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let page = html(&Page { foresight: &foresight, findings: &findings, foretold: &foretold, host: &escape(&host) })?;
    if is_stdout {
        context.ui.plain(&page);
        return Ok(Exit::Well);
    }
    let file = std::path::absolute(file).unwrap_or_else(|_| file.clone());
    write(&file, page.as_bytes())?;
    context.ui.result(&format!("The page is in {}.\n", shown(&file)));
    if context.ui.voice().json {
        context.ui.json(&serde_json::json!({ "schema": 1, "html": file.to_string_lossy(), "bytes": page.len() }));
    }
    Ok(Exit::Well)
}

/// Whoever reads the file finds the old page or the new one, whole. Nothing is followed: in a folder where others may write,
/// a link with the name of the page would lead to a file that is not ours to replace.
fn write(file: &Path, content: &[u8]) -> Result<(), CommandError> {
    let refuse = |what: &str, cure: &str| Err(CommandError::failed(format!("{} {what}", shown(file))).with_cure(cure));
    let mode = match fs::symlink_metadata(file) {
        Ok(meta) if meta.is_symlink() => return refuse("is a link", "name the file itself, or - for standard output"),
        Ok(meta) if meta.is_dir() => return refuse("is a directory", "name a file in it"),
        Ok(meta) if !meta.is_file() => return refuse("is no file", "name a file, or - for standard output"),
        // What others own is replaced by what is ours, mode and all.
        Ok(meta) if meta.uid() == rustix::process::geteuid().as_raw() => Some(meta.mode() & 0o755),
        Ok(_) => None,
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(cannot(file, &error)),
    };
    replace(file, content, mode).map_err(|error| cannot(file, &error))
}

fn replace(file: &Path, content: &[u8], mode: Option<u32>) -> io::Result<()> {
    let folder = file.parent().unwrap_or_else(|| Path::new("/"));
    // Opened by a new name, and only if there is nothing of that name.
    let mut new = tempfile::Builder::new()
        .prefix(".certkit-report-")
        .permissions(Permissions::from_mode(MODE))
        .tempfile_in(folder)?;
    new.write_all(content)?;
    if let Some(mode) = mode {
        new.as_file().set_permissions(Permissions::from_mode(mode))?;
    }
    new.as_file().sync_all()?;
    new.persist(file).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

fn cannot(file: &Path, error: &io::Error) -> CommandError {
    CommandError::failed(format!("cannot write {}: {error}", shown(file)))
        .with_cure("name a file in a folder that is there and that you may write to")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_replaces_the_one_before_as_a_whole_and_keeps_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("page.html");
        write(&file, b"one").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o133, 0, "nobody else may write it, and it runs nothing");
        fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
        let before = File::open(&file).unwrap();
        write(&file, b"two").unwrap();
        assert_eq!((fs::read(&file).unwrap(), fs::metadata(&file).unwrap().mode() & 0o777), (b"two".to_vec(), 0o640));
        assert_eq!(io::read_to_string(before).unwrap(), "one", "a reader keeps what it has opened");
        fs::set_permissions(&file, Permissions::from_mode(0o666)).unwrap();
        write(&file, b"three").unwrap();
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o644);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn nothing_is_followed_and_nothing_else_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let precious = folder.path().join("precious");
        fs::write(&precious, "precious").unwrap();
        let link = folder.path().join("link.html");
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        let said = |file: &Path| write(file, b"page").unwrap_err().what;
        assert!(said(&link).ends_with("is a link"));
        assert!(said(folder.path()).ends_with("is a directory"));
        assert!(said(Path::new("/dev/null")).ends_with("is no file"));
        assert!(said(&folder.path().join("missing/page.html")).contains("No such file"));
        assert_eq!(fs::read(&precious).unwrap(), b"precious");
    }
}
