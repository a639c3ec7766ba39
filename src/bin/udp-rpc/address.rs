//! Where the server is: `HOST:PORT`, `HOST`, `:PORT`, `[::1]:5860`, `localhost`.
//!
//! Parsing says what is wrong with the text before anything is sent; resolving asks the system
//! for names. `localhost` and a bare `:PORT` mean this host on both IP versions, whatever the
//! hosts file says.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, ToSocketAddrs};

use udp_rpc::wire::DEFAULT_PORT;

/// A server as the user named it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    /// This host, either IP version.
    Here,
    Ip(IpAddr),
    Name(String),
}

impl Address {
    /// Reads `text`; the command line's value parser.
    ///
    /// # Errors
    ///
    /// An empty host without a port, a port that is none, or port 0.
    pub(crate) fn parse(text: &str) -> Result<Address, String> {
        let text = text.trim();
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Address { host: Host::Ip(ip), port: DEFAULT_PORT });
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Address::checked(Host::Ip(address.ip()), address.port());
        }
        let (host, port) = match text.rsplit_once(':') {
            None => (text, DEFAULT_PORT),
            Some((host, port)) => {
                let number = port.parse().map_err(|_| format!("{port:?} is not a port"))?;
                (host, number)
            }
        };
        let host = match host {
            "" if text.is_empty() => return Err("expected HOST:PORT or :PORT".to_owned()),
            "" | "localhost" => Host::Here,
            name if name.contains([':', '/', ' ', '[', ']']) => {
                return Err(format!("{name:?} is not a host name; IPv6 is written [::1]:PORT"));
            }
            name => match name.parse() {
                Ok(ip) => Host::Ip(ip),
                Err(_) => Host::Name(name.to_owned()),
            },
        };
        Address::checked(host, port)
    }

    fn checked(host: Host, port: u16) -> Result<Address, String> {
        if port == 0 {
            return Err("no server is reached on port 0".to_owned());
        }
        Ok(Address { host, port })
    }

    /// The socket addresses to try, in turn.
    ///
    /// # Errors
    ///
    /// The name does not resolve; nothing has been sent.
    pub(crate) fn resolve(&self) -> Result<Vec<SocketAddr>, String> {
        let port = self.port;
        match &self.host {
            Host::Here => Ok(vec![
                SocketAddr::new(IpAddr::V6(Ipv6Addr::LOCALHOST), port),
                SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port),
            ]),
            Host::Ip(ip) => Ok(vec![SocketAddr::new(*ip, port)]),
            Host::Name(name) => {
                let found: Vec<_> = (name.as_str(), port)
                    .to_socket_addrs()
                    .map_err(|error| format!("cannot resolve {name}: {error}"))?
                    .collect();
                if found.is_empty() {
                    return Err(format!("cannot resolve {name}: it has no address"));
                }
                Ok(found)
            }
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Here => write!(f, "localhost:{}", self.port),
            Host::Ip(ip) => SocketAddr::new(*ip, self.port).fmt(f),
            Host::Name(name) => write!(f, "{name}:{}", self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolved(text: &str) -> Vec<String> {
        let address = Address::parse(text).unwrap();
        address.resolve().unwrap().iter().map(ToString::to_string).collect()
    }

    #[test]
    fn this_host_is_tried_on_both_ip_versions() {
        assert_eq!(resolved("localhost:70"), ["[::1]:70", "127.0.0.1:70"]);
        assert_eq!(resolved(":70"), ["[::1]:70", "127.0.0.1:70"]);
    }

    #[test]
    fn the_port_may_be_left_out() {
        assert_eq!(resolved("127.0.0.2"), [format!("127.0.0.2:{DEFAULT_PORT}")]);
        assert_eq!(resolved("::1"), [format!("[::1]:{DEFAULT_PORT}")]);
        assert_eq!(resolved("[::1]:9"), ["[::1]:9"]);
    }

    #[test]
    fn what_is_no_address_is_said_before_anything_is_sent() {
        for text in ["", ":", "host:", "host:x", "host:70000", "host:0", "127.0.0.1:0", "a b:1"] {
            assert!(Address::parse(text).is_err(), "{text:?}");
        }
    }
}
