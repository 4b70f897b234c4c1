//! URLs with placeholders, which no value can lead astray.

use std::fmt;

use url::Url;

use super::host::{HostPattern, is_loopback, listed};
use super::{Part, Template, TemplateError, value_of};

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
        let url = Self::parse_anywhere(text)?;
        if url.open_host {
            if allowed.is_empty() {
                return Err(TemplateError::NoHosts);
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
        Ok(url)
    }

    /// The same of a URL that nothing is sent to, so that it may lead anywhere.
    pub(in crate::catalogue) fn parse_anywhere(text: &str) -> Result<Self, TemplateError> {
        let template = Template::parse(text)?;
        if template.has_optional() {
            return Err(TemplateError::OptionalInUrl);
        }
        let open_host = opens_host(&template)?;
        check(&template.fill_with(|_, before| Ok(sample(text, before)))?)?;
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

    /// Whether a host that fits `pattern` can stand in it.
    pub(in crate::catalogue) fn may_lead_to(&self, pattern: &HostPattern) -> bool {
        let text = &self.template.text;
        self.open_host
            && pattern.may_begin_with(fixed_start(text))
            && pattern.may_end_in(fixed_end(text))
    }

    /// The host, with its port if it is not the usual one, to which these values lead although it is none of `allowed`.
    /// `None` if it is one of them, or if a value of which the host is made is not known yet. Values for other parts of
    /// the URL are not needed.
    pub fn strays_to<'v>(
        &self,
        lookup: impl Fn(&str) -> Option<&'v str>,
        allowed: &[HostPattern],
    ) -> Result<Option<String>, TemplateError> {
        let text = &self.template.text;
        let filled = self.template.fill_with(|name, before| {
            let place = Place::after(before);
            match lookup(name) {
                Some(value) => place
                    .fit(value)
                    .ok_or_else(|| TemplateError::BadValue(name.to_owned())),
                None if [Place::Origin, Place::Host].contains(&place) => {
                    Err(TemplateError::NoValue(name.to_owned()))
                }
                None => Ok(sample(text, before)),
            }
        });
        let url = match filled {
            Err(TemplateError::NoValue(_)) => return Ok(None),
            filled => check(&filled?)?,
        };
        if !self.open_host || allowed.iter().any(|pattern| pattern.matches(&url)) {
            return Ok(None);
        }
        let port = url.port().map(|port| format!(":{port}"));
        let host = url.host_str().unwrap_or_default();
        Ok(Some(format!("{host}{}", port.unwrap_or_default())))
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
            return Err(TemplateError::HostNotAllowed(listed(allowed)));
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

/// A value that fits the place behind `before` in the URL `text`.
fn sample(text: &str, before: &str) -> String {
    match Place::after(before) {
        Place::Origin => "https://host.example".to_owned(),
        Place::Host if text.starts_with("http:") => "127.0.0.1".to_owned(),
        _ => "x".to_owned(),
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

/// What of a URL's host stands before the first placeholder in it, e.g. `oidc.`.
fn fixed_start(url: &str) -> &str {
    let after_scheme = url.split_once("://").map_or("", |(_, rest)| rest);
    after_scheme.split('{').next().unwrap_or_default()
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
