//! Secrets that a command prints, such as the client of a key management service.

use std::io::{self, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use zeroize::Zeroizing;

use super::secret::LONGEST;

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much of its last words is told if it fails.
const LAST_WORDS: usize = 400;

const POLL: Duration = Duration::from_millis(5);

/// What `words`, a program and its arguments, print to standard output. There is no shell, standard input is empty, and
/// the environment is this process's own.
///
/// An error tells how it ended and its last words on standard error, nothing of its output. Blocks until the command
/// has ended, or for half a minute, after which it is killed.
pub(super) fn output_of(words: &[String]) -> Result<Zeroizing<Vec<u8>>, String> {
    output_within(words, PATIENCE)
}

fn output_within(words: &[String], patience: Duration) -> Result<Zeroizing<Vec<u8>>, String> {
    let (program, arguments) = words.split_first().ok_or("names no program")?;
    let told = |why: String| format!("command {program} {why}");
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| told(format!("cannot be started: {error}")))?;
    let output = beside(child.stdout.take(), read_output);
    let words = beside(child.stderr.take(), |stream| Ok(last_words(stream)));

    let deadline = Instant::now() + patience;
    let left = || deadline.saturating_duration_since(Instant::now());
    // A child of its own that goes on may hold its output open, so nothing here waits without an end.
    let found = output.recv_timeout(left());
    if matches!(&found, Ok(Ok(bytes)) if bytes.len() > LONGEST) {
        // It would wait, or fail, since nobody reads on.
        end(&mut child, Instant::now()).map_err(|error| told(error.to_string()))?;
        return Err(told("printed more than 64 KiB".to_owned()));
    }
    let Some(status) = end(&mut child, deadline).map_err(|error| told(error.to_string()))? else {
        return Err(told(format!("did not end within {patience:?}")));
    };
    if !status.success() {
        let words = words.recv_timeout(left().min(Duration::from_secs(1)));
        let words = words.ok().and_then(Result::ok).unwrap_or_default();
        let separator = if words.is_empty() { "" } else { ": " };
        return Err(told(format!("ended with {status}{separator}{words}")));
    }
    match found {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(error)) => Err(told(format!("cannot be read: {error}"))),
        Err(_) => Err(told(format!("did not end within {patience:?}"))),
    }
}

/// Reads a stream to its end in a thread of its own.
fn beside<S, T>(
    stream: Option<S>,
    read: impl FnOnce(S) -> io::Result<T> + Send + 'static,
) -> Receiver<io::Result<T>>
where
    S: Send + 'static,
    T: Send + 'static,
{
    let (tell, told) = channel();
    if let Some(stream) = stream {
        // Nobody listens any more if the command took too long.
        std::thread::spawn(move || drop(tell.send(read(stream))));
    }
    told
}

/// All room is taken at once, since a buffer that grows leaves copies behind.
fn read_output(stream: impl Read) -> io::Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(LONGEST + 1));
    stream.take(LONGEST as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The end of what a stream says, in one line.
fn last_words(mut stream: impl Read) -> String {
    let mut kept = Vec::new();
    let mut part = [0; 1024];
    while let Ok(read @ 1..) = stream.read(&mut part) {
        kept.extend_from_slice(&part[..read]);
        kept.drain(..kept.len().saturating_sub(LAST_WORDS));
    }
    let words = String::from_utf8_lossy(&kept);
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Waits until the child has ended, or kills it at the deadline: then there is no status.
fn end(child: &mut Child, deadline: Instant) -> io::Result<Option<ExitStatus>> {
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if Instant::now() >= deadline {
            child.kill()?;
            child.wait()?;
            return Ok(None);
        }
        std::thread::sleep(POLL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh(script: &str) -> Vec<String> {
        ["sh", "-c", script].map(str::to_owned).to_vec()
    }

    #[test]
    fn what_a_command_prints_is_taken_whole() {
        let words = ["printf", "%s|", "a b", "$HOME"].map(str::to_owned);
        let printed = output_of(&words).unwrap();
        assert_eq!(printed.as_slice(), b"a b|$HOME|", "there is no shell");
        assert!(output_of(&sh("cat")).unwrap().is_empty(), "nothing to read");
    }

    #[test]
    fn a_command_that_fails_tells_its_last_words_and_not_its_output() {
        let script = "echo hush; seq 1000 >&2; echo 'access\ndenied' >&2; exit 3";
        let error = output_of(&sh(script)).unwrap_err();
        assert!(
            error.starts_with("command sh ended with exit status: 3: "),
            "{error}"
        );
        assert!(error.ends_with(" 999 1000 access denied"), "{error}");
        assert!(!error.contains("hush") && error.len() < 500, "{error}");
        assert_eq!(
            output_of(&["/nowhere/kms".to_owned()]).unwrap_err(),
            "command /nowhere/kms cannot be started: No such file or directory (os error 2)"
        );
        let long = output_of(&sh("seq 100000")).unwrap_err();
        assert_eq!(long, "command sh printed more than 64 KiB");
    }

    #[test]
    fn a_command_that_does_not_end_is_killed() {
        let begun = Instant::now();
        for script in ["exec sleep 5", "sleep 5 & echo done", "exec >&-; sleep 5"] {
            let error = output_within(&sh(script), Duration::from_millis(200)).unwrap_err();
            assert_eq!(error, "command sh did not end within 200ms", "{script}");
        }
        assert!(begun.elapsed() < Duration::from_secs(4));
    }
}
