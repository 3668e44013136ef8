//! What an answer says, and whether it is the right one.

use std::fmt;
use std::str::FromStr;

use weir::wire::{Message, dictionary};

/// What an ECA says of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Equipment-Status 0.
    Whitelisted,
    /// Equipment-Status 1.
    Blacklisted,
    /// Equipment-Status 2.
    Greylisted,
    /// Experimental-Result-Code 5422.
    Unknown,
}

impl Outcome {
    /// All, in the order of their numbers on the wire.
    const ALL: [Self; 4] = [
        Self::Whitelisted,
        Self::Blacklisted,
        Self::Greylisted,
        Self::Unknown,
    ];

    /// Its name, as lists and configurations have it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Whitelisted => "whitelisted",
            Self::Blacklisted => "blacklisted",
            Self::Greylisted => "greylisted",
            Self::Unknown => "unknown",
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Outcome {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|outcome| outcome.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("`{text}` is no outcome; write one of {names}")
        })
    }
}

/// What an answer says; a text if it is not one of an EIR that could say.
pub fn outcome(message: &Message<'_>) -> Result<Outcome, String> {
    let mut result_code = None;
    let mut status = None;
    let mut experimental = None;
    for avp in message.avps() {
        let avp = avp.map_err(|fault| format!("a broken AVP: {fault:?}"))?;
        if avp.key() == dictionary::RESULT_CODE.key {
            result_code = avp.unsigned32();
        } else if avp.key() == dictionary::EQUIPMENT_STATUS.key {
            status = avp.unsigned32();
        } else if avp.key() == dictionary::EXPERIMENTAL_RESULT.key {
            experimental = avp.members().and_then(|members| {
                members
                    .map_while(Result::ok)
                    .find(|member| member.key() == dictionary::EXPERIMENTAL_RESULT_CODE.key)?
                    .unsigned32()
            });
        }
    }
    match (result_code, experimental, status) {
        (Some(2001), None, Some(status)) => Outcome::ALL[..3]
            .get(status as usize)
            .copied()
            .ok_or_else(|| format!("Equipment-Status {status}")),
        (None, Some(5422), None) => Ok(Outcome::Unknown),
        _ => Err(format!(
            "Result-Code {result_code:?}, Experimental-Result-Code {experimental:?}, \
             Equipment-Status {status:?}"
        )),
    }
}

/// Answers that look like others need not be taken apart: octets that stand in
/// every answer with an outcome, but for those that belong to its request.
///
/// An answer that is no twin of one known before is taken apart, so that this
/// makes checking fast and never lax: every octet of every answer counts.
#[derive(Debug, Default)]
pub struct Twins {
    /// One of each kind, with what it says.
    known: Vec<(Vec<u8>, Outcome)>,
}

/// Kinds of answers that are remembered: a server has one for each outcome.
const KNOWN_MAX: usize = 8;

/// Where the identifiers stand in a header.
const IDENTIFIERS: std::ops::Range<usize> = 12..20;

/// Where the data of the first AVP begins, which is the Session-Id.
const SESSION_ID: usize = 28;

impl Twins {
    /// What an answer to `request` says. It must echo the Session-Id.
    pub fn outcome(&mut self, message: &Message<'_>, request: &[u8]) -> Result<Outcome, String> {
        let bytes = message.bytes();
        // Session-Id is the first AVP of requests and answers (RFC 6733 6.2).
        let len = session_len(request);
        let session = SESSION_ID - 8..SESSION_ID - 8 + len;
        if bytes.get(session.clone()) != request.get(session.clone()) {
            return Err("another Session-Id than its request".to_owned());
        }
        for (twin, outcome) in &self.known {
            if twin.len() == bytes.len()
                && twin[..IDENTIFIERS.start] == bytes[..IDENTIFIERS.start]
                && twin[session.end..] == bytes[session.end..]
            {
                return Ok(*outcome);
            }
        }
        let outcome = outcome(message)?;
        if self.known.len() < KNOWN_MAX {
            self.known.push((bytes.to_vec(), outcome));
        }
        Ok(outcome)
    }
}

/// Octets of the Session-Id AVP of a request of ours, padded.
fn session_len(request: &[u8]) -> usize {
    let len = [0, request[25], request[26], request[27]];
    (u32::from_be_bytes(len) as usize).next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;
    use weir::wire::{
        ApplicationId, CommandCode, CommandFlags, Composer, Deframed, Header, deframe,
    };

    use super::*;

    fn answer(session: &str, code: u32, status: Option<u32>) -> BytesMut {
        let header = Header {
            length: 0,
            flags: CommandFlags::PROXIABLE,
            command: CommandCode::ME_IDENTITY_CHECK,
            application: ApplicationId::S13,
            hop_by_hop: 7,
            end_to_end: 8,
        };
        let mut out = BytesMut::new();
        let mut composer = Composer::begin(&mut out, &header);
        composer.octets(&dictionary::SESSION_ID, session.as_bytes());
        composer.unsigned32(&dictionary::RESULT_CODE, code);
        if let Some(status) = status {
            composer.unsigned32(&dictionary::EQUIPMENT_STATUS, status);
        }
        composer.finish();
        out
    }

    fn say(twins: &mut Twins, answer: &[u8], request: &[u8]) -> Result<Outcome, String> {
        let Deframed::Message(message) = deframe(answer, 1 << 16) else {
            panic!()
        };
        twins.outcome(&message, request)
    }

    #[test]
    fn a_twin_says_the_same_and_anything_else_is_looked_at() {
        let mut twins = Twins::default();
        let request = answer("mme;1;2", 0, None);
        for _ in 0..2 {
            let black = answer("mme;1;2", 2001, Some(1));
            assert_eq!(say(&mut twins, &black, &request), Ok(Outcome::Blacklisted));
            let white = answer("mme;1;2", 2001, Some(0));
            assert_eq!(say(&mut twins, &white, &request), Ok(Outcome::Whitelisted));
            for wrong in [
                answer("mme;1;3", 2001, Some(1)),
                answer("mme;1;2", 2001, None),
                answer("mme;1;2", 2001, Some(3)),
                answer("mme;1;2", 5012, Some(1)),
            ] {
                say(&mut twins, &wrong, &request).unwrap_err();
            }
        }
        let other = answer("mme;9;9", 0, None);
        let black = answer("mme;9;9", 2001, Some(1));
        assert_eq!(say(&mut twins, &black, &other), Ok(Outcome::Blacklisted));
    }
}
