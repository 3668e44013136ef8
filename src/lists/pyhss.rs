//! EIR rules of PyHSS, as its API gives them out: JSON objects with `imei`,
//! `imsi` (empty or null for none), `regex_mode` and `match_response_code`
//! (0 whitelisted, 1 blacklisted, 2 greylisted).
//!
//! An exact rule is one device. A rule with `regex_mode` 1 becomes rules as
//! [`super::pattern`] says, or is refused. A rule with an IMSI holds for that
//! pair only: with response 0 it is an exception in a list, and a binding in a
//! list of bindings; with another response no rule can say it.
//!
//! PyHSS compares exact rules as texts, so that 15 digits in a rule never meet
//! the 14 that an MME sends; here both are the same device. PyHSS takes the
//! first expression that matches; here the most specific rule decides, and
//! among equals the strictest.

use std::io::BufRead;

use serde_json::Value;

use crate::equipment::{Imsi, Scope, Status};

use super::feed::{At, Draft, Feed, Refusal, Stop, Target};
use super::json::{self, JsonError, MAX_OBJECT, Objects};
use super::report::Bad;
use super::source::plain;
use super::{field, pattern};

/// Reads a file of rules.
pub(crate) fn read(reader: impl BufRead, file: usize, feed: &mut Feed<'_>) -> Result<(), Stop> {
    each_object(reader, file, feed, |object, at, feed| {
        let text = |key| json::text(object, key).map_err(Bad::new);
        let number = |key| json::number(object, key).map_err(Bad::new);
        let imei = text("imei")?.ok_or_else(|| Bad::new("has no `imei`"))?;
        let imsi = text("imsi")?;
        let status = match number("match_response_code")? {
            Some(0) => Status::Whitelisted,
            Some(1) => Status::Blacklisted,
            Some(2) => Status::Greylisted,
            _ => return Err(Bad::new("has no `match_response_code` of 0, 1 or 2").into()),
        };
        let is_pattern = match number("regex_mode")? {
            None | Some(0) => false,
            Some(1) => true,
            Some(_) => return Err(Bad::new("`regex_mode` is neither 0 nor 1").into()),
        };
        let scopes = match is_pattern {
            true => pattern::scopes(&imei)
                .map_err(|why| Bad::new(format!("{} {why}", field::show(imei.as_bytes()))))?,
            false => {
                let imei = field::imei(imei.as_bytes()).map_err(Bad::new)?;
                feed.check_digit(at, imei);
                vec![Scope::Device(imei.device)]
            }
        };
        let imsi = imsi.map(|imsi| subscriber(&imsi, is_pattern)).transpose()?;
        if imsi.is_none() && matches!(feed.target, Target::Rules(..)) {
            feed.check_together(at, &scopes, status)?;
        }
        for scope in scopes {
            match (imsi, feed.target) {
                (Some(imsi), _) => feed.pair(at, Draft::of(scope), imsi, status)?,
                (None, Target::Bindings(_)) => return Ok(false),
                (None, _) => feed.rule(at, Draft::of(scope), status, &[])?,
            }
        }
        feed.list.own_status += 1;
        Ok(true)
    })?;
    feed.end(file, "that bind no subscriber");
    Ok(())
}

/// The subscriber of a rule, written as digits or as an expression for them.
fn subscriber(text: &str, is_pattern: bool) -> Result<Imsi, Bad> {
    let digits = match is_pattern {
        true => {
            let text = text.strip_prefix('^').unwrap_or(text);
            text.strip_suffix('$').unwrap_or(text)
        }
        false => text,
    };
    field::imsi(digits.as_bytes()).map_err(|why| match is_pattern {
        true => Bad::new(format!(
            "`imsi` {} is no single IMSI; an expression for several is not translated, bind the range in a list of format \"csv\"",
            field::show(text.as_bytes())
        )),
        false => Bad::new(why),
    })
}

/// Calls `add` with each object of a file; it returns false for one that
/// means nothing in this list.
pub(crate) fn each_object<R: BufRead>(
    reader: R,
    file: usize,
    feed: &mut Feed<'_>,
    mut add: impl FnMut(&Value, At, &mut Feed<'_>) -> Result<bool, Refusal>,
) -> Result<(), Stop> {
    let mut objects = Objects::new(reader);
    let result = loop {
        let (line, object) = match objects.next() {
            Ok(None) => break Ok(()),
            Ok(Some(object)) => object,
            Err(error) => break Err(error),
        };
        let at = At { file, line };
        let added = serde_json::from_slice(object)
            .map_err(|error| Refusal::Line(Bad::new(format!("is no JSON: {error}"))))
            .and_then(|object| add(&object, at, feed));
        match added {
            Ok(false) => feed.left_out(at),
            added => feed.settle(at, added.map(|_| ()), |_| None)?,
        }
    };
    feed.read(file, objects.line(), objects.bytes());
    result.map_err(|error| {
        let at = At {
            file,
            line: objects.line(),
        };
        let why = match error {
            JsonError::Cut => "is cut short; copy it again".to_owned(),
            JsonError::TooLong => {
                format!("an object of more than {MAX_OBJECT} bytes; is it a list?")
            }
            JsonError::Stray(byte) => format!(
                "{} is no JSON object; the file must hold an array of objects, or an object a line",
                field::show(&[byte])
            ),
            JsonError::Read(error) => plain(&error),
        };
        feed.fault(at, &why)
    })
}
