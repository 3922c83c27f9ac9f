//! Questions to a person at a terminal. Answers that are secret are not shown while they are typed.
//!
//! Where nobody sits at a terminal nothing is asked: the caller says then which flag answers instead.

use std::io::{self, IsTerminal as _, Read, Write as _};

use zeroize::Zeroizing;

/// Bytes of an answer; more is no typing.
const MAX_LINE: usize = 64 * 1024;

/// Says whether somebody can be asked.
pub(crate) fn is_possible() -> bool {
    io::stdin().is_terminal()
}

/// Asks for a line that may be seen; `None` when the person gave up.
pub(crate) fn line(question: &str) -> io::Result<Option<String>> {
    ask(question)?;
    let mut answer = String::new();
    let most = MAX_LINE as u64;
    let read = io::BufRead::read_line(&mut io::stdin().lock().take(most), &mut answer)?;
    Ok((read > 0).then(|| answer.trim().to_owned()))
}

/// Asks for a line that is not shown; `None` when the person gave up.
pub(crate) fn secret(question: &str) -> io::Result<Option<Zeroizing<String>>> {
    let answer = {
        // Before the question, for some type ahead.
        let _quiet = quiet::Quiet::begin()?;
        ask(question)?;
        typed(&mut quiet::Keys)
    };
    // The person's own Enter was not shown either.
    let _ = writeln!(io::stderr().lock());
    answer
}

fn ask(question: &str) -> io::Result<()> {
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question}: ")?;
    stderr.flush()
}

/// Puts keys together to a line, as a terminal does that shows it: with Backspace and Ctrl-U, until Enter or Ctrl-D.
/// Ctrl-C, and Ctrl-D in an empty line, give up.
fn typed(keys: &mut impl Read) -> io::Result<Option<Zeroizing<String>>> {
    const INTERRUPT: u8 = 0x03;
    const END: u8 = 0x04;
    const ERASE: [u8; 2] = [0x08, 0x7f];
    const KILL: u8 = 0x15;
    // Room at once: a buffer that grows leaves copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(MAX_LINE));
    let mut key = Zeroizing::new([0]);
    loop {
        let is_end = keys.read(key.as_mut())? == 0;
        match key[0] {
            INTERRUPT => return Ok(None),
            END if line.is_empty() => return Ok(None),
            _ if is_end && line.is_empty() => return Ok(None),
            _ if is_end => break,
            END | b'\n' | b'\r' => break,
            KILL => line.clear(),
            each if ERASE.contains(&each) => erase(&mut line),
            _ if line.len() == MAX_LINE => return Err(io::ErrorKind::FileTooLarge.into()),
            each => line.push(each),
        }
    }
    let text = std::str::from_utf8(&line).map_err(|_| io::ErrorKind::InvalidData)?;
    Ok(Some(Zeroizing::new(text.to_owned())))
}

/// Takes the last character away: its last byte, and those before up to its first.
fn erase(line: &mut Vec<u8>) {
    while line.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
}

#[cfg(unix)]
mod quiet {
    //! The terminal, told to hand over each key and to show none.

    use std::io::{self, Read};

    use rustix::stdio::stdin;
    use rustix::termios::{
        LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr,
    };

    /// As long as it lives, nothing that is typed is shown.
    pub(super) struct Quiet(Termios);

    impl Quiet {
        /// Begins. Keys that end a program are keys like others meanwhile, or it might end with the terminal still quiet.
        pub(super) fn begin() -> io::Result<Self> {
            let before = tcgetattr(stdin())?;
            let mut quiet = before.clone();
            let shown = LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG;
            quiet.local_modes.remove(shown);
            quiet.special_codes[SpecialCodeIndex::VMIN] = 1;
            quiet.special_codes[SpecialCodeIndex::VTIME] = 0;
            tcsetattr(stdin(), OptionalActions::Drain, &quiet)?;
            Ok(Self(before))
        }
    }

    impl Drop for Quiet {
        fn drop(&mut self) {
            let _ = tcsetattr(stdin(), OptionalActions::Drain, &self.0);
        }
    }

    /// The keys, without a buffer in which a secret would stay.
    pub(super) struct Keys;

    impl Read for Keys {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            loop {
                match rustix::io::read(stdin(), &mut *buffer) {
                    Err(rustix::io::Errno::INTR) => {}
                    read => return Ok(read?),
                }
            }
        }
    }
}

#[cfg(not(unix))]
mod quiet {
    //! Terminals of other systems are not known here, so that nothing secret can be asked.

    use std::io::{self, Read};

    pub(super) struct Quiet;

    impl Quiet {
        pub(super) fn begin() -> io::Result<Self> {
            Err(io::ErrorKind::Unsupported.into())
        }
    }

    pub(super) struct Keys;

    impl Read for Keys {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Ok(0)
        }
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test may panic")]
mod tests {
    use super::*;

    fn line_of(mut keys: &[u8]) -> Option<String> {
        typed(&mut keys).unwrap().map(|line| (*line).clone())
    }

    #[test]
    fn keys_make_a_line_as_a_terminal_would() {
        for (keys, expected) in [
            (&b"secret\nmore"[..], "secret"),
            (b" a b \r", " a b "),
            (b"secr\x7f\x7fs\x08t\n", "set"),
            ("äö\x7f\n".as_bytes(), "ä"),
            (b"\x7fwrong\x15right\n", "right"),
            (b"end\x04", "end"),
            (b"end", "end"),
            (b"\n", ""),
        ] {
            assert_eq!(line_of(keys).as_deref(), Some(expected), "{keys:?}");
        }
        for keys in [&b"sec\x03ret\n"[..], b"\x04", b""] {
            assert_eq!(line_of(keys), None, "{keys:?}");
        }
    }

    #[test]
    fn what_is_no_text_or_no_typing_is_refused() {
        let kind = |mut keys: &[u8]| typed(&mut keys).unwrap_err().kind();
        assert_eq!(kind(b"\xff\n"), io::ErrorKind::InvalidData);
        assert_eq!(kind(&vec![b'a'; MAX_LINE + 1]), io::ErrorKind::FileTooLarge);
    }
}
