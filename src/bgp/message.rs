//! A whole message, decoded and encoded under what a session negotiated (RFC 4271 §4).

use super::{MessageError, Notification, Open, PathAttributes, Update};
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

    /// Decodes one message that [`super::header::message_length`] has cut out.
    ///
    /// # Errors
    /// The message must be answered with a NOTIFICATION and the session closed.
    pub fn decode(&self, message: &[u8]) -> Result<Message, MessageError> {
        let _ = message;
        todo!()
    }

    /// Encodes OPEN, NOTIFICATION, KEEPALIVE or ROUTE-REFRESH (an UPDATE has its own three
    /// functions below, because one set of prefixes may need several messages).
    pub fn encode_open(&self, open: &Open) -> Vec<u8> {
        let _ = open;
        todo!()
    }

    /// Encodes a NOTIFICATION, its data cut so that the message stays within 4,096 octets.
    pub fn encode_notification(&self, notification: &Notification) -> Vec<u8> {
        let _ = notification;
        todo!()
    }

    /// Encodes a KEEPALIVE.
    pub fn encode_keepalive(&self) -> Vec<u8> {
        todo!()
    }

    /// Encodes a ROUTE-REFRESH (RFC 2918 §3).
    pub fn encode_route_refresh(&self, family: Family) -> Vec<u8> {
        let _ = family;
        todo!()
    }

    /// Encodes announcements of `prefixes` (all of one family) with `attributes`, packed into as
    /// few messages as fit and appended to `out`. Returns how many messages that took; 0 when the
    /// attributes leave no room for a prefix within the message size, in which case the caller
    /// must withdraw instead (RFC 4271 §9.2).
    pub fn encode_announcements(
        &self,
        attributes: &PathAttributes,
        prefixes: &[Prefix],
        out: &mut Vec<u8>,
    ) -> usize {
        let _ = (attributes, prefixes, out);
        todo!()
    }

    /// Encodes withdrawals of `prefixes` (all of one family), likewise.
    pub fn encode_withdrawals(&self, prefixes: &[Prefix], out: &mut Vec<u8>) -> usize {
        let _ = (prefixes, out);
        todo!()
    }

    /// Encodes the End-of-RIB marker of a family (RFC 4724 §2).
    pub fn encode_end_of_rib(&self, family: Family, out: &mut Vec<u8>) {
        let _ = (family, out);
        todo!()
    }
}
