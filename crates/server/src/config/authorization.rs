//! `[authorization]`: the server's own callback for users' consents.

use std::net::SocketAddr;

use url::{Host, Url};

use super::error::ConfigError;
use super::print::{Printer, quoted_list};
use super::section::{Key, Section};

/// The server's own callback for users' consents.
#[derive(Debug, Clone)]
pub struct Authorization {
    /// Address of the HTTP listener for `GET /oauth/callback`; `None` turns it off.
    pub callback_listen: Option<SocketAddr>,
    /// Where that callback may send a browser in the end.
    pub return_urls: Vec<String>,
}

impl Authorization {
    pub(super) fn read(mut section: Section<'_>) -> Result<Self, ConfigError> {
        let form = "must be an address and a port such as \"127.0.0.1:7074\"";
        let (_, callback_listen) =
            section.parsed("callback_listen", "", form, |text| match text {
                "" => Some(None),
                text => text.parse().ok().map(Some),
            })?;
        let return_urls = section
            .texts("return_urls")?
            .into_iter()
            .map(|(key, text)| return_url(&key, text).map(|url| (key, url)))
            .collect::<Result<Vec<_>, _>>()?;
        section.finish()?;
        if callback_listen.is_none()
            && let Some((key, _)) = return_urls.first()
        {
            let why = "has no use: only the server's own callback sends anybody there, and authorization.callback_listen is off";
            return Err(key.refuse(why));
        }
        let return_urls = return_urls.into_iter().map(|(_, url)| url).collect();
        Ok(Self {
            callback_listen,
            return_urls,
        })
    }

    pub(super) fn print(&self, out: &mut Printer) {
        let Self {
            callback_listen,
            return_urls,
        } = self;
        out.section("[authorization]");
        match callback_listen {
            Some(address) => out.text("callback_listen", address),
            None => out.text("callback_listen", ""),
        }
        let urls = return_urls.iter().map(String::as_str);
        out.raw("return_urls", quoted_list(urls));
    }
}

/// The text itself is kept, since what a caller asks for is compared letter by letter.
fn return_url(key: &Key, text: String) -> Result<String, ConfigError> {
    let url = Url::parse(&text).map_err(|why| key.refuse(format!("is no URL: {why}")))?;
    let is_loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    match url.scheme() {
        "https" => Ok(text),
        "http" if is_loopback => Ok(text),
        _ => Err(key.refuse("must be https, except on a loopback address")),
    }
}
