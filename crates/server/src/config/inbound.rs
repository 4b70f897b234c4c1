//! `[inbound]`: where providers report by themselves that grants died.

mod receiver;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use evergrant_core::ids::{ClientName, ReceiverName};
use evergrant_providers::Catalogue;

pub use self::receiver::{Kind, Receiver, SetIssuer};

use super::clients::Client;
use super::error::ConfigError;
use super::print::Printer;
use super::section::Section;
use super::server::Tls;

/// Where providers report, and how their word is known.
#[derive(Debug, Clone)]
pub struct Inbound {
    /// Address of the listener, which faces the internet, perhaps behind a proxy; port 0 takes any free one.
    pub listen: SocketAddr,
    /// Certificate and key of the listener; `None` serves plaintext.
    pub tls: Option<Tls>,
    /// What is received at `/NAME`, at least one.
    pub receivers: BTreeMap<ReceiverName, Receiver>,
}

impl Inbound {
    /// `None` without the section, and where `listen` is empty.
    pub(super) fn read(section: Option<Section<'_>>) -> Result<Option<Self>, ConfigError> {
        let Some(mut section) = section else {
            return Ok(None);
        };
        let is_off = section.is_empty_text("listen");
        let (listen_key, listen) = section.required_or_empty("listen")?;
        let tls = section
            .optional_section("tls")?
            .map(Tls::read)
            .transpose()?;
        let receivers_key = section.key_of("receivers");
        let receivers = Receiver::read_all(section.section("receivers")?)?;
        section.finish()?;
        if is_off {
            return Ok(None);
        }
        let listen = listen.parse().map_err(|_| {
            let form = "must be an address and a port such as \"127.0.0.1:7073\", or empty";
            listen_key.refuse(format!("{form}, not {listen:?}"))
        })?;
        if receivers.is_empty() {
            return Err(receivers_key.refuse("must hold a receiver, since inbound.listen is set"));
        }
        Ok(Some(Self {
            listen,
            tls,
            receivers,
        }))
    }

    /// That each receiver names a provider of the catalogue, and a client of it if any.
    pub(super) fn check(
        &self,
        catalogue: &Catalogue,
        clients: &BTreeMap<ClientName, Client>,
    ) -> Result<(), ConfigError> {
        let mut receivers = self.receivers.values();
        receivers.try_for_each(|receiver| receiver.check(catalogue, clients))
    }

    pub(super) fn print(&self, out: &mut Printer) {
        let Self {
            listen,
            tls,
            receivers,
        } = self;
        out.section("[inbound]");
        out.text("listen", listen);
        if let Some(tls) = tls {
            out.section("[inbound.tls]");
            tls.print(out);
        }
        for (name, receiver) in receivers {
            receiver.print(name, out);
        }
    }
}

#[cfg(test)]
mod tests;
