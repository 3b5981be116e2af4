//! Addresses with the same first bits, as people write them: `10.0.0.0/8`, `2001:db8::/32`, or one address.
//!
//! Invariant: pure; IPv4 written as IPv6 is IPv4. How strictly a configuration file is read is `conf`'s business.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::str::FromStr;

/// A network; bits of the address behind the prefix mean nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
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

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        let wrong = || {
            let shown: String = text.chars().take(60).collect();
            format!("{shown:?} is no network such as \"10.0.0.0/8\" or \"192.0.2.1\"")
        };
        let (address, prefix) = text.split_once('/').map_or((text, None), |(a, p)| (a, Some(p)));
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(width), |prefix| prefix.parse().map_err(|_| wrong()))?;
        if prefix > width { Err(wrong()) } else { Ok(Network { address, prefix }) }
    }
}

impl TryFrom<String> for Network {
    type Error = String;
    fn try_from(text: String) -> Result<Network, String> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> String {
        network.to_string()
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_inside_and_outside() {
        let of = |text: &str| -> IpAddr { text.parse().unwrap() };
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.255.255", "11.0.0.0"),
            ("192.0.2.128/25", "192.0.2.128", "192.0.2.127"),
            ("192.0.2.1", "::ffff:192.0.2.1", "192.0.2.0"),
            ("0.0.0.0/0", "255.255.255.255", "::1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("::1", "::1", "127.0.0.1"),
            ("::/0", "ffff::", "1.2.3.4"),
        ] {
            let network: Network = network.parse().unwrap();
            assert!(network.contains(of(inside)) && !network.contains(of(outside)), "{network}");
            let kept = serde_json::to_string(&network).unwrap();
            assert_eq!(serde_json::from_str::<Network>(&kept).unwrap(), network);
        }
        for bad in ["", "10.0.0.0/33", "::/129", "10.0.0.0/", "localhost", "1.2.3.4/-1"] {
            assert!(bad.parse::<Network>().is_err(), "{bad}");
        }
    }
}
