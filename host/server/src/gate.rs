//! Who may connect: the black list, and what one address may do.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shaddock_cluster::Instant;
use shaddock_config::{ConnectorSettings, IpNet};

use crate::bucket::{Bucket, Rate};

/// Addresses of which it is known how often they came of late; when there are more, all are forgotten.
const RECENT_MAX: usize = 65_536;
/// How often those that have not come of late are forgotten.
const SWEEP_PERIOD: Duration = Duration::from_secs(1);

/// Why a connection is closed at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The server has as many connections as it may.
    Limit,
    /// The address has as many connections as it may.
    AddressLimit,
    /// The address has connected too often of late.
    AddressRate,
    /// The address is on the black list.
    Blacklist,
}

impl Refusal {
    /// A label of bounded variety for metrics and logs.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::AddressLimit => "address_limit",
            Self::AddressRate => "address_rate",
            Self::Blacklist => "blacklist",
        }
    }
}

/// What is known of addresses.
#[derive(Debug)]
struct Addresses {
    /// How many connections each has; only where that is limited, so there are no more than connections.
    open: HashMap<IpAddr, u32>,
    /// Those that have connected of late; only where that is limited.
    recent: HashMap<IpAddr, Bucket>,
    swept: Instant,
}

/// Decides who may connect.
#[derive(Debug)]
pub(crate) struct Gate {
    blacklist: Vec<IpNet>,
    open_max: Option<u32>,
    rate: Option<Rate>,
    addresses: Mutex<Addresses>,
}

/// The place of one connection among those of its address; free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    gate: Arc<Gate>,
    address: IpAddr,
}

impl Gate {
    /// Nobody has connected yet.
    pub(crate) fn new(settings: &ConnectorSettings) -> Self {
        let per_second = settings.connections_per_address_per_second;
        let addresses = Addresses { open: HashMap::new(), recent: HashMap::new(), swept: Instant::now() };
        Self {
            blacklist: settings.blacklist.clone(),
            open_max: settings.connections_per_address_max,
            rate: per_second.map(|per_second| Rate::new(per_second, per_second)),
            addresses: Mutex::new(addresses),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Addresses> {
        self.addresses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether an address is on the black list.
    pub(crate) fn is_blacklisted(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.blacklist.iter().any(|network| network.contains(&address))
    }

    /// Lets a connection of an address in; none if its number is not limited.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr, now: Instant) -> Result<Option<Place>, Refusal> {
        if self.open_max.is_none() && self.rate.is_none() {
            return Ok(None);
        }
        let address = counted_as(address);
        let mut addresses = self.lock();
        if let Some(open_max) = self.open_max
            && addresses.open.get(&address).is_some_and(|open| *open >= open_max)
        {
            return Err(Refusal::AddressLimit);
        }
        if let Some(rate) = self.rate {
            addresses.sweep(now);
            let bucket = addresses.recent.entry(address).or_insert_with(|| Bucket::full(now));
            if !bucket.take(rate, now) {
                return Err(Refusal::AddressRate);
            }
        }
        if self.open_max.is_none() {
            return Ok(None);
        }
        *addresses.open.entry(address).or_default() += 1;
        Ok(Some(Place { gate: Arc::clone(self), address }))
    }
}

impl Addresses {
    fn sweep(&mut self, now: Instant) {
        if now.duration_since(self.swept) >= SWEEP_PERIOD {
            self.swept = now;
            self.recent.retain(|_, bucket| !bucket.is_full(now));
            self.recent.shrink_to(RECENT_MAX / 64);
        }
        if self.recent.len() >= RECENT_MAX {
            self.recent.clear();
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut addresses = self.gate.lock();
        if let Some(open) = addresses.open.get_mut(&self.address) {
            *open -= 1;
            if *open == 0 {
                addresses.open.remove(&self.address);
            }
        }
    }
}

/// One client has many addresses in IPv6: they count by their network of 64 bits.
fn counted_as(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(wide) => Ipv6Addr::from_bits(wide.to_bits() & !u128::from(u64::MAX)).into(),
        narrow => narrow,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn gate(open_max: Option<u32>, per_second: Option<u32>, blacklist: &[&str]) -> Arc<Gate> {
        Arc::new(Gate::new(&ConnectorSettings {
            connections_per_address_max: open_max,
            connections_per_address_per_second: per_second,
            blacklist: blacklist.iter().map(|network| network.parse().unwrap()).collect(),
            ..ConnectorSettings::default()
        }))
    }

    fn enter(gate: &Arc<Gate>, address: &str) -> Result<Option<Place>, Refusal> {
        gate.enter(address.parse().unwrap(), Instant::now())
    }

    #[test]
    fn an_address_has_so_many_places_and_gets_them_back() {
        let gate = gate(Some(2), None, &[]);
        let first = enter(&gate, "10.0.0.1").unwrap();
        let second = enter(&gate, "::ffff:10.0.0.1").unwrap();
        assert!(first.is_some() && second.is_some());
        assert_eq!(enter(&gate, "10.0.0.1").unwrap_err(), Refusal::AddressLimit);
        assert!(enter(&gate, "10.0.0.2").is_ok());
        drop(first);
        let third = enter(&gate, "10.0.0.1").unwrap();
        assert_eq!(enter(&gate, "10.0.0.1").unwrap_err(), Refusal::AddressLimit);
        drop((second, third));
        assert!(gate.lock().open.is_empty(), "nothing is kept of an address without connections");
    }

    #[test]
    fn addresses_of_one_wide_network_are_one() {
        let gate = gate(Some(1), None, &[]);
        let _place = enter(&gate, "2001:db8::1").unwrap();
        assert_eq!(enter(&gate, "2001:db8::ffff:2").unwrap_err(), Refusal::AddressLimit);
        assert!(enter(&gate, "2001:db8:0:1::1").is_ok());
    }

    #[test]
    fn new_connections_of_an_address_are_limited_by_the_second() {
        let gate = gate(None, Some(3), &[]);
        let (address, start) = (IpAddr::from([10, 0, 0, 1]), Instant::now());
        for _ in 0..3 {
            assert!(gate.enter(address, start).is_ok());
        }
        assert_eq!(gate.enter(address, start).unwrap_err(), Refusal::AddressRate);
        assert!(gate.enter(IpAddr::from([10, 0, 0, 2]), start).is_ok());
        let later = start + Duration::from_secs(2);
        assert!(gate.enter(address, later).is_ok());
        assert_eq!(gate.lock().recent.len(), 1, "who did not come again is forgotten");
    }

    #[test]
    fn what_is_known_of_addresses_is_bounded() {
        let gate = gate(None, Some(1), &[]);
        let start = Instant::now();
        for number in 0..(RECENT_MAX as u32 * 2 + 7) {
            assert!(gate.enter(Ipv4Addr::from_bits(number).into(), start).is_ok());
        }
        assert!(gate.lock().recent.len() <= RECENT_MAX);
    }

    #[test]
    fn the_black_list_holds_for_networks_of_both_kinds() {
        let gate = gate(None, None, &["192.0.2.0/24", "2001:db8::/32", "10.0.0.7/32"]);
        for (address, expected) in [
            ("192.0.2.255", true),
            ("::ffff:192.0.2.1", true),
            ("192.0.3.1", false),
            ("10.0.0.7", true),
            ("10.0.0.8", false),
            ("2001:db8:7::1", true),
            ("2001:db9::1", false),
        ] {
            assert_eq!(gate.is_blacklisted(address.parse().unwrap()), expected, "{address}");
        }
    }
}
