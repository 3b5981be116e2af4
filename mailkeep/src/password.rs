//! Where passwords come from: a prompt without echo, a file, or one line of standard input. Never an argument, since
//! every user of a machine can read those. And passwords made by the program.

use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::{BufRead, BufReader, IsTerminal, Read};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Most bytes that are read while looking for the line's end: a password of the greatest length, and its line end.
const MAX_LINE_BYTES: u64 = auth::MAX_PASSWORD_BYTES as u64 + 2;

/// How a password is given.
#[derive(Debug, Clone, clap::Args)]
#[group(multiple = false)]
pub(crate) struct Source {
    /// Read the password from standard input: one line
    #[arg(long)]
    password_stdin: bool,
    /// Read the password from the first line of a file
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
}

impl Source {
    /// Whether the command line says where the password comes from.
    pub(crate) fn is_given(&self) -> bool {
        self.password_stdin || self.password_file.is_some()
    }

    /// Reads the password; asks for it twice at a terminal.
    pub(crate) fn read(&self, user: &str) -> Result<Zeroizing<String>> {
        self.read_as("Password", user)
    }

    /// As [`Source::read`], where the present one was asked for before.
    pub(crate) fn read_new(&self, user: &str) -> Result<Zeroizing<String>> {
        self.read_as("New password", user)
    }

    fn read_as(&self, what: &str, user: &str) -> Result<Zeroizing<String>> {
        if let Some(path) = &self.password_file {
            let file = File::open(path).with_context(|| path.display().to_string())?;
            return first_line(file).with_context(|| path.display().to_string());
        }
        if self.password_stdin {
            return first_line(std::io::stdin().lock()).context("standard input");
        }
        ensure!(
            std::io::stdin().is_terminal(),
            "there is no terminal to ask for a password at; use --password-stdin or --password-file FILE"
        );
        let ask = |prompt: String| rpassword::prompt_password(prompt).map(Zeroizing::new);
        let shown = crate::output::clean(user);
        let password = ask(format!("{what} for {shown}: ")).context("prompt")?;
        let again = ask(format!("The same again for {shown}: ")).context("prompt")?;
        if *password != *again {
            bail!("the two passwords differ; nothing was changed");
        }
        Ok(password)
    }
}

/// The file descriptor from which the password of a login comes, where no argument says so.
const LOGIN_DESCRIPTOR: &str = "MAILKEEP_PASSWORD_FD";

/// The password of whoever gives a command: from a file, standard input, the descriptor that the environment names, or a prompt.
pub(crate) fn of_login(user: &str, file: Option<&Path>, stdin: bool) -> Result<Zeroizing<String>> {
    if let Some(path) = file {
        let file = File::open(path).with_context(|| path.display().to_string())?;
        return first_line(file).with_context(|| path.display().to_string());
    }
    if stdin {
        return first_line(std::io::stdin().lock()).context("standard input");
    }
    if let Some(number) = std::env::var_os(LOGIN_DESCRIPTOR) {
        let number: Option<u32> = number.to_str().and_then(|number| number.parse().ok());
        let number = number.with_context(|| format!("{LOGIN_DESCRIPTOR} is no number"))?;
        let file = File::open(format!("/proc/self/fd/{number}"));
        return file.map_err(Into::into).and_then(first_line).context(LOGIN_DESCRIPTOR);
    }
    ensure!(
        std::io::stdin().is_terminal(),
        "there is no terminal to ask for a password at; use --login-password-stdin or --login-password-file FILE"
    );
    let prompt = format!("Password for {}: ", crate::output::clean(user));
    rpassword::prompt_password(prompt).map(Zeroizing::new).context("prompt")
}

/// The first line, without its end.
fn first_line(source: impl Read) -> Result<Zeroizing<String>> {
    // Reserved whole, so that growing leaves no copies behind.
    let mut line = Zeroizing::new(Vec::with_capacity(auth::MAX_PASSWORD_BYTES + 2));
    BufReader::with_capacity(1, source.take(MAX_LINE_BYTES)).read_until(b'\n', &mut line)?;
    if line.last() == Some(&b'\n') {
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
    }
    ensure!(!line.is_empty(), "the password's line is empty");
    ensure!(line.len() <= auth::MAX_PASSWORD_BYTES, "the password is longer than 1,024 bytes");
    let text = std::str::from_utf8(&line).ok().context("the password is not UTF-8")?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// A random password of 20 letters and digits that are hard to mistake for each other (100 bits).
pub(crate) fn random() -> Result<Zeroizing<String>> {
    const SIGNS: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
    let mut random = Zeroizing::new([0u8; 20]);
    getrandom::fill(random.as_mut_slice()).map_err(|error| anyhow::anyhow!("no randomness: {error}"))?;
    let mut password = Zeroizing::new(String::with_capacity(24));
    for (i, byte) in random.iter().enumerate() {
        if i > 0 && i % 5 == 0 {
            password.push('-');
        }
        password.extend(SIGNS.get(usize::from(byte % 32)).map(|&sign| char::from(sign)));
    }
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_read_and_its_end_left_out() {
        for (input, password) in [
            ("correct horse\nmore\n", "correct horse"),
            ("correct horse\r\n", "correct horse"),
            ("correct horse", "correct horse"),
            (" blanks count ", " blanks count "),
        ] {
            assert_eq!(first_line(input.as_bytes()).unwrap().as_str(), password);
        }
        for bad in [&b""[..], b"\n", b"\r\n", b"\xff\xfe rubbish\n"] {
            assert!(first_line(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_line_is_read_up_to_the_bound() {
        let longest = "x".repeat(auth::MAX_PASSWORD_BYTES);
        assert_eq!(first_line(format!("{longest}\r\n").as_bytes()).unwrap().as_str(), longest);
        assert!(first_line(format!("{longest}x\n").as_bytes()).is_err());
        assert!(first_line(std::io::repeat(b'x')).is_err(), "an endless line ends");
    }

    #[test]
    fn random_passwords_pass_the_rules_and_differ() {
        let (a, b) = (random().unwrap(), random().unwrap());
        auth::check_password(&a).unwrap();
        assert_eq!(a.len(), 23);
        assert_ne!(*a, *b);
    }
}
