//! Texts with `{placeholders}`, and URLs made of them that cannot leave their allow-list.

use std::fmt;

use thiserror::Error;
use url::{Host, Url};

/// A text in which `{name}` stands for a value that is known only when a request is made. With `{name?}`, the whole
/// text counts for nothing where there is no value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    text: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Literal(String),
    Placeholder { name: String, optional: bool },
}

/// A value of an entry, and the key that it stands under, by which a mistake is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact<T> {
    /// The key with the tables it is in, e.g. `request.parameters.scope`.
    pub field: String,
    /// The value.
    pub value: T,
}

/// Why a template cannot be used, or not with the values at hand. Holds no value.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TemplateError {
    /// A brace without its partner, or a name of other characters than `a-z 0-9 _`.
    #[error("has a brace that encloses no placeholder of a-z, 0-9 and _")]
    Braces,
    /// A URL must be whole.
    #[error("is a URL, in which no placeholder can be left out")]
    OptionalInUrl,
    /// Nothing says what the placeholder stands for.
    #[error("placeholder {{{0}}} has no value")]
    NoValue(String),
    /// The value does not fit the place where it stands.
    #[error("the value of placeholder {{{0}}} does not fit there")]
    BadValue(String),
    /// The result is no URL.
    #[error("is no URL")]
    NoUrl,
    /// The URL carries a user name, a password or a fragment.
    #[error("must have no user name, password or fragment")]
    Extras,
    /// The URL is not https, and its host is no loopback address.
    #[error("must be https unless its host is a loopback address")]
    Insecure,
    /// The host depends on a credential, and is none of those allowed.
    #[error("leads to a host outside allowed_hosts")]
    HostNotAllowed,
    /// Whatever its placeholders stand for, it leads to no host of those allowed: what stands fast behind them, a
    /// domain or a port, fits none.
    #[error("can lead to no host of allowed_hosts, none of which ends in {0}")]
    NoHostFits(String),
}

impl Template {
    /// Reads a template.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some(brace) = rest.find(['{', '}']) {
            let (literal, from_brace) = rest.split_at(brace);
            let (name, after) = from_brace
                .strip_prefix('{')
                .and_then(|inner| inner.split_once('}'))
                .ok_or(TemplateError::Braces)?;
            let (name, optional) = match name.strip_suffix('?') {
                Some(name) => (name, true),
                None => (name, false),
            };
            if !is_placeholder(name) {
                return Err(TemplateError::Braces);
            }
            if !literal.is_empty() {
                parts.push(Part::Literal(literal.to_owned()));
            }
            parts.push(Part::Placeholder {
                name: name.to_owned(),
                optional,
            });
            rest = after;
        }
        if !rest.is_empty() {
            parts.push(Part::Literal(rest.to_owned()));
        }
        Ok(Self {
            text: text.to_owned(),
            parts,
        })
    }

    /// The names of its placeholders.
    pub fn placeholders(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Placeholder { name, .. } => Some(name.as_str()),
            Part::Literal(_) => None,
        })
    }

    /// The text with every placeholder replaced by its value as it is; `None` if an optional one has no value, or
    /// an empty one.
    pub fn fill<'v>(
        &self,
        lookup: impl Fn(&str) -> Option<&'v str>,
    ) -> Result<Option<String>, TemplateError> {
        let lacks = |part: &Part| match part {
            Part::Placeholder {
                name,
                optional: true,
            } => lookup(name).is_none_or(str::is_empty),
            _ => false,
        };
        if self.parts.iter().any(lacks) {
            return Ok(None);
        }
        self.fill_with(|name, _| value_of(name, &lookup).map(str::to_owned))
            .map(Some)
    }

    fn has_optional(&self) -> bool {
        let optional = |part: &Part| matches!(part, Part::Placeholder { optional: true, .. });
        self.parts.iter().any(optional)
    }

    /// `value` is given the name of a placeholder and the text before it.
    fn fill_with(
        &self,
        value: impl Fn(&str, &str) -> Result<String, TemplateError>,
    ) -> Result<String, TemplateError> {
        let mut filled = String::with_capacity(self.text.len());
        for part in &self.parts {
            match part {
                Part::Literal(text) => filled.push_str(text),
                Part::Placeholder { name, .. } => {
                    let value = value(name, &filled)?;
                    filled.push_str(&value);
                }
            }
        }
        Ok(filled)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// A URL with placeholders in its host, its path, its query, or for all of scheme and host together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrlTemplate {
    template: Template,
    open_host: bool,
}

impl UrlTemplate {
    /// Reads a URL. It must be https unless its host is a loopback address; a host with a placeholder needs
    /// one of `allowed`, and may be http only if all of those are loopback addresses.
    pub fn parse(text: &str, allowed: &[HostPattern]) -> Result<Self, TemplateError> {
        let template = Template::parse(text)?;
        if template.has_optional() {
            return Err(TemplateError::OptionalInUrl);
        }
        let open_host = opens_host(&template)?;
        if open_host {
            if allowed.is_empty() {
                return Err(TemplateError::HostNotAllowed);
            }
            let loopback_only = allowed.iter().all(HostPattern::is_loopback);
            if !(text.starts_with("https://") || text.starts_with('{') || loopback_only) {
                return Err(TemplateError::Insecure);
            }
            let end = fixed_end(text);
            if !allowed.iter().any(|pattern| pattern.may_end_in(end)) {
                return Err(TemplateError::NoHostFits(end.to_owned()));
            }
        }
        let sample = template.fill_with(|_, before| {
            Ok(match Place::after(before) {
                Place::Origin => "https://host.example".to_owned(),
                Place::Host if text.starts_with("http:") => "127.0.0.1".to_owned(),
                _ => "x".to_owned(),
            })
        })?;
        check(&sample)?;
        Ok(Self {
            template,
            open_host,
        })
    }

    /// The template, e.g. to list its placeholders.
    pub fn template(&self) -> &Template {
        &self.template
    }

    /// Whether a placeholder decides which host it leads to.
    pub fn has_open_host(&self) -> bool {
        self.open_host
    }

    /// The URL for these values. No value can change the scheme, lead to a host outside `allowed`, or add
    /// a segment to the path.
    pub fn fill<'v>(
        &self,
        lookup: impl Fn(&str) -> Option<&'v str>,
        allowed: &[HostPattern],
    ) -> Result<Url, TemplateError> {
        let text = self.template.fill_with(|name, before| {
            let value = value_of(name, &lookup)?;
            Place::after(before)
                .fit(value)
                .ok_or_else(|| TemplateError::BadValue(name.to_owned()))
        })?;
        let url = check(&text)?;
        if self.open_host && !allowed.iter().any(|pattern| pattern.matches(&url)) {
            return Err(TemplateError::HostNotAllowed);
        }
        Ok(url)
    }
}

impl fmt::Display for UrlTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.template.fmt(f)
    }
}

/// The part of a URL in which a placeholder stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Origin,
    Host,
    Path,
    Query,
}

impl Place {
    fn after(before: &str) -> Self {
        let Some((_, rest)) = before.split_once("://") else {
            return Self::Origin;
        };
        if rest.contains('?') {
            Self::Query
        } else if rest.contains('/') {
            Self::Path
        } else {
            Self::Host
        }
    }

    fn fit(self, value: &str) -> Option<String> {
        match self {
            Self::Origin => {
                let url = check(value).ok()?;
                let bare = url.path() == "/" && url.query().is_none();
                bare.then(|| url.origin().ascii_serialization())
            }
            Self::Host => {
                let host = |byte: u8| byte.is_ascii_alphanumeric() || b".-:".contains(&byte);
                (!value.is_empty() && value.bytes().all(host)).then(|| value.to_owned())
            }
            Self::Path => {
                let dots = value.bytes().all(|byte| byte == b'.');
                (!dots).then(|| percent_encode(value))
            }
            Self::Query => Some(percent_encode(value)),
        }
    }
}

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

    fn matches(&self, url: &Url) -> bool {
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
    fn may_end_in(&self, end: &str) -> bool {
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

    fn is_loopback(&self) -> bool {
        let url = Url::parse(&format!("http://{}/", self.host));
        !self.below && url.is_ok_and(|url| is_loopback(&url))
    }
}

/// Whether the URL's host is this machine: 127.0.0.0/8, ::1, or `localhost` (RFC 6761 section 6.3).
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

fn check(text: &str) -> Result<Url, TemplateError> {
    let url = Url::parse(text).map_err(|_| TemplateError::NoUrl)?;
    if !url.username().is_empty() || url.password().is_some() || url.fragment().is_some() {
        return Err(TemplateError::Extras);
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(TemplateError::Insecure),
    }
}

fn opens_host(template: &Template) -> Result<bool, TemplateError> {
    let mut before = String::new();
    let mut open = false;
    for part in &template.parts {
        match part {
            Part::Literal(text) => before.push_str(text),
            Part::Placeholder { .. } => match Place::after(&before) {
                Place::Origin if before.is_empty() => {
                    open = true;
                    before.push_str("https://x");
                }
                Place::Origin => return Err(TemplateError::NoUrl),
                Place::Host => open = true,
                Place::Path | Place::Query => {}
            },
        }
    }
    Ok(open)
}

/// What of a URL's host and port stands behind the last placeholder in them, e.g. `.acme.example:8443`. A value may end
/// them if that is empty.
fn fixed_end(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or("", |(_, rest)| rest);
    let authority = after_scheme.split(['/', '?']).next().unwrap_or_default();
    authority.rsplit_once('}').map_or("", |(_, end)| end)
}

fn value_of<'v>(
    name: &str,
    lookup: &impl Fn(&str) -> Option<&'v str>,
) -> Result<&'v str, TemplateError> {
    lookup(name).ok_or_else(|| TemplateError::NoValue(name.to_owned()))
}

fn is_placeholder(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    !name.is_empty() && name.bytes().all(fits)
}

/// Everything but the unreserved characters of RFC 3986 section 2.3.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(&format!("%{byte:02X}"));
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
