//! What the daemon may do to the kernel beside its routes: policy rules, and settings that are somebody
//! else's unless said otherwise.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Problems;
use super::values::{Cidr, InterfaceName, Mark};

/// Settings of the kernel. Those that pods cannot do without, forwarding above all, are set without being
/// asked for.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, PartialEq, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KernelSpec {
    /// What is done where `rp_filter` of an interface that leads to peers is 1 (strict), which drops packets
    /// that come by another interface than their answers would leave by. Default `report`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reverse_path_filter: Option<ReversePathFilter>,
}

/// What is done about a strict `rp_filter`.
#[derive(JsonSchema, Serialize, Deserialize, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub enum ReversePathFilter {
    /// It is shown.
    Report,
    /// It is set to 2 (loose).
    Loose,
}

/// Which packets are routed by our table: a rule of ip-rule(8). What is absent does not restrict; a rule
/// without `from` and `to` holds for both families.
#[derive(KubeSchema, Serialize, Deserialize, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[x_kube(validation = Rule::new(
    "!has(self.from) || !has(self.to) || cidr(self.from).ip().family() == cidr(self.to).ip().family()"
).message("is of another family than from").field_path(".to"))]
pub struct RuleSpec {
    /// Rules are tried in this order, the lowest number first; `main` has 32766. From 2: the number below the
    /// lowest is used for rules that keep what is connected to the node, pods among it, reachable by `main`.
    #[schemars(range(min = 2))]
    pub priority: u32,
    /// Where packets come from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Cidr>,
    /// Where they go.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Cidr>,
    /// Name of the interface that they come in by.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iif: Option<InterfaceName>,
    /// Their firewall mark: a number, or `"0x100/0xf00"` where some of its bits count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fwmark: Option<Mark>,
}

impl RuleSpec {
    /// Notes what is wrong with the rule by itself.
    pub(super) fn check(&self, field: &str, problems: &mut Problems) {
        if self.priority < 2 {
            problems.add(
                format!("{field}.priority"),
                "must be at least 2: 0 is the kernel's own, and the number below is used, too",
            );
        }
        if let (Some(Cidr(from)), Some(Cidr(to))) = (self.from, self.to)
            && from.family() != to.family()
        {
            problems.add(format!("{field}.to"), "is of another family than from");
        }
    }
}
