//! A BGP peer that does as told, by octets, and one that remembers what it is told.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than a hold time of 3 s takes to expire.
const PATIENCE: Duration = Duration::from_secs(5);

/// A message of the given type with a correct length.
pub fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = u16::try_from(19 + body.len()).unwrap().to_be_bytes();
    [&[0xff; 16], &length[..], &[kind], body].concat()
}

/// An UPDATE whose lengths are right.
pub fn update(withdrawn: &[u8], attributes: &[&[u8]], nlri: &[u8]) -> Vec<u8> {
    let attributes = attributes.concat();
    let length = |field: &[u8]| u16::try_from(field.len()).unwrap().to_be_bytes();
    message(2, &[&length(withdrawn), withdrawn, &length(&attributes), &attributes, nlri].concat())
}

/// A sound announcement of a /24.
pub fn announce(next_hop: [u8; 4], prefix: [u8; 3]) -> Vec<u8> {
    let next_hop = [&[0x40, 3, 4][..], &next_hop].concat();
    let nlri = [&[24][..], &prefix].concat();
    update(&[], &[&[0x40, 1, 1, 0], &[0x40, 2, 6, 2, 1, 0, 0, 0xfd, 0xe8], &next_hop], &nlri)
}

/// OPEN of AS 65000 with the given hold time and optional parameters.
pub fn open(identifier: [u8; 4], hold: u8, parameters: &[u8]) -> Vec<u8> {
    message(1, &[&[4, 0xfd, 0xe8, 0, hold], &identifier[..], parameters].concat())
}

/// Type codes of path attributes.
pub fn codes(mut attributes: &[u8]) -> Vec<u8> {
    let mut codes = vec![];
    while let [flags, code, rest @ ..] = attributes {
        codes.push(*code);
        let (header, length) = match flags & 0x10 {
            0 => (1, usize::from(rest[0])),
            _ => (2, usize::from(u16::from_be_bytes([rest[0], rest[1]]))),
        };
        attributes = &rest[header + length..];
    }
    codes
}

/// One connection.
pub struct Peer(pub TcpStream);

impl Peer {
    /// A sound OPEN: four-octet AS numbers, IPv4 unicast.
    pub fn open(identifier: [u8; 4]) -> Vec<u8> {
        open(identifier, 90, &[14, 2, 12, 1, 4, 0, 1, 0, 1, 65, 4, 0, 0, 0xfd, 0xe8])
    }

    pub fn send(&mut self, octets: &[u8]) {
        // A daemon that has closed already is found out by reading.
        let _ = self.0.write_all(octets);
    }

    /// The next message's type and body.
    pub fn receive(&mut self) -> Result<(u8, Vec<u8>), String> {
        self.0.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut header = [0; 19];
        self.0.read_exact(&mut header).map_err(|e| e.to_string())?;
        let mut body = vec![0; usize::from(u16::from_be_bytes([header[16], header[17]])) - 19];
        self.0.read_exact(&mut body).map_err(|e| e.to_string())?;
        Ok((header[18], body))
    }

    pub fn await_notification(&mut self) -> Result<(u8, u8), String> {
        loop {
            if let (3, body) = self.receive()? {
                return Ok((body[0], body[1]));
            }
        }
    }

    /// Waits until the daemon has closed without a NOTIFICATION.
    pub fn await_end(&mut self) -> Result<(), String> {
        loop {
            match self.receive() {
                Ok((3, body)) => return Err(format!("NOTIFICATION {body:?}")),
                Ok(_) => (),
                Err(error) if error.contains("temporarily") => return Err("still open".into()),
                Err(_) => return Ok(()),
            }
        }
    }
}

/// The peer that sees what is announced further.
pub struct Observer {
    peer: Peer,
    /// Attributes by /24.
    pub prefixes: BTreeMap<[u8; 3], Vec<u8>>,
}

impl Observer {
    pub fn new(peer: Peer) -> Observer {
        Observer { peer, prefixes: BTreeMap::new() }
    }

    /// Reads until a /24 is announced.
    pub fn await_prefix(&mut self, prefix: [u8; 3]) -> Result<(), String> {
        while !self.prefixes.contains_key(&prefix) {
            let (kind, body) = self.peer.receive().map_err(|e| format!("{prefix:?} not announced: {e}"))?;
            if kind == 2 {
                self.apply(&body);
            }
        }
        Ok(())
    }

    fn apply(&mut self, body: &[u8]) {
        let split = |octets: &[u8]| {
            let length = usize::from(u16::from_be_bytes([octets[0], octets[1]]));
            (octets[2..2 + length].to_vec(), octets[2 + length..].to_vec())
        };
        let (withdrawn, rest) = split(body);
        let (attributes, nlri) = split(&rest);
        for route in withdrawn.chunks(4).filter(|r| r.len() == 4) {
            self.prefixes.remove(&[route[1], route[2], route[3]]);
        }
        for route in nlri.chunks(4).filter(|r| r.len() == 4) {
            self.prefixes.insert([route[1], route[2], route[3]], attributes.clone());
        }
    }
}
