//! The alternate screen of a terminal, and its keys.

use std::io::{Read, Write, stdin};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use vip::{Line, Printable};

use crate::cli::output;

/// A pressed key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// `q`, Ctrl-C or Ctrl-D.
    Quit,
    Letter(char),
}

/// The alternate screen, until this is dropped.
pub(super) struct Screen {
    /// The settings to restore. None: standard input is no terminal, and no keys are read.
    before: Option<Termios>,
}

impl Screen {
    /// Switches to the alternate screen, and reads single keys.
    pub(super) fn open() -> Result<Self> {
        let before = tcgetattr(stdin()).ok();
        if let Some(before) = &before {
            let mut now = before.clone();
            now.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
            tcsetattr(stdin(), OptionalActions::Flush, &now).context("cannot read single keys")?;
        }
        let screen = Self { before };
        // The alternate screen, without a cursor.
        print_codes("\x1b[?1049h\x1b[?25l")?;
        Ok(screen)
    }

    /// Returns columns and rows.
    #[expect(clippy::unused_self, reason = "there is a size only while it is open")]
    pub(super) fn size(&self) -> (u16, u16) {
        terminal_size().unwrap_or((80, 24))
    }

    /// Shows these lines, each cut at the right edge.
    #[expect(clippy::unused_self, reason = "it can be drawn on only while it is open")]
    pub(super) fn draw(&self, lines: &[Line], width: usize) -> Result<()> {
        let mut out = anstream::stdout().lock();
        write!(out, "\x1b[H")?;
        for line in lines {
            write!(out, "\x1b[2K")?;
            output::print_line(&mut out, &cut_line(line, width))?;
        }
        write!(out, "\x1b[J")?;
        out.flush()?;
        Ok(())
    }

    /// Waits for a key, at most `patience`.
    pub(super) fn read_key(&self, patience: Duration) -> Result<Option<Key>> {
        if self.before.is_none() {
            std::thread::sleep(patience);
            return Ok(None);
        }
        let end = Instant::now() + patience;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let stdin = stdin();
            let mut fds = [PollFd::new(&stdin, PollFlags::IN)];
            let left = Timespec::try_from(left).context("that is too long")?;
            match poll(&mut fds, Some(&left)) {
                // Timeout, or a signal, such as that of a changed window size.
                Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(None),
                Ok(_) => {}
                Err(error) => return Err(error).context("cannot wait for a key"),
            }
            let mut byte = [0];
            if stdin.lock().read(&mut byte)? == 0 {
                return Ok(Some(Key::Quit));
            }
            match byte[0] {
                // Ctrl-C and Ctrl-D.
                b'q' | 3 | 4 => return Ok(Some(Key::Quit)),
                letter if letter.is_ascii_lowercase() => {
                    return Ok(Some(Key::Letter(letter.into())));
                }
                _ => {}
            }
        }
    }
}

/// Returns columns and rows of standard output, if it is a terminal that knows them.
pub(super) fn terminal_size() -> Option<(u16, u16)> {
    let size = tcgetwinsize(std::io::stdout()).ok();
    let size = size.filter(|size| size.ws_col > 0 && size.ws_row > 0)?;
    Some((size.ws_col, size.ws_row))
}

/// Cuts a line at the right edge.
pub(super) fn cut_line(line: &Line, width: usize) -> Line {
    // The sign takes two columns.
    let text = Printable(&line.text).to_string().chars().take(width.saturating_sub(2)).collect();
    Line { text, ..line.clone() }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = print_codes("\x1b[?25h\x1b[?1049l");
        if let Some(before) = &self.before {
            let _ = tcsetattr(stdin(), OptionalActions::Flush, before);
        }
    }
}

fn print_codes(codes: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(codes.as_bytes())?;
    out.flush()?;
    Ok(())
}
