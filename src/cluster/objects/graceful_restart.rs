//! Graceful restart, as a `BgpConfiguration` sets it for all sessions and a `BgpPeer` for one.

use std::time::Duration;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::Problems;
use super::duration::Span;

/// The longest restart time: twelve bits of seconds (RFC 4724 §3).
const RESTART_TIME_MOST: Duration = Duration::from_secs(4095);
/// The longest long-lived stale time: 24 bits of seconds (RFC 9494 §3).
const LONG_LIVED_MOST: Duration = Duration::from_secs(0xff_ffff);

/// Graceful restart (RFC 4724, RFC 8538): forwarding goes on while one side restarts. What a `BgpPeer`
/// leaves out is as the `BgpConfiguration` says.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new(
    "!has(self.restartTime) || duration(self.restartTime).getMilliseconds() % 1000 == 0 \
     && duration(self.restartTime) <= duration('4095s')"
).message("must be whole seconds, at most 4095s").field_path(".restartTime"))]
#[x_kube(validation = Rule::new(
    "!has(self.stalePathTime) || duration(self.stalePathTime) >= duration('1s')"
).message("must be at least 1s; or use enabled: false").field_path(".stalePathTime"))]
#[x_kube(validation = Rule::new(
    "!has(self.longLivedStaleTime) || duration(self.longLivedStaleTime).getMilliseconds() % 1000 == 0 \
     && duration(self.longLivedStaleTime) <= duration('16777215s')"
).message("must be whole seconds, at most 16777215s").field_path(".longLivedStaleTime"))]
pub struct GracefulRestartSpec {
    /// Whether peers are asked to keep our routes while we restart, and theirs are kept while they
    /// do. Default true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How long peers should wait for us: whole seconds, at most 4095 s. Default `120s`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub restart_time: Option<Span>,
    /// The longest that routes of a peer are kept after its session has fallen, until it has announced
    /// them again. Default `3m`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stale_path_time: Option<Span>,
    /// How long they are kept beyond that, used where there is no other path (RFC 9494), and how long
    /// peers may keep ours: whole seconds, at most 16777215 s. Default `0s`: not at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub long_lived_stale_time: Option<Span>,
    /// Whether internal peers that do not know RFC 9494 are told of such routes, too: as the least preferred,
    /// which holds for all internal peers then, and with `no-export`. Give it to all speakers of the AS. Default
    /// false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub partial_deployment: Option<bool>,
}

impl GracefulRestartSpec {
    pub(super) fn check(&self, problems: &mut Problems) {
        if let Some(Span(time)) = self.restart_time
            && (time > RESTART_TIME_MOST || time.subsec_nanos() != 0)
        {
            problems.add("spec.gracefulRestart.restartTime", "must be whole seconds, at most 4095s");
        }
        if let Some(Span(time)) = self.stale_path_time
            && time < Duration::from_secs(1)
        {
            problems.add("spec.gracefulRestart.stalePathTime", "must be at least 1s; or use enabled: false");
        }
        if let Some(Span(time)) = self.long_lived_stale_time
            && (time > LONG_LIVED_MOST || time.subsec_nanos() != 0)
        {
            let text = "must be whole seconds, at most 16777215s";
            problems.add("spec.gracefulRestart.longLivedStaleTime", text);
        }
    }
}
