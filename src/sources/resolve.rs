//! Look-ups of host names, several at a time, within a deadline.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use super::hosts::{Addresses, Hosts, LookupError};

type Answer = (String, Addresses);

const WORKERS: usize = 16;

/// Looks up all names. An address needs no look-up. A name without an answer within the time counts as
/// not resolved; its look-up is left to end by itself.
#[must_use]
pub fn resolve_hosts<'a>(names: impl IntoIterator<Item = &'a str>, within: Duration) -> Hosts {
    let mut hosts = Hosts::new();
    let mut queue = Vec::new();
    for name in names {
        match name.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => drop(hosts.insert(name.to_owned(), Ok([address].into()))),
            Err(_) => queue.push(name.to_owned()),
        }
    }
    let deadline = Instant::now() + within;
    let answers = look_up_all(queue.clone());
    for _ in &queue {
        let left = deadline.saturating_duration_since(Instant::now());
        let Ok((name, answer)) = answers.recv_timeout(left) else { break };
        hosts.insert(name, answer);
    }
    for name in queue {
        hosts.entry(name).or_insert_with(|| Err(LookupError::TimedOut));
    }
    hosts
}

/// Returns the addresses of all names that have some.
pub fn all_addresses(hosts: &Hosts) -> impl Iterator<Item = &IpAddr> {
    hosts.values().flatten().flat_map(|addresses| &**addresses)
}

fn look_up_all(queue: Vec<String>) -> mpsc::Receiver<Answer> {
    let (answers, receiver) = mpsc::channel();
    let workers = queue.len().min(WORKERS);
    let queue = Arc::new(Mutex::new(queue));
    for _ in 0..workers {
        let (queue, answers) = (Arc::clone(&queue), answers.clone());
        std::thread::spawn(move || {
            while let Some(name) = queue.lock().ok().and_then(|mut queue| queue.pop()) {
                let answer = look_up_host(&name);
                if answers.send((name, answer)).is_err() {
                    break;
                }
            }
        });
    }
    receiver
}

/// Looks up one name; may block for as long as the resolver does.
///
/// # Errors
/// When it has no address that another node could reach it by.
pub fn look_up_host(name: &str) -> Addresses {
    let refuse = |error: &dyn std::fmt::Display| LookupError::Resolver(error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| refuse(&error))?;
    let found = runtime.block_on(marathon::client::look_up_host(name));
    let mut unfit = None;
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in found.map_err(|error| refuse(&error))? {
        // Debian gives a host's own name 127.0.1.1.
        if address.is_loopback() || address.is_unspecified() || address.is_multicast() {
            unfit = Some(address);
        } else if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    match (addresses.is_empty(), unfit) {
        (false, _) => Ok(addresses.into()),
        (true, Some(unfit)) => Err(LookupError::Unreachable(unfit)),
        (true, None) => Err(LookupError::NoAddress),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_need_no_resolver() {
        let hosts = resolve_hosts(["10.0.0.1", "fd01::1", "[fd01::2]"], Duration::ZERO);
        assert_eq!(hosts["10.0.0.1"], Ok([[10, 0, 0, 1].into()].into()));
        assert_eq!(hosts["[fd01::2]"], Ok(["fd01::2".parse().unwrap()].into()));
        assert_eq!(hosts.len(), 3);
    }

    #[test]
    fn a_name_without_an_answer_is_an_error_of_its_own() {
        let hosts = resolve_hosts(["localhost", "no-such-host.invalid"], Duration::from_secs(30));
        assert!(hosts["localhost"].as_ref().unwrap_err().to_string().contains("see /etc/hosts"));
        assert!(hosts["no-such-host.invalid"].is_err());
    }
}
