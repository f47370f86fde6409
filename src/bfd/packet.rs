//! The BFD Control packet (RFC 5880 §4.1) and the checks that need no session (§6.8.6).
//!
//! Owns the fixed part's wire form. What follows it when the A bit is set belongs to [`super::auth`].

use std::time::Duration;

use thiserror::Error;

/// Length of a packet without an authentication section, in octets.
pub const LENGTH: usize = 24;
/// Length of the longest packet we send: with a SHA1 authentication section.
pub const MAX_LENGTH: usize = LENGTH + super::auth::SHA1_LENGTH;

/// Session states (RFC 5880 §4.1), by their value on the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// Held down by an operator, on either side.
    AdminDown = 0,
    /// No packets, or only just: the three-way handshake begins here.
    Down = 1,
    /// The peer is heard but has not said that it hears us.
    Init = 2,
    /// Both sides hear each other.
    Up = 3,
}

impl State {
    /// Every state.
    pub const ALL: [State; 4] = [State::AdminDown, State::Down, State::Init, State::Up];

    /// The state's name as the RFC spells it.
    pub fn name(self) -> &'static str {
        match self {
            State::AdminDown => "AdminDown",
            State::Down => "Down",
            State::Init => "Init",
            State::Up => "Up",
        }
    }
}

/// Why a session last left [`State::Up`] (RFC 5880 §4.1, Diagnostic).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Diagnostic(pub u8);

impl Diagnostic {
    /// Nothing to say.
    pub const NONE: Diagnostic = Diagnostic(0);
    /// No packet for a detection time.
    pub const DETECTION_TIME_EXPIRED: Diagnostic = Diagnostic(1);
    /// The peer said it is down.
    pub const PEER_SIGNALED_DOWN: Diagnostic = Diagnostic(3);
    /// The path is known to be down without BFD: loss of carrier, say.
    pub const PATH_DOWN: Diagnostic = Diagnostic(5);
    /// An operator took it down.
    pub const ADMINISTRATIVELY_DOWN: Diagnostic = Diagnostic(7);

    /// The diagnostic in words, as the RFC has them.
    pub fn name(self) -> &'static str {
        match self.0 {
            0 => "No Diagnostic",
            1 => "Control Detection Time Expired",
            2 => "Echo Function Failed",
            3 => "Neighbor Signaled Session Down",
            4 => "Forwarding Plane Reset",
            5 => "Path Down",
            6 => "Concatenated Path Down",
            7 => "Administratively Down",
            8 => "Reverse Concatenated Path Down",
            _ => "Unknown",
        }
    }
}

/// The fixed part of a control packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Packet {
    /// Why the sender's session last went down.
    pub diagnostic: Diagnostic,
    /// The sender's state.
    pub state: State,
    /// The sender wants its parameters confirmed (P).
    pub poll: bool,
    /// The sender confirms ours (F).
    pub final_: bool,
    /// The sender's BFD does not share fate with its control plane (C).
    pub control_plane_independent: bool,
    /// An authentication section follows (A).
    pub authenticated: bool,
    /// The sender wants us to be silent while both sides are Up (D).
    pub demand: bool,
    /// Detection time multiplier, never zero.
    pub detect_multiplier: u8,
    /// The sender's discriminator, never zero.
    pub my_discriminator: u32,
    /// Ours as the sender knows it; zero if it does not.
    pub your_discriminator: u32,
    /// The interval at which the sender would like to send.
    pub desired_min_tx: Duration,
    /// The interval at which the sender can take packets; zero: it wants none.
    pub required_min_rx: Duration,
    /// The interval at which the sender can take Echo packets; zero: it wants none.
    pub required_min_echo_rx: Duration,
}

/// Why a packet was discarded (RFC 5880 §6.8.6). BFD never answers a bad packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Error)]
pub enum PacketError {
    /// Not a control packet of version 1.
    #[error("version {0} instead of 1")]
    Version(u8),
    /// The length field does not fit the packet.
    #[error("length field {field} in a datagram of {octets} octets")]
    Length {
        /// What the packet says.
        field: u8,
        /// What arrived.
        octets: usize,
    },
    /// A multiplier of zero.
    #[error("detection time multiplier 0")]
    ZeroMultiplier,
    /// The M bit, which is reserved.
    #[error("multipoint bit set")]
    Multipoint,
    /// A sender without a discriminator.
    #[error("my discriminator 0")]
    ZeroDiscriminator,
    /// No discriminator of ours, in a state in which the sender must know it.
    #[error("your discriminator 0 in state {}", .0.name())]
    UnknownTo(State),
    /// Addressed to no session of ours.
    #[error("no session for it")]
    NoSession,
    /// It came from further away than allowed (RFC 5881 §5, RFC 5883 §5).
    #[error("time to live {0}")]
    TooFar(u8),
    /// The authentication section is not what was agreed on, or does not verify (RFC 5880 §6.7).
    #[error("authentication: {0}")]
    Authentication(&'static str),
}

impl Packet {
    /// Decodes the fixed part, and returns it with the whole packet, authentication section included,
    /// cut to the packet's own length.
    ///
    /// # Errors
    /// When the packet is to be discarded whichever session it is for.
    pub fn decode(datagram: &[u8]) -> Result<(Packet, &[u8]), PacketError> {
        let length_error = |field| PacketError::Length { field, octets: datagram.len() };
        let (fixed, _) = datagram.split_first_chunk::<LENGTH>().ok_or(length_error(0))?;
        let version = fixed[0] >> 5;
        if version != 1 {
            return Err(PacketError::Version(version));
        }
        let authenticated = fixed[1] & 0x04 != 0;
        let least = if authenticated { LENGTH + 2 } else { LENGTH };
        let length = usize::from(fixed[3]);
        let whole = datagram.get(..length).filter(|_| length >= least).ok_or(length_error(fixed[3]))?;
        if fixed[2] == 0 {
            return Err(PacketError::ZeroMultiplier);
        }
        if fixed[1] & 0x01 != 0 {
            return Err(PacketError::Multipoint);
        }
        let word = |at: usize| u32::from_be_bytes([fixed[at], fixed[at + 1], fixed[at + 2], fixed[at + 3]]);
        let interval = |at| Duration::from_micros(u64::from(word(at)));
        let packet = Packet {
            diagnostic: Diagnostic(fixed[0] & 0x1f),
            state: State::ALL[usize::from(fixed[1] >> 6)],
            poll: fixed[1] & 0x20 != 0,
            final_: fixed[1] & 0x10 != 0,
            control_plane_independent: fixed[1] & 0x08 != 0,
            authenticated,
            demand: fixed[1] & 0x02 != 0,
            detect_multiplier: fixed[2],
            my_discriminator: word(4),
            your_discriminator: word(8),
            desired_min_tx: interval(12),
            required_min_rx: interval(16),
            required_min_echo_rx: interval(20),
        };
        if packet.my_discriminator == 0 {
            return Err(PacketError::ZeroDiscriminator);
        }
        if packet.your_discriminator == 0 && !matches!(packet.state, State::Down | State::AdminDown) {
            return Err(PacketError::UnknownTo(packet.state));
        }
        Ok((packet, whole))
    }

    /// Encodes the fixed part, with a length field for itself alone.
    pub fn encode(&self) -> Vec<u8> {
        let bit = |set: bool, mask: u8| if set { mask } else { 0 };
        let flags = bit(self.poll, 0x20)
            | bit(self.final_, 0x10)
            | bit(self.control_plane_independent, 0x08)
            | bit(self.authenticated, 0x04)
            | bit(self.demand, 0x02);
        let mut out = Vec::with_capacity(MAX_LENGTH);
        let state = (self.state as u8) << 6;
        out.extend([1 << 5 | self.diagnostic.0 & 0x1f, state | flags, self.detect_multiplier, LENGTH as u8]);
        out.extend(self.my_discriminator.to_be_bytes());
        out.extend(self.your_discriminator.to_be_bytes());
        for interval in [self.desired_min_tx, self.required_min_rx, self.required_min_echo_rx] {
            let micros = u32::try_from(interval.as_micros()).unwrap_or(u32::MAX);
            out.extend(micros.to_be_bytes());
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What FRR's bfdd sends first: Down, 300 ms × 3 wanted, one second meant.
    const FIRST: [u8; 24] = [
        0x20, 0x40, 3, 24, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0x0f, 0x42, 0x40, 0, 0x04, 0x93, 0xe0, 0, 0, 0xc3, 0x50,
    ];

    #[test]
    fn a_packet_decodes_and_encodes_to_the_same_octets() {
        let (packet, whole) = Packet::decode(&FIRST).unwrap();
        assert_eq!(packet.state, State::Down);
        assert_eq!(packet.my_discriminator, 7);
        assert_eq!(packet.desired_min_tx, Duration::from_secs(1));
        assert_eq!(packet.required_min_rx, Duration::from_millis(300));
        assert_eq!(packet.required_min_echo_rx, Duration::from_millis(50));
        assert_eq!(whole, FIRST);
        assert_eq!(packet.encode(), FIRST);
    }

    #[test]
    fn every_flag_and_state_survives_a_round_trip() {
        for flags in 0..=0x1f_u8 {
            for state in 0..4_u8 {
                let mut bytes = FIRST.to_vec();
                bytes[1] = state << 6 | (flags << 1 & 0x3e);
                bytes[11] = 9;
                if bytes[1] & 0x04 != 0 {
                    bytes.extend([4, 4]);
                    bytes[3] = 26;
                }
                let (packet, _) = Packet::decode(&bytes).unwrap();
                assert_eq!(packet.encode()[1], bytes[1]);
            }
        }
    }

    #[test]
    fn bad_packets_are_refused_in_the_order_of_the_rfc() {
        let with = |change: fn(&mut Vec<u8>)| {
            let mut bytes = FIRST.to_vec();
            change(&mut bytes);
            Packet::decode(&bytes).unwrap_err()
        };
        assert_eq!(with(|b| b.truncate(23)), PacketError::Length { field: 0, octets: 23 });
        assert_eq!(with(|b| b[0] = 0x40), PacketError::Version(2));
        assert_eq!(with(|b| b[3] = 23), PacketError::Length { field: 23, octets: 24 });
        assert_eq!(with(|b| b[3] = 25), PacketError::Length { field: 25, octets: 24 });
        assert_eq!(with(|b| b[1] |= 0x04), PacketError::Length { field: 24, octets: 24 });
        assert_eq!(with(|b| b[2] = 0), PacketError::ZeroMultiplier);
        assert_eq!(with(|b| b[1] |= 1), PacketError::Multipoint);
        assert_eq!(with(|b| b[7] = 0), PacketError::ZeroDiscriminator);
        assert_eq!(with(|b| b[1] = 0xc0), PacketError::UnknownTo(State::Up));
    }

    #[test]
    fn octets_after_the_packet_are_no_part_of_it() {
        let mut bytes = FIRST.to_vec();
        bytes.extend([1, 2, 3]);
        assert_eq!(Packet::decode(&bytes).unwrap().1, FIRST);
    }
}
