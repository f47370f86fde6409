//! A BGP peer that does as told, by octets, and one that remembers what it is told.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

/// Longer than a hold time of 3 s takes to expire.
const PATIENCE: Duration = Duration::from_secs(6);

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

/// An attribute with the extended length where its value needs that.
pub fn attribute(flags: u8, code: u8, value: &[u8]) -> Vec<u8> {
    match u8::try_from(value.len()) {
        Ok(length) => [&[flags, code, length], value].concat(),
        Err(_) => {
            let length = u16::try_from(value.len()).unwrap().to_be_bytes();
            [&[flags | 0x10, code], &length[..], value].concat()
        }
    }
}

/// OPEN with the given AS, identifier, hold time and optional parameters, their length included.
pub fn open(asn: u16, identifier: [u8; 4], hold: u8, parameters: &[u8]) -> Vec<u8> {
    message(1, &[&[4], &asn.to_be_bytes()[..], &[0, hold], &identifier, parameters].concat())
}

/// Optional parameters with these capabilities in one parameter.
pub fn parameters(capabilities: &[u8]) -> Vec<u8> {
    let length = u8::try_from(capabilities.len()).unwrap();
    [&[length + 2, 2, length], capabilities].concat()
}

/// The attributes of a field whose form is right, by type code: code, flags and value.
pub fn attributes(mut field: &[u8]) -> Vec<(u8, u8, &[u8])> {
    let mut found = vec![];
    while let [flags, code, rest @ ..] = field {
        let (header, length) = match flags & 0x10 {
            0 => (1, usize::from(rest[0])),
            _ => (2, usize::from(u16::from_be_bytes([rest[0], rest[1]]))),
        };
        found.push((*code, *flags, &rest[header..header + length]));
        field = &rest[header + length..];
    }
    found
}

/// Prefixes one by one, each with its length octet.
fn prefixes(mut nlri: &[u8]) -> Vec<Vec<u8>> {
    let mut found = vec![];
    while let Some(length) = nlri.first() {
        let (prefix, rest) = nlri.split_at(1 + usize::from(*length).div_ceil(8));
        found.push(prefix.to_vec());
        nlri = rest;
    }
    found
}

/// One connection.
pub struct Peer(pub TcpStream);

impl Peer {
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

    /// Code, subcode and data of the NOTIFICATION that ends the session.
    pub fn await_notification(&mut self) -> Result<(u8, u8, Vec<u8>), String> {
        loop {
            if let (3, body) = self.receive()? {
                return Ok((body[0], body[1], body[2..].to_vec()));
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

    /// Waits for a message of this type; a NOTIFICATION in its place is an error.
    pub fn await_kind(&mut self, kind: u8) -> Result<(), String> {
        loop {
            match self.receive()? {
                (found, _) if found == kind => return Ok(()),
                (3, body) => return Err(format!("NOTIFICATION {body:?}")),
                _ => (),
            }
        }
    }
}

/// A peer that sees what is announced further. A NOTIFICATION to it is an error in any row.
pub struct Observer {
    pub peer: Peer,
    /// Attributes by prefix as NLRI.
    pub prefixes: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Observer {
    pub fn new(peer: Peer) -> Observer {
        Observer { peer, prefixes: BTreeMap::new() }
    }

    /// Reads until a prefix is announced.
    pub fn await_prefix(&mut self, prefix: &[u8]) -> Result<(), String> {
        self.read_until(|prefixes| prefixes.contains_key(prefix))
            .map_err(|e| format!("{prefix:?} not announced to the observer: {e}"))
    }

    /// Reads until a prefix is not, or no longer, announced.
    pub fn await_gone(&mut self, prefix: &[u8]) -> Result<(), String> {
        self.read_until(|prefixes| !prefixes.contains_key(prefix))
            .map_err(|e| format!("{prefix:?} not withdrawn from the observer: {e}"))
    }

    fn read_until(&mut self, met: impl Fn(&BTreeMap<Vec<u8>, Vec<u8>>) -> bool) -> Result<(), String> {
        while !met(&self.prefixes) {
            match self.peer.receive()? {
                (2, body) => self.apply(&body),
                (3, body) => return Err(format!("the observer itself got NOTIFICATION {body:?}")),
                _ => (),
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
        let (field, nlri) = split(&rest);
        let (mut withdrawn, mut announced) = (prefixes(&withdrawn), prefixes(&nlri));
        for (code, _, value) in attributes(&field) {
            match code {
                14 => announced.extend(prefixes(&value[5 + usize::from(value[3])..])),
                15 => withdrawn.extend(prefixes(&value[3..])),
                _ => (),
            }
        }
        for prefix in withdrawn {
            self.prefixes.remove(&prefix);
        }
        for prefix in announced {
            self.prefixes.insert(prefix, field.clone());
        }
    }
}
