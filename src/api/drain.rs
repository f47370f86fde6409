//! Draining over the API: its terms in, how far it has come out.

use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, Stream};
use tonic::Status;

use super::proto;
use super::source::{Source, within};
use crate::speaker::{DrainStage, DrainTerms, DrainView, RetreatView};

/// How long the speaker may take over one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// How often a drain that is watched is looked at.
const INTERVAL: Duration = Duration::from_millis(100);
/// The longest text that a Cease can carry (RFC 9003 §2), in octets.
const REASON_MOST: usize = 255;

/// A drain whenever it has changed, until it has come to its end or is taken back.
pub(super) fn watched<S: Source>(source: Arc<S>) -> impl Stream<Item = Result<proto::Drain, Status>> + Send {
    stream::try_unfold(None::<DrainView>, move |seen| {
        let source = source.clone();
        async move {
            if seen.as_ref().is_some_and(|seen| seen.stage == DrainStage::Drained) {
                return Ok(None);
            }
            while let Some(drain) = within(ANSWER_LIMIT, source.drain()).await? {
                if seen.as_ref() != Some(&drain) {
                    return Ok(Some((drain.clone().into(), Some(drain))));
                }
                tokio::time::sleep(INTERVAL).await;
            }
            Ok(None)
        }
    })
}

impl TryFrom<proto::StartDrainRequest> for DrainTerms {
    /// What is wrong with the request, for its sender.
    type Error = String;

    fn try_from(request: proto::StartDrainRequest) -> Result<Self, String> {
        let time = |asked: Option<u64>, usual| asked.map_or(usual, Duration::from_millis);
        let reason = request.reason.unwrap_or_else(|| "the node is being drained".to_owned());
        if reason.len() > REASON_MOST {
            return Err(format!(
                "reason: {} octets are more than the {REASON_MOST} that a Cease can carry",
                reason.len()
            ));
        }
        Ok(DrainTerms {
            settle: time(request.settle_milliseconds, DrainTerms::SETTLE),
            timeout: time(request.timeout_milliseconds, DrainTerms::TIMEOUT),
            reason,
            // Somebody waits for it, and has said how long.
            holds_last: false,
        })
    }
}

impl From<DrainView> for proto::Drain {
    fn from(view: DrainView) -> Self {
        let stage = match view.stage {
            DrainStage::Asking => proto::DrainStage::Asking,
            DrainStage::Settling => proto::DrainStage::Settling,
            DrainStage::Withdrawing => proto::DrainStage::Withdrawing,
            DrainStage::Closing => proto::DrainStage::Closing,
            DrainStage::Drained => proto::DrainStage::Drained,
        };
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        proto::Drain {
            stage: stage.into(),
            settle_milliseconds: milliseconds(view.terms.settle),
            timeout_milliseconds: milliseconds(view.terms.timeout),
            reason: view.terms.reason,
            waits_for: view.waits_for,
            cut_off: view.cut_off,
            timed_out: view.timed_out,
            holds: view.holds.iter().map(ToString::to_string).collect(),
            asked_by_objects: view.asked_by_objects,
        }
    }
}

impl From<RetreatView> for proto::Leaving {
    fn from(view: RetreatView) -> Self {
        let RetreatView { why, asked, withdrawn, held } = view;
        proto::Leaving { why, asked, withdrawn, held: held.iter().map(ToString::to_string).collect() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_absent_is_as_usual_and_a_reason_that_cannot_be_sent_is_refused() {
        let terms = |reason: Option<String>| {
            DrainTerms::try_from(proto::StartDrainRequest { reason, ..Default::default() })
        };
        let usual = terms(None).unwrap();
        assert_eq!((usual.settle, usual.timeout), (Duration::from_secs(5), Duration::from_secs(30)));
        assert_eq!(usual.reason, "the node is being drained");
        assert!(terms(Some("é".repeat(127))).is_ok());
        let error = terms(Some("é".repeat(128))).unwrap_err();
        assert_eq!(error, "reason: 256 octets are more than the 255 that a Cease can carry");
    }
}
