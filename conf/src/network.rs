//! Networks as people write them: `10.0.0.0/8`, `2001:db8::/32`, or one address.
//!
//! Invariant: no bit of the address stands outside the prefix; such a network is more likely a slip than a wish.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::str::FromStr;

/// Addresses with the same first bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    /// The first address.
    pub address: IpAddr,
    /// How many bits all have in common.
    pub prefix: u8,
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Network, String> {
        let wrong =
            |why: &str| format!("{text:?} is no network such as \"10.0.0.0/8\" or \"192.0.2.1\": {why}");
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong("the address can't be read"))?;
        let (bits, width) = match address {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        };
        let prefix = match prefix {
            None => width,
            Some(prefix) => prefix.parse().map_err(|_| wrong("the prefix can't be read"))?,
        };
        if prefix > width {
            return Err(wrong("the prefix is too long"));
        }
        if bits.checked_shl(u32::from(prefix)).unwrap_or(0) != 0 {
            return Err(wrong("bits are set behind the prefix"));
        }
        Ok(Network { address, prefix })
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
        format!("{}/{}", network.address, network.prefix)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_and_slips() {
        for (text, prefix) in [
            ("10.0.0.0/8", 8),
            ("0.0.0.0/0", 0),
            ("192.0.2.1", 32),
            ("192.0.2.1/32", 32),
            ("192.0.2.128/25", 25),
            ("::/0", 0),
            ("2001:db8::/32", 32),
            ("::1", 128),
        ] {
            let network: Network = text.parse().unwrap();
            assert_eq!(network.prefix, prefix, "{text}");
            assert_eq!(String::from(network).parse::<Network>().unwrap(), network);
        }
        for text in [
            "",
            "10.0.0.1/8",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "localhost",
            "192.0.2.129/25",
            "::1/-1",
            "::1/0",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
