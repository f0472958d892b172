//! The only writer of standard output and standard error.
//!
//! What is printed is decided elsewhere: `output.rs` renders the balance, `error.rs` the errors.

use std::fs::File;
use std::io::{self, ErrorKind, Seek, SeekFrom, Write};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Kind, Result};
use crate::text::{Shown, shown};

/// How long to wait before writing again to a descriptor that does not block and has no room.
const RETRY_DELAY: Duration = Duration::from_millis(10);

/// Writes `bytes` to standard output. A reader that has gone away is not an error.
///
/// # Errors
/// When the bytes can't be written, to a full disk for example. A regular file is left as long as it was.
pub fn write_stdout(bytes: &[u8]) -> Result<()> {
    let Err(error) = try_write_stdout(bytes) else {
        return Ok(());
    };
    if error.kind() == ErrorKind::BrokenPipe {
        return Ok(());
    }
    let message = shown!("could not write the output: {}", Shown::reason(&error));
    Err(Error::new(Kind::Local, message))
}

/// Writes `text` to standard error. A failure is ignored; the exit code still says what happened.
pub fn write_stderr(text: &str) {
    let _ = write_patiently(io::stderr(), text.as_bytes());
}

fn try_write_stdout(bytes: &[u8]) -> io::Result<()> {
    // A console of Windows takes UTF-16, and only the standard library's handle converts.
    #[cfg(windows)]
    if io::IsTerminal::is_terminal(&io::stdout()) {
        io::stdout().write_all(bytes)?;
        return io::stdout().flush();
    }
    let file = stdout_as_file()?;
    // On Windows, pipes have no metadata.
    match file.metadata() {
        Ok(metadata) if metadata.is_file() => write_whole(file, bytes),
        _ => write_patiently(file, bytes),
    }
}

/// Standard output as a file. The standard library's own handle reports success for a descriptor that is not open
/// for writing.
fn stdout_as_file() -> io::Result<File> {
    #[cfg(unix)]
    let owned = std::os::fd::AsFd::as_fd(&io::stdout()).try_clone_to_owned()?;
    #[cfg(windows)]
    let owned = std::os::windows::io::AsHandle::as_handle(&io::stdout()).try_clone_to_owned()?;
    Ok(File::from(owned))
}

/// Writes to a regular file: all of `bytes` or nothing, as a part of a number must not stay there. Only if another
/// process appends at the same moment, the part stays.
fn write_whole(mut file: File, bytes: &[u8]) -> io::Result<()> {
    let written = loop {
        match file.write(bytes) {
            Ok(written) => break written,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    };
    if written == bytes.len() {
        return Ok(());
    }
    take_back(&mut file, written as u64)?;
    Err(io::Error::new(
        ErrorKind::StorageFull,
        "there is not enough space for it",
    ))
}

/// Removes the last `written` bytes before the position of `file`, unless another process has written behind them.
fn take_back(file: &mut File, written: u64) -> io::Result<()> {
    let end = file.stream_position()?;
    if file.metadata()?.len() > end {
        return Ok(());
    }
    let start = end.saturating_sub(written);
    file.set_len(start)?;
    file.seek(SeekFrom::Start(start))?;
    Ok(())
}

/// Writes to anything else, and waits for a slow reader, also if the descriptor does not block.
fn write_patiently(mut writer: impl Write, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match writer.write(bytes) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => bytes = &bytes[written..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => thread::sleep(RETRY_DELAY),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_part_is_taken_back_unless_another_process_has_written_behind_it() {
        for (written_behind, left) in [("", "before\n"), ("other\n", "before\n24other\n")] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log");
            fs::write(&path, "before\n").unwrap();
            let append = || File::options().append(true).open(&path).unwrap();
            let mut file = append();
            file.write_all(b"24").unwrap();
            append().write_all(written_behind.as_bytes()).unwrap();
            take_back(&mut file, 2).unwrap();
            assert_eq!(fs::read_to_string(&path).unwrap(), left);
        }
    }
}
