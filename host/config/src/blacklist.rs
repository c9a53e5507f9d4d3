//! Networks whose clients are turned away.

use std::net::IpAddr;

use ipnet::{IpNet, Ipv4Net};

use crate::problem::Findings;
use crate::spot::{Spot, report_twice};

/// Entries at the most: each is compared with every new connection.
const ENTRIES_MAX: usize = 10_000;

/// Reads a list of addresses and networks; none if something in it is neither.
pub(crate) fn read(spot: &Spot<'_>, findings: &mut Findings) -> Option<Vec<IpNet>> {
    let items = spot.list("IP addresses and networks", findings)?;
    if items.len() > ENTRIES_MAX {
        spot.refuse(format!("a list of up to {ENTRIES_MAX}"), findings);
        return None;
    }
    report_twice(&items, findings);
    let networks = items.iter().map(|item| {
        let network = item.node.text().and_then(network);
        if network.is_none() {
            item.refuse(
                "an IP address or network such as \"192.0.2.7\", \"192.0.2.0/24\" or \"2001:db8::/32\"",
                findings,
            );
        }
        network
    });
    // every one is looked at, so that all mistakes are reported
    networks.collect::<Vec<_>>().into_iter().collect()
}

/// The network that a text names. Mapped IPv4 addresses become plain ones, as the addresses of clients do.
fn network(text: &str) -> Option<IpNet> {
    let network = text.parse::<IpNet>().or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).ok()?;
    let IpNet::V6(wide) = network else { return Some(network.trunc()) };
    match (wide.addr().to_canonical(), wide.prefix_len().checked_sub(96)) {
        (IpAddr::V4(address), Some(prefix_len)) => {
            Ipv4Net::new(address, prefix_len).ok().map(|narrow| narrow.trunc().into())
        }
        _ => Some(network.trunc()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_are_read() {
        for (text, expected) in [
            ("10.1.2.3", Some("10.1.2.3/32")),
            ("10.1.2.3/8", Some("10.0.0.0/8")),
            ("::1", Some("::1/128")),
            ("2001:db8::7/32", Some("2001:db8::/32")),
            ("::ffff:10.1.2.3", Some("10.1.2.3/32")),
            ("::ffff:10.1.2.3/104", Some("10.0.0.0/8")),
            ("0.0.0.0/0", Some("0.0.0.0/0")),
            ("10.1.2", None),
            ("10.1.2.3/33", None),
            ("10.1.2.3-10.1.2.9", None),
            ("example.org", None),
            ("", None),
        ] {
            assert_eq!(network(text).map(|network| network.to_string()).as_deref(), expected, "{text}");
        }
    }
}
