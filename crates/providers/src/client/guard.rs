//! Where a host may lead that a credential names: to public addresses alone.
//!
//! Whoever stores a credential must not reach what only this machine can reach: other services of the same network,
//! the metadata service of a cloud, the machine itself. A name is no protection, since its owner decides where it leads
//! and may change that at any time. So addresses are checked as they are resolved, and the connection is made to
//! exactly those that were checked.

use std::error::Error;
use std::fmt;
use std::future::Future;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Looks up the addresses of a name.
pub(super) type Lookup = Arc<
    dyn Fn(String) -> Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>
        + Send
        + Sync,
>;

/// Resolves names, and leaves out every address that is not public.
#[derive(Clone)]
pub(super) struct Guard {
    lookup: Lookup,
}

impl Guard {
    pub(super) fn new(lookup: Lookup) -> Self {
        Self { lookup }
    }

    /// Asks the machine's own resolver.
    pub(super) fn of_system() -> Self {
        Self::new(Arc::new(|name| {
            Box::pin(async move { Ok(tokio::net::lookup_host((name, 0)).await?.collect()) })
        }))
    }
}

/// A name leads to no public address, or a host is an address that is not public.
#[derive(Debug)]
pub(super) struct NotPublic;

impl fmt::Display for NotPublic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("leads to an address that is not public")
    }
}

impl Error for NotPublic {}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = self.lookup.clone();
        Box::pin(async move {
            let found = lookup(name.as_str().to_owned()).await?;
            let public: Vec<SocketAddr> = found
                .into_iter()
                .filter(|address| is_public(address.ip()))
                .collect();
            if public.is_empty() {
                return Err(NotPublic.into());
            }
            Ok(Box::new(public.into_iter()) as Addrs)
        })
    }
}

/// What can be told of a host that is an address, for which nothing is resolved. A loopback address is allowed, since
/// an entry can lead there only by naming that very address.
pub(super) fn check_literal(url: &Url) -> Result<(), NotPublic> {
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(_)) | None => return Ok(()),
    };
    if address.is_loopback() || is_public(address) {
        Ok(())
    } else {
        Err(NotPublic)
    }
}

/// Whether `error` is because of a [`NotPublic`].
pub(super) fn is_not_public(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        // An I/O error tells the source of what it wraps, and hides that itself.
        let wrapped = error.downcast_ref().and_then(io::Error::get_ref);
        if error.is::<NotPublic>() || wrapped.is_some_and(|wrapped| is_not_public(wrapped)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Whether an address is globally reachable, by the registries of special-purpose addresses (RFC 6890, RFC 8190).
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = a == 0 // this network
        || address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || (a == 100 && (64..128).contains(&b)) // shared address space, RFC 6598
        || (a == 192 && b == 0 && c == 0) // protocol assignments
        || (a == 192 && b == 88 && c == 99) // 6to4 relays
        || (a == 198 && (18..20).contains(&b)) // benchmarks
        || address.is_documentation()
        || a >= 224; // multicast, reserved, broadcast
    !special
}

/// Global unicast addresses but those that carry a foreign IPv4 address or are set aside.
fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(mapped) = address.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    let segments = address.segments();
    if segments[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        let [.., a, b, c, d] = address.octets();
        return is_public_v4(Ipv4Addr::new(a, b, c, d)); // NAT64, RFC 6052
    }
    // Protocol assignments with Teredo, documentation, 6to4, documentation again (RFC 9637).
    let special = matches!(
        (segments[0], segments[1]),
        (0x2001, ..0x200 | 0xdb8) | (0x2002, _) | (0x3fff, ..0x1000)
    );
    segments[0] & 0xe000 == 0x2000 && !special
}

#[cfg(test)]
mod tests;
