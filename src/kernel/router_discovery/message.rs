//! The two ICMPv6 messages of router discovery, as far as they tell who is on a link (RFC 4861 §4.1,
//! §4.2). Pure: octets in, octets out.

use std::net::Ipv6Addr;

/// Hop limit that shows that a message has crossed no router (RFC 4861 §6.1).
pub const HOP_LIMIT: u8 = 255;

const SOLICITATION: u8 = 133;
const ADVERTISEMENT: u8 = 134;
const SOURCE_LINK_LAYER_ADDRESS: u8 = 1;

/// A message of router discovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Message {
    /// Somebody asks who the routers are.
    Solicitation,
    /// Its sender is a router.
    Advertisement,
}

/// What is wrong with a message. It is to be discarded (RFC 4861 §6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// It has come from another link.
    #[error("hop limit {0} instead of 255")]
    HopLimit(u8),
    /// A code that means nothing.
    #[error("code {0} instead of 0")]
    Code(u8),
    /// It ends within its fixed part.
    #[error("{0} octets are too few")]
    Short(usize),
    /// A router speaks from its link-local address.
    #[error("sent from {0}, which is not link-local")]
    Source(Ipv6Addr),
    /// An option has length zero, or ends beyond the message.
    #[error("the option at octet {0} has a wrong length")]
    Option(usize),
    /// Who has no address yet cannot be answered at its hardware address.
    #[error("a link-layer address without a source address")]
    LinkLayerAddress,
}

impl Message {
    /// Reads an ICMPv6 message whose checksum the kernel has verified; `None` for one of another type.
    ///
    /// # Errors
    /// It does not pass what RFC 4861 §6.1.1 and §6.1.2 ask of it.
    pub fn decode(octets: &[u8], source: Ipv6Addr, hop_limit: u8) -> Result<Option<Message>, Malformed> {
        let (message, fixed) = match octets.first() {
            Some(&SOLICITATION) => (Message::Solicitation, 8),
            Some(&ADVERTISEMENT) => (Message::Advertisement, 16),
            _ => return Ok(None),
        };
        if hop_limit != HOP_LIMIT {
            return Err(Malformed::HopLimit(hop_limit));
        }
        let options = octets.get(fixed..).ok_or(Malformed::Short(octets.len()))?;
        match octets.get(1) {
            Some(&code) if code != 0 => return Err(Malformed::Code(code)),
            _ => {}
        }
        if message == Message::Advertisement && !source.is_unicast_link_local() {
            return Err(Malformed::Source(source));
        }
        let anonymous = message == Message::Solicitation && source.is_unspecified();
        check_options(options, fixed, anonymous)?;
        Ok(Some(message))
    }

    /// The message on the wire; the kernel adds the checksum.
    ///
    /// An advertisement says nothing but that we are here: with a router lifetime of zero nobody takes us
    /// for a default router, and its other fields are left to the receiver (RFC 4861 §4.2).
    pub fn encode(self) -> Vec<u8> {
        let (kind, length) = match self {
            Message::Solicitation => (SOLICITATION, 8),
            Message::Advertisement => (ADVERTISEMENT, 16),
        };
        let mut octets = vec![0; length];
        octets[0] = kind;
        octets
    }
}

/// Options count their length in units of eight octets (RFC 4861 §4.6).
fn check_options(mut options: &[u8], mut at: usize, anonymous: bool) -> Result<(), Malformed> {
    while let Some(&kind) = options.first() {
        let length = options.get(1).map_or(0, |units| usize::from(*units) * 8);
        if length == 0 || length > options.len() {
            return Err(Malformed::Option(at));
        }
        if anonymous && kind == SOURCE_LINK_LAYER_ADDRESS {
            return Err(Malformed::LinkLayerAddress);
        }
        options = &options[length..];
        at += length;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);

    fn advertisement(more: &[u8]) -> Vec<u8> {
        [&Message::Advertisement.encode(), more].concat()
    }

    fn read(octets: &[u8]) -> Result<Option<Message>, Malformed> {
        Message::decode(octets, ROUTER, HOP_LIMIT)
    }

    #[test]
    fn what_is_written_is_read() {
        for message in [Message::Solicitation, Message::Advertisement] {
            assert_eq!(read(&message.encode()), Ok(Some(message)));
        }
        assert_eq!(advertisement(&[])[6..8], [0, 0], "router lifetime");
        let hardware = [1, 1, 2, 0, 0, 0, 0, 1, 5, 1, 0, 0, 0, 0, 5, 0xdc];
        assert_eq!(read(&advertisement(&hardware)), Ok(Some(Message::Advertisement)));
        assert_eq!(read(&[128, 0, 0, 0]), Ok(None), "an echo request");
        assert_eq!(read(&[]), Ok(None));
    }

    #[test]
    fn what_could_come_from_elsewhere_is_discarded() {
        let octets = advertisement(&[]);
        assert_eq!(Message::decode(&octets, ROUTER, 254), Err(Malformed::HopLimit(254)));
        let global: Ipv6Addr = "2001:db8::1".parse().unwrap();
        assert_eq!(Message::decode(&octets, global, HOP_LIMIT), Err(Malformed::Source(global)));
    }

    #[test]
    fn what_is_malformed_is_discarded() {
        for length in 1..16 {
            assert_eq!(read(&advertisement(&[])[..length]), Err(Malformed::Short(length)));
        }
        assert_eq!(read(&advertisement(&[5, 0, 0, 0, 0, 0, 0, 0])), Err(Malformed::Option(16)));
        assert_eq!(read(&advertisement(&[5, 2, 0, 0, 0, 0, 0, 0])), Err(Malformed::Option(16)));
        assert_eq!(read(&advertisement(&[5])), Err(Malformed::Option(16)));
        let mut coded = advertisement(&[]);
        coded[1] = 1;
        assert_eq!(read(&coded), Err(Malformed::Code(1)));
        let asked = [&Message::Solicitation.encode()[..], &[1, 1, 2, 0, 0, 0, 0, 1]].concat();
        let anonymous = Message::decode(&asked, Ipv6Addr::UNSPECIFIED, HOP_LIMIT);
        assert_eq!(anonymous, Err(Malformed::LinkLayerAddress));
        assert_eq!(read(&asked), Ok(Some(Message::Solicitation)));
    }
}
