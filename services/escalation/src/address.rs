//! Which addresses a page may go to: whoever may configure a destination must not reach the
//! inner services of the operator by way of it.

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

/// Where an address leads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// To the Internet.
    Public,
    /// Into a private network or to this machine.
    Private,
    /// Nowhere that a page could be meant for: link-local (where clouds keep credentials),
    /// multicast, reserved.
    Never,
}

/// Where an address leads (IANA special-purpose registries, RFC 6890).
pub(crate) fn reach(address: IpAddr) -> Reach {
    match address {
        IpAddr::V4(v4) => reach_v4(v4),
        IpAddr::V6(v6) => embedded(v6).map_or_else(|| reach_v6(v6), reach_v4),
    }
}

fn reach_v4(address: Ipv4Addr) -> Reach {
    let [a, b, c, _] = address.octets();
    // 100.64.0.0/10 is shared address space (RFC 6598).
    let shared = a == 100 && (64..128).contains(&b);
    if address.is_loopback() || address.is_private() || shared {
        return Reach::Private;
    }
    let reserved = a == 0
        || a >= 224
        || address.is_link_local()
        || address.is_documentation()
        || (a, b, c) == (192, 0, 0)
        || (a == 198 && (b == 18 || b == 19));
    if reserved { Reach::Never } else { Reach::Public }
}

fn reach_v6(address: Ipv6Addr) -> Reach {
    let first = address.segments()[0];
    // fc00::/7 is unique local, fec0::/10 its predecessor.
    if address.is_loopback() || first & 0xfe00 == 0xfc00 || first & 0xffc0 == 0xfec0 {
        return Reach::Private;
    }
    // Global unicast is 2000::/3, of which 2001:db8::/32 is for documentation.
    let global = first & 0xe000 == 0x2000;
    let documentation = first == 0x2001 && address.segments()[1] == 0x0db8;
    if global && !documentation { Reach::Public } else { Reach::Never }
}

/// The IPv4 address that an IPv6 address stands for: mapped, 6to4 (RFC 3056) or NAT64
/// (RFC 6052).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Ipv4Addr::new(a, b, c, d)
    };
    match address.segments() {
        [0x2002, high, low, ..] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => Some(of(high, low)),
        _ => address.to_ipv4_mapped(),
    }
}

/// Why a name leads nowhere.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AddressError {
    /// It cannot be resolved.
    #[error("cannot resolve the host name")]
    Lookup(#[source] std::io::Error),
    /// Every address of it is refused.
    #[error(
        "the address is in a private network or reserved; if it is meant, set allow_private = \
         true for the destination"
    )]
    Refused,
}

/// Resolves names to the addresses that a page may go to. The connection is made to exactly
/// those, so a name that is given another address later does not get around the check.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guard {
    pub(crate) allow_private: bool,
}

impl Guard {
    pub(crate) fn allows(self, address: IpAddr) -> bool {
        match reach(address) {
            Reach::Public => true,
            Reach::Private => self.allow_private,
            Reach::Never => false,
        }
    }

    /// The addresses of a host, or of an address that stands in its place, that a page may go to.
    pub(crate) async fn resolve(
        self,
        host: &str,
        port: u16,
    ) -> Result<Vec<SocketAddr>, AddressError> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let found = tokio::net::lookup_host((host, port)).await.map_err(AddressError::Lookup)?;
        let allowed: Vec<SocketAddr> = found.filter(|address| self.allows(address.ip())).collect();
        if allowed.is_empty() { Err(AddressError::Refused) } else { Ok(allowed) }
    }

    /// Checks a host that is an address itself, which no resolver is asked about.
    pub(crate) fn check_literal(self, host: &str) -> Result<(), AddressError> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match host.parse::<IpAddr>() {
            Ok(address) if !self.allows(address) => Err(AddressError::Refused),
            _ => Ok(()),
        }
    }
}

impl Service<Name> for Guard {
    type Response = std::vec::IntoIter<SocketAddr>;
    type Error = AddressError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let guard = *self;
        Box::pin(async move { Ok(guard.resolve(name.as_str(), 0).await?.into_iter()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_addresses_are_private_or_refused_in_every_spelling() {
        for (address, expected) in [
            ("93.184.216.34", Reach::Public),
            ("2606:2800:220:1::1", Reach::Public),
            ("127.0.0.1", Reach::Private),
            ("10.1.2.3", Reach::Private),
            ("172.31.255.255", Reach::Private),
            ("172.32.0.1", Reach::Public),
            ("192.168.0.1", Reach::Private),
            ("100.64.0.1", Reach::Private),
            ("100.128.0.1", Reach::Public),
            ("::1", Reach::Private),
            ("fd12::1", Reach::Private),
            ("::ffff:127.0.0.1", Reach::Private),
            ("64:ff9b::a00:1", Reach::Private),
            ("2002:7f00:1::", Reach::Private),
            ("169.254.169.254", Reach::Never),
            ("::ffff:169.254.169.254", Reach::Never),
            ("fe80::1", Reach::Never),
            ("0.0.0.0", Reach::Never),
            ("::", Reach::Never),
            ("224.0.0.1", Reach::Never),
            ("255.255.255.255", Reach::Never),
            ("192.0.2.1", Reach::Never),
            ("198.19.0.1", Reach::Never),
            ("2001:db8::1", Reach::Never),
            ("ff02::1", Reach::Never),
        ] {
            assert_eq!(reach(address.parse().unwrap()), expected, "{address}");
        }
    }

    #[tokio::test]
    async fn a_name_of_this_machine_is_resolved_only_where_private_addresses_are_allowed() {
        let name = || "localhost".parse::<Name>().unwrap();
        let refused = Guard { allow_private: false }.call(name()).await;
        assert!(matches!(refused, Err(AddressError::Refused)));
        let allowed = Guard { allow_private: true }.call(name()).await.unwrap();
        assert!(allowed.into_iter().all(|address| address.ip().is_loopback()));
    }

    #[test]
    fn an_address_in_place_of_a_name_is_checked_too() {
        let guard = Guard { allow_private: false };
        for host in ["127.0.0.1", "[::1]", "169.254.169.254"] {
            assert!(guard.check_literal(host).is_err(), "{host}");
        }
        assert!(guard.check_literal("hooks.example").is_ok());
        assert!(Guard { allow_private: true }.check_literal("169.254.169.254").is_err());
    }
}
