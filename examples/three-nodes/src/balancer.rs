//! The balancer in front, with the very configuration that `deploy/` offers.

use cloakroom_servers::{HaProxy, Nginx, Port};

use crate::scenario::Balancing;
use crate::{Outcome, Trouble};

/// A running balancer, which ends with this.
pub(crate) enum Balancer {
    HaProxy(HaProxy),
    Nginx(#[expect(dead_code, reason = "held to keep it running")] Nginx),
}

impl Balancer {
    /// Starts it on `port`, in front of nodes on these ports.
    pub(crate) fn start(balancing: Balancing, port: Port, nodes: [u16; 3]) -> Outcome<Self> {
        let configuration = on_ports(balancing.configuration(), port.number(), nodes)?;
        Ok(match balancing {
            Balancing::RoundRobin | Balancing::Sticky => Self::HaProxy(HaProxy::start(&configuration, port)?),
            Balancing::NginxRoundRobin | Balancing::NginxSticky => {
                Self::Nginx(Nginx::start(&configuration, port)?)
            }
        })
    }
}

impl Balancer {
    /// Whether it would still ask a node whether it is ready, or has found that none is. nginx only learns from what it passes
    /// on, and takes a node that says 503 for one that is there.
    pub(crate) fn has_given_up_all_nodes(&self) -> bool {
        match self {
            // It says so when the last check has failed.
            Self::HaProxy(proxy) => proxy.log().contains("backend 'nodes' has no server available"),
            Self::Nginx(_) => true,
        }
    }
}

impl Balancing {
    fn configuration(self) -> &'static str {
        match self {
            Self::RoundRobin => include_str!("../../../deploy/haproxy/round-robin.cfg"),
            Self::Sticky => include_str!("../../../deploy/haproxy/sticky.cfg"),
            Self::NginxRoundRobin => include_str!("../../../deploy/nginx/round-robin.conf"),
            Self::NginxSticky => include_str!("../../../deploy/nginx/sticky.conf"),
        }
    }
}

/// The configuration as it is, but for the ports, which are private here.
fn on_ports(configuration: &str, port: u16, nodes: [u16; 3]) -> Outcome<String> {
    let mut text = configuration.to_owned();
    let [first, second, third] = nodes;
    for (written, private) in WRITTEN.into_iter().zip([port, first, second, third]) {
        let written = format!("127.0.0.1:{written}");
        if !text.contains(&written) {
            return Err(Trouble::new(format!("the configuration does not name {written}")));
        }
        text = text.replace(&written, &format!("127.0.0.1:{private}"));
    }
    Ok(text)
}

/// The ports in `deploy/`: the balancer's own, and the nodes'.
const WRITTEN: [u16; 4] = [8000, 8081, 8082, 8083];
