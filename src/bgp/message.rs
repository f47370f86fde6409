//! A whole message, decoded and encoded under what a session negotiated (RFC 4271 §4).
//!
//! The front of the wire: each kind of message has a file of its own, ROUTE-REFRESH (RFC 2918) and
//! KEEPALIVE excepted, which have next to nothing in them.

use super::as_path::AsWidth;
use super::cursor::Cursor;
use super::header::{self, HEADER_LENGTH, MessageType};
use super::{MessageError, Notification, Open, PathAttributes, Reason, Update, nlri, update};
use crate::prefix::{Family, Prefix};

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
}

impl Codec {
    /// The codec before an OPEN has been exchanged.
    pub fn initial() -> Codec {
        Codec { four_octet_as: false, external: true, families: vec![] }
    }

    /// How AS numbers are written in AS_PATH and AGGREGATOR.
    pub(super) fn as_width(&self) -> AsWidth {
        if self.four_octet_as { AsWidth::Four } else { AsWidth::Two }
    }

    /// Decodes one message that [`super::header::message_length`] has cut out.
    ///
    /// # Errors
    /// The message must be answered with a NOTIFICATION and the session closed.
    pub fn decode(&self, message: &[u8]) -> Result<Message, MessageError> {
        let header = header::decode(message)?.filter(|header| header.length == message.len());
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
            MessageType::RouteRefresh => self.decode_route_refresh(body),
        })
    }

    fn decode_route_refresh(&self, body: &[u8]) -> Message {
        let mut cursor = Cursor::new(body);
        let family = match (cursor.u16(), cursor.u8(), cursor.u8()) {
            // The third octet is a subtype since RFC 7313; what is not an ordinary request is ignored.
            (Some(afi), Some(0), Some(safi)) => nlri::family(afi, safi),
            _ => None,
        };
        match family {
            Some(family) if self.families.contains(&family) => Message::RouteRefresh(family),
            _ => Message::RouteRefreshIgnored,
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

    /// Encodes a ROUTE-REFRESH (RFC 2918 §3).
    pub fn encode_route_refresh(&self, family: Family) -> Vec<u8> {
        let mut out = vec![];
        let start = header::begin(MessageType::RouteRefresh, &mut out);
        out.extend(nlri::afi(family).to_be_bytes());
        out.extend([0, nlri::UNICAST]);
        header::finish(start, &mut out);
        out
    }

    /// Encodes announcements of `prefixes` (all of one family) with `attributes`, packed into as
    /// few messages as fit and appended to `out`. Returns how many messages that took; 0 when the
    /// attributes leave no room for the family's longest prefix within the message size, in which
    /// case the caller must withdraw instead (RFC 4271 §9.2). Also 0 when the next hop is of the
    /// other family, for that needs RFC 8950, which is not negotiated.
    pub fn encode_announcements(
        &self,
        attributes: &PathAttributes,
        prefixes: &[Prefix],
        out: &mut Vec<u8>,
    ) -> usize {
        update::encode_announcements(self, attributes, prefixes, out)
    }

    /// Encodes withdrawals of `prefixes` (all of one family), likewise.
    pub fn encode_withdrawals(&self, prefixes: &[Prefix], out: &mut Vec<u8>) -> usize {
        update::encode_withdrawals(prefixes, out)
    }

    /// Encodes the End-of-RIB marker of a family (RFC 4724 §2).
    pub fn encode_end_of_rib(&self, family: Family, out: &mut Vec<u8>) {
        update::encode_end_of_rib(family, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn codec() -> Codec {
        Codec { four_octet_as: true, external: true, families: vec![Family::Ipv6Unicast] }
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
