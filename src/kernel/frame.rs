//! Netlink messages as octets: requests written into one buffer after another, replies read where
//! they lie (RFC 3549 §2.3; the layout is `linux/netlink.h`'s).
//!
//! Pure: sends nothing, and knows no message's meaning. For what is asked for by the hundred thousand:
//! a route costs a hundred octets in a buffer that is used again, and no allocation.

#![cfg_attr(not(feature = "shell"), allow(dead_code, reason = "the plugin needs a part of it"))]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Flags of a message (`linux/netlink.h`): a request; it is to be acknowledged; everything of a kind.
pub(super) const NLM_F_REQUEST: u16 = 0x1;
pub(super) const NLM_F_ACK: u16 = 0x4;
pub(super) const NLM_F_DUMP: u16 = 0x300;

/// Of a change: answer with what has become of it.
pub(super) const NLM_F_ECHO: u16 = 0x8;

/// Of what makes something: put it in the place of what is there; fail if it is there; make it if it is not;
/// put it behind what is there.
pub(super) const NLM_F_REPLACE: u16 = 0x100;
pub(super) const NLM_F_EXCL: u16 = 0x200;
pub(super) const NLM_F_CREATE: u16 = 0x400;
pub(super) const NLM_F_APPEND: u16 = 0x800;

/// Of a dump's messages: something changed meanwhile.
pub(super) const NLM_F_DUMP_INTR: u16 = 0x10;

/// Of an acknowledgement: attributes follow, with an explanation, say.
pub(super) const NLM_F_ACK_TLVS: u16 = 0x200;

/// Message types of every part of the kernel: an answer, which may be a refusal; the end of a dump.
pub(super) const ERROR: u16 = 2;
pub(super) const DONE: u16 = 3;

/// Octets of a message's header (`struct nlmsghdr`).
pub(super) const HEADER: usize = 16;

/// Marks an attribute that contains attributes (`NLA_F_NESTED`).
pub(super) const NESTED: u16 = 1 << 15;

/// The bits of an attribute's type that say which it is (`NLA_TYPE_MASK`).
const KIND: u16 = 0x3fff;

/// Requests that go to the kernel in one datagram. Numbered: the kernel's answers bear the number.
#[derive(Debug, Default)]
pub(super) struct Requests {
    octets: Vec<u8>,
    /// Where each begins.
    starts: Vec<usize>,
    /// The first one's number. Goes on from datagram to datagram, so that no answer is taken for that
    /// to another.
    first: u32,
}

impl Requests {
    /// Starts the next datagram.
    pub(super) fn clear(&mut self) {
        self.first = self.first.wrapping_add(self.starts.len() as u32);
        self.octets.clear();
        self.starts.clear();
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }

    /// All of them.
    pub(super) fn octets(&self) -> &[u8] {
        &self.octets
    }

    /// One of them alone.
    pub(super) fn one(&self, index: usize) -> &[u8] {
        let end = self.starts.get(index + 1).copied().unwrap_or(self.octets.len());
        &self.octets[self.starts[index]..end]
    }

    /// Which request has this number.
    pub(super) fn index(&self, number: u32) -> Option<usize> {
        let index = number.wrapping_sub(self.first) as usize;
        (index < self.starts.len()).then_some(index)
    }

    /// Adds a request: its type, its flags, the header of its type, and what `fill` puts behind it.
    pub(super) fn push(&mut self, kind: u16, flags: u16, header: &[u8], fill: impl FnOnce(&mut Attributes)) {
        let start = self.octets.len();
        let number = self.first.wrapping_add(self.starts.len() as u32);
        self.starts.push(start);
        self.octets.extend_from_slice(&[0; 4]);
        self.octets.extend_from_slice(&kind.to_ne_bytes());
        self.octets.extend_from_slice(&(flags | NLM_F_REQUEST).to_ne_bytes());
        self.octets.extend_from_slice(&number.to_ne_bytes());
        self.octets.extend_from_slice(&[0; 4]);
        self.octets.extend_from_slice(header);
        fill(&mut Attributes { octets: &mut self.octets });
        let length = (self.octets.len() - start) as u32;
        self.octets[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    }

    /// Sets flags of one more request, such as that for an acknowledgement.
    pub(super) fn flag(&mut self, index: usize, flags: u16) {
        let at = self.starts[index] + 6;
        let flags = flags | u16::from_ne_bytes([self.octets[at], self.octets[at + 1]]);
        self.octets[at..at + 2].copy_from_slice(&flags.to_ne_bytes());
    }
}

/// A message's attributes while they are written.
pub(super) struct Attributes<'a> {
    octets: &'a mut Vec<u8>,
}

impl Attributes<'_> {
    /// Appends an attribute. All values that are written here are multiples of four octets or padded.
    pub(super) fn put(&mut self, kind: u16, value: &[u8]) {
        self.octets.extend_from_slice(&(4 + value.len() as u16).to_ne_bytes());
        self.octets.extend_from_slice(&kind.to_ne_bytes());
        self.octets.extend_from_slice(value);
        self.pad();
    }

    /// Appends a number.
    pub(super) fn put_u32(&mut self, kind: u16, value: u32) {
        self.put(kind, &value.to_ne_bytes());
    }

    /// Appends a name, with the zero that ends it.
    pub(super) fn put_name(&mut self, kind: u16, name: &str) {
        self.put(kind, &[name.as_bytes(), &[0]].concat());
    }

    /// Appends an address.
    pub(super) fn put_address(&mut self, kind: u16, address: IpAddr) {
        match address {
            IpAddr::V4(address) => self.put(kind, &address.octets()),
            IpAddr::V6(address) => self.put(kind, &address.octets()),
        }
    }

    /// Appends an attribute whose value `fill` writes.
    pub(super) fn nest(&mut self, kind: u16, fill: impl FnOnce(&mut Attributes)) {
        self.record(&kind.to_ne_bytes(), fill);
    }

    /// Appends something that begins with its length in two octets, then `head`, then what `fill` writes.
    pub(super) fn record(&mut self, head: &[u8], fill: impl FnOnce(&mut Attributes)) {
        let start = self.octets.len();
        self.octets.extend_from_slice(&[0; 2]);
        self.octets.extend_from_slice(head);
        fill(&mut Attributes { octets: self.octets });
        let length = (self.octets.len() - start) as u16;
        self.octets[start..start + 2].copy_from_slice(&length.to_ne_bytes());
        self.pad();
    }

    /// Appends octets as they are.
    pub(super) fn raw(&mut self, octets: &[u8]) {
        self.octets.extend_from_slice(octets);
    }

    fn pad(&mut self) {
        // Messages begin at multiples of four, so that the buffer's length says where we are in ours.
        let length = self.octets.len().next_multiple_of(4);
        self.octets.resize(length, 0);
    }
}

/// One message from the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame<'a> {
    /// What it is (`nlmsg_type`).
    pub(super) kind: u16,
    /// `nlmsg_flags`.
    pub(super) flags: u16,
    /// Number of the request that it answers.
    pub(super) number: u32,
    /// Whose request it answers, or whose doing it tells of; 0 is the kernel's own.
    pub(super) port: u32,
    /// What follows the header.
    pub(super) body: &'a [u8],
}

/// The messages of a datagram. Ends at the first that is cut off.
pub(super) fn frames(mut rest: &[u8]) -> impl Iterator<Item = Frame<'_>> {
    std::iter::from_fn(move || {
        let length = u32_at(rest, 0)? as usize;
        let body = rest.get(HEADER..length)?;
        let frame = Frame {
            kind: u16_at(rest, 4)?,
            flags: u16_at(rest, 6)?,
            number: u32_at(rest, 8)?,
            port: u32_at(rest, 12)?,
            body,
        };
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(frame)
    })
}

/// The attributes that begin here, each by its type, without the flags that a type may bear, and its
/// value. Ends at the first that is cut off.
pub(super) fn attributes(mut rest: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    std::iter::from_fn(move || {
        let length = usize::from(u16_at(rest, 0)?);
        let value = rest.get(4..length)?;
        let kind = u16_at(rest, 2)? & KIND;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The value of the first attribute of a type among those that begin here.
pub(super) fn attribute(rest: &[u8], wanted: u16) -> Option<&[u8]> {
    attributes(rest).find(|(kind, _)| *kind == wanted).map(|(_, value)| value)
}

/// A text, with or without the zero that ends it.
pub(super) fn text(octets: &[u8]) -> String {
    String::from_utf8_lossy(octets).trim_end_matches('\0').to_owned()
}

/// The number of one octet at this place.
pub(super) fn u8_at(octets: &[u8], at: usize) -> Option<u8> {
    octets.get(at).copied()
}

/// The number of two octets at this place.
pub(super) fn u16_at(octets: &[u8], at: usize) -> Option<u16> {
    octets.get(at..)?.first_chunk().copied().map(u16::from_ne_bytes)
}

/// The number of four octets at this place.
pub(super) fn u32_at(octets: &[u8], at: usize) -> Option<u32> {
    octets.get(at..)?.first_chunk().copied().map(u32::from_ne_bytes)
}

/// The address that these octets are, by their number.
pub(super) fn address(octets: &[u8]) -> Option<IpAddr> {
    match octets.len() {
        4 => octets.first_chunk().map(|octets: &[u8; 4]| Ipv4Addr::from(*octets).into()),
        16 => octets.first_chunk().map(|octets: &[u8; 16]| Ipv6Addr::from(*octets).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> Requests {
        let mut requests = Requests::default();
        requests.push(24, 0x400, &[2; 12], |attributes| {
            attributes.put_u32(6, 20);
            attributes.put(9, &[1, 2, 3]);
            attributes.nest(12 | NESTED, |inner| inner.put_address(1, "192.0.2.1".parse().unwrap()));
        });
        requests.push(25, 0, &[], |_| {});
        requests
    }

    #[test]
    fn what_is_written_is_read_back() {
        let requests = written();
        let frames: Vec<Frame> = frames(requests.octets()).collect();
        assert_eq!(frames.len(), 2);
        assert_eq!((frames[0].kind, frames[0].flags, frames[0].number), (24, 0x401, 0));
        assert_eq!((frames[1].kind, frames[1].flags, frames[1].number), (25, 1, 1));
        let found: Vec<_> = attributes(&frames[0].body[12..]).collect();
        assert_eq!(found[0], (6, &20u32.to_ne_bytes()[..]));
        assert_eq!(found[1], (9, &[1, 2, 3][..]));
        assert_eq!(found[2].0, 12);
        let inner: Vec<_> = attributes(found[2].1).collect();
        assert_eq!(inner.len(), 1);
        assert_eq!(address(inner[0].1), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(requests.one(1).len(), HEADER);
    }

    #[test]
    fn numbers_go_on_from_datagram_to_datagram() {
        let mut requests = written();
        requests.first = u32::MAX - 1;
        requests.clear();
        assert_eq!(requests.len(), 0);
        requests.push(24, 0, &[], |_| {});
        requests.flag(0, 4);
        let frame = frames(requests.octets()).next().unwrap();
        assert_eq!((frame.number, frame.flags), (0, 5));
        assert_eq!((requests.index(0), requests.index(1), requests.index(u32::MAX)), (Some(0), None, None));
    }

    #[test]
    fn what_is_cut_off_ends_the_reading() {
        let requests = written();
        let whole = requests.octets();
        for end in 0..whole.len() {
            let found: Vec<Frame> = frames(&whole[..end]).collect();
            assert!(found.len() < 2);
            found.iter().for_each(|frame| assert!(attributes(frame.body).count() < 100));
        }
        assert_eq!(attributes(&[0, 0, 1, 0, 9, 9]).next(), None, "an attribute shorter than its header");
        assert_eq!(frames(&[0; 32]).next(), None, "a message shorter than its header");
    }
}
