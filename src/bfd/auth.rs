//! Authentication of control packets: Meticulous Keyed SHA1 (RFC 5880 §4.4, §6.7.4).
//!
//! Of the RFC's five types this is the one worth having: the sequence number rises with every packet, so
//! that none can be played again, and the digest is the strongest that speakers share.

use sha1::{Digest, Sha1};

use super::packet::{self, PacketError};

/// Authentication type of Meticulous Keyed SHA1.
const METICULOUS_KEYED_SHA1: u8 = 5;
/// Length of its section in octets.
pub const SHA1_LENGTH: usize = 28;
/// Where the key, and after hashing the digest, lies in the packet.
const DIGEST: std::ops::Range<usize> = packet::LENGTH + 8..packet::LENGTH + SHA1_LENGTH;

/// A key and the number it is known by.
#[derive(Clone, PartialEq, Eq)]
pub struct Key {
    id: u8,
    secret: [u8; 20],
}

impl Key {
    /// Wraps a secret; `None` when it is empty or longer than 20 octets (RFC 5880 §4.4).
    pub fn new(id: u8, secret: &[u8]) -> Option<Key> {
        let mut padded = [0; 20];
        padded.get_mut(..secret.len()).filter(|_| !secret.is_empty())?.copy_from_slice(secret);
        Some(Key { id, secret: padded })
    }

    /// Appends the section to an encoded packet and puts its length right. The packet's A bit is set
    /// already.
    pub(super) fn seal(&self, packet: &mut Vec<u8>, sequence: u32) {
        packet.extend([METICULOUS_KEYED_SHA1, SHA1_LENGTH as u8, self.id, 0]);
        packet.extend(sequence.to_be_bytes());
        packet.extend(self.secret);
        packet[3] = packet::MAX_LENGTH as u8;
        let digest = Sha1::digest(&packet);
        packet[DIGEST].copy_from_slice(&digest);
    }

    /// Verifies a whole packet and returns its sequence number, whose place in the order is for the
    /// session to judge.
    pub(super) fn open(&self, whole: &[u8]) -> Result<u32, PacketError> {
        let refuse = PacketError::Authentication;
        let mut bytes: [u8; packet::MAX_LENGTH] =
            whole.try_into().map_err(|_| refuse("the section is not 28 octets long"))?;
        let section = &bytes[packet::LENGTH..];
        if section[0] != METICULOUS_KEYED_SHA1 || usize::from(section[1]) != SHA1_LENGTH {
            return Err(refuse("not Meticulous Keyed SHA1"));
        }
        if section[2] != self.id {
            return Err(refuse("unknown key id"));
        }
        let sequence = u32::from_be_bytes([section[4], section[5], section[6], section[7]]);
        let mut claimed = [0; 20];
        claimed.copy_from_slice(&bytes[DIGEST]);
        bytes[DIGEST].copy_from_slice(&self.secret);
        // No early exit at the first octet that differs: its time would tell how many were right.
        let difference = Sha1::digest(bytes).iter().zip(claimed).fold(0, |sum, (a, b)| sum | (a ^ b));
        if difference == 0 { Ok(sequence) } else { Err(refuse("the digest does not verify")) }
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key({}, …)", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed(key: &Key, sequence: u32) -> Vec<u8> {
        let mut packet = vec![0; packet::LENGTH];
        packet[..4].copy_from_slice(&[0x20, 0x44, 3, 24]);
        key.seal(&mut packet, sequence);
        packet
    }

    #[test]
    fn what_is_sealed_opens_with_the_same_key_only() {
        let key = Key::new(1, b"secret").unwrap();
        let packet = sealed(&key, 7);
        assert_eq!(packet.len(), 52);
        assert_eq!(packet[3], 52);
        assert_eq!(key.open(&packet), Ok(7));
        let refused = |key: &Key, packet: &[u8]| key.open(packet).unwrap_err().to_string();
        assert!(refused(&Key::new(1, b"Secret").unwrap(), &packet).ends_with("does not verify"));
        assert!(refused(&Key::new(2, b"secret").unwrap(), &packet).ends_with("unknown key id"));
        assert!(refused(&key, &packet[..51]).ends_with("28 octets long"));
    }

    #[test]
    fn no_octet_may_change() {
        let key = Key::new(1, b"secret").unwrap();
        let packet = sealed(&key, 7);
        for at in 0..packet.len() {
            let mut changed = packet.clone();
            changed[at] ^= 0x10;
            assert!(key.open(&changed).is_err(), "octet {at}");
        }
    }

    #[test]
    fn a_key_has_one_to_twenty_octets() {
        assert!(Key::new(1, b"").is_none());
        assert!(Key::new(1, &[7; 20]).is_some());
        assert!(Key::new(1, &[7; 21]).is_none());
        assert!(!format!("{:?}", Key::new(1, b"secret")).contains("secret"));
    }
}
