//! Records of the collection `eir` of Open5GS: JSON objects, one a line or in
//! an array, as `mongoexport` writes them, with `pei` (`imei-` and 15 digits,
//! or `imeisv-` and 16), optionally `supi` (`imsi-` and digits) and `status`
//! (WHITELISTED, BLACKLISTED, GREYLISTED). Other fields, `_id` among them, are
//! not looked at.
//!
//! An `imeisv-` record means the device, whatever its software version: an
//! update must not free a phone. With `strict_svn = true` it means that
//! version only, as Open5GS takes it. A record with a `supi` holds for that
//! pair, see [`Feed::pair`].

use std::io::BufRead;

use crate::equipment::{Scope, Status};

use super::feed::{Draft, Feed, Stop, Target};
use super::report::Bad;
use super::{field, json, pyhss};

/// Reads a file of records.
pub(crate) fn read(
    reader: impl BufRead,
    file: usize,
    strict_svn: bool,
    feed: &mut Feed<'_>,
) -> Result<(), Stop> {
    pyhss::each_object(reader, file, feed, |object, at, feed| {
        let text = |key| json::text(object, key).map_err(Bad::new);
        let pei = text("pei")?.ok_or_else(|| Bad::new("has no `pei`"))?;
        let imei = field::imei(pei.as_bytes()).map_err(Bad::new)?;
        let scope = match imei.svn {
            Some(svn) if strict_svn => Scope::DeviceSvn(imei.device, svn),
            _ => Scope::Device(imei.device),
        };
        let status = text("status")?.ok_or_else(|| Bad::new("has no `status`"))?;
        let status: Status = status.to_ascii_lowercase().parse().map_err(|_| {
            Bad::new(format!(
                "`status` {} is none; write WHITELISTED, GREYLISTED or BLACKLISTED",
                field::show(status.as_bytes())
            ))
        })?;
        match (text("supi")?, feed.target) {
            (Some(supi), _) => {
                let imsi = field::imsi(supi.as_bytes()).map_err(Bad::new)?;
                feed.pair(at, Draft::of(scope), imsi, status)?;
            }
            (None, Target::Bindings(_)) => return Ok(false),
            (None, _) => feed.rule(at, Draft::of(scope), status, &[])?,
        }
        feed.check_digit(at, imei);
        feed.list.own_status += 1;
        Ok(true)
    })?;
    feed.end(file, "that bind no subscriber");
    Ok(())
}
