//! Texts with `{placeholders}`, and URLs made of them that cannot leave their allow-list.

mod host;
mod url;

use std::fmt;

use thiserror::Error;

pub use self::host::HostPattern;
pub use self::url::UrlTemplate;

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
    #[error("has a brace that encloses no placeholder of a-z, 0-9 and _, such as {{client_id}}")]
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
    #[error("is no URL, such as https://acme.example/token")]
    NoUrl,
    /// The URL carries a user name, a password or a fragment.
    #[error("must have no user name, password or fragment")]
    Extras,
    /// The URL is not https, and its host is no loopback address.
    #[error("must be https unless its host is a loopback address")]
    Insecure,
    /// The host depends on a credential, and nothing says where it may lead.
    #[error("has a placeholder in its host, so allowed_hosts must say where it may lead")]
    NoHosts,
    /// The host depends on a credential, and is none of those allowed, which it names.
    #[error("leads to a host outside allowed_hosts ({0})")]
    HostNotAllowed(String),
    /// Whatever its placeholders stand for, it leads to no host of those allowed: what stands fast behind them, a
    /// domain or a port, fits none.
    #[error("can lead to no host of allowed_hosts, none of which ends in {0}")]
    NoHostFits(String),
}

impl TemplateError {
    /// Whether it is about a URL and `allowed_hosts` together.
    pub(super) fn is_of_hosts(&self) -> bool {
        matches!(
            self,
            Self::NoHosts | Self::HostNotAllowed(_) | Self::NoHostFits(_)
        )
    }
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

    /// Whether the text is left out where a value is missing.
    pub(in crate::catalogue) fn has_optional(&self) -> bool {
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

#[cfg(test)]
mod tests;
