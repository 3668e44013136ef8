//! Requests that are like one that was read before.
//!
//! All requests of a client are alike but for a few values: the identifiers of
//! the header, the Session-Id, the IMEI, the IMSI. So a request that was read
//! and found well-formed becomes a `Form`: its octets, with a mask over the
//! values that were read out of it.
//!
//! ```text
//! request  │header│ids│263│Session-Id│277 …│264│Origin-Host│ … │1402│IMEI│ … │
//! mask     │██████│   │███│          │█████│███│           │███│████│    │███│
//! ```
//!
//! The next request that has the same octets under the mask, and is as long, is
//! read by taking the values from where they stood: no AVP is walked, looked up
//! or judged again.
//!
//! That this is the same as reading it in full follows from two things.
//! [`IdentityCheckRequest::read`] looks at the headers of AVPs, at
//! Destination-Host and at Destination-Realm; what it hands out as values, it
//! has not looked into. And a form leaves open nothing but what was handed out,
//! so all that was looked at lies under the mask. Which AVPs there may be, what
//! a fault is and which fault counts is written there alone, and a request that
//! is at fault never becomes a form. With debug assertions on, every request
//! that a form has read is read in full besides, and compared.

use core::ops::Range;

use arrayvec::ArrayVec;

use super::request::{IdentityCheckRequest, Values};
use crate::base::Node;
use crate::wire::{Fault, Message};

/// Octets of the longest request that becomes a form: twice those that MMEs
/// send. Longer ones are read in full.
pub const FORM_LEN_MAX: usize = 512;

/// Forms of one connection: a client has one, or a few as its Session-Ids grow
/// longer or it knows the Software-Version of some devices only; an agent has
/// as many as it has clients. Each takes little more than twice
/// [`FORM_LEN_MAX`], once it is needed.
pub const FORMS_MAX: usize = 4;

/// How many requests that fit no form are read until one of them replaces a
/// form: where all of them differ, making forms must not cost what they save.
const PATIENCE: u32 = 8;

/// The header's identifiers, which differ in every request.
const IDENTIFIERS: Range<usize> = 12..20;

/// The forms of one connection.
#[derive(Clone, Debug, Default)]
pub struct Forms {
    /// What was seen, the last that fitted first.
    seen: ArrayVec<Box<Form>, FORMS_MAX>,
    /// Requests that fitted none since the last was made.
    misfits: u32,
}

impl Forms {
    /// Reads a request: by a form that it fits, or in full, and then it may
    /// become a form. The result is that of [`IdentityCheckRequest::read`].
    ///
    /// # Errors
    ///
    /// The first fault found.
    #[inline(always)]
    pub fn read<'a>(
        &mut self,
        message: &Message<'a>,
        node: &Node,
    ) -> Result<IdentityCheckRequest<'a>, Fault<'a>> {
        if let Some(request) = self.seen.first().and_then(|form| form.read(message)) {
            debug_assert_eq!(IdentityCheckRequest::read(message, node), Ok(request));
            return Ok(request);
        }
        self.read_otherwise(message, node)
    }

    /// Reads a request that does not fit the first form.
    #[inline(never)]
    fn read_otherwise<'a>(
        &mut self,
        message: &Message<'a>,
        node: &Node,
    ) -> Result<IdentityCheckRequest<'a>, Fault<'a>> {
        for place in 1..self.seen.len() {
            let request = self.seen.get(place).and_then(|form| form.read(message));
            if let Some(request) = request {
                debug_assert_eq!(IdentityCheckRequest::read(message, node), Ok(request));
                self.move_to_front(place);
                return Ok(request);
            }
        }
        let request = IdentityCheckRequest::read(message, node)?;
        self.learn(&request);
        Ok(request)
    }

    /// Makes a form of a request, where there is room or none has fitted for
    /// long enough.
    fn learn(&mut self, request: &IdentityCheckRequest<'_>) {
        self.misfits = self.misfits.saturating_add(1);
        if self.seen.is_full() && self.misfits < PATIENCE {
            return;
        }
        let Some(form) = Form::of(request) else {
            return;
        };
        self.misfits = 0;
        if self.seen.is_full()
            && let Some(last) = self.seen.last_mut()
        {
            // In its place, so that nothing is allocated.
            **last = form;
        } else {
            self.seen.push(Box::new(form));
        }
        self.move_to_front(self.seen.len().saturating_sub(1));
    }

    /// Moves the form at this place before the others.
    fn move_to_front(&mut self, place: usize) {
        if let Some(forms) = self.seen.get_mut(..=place) {
            forms.rotate_right(1);
        }
    }
}

/// What requests that are alike have in common.
#[derive(Clone, Debug)]
struct Form {
    /// All bits of each octet that must be the same.
    mask: [u8; FORM_LEN_MAX],
    /// The octets of the request that was read, under the mask.
    octets: [u8; FORM_LEN_MAX],
    /// How many octets there are.
    len: usize,
    /// Where the values stand.
    values: Values,
}

impl Form {
    /// The form of a request that was read; `None` if it is too long.
    fn of(request: &IdentityCheckRequest<'_>) -> Option<Self> {
        let frame = request.message().bytes();
        frame.first_chunk::<{ size_of::<Block>() }>()?;
        let mut mask = [0; FORM_LEN_MAX];
        mask.get_mut(..frame.len())?.fill(u8::MAX);
        for value in request.values().all().chain([IDENTIFIERS]) {
            mask.get_mut(value)?.fill(0);
        }
        let mut octets = [0; FORM_LEN_MAX];
        for ((to, from), mask) in octets.iter_mut().zip(frame).zip(&mask) {
            *to = from & mask;
        }
        Some(Self {
            mask,
            octets,
            len: frame.len(),
            values: *request.values(),
        })
    }

    /// What reading this request in full gives, if it has this form.
    #[inline(always)]
    fn read<'a>(&self, message: &Message<'a>) -> Option<IdentityCheckRequest<'a>> {
        match self.fits(message.bytes()) {
            true => Some(IdentityCheckRequest::at(*message, self.values)),
            false => None,
        }
    }

    /// Whether a request is the same under the mask. All of it is compared
    /// before it is judged, as most requests fit.
    #[inline(always)]
    fn fits(&self, frame: &[u8]) -> bool {
        let len = frame.len();
        let (Some(mask), Some(octets)) = (self.mask.get(..len), self.octets.get(..len)) else {
            return false;
        };
        if len != self.len {
            return false;
        }
        let mut different = [0; LANES];
        let blocks = frame.as_chunks().0.iter();
        for ((frame, mask), octets) in blocks.zip(mask.as_chunks().0).zip(octets.as_chunks().0) {
            note_differences(&mut different, frame, mask, octets);
        }
        // The last octets, which may be no block, are one with those before.
        if let (Some(frame), Some(mask), Some(octets)) =
            (frame.last_chunk(), mask.last_chunk(), octets.last_chunk())
        {
            note_differences(&mut different, frame, mask, octets);
        }
        different == [0; LANES]
    }
}

/// Words that are compared at once.
const LANES: usize = 4;

/// Octets that are compared at once. The headers of the AVPs that a request must
/// have are more, so none is shorter.
type Block = [u8; LANES * size_of::<u64>()];

/// Takes note of the bits under the mask that differ.
#[inline(always)]
fn note_differences(different: &mut [u64; LANES], frame: &Block, mask: &Block, octets: &Block) {
    let (frame, mask, octets) = (
        frame.as_chunks().0,
        mask.as_chunks().0,
        octets.as_chunks().0,
    );
    let words = frame.iter().zip(mask).zip(octets);
    for (different, ((frame, mask), octets)) in different.iter_mut().zip(words) {
        let octets = u64::from_ne_bytes(*octets);
        *different |= (u64::from_ne_bytes(*frame) & u64::from_ne_bytes(*mask)) ^ octets;
    }
}

//----------- Tests -----------------------------------------------------------

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;
    use crate::base::node::tests::example;
    use crate::s13::request::{IdentityCheck, compose};
    use crate::wire::{Deframed, deframe};

    /// A request of a client with this name.
    fn request(host: &str, check: &IdentityCheck<'_>, identifiers: (u32, u32)) -> BytesMut {
        let mut settings = example();
        settings.origin_host = host.to_owned();
        let mut out = BytesMut::new();
        compose(&mut out, &Node::new(settings), identifiers, check);
        out
    }

    /// What a client asks.
    fn check(session_id: &'static str) -> IdentityCheck<'static> {
        IdentityCheck {
            session_id,
            destination_host: Some("eir1.epc.mnc001.mcc001.3gppnetwork.org"),
            destination_realm: "epc.mnc001.mcc001.3gppnetwork.org",
            imei: "490154203237518",
            software_version: Some("06"),
            user_name: Some("001010123456789"),
        }
    }

    /// The message in these octets.
    fn message(octets: &[u8]) -> Message<'_> {
        match deframe(octets, 1 << 20) {
            Deframed::Message(message) => message,
            other => panic!("no message: {other:?}"),
        }
    }

    /// Whether one of the forms is that of a message.
    fn fits(forms: &Forms, message: &Message<'_>) -> bool {
        forms.seen.iter().any(|form| form.read(message).is_some())
    }

    /// Reading in full is the oracle: for every request that differs from one
    /// that became a form in one octet, whatever it becomes.
    #[test]
    fn a_form_reads_what_reading_in_full_does() {
        let node = Node::new(example());
        let mut sparse = check("s");
        sparse.destination_host = None;
        sparse.software_version = None;
        sparse.user_name = None;
        for check in [check("mme;1;2"), sparse] {
            let octets = request("mme.example", &check, (1, 2));
            let mut learned = Forms::default();
            learned.read(&message(&octets), &node).unwrap();
            let (mut fitted, mut faults) = (0, 0);
            for place in 4..octets.len() {
                for change in 1..=u8::MAX {
                    let mut octets = octets.clone();
                    octets[place] ^= change;
                    let message = message(&octets);
                    let full = IdentityCheckRequest::read(&message, &node);
                    let mut forms = learned.clone();
                    assert_eq!(forms.read(&message, &node), full, "{place} {change}");
                    fitted += u32::from(fits(&learned, &message));
                    faults += u32::from(full.is_err());
                }
            }
            // The identifiers and all values, and nothing else.
            let values = 8
                + check.session_id.len()
                + "mme.example".len()
                + example().origin_realm.len()
                + check.imei.len()
                + check.software_version.map_or(0, str::len)
                + check.user_name.map_or(0, str::len);
            assert_eq!(fitted as usize, values * 255);
            assert!(faults > 1000, "{faults}");
        }
    }

    /// The values are those of the request at hand, not of the one before.
    #[test]
    fn a_form_has_no_values() {
        let node = Node::new(example());
        let mut forms = Forms::default();
        let first = request("mme1.example", &check("mme;1;2"), (1, 2));
        forms.read(&message(&first), &node).unwrap();
        let other = IdentityCheck {
            imei: "359881234567890",
            software_version: Some("99"),
            user_name: Some("262019876543210"),
            ..check("mme;3;4")
        };
        let second = request("MME2.EXAMPLE", &other, (3, 4));
        assert!(fits(&forms, &message(&second)));
        let read = forms.read(&message(&second), &node).unwrap();
        assert_eq!(read.imei(), other.imei.as_bytes());
        assert_eq!(read.software_version(), Some(&b"99"[..]));
        assert_eq!(read.user_name(), Some(&b"262019876543210"[..]));
        assert_eq!(read.origin_host(), b"MME2.EXAMPLE");
    }

    /// A request that is refused leaves no form, and neither does a long one.
    #[test]
    fn only_requests_that_are_served_become_forms() {
        let node = Node::new(example());
        let mut forms = Forms::default();
        let elsewhere = IdentityCheck {
            destination_realm: "elsewhere",
            ..check("mme;1;2")
        };
        let refused = request("mme.example", &elsewhere, (1, 2));
        assert!(forms.read(&message(&refused), &node).is_err());
        let long = "x".repeat(FORM_LEN_MAX);
        let long = request(&long, &check("mme;1;2"), (1, 2));
        forms.read(&message(&long), &node).unwrap();
        assert!(forms.seen.is_empty());
    }

    /// However many kinds of requests there are, a few forms are kept; those in
    /// use stay, and another replaces the one that was not used for longest.
    #[test]
    fn forms_that_are_used_are_kept() {
        let node = Node::new(example());
        let name = |length: usize| "m".repeat(length);
        let kinds: Vec<_> = (1..=FORMS_MAX + 1)
            .map(|kind| request(&name(4 * kind), &check("mme;1;2"), (1, 2)))
            .collect();
        let mut forms = Forms::default();
        let (last, others) = kinds.split_last().unwrap();
        for octets in others {
            forms.read(&message(octets), &node).unwrap();
        }
        assert!(others.iter().all(|octets| fits(&forms, &message(octets))));
        // All but the first are used again.
        for octets in &others[1..] {
            forms.read(&message(octets), &node).unwrap();
        }
        for _ in 0..PATIENCE {
            assert!(!fits(&forms, &message(last)));
            forms.read(&message(last), &node).unwrap();
        }
        assert!(fits(&forms, &message(last)));
        assert_eq!(forms.seen.len(), FORMS_MAX);
        assert!(!fits(&forms, &message(&others[0])));
        assert!(
            others[1..]
                .iter()
                .all(|octets| fits(&forms, &message(octets)))
        );
    }
}
