//! How the process ends: a code for scripts, and one line for people.

use std::fmt;
use std::io;
use std::process::ExitCode;

use tonic::{Code, Status};

use super::connection::hint;
use super::status_line::status_line;
use crate::app::ServeError;
use crate::config::ConfigError;

/// The exit codes. 64 and 69 are those of sysexits.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// All went well.
    Success = 0,
    /// It failed.
    Failure = 1,
    /// The command line or the configuration is wrong; one line says where.
    Usage = 64,
    /// A dependency, or the server that a verb talks to, is out of reach.
    Unreachable = 69,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a verb failed. Displays as one line.
#[derive(Debug)]
pub enum Failure {
    /// The arguments contradict each other, or what they name is no good.
    Usage(String),
    /// The configuration is refused.
    Config(ConfigError),
    /// The server cannot be reached.
    Unreachable(String),
    /// The server answered with an error.
    Refused(Box<Status>),
    /// The service ended.
    Service(ServeError),
    /// The output cannot be written.
    Output(io::Error),
    /// Anything else.
    Other(String),
}

impl Failure {
    /// The code to exit with. A reader that went away, as `head` does, is no failure.
    pub fn exit(&self) -> Exit {
        match self {
            Self::Usage(_)
            | Self::Config(_)
            | Self::Service(ServeError::Config(_) | ServeError::Unusable(_)) => Exit::Usage,
            Self::Unreachable(_) | Self::Service(ServeError::Unreachable { .. }) => {
                Exit::Unreachable
            }
            Self::Output(error) if error.kind() == io::ErrorKind::BrokenPipe => Exit::Success,
            Self::Refused(status) if hint::is_no_grpc(status) => Exit::Unreachable,
            Self::Refused(_)
            | Self::Service(ServeError::Failed(_))
            | Self::Output(_)
            | Self::Other(_) => Exit::Failure,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = match self {
            Self::Usage(why) | Self::Unreachable(why) | Self::Other(why) => why.clone(),
            Self::Config(error) => error.to_string(),
            Self::Refused(status) => match hint::of(status) {
                None => status_line(status),
                Some(hint) => format!("{}; {hint}", status_line(status)),
            },
            Self::Service(error) => error.to_string(),
            Self::Output(error) => format!("the output cannot be written: {error}"),
        };
        f.write_str(&line.replace(char::is_control, " "))
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

/// What the transport says when the time of a call is over. It calls that a cancellation.
const TIMEOUT_EXPIRED: &str = "Timeout expired";

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let is_late = status.code() == Code::Cancelled && status.message() == TIMEOUT_EXPIRED;
        Self::Refused(Box::new(match is_late {
            true => Status::deadline_exceeded("no answer came within --timeout"),
            false => status,
        }))
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        Self::Service(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Output(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replica::Unfinished;

    #[test]
    fn each_failure_has_its_code() {
        let pipe = io::Error::from(io::ErrorKind::BrokenPipe);
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let unreachable = ServeError::Unreachable {
            what: "the store",
            why: String::new(),
        };
        let left = Unfinished {
            refreshes: 1,
            streams: 0,
            records: 0,
        };
        for (failure, code) in [
            (Failure::Usage(String::new()), 64),
            (Failure::Unreachable(String::new()), 69),
            (Failure::from(unreachable), 69),
            (Failure::from(ServeError::from(left)), 1),
            (Failure::from(Status::not_found("x")), 1),
            (Failure::from(Status::unimplemented("no such method")), 1),
            (
                Failure::from(Status::unimplemented("grpc-status header missing")),
                69,
            ),
            (Failure::from(pipe), 0),
            (Failure::from(full), 1),
        ] {
            assert_eq!(failure.exit() as u8, code, "{failure:?}");
        }
    }

    #[test]
    fn a_call_that_took_too_long_is_told_as_a_deadline() {
        let late = Failure::from(Status::cancelled(TIMEOUT_EXPIRED)).to_string();
        assert_eq!(late, "DEADLINE_EXCEEDED: no answer came within --timeout");
        let cancelled = Failure::from(Status::cancelled("by the server")).to_string();
        assert_eq!(cancelled, "CANCELLED: by the server");
    }

    #[test]
    fn a_failure_is_one_line_whatever_it_quotes() {
        let shown = Failure::Other("a\nb\u{1b}[31m".into()).to_string();
        assert_eq!(shown, "a b [31m");
    }
}
