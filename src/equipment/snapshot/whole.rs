//! All that a snapshot holds, one after the other.

use super::{BindingView, RuleView, Snapshot};
use crate::equipment::{BindingId, Device, Imsi, RuleId, RuleKind, Scope, Terms};

impl Snapshot {
    /// All rules, but for those that only say again what another says of the
    /// same device; those for single devices come last and in no particular
    /// order, all others in that in which they were added.
    pub fn rules(&self) -> impl Iterator<Item = RuleView<'_>> {
        let records = (0..).zip(self.rules.records.iter());
        let records = records.filter_map(|(number, record)| {
            let rule = self.recorded_rule(RuleId::of_record(number), record)?;
            // Of those of single devices only exceptions are kept as records.
            (rule.scope.kind() != RuleKind::Device).then_some(rule)
        });
        let devices = self.rules.devices.iter();
        let devices =
            devices.filter_map(|(device, number)| self.rule(RuleId::of_device(number), device));
        records.chain(devices)
    }

    /// All single devices that rules name, in no particular order.
    pub fn devices(&self) -> impl Iterator<Item = Device> {
        self.rules.devices.devices()
    }

    /// Calls `visitor` with the rules for ranges, in the order in which they
    /// were added. False if what is known of them was left in a file and can no
    /// longer be read.
    #[must_use]
    pub(in crate::equipment) fn each_range<'a>(
        &'a self,
        mut visitor: impl FnMut(RuleView<'a>),
    ) -> bool {
        let mut read = 0;
        for (number, record) in (0..).zip(self.rules.records.iter()) {
            read += 1;
            if matches!(record.scope(), Ok(Scope::Range { .. }))
                && let Some(rule) = self.recorded_rule(RuleId::of_record(number), record)
            {
                visitor(rule);
            }
        }
        read == self.rules.records.len()
    }

    /// Calls `visitor` with each rule of exactly this TAC or prefix.
    pub(in crate::equipment) fn visit_group(
        &self,
        scope: Scope,
        mut visitor: impl FnMut(RuleId, &Terms),
    ) {
        self.rules.index.visit_group(scope, |number, terms| {
            if let Some(terms) = self.catalogue.terms.get(terms as usize) {
                visitor(RuleId::of_record(number), terms);
            }
        });
    }

    /// All bindings, in the order in which they were added.
    pub fn bindings(&self) -> impl Iterator<Item = BindingView<'_>> {
        let records = self.bindings.records.iter();
        let bindings = (0..).zip(records.zip(self.bindings.subscribers.iter()));
        bindings.filter_map(|(number, (record, subscribers))| {
            self.view_binding(BindingId(number), record, subscribers)
        })
    }

    /// The subscribers who are excepted from a rule, each once, in no
    /// particular order.
    pub fn excepted(&self) -> impl Iterator<Item = Imsi> {
        self.rules.exceptions.subscribers()
    }

    /// Whether it is known on which lines of their lists single devices stand.
    #[cfg_attr(
        not(feature = "server"),
        allow(dead_code, reason = "a server folds changes")
    )]
    pub(crate) fn has_lines(&self) -> bool {
        self.rules.devices.has_lines()
    }

    /// How often something that is known of rules and bindings could not be read
    /// in the file in which it was left. What is read there ends early or is
    /// passed over then: if this has not grown meanwhile, all of it was read.
    pub(crate) fn failures(&self) -> u64 {
        let bindings = &self.bindings;
        // Together, as each may be of a file of its own.
        [
            self.rules.devices.failures(),
            self.rules.records.failures(),
            bindings.records.failures(),
            bindings.subscribers.failures(),
        ]
        .into_iter()
        .fold(0, u64::wrapping_add)
    }

    /// Whether the record of a rule that is not for a single device stands for a
    /// rule: all its devices have a rule that says the same. If not, it only
    /// tells of an exception.
    pub(in crate::equipment) fn says(&self, rule: &RuleView<'_>) -> bool {
        let is_it = |terms: &Terms| {
            let Terms {
                list,
                status,
                validity,
            } = *terms;
            (list, status, validity) == (rule.list.id, rule.status, rule.validity)
        };
        let mut says = false;
        match rule.scope {
            // It has no record.
            Scope::Device(_) => {}
            // Nobody is excepted from one.
            Scope::Special(_) => says = true,
            Scope::DeviceSvn(device, svn) => {
                self.visit_rules(RuleKind::DeviceSvn, device, Some(svn), |_, terms| {
                    says |= is_it(terms);
                });
            }
            Scope::Tac(_) | Scope::TacPrefix(_) => {
                self.visit_group(rule.scope, |_, terms| says |= is_it(terms));
            }
            Scope::Range { from, to } => return self.covers_range((from, to), is_it),
        }
        says
    }

    /// Whether each device of a range has a rule for a range on such terms.
    fn covers_range(&self, (from, to): (Device, Device), is_it: impl Fn(&Terms) -> bool) -> bool {
        let mut next = Some(from);
        while let Some(device) = next.filter(|&device| device <= to) {
            let mut end = None;
            self.visit_rules(RuleKind::Range, device, None, |id, terms| {
                if is_it(terms)
                    && let Some(rule) = self.rule(id, device)
                    && let Scope::Range { to, .. } = rule.scope
                {
                    end = end.max(Some(to));
                }
            });
            let Some(end) = end else { return false };
            next = Device::from_number(end.number() + 1);
        }
        true
    }
}
