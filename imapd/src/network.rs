//! Addresses with the same first bits: who counts as a proxy.

use std::net::IpAddr;

/// A network; bits of the address behind the prefix mean nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// All addresses that have the first `prefix` bits of `address`. A longer prefix than the address has is its whole length.
    #[must_use]
    pub fn new(address: IpAddr, prefix: u8) -> Network {
        Network { address, prefix }
    }

    /// Whether the address is in it. IPv4 written as IPv6 is IPv4.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |a: u128, b: u128, width: u32| {
            let behind = width.saturating_sub(u32::from(self.prefix));
            (a ^ b).checked_shr(behind).unwrap_or(0) == 0
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same(a.to_bits().into(), b.to_bits().into(), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => same(a.to_bits(), b.to_bits(), 128),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_and_outside() {
        let of = |text: &str| -> IpAddr { text.parse().unwrap() };
        for (network, prefix, inside, outside) in [
            ("10.0.0.0", 8, "10.255.255.255", "11.0.0.0"),
            ("192.0.2.128", 25, "192.0.2.128", "192.0.2.127"),
            ("192.0.2.1", 32, "::ffff:192.0.2.1", "192.0.2.0"),
            ("0.0.0.0", 0, "255.255.255.255", "::1"),
            ("2001:db8::", 32, "2001:db8:ffff::1", "2001:db9::"),
            ("::1", 128, "::1", "127.0.0.1"),
            ("::", 0, "ffff::", "1.2.3.4"),
        ] {
            let network = Network::new(of(network), prefix);
            assert!(network.contains(of(inside)) && !network.contains(of(outside)), "{network:?}");
        }
    }
}
