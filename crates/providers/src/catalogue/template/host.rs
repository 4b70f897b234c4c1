//! Hosts that a credential may lead to.

use std::fmt;

use url::{Host, Url};

/// A host that a credential may lead to: `api.example.com`, or `*.example.com` for every host below it. A
/// port that is not the scheme's own must be named: `127.0.0.1:8080`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPattern {
    host: String,
    below: bool,
    port: Option<u16>,
}

impl HostPattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mistake =
            || format!("must be a host or *. and a domain of two labels or more, not {text:?}");
        let (pattern, below) = match text.strip_prefix("*.") {
            Some(domain) => (domain, true),
            None => (text, false),
        };
        let url = Url::parse(&format!("https://{pattern}/")).map_err(|_| mistake())?;
        let host = url.host_str().ok_or_else(mistake)?.to_owned();
        let plain = url.path() == "/" && url.username().is_empty() && !pattern.contains(['/', '*']);
        if !plain || (below && !host.contains('.')) {
            return Err(mistake());
        }
        let port = url.port();
        Ok(Self { host, below, port })
    }

    pub(super) fn matches(&self, url: &Url) -> bool {
        let Some(host) = url.host_str() else {
            return false;
        };
        let host_fits = if self.below {
            host.strip_suffix(&self.host)
                .is_some_and(|front| front.len() > 1 && front.ends_with('.'))
        } else {
            host == self.host
        };
        host_fits && url.port() == self.port
    }

    /// Whether it admits a host and port that end in `end`, a piece of a URL.
    pub(super) fn may_end_in(&self, end: &str) -> bool {
        let (domain, port) = match end.rsplit_once(':') {
            Some((domain, port)) => (domain, port.parse().ok()),
            None if end.is_empty() => return true,
            None => (end, None),
        };
        let is_usual = |port: &u16| [80, 443].contains(port);
        if port != self.port && !(self.port.is_none() && port.as_ref().is_some_and(is_usual)) {
            return false;
        }
        let (domain, below) = (domain.to_ascii_lowercase(), format!(".{}", self.host));
        if self.below {
            below.ends_with(&domain) || domain.ends_with(&below)
        } else {
            self.host.len() > domain.len() && self.host.ends_with(&domain)
        }
    }

    /// Whether it admits a host that begins with `start`, a piece of a URL's host before its first placeholder.
    pub(super) fn may_begin_with(&self, start: &str) -> bool {
        self.below || self.host.starts_with(&start.to_ascii_lowercase())
    }

    pub(super) fn is_loopback(&self) -> bool {
        let url = Url::parse(&format!("http://{}/", self.host));
        !self.below && url.is_ok_and(|url| is_loopback(&url))
    }
}

/// As it is written in an entry.
impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let front = if self.below { "*." } else { "" };
        write!(f, "{front}{}", self.host)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

/// Every one of `patterns`, for a message.
pub(super) fn listed(patterns: &[HostPattern]) -> String {
    if patterns.is_empty() {
        return "none".to_owned();
    }
    let list: Vec<String> = patterns.iter().map(HostPattern::to_string).collect();
    list.join(", ")
}

/// Whether the URL's host is this machine: 127.0.0.0/8, ::1, or `localhost` (RFC 6761 section 6.3).
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}
