//! A whole message, decoded and encoded under what a session negotiated (RFC 4271 §4).
//!
//! The front of the wire: each kind of message has a file of its own, ROUTE-REFRESH (RFC 2918,
//! RFC 7313) and KEEPALIVE excepted, which have next to nothing in them.

use super::as_path::AsWidth;
use super::capability::AddPath;
use super::header::{self, HEADER_LENGTH, MAX_EXTENDED_LENGTH, MAX_MESSAGE_LENGTH, MessageType};
use super::{MessageError, Nlri, Notification, Open, PathAttributes, Reason, Update, nlri, update};
use crate::prefix::Family;

/// Any BGP message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// OPEN.
    Open(Open),
    /// UPDATE.
    Update(Update),
    /// NOTIFICATION.
    Notification(Notification),
    /// KEEPALIVE.
    Keepalive,
    /// ROUTE-REFRESH for a family we keep (RFC 2918).
    RouteRefresh(Family),
    /// ROUTE-REFRESH that says the peer begins to announce a whole family again (BoRR, RFC 7313 §3.2).
    BeginOfRefresh(Family),
    /// ROUTE-REFRESH that says it has done so (EoRR, RFC 7313 §3.2).
    EndOfRefresh(Family),
    /// ROUTE-REFRESH that must be ignored: a family not advertised (RFC 2918 §4) or a subtype not
    /// understood (RFC 7313 §5).
    RouteRefreshIgnored,
}

/// What decoding and encoding depend on beyond the bytes: the outcome of the OPEN exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Codec {
    /// Both sides speak four-octet AS numbers (RFC 6793).
    pub four_octet_as: bool,
    /// The peer is external: LOCAL_PREF, ORIGINATOR_ID and CLUSTER_LIST from it are discarded
    /// (RFC 7606 §7.5, §7.9, §7.10).
    pub external: bool,
    /// Families agreed on. NLRI of another family is a fault, treated as RFC 7606 §7.11 ff. say.
    pub families: Vec<Family>,
    /// Both sides speak extended messages: any but OPEN and KEEPALIVE may have up to 65,535 octets
    /// (RFC 8654).
    pub extended_messages: bool,
    /// IPv4 prefixes may have IPv6 next hops (RFC 8950).
    pub extended_next_hop: bool,
    /// Whether prefixes bear path identifiers (RFC 7911), by family in the order of [`Family::ALL`]. A
    /// list with them can be encoded where they are sent, and must be there.
    pub add_path: [AddPath; 2],
    /// Both sides mark where a refresh begins and ends (RFC 7313).
    pub enhanced_refresh: bool,
}

/// What a ROUTE-REFRESH is for (RFC 7313 §3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RefreshSubtype {
    Request = 0,
    Begin = 1,
    End = 2,
}

impl Codec {
    /// The codec before an OPEN has been exchanged.
    pub fn initial() -> Codec {
        Codec {
            four_octet_as: false,
            external: true,
            families: vec![],
            extended_messages: false,
            extended_next_hop: false,
            add_path: [AddPath::default(); 2],
            enhanced_refresh: false,
        }
    }

    /// The most octets a message may have, OPEN and KEEPALIVE excepted.
    pub fn max_message_length(&self) -> usize {
        if self.extended_messages { MAX_EXTENDED_LENGTH } else { MAX_MESSAGE_LENGTH }
    }

    /// How AS numbers are written in AS_PATH and AGGREGATOR.
    pub(super) fn as_width(&self) -> AsWidth {
        if self.four_octet_as { AsWidth::Four } else { AsWidth::Two }
    }

    /// Decodes one message that [`super::header::message_length_within`] has cut out.
    ///
    /// # Errors
    /// The message must be answered with a NOTIFICATION and the session closed.
    pub fn decode(&self, message: &[u8]) -> Result<Message, MessageError> {
        let header = header::decode(self.max_message_length(), message)?;
        let header = header.filter(|header| header.length == message.len());
        let Some(header) = header else {
            let what = format!("a message of {} octets is not what its header says", message.len());
            let length = message.get(16..18).unwrap_or_default();
            return Err(MessageError::because(Reason::BAD_MESSAGE_LENGTH, length, what));
        };
        let body = &message[HEADER_LENGTH..];
        Ok(match header.kind {
            MessageType::Open => Message::Open(Open::decode(body)?),
            MessageType::Update => Message::Update(update::decode(self, body)?),
            MessageType::Notification => Message::Notification(Notification::decode(body)),
            MessageType::Keepalive => Message::Keepalive,
            MessageType::RouteRefresh => self.decode_route_refresh(message)?,
        })
    }

    fn decode_route_refresh(&self, message: &[u8]) -> Result<Message, MessageError> {
        let body = &message[HEADER_LENGTH..];
        let &[afi_high, afi_low, subtype, safi] =
            body.as_array().ok_or_else(|| self.bad_refresh_length(message))?;
        let family = nlri::family(u16::from_be_bytes([afi_high, afi_low]), safi);
        let Some(family) = family.filter(|family| self.families.contains(family)) else {
            return Ok(Message::RouteRefreshIgnored);
        };
        Ok(match subtype {
            0 => Message::RouteRefresh(family),
            1 if self.enhanced_refresh => Message::BeginOfRefresh(family),
            2 if self.enhanced_refresh => Message::EndOfRefresh(family),
            _ => Message::RouteRefreshIgnored,
        })
    }

    /// RFC 7313 §5 quotes the whole message where a mark has a wrong length; for any other
    /// ROUTE-REFRESH there is the error of RFC 4271 §6.1.
    fn bad_refresh_length(&self, message: &[u8]) -> MessageError {
        let what = format!("RouteRefresh message of {} octets", message.len());
        match message.get(HEADER_LENGTH + 2) {
            Some(1 | 2) if self.enhanced_refresh => {
                MessageError::because(Reason::INVALID_ROUTE_REFRESH_LENGTH, message, what)
            }
            _ => MessageError::because(Reason::BAD_MESSAGE_LENGTH, &message[16..18], what),
        }
    }

    /// Encodes an OPEN. Capabilities that would take it past 4,096 octets are left out.
    pub fn encode_open(&self, open: &Open) -> Vec<u8> {
        let mut out = vec![];
        open.encode(&mut out);
        out
    }

    /// Encodes a NOTIFICATION, its data cut so that the message stays within 4,096 octets.
    pub fn encode_notification(&self, notification: &Notification) -> Vec<u8> {
        let mut out = vec![];
        notification.encode(&mut out);
        out
    }

    /// Encodes a KEEPALIVE.
    pub fn encode_keepalive(&self) -> Vec<u8> {
        let mut out = vec![];
        let start = header::begin(MessageType::Keepalive, &mut out);
        header::finish(start, &mut out);
        out
    }

    /// Encodes a request for all of a family again (RFC 2918 §3).
    pub fn encode_route_refresh(&self, family: Family) -> Vec<u8> {
        encode_refresh(family, RefreshSubtype::Request)
    }

    /// Encodes the mark that all of a family follows again (BoRR, RFC 7313 §3.2).
    pub fn encode_begin_of_refresh(&self, family: Family) -> Vec<u8> {
        encode_refresh(family, RefreshSubtype::Begin)
    }

    /// Encodes the mark that all of a family has been sent again (EoRR, RFC 7313 §3.2).
    pub fn encode_end_of_refresh(&self, family: Family) -> Vec<u8> {
        encode_refresh(family, RefreshSubtype::End)
    }

    /// Encodes announcements of `prefixes` (all of one family) with `attributes`, packed into as
    /// few messages as fit and appended to `out`. Returns how many messages that took; 0 when the
    /// attributes leave no room for the family's longest prefix within the message size, in which
    /// case the caller must withdraw instead (RFC 4271 §9.2). Also 0 when the next hop is of the
    /// other family, unless it is IPv6 for IPv4 and that has been agreed on (RFC 8950).
    pub fn encode_announcements<T: Nlri>(
        &self,
        attributes: &PathAttributes,
        prefixes: &[T],
        out: &mut Vec<u8>,
    ) -> usize {
        update::encode_announcements(self, attributes, prefixes, out)
    }

    /// Encodes withdrawals of `prefixes` (all of one family), likewise.
    pub fn encode_withdrawals<T: Nlri>(&self, prefixes: &[T], out: &mut Vec<u8>) -> usize {
        update::encode_withdrawals(self, prefixes, out)
    }

    /// Encodes the End-of-RIB marker of a family (RFC 4724 §2).
    pub fn encode_end_of_rib(&self, family: Family, out: &mut Vec<u8>) {
        update::encode_end_of_rib(family, out);
    }
}

fn encode_refresh(family: Family, subtype: RefreshSubtype) -> Vec<u8> {
    let mut out = vec![];
    let start = header::begin(MessageType::RouteRefresh, &mut out);
    out.extend(nlri::afi(family).to_be_bytes());
    out.extend([subtype as u8, nlri::UNICAST]);
    header::finish(start, &mut out);
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prefix::Prefix;

    fn codec() -> Codec {
        Codec { four_octet_as: true, families: vec![Family::Ipv6Unicast], ..Codec::initial() }
    }

    #[test]
    fn route_refresh_outside_what_was_agreed_is_ignored() {
        let message = |afi: u8, subtype, safi| {
            let mut message = codec().encode_route_refresh(Family::Ipv4Unicast);
            message[20..].copy_from_slice(&[afi, subtype, safi]);
            codec().decode(&message).unwrap()
        };
        assert_eq!(message(2, 0, 1), Message::RouteRefresh(Family::Ipv6Unicast));
        assert_eq!(message(1, 0, 1), Message::RouteRefreshIgnored, "a family not negotiated");
        assert_eq!(message(2, 0, 128), Message::RouteRefreshIgnored, "a SAFI we do not know");
        assert_eq!(message(2, 1, 1), Message::RouteRefreshIgnored, "begin of refresh, RFC 7313");
        assert_eq!(message(2, 255, 1), Message::RouteRefreshIgnored, "a reserved subtype");
    }

    #[test]
    fn refresh_marks_are_for_those_who_agreed_on_them() {
        let enhanced = Codec { enhanced_refresh: true, ..codec() };
        let family = Family::Ipv6Unicast;
        let (begin, end) = (codec().encode_begin_of_refresh(family), codec().encode_end_of_refresh(family));
        assert_eq!(enhanced.decode(&begin), Ok(Message::BeginOfRefresh(family)));
        assert_eq!(enhanced.decode(&end), Ok(Message::EndOfRefresh(family)));
        assert_eq!(codec().decode(&begin), Ok(Message::RouteRefreshIgnored));
        // RFC 7313 §5: the wrong length of a mark is an error of its own, that of a request is not.
        for (subtype, reason) in [
            (0, Reason::BAD_MESSAGE_LENGTH),
            (1, Reason::INVALID_ROUTE_REFRESH_LENGTH),
            (2, Reason::INVALID_ROUTE_REFRESH_LENGTH),
            (3, Reason::BAD_MESSAGE_LENGTH),
        ] {
            let mut long = begin.clone();
            long.push(0);
            (long[17], long[21]) = (24, subtype);
            let notification = enhanced.decode(&long).unwrap_err().notification;
            assert_eq!(notification.reason(), reason, "{subtype}");
            if reason == Reason::INVALID_ROUTE_REFRESH_LENGTH {
                assert_eq!(notification.data, long);
            }
            assert_eq!(codec().decode(&long).unwrap_err().notification.reason(), Reason::BAD_MESSAGE_LENGTH);
        }
    }

    #[test]
    fn extended_messages_are_for_those_who_agreed_on_them() {
        let extended = Codec { extended_messages: true, external: false, ..codec() };
        let ordinary = Codec { extended_messages: false, ..extended.clone() };
        let prefixes: Vec<Prefix> =
            (0..10_000u16).map(|i| format!("fd00:{i:x}::/48").parse().unwrap()).collect();
        let attributes = PathAttributes::originated("fd00::1".parse().unwrap());
        let mut octets = vec![];
        assert_eq!(extended.encode_announcements(&attributes, &prefixes, &mut octets), 2);
        assert_eq!(
            header::message_length(&octets).unwrap_err().notification.reason(),
            Reason::BAD_MESSAGE_LENGTH
        );
        let length = header::message_length_within(MAX_EXTENDED_LENGTH, &octets).unwrap().unwrap();
        assert!(length > 65_000, "{length}");
        let Message::Update(update) = extended.decode(&octets[..length]).unwrap() else { panic!() };
        assert!(update.faults.is_empty() && update.announced[0].prefixes.len() > 9_000);
        let notification = ordinary.decode(&octets[..length]).unwrap_err().notification;
        assert_eq!(notification.reason(), Reason::BAD_MESSAGE_LENGTH);
        assert_eq!(notification.data, (length as u16).to_be_bytes());
        let mut withdrawals = vec![];
        assert_eq!(extended.encode_withdrawals(&prefixes, &mut withdrawals), 2);
    }

    #[test]
    fn every_small_message_survives_the_way_there_and_back() {
        let notification = Notification { code: 6, subcode: 2, data: b"\x02hi".to_vec() };
        let codec = codec();
        let there_and_back = |octets: Vec<u8>| {
            assert_eq!(header::message_length(&octets), Ok(Some(octets.len())));
            codec.decode(&octets).unwrap()
        };
        assert_eq!(there_and_back(codec.encode_keepalive()), Message::Keepalive);
        assert_eq!(
            there_and_back(codec.encode_route_refresh(Family::Ipv6Unicast)),
            Message::RouteRefresh(Family::Ipv6Unicast)
        );
        assert_eq!(
            there_and_back(codec.encode_notification(&notification)),
            Message::Notification(notification)
        );
        let endless = Notification { code: 3, subcode: 9, data: vec![1; 70_000] };
        let Message::Notification(cut) = there_and_back(codec.encode_notification(&endless)) else {
            panic!()
        };
        assert_eq!(cut.data.len(), 4096 - 21);
    }

    #[test]
    fn a_message_that_was_not_cut_by_its_length_is_refused() {
        let keepalive = codec().encode_keepalive();
        for wrong in [&keepalive[..18], &[&keepalive[..], &[0]].concat(), &[]] {
            assert_eq!(codec().decode(wrong).unwrap_err().notification.reason(), Reason::BAD_MESSAGE_LENGTH);
        }
    }
}
