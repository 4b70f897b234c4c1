//! A child process: what it prints, the signals it gets, how it ends.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;

use super::eventually::eventually;

/// A running child. It is killed when dropped; what it wrote to standard error is shown if the test fails.
pub struct Process {
    name: String,
    child: Child,
    ended: Option<ExitStatus>,
    stdout: Output,
    stderr: Output,
    // Children that read standard input end with it, so this outlives them.
    _stdin: Option<ChildStdin>,
}

impl Process {
    /// Starts `command`; `name` is for messages.
    pub fn spawn(name: impl Into<String>, command: Command) -> Result<Self> {
        Self::spawn_logged(name, command, None)
    }

    /// The same; all that it writes to standard error goes to `log` as well.
    pub fn spawn_logged(
        name: impl Into<String>,
        mut command: Command,
        log: Option<File>,
    ) -> Result<Self> {
        let name = name.into();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {name}: {:?}", command.get_program()))?;
        Ok(Self {
            name,
            ended: None,
            stdout: Output::collect(child.stdout.take(), None),
            stderr: Output::collect(child.stderr.take(), log),
            _stdin: child.stdin.take(),
            child,
        })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Sends `signal`. An error if the process has ended.
    pub fn signal(&mut self, signal: Signal) -> Result<()> {
        if let Some(status) = self.ended()? {
            bail!("{} has ended already: {status}", self.name);
        }
        kill(pid(self.child.id()), signal).with_context(|| format!("cannot signal {}", self.name))
    }

    /// Stops the process (SIGSTOP), and returns when none of its threads runs any more.
    pub fn freeze(&mut self) -> Result<()> {
        self.signal(Signal::SIGSTOP)?;
        match waitpid(pid(self.child.id()), Some(WaitPidFlag::WUNTRACED))? {
            WaitStatus::Stopped(..) => Ok(()),
            other => bail!("{} was to be stopped: {other:?}", self.name),
        }
    }

    /// How the process ended, if it has.
    pub fn ended(&mut self) -> Result<Option<ExitStatus>> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait()?;
        }
        Ok(self.ended)
    }

    /// Waits for the end, at most `within`.
    pub async fn end(&mut self, within: Duration) -> Result<ExitStatus> {
        let what = format!("the end of {}", self.name);
        let status = eventually(&what, within, async || self.ended().transpose()).await??;
        self.stdout.finish();
        self.stderr.finish();
        Ok(status)
    }

    /// The next line of standard output for which `found` has an answer; it and those before it are taken. An error if
    /// the process ends, or `within` passes, before there is one.
    pub async fn line<T>(
        &mut self,
        within: Duration,
        found: impl Fn(&str) -> Option<T>,
    ) -> Result<T> {
        let what = format!("a line from {}", self.name);
        let answer = eventually(&what, within, async || {
            // Asked first, so that the last words of a process that has just ended are still read.
            let ended = self.ended();
            if let Some(answer) = self.stdout.take(&found) {
                return Some(Ok(answer));
            }
            match ended {
                Ok(None) => None,
                Ok(Some(status)) => {
                    self.stdout.finish();
                    let ended = || anyhow!("it ended early: {status}");
                    Some(self.stdout.take(&found).ok_or_else(ended))
                }
                Err(error) => Some(Err(error)),
            }
        })
        .await
        .and_then(|answer| answer);
        answer.with_context(|| format!("{} said on standard error:\n{}", self.name, self.stderr()))
    }

    /// The last lines of standard output that were not taken.
    pub fn stdout(&self) -> String {
        self.stdout.text()
    }

    /// The last lines of standard error.
    pub fn stderr(&self) -> String {
        self.stderr.text()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Ok(None) = self.ended() {
            // Neither can fail for a child that has not been waited for, and nobody could be told.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
        // Captured, and shown only if the test fails.
        self.stderr.finish();
        eprintln!("--- {} ---\n{}", self.name, self.stderr());
    }
}

/// The children of a process. Servers like PostgreSQL give each of theirs a session of its own, so that no signal to
/// a process group reaches them.
pub fn children_of(parent: u32) -> Result<Vec<u32>> {
    let table = process_table()?;
    Ok(table
        .into_iter()
        .filter(|row| row.parent == parent)
        .map(|row| row.id)
        .collect())
}

/// Whether one of `processes` still runs. One that has ended and was not waited for does not.
pub fn any_runs(processes: &[u32]) -> bool {
    process_table().is_ok_and(|table| {
        table
            .iter()
            .any(|row| processes.contains(&row.id) && !row.state.starts_with('Z'))
    })
}

/// Sends `signal` to each of `processes` that still runs.
pub fn signal_all(processes: &[u32], signal: Signal) {
    for &id in processes {
        // One that ended meanwhile needs no signal.
        let _ = kill(pid(id), signal);
    }
}

struct ProcessRow {
    id: u32,
    parent: u32,
    state: String,
}

fn process_table() -> Result<Vec<ProcessRow>> {
    let output = Command::new("ps")
        .args(["-A", "-o", "pid=,ppid=,stat="])
        .output()
        .context("cannot start ps")?;
    let rows = String::from_utf8(output.stdout)?;
    Ok(rows
        .lines()
        .filter_map(|row| {
            let mut columns = row.split_whitespace();
            Some(ProcessRow {
                id: columns.next()?.parse().ok()?,
                parent: columns.next()?.parse().ok()?,
                state: columns.next()?.to_owned(),
            })
        })
        .collect())
}

/// `id` as the signal functions want it.
fn pid(id: u32) -> Pid {
    Pid::from_raw(id.try_into().expect("process ids fit in 31 bits"))
}

const LINES_KEPT: usize = 2_000;

/// The last lines of a stream, collected by a thread.
struct Output {
    lines: Arc<Mutex<VecDeque<String>>>,
    reader: Option<JoinHandle<()>>,
}

impl Output {
    fn collect(stream: Option<impl Read + Send + 'static>, mut log: Option<File>) -> Self {
        let lines = Arc::new(Mutex::new(VecDeque::new()));
        let sink = Arc::clone(&lines);
        let reader = stream.map(|stream| {
            std::thread::spawn(move || {
                for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                    if let Some(log) = &mut log {
                        log.write_all(&line)
                            .and_then(|()| log.write_all(b"\n"))
                            .expect("the log is kept");
                    }
                    let mut lines = sink.lock().unwrap_or_else(PoisonError::into_inner);
                    if lines.len() == LINES_KEPT {
                        lines.pop_front();
                    }
                    lines.push_back(String::from_utf8_lossy(&line).into_owned());
                }
            })
        });
        Self { lines, reader }
    }

    /// Reads to the end of the stream, once the process has ended. A child of its own that still runs may hold the
    /// stream open, so this waits for a second at most.
    fn finish(&self) {
        let deadline = Instant::now() + Duration::from_secs(1);
        while !self.reader.as_ref().is_none_or(JoinHandle::is_finished) && Instant::now() < deadline
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn take<T>(&self, found: impl Fn(&str) -> Option<T>) -> Option<T> {
        let mut lines = self.lock();
        while let Some(line) = lines.pop_front() {
            if let Some(answer) = found(&line) {
                return Some(answer);
            }
        }
        None
    }

    fn text(&self) -> String {
        let lines: Vec<_> = self.lock().iter().cloned().collect();
        lines.join("\n")
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<String>> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
