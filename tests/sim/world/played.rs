//! Routers that are not speakers of ours: somebody else plays them, all at once.
//!
//! A node that holds three paths to each of five thousand others takes some megabytes, and five thousand of
//! them more than a machine has. One that is played says what a node says, and keeps of what it hears as
//! little as the test wants to know.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use routelet::speaker::ConnectionId;

use super::{End, Event, World};

/// Plays routers, each by its name.
pub trait Crowd {
    /// Something happened on a router's connection.
    fn hear(&mut self, name: &'static str, connection: ConnectionId, heard: Heard) -> Answer;
}

/// What a played router hears.
pub enum Heard<'a> {
    Connected,
    /// What was sent at once: whole messages.
    Octets(&'a [u8]),
    /// The connection closed, or the attempt failed.
    Closed,
}

/// What a played router does next.
#[derive(Default)]
pub struct Answer {
    pub octets: Vec<u8>,
    /// It dials again after so long.
    pub again: Option<Duration>,
}

impl World {
    /// Has somebody play routers at these addresses.
    pub fn play(&mut self, crowd: Box<dyn Crowd>, routers: impl IntoIterator<Item = (&'static str, IpAddr)>) {
        self.by_address.extend(routers.into_iter().map(|(name, address)| (address, name)));
        self.crowd = Some(crowd);
    }

    /// A played router dials a member; the connection has a number of its own there.
    pub fn approach(&mut self, from: (&'static str, ConnectionId), local: IpAddr, remote: IpAddr) {
        let delay = self.delay();
        let local = SocketAddr::new(local, 40_000 + from.1.0 as u16);
        self.dial_after(from, local, SocketAddr::new(remote, 179), delay);
    }

    fn dial_after(&mut self, from: End, local: SocketAddr, remote: SocketAddr, delay: Duration) {
        self.attempts.insert(from);
        self.dialled.insert(from, (local, remote));
        self.schedule(self.now + delay, Event::Dialled { from, local, remote });
    }

    /// Hands a played router what has come for it, and does what it answers.
    pub(super) fn hear_by_crowd(&mut self, name: &'static str, event: Event) {
        let Some(crowd) = &mut self.crowd else { return };
        let (end, answer) = match event {
            Event::Connected { end, .. } => (end, crowd.hear(name, end.1, Heard::Connected)),
            Event::Octets { to: end, octets } => (end, crowd.hear(name, end.1, Heard::Octets(&octets))),
            Event::Closed { end, .. } => {
                self.streams.remove(&end);
                (end, crowd.hear(name, end.1, Heard::Closed))
            }
            // Nobody dials them, and they have neither kernel nor BFD.
            Event::Dialled { .. } | Event::RouteAnswer { .. } | Event::Datagram { .. } => return,
        };
        if !answer.octets.is_empty() {
            self.send(end, Bytes::from(answer.octets));
        }
        if let Some(pause) = answer.again {
            let (local, remote) = self.dialled[&end];
            self.dial_after(end, local, remote, pause);
        }
    }
}
